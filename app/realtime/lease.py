"""The lease every socket of a worker speaks under: silent, not stale.

One statement a second asks for ended sessions and for where the cases stand; it is also the poll behind lost hints.
What people do over sockets counts as use of their sessions, and is told along with it.
A lease ends 5 s after the *start* of the last renewal that succeeded. Source: DESIGN 3 (G2) and 7.
"""

import asyncio
import time
from collections.abc import Iterable
from uuid import UUID

import structlog

from app.events.reading import Stream
from app.realtime import frames
from app.realtime.hub import FAILURES, Hub
from app.realtime.room import Listener

LEASE_SECONDS = 5
RENEW_SECONDS = 1.0
WATCH_SECONDS = 0.25
log = structlog.get_logger()


class Leases:
    """The sockets of this worker, and until when they may speak."""

    def __init__(self, stream: Stream, hub: Hub) -> None:
        self._stream = stream
        self._hub = hub
        self._listeners: set[Listener] = set()
        self._used: set[UUID] = set()
        self._noting = asyncio.Lock()
        self._until = 0.0
        self._paused = False

    def held(self) -> bool:
        """Whether sockets may speak now."""
        return time.monotonic() < self._until

    def admit(self, listener: Listener) -> None:
        """Take a socket under the lease."""
        self._listeners.add(listener)
        if self._paused:
            listener.outbox.say(frames.paused("database"))

    def dismiss(self, listener: Listener) -> None:
        """Let a socket go."""
        self._listeners.discard(listener)

    def use(self, listener: Listener) -> None:
        """Note that somebody does something over a socket; the next renewal tells it to the database."""
        self._used.add(listener.session_id)

    def end_sessions(self, session_ids: Iterable[UUID]) -> None:
        """Close the sockets of these sessions."""
        ended = frozenset(session_ids)
        for listener in [one for one in self._listeners if one.session_id in ended]:
            listener.end()

    async def renew(self) -> None:
        """Renew once.

        Raises:
            OSError, TimeoutError, asyncpg errors: the database did not answer; the lease runs on to its end.
        """
        started = time.monotonic()
        await self._note_use()
        sessions = {(listener.session_id, listener.engagement_id) for listener in self._listeners}
        found = await self._stream.lease(sessions, list(self._hub.rooms))
        for listener in [one for one in self._listeners if (one.session_id, one.engagement_id) in found.ended]:
            listener.end()
        if self.held():
            self._hub.seen(found.heads)
        else:
            # What still waits to be sent is older than what happened meanwhile: first hear that, then speak.
            self._pause()
            await self._hub.catch_up(found.heads)
        self._until = started + LEASE_SECONDS
        self._hub.expire()
        if self.held():
            self._resume()

    async def _note_use(self) -> None:
        async with self._noting:
            used = frozenset(self._used)
            if used:
                await self._stream.note_use(used)
                self._used -= used

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            for listener in list(self._listeners):
                listener.outbox.say(frames.paused("database"))

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            for listener in list(self._listeners):
                listener.outbox.say(frames.resumed())
                listener.flush()

    async def run(self) -> None:
        """Renew every second until cancelled, and say so when the lease runs out."""
        watch = asyncio.create_task(self._watch(), name="lease-watch")
        try:
            while True:
                started = time.monotonic()
                try:
                    await self.renew()
                except FAILURES as error:
                    log.warning("lease.failed", error=type(error).__name__)
                except Exception:
                    log.exception("lease.broken")
                await asyncio.sleep(max(0.05, RENEW_SECONDS - (time.monotonic() - started)))
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self.held():
                self._pause()
