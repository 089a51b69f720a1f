"""The one door for messages: what waited while the last batch committed becomes the next batch.

A batch is one statement: idempotency, events, audit records and delivery records together, checked row by row against
the author's own grants. Who may post is decided from a snapshot of the case at a version, and the statement writes
only while the case is still at it: a withdrawal that committed first always wins, and the item is decided again.
Source: DESIGN 4.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import asyncpg
import structlog

from app.access.actor import Actor
from app.access.policy import Cell
from app.core.clock import Clock
from app.core.db import FAILURES, Pool
from app.core.errors import DomainError, NotFound, RateLimited, Unauthenticated, Unavailable
from app.core.ids import CaseId, EngagementId, EventId, ThreadId
from app.crypto.service import DataKeys
from app.events.batch import STATEMENT, Answer, Outcome, answer, arguments, label_of, labels
from app.events.bodies import seal_with
from app.events.posting import Decision, Post
from app.events.service import KeyReused

BATCH_MAX = 256
WAITING_MAX = 10_000
TRIES_MAX = 8
TRIES_FREE = 2  # a post that came too late so often is decided while its case stands still
HOLD = "select from case_head where case_id = $1 for no key update"
LANES_MAX = 2  # each holds a connection while it waits; the others are for the batches that need not
log = structlog.get_logger()


class Decider(Protocol):
    """Decides who may post, from what it knows of a case; built in ``entitlement``, handed in by ``main``."""

    def at_hand(self, actor: Actor, thread_id: ThreadId, now: datetime) -> Decision | None:
        """Return a yes that needs no look-up, or None; a no is never given from memory."""
        ...

    async def decide(self, actor: Actor, thread_id: ThreadId, now: datetime) -> Decision:
        """Return a yes from fresh knowledge.

        Raises:
            NotFound: the actor may not read there.
            Forbidden: the actor may read there, but not write.
        """
        ...

    def forget(self, case_id: CaseId) -> None:
        """Drop what is known of a case: it moved on."""
        ...


@dataclass(frozen=True, slots=True)
class Appended:
    """A message that is durable: what it became, who listened on this worker, and who of them may hear it.

    ``held`` says that its thread is held back, and so for professionals alone.
    """

    post: Post
    case_id: CaseId
    cell: Cell
    opened_seq: int
    held: bool
    version: int
    event_id: EventId
    seq: int
    at: datetime
    replayed: bool
    listeners: frozenset[EngagementId]
    audience: frozenset[EngagementId]


Listeners = Mapping[CaseId, frozenset[EngagementId]]
Done = Callable[["Post", "Appended | DomainError"], None]
"""Told once what became of a post, in the turn in which that is known: durable, or refused."""


@dataclass(slots=True)
class _Waiting:
    """A post that waits for its turn, and how often it was decided."""

    post: Post
    done: Done
    body: bytes = b""
    tries: int = 0
    refusals: int = 0

    def answer(self, result: "Appended | DomainError") -> None:
        """Tell what became of the post; a listener's fault must not stop the writer for everybody."""
        try:
            self.done(self.post, result)
        except Exception:
            log.exception("appender.answer-broken")


@dataclass(frozen=True, slots=True)
class _Ready:
    """A post that was decided and sealed."""

    waiting: _Waiting
    decision: Decision

    @property
    def post(self) -> Post:
        return self.waiting.post

    @property
    def body(self) -> bytes:
        return self.waiting.body

    def done(self, result: "Appended | DomainError") -> None:
        self.waiting.answer(result)


