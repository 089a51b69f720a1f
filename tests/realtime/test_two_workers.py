"""Two workers on one database: what happens on one is heard on the other, in the one order of the stream."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.core.settings import Settings
from app.realtime.bus import CHANNEL, Bus
from app.realtime.hub import Hub
from tests.serving import Caller, Instance, Service, serve
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import Talk, talking


@pytest.fixture(scope="module")
def one_address(shared_settings: Settings) -> Settings:
    """Both workers answer for one public address."""
    return shared_settings.model_copy(update={"public_url": "http://127.0.0.1:1"})


@pytest.fixture(scope="module")
async def worker(one_address: Settings) -> AsyncIterator[Instance]:
    async with serve(one_address) as served:
        yield served


@pytest.fixture(scope="module")
async def other(one_address: Settings) -> AsyncIterator[Instance]:
    async with serve(one_address) as served:
        yield served


@pytest.fixture
async def table(worker: Instance) -> Table:
    made = await open_table(worker)
    await seat(made, "poh", direct=True)
    await seat(made, "social-worker")
    return made


def on(worker: Service, caller: Caller) -> Caller:
    """Return the same session, calling another worker."""
    return Caller(worker, caller.persona, caller.token)


@pytest.fixture(params=["by hints alone", "by the poll alone", "by both"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How workers hear of each other."""
    if request.param == "by hints alone":
        monkeypatch.setattr(Hub, "seen", lambda self, heads: None)
    elif request.param == "by the poll alone":
        monkeypatch.setattr(Bus, "hint", lambda self, case_ids: None)
    return str(request.param)


async def test_a_message_is_heard_on_the_other_worker(table: Table, other: Instance, way: str) -> None:
    medication = await thread(table, "medication")
    gp, poh = await table.as_("gp"), on(other, await table.as_("poh"))
    async with talking(poh, table.case_id) as there, talking(gp, table.case_id) as here:
        await here.say("post", clientId="c1", threadId=medication, text="over de socket")
        await there.event("message.posted", lambda frame: frame["data"]["text"] == "over de socket")
        await gp.made(f"/threads/{medication}/messages", {"text": "over HTTP"})
        await there.event("message.posted", lambda frame: frame["data"]["text"] == "over HTTP")
        await there.say("post", clientId="c2", threadId=medication, text="terug")
        await here.event("message.posted", lambda frame: frame["data"]["text"] == "terug")
        for talk in (here, there):
            await talk.event("message.posted", lambda frame: frame["data"]["text"] == "terug")
            assert [(frame["n"], frame["data"]["text"]) for frame in talk.events] == [
                (1, "over de socket"),
                (2, "over HTTP"),
                (3, "terug"),
            ]


async def test_a_withdrawal_narrows_the_other_worker_s_sockets(table: Table, other: Instance, way: str) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    given = await consent(table, "social-worker", "medication")
    async with (
        talking(on(other, await table.as_("social-worker")), table.case_id) as there,
        talking(on(other, await table.as_("poh")), table.case_id) as beside,
    ):
        await gp.made(f"/threads/{medication}/messages", {"text": "voor"})
        await there.event("message.posted")
        await (await table.as_("citizen")).made(f"/consents/{given}/withdrawal")
        await gp.made(f"/threads/{medication}/messages", {"text": "na"})
        assert "medication" in (await there.hear("narrowed"))["categories"]
        await beside.event("message.posted", lambda frame: frame["data"]["text"] == "na")
        await there.settle()
        assert "na" not in [frame["data"].get("text") for frame in there.events]
        await there.say("post", clientId="late", threadId=medication, text="te laat")
        assert (await there.hear("error"))["problem"]["code"] == "not-found"
        await consent(table, "social-worker", "medication")
        await there.event("thread.opened")
        await gp.made(f"/threads/{medication}/messages", {"text": "weer"})
        await there.event("message.posted", lambda frame: frame["data"]["text"] == "weer")


async def test_an_ended_session_closes_its_sockets_on_the_other_worker(worker: Instance, other: Instance) -> None:
    token = await worker.sign_in("specialist")
    async with talking(Caller(other, "specialist", token)) as there:
        assert (await Caller(worker, "specialist", token).delete("/sessions/current")).status_code == 204
        assert await there.hear("bye") == {"op": "bye", "code": 4401}
        assert await there.close_code() == 4401


async def test_the_end_of_a_membership_is_heard_on_the_other_worker(table: Table, other: Instance) -> None:
    gp, poh = await table.as_("gp"), await table.as_("poh")
    async with talking(on(other, poh), table.case_id) as there:
        assert (await gp.delete(f"/cases/{table.case_id}/members/{table.members['poh']}")).status_code == 204
        assert (await there.hear("ended"))["why"] == "membership-ended"
        await there.say("join", caseId=table.case_id)
        assert (await there.hear("error"))["problem"]["code"] == "not-found"


