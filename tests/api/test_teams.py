"""Teams: where they work and when, who is in them, and what that opens."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY, HOSPITAL, TEAM_ID
from tests.api.room import ABSENT, faults_of, fresh_key, problem_of
from tests.serving import Caller, Instance
from tests.stories import consent, open_table, seat, thread

Json = dict[str, Any]
Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
TEAM = f"/teams/{TEAM_ID}"
SHARED = "social_participation"


@pytest.fixture
async def owner(database: Urls) -> AsyncIterator[Owner]:
    """The database itself, past every policy."""
    connection = await asyncpg.connect(database.superuser)
    yield connection
    await connection.close()


def engagement(persona: str) -> str:
    return str(BY_KEY[persona].engagement_id)


def later(**by: float) -> str:
    return (datetime.now(UTC) + timedelta(**by)).isoformat()


async def changed(admin: Caller, path: str, body: Json) -> Any:
    tag = (await admin.get(path)).headers["etag"]
    return await admin.request("PATCH", path, body, headers={"If-Match": tag})


def names(team: Json) -> list[str]:
    return [one["neighbourhood"] for one in team["neighbourhoods"]]


async def test_a_team_works_in_neighbourhoods_from_now_on_and_until_told_otherwise(instance: Instance) -> None:
    admin, key = await instance.as_("region-admin"), fresh_key()
    body: Json = {"name": "Team Oost", "neighbourhoods": [{"neighbourhood": "limmel"}, {"neighbourhood": "amby"}]}
    made = (await admin.post("/teams", body, Idempotency_Key=key)).json()
    assert (await admin.post("/teams", body, Idempotency_Key=key)).json() == made
    path = f"/teams/{made['id']}"
    assert names(made) == ["amby", "limmel"]
    assert all(one["validUntil"] is None for one in made["neighbourhoods"])
    start = later(days=2)
    wanted = [{"neighbourhood": "limmel"}, {"neighbourhood": "heer", "validFrom": start}]
    moved = (await changed(admin, path, {"neighbourhoods": wanted})).json()
    assert names(moved) == ["heer", "limmel"]
    assert moved["neighbourhoods"][1]["validFrom"] == made["neighbourhoods"][1]["validFrom"], "it never stopped"
    back = (await changed(admin, path, {"name": "Team Noord", "neighbourhoods": []})).json()
    assert (back["name"], names(back)) == ("Team Noord", [])


@pytest.mark.parametrize(
    ("neighbourhoods", "faults"),
    [
        ([{"neighbourhood": "Limmel"}], {"/neighbourhoods/0/neighbourhood": "wrong-form"}),
        ([{"neighbourhood": "a", "validFrom": "2020-01-01T00:00:00Z"}], {"/neighbourhoods/0/validFrom": "past"}),
        (
            [{"neighbourhood": "a", "validUntil": "2020-01-01T00:00:00Z"}],
            {"/neighbourhoods/0/validUntil": "ends-early"},
        ),
        ([{"neighbourhood": "a"}, {"neighbourhood": "a"}], {"/neighbourhoods/1/neighbourhood": "repeated"}),
    ],
)
async def test_a_period_of_the_past_or_none_at_all_is_refused(
    instance: Instance, neighbourhoods: list[Json], faults: dict[str, str]
) -> None:
    admin = await instance.as_("region-admin")
    assert faults_of(await admin.post("/teams", {"name": "x", "neighbourhoods": neighbourhoods})) == faults
    assert faults_of(await changed(admin, TEAM, {"neighbourhoods": neighbourhoods})) == faults


async def test_of_two_who_change_a_team_at_once_the_second_is_told(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    tag = (await admin.get(TEAM)).headers["etag"]
    assert (await admin.request("PATCH", TEAM, {"name": "A"})).status_code == 428
    answers = await asyncio.gather(
        *(admin.request("PATCH", TEAM, {"name": name}, headers={"If-Match": tag}) for name in ("A", "B"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_who_joins_a_team_reads_what_was_consented_to_it_until_leaving(instance: Instance) -> None:
    table = await open_table(instance)
    for persona in ("social-worker", "youth-consultant"):
        await seat(table, persona)
    shared = await thread(table, SHARED)
    await consent(table, "social-worker", SHARED, recipients=[{"type": "team", "id": str(TEAM_ID)}])
    admin, worker, newcomer = [await table.as_(key) for key in ("region-admin", "social-worker", "youth-consultant")]

    async def read() -> int:
        return (await newcomer.get(f"/threads/{shared}")).status_code

    assert (await worker.get(f"/threads/{shared}")).status_code == 200
    assert await read() == 404
    body = {"engagementId": engagement("youth-consultant")}
    joined = await admin.post(f"{TEAM}/members", body)
    assert joined.status_code == 201
    assert await read() == 200
    listed = (await worker.get(f"{TEAM}/members")).json()["items"]
    assert engagement("youth-consultant") in {one["engagementId"] for one in listed}
    assert problem_of(await admin.post(f"{TEAM}/members", body))["code"] == "already-in-team"
    assert (await admin.delete(f"{TEAM}/members/{engagement('youth-consultant')}")).status_code == 204
    assert await read() == 404
    assert (await admin.delete(f"{TEAM}/members/{engagement('youth-consultant')}")).status_code == 404
    assert (await admin.post(f"{TEAM}/members", body)).status_code == 201, "whoever left may come back"


async def test_a_suspended_team_opens_nothing(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    shared = await thread(table, SHARED)
    await consent(table, "social-worker", SHARED, recipients=[{"type": "team", "id": str(TEAM_ID)}])
    admin, worker = await table.as_("region-admin"), await table.as_("social-worker")
    assert (await worker.get(f"/threads/{shared}")).status_code == 200
    assert (await admin.post(f"{TEAM}/suspension")).json()["status"] == "suspended"
    assert (await worker.get(f"/threads/{shared}")).status_code == 404
    joins = await admin.post(f"{TEAM}/members", {"engagementId": engagement("gp")})
    assert problem_of(joins)["code"] == "office-not-active"
    assert problem_of(await admin.post(f"{TEAM}/suspension"))["code"] == "office-not-active"
    assert (await admin.post(f"{TEAM}/resumption")).json()["status"] == "active"
    assert (await worker.get(f"/threads/{shared}")).status_code == 200
    assert problem_of(await admin.post(f"{TEAM}/resumption"))["code"] == "office-not-suspended"


async def test_a_merged_team_keeps_its_people_and_hands_on_its_neighbourhoods(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    shared = await thread(table, SHARED)
    await consent(table, "social-worker", SHARED, recipients=[{"type": "team", "id": str(TEAM_ID)}])
    admin, worker = await table.as_("region-admin"), await table.as_("social-worker")
    await changed(admin, TEAM, {"neighbourhoods": [{"neighbourhood": "nazareth"}]})
    heir = await admin.made("/teams", {"name": "Team Noordoost", "neighbourhoods": [{"neighbourhood": "limmel"}]})
    merged = await admin.made(f"{TEAM}/merger", {"intoTeamId": heir["id"]})
    assert (merged["status"], merged["mergedIntoTeamId"], merged["neighbourhoods"]) == ("merged", heir["id"], [])
    assert names((await admin.get(f"/teams/{heir['id']}")).json()) == ["limmel", "nazareth"]
    assert (await worker.get(f"/threads/{shared}")).status_code == 200, "what was consented to the team stays open"
    assert (await admin.get(f"/teams/{heir['id']}/members")).json()["items"] == []
    for path, body in ((f"{TEAM}/merger", {"intoTeamId": heir["id"]}), (f"/teams/{heir['id']}/merger", None)):
        answer = await admin.post(path, body or {"intoTeamId": str(TEAM_ID)})
        assert problem_of(answer)["code"] == "no-merger"
    own = await admin.post(f"/teams/{heir['id']}/merger", {"intoTeamId": heir["id"]})
    assert problem_of(own)["code"] == "no-merger"
    absent = await admin.post(f"/teams/{heir['id']}/merger", {"intoTeamId": ABSENT})
    assert faults_of(absent) == {"/intoTeamId": "not-found"}


async def test_a_membership_is_of_the_future_and_of_an_engagement_that_lasts(
    instance: Instance, owner: Owner
) -> None:
    admin, path = await instance.as_("region-admin"), f"{TEAM}/members"

    async def add(persona: str, **more: str) -> Any:
        return await admin.post(path, {"engagementId": engagement(persona), **more})

    assert faults_of(await add("gp", validFrom="2026-01-01T00:00:00Z")) == {"/validFrom": "past"}
    assert faults_of(await add("gp", validFrom=later(days=2), validUntil=later(days=1))) == {
        "/validUntil": "ends-early"
    }
    for persona in ("citizen", "informal-carer", "auditor", "integration"):
        assert faults_of(await add(persona)) == {"/engagementId": "not-found"}
    assert faults_of(await admin.post(path, {"engagementId": ABSENT})) == {"/engagementId": "not-found"}
    await owner.execute(
        "update engagement set valid_until = now() - interval '1 day' where id = $1",
        BY_KEY["specialist"].engagement_id,
    )
    assert faults_of(await add("specialist")) == {"/engagementId": "ended"}
    assert (await add("gp", validFrom=later(days=3), validUntil=later(days=5))).status_code == 201
    overlapping = await add("gp", validFrom=later(days=1), validUntil=later(days=4))
    assert problem_of(overlapping)["code"] == "already-in-team"
    assert (await add("gp", validFrom=later(days=6))).status_code == 201
    assert (await admin.delete(f"{path}/{engagement('gp')}")).status_code == 204
    listed = (await admin.get(path)).json()["items"]
    assert engagement("gp") not in {one["engagementId"] for one in listed}, "what had not begun is taken back"


async def test_twice_the_same_membership_at_once_is_one(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    body = {"engagementId": engagement("gp")}
    answers = await asyncio.gather(*(admin.post(f"{TEAM}/members", body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_an_administrator_moves_its_own_people_and_no_others(instance: Instance) -> None:
    own, other, region = [await instance.as_(key) for key in ("org-admin", "org-admin-other", "region-admin")]
    body = {"engagementId": engagement("gp")}
    assert faults_of(await other.post(f"{TEAM}/members", body)) == {"/engagementId": "not-found"}
    assert (await own.post(f"{TEAM}/members", body)).status_code == 201
    there = await other.delete(f"{TEAM}/members/{engagement('gp')}")
    absent = await other.delete(f"{TEAM}/members/{ABSENT}")
    assert (there.status_code, there.content) == (404, absent.content)
    assert (await own.delete(f"{TEAM}/members/{engagement('gp')}")).status_code == 204
    assert (await own.delete(f"{TEAM}/members/{engagement('social-worker')}")).status_code == 404
    assert (await region.delete(f"{TEAM}/members/{engagement('social-worker')}")).status_code == 204


async def test_people_of_several_organisations_are_in_a_team_under_agreements_only(
    instance: Instance, owner: Owner
) -> None:
    admin = await instance.as_("region-admin")
    await owner.execute(
        "update organisation set agreement_reference = null, agreement_on = null where id = $1", HOSPITAL.id
    )
    refused = await admin.post(f"{TEAM}/members", {"engagementId": engagement("specialist")})
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "no-cooperation-agreement")
    alone = await admin.made("/teams", {"name": "Alleen wij"})
    path = f"/teams/{alone['id']}/members"
    assert (await admin.post(path, {"engagementId": engagement("specialist")})).status_code == 201
    second = await admin.post(path, {"engagementId": engagement("gp")})
    assert problem_of(second)["code"] == "no-cooperation-agreement"
