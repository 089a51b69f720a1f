"""Too often is answered with 429 and when to come back; what anybody can send does not fill the log."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from app.api.rates import Buckets
from app.core.errors import RateLimited
from app.core.settings import Settings
from app.entitlement.floods import SOURCES_MAX, Flood
from app.entitlement.refusals import tell_the_rest
from app.identity import client_store
from tests.api.room import NAME, problem_of
from tests.clients import register, with_token
from tests.serving import NO_TLS, Instance, MovableClock, serve


class Ticks:
    """A clock that a test sets."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_bucket_gives_what_it_holds_and_fills_again() -> None:
    ticks = Ticks()
    buckets = Buckets(ticks)
    for _ in range(5):
        buckets.take("a", rate=2, burst=5)
    with pytest.raises(RateLimited) as refused:
        buckets.take("a", rate=2, burst=5)
    assert refused.value.retry_after_seconds == 1
    buckets.take("b", rate=2, burst=5)
    ticks.at = 0.5
    buckets.take("a", rate=2, burst=5)
    with pytest.raises(RateLimited):
        buckets.take("a", rate=2, burst=5)
    ticks.at = 100
    for _ in range(5):
        buckets.take("a", rate=2, burst=5)


def test_buckets_are_bounded_in_number() -> None:
    buckets = Buckets(Ticks(), keys_max=10)
    for key in range(1000):
        buckets.take(key, rate=1, burst=1)
    assert len(buckets._full_at) == 10


async def test_a_session_that_asks_too_often_is_told_when_to_come_back(settings: Settings) -> None:
    async with serve(settings.model_copy(update={"session_rate": 1, "session_burst": 5})) as instance:
        gp, poh = await instance.as_("gp"), await instance.as_("poh")
        answers = await asyncio.gather(*(gp.get("/me") for _ in range(12)))
        refused = [one for one in answers if one.status_code == 429]
        assert len(refused) >= 5
        assert problem_of(refused[0])["code"] == "rate-limited"
        assert int(refused[0].headers["retry-after"]) >= 1
        assert (await poh.get("/me")).status_code == 200, "another's allowance is another's"


async def test_a_client_is_counted_over_all_its_tokens(instance: Instance) -> None:
    client = await register(instance, rate=1)
    tokens = [await client.token(), await client.token()]
    answers = [await with_token(instance, tokens[n % 2]).get("/me") for n in range(8)]
    statuses = [one.status_code for one in answers]
    assert statuses[0] == 200
    assert 429 in statuses
    again = await client.ask(grant_type="client_credentials")
    assert again.status_code in {200, 429}


BSNS = ["999990019", "999990032", "999990044", "999990056", "999990068", "999990081"]


async def test_look_ups_of_numbers_run_out_for_an_account_over_all_workers(
    settings: Settings, clock: MovableClock
) -> None:
    tight = settings.model_copy(update={"bsn_look_ups": 6})
    async with serve(tight, clock) as one, serve(tight, clock) as other:
        here, there = await one.as_("gp"), await other.as_("gp")
        patient = {"name": NAME, "birthDate": "1950-01-31", "neighbourhood": "limmel"}
        answers = [
            *[await here.post("/patients/_search", {"bsn": bsn}) for bsn in BSNS[:3]],
            *[await there.post("/patients/_search", {"bsn": "999990093"}) for _ in range(2)],
            await here.post("/patients", {**patient, "bsn": BSNS[0]}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 5 + [201]
        refused = [
            await here.post("/patients/_search", {"bsn": BSNS[0]}),
            await there.post("/patients/_search", {"bsn": "123456789"}),
            await there.post("/patients", {**patient, "bsn": BSNS[1]}),
        ]
        assert {answer.status_code for answer in refused} == {429}
        assert {problem_of(answer)["code"] for answer in refused} == {"too-many-look-ups"}
        assert all(1 <= int(answer.headers["retry-after"]) <= 100 for answer in refused)
        assert not any(bsn in answer.text for bsn in BSNS for answer in refused)
        # What needs no number goes on, and so does everybody else.
        assert (await here.post("/patients/_search", {"family": "Smeets", "birthDate": "1950-01-31"})).json()["items"]
        assert (await (await one.as_("poh")).post("/patients/_search", {"bsn": BSNS[0]})).status_code == 200
        auditor = await one.as_("auditor")
        told = (await auditor.get("/audit/events", outcome="denied")).json()["items"]
        assert [event["reason"] for event in told] == ["too-many-look-ups"] * 3


async def test_an_allowance_of_look_ups_comes_back(own: Callable[[int], Awaitable[int]]) -> None:
    ask = own
    assert [await ask(0) for _ in range(3)] == [0, 0, 0]
    assert await ask(0) == 200
    assert await ask(199) == 1
    assert await ask(200) == 0
    assert await ask(201) == 199


@pytest.fixture
async def own(instance: Instance) -> Callable[[int], Awaitable[int]]:
    """Ask for a look-up, of three within ten minutes, so many seconds from now."""
    began = datetime.now(UTC)
    account = UUID(str((await (await instance.as_("gp")).get("/me")).json()["id"]))
    pool = instance.app.state.services.database.stream

    async def ask(seconds: int) -> int:
        at = began + timedelta(seconds=seconds)
        return await client_store.take_look_up(pool, account, at, burst=3, seconds=600)

    return ask


def test_a_flood_is_told_one_by_one_and_then_as_a_number() -> None:
    ticks = Ticks()
    flood = Flood(per_minute=3, now=ticks)
    assert [flood.admits("10.0.0.1") for _ in range(5)] == [True] * 3 + [False] * 2
    assert flood.admits("10.0.0.2")
    assert list(flood.due()) == []
    ticks.at = 61
    assert list(flood.due()) == [("10.0.0.1", 2)]
    assert flood.admits("10.0.0.1")
    for n in range(SOURCES_MAX * 2):
        flood.admits(str(n))
    assert len(flood._counts) <= SOURCES_MAX + 1
    assert sum(more for _, more in flood.due(all_of_them=True)) >= SOURCES_MAX - 10


async def test_bad_tokens_leave_a_bounded_number_of_records(settings: Settings) -> None:
    async with (
        serve(settings.model_copy(update={"token_refusals": 5})) as instance,
        httpx.AsyncClient(verify=NO_TLS) as http,
    ):
        for _ in range(20):
            answer = await http.get(f"{instance.url}/api/v1/me", headers={"Authorization": "Bearer a.b.c"})
            assert answer.status_code == 401
        await tell_the_rest(instance.app.state.services.refusals, all_of_them=True)
        auditor = await instance.as_("auditor")
        told = (await auditor.get("/audit/events", outcome="denied")).json()["items"]
        assert [one["reason"] for one in told] == ["and-15-more"] + ["token-invalid"] * 5
        assert {one["accessPoint"] for one in told} == {"127.0.0.1"}
