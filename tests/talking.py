"""A plain WebSocket client for tests: one ticket, one socket, frames in the order they came."""

import asyncio
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.serving import Caller

Frame = dict[str, Any]
PATIENCE_SECONDS = 10


class Talk:
    """One socket of somebody."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: list[Frame] = []
        self.raw: list[bytes] = []
        self.closed: int | None = None
        self.on_frame: Callable[[Frame], None] = self.heard.append
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self.connection:
                self.raw.append(text.encode() if isinstance(text, str) else text)
                self.on_frame(orjson.loads(text))
                self._news.set()
        except ConnectionClosed:
            pass
        self.closed = self.connection.close_code
        self._news.set()

    async def say(self, op: str, **members: object) -> None:
        """Send a frame."""
        await self.connection.send(orjson.dumps({"op": op, **members}).decode())

    async def until(self, holds: Callable[[], bool], what: object, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something holds of what was heard, looking again at every frame."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    if self.closed is not None:
                        raise AssertionError(f"closed with {self.closed} before {what}; heard {self.heard[-20:]}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {what}; heard {self.heard[-20:]}") from None

    async def hear(self, op: str, matches: Callable[[Frame], bool] = lambda _: True) -> Frame:
        """Return the first frame of this op that fits, waiting for it."""
        await self.until(lambda: any(frame["op"] == op and matches(frame) for frame in self.heard), op)
        return next(frame for frame in self.heard if frame["op"] == op and matches(frame))

    async def any_of(self, *ops: str) -> Frame:
        """Return the first frame of any of these ops, waiting for it."""
        await self.until(lambda: any(frame["op"] in ops for frame in self.heard), ops)
        return next(frame for frame in self.heard if frame["op"] in ops)

    async def many(self, op: str, count: int, *, seconds: float = PATIENCE_SECONDS) -> list[Frame]:
        """Return the frames of this op once there are so many."""
        return await self.many_of({op}, count, seconds=seconds)

    async def many_of(self, ops: Set[str], count: int, *, seconds: float = PATIENCE_SECONDS) -> list[Frame]:
        """Return the frames of these ops once there are so many."""

        def found() -> list[Frame]:
            return [frame for frame in self.heard if frame["op"] in ops]

        await self.until(lambda: len(found()) >= count, f"{count} {sorted(ops)}", seconds=seconds)
        return found()

    async def event(self, type_: str, matches: Callable[[Frame], bool] = lambda _: True) -> Frame:
        """Return the first event of this type that fits, waiting for it."""
        return await self.hear("event", lambda frame: frame["type"] == type_ and matches(frame))

    def all(self, op: str) -> list[Frame]:
        """Return the frames of this op that were heard so far."""
        return [frame for frame in self.heard if frame["op"] == op]

    @property
    def events(self) -> list[Frame]:
        """The events heard so far."""
        return self.all("event")

    async def ended(self) -> None:
        """Wait until the connection has ended, however long it lasts; a frame that could not be taken in raises."""
        await self._reader

    async def close_code(self) -> int:
        """Wait for the end and return its code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.closed is None:
                self._news.clear()
                await self._news.wait()
        return self.closed

    async def settle(self) -> None:
        """Wait until everything said before was answered: a pong overtakes nothing that was said earlier."""
        before = len(self.all("pong"))
        await self.say("ping")
        await self.many("pong", before + 1)

    async def close(self) -> None:
        """Hang up, if that has not happened."""
        if self.closed is None:
            await self.connection.close()
        await self._reader


@asynccontextmanager
async def dial(url: str, **options: Any) -> AsyncIterator[Talk]:
    """Open a socket without authenticating."""
    talk = Talk(await connect(url, subprotocols=["overlegtafel.v1"], compression=None, **options))  # type: ignore[list-item]
    try:
        yield talk
    finally:
        await talk.close()


async def attempt(url: str, ticket: str) -> int | None:
    """Authenticate on a new socket; return its close code, or None when it is ready."""
    async with dial(url) as talk:
        await talk.say("authenticate", ticket=ticket)
        with suppress(AssertionError):  # closed instead
            await talk.hear("ready")
        return talk.closed


def socket_url(url: str) -> str:
    """Return the address of the socket at a service."""
    return "ws" + url.removeprefix("http") + "/api/v1/realtime"


@asynccontextmanager
async def talking(caller: Caller, *case_ids: str, cursor: str | None = None) -> AsyncIterator[Talk]:
    """Open an authenticated socket that joined these cases."""
    ticket = await caller.made("/realtime-tickets")
    # Not the ticket's own address: behind one public address there are several workers.
    async with dial(socket_url(caller.instance.url)) as talk:
        await talk.say("authenticate", ticket=ticket["ticket"])
        await talk.hear("ready")
        for case_id in case_ids:
            await talk.say("join", caseId=case_id, **({} if cursor is None else {"cursor": cursor}))
            await talk.hear("joined", lambda frame, case_id=case_id: frame["caseId"] == case_id)  # type: ignore[misc]
        yield talk
