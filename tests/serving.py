"""A real instance on loopback: uvicorn with our protocol classes, in the test's own event loop."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import uvicorn
from fastapi import FastAPI

from app.core.clock import Clock, database_clock
from app.core.settings import Settings
from app.realtime.connections import KEEP_ALIVE_SECONDS

DRAIN_SECONDS = 5
# For clients of plain HTTP: they trust no certificate. Reading the usual authorities would cost each 20 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class MovableClock:
    """A clock that a test moves; until then it is the wall's."""

    offset: timedelta = timedelta()

    def __call__(self) -> datetime | None:
        """Return the moved instant, or leave the time to the database while nothing was moved."""
        return datetime.now().astimezone() + self.offset if self.offset else None

    def move(self, by: timedelta) -> None:
        """Move on."""
        self.offset += by


@dataclass
class Service:
    """A service somewhere on loopback, and a client to it; ``url`` has no path."""

    url: str
    http: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)

    async def sign_in(self, persona: str) -> str:
        """Return a fresh access token of a persona."""
        answer = await self.http.post("/demo-tokens", json={"persona": persona})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["accessToken"]
        return token

    async def as_(self, persona: str) -> "Caller":
        """Return a caller signed in as a persona; the same session each time."""
        if persona not in self.tokens:
            self.tokens[persona] = await self.sign_in(persona)
        return Caller(self, persona, self.tokens[persona])


@dataclass
class Instance(Service):
    """A service in this process, and the application behind it."""

    app: FastAPI = field(kw_only=True)


@dataclass
class Caller:
    """Somebody signed in, calling over HTTP."""

    instance: Service
    persona: str
    token: str

    async def request(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a request under the base address."""
        extra = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return await self.instance.http.request(method, path, json=body, headers=extra)

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        """GET."""
        return await self.instance.http.get(path, params=params, headers={"Authorization": f"Bearer {self.token}"})

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        """POST; keyword arguments are headers, with ``_`` for ``-``."""
        return await self.request(
            "POST", path, body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    async def delete(self, path: str) -> httpx.Response:
        """DELETE."""
        return await self.request("DELETE", path)

    async def made(self, path: str, body: object = None, **headers: str) -> dict[str, object]:
        """POST something that must succeed and return it."""
        answer = await self.post(path, body, **headers)
        assert answer.status_code in {200, 201}, answer.text
        made: dict[str, object] = answer.json()
        return made


@asynccontextmanager
async def serve(settings: Settings, clock: Clock = database_clock) -> AsyncIterator[Instance]:
    """Serve an application on a port of its own until the block ends."""
    from app.main import create_app  # noqa: PLC0415  # the application loads slowly, and not every test needs it

    # The protocol is named, because asyncio switches Nagle's delay off only then: it would cost 40 ms a request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = create_app(settings.model_copy(update={"port": port}), clock)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="app.realtime.connections:HttpProtocol",
            ws="app.realtime.server:SocketProtocol",
            ws_max_size=65536,
            ws_per_message_deflate=False,
            server_header=False,
            access_log=False,
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # the test runner keeps its own
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30, verify=NO_TLS) as http:
            yield Instance(url, http, app=app)
    finally:
        server.should_exit = True
        await task
        listener.close()
