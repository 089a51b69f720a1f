"""What a worker knows of the cases it is busy with: the grants and threads of each, at a version.

Known things may be old. Whoever acts on them says at which version, and the database refuses another one; a *no* is
never given from memory.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from app.access.actor import Actor
from app.access.policy import Cell, Holding, authorize_post, is_held_from
from app.access.vocabulary import Category, Domain, Ground
from app.core.db import Pool
from app.core.errors import DomainError, NotFound
from app.core.ids import AccountId, CaseId, ConsentId, EngagementId, PatientId, ThreadId
from app.events.posting import Decision

CASES_MAX = 10_000
THREADS_MAX = 100_000
FOR_EVER = datetime.max.replace(tzinfo=UTC)


Label = tuple[PatientId | None, Category, Domain]
"""What an event is about; no patient means whichever subject."""


@dataclass(frozen=True, slots=True)
class _Readers:
    """Who reads a label, in ``[start, end)`` and from a position on."""

    start: datetime
    end: datetime
    from_seq: int
    who: frozenset[EngagementId]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One case as one statement saw it.

    ``threads`` says of each thread in which cell and where it was opened, ``steps`` of a label at which positions the
    bounds of holdings on the opening of threads lie. ``held`` says until when threads are held back, those alone of
    which the release was not told yet; ``professionals`` are the engagements that see them.
    """

    version: int
    seq: int
    threads: Mapping[ThreadId, tuple[Cell, int]]
    holdings: Mapping[EngagementId, tuple[Holding, ...]]
    by_label: Mapping[tuple[EngagementId, Category, Domain], tuple[Holding, ...]]
    turns: tuple[datetime, ...] = ()
    steps: Mapping[tuple[Category, Domain], tuple[int, ...]] = field(default_factory=dict)
    held: Mapping[ThreadId, datetime] = field(default_factory=dict)
    professionals: frozenset[EngagementId] = frozenset()
    readers_known: dict[tuple[Label, int], _Readers] = field(default_factory=dict, compare=False)
    cells_known: dict[EngagementId, tuple[datetime, frozenset[Cell]]] = field(default_factory=dict, compare=False)

    def step(self, category: Category, domain: Domain, opened_seq: int) -> int:
        """Return the last bound that a thread opened at this position passes, 0 if none; all it passes alike."""
        return max((bound for bound in self.steps.get((category, domain), ()) if bound <= opened_seq), default=0)

    def readers(
        self, label: Label, seq: int, at: datetime, *, opened_seq: int, held: bool = False
    ) -> frozenset[EngagementId]:
        """Return everybody who reads an event of this label at this position and instant; see ``reads``."""
        who = self._readers(label, seq, at, opened_seq)
        return who & self.professionals if held else who

    def _readers(self, label: Label, seq: int, at: datetime, opened_seq: int) -> frozenset[EngagementId]:
        """Return everybody who reads an event of this label, were it not held back.

        The answer holds until the next instant at which a holding of the label begins or ends, and from the last
        bound of one on; it is kept for that long, because many messages ask the same.
        """
        step = self.step(label[1], label[2], opened_seq)
        known = self.readers_known.get((label, step))
        if known is not None and known.start <= at < known.end and known.from_seq <= seq:
            return known.who
        who = frozenset(one for one in self.holdings if self.reads(one, label, seq, at, opened_seq=step))
        held = [holding for one in self.holdings for holding in self.by_label.get((one, label[1], label[2]), ())]
        turns = [turn for h in held for turn in (h.valid_from, h.valid_until) if turn is not None]
        from_seq = max((h.visible_from_seq for h in held), default=0)
        if from_seq <= seq:
            start = max((turn for turn in turns if turn <= at), default=at)
            end = min((turn for turn in turns if turn > at), default=FOR_EVER)
            self.readers_known[(label, step)] = _Readers(start, end, from_seq, who)
        return who

    def reads(
        self,
        engagement_id: EngagementId,
        label: Label,
        seq: int,
        now: datetime,
        *,
        opened_seq: int,
        held: bool = False,
    ) -> bool:
        """Whether an engagement reads an event of this label (of any subject if none is named) at this position.

        ``opened_seq`` is where the event's thread was opened; what is in no thread stands for itself. ``held`` says
        that the event came while its thread was held back.
        """
        if held and engagement_id not in self.professionals:
            return False
        patient_id, category, domain = label
        return any(
            holding.visible_from_seq <= seq
            and holding.threads_from_seq <= opened_seq
            and holding.active(now)
            and (patient_id is None or holding.cell.patient_id == patient_id)
            for holding in self.by_label.get((engagement_id, category, domain), ())
        )

    def cells(self, engagement_id: EngagementId, now: datetime) -> frozenset[Cell]:
        """Return the cells an engagement reads at ``now``; the same object while time changes nothing."""
        known = self.cells_known.get(engagement_id)
        if known is not None and self.still(known[0], now):
            return known[1]
        cells = frozenset(holding.cell for holding in self.holdings.get(engagement_id, ()) if holding.active(now))
        self.cells_known[engagement_id] = (now, cells)
        return cells

    def in_emergency(self, engagement_id: EngagementId) -> bool:
        """Whether an engagement holds what it holds by breaking the glass alone."""
        held = self.holdings.get(engagement_id, ())
        return bool(held) and all(holding.ground is Ground.EMERGENCY for holding in held)

    def still(self, since: datetime, now: datetime) -> bool:
        """Whether no holding of the case began or ended in ``(since, now]``, nor time ran backwards."""
        return since <= now and bisect_right(self.turns, since) == bisect_right(self.turns, now)


