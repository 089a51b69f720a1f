"""One case on one worker: who listens here, how far they have heard, and telling them the next events in order.

An event is told to those whom the database *and* the policy let read it; a difference between the two is an alarm and
no delivery. Source: DESIGN 7.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog

from app.access.policy import Cell
from app.access.vocabulary import Category, Domain
from app.core.ids import AccountId, CaseId, EngagementId, LoginSessionId
from app.crypto.cursors import StreamCursors
from app.entitlement.knowledge import Snapshot
from app.events.appender import Appended
from app.events.reading import Read
from app.realtime import frames
from app.realtime.outbox import Outbox

LONG_AGO = datetime.min.replace(tzinfo=UTC)
log = structlog.get_logger()


class Listener(Protocol):
    """A socket as rooms and hub see it."""

    @property
    def outbox(self) -> Outbox:
        """Where its frames go."""
        ...

    @property
    def account_id(self) -> AccountId:
        """Whose it is."""
        ...

    @property
    def engagement_id(self) -> EngagementId:
        """In which engagement it listens."""
        ...

    @property
    def session_id(self) -> LoginSessionId:
        """The log-in session it lives under."""
        ...

    def drop(self, case_id: CaseId) -> None:
        """Forget a seat that was taken away."""
        ...

    async def drained(self) -> None:
        """Return once everything it was told has gone to its peer, or it is closed."""
        ...

    def flush(self) -> None:
        """Send what waits: the lease is back."""
        ...

    def end(self) -> None:
        """Close: the session has ended."""
        ...


@dataclass(frozen=True, slots=True)
class AnySubject:
    """The label of what concerns no subject in particular: whoever holds such a cell of any subject may hear it."""

    category: Category
    domain: Domain


Label = Cell | AnySubject | None
"""What a frame tells of. None: it was addressed to this listener, and needs no cell."""


@dataclass(eq=False, slots=True)
class Seat:
    """One socket at one case: ``n`` counts what it was told, ``tag`` binds its cursors, ``cells`` it may hear.

    Until it is ``live`` it is still being told what it missed: the room's events are not yet for it, all else is.
    """

    listener: Listener
    case_id: CaseId
    tag: bytes
    cells: frozenset[Cell] = frozenset()
    n: int = 0
    live: bool = False

    def tell(self, body: bytes, cursor: str, label: Label) -> None:
        """Put an event before this socket; its own head is added at the send."""

        def finish(shared: bytes) -> bytes:
            self.n += 1
            return frames.event_frame(self.n, cursor, shared)

        self.listener.outbox.put(body, self.case_id, label, finish)

    def may_hear(self, label: object) -> bool:
        """Whether a frame with this label may still go."""
        if isinstance(label, AnySubject):
            return any(cell.category is label.category and cell.domain is label.domain for cell in self.cells)
        return label is None or label in self.cells


@dataclass(eq=False, slots=True)
class Room:
    """The listeners of one case on this worker."""

    case_id: CaseId
    cursors: StreamCursors
    last_seq: int = -1
    snapshot: Snapshot | None = None
    seats: dict[EngagementId, list[Seat]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: bool = False
    lapsed_at: datetime = LONG_AGO
    present: frozenset[EngagementId] = frozenset()

    def enter(self, seat: Seat) -> None:
        """Seat a socket."""
        self.seats.setdefault(seat.listener.engagement_id, []).append(seat)

    def leave(self, seat: Seat) -> None:
        """Unseat a socket."""
        held = self.seats.get(seat.listener.engagement_id, [])
        if seat in held:
            held.remove(seat)
            if not held:
                del self.seats[seat.listener.engagement_id]

    def holds(self, seat: Seat) -> bool:
        """Whether a socket still sits here."""
        return seat in self.seats.get(seat.listener.engagement_id, ())

    @property
    def version(self) -> int:
        """The access version that listeners hear by, -1 before the first."""
        return -1 if self.snapshot is None else self.snapshot.version

    def cells_of(self, engagement_id: EngagementId, now: datetime) -> frozenset[Cell]:
        """Return what somebody may hear here."""
        return frozenset() if self.snapshot is None else self.snapshot.cells(engagement_id, now)

    def know(self, snapshot: Snapshot, now: datetime) -> None:
        """Take over what each listener may hear, from a snapshot of the case."""
        self.snapshot = snapshot
        self.lapsed_at = now
        for engagement_id, seats in self.seats.items():
            cells = snapshot.cells(engagement_id, now)
            for seat in seats:
                seat.cells = cells

    def lapse(self, now: datetime) -> None:
        """Close what time closed. What time opens is told first, by the sweeper's event."""
        if self.snapshot is not None and self.snapshot.still(self.lapsed_at, now):
            return
        self.lapsed_at = now
        for engagement_id, seats in self.seats.items():
            cells = self.cells_of(engagement_id, now)
            for seat in seats:
                seat.cells = seat.cells & cells

    def tell(self, seq: int, body: bytes, audience: Iterable[EngagementId], label: Label) -> None:
        """Put one event before every live socket of its audience."""
        seats = [seat for engagement_id in audience for seat in self.seats.get(engagement_id, ()) if seat.live]
        for seat, cursor in zip(seats, self.cursors.many(seq, [seat.tag for seat in seats]), strict=True):
            seat.tell(body, cursor, label)

    def narrow(self, engagement_id: EngagementId, lost: Sequence[Cell], why: str) -> None:
        """Tell a listener which categories closed, and drop what waits for it in them."""
        if not lost:
            return
        told = frames.narrowed(self.case_id, sorted({cell.category for cell in lost}), why)
        for seat in self.seats.get(engagement_id, ()):
            seat.cells = seat.cells - frozenset(lost)
            seat.listener.outbox.purge(self.case_id, lost)
            seat.listener.outbox.say(told)


def agreed(read: Read, snapshot: Snapshot, listeners: Iterable[EngagementId]) -> frozenset[EngagementId]:
    """Return who among the listeners both the database and the policy let hear an event.

    A difference is logged as an alarm when both looked at the same version of the case, at the same instant.
    """
    row = read.row
    if row["addressees"]:
        return read.audience
    label = (row["patient_id"], Category(row["category"]), Domain(row["domain"]))
    policy = frozenset(
        one
        for one in listeners
        if snapshot.reads(one, label, row["bound_seq"], read.read_at, opened_seq=row["opened_seq"], held=row["held"])
    )
    return _both(policy, read.audience, same_version=snapshot.version == read.version)


def agreed_on_append(appended: Appended, snapshot: Snapshot) -> frozenset[EngagementId]:
    """Return who among those who listened both let hear a message that was just appended, at the instant it was."""
    cell = appended.cell
    label = (cell.patient_id, cell.category, cell.domain)
    readers = snapshot.readers(label, appended.seq, appended.at, opened_seq=appended.opened_seq, held=appended.held)
    policy = readers & appended.listeners
    return _both(policy, appended.audience, same_version=snapshot.version == appended.version)


def _both(
    policy: frozenset[EngagementId], database: frozenset[EngagementId], *, same_version: bool
) -> frozenset[EngagementId]:
    if policy != database and same_version:
        log.error("access.disagreement", where="delivery", policy=len(policy), database=len(database))
    return policy & database
