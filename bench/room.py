"""The room test: closed-loop senders, acknowledgements, and the time until *all* others have a message.

A *seat* is one member in one room. An adapter says how many seats there are, how many others share a room with each,
and calls ``on_message(seat, message id)`` for every message a seat receives.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from bench.figures import Report, percentile
from bench.process import Usage, usage

OnMessage: TypeAlias = Callable[[int, bytes], None]

PADDING = "x" * 200
DRAIN_SECONDS = 15
STUCK_SECONDS = 30
WARM_UP_SECONDS = 1.5
WARM_UP_SENDERS = 4


class Adapter(Protocol):
    """One system under test."""

    label: str
    seats: int
    others: int

    async def start(self, on_message: OnMessage) -> None:
        """Connect every seat; afterwards each receives what any other of its room sends."""

    async def send(self, seat: int, message_id: str) -> None:
        """Post a message that begins with its id and return once the system acknowledged it."""

    def server_pids(self) -> Sequence[int]:
        """Return the processes of the system, its database included."""

    async def stop(self) -> None:
        """Disconnect."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: latencies in milliseconds, processor time in microseconds a message."""

    rate: float
    ack_p50: float
    ack_p99: float
    all_p50: float
    all_p99: float
    lost: int
    twice: int
    server_cpu: float
    client_cpu: float

    def record(self, report: Report, name: str) -> None:
        """Add the figures of this run to the report."""
        report.add(f"{name} messages", self.rate, "msg/s")
        report.add(f"{name} acknowledged p50", self.ack_p50, "ms")
        report.add(f"{name} acknowledged p99", self.ack_p99, "ms")
        report.add(f"{name} all others have it p50", self.all_p50, "ms")
        report.add(f"{name} all others have it p99", self.all_p99, "ms")
        report.add(f"{name} lost or twice", self.lost + self.twice, "deliveries")
        report.add(f"{name} server and database", self.server_cpu, "µs cpu/msg")
        report.add(f"{name} load generator", self.client_cpu, "µs cpu/msg")


@dataclass(slots=True)
class _Underway:
    sent_at: float
    author: int
    missing: int
    have_it: int = 0  # one bit a seat


class Room:
    """The bookkeeping of one adapter's runs."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._pending: dict[bytes, _Underway] = {}
        self._done: dict[bytes, int] = {}
        self._latencies: list[float] = []
        self._twice = 0
        self._count = time.time_ns()  # ids that no earlier run used: the service would take them for retries

    async def start(self) -> None:
        """Connect the adapter and warm the system up."""
        await self._adapter.start(self._on_message)
        await self.run(WARM_UP_SENDERS, WARM_UP_SECONDS)

    def _on_message(self, seat: int, message_id: bytes) -> None:
        entry = self._pending.get(message_id)
        bit = 1 << seat
        if entry is None:
            if self._done.get(message_id, 0) & bit:
                self._twice += 1
        elif seat == entry.author:
            return  # nobody waits for the author's own copy
        elif entry.have_it & bit:
            self._twice += 1
        else:
            entry.have_it |= bit
            entry.missing -= 1
            if not entry.missing:
                self._latencies.append(time.perf_counter() - entry.sent_at)
                self._done[message_id] = entry.have_it
                del self._pending[message_id]

    async def run(self, senders: int, seconds: float) -> Outcome:
        """Let the senders post for some seconds, wait for what is under way, and return the figures."""
        self._pending, self._done, self._latencies, self._twice = {}, {}, [], 0
        acknowledged: list[float] = []
        adapter, seats = self._adapter, self._adapter.seats
        several_rooms = seats > adapter.others + 1
        servers = adapter.server_pids()
        server_before, client_before = usage(servers), time.process_time()
        begin = time.perf_counter()
        end = begin + seconds

        async def sender(number: int) -> None:
            seat = number % seats
            while (sent_at := time.perf_counter()) < end:
                self._count += 1
                message_id = f"m{self._count}"
                self._pending[message_id.encode()] = _Underway(sent_at, seat, adapter.others)
                await adapter.send(seat, message_id)
                acknowledged.append(time.perf_counter() - sent_at)
                if several_rooms:
                    seat = (seat + senders) % seats

        async with asyncio.timeout(seconds + STUCK_SECONDS):
            await asyncio.gather(*(sender(number) for number in range(senders)))
        elapsed = time.perf_counter() - begin
        client_cpu = time.process_time() - client_before
        server_cpu = _cpu(server_before, usage(servers))
        await self._drain()
        sent = max(1, len(acknowledged))
        return Outcome(
            rate=len(acknowledged) / elapsed,
            ack_p50=percentile(acknowledged, 50) * 1e3,
            ack_p99=percentile(acknowledged, 99) * 1e3,
            all_p50=percentile(self._latencies, 50) * 1e3,
            all_p99=percentile(self._latencies, 99) * 1e3,
            lost=sum(entry.missing for entry in self._pending.values()),
            twice=self._twice,
            server_cpu=server_cpu / sent * 1e6,
            client_cpu=client_cpu / sent * 1e6,
        )

    async def _drain(self) -> None:
        end = time.perf_counter() + DRAIN_SECONDS
        while self._pending and time.perf_counter() < end:  # noqa: ASYNC110  # no event a message
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)  # a second copy that is still under way

    async def stop(self) -> None:
        """Disconnect the adapter."""
        await self._adapter.stop()


def _cpu(before: Usage, after: Usage) -> float:
    return after.cpu_seconds - before.cpu_seconds