class Appender:
    """Gathers posts into batches. ``listeners`` says who here listens to a case; ``on_appended`` delivers."""

    def __init__(
        self,
        pool: Pool,
        keys: DataKeys,
        decider: Decider,
        clock: Clock,
        *,
        source: str,
        listeners: Callable[[CaseId], Iterable[EngagementId]],
        on_appended: Callable[[Sequence[Appended]], None],
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._decider = decider
        self._clock = clock
        self._source = source
        self._listeners = listeners
        self._on_appended = on_appended
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._lanes: dict[CaseId, deque[_Waiting]] = {}
        self._lane_tasks: set[asyncio.Task[None]] = set()
        self._lane_turns = asyncio.Semaphore(LANES_MAX)
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start the writer task."""
        self._task = asyncio.create_task(self._run(), name="appender")

    async def stop(self) -> None:
        """Write what waits, then stop."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def permit(self, actor: Actor, thread_id: ThreadId, now: datetime) -> Decision:
        """Return whether the actor may post in a thread right now; an edge asks before it reads a body.

        Raises:
            NotFound: the actor may not read there.
            Forbidden: the actor may read there, but not write.
        """
        known = self._decider.at_hand(actor, thread_id, now)
        return known if known is not None else await self._decider.decide(actor, thread_id, now)

    def submit(self, post: Post, done: Done) -> None:
        """Queue a message; ``done`` is told once what became of it.

        Raises:
            RateLimited: too much is waiting already.
            Unavailable: the service is stopping.
        """
        if self._stopping:
            raise Unavailable
        if len(self._waiting) >= WAITING_MAX:
            raise RateLimited(1)
        self._waiting.append(_Waiting(post, done))
        self._wake.set()

    async def append(self, post: Post) -> Appended:
        """Append a message and return once it is durable.

        Raises:
            DomainError: the post was refused; see :meth:`submit` and the decider.
        """
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

        def done(_: Post, result: Appended | DomainError) -> None:
            if future.done():
                return
            if isinstance(result, DomainError):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.submit(post, done)
        return await future

    async def _run(self) -> None:
        while not (self._stopping and not self._waiting):
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._write(self._waiting)
        await asyncio.gather(*self._lane_tasks)

    async def _run_lane(self, case_id: CaseId) -> None:
        """Write one case by itself while another transaction holds its head, in order, without holding up others."""
        lane = self._lanes[case_id]
        while lane:
            async with self._lane_turns:
                await self._write(lane, lane_of=case_id)
        del self._lanes[case_id]

    async def _write(self, queue: deque[_Waiting], *, lane_of: CaseId | None = None) -> None:
        """Take a batch from a queue, decide and seal it, append it; each item is then answered or waits again."""
        taken = [queue.popleft() for _ in range(min(BATCH_MAX, len(queue)))]
        late = lane_of is not None and any(waiting.tries >= TRIES_FREE for waiting in taken)
        batch: list[_Ready] | None = None
        try:
            async with self._held(lane_of if late else None) as database:
                batch = await self._decided(taken, queue, in_lane=lane_of is not None)
                if not batch:
                    return
                listeners, answered = await self._append(batch, database, wait=lane_of is not None)
        except Exception as error:
            if batch and isinstance(error, asyncpg.InsufficientPrivilegeError) and _is_row_refused(error):
                await self._write_apart(batch, lane_of)
                return
            if isinstance(error, FAILURES):
                log.warning("appender.failed", error=type(error).__name__)
            else:
                log.exception("appender.broken")
            for waiting in taken if batch is None else [item.waiting for item in batch]:
                waiting.answer(Unavailable())
            return
        if answered.written:
            self._tell(batch, listeners, answered)
            return
        self._settle_all(batch, answered, queue, in_lane=lane_of is not None)

    @asynccontextmanager
    async def _held(self, case_id: CaseId | None) -> AsyncIterator["_Database"]:
        """Give the database to append through; with a case, its head is held from before its rights are looked at.

        Where rights change without a pause, a post that is decided first would come too late for ever.
        """
        if case_id is None:
            yield self._pool
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(HOLD, case_id)
            self._decider.forget(case_id)
            yield connection

    async def _decided(self, taken: Iterable[_Waiting], queue: deque[_Waiting], *, in_lane: bool) -> list[_Ready]:
        """Decide and seal what was taken; of equal keys the first, so that the others become replays."""
        now = self._clock() or datetime.now(UTC)
        batch: list[_Ready] = []
        twins: list[_Waiting] = []
        keys: set[tuple[object, ...]] = set()
        for waiting in taken:
            key = (waiting.post.actor.account_id, waiting.post.thread_id, waiting.post.key)
            if waiting.post.key is not None and key in keys:
                twins.append(waiting)
                continue
            keys.add(key)
            ready = await self._prepare(waiting, now, in_lane=in_lane)
            if ready is not None:
                batch.append(ready)
        queue.extendleft(reversed(twins))
        return batch

    async def _write_apart(self, batch: list[_Ready], lane_of: CaseId | None) -> None:
        """Row-level security refused a row and with it the batch: write each item alone to find which.

        A row refused alone, decided afresh, means that policy and database disagree; the database wins, and it is an
        alarm.
        """
        for item in batch:
            waiting = item.waiting
            self._decider.forget(item.decision.case_id)
            waiting.refusals += 1
            if len(batch) == 1 and waiting.refusals > 1:
                log.error("access.disagreement", where="append")
                item.done(NotFound())
                continue
            alone = deque([waiting])
            while alone:
                await self._write(alone, lane_of=lane_of)

    async def _prepare(self, waiting: _Waiting, now: datetime, *, in_lane: bool) -> _Ready | None:
        """Decide a post and seal its body; None when it was answered, or waits in its case's own lane."""
        post = waiting.post
        try:
            decision = await self.permit(post.actor, post.thread_id, now)
            if not in_lane and decision.case_id in self._lanes:
                self._lanes[decision.case_id].append(waiting)
                return None
            if not waiting.body:
                category = decision.cell.category
                key = self._keys.at_hand(decision.case_id, category)
                if key is None:
                    key = await self._keys.sealing(decision.case_id, category)
                waiting.body = seal_with(key, post.text, post.id, decision.case_id, category, post.actor.account_id)
        except DomainError as refusal:
            waiting.answer(refusal)
            return None
        except Exception as error:  # noqa: BLE001  # one item's fault must not stop the writer for everybody
            log.warning("appender.item-failed", error=type(error).__name__)
            waiting.answer(Unavailable())
            return None
        return _Ready(waiting, decision)

    async def _append(self, batch: list[_Ready], database: "_Database", *, wait: bool) -> tuple[Listeners, Answer]:
        """Run the statement and return what it did, with who listened when it was sent."""
        listeners = {case_id: frozenset(self._listeners(case_id)) for case_id, *_ in labels(batch)}
        rows = await database.fetch(
            STATEMENT, *arguments(batch, listeners, now=self._clock(), wait=wait, source=self._source)
        )
        return listeners, answer(batch, [dict(row) for row in rows])

    def _tell(self, batch: list[_Ready], listeners: Listeners, answered: Answer) -> None:
        """Acknowledge and deliver what is durable by now; whatever fails in that, the next batch must be written."""
        appended = [
            _appended(item, outcome, listeners, answered)
            for item, outcome in zip(batch, answered.outcomes, strict=True)
        ]
        for item, result in zip(batch, appended, strict=True):
            item.done(result)
        try:
            self._on_appended(appended)
        except Exception:
            log.exception("appender.delivery-broken")

    def _settle_all(self, batch: list[_Ready], answered: Answer, queue: deque[_Waiting], *, in_lane: bool) -> None:
        """Settle a batch that was not written; what is to be sent again goes before what came later, in order."""
        again = [item for item, outcome in zip(batch, answered.outcomes, strict=True) if self._settle(item, outcome)]
        late = set() if in_lane else {i.decision.case_id for i in again if i.waiting.tries >= TRIES_FREE}
        for item in again:
            if item.decision.case_id in late:
                self._enter_lane(item)
        queue.extendleft(item.waiting for item in reversed(again) if item.decision.case_id not in late)

    def _settle(self, item: _Ready, outcome: Outcome) -> bool:
        """Answer an item that stood in the way of its batch; True when it is to be sent again."""
        match outcome.kind:
            case "new":
                return True
            case "stale" if item.waiting.tries < TRIES_MAX:
                item.waiting.tries += 1
                self._decider.forget(item.decision.case_id)
                return True
            case "busy":
                self._enter_lane(item)
            case "replay" if outcome.seq is not None and outcome.event_id is not None:
                item.done(_replayed(item, outcome.seq, outcome.event_id, outcome.at))
            case "key-reused":
                item.done(KeyReused())
            case "session-ended":
                item.done(Unauthenticated())
            case _:
                item.done(Unavailable())
        return False

    def _enter_lane(self, item: _Ready) -> None:
        """Let a case that another transaction holds wait by itself."""
        case_id = item.decision.case_id
        if case_id in self._lanes:
            self._lanes[case_id].append(item.waiting)
            return
        self._lanes[case_id] = deque([item.waiting])
        task = asyncio.create_task(self._run_lane(case_id), name="appender-lane")
        self._lane_tasks.add(task)
        task.add_done_callback(self._lane_tasks.discard)


class _Database(Protocol):
    """The pool, or one connection of it in a transaction."""

    async def fetch(self, query: str, /, *arguments: object) -> list["asyncpg.Record"]:
        """Run a statement and return its rows."""
        ...


def _is_row_refused(error: asyncpg.InsufficientPrivilegeError) -> bool:
    """Whether row-level security refused a row, rather than a right on a table being absent; not by its wording."""
    return getattr(error, "server_source_function", None) == "ExecWithCheckOptions"


def _appended(item: _Ready, outcome: Outcome, listeners: Listeners, answered: Answer) -> Appended:
    decision = item.decision
    assert outcome.seq is not None
    return Appended(
        post=item.post,
        case_id=decision.case_id,
        cell=decision.cell,
        opened_seq=decision.opened_seq,
        held=decision.held_thread_id is not None,
        version=decision.version,
        event_id=item.post.id,
        seq=outcome.seq,
        at=outcome.at,
        replayed=False,
        listeners=listeners[decision.case_id],
        audience=answered.audiences.get(label_of(decision), frozenset()),
    )


def _replayed(item: _Ready, seq: int, event_id: EventId, at: datetime) -> Appended:
    decision = item.decision
    return Appended(
        post=item.post,
        case_id=decision.case_id,
        cell=decision.cell,
        opened_seq=decision.opened_seq,
        held=decision.held_thread_id is not None,
        version=decision.version,
        event_id=event_id,
        seq=seq,
        at=at,
        replayed=True,
        listeners=frozenset(),
        audience=frozenset(),
    )
