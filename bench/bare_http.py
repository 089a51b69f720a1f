"""Floor: a bare FastAPI application. No token, no rights, no database, no sealing, no audit."""

from fastapi import FastAPI
from pydantic import BaseModel

MESSAGES = 50
TEXT = "x" * 210

app = FastAPI()


class NewMessage(BaseModel):
    """What a client posts."""

    text: str
    kind: str = "message"


class Author(BaseModel):
    """Who wrote a message."""

    id: str
    name: str
    role: str


class Message(BaseModel):
    """A message as the service shows it."""

    id: str
    threadId: str  # noqa: N815
    author: Author
    text: str
    kind: str
    at: str
    status: str


class Page(BaseModel):
    """A page of messages."""

    items: list[Message]
    nextCursor: str | None  # noqa: N815


ID = "00000000-0000-7000-8000-000000000000"
ONE = Message(
    id=ID,
    threadId=ID,
    author=Author(id=ID, name="A. Name", role="gp"),
    text=TEXT,
    kind="message",
    at="2026-01-01T00:00:00.000000Z",
    status="posted",
)


@app.get("/status")
async def status() -> dict[str, str]:
    """The least a route can do."""
    return {"status": "ok"}


@app.post("/messages", status_code=201)
async def post(message: NewMessage) -> Message:
    """Parse a message and answer it; nothing is kept."""
    return ONE.model_copy(update={"text": message.text})


@app.get("/page")
async def page() -> Page:
    """Answer a page of fifty messages from memory."""
    return Page(items=[ONE] * MESSAGES, nextCursor=ID)
