"""What one socket still has to be told: bounded, in order, and checked again at the moment of sending.

There is no task behind it: the hub puts frames in, the transport asks for more when its peer kept up. Frames about
the socket itself (``ready``, ``paused``, ``narrowed``, ``pong``) have a lane of their own: they need no right and no
lease, and overtake what waits for either. Each lane keeps its order.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable
from typing import Final, NamedTuple, Protocol, TypeAlias

from app.core.ids import CaseId

OUTBOX_FRAMES_MAX: Final = 512
OUTBOX_BYTES_MAX: Final = 1024 * 1024

Cell: TypeAlias = Hashable
Finish: TypeAlias = Callable[[bytes], bytes]


class Transport(Protocol):
    """Where frames go."""

    @property
    def can_write(self) -> bool:
        """Whether the peer keeps up."""
        ...

    def write_text(self, payload: bytes) -> None:
        """Write one text frame."""
        ...


class _Entry(NamedTuple):
    frame: bytes
    case: CaseId
    cell: Cell | None
    finish: Finish | None


class Outbox:
    """The queue between the hub and one transport.

    ``leased()`` says whether the socket may speak at all now: without a lease frames of a case wait. ``may_send(case,
    cell)`` says whether it may tell this: a frame without a right is dropped. Both are asked immediately before each
    send. ``on_overflow()`` is called once, when a bound would be passed; the outbox is then empty and stays so.
    """

    __slots__ = ("_bytes", "_closed", "_leased", "_may_send", "_on_overflow", "_own", "_queue", "_transport")

    def __init__(
        self,
        transport: Transport,
        *,
        leased: Callable[[], bool],
        may_send: Callable[[CaseId, Cell | None], bool],
        on_overflow: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._leased = leased
        self._may_send = may_send
        self._on_overflow = on_overflow
        self._own: deque[bytes] | None = None  # made when needed: most sockets never queue
        self._queue: deque[_Entry] | None = None
        self._bytes = 0
        self._closed = False

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._own or ()) + len(self._queue or ())

    @property
    def size_bytes(self) -> int:
        """How many bytes wait."""
        return self._bytes

    @property
    def idle(self) -> bool:
        """Whether nothing waits and the peer keeps up."""
        return not self._own and not self._queue and self._transport.can_write

    @property
    def closed(self) -> bool:
        """Whether nothing is said here any more."""
        return self._closed

    def say(self, frame: bytes) -> None:
        """Send a frame about the socket itself, or let it wait for the peer."""
        if not self._own and self._transport.can_write and not self._closed:
            self._transport.write_text(frame)
        elif self._has_room(len(frame)):
            self._own = self._own or deque()
            self._own.append(frame)

    def put(self, frame: bytes, case: CaseId, cell: Cell | None = None, finish: Finish | None = None) -> None:
        """Send a frame of a case, or let it wait for the frames before it, for the peer or for the lease.

        ``finish`` makes the final frame at its send: give an event's shared body as ``frame`` and let ``finish`` put
        the socket's own head before it, so that its ``n`` has no gaps where frames were dropped.
        """
        if not self._queue and self._transport.can_write and self._leased() and not self._closed:
            if self._may_send(case, cell):
                self._transport.write_text(frame if finish is None else finish(frame))
        elif self._has_room(len(frame)):
            self._queue = self._queue or deque()
            self._queue.append(_Entry(frame, case, cell, finish))

    def flush(self) -> None:
        """Send what may go now: call it when the peer kept up and when the lease came back."""
        transport = self._transport
        while self._own and transport.can_write:
            frame = self._own.popleft()
            self._bytes -= len(frame)
            transport.write_text(frame)
        while self._queue and transport.can_write and self._leased():
            entry = self._queue.popleft()
            self._bytes -= len(entry.frame)
            if self._may_send(entry.case, entry.cell):
                transport.write_text(entry.frame if entry.finish is None else entry.finish(entry.frame))

    def purge(self, case: CaseId, cells: Collection[Cell] | None = None) -> None:
        """Drop the waiting frames of these cells of a case, or of the whole case."""
        if self._queue:
            kept = [entry for entry in self._queue if not _concerns(entry, case, cells)]
            self._bytes -= sum(len(entry.frame) for entry in self._queue) - sum(len(entry.frame) for entry in kept)
            self._queue = deque(kept)

    def close(self) -> None:
        """Drop everything, now and later."""
        self._closed = True
        self._own = self._queue = None
        self._bytes = 0

    def _has_room(self, size: int) -> bool:
        if self._closed:
            return False
        if len(self) < OUTBOX_FRAMES_MAX and self._bytes + size <= OUTBOX_BYTES_MAX:
            self._bytes += size
            return True
        self.close()
        self._on_overflow()
        return False


def _concerns(entry: _Entry, case: CaseId, cells: Collection[Cell] | None) -> bool:
    return entry.case == case and (cells is None or entry.cell in cells)