async def test_a_retry_on_the_other_worker_is_the_same_message(table: Table, other: Instance) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    async with talking(gp, table.case_id) as here, talking(on(other, gp), table.case_id) as there:
        for number in range(10):
            for talk in (here, there):
                await talk.say("post", clientId=f"c{number}", threadId=medication, text=f"m{number}")
        for talk in (here, there):
            await talk.many("ack", 10)
            await talk.many("event", 10)
            await talk.settle()
        ids = [{frame["clientId"]: frame["messageId"] for frame in talk.all("ack")} for talk in (here, there)]
        assert ids[0] == ids[1]
        for talk in (here, there):
            assert len(talk.events) == 10
            assert {frame["data"]["id"] for frame in talk.events} == set(ids[0].values())


async def test_writers_on_both_workers_are_heard_everywhere_in_the_order_of_the_stream(
    table: Table, other: Instance, shared_urls: Urls
) -> None:
    medication, gp, poh = await thread(table, "medication"), await table.as_("gp"), await table.as_("poh")
    each = 150
    async with (
        talking(gp, table.case_id) as one,
        talking(on(other, gp), table.case_id) as two,
        talking(poh, table.case_id) as three,
        talking(on(other, poh), table.case_id) as four,
    ):
        talks = (one, two, three, four)

        async def write(talk: Talk, name: str) -> None:
            for number in range(each):
                await talk.say("post", clientId=f"{name}{number}", threadId=medication, text=f"{name}{number}")
                if number % 10 == 0:
                    await asyncio.sleep(0)

        await asyncio.gather(*(write(talk, name) for talk, name in zip(talks, "abcd", strict=True)))
        for talk in talks:
            await talk.many("event", 4 * each, seconds=60)
        connection = await asyncpg.connect(shared_urls.superuser)
        try:
            rows = await connection.fetch(
                "select id, seq from case_event where case_id = $1 and type = 'message.posted' order by seq",
                table.case_id,
            )
        finally:
            await connection.close()
        stream = [str(row["id"]) for row in rows]
        assert [row["seq"] for row in rows] == list(range(rows[0]["seq"], rows[0]["seq"] + 4 * each))
        for talk, name in zip(talks, "abcd", strict=True):
            assert [frame["data"]["id"] for frame in talk.events] == stream
            assert [frame["n"] for frame in talk.events] == list(range(1, 4 * each + 1))
            own = [frame["data"]["text"] for frame in talk.events if frame["data"]["text"].startswith(name)]
            assert own == [f"{name}{number}" for number in range(each)]
            named = [frame["data"]["clientId"] for frame in talk.events if "clientId" in frame["data"]]
            assert set(named) >= {f"{name}{number}" for number in range(each)}


async def test_two_withdrawals_at_once_are_one(table: Table, other: Instance) -> None:
    given = await consent(table, "social-worker", "medication")
    citizen = await table.as_("citizen")
    async with talking(await table.as_("social-worker"), table.case_id) as talk:
        answers = await asyncio.gather(
            *(on(worker, citizen).post(f"/consents/{given}/withdrawal") for worker in (table.instance, other) * 3)
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
        await talk.hear("narrowed")
        await talk.settle()
        assert len(talk.all("narrowed")) == 1


async def test_noise_on_the_channel_is_no_hint_and_does_no_harm(
    table: Table, other: Instance, shared_urls: Urls
) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    connection = await asyncpg.connect(shared_urls.superuser)
    try:
        async with talking(on(other, gp), table.case_id) as there:
            for noise in ("", "x", "0" * 31, "é" * 40, "0" * 40, "0" * 32 + "f" * 33, "0" * 32 + "z" * 32):
                await connection.execute("select pg_notify($1, $2)", CHANNEL, noise)
            await gp.made(f"/threads/{medication}/messages", {"text": "gehoord"})
            await there.event("message.posted")
    finally:
        await connection.close()


async def test_the_bus_listens_again_when_its_connection_was_cut(
    table: Table, other: Instance, shared_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.realtime.bus.RECONNECT_SECONDS", 0.05)
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    connection = await asyncpg.connect(shared_urls.superuser)
    try:
        async with talking(on(other, await table.as_("poh")), table.case_id) as there:
            cut = await connection.fetchval(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where query ilike 'listen %' and datname = current_database()"
            )
            assert cut == 2
            monkeypatch.setattr(Hub, "seen", lambda self, heads: None)
            async with asyncio.timeout(20):
                while not there.all("event"):
                    await gp.made(f"/threads/{medication}/messages", {"text": "gehoord"})
                    await asyncio.sleep(0.05)
    finally:
        await connection.close()
