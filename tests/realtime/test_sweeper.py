"""What time opens and closes: reads at once, sockets by the sweeper's event, once, whoever sweeps."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.core.settings import Settings
from app.entitlement import sweeper
from app.identity.demo import BY_KEY, TEAM_ID
from tests.realtime.conftest import fresh_database
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import Talk, talking

HOUR = timedelta(hours=1)


@pytest.fixture
async def urls(cluster: Urls) -> AsyncIterator[Urls]:
    async with fresh_database(cluster) as made:
        yield made


@pytest.fixture
async def superuser(urls: Urls) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(urls.superuser)
    yield connection
    await connection.close()


@pytest.fixture
def own_settings(urls: Urls, shared_settings: Settings) -> Settings:
    return shared_settings.model_copy(
        update={
            name: type(getattr(shared_settings, name))(url)
            for name, url in (
                ("database_url", urls.app),
                ("appender_url", urls.appender),
                ("stream_url", urls.stream),
            )
        }
    )


@pytest.fixture
async def moved(own_settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """A service whose time the test moves."""
    async with serve(own_settings, clock) as served:
        yield served


@pytest.fixture
async def table(moved: Instance) -> Table:
    made = await open_table(moved)
    await seat(made, "poh", direct=True)
    await seat(made, "social-worker")
    return made


def at(clock: MovableClock, later: timedelta) -> str:
    return ((clock() or datetime.now(UTC)) + later).isoformat()


async def again(table: Table, persona: str) -> Caller:
    """Return a persona signed in anew: tokens live ten minutes."""
    return Caller(table.instance, persona, await table.instance.sign_in(persona))


def told(talk: Talk) -> list[str]:
    return [frame["type"] for frame in talk.events]


async def test_a_consent_that_expires_narrows_and_says_why(table: Table, clock: MovableClock) -> None:
    medication = await thread(table, "medication")
    given = await consent(table, "social-worker", "medication", validUntil=at(clock, HOUR))
    gp, poh = await table.as_("gp"), await table.as_("poh")
    async with (
        talking(await table.as_("social-worker"), table.case_id) as worker,
        talking(await table.as_("citizen"), table.case_id) as citizen,
        talking(poh, table.case_id) as other,
    ):
        await gp.made(f"/threads/{medication}/messages", {"text": "voor"})
        await worker.event("message.posted")
        clock.move(2 * HOUR)
        narrowed = await worker.hear("narrowed")
        assert narrowed["why"] == "expired"
        assert narrowed["categories"] == ["contact_network", "identification", "medication"]
        gp = await again(table, "gp")
        await gp.made(f"/threads/{medication}/messages", {"text": "na"})
        await other.event("message.posted", lambda frame: frame["data"]["text"] == "na")
        for talk in (worker, citizen):
            expired = await talk.event("consent.expired")
            assert expired["data"] == {"id": given, "patientId": table.patient_id}
            assert expired["actor"] is None
        await worker.settle()
        assert told(worker) == ["message.posted", "consent.expired", "access.changed"]
        assert (await (await again(table, "social-worker")).get(f"/threads/{medication}")).status_code == 404
        assert (await (await again(table, "citizen")).get(f"/consents/{given}")).json()["status"] == "expired"


async def test_reads_are_closed_by_time_before_anybody_sweeps(
    table: Table, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def idle(*_: object, **__: object) -> None:
        """Nobody sweeps."""

    medication = await thread(table, "medication")
    await consent(table, "social-worker", "medication", validUntil=at(clock, HOUR))
    async with (
        talking(await table.as_("social-worker"), table.case_id) as worker,
        talking(await table.as_("poh"), table.case_id) as other,
    ):
        monkeypatch.setattr(sweeper, "sweep", idle)
        clock.move(2 * HOUR)
        gp, hers = await again(table, "gp"), await again(table, "social-worker")
        assert (await hers.get(f"/threads/{medication}/messages")).status_code == 404
        assert (await hers.get(f"/cases/{table.case_id}/threads")).json()["items"] == []
        assert (await hers.post(f"/threads/{medication}/messages", {"text": "te laat"})).status_code == 404
        await worker.say("post", clientId="c", threadId=medication, text="te laat")
        assert (await worker.hear("error"))["problem"]["code"] == "not-found"
        await gp.made(f"/threads/{medication}/messages", {"text": "na"})
        await other.event("message.posted")
        async with talking(hers, table.case_id) as fresh:
            assert "members" not in await fresh.hear("joined")
        await worker.settle()
        assert not worker.events
        assert not worker.all("narrowed")
        monkeypatch.undo()
        assert (await worker.hear("narrowed"))["why"] == "expired"


async def test_a_consent_that_begins_later_opens_on_time_and_not_before(table: Table, clock: MovableClock) -> None:
    medication = await thread(table, "medication", title="Later")
    gp = await table.as_("gp")
    await consent(table, "social-worker", "medication", validFrom=at(clock, HOUR))
    worker = await table.as_("social-worker")
    async with talking(worker, table.case_id) as talk:
        await gp.made(f"/threads/{medication}/messages", {"text": "nog niet"})
        assert (await worker.get(f"/threads/{medication}")).status_code == 404
        await talk.settle()
        assert not [frame for frame in talk.events if frame["type"] != "consent.given"]
        clock.move(2 * HOUR)
        changed = await talk.event("access.changed")
        assert changed["data"]["why"] == "begun"
        assert changed["data"]["gained"] == ["contact_network", "identification", "medication"]
        opened = await talk.event("thread.opened")
        assert opened["data"]["title"] == "Later"
        gp = await again(table, "gp")
        await gp.made(f"/threads/{medication}/messages", {"text": "nu wel"})
        await talk.event("message.posted")
        assert [frame["data"]["text"] for frame in talk.events if frame["type"] == "message.posted"] == ["nu wel"]
        assert (await (await again(table, "social-worker")).get(f"/threads/{medication}")).status_code == 200


async def test_a_period_that_passes_between_two_sweeps_is_told_of_once(
    table: Table, clock: MovableClock, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await thread(table, "medication")
    await consent(table, "social-worker", "medication", validFrom=at(clock, HOUR), validUntil=at(clock, 2 * HOUR))
    async with talking(await table.as_("social-worker"), table.case_id) as talk:
        clock.move(3 * HOUR)
        await talk.event("consent.expired")
        await talk.settle()
        assert told(talk) == ["consent.expired"]
        assert not talk.all("narrowed")
    version = await superuser.fetchval("select access_version from case_head where case_id = $1", table.case_id)
    await asyncio.sleep(2 * sweeper.SWEEP_SECONDS)
    assert version == await superuser.fetchval(
        "select access_version from case_head where case_id = $1", table.case_id
    )


async def test_an_engagement_that_was_to_end_closes_on_its_day(
    table: Table, clock: MovableClock, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await superuser.execute(
        "update engagement set valid_until = $1 where id = $2",
        datetime.now(UTC) + HOUR,
        BY_KEY["district-nurse"].engagement_id,
    )
    await seat(table, "district-nurse", direct=True)
    medication = await thread(table, "medication")
    async with (
        talking(await table.as_("district-nurse"), table.case_id) as nurse,
        talking(await table.as_("poh"), table.case_id) as other,
    ):
        clock.move(2 * HOUR)
        assert await nurse.close_code() == 4401  # who is no longer engaged speaks no more, whatever else opens
        gp = await again(table, "gp")
        await gp.made(f"/threads/{medication}/messages", {"text": "na"})
        await other.event("message.posted")
        assert "message.posted" not in told(nurse)


async def test_a_team_membership_that_ends_closes_what_the_team_was_given(
    table: Table, clock: MovableClock, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await superuser.execute("set session_replication_role = replica")  # before anything rests on it
    await superuser.execute(
        "update team_member set valid_until = $1 where team_id = $2 and engagement_id = $3",
        datetime.now(UTC) + HOUR,
        TEAM_ID,
        BY_KEY["social-worker"].engagement_id,
    )
    await seat(table, "social-worker-2")
    medication = await thread(table, "medication")
    await consent(table, "social-worker", "medication", recipients=[{"type": "team", "id": str(TEAM_ID)}])
    async with (
        talking(await table.as_("social-worker"), table.case_id) as leaving,
        talking(await table.as_("social-worker-2"), table.case_id) as staying,
    ):
        clock.move(2 * HOUR)
        assert "medication" in (await leaving.hear("narrowed"))["categories"]
        gp = await again(table, "gp")
        await gp.made(f"/threads/{medication}/messages", {"text": "na"})
        await staying.event("message.posted")
        await leaving.settle()
        assert "message.posted" not in told(leaving)
        assert not staying.all("narrowed")


async def test_of_several_workers_one_sweeps(
    own_settings: Settings, clock: MovableClock, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with serve(own_settings, clock) as one, serve(own_settings, clock) as two:
        table = await open_table(one)
        await seat(table, "social-worker")
        await consent(table, "social-worker", "medication", validUntil=at(clock, HOUR))
        swept: list[object] = []

        async def note(case_id: object) -> None:
            swept.append(case_id)

        clock.move(2 * HOUR)
        await asyncio.gather(
            *(sweeper.sweep(app.app.state.live.database, clock, note, source="test") for app in (one, two) * 4)
        )
        async with talking(await again(table, "citizen"), table.case_id) as talk:
            await talk.settle()
        rows = await superuser.fetch(
            "select type, addressees from case_event where case_id = $1 and actor_account_id is null",
            table.case_id,
        )
        # Who was given, and the opener, who read what she would have answered.
        told_of = [(row["type"], *sorted(row["addressees"])) for row in rows]
        assert len(told_of) == len(set(told_of)) == 3
        assert [type_ for type_, *_ in told_of].count("consent.expired") == 1
        assert len(swept) <= 1
        records = await superuser.fetch("select * from audit_event where action = 'access:lapse'")
        assert len(records) == 3
        assert {record["origin"] for record in records} == {"system"}
        assert {record["outcome"] for record in records} == {"success"}


async def test_a_case_that_cannot_be_swept_now_holds_up_no_other(
    moved: Instance, clock: MovableClock, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [await open_table(moved) for _ in range(3)]
    for table in tables:
        await seat(table, "social-worker")
        await consent(table, "social-worker", "medication", validUntil=at(clock, HOUR))
    connection = await asyncpg.connect(urls.superuser)
    sweep_case = sweeper._sweep_case

    async def held_up(database: Any, clock: Any, case_id: Any, *, source: str) -> bool:
        if str(case_id) == tables[1].case_id:
            raise TimeoutError("somebody holds its head")
        return await sweep_case(database, clock, case_id, source=source)

    monkeypatch.setattr(sweeper, "_sweep_case", held_up)
    try:
        async with (
            talking(await tables[0].as_("social-worker"), *(table.case_id for table in tables)) as worker,
        ):
            clock.move(2 * HOUR)
            for table in (tables[0], tables[2]):
                await worker.hear("narrowed", lambda frame, table=table: frame["caseId"] == table.case_id)  # type: ignore[misc]
            monkeypatch.undo()
            await worker.hear("narrowed", lambda frame: frame["caseId"] == tables[1].case_id)
    finally:
        await connection.close()
