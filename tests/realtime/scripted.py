"""A hub over a stream in memory: a test appends, changes rights, holds up or fails each look, and sees each frame."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import orjson

from app.access.policy import Cell, Holding
from app.access.vocabulary import Category, Domain, Ground, Role
from app.core.ids import AccountId, CaseId, EngagementId, LoginSessionId, PatientId, ThreadId
from app.entitlement.knowledge import Snapshot
from app.events.appender import Appended
from app.events.posting import Post
from app.events.reading import PAGE_MAX, Leased, Read
from app.identity.directory import Person
from app.realtime.hub import Hub
from app.realtime.outbox import Outbox
from app.realtime.room import Seat

CASE = CaseId(UUID(int=1))
PATIENT = PatientId(UUID(int=2))
START = datetime(2026, 1, 1, tzinfo=UTC)
MEDICATION = Cell(PATIENT, Category.MEDICATION, Domain.CARE)
SOCIAL = Cell(PATIENT, Category.SOCIAL_PARTICIPATION, Domain.CARE)
CONTACTS = Cell(PATIENT, Category.CONTACT_NETWORK, Domain.CARE)
Frame = dict[str, Any]


def engagement(number: int) -> EngagementId:
    return EngagementId(UUID(int=1000 + number))


@dataclass
class World:
    """The database: a stream, who holds what, and a gate before every look."""

    events: list[dict[str, Any]] = field(default_factory=list)
    version: int = 1
    holdings: dict[EngagementId, tuple[Holding, ...]] = field(default_factory=dict)
    seated: set[EngagementId] = field(default_factory=set)
    looks: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    at: datetime = START + timedelta(days=1)
    ended: set[UUID] = field(default_factory=set)

    def give(self, who: EngagementId, *cells: Cell, why: str = "consent-given", from_seq: int = 0) -> int:
        """Let somebody hold exactly these cells, and say so in the stream."""
        before = {holding.cell for holding in self.holdings.get(who, ())}
        self.version += 1
        self.holdings[who] = tuple(Holding(c, True, Ground.CONSENT, None, from_seq, 0, START, None) for c in cells)
        self.seated.add(who)
        return self.append(
            "access.changed",
            addressees=[who],
            patient_id=PATIENT,
            data={
                "gained": [_listed(c) for c in cells if c not in before],
                "lost": [_listed(c) for c in before if c not in cells],
                "why": why,
            },
        )

    def append(self, type_: str, cell: Cell | None = None, *, text: str | None = None, **more: Any) -> int:
        """Append an event and return its position."""
        row: dict[str, Any] = {
            "seq": len(self.events) + 1,
            "bound_seq": len(self.events) + 1,
            "opened_seq": len(self.events) + 1,
            "held": False,
            "id": uuid4(),
            "type": type_,
            "at": self.at,
            "actor_account_id": UUID(int=1001),
            "actor_engagement_id": engagement(1),
            "thread_id": None,
            "patient_id": cell.patient_id if cell else None,
            "category": cell.category if cell else None,
            "domain": cell.domain if cell else None,
            "kind": None,
            "refers_to": None,
            "data": None,
            "addressees": None,
            "retracted": False,
            "text": text,
            **more,
        }
        self.events.append(row)
        return len(self.events)

    def post(self, cell: Cell, text: str, *, by: int = 1, **more: Any) -> int:
        return self.append(
            "message.posted",
            cell,
            text=text,
            kind="message",
            thread_id=ThreadId(UUID(int=7)),
            actor_engagement_id=engagement(by),
            **more,
        )

    def snapshot(self) -> Snapshot:
        by_label: dict[tuple[EngagementId, Category, Domain], tuple[Holding, ...]] = {}
        for who, held in self.holdings.items():
            for holding in held:
                label = (who, holding.cell.category, holding.cell.domain)
                by_label[label] = (*by_label.get(label, ()), holding)
        return Snapshot(self.version, len(self.events), {}, dict(self.holdings), by_label)

    async def look(self, what: str) -> None:
        """Every look passes here: it is noted, may be held up, and may fail."""
        self.looks.append(what)
        gate = self.gates.get(what)
        if gate is not None:
            await gate.wait()
        await asyncio.sleep(0)
        if what in self.failing:
            raise OSError(what)

    # The stream

    def now(self) -> datetime:
        return self.at

    async def after(
        self, case_id: CaseId, seq: int, listeners: Iterable[EngagementId], *, limit: int = PAGE_MAX
    ) -> list[Read]:
        snapshot, listeners = self.snapshot(), list(listeners)
        rows = [dict(row) for row in self.events[seq : seq + limit]]
        await self.look("after")
        return [self._read(row, snapshot, listeners) for row in rows]

    def _read(self, row: dict[str, Any], snapshot: Snapshot, listeners: Sequence[EngagementId]) -> Read:
        text = row.pop("text")
        if row["addressees"]:
            heard = frozenset(row["addressees"]) & frozenset(listeners)
        else:
            label = (row["patient_id"], row["category"], row["domain"])
            heard = frozenset(
                one
                for one in listeners
                if snapshot.reads(one, label, row["seq"], self.at, opened_seq=row["opened_seq"], held=row["held"])
            )
        return Read(row, text, heard, snapshot.version, self.at)

    async def openings(self, case_id: CaseId, listener: EngagementId) -> list[Read]:
        snapshot = self.snapshot()
        opened = [row for row in self.events if row["type"] == "thread.opened"]
        rows = [{**row, "ordinal": ordinal} for ordinal, row in enumerate(opened, 1)]
        await self.look("openings")
        return [read for row in rows if listener in (read := self._read(row, snapshot, [listener])).audience]

    async def head(self, case_id: CaseId) -> tuple[int, int]:
        found = len(self.events), self.version
        await self.look("head")
        return found

    async def lease(self, sessions: Iterable[tuple[UUID, UUID]], cases: Iterable[CaseId]) -> Leased:
        ended = frozenset(one for one in sessions if one[0] in self.ended)
        found = Leased(ended, {c: (len(self.events), self.version) for c in cases})
        await self.look("lease")
        return found

    # What is known

    def known(self, case_id: CaseId, version: int) -> Snapshot | None:
        return None

    async def fresh(self, case_id: CaseId) -> Snapshot:
        found = self.snapshot()
        await self.look("fresh")
        return found

    # People

    def at_hand(self, who: UUID | None) -> Person | None:
        return None if who is None else person(EngagementId(who))

    async def people(self, ids: Iterable[UUID | None]) -> Mapping[UUID, Person]:
        wanted = [one for one in ids if one is not None]
        await self.look("people")
        return {one: person(EngagementId(one)) for one in wanted}


def _listed(cell: Cell) -> dict[str, object]:
    return {"category": cell.category, "domain": cell.domain, "mayWrite": True}


def person(who: EngagementId) -> Person:
    return Person(who, AccountId(who), f"P{who.int - 1000}", Role.GP, None, None)


class Cursors:
    """Positions in the open."""

    def tag(self, account: UUID, case: UUID) -> bytes:
        return account.bytes[-8:]

    def many(self, seq: int, tags: list[bytes]) -> list[str]:
        return [str(seq)] * len(tags)

    def one(self, seq: int, tag: bytes) -> str:
        return str(seq)

    def read(self, cursor: str, account: UUID, case: UUID) -> int | None:
        return int(cursor) if cursor.isdigit() else None


class Ear:
    """A listener that notes what it is told; its peer takes in ``room`` frames, and it speaks under a lease."""

    def __init__(self, number: int, session: int = 0) -> None:
        self.number = number
        self.seats: dict[CaseId, Seat] = {}
        self.frames: list[Frame] = []
        self.room = 1_000_000
        self.leased = True
        self.ended = False
        self.overflowed = False
        self.session_id = LoginSessionId(UUID(int=session))
        self.outbox = Outbox(
            self,
            leased=lambda: self.leased,
            may_send=lambda case_id, label: case_id in self.seats and self.seats[case_id].may_hear(label),
            on_overflow=self._overflow,
        )
        self._moved = asyncio.Event()

    @property
    def account_id(self) -> AccountId:
        return AccountId(self.engagement_id)

    @property
    def engagement_id(self) -> EngagementId:
        return engagement(self.number)

    @property
    def can_write(self) -> bool:
        return self.room > 0

    def write_text(self, payload: bytes) -> None:
        self.room -= 1
        self.frames.append(orjson.loads(payload))

    def _overflow(self) -> None:
        self.overflowed = True

    async def drained(self) -> None:
        while not (self.outbox.closed or self.outbox.idle):
            self._moved.clear()
            await self._moved.wait()

    def take(self, room: int) -> None:
        """Let the peer take in so many more frames."""
        self.room = room
        self.flush()

    def flush(self) -> None:
        self.outbox.flush()
        self._moved.set()

    def drop(self, case_id: CaseId) -> None:
        self.seats.pop(case_id, None)

    def end(self) -> None:
        self.ended = True

    def gone(self, hub: Hub) -> None:
        for seat in self.seats.values():
            hub.leave(seat)
        self.seats.clear()
        self.outbox.close()
        self.flush()

    def told(self, op: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["op"] == op]

    @property
    def texts(self) -> list[str]:
        return [frame["data"].get("text", frame["type"]) for frame in self.told("event")]


def hub_over(world: World) -> Hub:
    anything = cast("Any", world)
    return Hub(anything, anything, anything, cast("Any", Cursors()))


async def join(hub: Hub, world: World, ear: Ear, cursor: str | None = None) -> None:
    """Join as the socket does: whoever sits at the table may."""

    async def permit() -> int:
        version, seated = world.version, ear.engagement_id in world.seated
        await world.look("permit")
        if not seated:
            raise LookupError("not at the table")
        return version

    await hub.join(ear, CASE, cursor, ear.seats, permit)


def appended(world: World, cell: Cell, text: str, listeners: Iterable[EngagementId], *, by: int = 1) -> Appended:
    """Append as this worker's appender does, and return what it tells the hub."""
    present = frozenset(listeners)
    post = cast("Post", SimpleNamespace(thread_id=ThreadId(UUID(int=7)), text=text, kind="message"))
    post.actor = cast("Any", SimpleNamespace(engagement_id=engagement(by)))
    seq = world.post(cell, text, by=by)
    snapshot = world.snapshot()
    label = (cell.patient_id, cell.category, cell.domain)
    return Appended(
        post=post,
        case_id=CASE,
        cell=cell,
        opened_seq=0,
        held=False,
        version=world.version,
        event_id=world.events[-1]["id"],
        seq=seq,
        at=world.at,
        replayed=False,
        listeners=present,
        audience=frozenset(one for one in present if snapshot.reads(one, label, seq, world.at, opened_seq=0)),
    )


async def quiet(rounds: int = 200) -> None:
    """Let everything that can go on go on."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  # what a test waits for has no event of its own
            await asyncio.sleep(0.005)
