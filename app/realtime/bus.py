"""Hints between workers over LISTEN/NOTIFY: which cases moved, never what was said.

A hint is sent outside the write transaction and coalesced: whatever moved while the last one was under way goes with
the next. A lost hint costs at most the one-second poll of the lease.
"""

import asyncio
from collections.abc import Callable, Iterable
from uuid import UUID, uuid4

import structlog

from app.core.db import FAILURES, Pool, connect
from app.core.ids import CaseId

CHANNEL = "overlegtafel_moved"
CASES_PER_HINT = 200
RECONNECT_SECONDS = 1.0
# Every hint wakes every worker: under load a hundred a second tell as much as a thousand.
GATHER_SECONDS = 0.01
log = structlog.get_logger()


class Bus:
    """Sends and receives hints. ``on_moved`` hears of cases that other workers moved."""

    def __init__(self, pool: Pool, dsn: str, on_moved: Callable[[Iterable[CaseId]], None]) -> None:
        self._pool = pool
        self._dsn = dsn
        self._on_moved = on_moved
        self._me = uuid4().hex
        self._moved: set[CaseId] = set()
        self._sending: asyncio.Task[None] | None = None
        self._due: asyncio.TimerHandle | None = None

    def hint(self, case_ids: Iterable[CaseId]) -> None:
        """Tell other workers that cases moved, soon."""
        self._moved.update(case_ids)
        if self._moved and self._sending is None and self._due is None:
            self._due = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._start)

    def _start(self) -> None:
        self._due = None
        self._sending = asyncio.create_task(self._send(), name="bus-send")

    async def _send(self) -> None:
        try:
            while self._moved:
                some = [self._moved.pop() for _ in range(min(CASES_PER_HINT, len(self._moved)))]
                payload = self._me + "".join(case_id.hex for case_id in some)
                await self._pool.execute("select pg_notify($1, $2)", CHANNEL, payload)
        except FAILURES as error:
            log.warning("bus.send-failed", error=type(error).__name__)
        finally:
            self._sending = None

    async def run(self) -> None:
        """Listen until cancelled, reconnecting when the connection is lost."""
        while True:
            try:
                connection = await connect(self._dsn)
            except FAILURES as error:
                log.warning("bus.connect-failed", error=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _, closed=closed: closed.set())
            try:
                await connection.add_listener(CHANNEL, self._receive)
                await closed.wait()
            except FAILURES as error:
                log.warning("bus.listen-failed", error=type(error).__name__)
            finally:
                connection.terminate()
            await asyncio.sleep(RECONNECT_SECONDS)

    def _receive(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        text = str(payload)
        if text.startswith(self._me):
            return
        ids = text[32:]
        try:
            moved = [CaseId(UUID(hex=ids[at : at + 32])) for at in range(0, len(ids), 32)]
        except ValueError:  # not a hint of this version; the poll sees what it meant
            return
        self._on_moved(moved)
