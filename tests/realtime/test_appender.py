"""The appender against a database that refuses, lags or fails: each post is answered once, the writer lives on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.access.policy import Cell, Holding
from app.access.vocabulary import Category, Domain, Ground
from app.audit.records import Origin
from app.core.errors import DomainError, NotFound, Unavailable
from app.core.ids import CaseId, PatientId, ThreadId
from app.crypto.sealing import DataKey, new_data_key
from app.events.appender import HOLD, Appended, Appender
from app.events.batch import STATEMENT
from app.events.posting import Decision, Post
from tests.realtime.conftest import Alarms
from tests.realtime.scripted import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CELL = Cell(PatientId(UUID(int=9)), Category.MEDICATION, Domain.CARE)
Rows = list[dict[str, Any]]


def row_refused() -> asyncpg.InsufficientPrivilegeError:
    error = asyncpg.InsufficientPrivilegeError("row refused")
    error.server_source_function = "ExecWithCheckOptions"
    return error


@dataclass
class Table:
    """A database that answers as the test says, and the decider before it."""

    answer: Callable[[list[UUID], list[UUID], bool], Any] = lambda _cases, _ids, _wait: None
    sent: list[list[UUID]] = field(default_factory=list)
    seq: int = 0
    forgotten: int = 0
    delivered: list[Appended] = field(default_factory=list)
    on_appended: Callable[[], None] = lambda: None
    holding: bool = False
    breaks: str = ""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["Table"]:
        yield self

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        try:
            yield
            if self.breaks == "commit":
                raise OSError("commit")
        finally:
            self.holding = False

    async def execute(self, statement: str, case_id: UUID) -> None:
        assert statement == HOLD
        await asyncio.sleep(0)
        if self.breaks == "hold":
            raise OSError("hold")
        self.holding = True

    async def fetch(self, statement: str, *arguments: Any) -> Rows:
        assert statement == STATEMENT
        wait, cases, ids = arguments[1], arguments[6], arguments[14]
        self.sent.append(list(ids))
        await asyncio.sleep(0)
        answer = self.answer(cases, ids, wait)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        found: Rows = self.all_new(ids) if answer is None else answer
        return found

    def all_new(self, ids: list[UUID]) -> Rows:
        rows = []
        for ord_, id_ in enumerate(ids, 1):
            self.seq += 1
            rows.append(outcome(ord_, "new", seq=self.seq, event_id=id_))
        return rows

    def at_hand(self, actor: object, thread_id: ThreadId, now: datetime) -> Decision:
        holding = Holding(CELL, True, Ground.DIRECT_TREATMENT, None, 0, 0, NOW, None)
        return Decision(CaseId(thread_id), 1, CELL, 0, holding)

    async def decide(self, actor: object, thread_id: ThreadId, now: datetime) -> Decision:
        return self.at_hand(actor, thread_id, now)

    def forget(self, case_id: CaseId) -> None:
        self.forgotten += 1

    def tell(self, batch: list[Appended]) -> None:
        self.delivered += batch
        self.on_appended()


def outcome(ord_: int, kind: str, *, seq: int | None = None, event_id: UUID | None = None) -> dict[str, Any]:
    return {"ord": ord_, "outcome": kind, "seq": seq, "event_id": event_id, "at": NOW, "audience": None}


class Keys:
    def at_hand(self, scope: UUID, category: str) -> DataKey:
        return new_data_key(scope, category, 1)


def post(case: int = 1, text: str = "x") -> Post:
    actor = SimpleNamespace(
        account_id=uuid4(),
        engagement_id=uuid4(),
        login_session_id=uuid4(),
        role="gp",
        organisation_id=None,
        responsible_account_id=None,
        purpose="TREAT",
    )
    origin = Origin("socket", None, uuid4())
    return Post(cast("Any", actor), ThreadId(UUID(int=case)), text, "message", origin, uuid4().bytes, b"d")


@asynccontextmanager
async def appending(table: Table) -> AsyncIterator[Appender]:
    anything = cast("Any", table)
    appender = Appender(
        anything,
        cast("Any", Keys()),
        anything,
        lambda: None,
        source="test",
        listeners=lambda _: (),
        on_appended=cast("Any", table.tell),
    )
    appender.start()
    yield appender
    async with asyncio.timeout(5):
        await appender.stop()


async def test_a_row_refused_with_its_batch_goes_alone_and_the_others_are_written(alarms: Alarms) -> None:
    table = Table()
    bad = post(text="bad")
    table.answer = lambda _cases, ids, _wait: row_refused() if bad.id in ids else None
    async with appending(table) as appender:
        results = await asyncio.gather(
            *(appender.append(one) for one in (post(), bad, post())), return_exceptions=True
        )
    assert [type(result) for result in results] == [Appended, NotFound, Appended]
    assert alarms.taken() == ["access.disagreement"]


async def test_an_item_that_went_alone_and_was_stale_is_answered_all_the_same() -> None:
    table = Table()
    answers = iter(["refuse", "stale", "stale", "new", "new"])

    def answer(cases: list[UUID], ids: list[UUID], wait: bool) -> Rows | Exception:
        match next(answers):
            case "refuse":
                return row_refused()
            case "stale":
                return [outcome(n, "stale") for n in range(1, len(ids) + 1)]
            case _:
                return table.all_new(ids)

    table.answer = answer
    async with appending(table) as appender, asyncio.timeout(5):
        results = await asyncio.gather(appender.append(post()), appender.append(post()))
    assert len(results) == 2


async def test_a_right_that_is_gone_is_not_taken_for_a_row_refused() -> None:
    table = Table(answer=lambda *_: asyncpg.InsufficientPrivilegeError("permission denied for table audit_event"))
    async with appending(table) as appender:
        with pytest.raises(Unavailable):
            await appender.append(post())
        table.answer = lambda *_: None
        assert (await appender.append(post())).seq == 1


@pytest.mark.parametrize(
    "error", [OSError(), TimeoutError(), asyncpg.InterfaceError("closed"), KeyError("unforeseen"), ValueError()]
)
async def test_whatever_the_database_does_the_post_is_answered_and_the_next_one_written(
    error: Exception, alarms: Alarms
) -> None:
    table = Table(answer=lambda *_: error)
    async with appending(table) as appender:
        with pytest.raises(Unavailable):
            await appender.append(post())
        table.answer = lambda *_: None
        assert (await appender.append(post())).seq == 1
    assert alarms.taken() == (["appender.broken"] if isinstance(error, KeyError | ValueError) else [])


async def test_an_answer_that_fails_stops_nobody_and_is_not_followed_by_another(alarms: Alarms) -> None:
    table = Table()
    told: list[object] = []

    def broken(_: Post, result: Appended | DomainError) -> None:
        told.append(result)
        raise OSError("the listener's own fault")

    async with appending(table) as appender:
        appender.submit(post(), broken)
        assert (await appender.append(post())).seq == 2
    assert [type(one) for one in told] == [Appended]
    assert alarms.taken() == ["appender.answer-broken"]


async def test_a_delivery_that_fails_stops_nobody(alarms: Alarms) -> None:
    table = Table()

    def broken() -> None:
        raise OSError("the hub's own fault")

    table.on_appended = broken
    async with appending(table) as appender:
        assert (await appender.append(post())).seq == 1
        assert (await appender.append(post())).seq == 2
    assert alarms.taken() == ["appender.delivery-broken"] * 2


async def test_a_post_that_always_comes_too_late_is_decided_while_its_case_stands_still() -> None:
    table = Table()
    table.answer = lambda _cases, ids, _wait: (
        None if table.holding else [outcome(n, "stale") for n in range(1, len(ids) + 1)]
    )
    order: list[str] = []

    def done(one: Post, result: Appended | DomainError) -> None:
        assert isinstance(result, Appended), result
        order.append(one.text)

    async with appending(table) as appender:
        for number in range(30):
            appender.submit(post(1, str(number)), done)
            if number % 7 == 0:
                await asyncio.sleep(0.005)
        await until(lambda: len(order) == 30)
    assert order == [str(number) for number in range(30)]
    assert not table.holding


@pytest.mark.parametrize("where", ["hold", "commit"])
async def test_a_held_case_that_fails_answers_everybody_once(where: str) -> None:
    table = Table(breaks=where)
    table.answer = lambda _cases, ids, _wait: (
        None if table.holding else [outcome(n, "stale") for n in range(1, len(ids) + 1)]
    )
    async with appending(table) as appender:
        results = await asyncio.gather(*(appender.append(post()) for _ in range(5)), return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        table.breaks = ""
        assert isinstance(await appender.append(post()), Appended)


async def test_a_busy_case_waits_in_order_and_holds_up_nobody() -> None:
    table = Table()
    released = asyncio.Event()

    def answer(cases: list[UUID], ids: list[UUID], wait: bool) -> Any:
        busy = [case for case in cases if case.int < 100]
        if wait:
            return when_released(ids)
        if not busy:
            return None
        return [outcome(n, "busy" if case.int < 100 else "new") for n, case in enumerate(cases, 1)]

    async def when_released(ids: list[UUID]) -> Rows:
        await released.wait()
        return table.all_new(ids)

    table.answer = answer
    order: list[str] = []

    def done(one: Post, result: Appended | DomainError) -> None:
        assert isinstance(result, Appended)
        order.append(one.text)

    async with appending(table) as appender:
        for number in range(12):
            for case in range(1, 6):
                appender.submit(post(case, f"{case}.{number}"), done)
            if number % 4 == 0:
                await asyncio.sleep(0.01)
        assert isinstance(await appender.append(post(100)), Appended)
        assert not order
        released.set()
        await until(lambda: len(order) == 60)
    for case in range(1, 6):
        mine = [text for text in order if text.startswith(f"{case}.")]
        assert mine == [f"{case}.{number}" for number in range(12)]


async def test_stopping_answers_whoever_waits_and_takes_nobody_else() -> None:
    table = Table()
    async with appending(table) as appender:
        waiting = [asyncio.create_task(appender.append(post())) for _ in range(600)]
        await asyncio.sleep(0)
        stopping = asyncio.create_task(appender.stop())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await appender.append(post())
        await stopping
        assert sorted(result.seq for result in await asyncio.gather(*waiting)) == list(range(1, 601))


async def test_who_no_longer_waits_for_the_answer_does_no_harm() -> None:
    table = Table()
    async with appending(table) as appender:
        waiting = asyncio.create_task(appender.append(post()))
        await asyncio.sleep(0)
        waiting.cancel()
        assert (await appender.append(post())).seq == 2
    assert len(table.delivered) == 2
