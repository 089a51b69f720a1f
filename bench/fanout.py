"""Fan-out: how many deliveries a second reach many sockets, ours beside a bare broadcast of a ready frame.

Closed loop on both sides: a fixed number of broadcasts is under way, and one counts when every socket has it. The
same client code counts both, by the marker that each event frame carries.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.process import usage
from bench.room import PADDING
from bench.service import Live, Seat, Service, open_all
from bench.ws_client import Socket, SocketEnded

UNDER_WAY = 8
MARK = b"message.posted"
DRAIN_SECONDS = 20
OPEN_AT_ONCE = 50


class Broadcaster(Protocol):
    """Many sockets, and something that makes the server send one frame to all of them."""

    counter: "Counter"
    size: int

    def trigger(self) -> None:
        """Start one broadcast."""

    def pids(self) -> Sequence[int]:
        """Return the processes of the system."""

    def close(self) -> None:
        """Close the sockets."""


class Counter:
    """Counts marked frames over all sockets and wakes whoever waits for a whole broadcast."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.size = 1
        self.on_round: Callable[[], None] | None = None

    def __call__(self, data: bytes, start: int, end: int) -> None:
        if data.find(MARK, start, end) >= 0:
            self.frames += 1
            if self.on_round is not None and not self.frames % self.size:
                self.bytes = end - start
                self.on_round()


async def measure(system: Broadcaster, seconds: float) -> tuple[float, int, float]:
    """Return deliveries a second, deliveries lost, and server processor time in microseconds a delivery."""
    counter = system.counter
    counter.frames, counter.size = 0, system.size
    started, end = 0, time.perf_counter() + seconds

    def next_round() -> None:
        nonlocal started
        if time.perf_counter() < end:
            started += 1
            system.trigger()

    counter.on_round = next_round
    before, begin = usage(system.pids()), time.perf_counter()
    for _ in range(UNDER_WAY):
        next_round()
    await asyncio.sleep(seconds)
    deliveries, elapsed = counter.frames, time.perf_counter() - begin
    cpu = usage(system.pids()).cpu_seconds - before.cpu_seconds
    drained = time.perf_counter() + DRAIN_SECONDS
    while counter.frames < started * system.size and time.perf_counter() < drained:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return deliveries / elapsed, started * system.size - counter.frames, cpu / max(1, deliveries) * 1e6


class Ours:
    """Sockets of a room's members, several for each account; one seat posts."""

    def __init__(self, service: Service, lives: list[Live], seat: Seat) -> None:
        self.counter, self.size = Counter(), len(lives)
        self._service, self._lives, self._posted, self._run = service, lives, 0, time.time_ns()
        self._frame = '{"op":"post","clientId":"%s","threadId":"' + seat.thread_id + '","text":"' + PADDING + '"}'
        for live in lives[1:]:
            live.on_frame = self.counter
        lives[0].on_frame = self._author

    @classmethod
    async def open(cls, service: Service, seats: Sequence[Seat], size: int) -> "Ours":
        """Open the sockets."""
        await service.renew()
        places = [seats[number % len(seats)] for number in range(size)]
        return cls(service, await open_all(service, places), seats[0])

    def _author(self, data: bytes, start: int, end: int) -> None:
        if data.startswith(b'{"op":"error"', start):
            raise SocketEnded(data[start:end].decode())
        self.counter(data, start, end)

    def trigger(self) -> None:
        """Post a message."""
        self._posted += 1
        self._lives[0].send((self._frame % f"f{self._run}-{self._posted}").encode())

    def pids(self) -> Sequence[int]:
        """Return the service and its database."""
        return self._service.pids()

    def close(self) -> None:
        """Close the sockets."""
        for live in self._lives:
            live.close()


class Bare:
    """Sockets on the bare application."""

    def __init__(self, sockets: list[Socket], pid: int, counter: Counter) -> None:
        self.counter, self.size, self._sockets, self._pid = counter, len(sockets), sockets, pid

    @classmethod
    async def open(cls, port: int, pid: int, size: int) -> "Bare":
        """Open the sockets."""
        counter = Counter()
        return cls(await open_bare(port, size, counter), pid, counter)

    def trigger(self) -> None:
        """Let the server send its frame to all."""
        self._sockets[0].send(b"go")

    def pids(self) -> Sequence[int]:
        """Return the server."""
        return [self._pid]

    def close(self) -> None:
        """Close the sockets."""
        for socket in self._sockets:
            socket.close()


async def open_bare(port: int, size: int, counter: Counter) -> list[Socket]:
    """Open sockets on the bare application, a few at a time."""
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def one() -> Socket:
        async with gate:
            return await Socket.open(port, "/", counter)

    return await asyncio.gather(*(one() for _ in range(size)))
