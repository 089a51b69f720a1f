"""One case on one worker: who listens here, how far they have heard, and telling them the next events in order.

An event is told to those whom the database *and* the policy let read it; a difference between the two is an alarm and
no delivery. Source: DESIGN 7.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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

    def end(self) -> None:
        """Close: the session has ended."""
        ...


@dataclass(eq=False, slots=True)
class Seat:
    """One socket at one case: ``n`` counts what it was told, ``tag`` binds its cursors, ``cells`` it may hear."""

    listener: Listener
    case_id: CaseId
    tag: bytes
    cells: frozenset[Cell] = frozenset()
    n: int = 0

    def tell(self, body: bytes, cursor: str, cell: Cell | None) -> None:
        """Put an event before this socket; its own head is added at the send."""

        def finish(shared: bytes) -> bytes:
            self.n += 1
            return frames.event_frame(self.n, cursor, shared)

        self.listener.outbox.put(body, self.case_id, cell, finish)

    def may_hear(self, cell: Cell | None) -> bool:
        """Whether a waiting frame of this cell may still go; what has no cell was addressed to this listener."""
        return cell is None or cell in self.cells


@dataclass(eq=False, slots=True)
class Room:
    """The listeners of one case on this worker."""

    case_id: CaseId
    cursors: StreamCursors
    last_seq: int = -1
    version: int = -1
    seats: dict[EngagementId, list[Seat]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: bool = False
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

    def know(self, snapshot: Snapshot, now: datetime) -> None:
        """Take over what each listener may hear, from a snapshot of the case."""
        self.version = snapshot.version
        for engagement_id, seats in self.seats.items():
            cells = snapshot.cells(engagement_id, now)
            for seat in seats:
                seat.cells = cells

    def tell(self, seq: int, body: bytes, audience: Iterable[EngagementId], cell: Cell | None) -> None:
        """Put one event before every socket of its audience."""
        seats = [seat for engagement_id in audience for seat in self.seats.get(engagement_id, ())]
        for seat, cursor in zip(seats, self.cursors.many(seq, [seat.tag for seat in seats]), strict=True):
            seat.tell(body, cursor, cell)

    def narrow(self, engagement_id: EngagementId, lost: Sequence[Cell], why: str) -> None:
        """Tell a listener which categories closed, and drop what waits for it in them."""
        if not lost:
            return
        told = frames.narrowed(self.case_id, sorted({cell.category for cell in lost}), why)
        for seat in self.seats.get(engagement_id, ()):
            seat.cells = seat.cells - frozenset(lost)
            seat.listener.outbox.purge(self.case_id, lost)
            seat.listener.outbox.say(told)


def agreed(
    read: Read, snapshot: Snapshot, listeners: Iterable[EngagementId], now: datetime
) -> frozenset[EngagementId]:
    """Return who among the listeners both the database and the policy let hear an event.

    A difference is logged as an alarm when both looked at the same version of the case.
    """
    row = read.row
    if row["addressees"]:
        return read.audience
    label = (row["patient_id"], Category(row["category"]), Domain(row["domain"]))
    policy = frozenset(one for one in listeners if snapshot.reads(one, label, read.seq, now))
    return _both(policy, read.audience, same_version=snapshot.version == read.version)


def agreed_on_append(
    appended: Appended, snapshot: Snapshot, listeners: Iterable[EngagementId], now: datetime
) -> frozenset[EngagementId]:
    """Return who among the listeners both let hear a message that was just appended."""
    cell = appended.cell
    label = (cell.patient_id, cell.category, cell.domain)
    policy = frozenset(one for one in listeners if snapshot.reads(one, label, appended.seq, now))
    return _both(policy, frozenset(appended.audience), same_version=snapshot.version == appended.version)


def _both(
    policy: frozenset[EngagementId], database: frozenset[EngagementId], *, same_version: bool
) -> frozenset[EngagementId]:
    if policy != database and same_version:
        log.error("access.disagreement", where="delivery", policy=len(policy), database=len(database))
    return policy & database
