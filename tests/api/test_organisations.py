"""Organisations: what they must be registered with, who changes them, and what stops when one is suspended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY, HOSPITAL, LOCUMS, MUNICIPALITY, NURSING, OTHER_PRACTICE, PRACTICE, REGION
from tests.api.room import ABSENT, faults_of, fresh_key, problem_of
from tests.serving import Instance
from tests.stories import account_of, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]
Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PRACTICE_BODY: Json = {"kind": "gp_practice", "name": "Huisartsenpraktijk Nieuw", "agb": "01000001"}


@pytest.fixture
async def owner(database: Urls) -> AsyncIterator[Owner]:
    """The database itself, past every policy."""
    connection = await asyncpg.connect(database.superuser)
    yield connection
    await connection.close()


async def no_agreement(owner: Owner, *organisations: object) -> None:
    await owner.execute(
        "update organisation set agreement_reference = null, agreement_on = null where id = any($1)",
        [one.id for one in organisations],  # type: ignore[attr-defined]  # of the demo
    )


# Creating


async def test_a_new_organisation_is_active_has_nobody_and_no_agreement(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    made = await admin.made("/organisations", {**PRACTICE_BODY, "ura": "1234", "kvk": "12345678"})
    assert made["ura"] == "00001234"
    assert (made["status"], made["people"], made["cooperationAgreement"]) == ("active", [], None)
    assert made["mergedIntoOrganisationId"] is None
    assert (await admin.get(f"/organisations/{made['id']}")).json() == made
    listed = [one["id"] for one in (await admin.get("/organisations")).json()["items"]]
    assert made["id"] in listed


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"kind": "gp_practice", "name": "x"}, {"/agb": "missing"}),
        ({"kind": "municipality", "name": "x"}, {"/oin": "missing", "/municipalityCode": "missing"}),
        ({**PRACTICE_BODY, "municipalityCode": "0935"}, {"/municipalityCode": "not-of-this-kind"}),
        ({**PRACTICE_BODY, "agb": "1234567"}, {"/agb": "wrong-form"}),
        ({**PRACTICE_BODY, "agb": "01000001\n"}, {"/agb": "wrong-form"}),
        ({**PRACTICE_BODY, "agb": "\u0661" * 8}, {"/agb": "wrong-form"}),
        ({**PRACTICE_BODY, "ura": "123456789"}, {"/ura": "wrong-form"}),
        ({**PRACTICE_BODY, "oin": "1" * 19}, {"/oin": "wrong-form"}),
        ({**PRACTICE_BODY, "kvk": ""}, {"/kvk": "wrong-form"}),
        ({**PRACTICE_BODY, "name": ""}, {"/name": "too-short"}),
        ({**PRACTICE_BODY, "kind": "bank"}, {"/kind": "not-allowed"}),
        ({**PRACTICE_BODY, "status": "merged"}, {"": "unknown-member"}),
    ],
)
async def test_an_organisation_needs_the_registrations_of_its_kind(
    instance: Instance, body: Json, faults: dict[str, str]
) -> None:
    assert faults_of(await (await instance.as_("region-admin")).post("/organisations", body)) == faults


async def test_a_number_that_is_in_use_is_a_conflict_that_names_nobody(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    first = await admin.made("/organisations", {**PRACTICE_BODY, "ura": "77"})
    for taken in ({"agb": "01000001"}, {"agb": "01000009", "ura": "00000077"}):
        answer = await admin.post("/organisations", {**PRACTICE_BODY, **taken})
        assert (answer.status_code, problem_of(answer)["code"]) == (409, "registration-taken")
        assert str(first["id"]) not in answer.text
        assert str(first["name"]) not in answer.text


async def test_the_same_key_makes_one_organisation(instance: Instance) -> None:
    admin, key = await instance.as_("region-admin"), fresh_key()
    first = await admin.post("/organisations", PRACTICE_BODY, Idempotency_Key=key)
    again = await admin.post("/organisations", PRACTICE_BODY, Idempotency_Key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


# Reading and changing


async def test_an_administrator_reads_the_own_organisation_and_no_other(instance: Instance) -> None:
    own, other = await instance.as_("org-admin"), await instance.as_("org-admin-other")
    shown = (await own.get(f"/organisations/{PRACTICE.id}")).json()
    assert shown["agb"] == "01999901"
    assert shown["cooperationAgreement"] == {"reference": "SOK-2026-1", "signedOn": "2026-01-01"}
    assert {one["role"]: one["people"] for one in shown["people"]} == {"gp": 1, "poh": 2, "org_admin": 1}
    refused = await other.get(f"/organisations/{PRACTICE.id}")
    absent = await other.get(f"/organisations/{ABSENT}")
    assert (refused.status_code, refused.content) == (404, absent.content)
    assert (await other.get(f"/organisations/{OTHER_PRACTICE.id}")).status_code == 200


async def test_of_two_who_change_at_once_the_second_is_told(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    path = f"/organisations/{PRACTICE.id}"
    tag = (await admin.get(path)).headers["etag"]
    assert problem_of(await admin.request("PATCH", path, {"name": "A"}))["status"] == 428

    async def change(name: str) -> tuple[int, str]:
        answer = await admin.request("PATCH", path, {"name": name}, headers={"If-Match": tag})
        return answer.status_code, name

    outcomes = sorted(await asyncio.gather(change("Naam A"), change("Naam B")))
    assert [status for status, _ in outcomes] == [200, 412]
    shown = await admin.get(path)
    assert shown.json()["name"] == outcomes[0][1]
    assert shown.headers["etag"] != tag


async def test_a_change_keeps_what_it_does_not_name_and_is_held_to_the_kind(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    path = f"/organisations/{MUNICIPALITY.id}"

    async def patch(body: Json) -> Any:
        tag = (await admin.get(path)).headers["etag"]
        return await admin.request("PATCH", path, body, headers={"If-Match": tag})

    changed = (await patch({"kvk": "87654321", "name": "Gemeente Heuvelrijk"})).json()
    assert (changed["kvk"], changed["name"], changed["municipalityCode"]) == (
        "87654321",
        "Gemeente Heuvelrijk",
        "0935",
    )
    assert (await patch({"kvk": None})).json()["kvk"] is None
    assert faults_of(await patch({"oin": None})) == {"/oin": "missing"}
    assert faults_of(await patch({"kind": "welfare"})) == {"": "unknown-member"}
    assert problem_of(await patch({"agb": "01999901"}))["code"] == "registration-taken"
    assert (await patch({})).json()["name"] == "Gemeente Heuvelrijk"


# Suspension


async def test_a_suspended_organisation_stops_at_once_and_goes_on_where_it_was(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True)
    medication = await thread(table, "medication")
    nurse, admin = await table.as_("district-nurse"), await table.as_("region-admin")
    assert (await nurse.get(f"/threads/{medication}")).status_code == 200
    async with talking(nurse, table.case_id) as talk:
        answer = await admin.post(f"/organisations/{NURSING.id}/suspension")
        assert (answer.status_code, answer.json()["status"]) == (201, "suspended")
        assert await talk.close_code() == 4401
    assert (await nurse.get("/me")).status_code == 401
    gp = await table.as_("gp")
    held = {one["memberId"] for one in (await gp.get(f"/cases/{table.case_id}/access")).json()["items"]}
    assert table.members["district-nurse"] not in held
    assert problem_of(await admin.post(f"/organisations/{NURSING.id}/suspension"))["code"] == "office-not-active"

    assert (await admin.post(f"/organisations/{NURSING.id}/resumption")).json()["status"] == "active"
    assert (await nurse.get("/me")).status_code == 401, "a session that ended does not come back"
    instance.tokens.pop("district-nurse")
    again = await instance.as_("district-nurse")
    assert (await again.get(f"/threads/{medication}")).status_code == 200
    assert problem_of(await admin.post(f"/organisations/{NURSING.id}/resumption"))["code"] == "office-not-suspended"


async def test_a_suspension_stops_everybody_of_the_organisation_and_nobody_else(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    stopped = [await instance.as_(key) for key in ("gp", "poh", "org-admin")]
    others = [await instance.as_(key) for key in ("gp-other", "social-worker", "citizen", "org-admin-other")]
    await admin.made(f"/organisations/{PRACTICE.id}/suspension")
    assert {(await caller.get("/me")).status_code for caller in stopped} == {401}
    assert {(await caller.get("/me")).status_code for caller in others} == {200}
    again = await instance.http.post("/demo-tokens", json={"persona": "gp"})
    assert again.status_code == 401, "nor is there anything to sign in with while it lasts"


# Mergers


async def test_a_merged_organisation_keeps_its_name_and_hands_over_its_people(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "gp-locum")
    admin, heir, gp = [await instance.as_(key) for key in ("region-admin", "org-admin-other", "gp")]
    assert (await heir.get(f"/organisations/{LOCUMS.id}")).status_code == 404
    before = (await gp.get(f"/cases/{table.case_id}/members")).json()
    merged = await admin.made(f"/organisations/{LOCUMS.id}/merger", {"intoOrganisationId": str(OTHER_PRACTICE.id)})
    assert (merged["status"], merged["name"]) == ("merged", LOCUMS.name)
    assert merged["mergedIntoOrganisationId"] == str(OTHER_PRACTICE.id)
    assert (await heir.get(f"/organisations/{LOCUMS.id}")).status_code == 200
    assert (await gp.get(f"/cases/{table.case_id}/members")).json() == before
    assert (await (await instance.as_("gp-locum")).get("/me")).json()["organisation"]["name"] == LOCUMS.name
    tag = (await admin.get(f"/organisations/{LOCUMS.id}")).headers["etag"]
    renamed = await admin.request(
        "PATCH", f"/organisations/{LOCUMS.id}", {"name": "Anders"}, headers={"If-Match": tag}
    )
    assert problem_of(renamed)["code"] == "office-not-active"


async def test_mergers_make_no_chains_and_nothing_merges_into_what_stopped(instance: Instance) -> None:
    admin = await instance.as_("region-admin")

    async def merge(one: object, into: object) -> Any:
        return await admin.post(
            f"/organisations/{one.id}/merger",  # type: ignore[attr-defined]  # of the demo
            {"intoOrganisationId": str(into.id)},  # type: ignore[attr-defined]
        )

    assert problem_of(await merge(LOCUMS, LOCUMS))["code"] == "no-merger"
    assert (await merge(LOCUMS, OTHER_PRACTICE)).status_code == 201
    assert problem_of(await merge(NURSING, LOCUMS))["code"] == "no-merger"
    assert problem_of(await merge(LOCUMS, PRACTICE))["code"] == "no-merger"
    assert (await merge(OTHER_PRACTICE, PRACTICE)).status_code == 201
    shown = (await admin.get(f"/organisations/{LOCUMS.id}")).json()
    assert shown["mergedIntoOrganisationId"] == str(PRACTICE.id)
    await admin.made(f"/organisations/{HOSPITAL.id}/suspension")
    assert problem_of(await merge(NURSING, HOSPITAL))["code"] == "no-merger"
    assert problem_of(await merge(HOSPITAL, NURSING))["code"] == "no-merger"
    absent = await admin.post(f"/organisations/{NURSING.id}/merger", {"intoOrganisationId": ABSENT})
    assert faults_of(absent) == {"/intoOrganisationId": "not-found"}
    assert (await admin.post(f"/organisations/{ABSENT}/merger", {"intoOrganisationId": ABSENT})).status_code in {
        400,
        404,
    }


async def test_two_mergers_at_once_leave_no_chain(instance: Instance, owner: Owner) -> None:
    admin = await instance.as_("region-admin")
    await asyncio.gather(
        admin.post(f"/organisations/{LOCUMS.id}/merger", {"intoOrganisationId": str(OTHER_PRACTICE.id)}),
        admin.post(f"/organisations/{OTHER_PRACTICE.id}/merger", {"intoOrganisationId": str(LOCUMS.id)}),
        admin.post(f"/organisations/{OTHER_PRACTICE.id}/merger", {"intoOrganisationId": str(PRACTICE.id)}),
    )
    chains = await owner.fetchval(
        "select count(*) from organisation a join organisation b on b.id = a.merged_into_id"
        " where b.merged_into_id is not null"
    )
    assert chains == 0


async def test_what_merged_is_suspended_and_resumed_with_its_successor(instance: Instance) -> None:
    admin, locum = await instance.as_("region-admin"), await instance.as_("gp-locum")
    await admin.made(f"/organisations/{LOCUMS.id}/merger", {"intoOrganisationId": str(OTHER_PRACTICE.id)})
    assert (await locum.get("/me")).status_code == 200
    assert problem_of(await admin.post(f"/organisations/{LOCUMS.id}/suspension"))["code"] == "office-not-active"
    await admin.made(f"/organisations/{OTHER_PRACTICE.id}/suspension")
    assert (await locum.get("/me")).status_code == 401
    assert problem_of(await admin.post(f"/organisations/{LOCUMS.id}/resumption"))["code"] == "office-not-suspended"
    await admin.made(f"/organisations/{OTHER_PRACTICE.id}/resumption")
    assert (await admin.get(f"/organisations/{LOCUMS.id}")).json()["status"] == "merged"
    assert await instance.sign_in("gp-locum")


# Borders


async def invited(instance: Instance, case_id: str, persona: str, *, by: str = "gp") -> Any:
    caller = await instance.as_(by)
    body = {
        "accountId": await account_of(instance, persona),
        "caseRole": "deelnemer",
        "reasonCode": "consultation",
    }
    return await caller.post(f"/cases/{case_id}/members", body)


async def test_who_has_no_agreement_is_not_invited_by_others(instance: Instance, owner: Owner) -> None:
    table = await open_table(instance)
    await no_agreement(owner, HOSPITAL)
    answer = await invited(instance, table.case_id, "specialist")
    assert (answer.status_code, problem_of(answer)["code"]) == (409, "no-cooperation-agreement")
    assert HOSPITAL.name not in answer.text
    assert str(HOSPITAL.id) not in answer.text
    admin = await instance.as_("region-admin")
    signed = await admin.made(
        f"/organisations/{HOSPITAL.id}/cooperation-agreement", {"reference": "SOK-9", "signedOn": "2026-02-01"}
    )
    assert signed["cooperationAgreement"] == {"reference": "SOK-9", "signedOn": "2026-02-01"}
    assert (await invited(instance, table.case_id, "specialist")).status_code == 201


async def test_who_has_no_agreement_works_on_its_own_cases_only(instance: Instance, owner: Owner) -> None:
    await no_agreement(owner, PRACTICE)
    table = await open_table(instance)
    assert (await invited(instance, table.case_id, "poh")).status_code == 201
    assert (await invited(instance, table.case_id, "informal-carer")).status_code == 201
    for persona in ("gp-other", "social-worker"):
        answer = await invited(instance, table.case_id, persona)
        assert (answer.status_code, problem_of(answer)["code"]) == (409, "no-cooperation-agreement")


async def test_at_a_citizen_s_table_too_organisations_meet_only_under_agreements(
    instance: Instance, owner: Owner
) -> None:
    await no_agreement(owner, HOSPITAL)
    table = await open_table(instance)
    citizen = await instance.as_("citizen")
    opened = await citizen.made(
        "/cases", {"kind": "individual", "patientIds": [table.patient_id], "question": "Wat nu?"}
    )
    assert (await invited(instance, str(opened["id"]), "specialist", by="citizen")).status_code == 201
    second = await invited(instance, str(opened["id"]), "gp-other", by="citizen")
    assert problem_of(second)["code"] == "no-cooperation-agreement"


async def test_what_merged_stands_under_its_successor_s_agreement(instance: Instance, owner: Owner) -> None:
    await no_agreement(owner, LOCUMS)
    table = await open_table(instance)
    assert (await invited(instance, table.case_id, "gp-locum")).status_code == 409
    admin = await instance.as_("region-admin")
    await admin.made(f"/organisations/{LOCUMS.id}/merger", {"intoOrganisationId": str(OTHER_PRACTICE.id)})
    assert (await invited(instance, table.case_id, "gp-locum")).status_code == 201


async def test_the_database_refuses_a_seat_across_a_border_too(
    instance: Instance, owner: Owner, database: Urls
) -> None:
    table = await open_table(instance)
    await no_agreement(owner, HOSPITAL)
    session = await owner.fetchval(
        "select id from login_session where engagement_id = $1 and ended_at is null", BY_KEY["gp"].engagement_id
    )
    app = await asyncpg.connect(database.app)
    try:
        transaction = app.transaction()
        await transaction.start()
        await app.fetchrow("select * from enter($1, null)", session)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(
                "insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, status,"
                " invited_by_engagement_id, invited_at, history_from_seq)"
                " values ($1, gen_random_uuid(), 'person', $2, 'deelnemer', false, 'invited', $3,"
                " current_instant(), 0)",
                table.case_id,
                BY_KEY["specialist"].engagement_id,
                BY_KEY["gp"].engagement_id,
            )
        await transaction.rollback()
    finally:
        await app.close()


async def test_an_agreement_is_of_the_past_and_only_a_newer_one_replaces_it(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    path = f"/organisations/{REGION.id}/cooperation-agreement"
    assert faults_of(await admin.post(path, {"reference": "A", "signedOn": "9999-01-01"})) == {
        "/signedOn": "in-future"
    }
    same = await admin.post(path, {"reference": "A", "signedOn": "2026-01-01"})
    assert problem_of(same)["code"] == "agreement-recorded"
    newer = await admin.made(path, {"reference": "B", "signedOn": "2026-01-02"})
    assert newer["cooperationAgreement"] == {"reference": "B", "signedOn": "2026-01-02"}
