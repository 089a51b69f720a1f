"""The one door for messages: what waited while the last batch committed becomes the next batch.

A batch is one statement: idempotency, events, audit records and delivery records together, checked row by row against
the author's own grants. Who may post is decided from a snapshot of the case at a version, and the statement writes
only while the case is still at it: a withdrawal that committed first always wins, and the item is decided again.
Source: DESIGN 4.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import asyncpg
import structlog

from app.access.actor import Actor
from app.access.policy import Cell, Holding
from app.access.tables import POLICY_VERSION
from app.audit.records import Origin
from app.core.clock import Clock
from app.core.db import Pool
from app.core.errors import DomainError, NotFound, RateLimited, Unauthenticated, Unavailable
from app.core.ids import CaseId, EngagementId, EventId, ThreadId, new_id
from app.crypto.service import DataKeys
from app.events.bodies import seal_with
from app.events.service import KeyReused

BATCH_MAX = 256
WAITING_MAX = 10_000
TRIES_MAX = 8
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes, at a version of the case: where the thread is and on what the right rests."""

    case_id: CaseId
    version: int
    cell: Cell
    holding: Holding


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


@dataclass(slots=True)
class Post:
    """A message to append. ``key`` and ``digest`` are 32 byte digests of the client's key and of the body."""

    actor: Actor
    thread_id: ThreadId
    text: str
    kind: str
    origin: Origin
    key: bytes | None
    digest: bytes | None
    client_id: str | None = None
    id: EventId = field(default_factory=lambda: EventId(new_id()))


@dataclass(frozen=True, slots=True)
class Appended:
    """A message that is durable: what it became, who listened on this worker, and who of them may hear it."""

    post: Post
    case_id: CaseId
    cell: Cell
    version: int
    event_id: EventId
    seq: int
    at: datetime
    replayed: bool
    listeners: frozenset[EngagementId]
    audience: frozenset[EngagementId]


Done = Callable[["Post", "Appended | DomainError"], None]
"""Told once what became of a post, in the turn in which that is known: durable, or refused."""