class Knowledge:
    """Snapshots by case, and the decider built on them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._snapshots: OrderedDict[CaseId, Snapshot] = OrderedDict()
        self._case_of: OrderedDict[ThreadId, CaseId] = OrderedDict()

    def at_hand(self, actor: Actor, thread_id: ThreadId, now: datetime) -> Decision | None:
        """Return a yes from memory, or None when only a fresh look can tell."""
        case_id = self._case_of.get(thread_id)
        snapshot = None if case_id is None else self._snapshots.get(case_id)
        if case_id is None or snapshot is None:
            return None
        try:
            return _decision(case_id, snapshot, actor, thread_id, now)
        except DomainError:
            return None

    async def decide(self, actor: Actor, thread_id: ThreadId, now: datetime) -> Decision:
        """Return a yes from a fresh snapshot.

        Raises:
            NotFound: the actor may not read there.
            Forbidden: the actor may read there, but not write.
        """
        case_id = await self._find_case(thread_id)
        return _decision(case_id, await self.fresh(case_id), actor, thread_id, now)

    async def _find_case(self, thread_id: ThreadId) -> CaseId:
        known = self._case_of.get(thread_id)
        if known is not None:
            return known
        found: CaseId | None = await self._pool.fetchval("select case_id from thread where id = $1", thread_id)
        if found is None:
            raise NotFound
        self._case_of[thread_id] = found
        if len(self._case_of) > THREADS_MAX:
            self._case_of.popitem(last=False)
        return found

    async def fresh(self, case_id: CaseId) -> Snapshot:
        """Return a snapshot taken now.

        Raises:
            NotFound: there is no such case.
        """
        found = await self._pool.fetchval("select case_snapshot($1)", case_id)
        if found is None:
            raise NotFound
        snapshot = _snapshot(orjson.loads(found))
        self._snapshots[case_id] = snapshot
        self._snapshots.move_to_end(case_id)
        if len(self._snapshots) > CASES_MAX:
            self._snapshots.popitem(last=False)
        return snapshot

    def known(self, case_id: CaseId, version: int) -> Snapshot | None:
        """Return what is known of a case if it is of this version."""
        snapshot = self._snapshots.get(case_id)
        return snapshot if snapshot is not None and snapshot.version == version else None

    def forget(self, case_id: CaseId) -> None:
        """Drop what is known of a case."""
        self._snapshots.pop(case_id, None)


def _decision(case_id: CaseId, snapshot: Snapshot, actor: Actor, thread_id: ThreadId, now: datetime) -> Decision:
    found = snapshot.threads.get(thread_id)
    if found is None:
        raise NotFound
    cell, opened_seq = found
    held = snapshot.by_label.get((actor.engagement_id, cell.category, cell.domain), ())
    until = snapshot.held.get(thread_id)
    if is_held_from(actor.role, until, now):
        raise NotFound
    holding = authorize_post(actor, cell, held, opened_seq=opened_seq, now=now)
    step = snapshot.step(cell.category, cell.domain, opened_seq)
    return Decision(case_id, snapshot.version, cell, step, holding, None if until is None else thread_id)


def _snapshot(found: Mapping[str, Any]) -> Snapshot:
    cells: dict[Cell, Cell] = {}  # one object a cell, so that comparing two is looking at one

    def cell_of(patient: str, category: str, domain: str) -> Cell:
        cell = Cell(PatientId(UUID(patient)), Category(category), Domain(domain))
        return cells.setdefault(cell, cell)

    holdings: dict[EngagementId, list[Holding]] = {}
    for row in found["grants"]:
        engagement, patient, category, domain, may_write, ground, consent, from_seq, threads_from, *rest = row
        start, end, behalf = rest
        holdings.setdefault(EngagementId(UUID(engagement)), []).append(
            Holding(
                cell=cell_of(patient, category, domain),
                may_write=may_write,
                ground=Ground(ground),
                consent_id=ConsentId(UUID(consent)) if consent else None,
                visible_from_seq=from_seq,
                threads_from_seq=threads_from,
                valid_from=datetime.fromisoformat(start),
                valid_until=datetime.fromisoformat(end) if end else None,
                on_behalf_of=AccountId(UUID(behalf)) if behalf else None,
            )
        )
    by_label: dict[tuple[EngagementId, Category, Domain], list[Holding]] = {}
    for engagement_id, held in holdings.items():
        for holding in held:
            by_label.setdefault((engagement_id, holding.cell.category, holding.cell.domain), []).append(holding)
    return Snapshot(
        version=found["version"],
        seq=found["seq"],
        threads={
            ThreadId(UUID(thread)): (cell_of(patient, category, domain), opened_seq)
            for thread, patient, category, domain, opened_seq in found["threads"]
        },
        holdings={engagement_id: tuple(held) for engagement_id, held in holdings.items()},
        by_label={label: tuple(held) for label, held in by_label.items()},
        steps=_steps(holdings),
        held={ThreadId(UUID(thread)): datetime.fromisoformat(until) for thread, until in found["held"]},
        professionals=frozenset(EngagementId(UUID(one)) for one in found["professionals"]),
        turns=tuple(
            sorted(
                {turn for held in holdings.values() for h in held for turn in (h.valid_from, h.valid_until) if turn}
            )
        ),
    )


def _steps(holdings: Mapping[EngagementId, Iterable[Holding]]) -> dict[tuple[Category, Domain], tuple[int, ...]]:
    """Return by label where the bounds on the opening of threads lie; most cases have none."""
    found: dict[tuple[Category, Domain], set[int]] = {}
    for held in holdings.values():
        for holding in held:
            if holding.threads_from_seq:
                found.setdefault((holding.cell.category, holding.cell.domain), set()).add(holding.threads_from_seq)
    return {label: tuple(sorted(bounds)) for label, bounds in found.items()}