@dataclass(slots=True)
class _Item:
    post: Post
    done: Done
    tries: int = 0
    decision: Decision | None = None
    body: bytes = b""


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
        self._waiting: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._lanes: dict[CaseId, list[_Item]] = {}
        self._lane_tasks: set[asyncio.Task[None]] = set()
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
        self._waiting.append(_Item(post, done))
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
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            await self._write(batch)
        await asyncio.gather(*self._lane_tasks)

    async def _write(self, batch: list[_Item], *, wait: bool = False) -> None:
        """Decide, seal and append a batch; whatever happens, every item ends up answered or waiting again."""
        now = self._clock() or datetime.now(UTC)
        ready = [item for item in batch if await self._prepare(item, now, in_lane=wait)]
        if not ready:
            return
        try:
            again = await self._append(ready, wait=wait)
        except asyncpg.InsufficientPrivilegeError:
            await self._write_apart(ready, wait=wait)
            return
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("appender.failed", error=type(error).__name__)
            for item in ready:
                item.done(item.post, Unavailable())
            return
        for item in reversed(again):
            self._waiting.appendleft(item)
        if again:
            self._wake.set()

    async def _write_apart(self, batch: list[_Item], *, wait: bool) -> None:
        """Row-level security refused a row and with it the batch: write each item alone to find which.

        A row refused alone means that policy and database disagree; the database wins, and it is an alarm.
        """
        if len(batch) > 1:
            for item in batch:
                await self._write([item], wait=wait)
            return
        item = batch[0]
        item.tries += 1
        if item.decision is not None:
            self._decider.forget(item.decision.case_id)
        if item.tries <= 1:
            await self._write([item], wait=wait)
            return
        log.error("access.disagreement", where="append")
        item.done(item.post, NotFound())

    async def _prepare(self, item: _Item, now: datetime, *, in_lane: bool) -> bool:
        """Decide an item and seal its body; False when it was answered, or waits in its case's own lane."""
        post = item.post
        try:
            decision = await self.permit(post.actor, post.thread_id, now)
            if not in_lane and decision.case_id in self._lanes:
                self._lanes[decision.case_id].append(item)
                return False
            item.decision = decision
            if not item.body:
                category = decision.cell.category
                key = self._keys.at_hand(decision.case_id, category)
                if key is None:
                    key = await self._keys.sealing(decision.case_id, category)
                item.body = seal_with(key, post.text, post.id, decision.case_id, category, post.actor.account_id)
        except DomainError as refusal:
            item.done(item.post, refusal)
            return False
        except Exception as error:  # noqa: BLE001  # one item's fault must not stop the writer for everybody
            log.warning("appender.item-failed", error=type(error).__name__)
            item.done(item.post, Unavailable())
            return False
        return True

    async def _append(self, batch: list[_Item], *, wait: bool) -> list[_Item]:
        """Run the statement and answer what it did; return the items to decide again, in order."""
        cases = {item.decision.case_id for item in batch if item.decision is not None}
        listeners = {case_id: frozenset(self._listeners(case_id)) for case_id in cases}
        heard = [(case_id, engagement) for case_id, present in listeners.items() for engagement in present]
        rows = await self._pool.fetch(
            _STATEMENT,
            self._clock(),
            wait,
            self._source,
            *_columns(batch),
            POLICY_VERSION,
            [case_id for case_id, _ in heard],
            [engagement for _, engagement in heard],
        )
        done: list[tuple[_Item, Appended]] = []
        again: list[_Item] = []
        for item, row in zip(batch, rows, strict=True):
            match row["outcome"]:
                case "new" | "replay":
                    done.append((item, _appended(item, row, listeners)))
                case "stale" if item.tries < TRIES_MAX:
                    self._forget(item)
                    again.append(item)
                case "busy":
                    self._enter_lane(item)
                case "key-reused":
                    item.done(item.post, KeyReused())
                case "session-ended":
                    item.done(item.post, Unauthenticated())
                case _:
                    item.done(item.post, Unavailable())
        for item, appended in done:
            item.done(item.post, appended)
        self._on_appended([appended for _, appended in done if not appended.replayed])
        return again

    def _forget(self, item: _Item) -> None:
        item.tries += 1
        if item.decision is not None:
            self._decider.forget(item.decision.case_id)

    def _enter_lane(self, item: _Item) -> None:
        """Let a case that another transaction holds wait by itself, in order, without holding up the others."""
        if item.decision is None:
            return
        case_id = item.decision.case_id
        if case_id in self._lanes:
            self._lanes[case_id].append(item)
            return
        self._lanes[case_id] = [item]
        task = asyncio.create_task(self._run_lane(case_id), name="appender-lane")
        self._lane_tasks.add(task)
        task.add_done_callback(self._lane_tasks.discard)

    async def _run_lane(self, case_id: CaseId) -> None:
        while self._lanes[case_id]:
            batch, self._lanes[case_id] = self._lanes[case_id][:BATCH_MAX], self._lanes[case_id][BATCH_MAX:]
            await self._write(batch, wait=True)
        del self._lanes[case_id]


_STATEMENT = f"select * from append_messages({', '.join(f'${n}' for n in range(1, 32))})"  # noqa: S608  # no input


def _appended(item: _Item, row: "asyncpg.Record", listeners: Mapping[CaseId, frozenset[EngagementId]]) -> Appended:
    decision = item.decision
    assert decision is not None
    return Appended(
        post=item.post,
        case_id=decision.case_id,
        cell=decision.cell,
        version=decision.version,
        event_id=EventId(row["event_id"]),
        seq=row["seq"],
        at=row["at"],
        replayed=row["outcome"] == "replay",
        listeners=listeners[decision.case_id],
        audience=frozenset(row["audience"] or ()),
    )


def _columns(batch: Sequence[_Item]) -> list[list[object]]:
    """Return the batch as the arrays that ``append_messages`` unnests, in its order."""
    return [list(column) for column in zip(*(_values(item) for item in batch), strict=True)]


def _values(item: _Item) -> tuple[object, ...]:
    post, decision = item.post, item.decision
    assert decision is not None
    actor, cell, holding = post.actor, decision.cell, decision.holding
    return (
        decision.case_id,
        decision.version,
        post.thread_id,
        cell.patient_id,
        cell.category,
        cell.domain,
        post.id,
        actor.account_id,
        actor.engagement_id,
        actor.login_session_id,
        post.kind,
        item.body,
        None,
        post.key,
        post.digest,
        new_id(),
        actor.role,
        actor.organisation_id,
        actor.responsible_account_id,
        actor.purpose,
        holding.ground,
        holding.consent_id,
        post.origin.channel,
        post.origin.access_point,
        post.origin.trace_id,
    )
