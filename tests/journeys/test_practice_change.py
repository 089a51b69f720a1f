"""Going to another GP practice: nothing changes before a GP there accepts, then everything in one commit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY, LOCUMS, NURSING, OTHER_PRACTICE, PRACTICE
from tests.api.room import ABSENT, DECIDED, faults_of, problem_of
from tests.api.test_shielding import household
from tests.serving import Caller, Instance
from tests.stories import NAMES, Table, account_of, citizen_bsn, consent, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]
TO_OTHER: Json = {"organisationId": str(OTHER_PRACTICE.id)}
SOCIAL = "social_participation"


def conflict(answer: httpx.Response) -> str:
    """Return the code of a 409."""
    assert answer.status_code == 409, answer.text
    return str(problem_of(answer)["code"])


async def items(caller: Caller, path: str) -> list[Json]:
    answer = await caller.get(path)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["items"]
    return found


async def told(caller: Caller, about: object) -> set[str]:
    return {one["kind"] for one in await items(caller, "/notices") if one["about"] == about}


async def status(caller: Caller, path: str) -> int:
    return (await caller.get(path)).status_code


async def set_table(instance: Instance) -> Table:
    """The GP's case: practice nurse, district nurse and social worker sit there, and a locum stands in for the GP."""
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    locum = {"kind": "locum", "substituteEngagementId": str(BY_KEY["gp-locum"].engagement_id), "validUntil": until}
    await (await table.as_("gp")).made("/replacements", locum)
    return table


async def test_the_other_practice_takes_over_in_one_commit_and_asks_anew(instance: Instance, database: Urls) -> None:
    table = await set_table(instance)
    case = f"/cases/{table.case_id}"
    changes = f"{case}/practice-changes"
    roles = ("gp", "poh", "gp-locum", "gp-other", "district-nurse", "social-worker", "citizen")
    gp, poh, locum, other, nurse, worker, citizen = [await instance.as_(one) for one in roles]
    medication = f"/threads/{await thread(table, 'medication')}"
    daily = f"/threads/{await thread(table, 'functional_adl', by='district-nurse')}"
    await gp.made(f"{case}/members/{table.members['social-worker']}/public-tasks", {"law": "wmo2015"})
    stays = await consent(table, "social-worker", "medication")
    practice = [{"type": "organisation", "id": str(PRACTICE.id)}]
    both = [{"type": "member", "id": table.members[one]} for one in ("poh", "district-nurse")]
    alone = await consent(table, "poh", SOCIAL, by="social-worker", recipients=practice)
    shared = await consent(table, "poh", "living_situation", by="social-worker", recipients=both)
    social = f"/threads/{await thread(table, SOCIAL, by='social-worker')}"
    await poh.made(f"{medication}/messages", {"text": "Van de praktijkverpleegkundige"})
    assert [await status(one, social) for one in (gp, poh, locum, nurse)] == [200, 200, 200, 404]
    assert [await status(one, medication) for one in (gp, poh, locum, worker, other)] == [200, 200, 200, 200, 404]

    # Must fail: who has no say, and a practice that nobody can go to.
    for caller, code in ((other, 404), (poh, 403), (nurse, 403), (worker, 403), (locum, 403)):
        assert (caller.persona, (await caller.post(changes, TO_OTHER)).status_code) == (caller.persona, code)
    region = await instance.as_("region-admin")
    new = {"kind": "gp_practice", "name": "Huisartsenpraktijk Nieuw", "agb": "01999977"}
    made = await region.made("/organisations", new)
    empty: Json = {"organisationId": made["id"]}
    for organisation, fault in (
        (ABSENT, "not-a-practice"),
        (str(NURSING.id), "not-a-practice"),
        (str(PRACTICE.id), "same-practice"),
        (str(made["id"]), "no-gp"),
    ):
        assert faults_of(await gp.post(changes, {"organisationId": organisation})) == {"/organisationId": fault}
    await region.made(f"/organisations/{made['id']}/suspension")
    assert faults_of(await gp.post(changes, empty)) == {"/organisationId": "not-active"}
    elsewhere = {**TO_OTHER, "fromOrganisationId": str(LOCUMS.id)}
    assert faults_of(await gp.post(changes, elsewhere)) == {"/fromOrganisationId": "not-at-the-table"}
    assert faults_of(await gp.post(changes, {})) == {"/organisationId": "missing"}

    # The citizen announces it; the practice that is asked learns nothing of whom it is about.
    asked: Json = await citizen.made(changes, TO_OTHER, Idempotency_Key="goes")
    assert (await citizen.made(changes, TO_OTHER, Idempotency_Key="goes"))["id"] == asked["id"]
    assert (asked["state"], asked["from"]["id"], asked["to"]["id"]) == (
        "announced",
        str(PRACTICE.id),
        str(OTHER_PRACTICE.id),
    )
    assert conflict(await gp.post(changes, TO_OTHER)) == "practice-change-open"
    (waiting,) = await items(other, "/practice-changes")
    assert (waiting["id"], waiting["announcedBy"], asked["announcedBy"]["role"]) == (asked["id"], None, "citizen")
    assert "Lemmens" not in str(waiting)
    assert await told(other, asked["id"]) == {"practice_change_asked"}
    assert await told(citizen, asked["id"]) == set(), "she did it herself"
    assert [await status(one, case) for one in (other, gp)] == [404, 200], "nothing changed yet"
    assert [await status(one, changes) for one in (other, locum, nurse)] == [404, 403, 403]

    # Must fail: an answer by anybody but a GP of that practice.
    for verb, body in (("acceptance", None), ("refusal", {"reason": "full"})):
        for persona, code in (("poh", 403), ("gp", 403), ("gp-locum", 403), ("specialist", 403)):
            caller = await instance.as_(persona)
            answer = await caller.post(f"{changes}/{asked['id']}/{verb}", body)
            assert (persona, verb, answer.status_code) == (persona, verb, code)
    assert (await other.post(f"{changes}/{ABSENT}/acceptance")).status_code == 404
    assert (await other.post(f"{changes}/{asked['id']}/withdrawal")).status_code == 404

    # Refused, nothing changes, and that is told; withdrawn, there is nothing to accept.
    refused: Json = await other.made(f"{changes}/{asked['id']}/refusal", {"reason": "full"})
    assert (refused["state"], refused["reason"], refused["decidedBy"]["role"]) == ("refused", "full", "gp")
    assert await told(citizen, asked["id"]) == await told(gp, asked["id"]) == {"practice_change_off"}
    assert conflict(await other.post(f"{changes}/{asked['id']}/acceptance")) == "practice-change-decided"
    again: Json = await gp.made(changes, TO_OTHER)
    assert await told(citizen, again["id"]) == {"practice_change_asked"}, "recorded on her word, so she is told"
    await citizen.made(f"{changes}/{again['id']}/withdrawal")
    assert conflict(await other.post(f"{changes}/{again['id']}/acceptance")) == "practice-change-decided"
    assert conflict(await gp.post(f"{changes}/{again['id']}/withdrawal")) == "practice-change-decided"
    assert (await items(other, "/practice-changes"), await told(other, again["id"])) == ([], set())

    # Must fail: where nothing goes on there is nothing to take over.
    third: Json = await gp.made(changes, TO_OTHER)
    accepting = f"{changes}/{third['id']}/acceptance"
    root = await asyncpg.connect(database.superuser)
    await root.execute("update care_case set status = 'closed'")
    assert conflict(await other.post(accepting)) == "case-closed"
    assert conflict(await gp.post(changes, TO_OTHER)) == "case-closed"
    await root.execute("update care_case set status = 'open'")

    # Accepted: one side ends and the other begins, on open sockets too.
    async with talking(poh, table.case_id) as ear, talking(nurse, table.case_id) as neighbour:
        taken: Json = await other.made(accepting, Idempotency_Key="takes")
        assert (await ear.hear("ended"))["why"] == "practice-changed"
        await neighbour.event("member.accepted")
    assert (await other.made(accepting, Idempotency_Key="takes"))["id"] == taken["id"]
    assert taken["state"] == "accepted"
    assert conflict(await other.post(accepting)) == "practice-change-decided"
    assert [await status(one, medication) for one in (gp, poh, locum)] == [404, 404, 404]
    assert [await status(one, case) for one in (gp, poh, locum)] == [404, 404, 404]
    assert [await status(one, medication) for one in (other, nurse, worker)] == [200, 200, 200]
    assert await status(other, daily) == 200, "what treatment needs comes with the case"
    seated = [one for one in await items(other, f"{case}/members") if one["status"] == "accepted"]
    people = {one["person"]["role"]: one for one in seated}
    assert "poh" not in people
    assert (people["gp"]["caseRole"], people["gp"]["directTreatment"]) == ("regiebehandelaar", True)
    assert {one["ground"] for one in await items(other, f"{case}/access")} >= {"direct_treatment", "public_task"}
    assert await told(citizen, third["id"]) == {"practice_changed"}
    assert await told(gp, third["id"]) == await told(poh, third["id"]) == {"practice_changed"}
    assert await told(other, third["id"]) == {"practice_changed"}
    assert [one["text"] for one in await items(poh, f"/contributions?caseId={table.case_id}")] == [
        "Van de praktijkverpleegkundige"
    ], "what one wrote one takes along"

    # What was agreed to for the practice is asked anew, and opens nothing before the citizen says so.
    assert [await status(one, social) for one in (other, gp, poh)] == [404, 404, 404]
    known = {one["id"]: one for one in await items(citizen, f"{case}/consents")}
    assert [known[one]["status"] for one in (stays, alone, shared)] == ["active", "superseded", "active"]
    offers = {one["refersTo"]["id"]: one for one in known.values() if one["status"] == "asked"}
    assert {one["refersTo"]["as"] for one in offers.values()} == {"transfer"}
    assert offers.keys() == {alone, shared}
    assert [await told(citizen, one["id"]) for one in offers.values()] == [{"consent_asked"}] * 2
    assert [one["id"] for one in offers[alone]["recipients"]] == [str(OTHER_PRACTICE.id)]
    assert [one["id"] for one in offers[shared]["recipients"]] == [people["gp"]["id"]]
    assert offers[alone]["categories"] == [SOCIAL]
    decided = f"/consents/{offers[alone]['id']}/decisions"
    assert (await other.post(decided, {"decision": "yes", **DECIDED})).status_code == 403, "not in one's own favour"
    own = {**DECIDED, "decision": "yes", "method": "digital_2fa"}
    assert (await citizen.made(decided, own))["status"] == "active"
    assert await status(other, social) == 200
    assert await told(citizen, offers[alone]["id"]) == set()
    by_worker = f"/consents/{offers[shared]['id']}/decisions"
    assert (await worker.made(by_worker, {"decision": "yes", **DECIDED}))["status"] == "active"

    # The case is the new practice's: its colleagues sit down at once, and the former GP asks like anybody.
    body = {"accountId": await account_of(instance, "gp"), "caseRole": "deelnemer", "reasonCode": "transfer"}
    assert (await other.made(f"{case}/members", body))["status"] == "invited"
    assert (await gp.get("/practice-changes")).json()["items"] == []

    # Must fail: for somebody who died.
    await other.made(f"{case}/deaths", {"patientId": table.patient_id, "diedOn": "2026-01-31"})
    assert conflict(await other.post(changes, {"organisationId": str(PRACTICE.id)})) == "patient-died"
    await root.close()


async def test_who_says_so_who_is_asked_and_whose_role_falls_free(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True, caseRole="casemanager")
    case = f"/cases/{table.case_id}"
    changes = f"{case}/practice-changes"
    gp, poh, other, citizen = [await instance.as_(one) for one in ("gp", "poh", "gp-other", "citizen")]
    medication = f"/threads/{await thread(table, 'medication')}"

    # Whom the citizen keeps away is not asked, and finds nothing to accept.
    kept = {"patientId": table.patient_id, "accountId": str(BY_KEY["gp-other"].account_id)}
    exclusion = await citizen.made(f"{case}/exclusions", kept)
    first: Json = await gp.made(changes, TO_OTHER)
    assert (await items(other, "/practice-changes"), await told(other, first["id"])) == ([], set())
    assert (await other.post(f"{changes}/{first['id']}/acceptance")).status_code == 404
    assert (await citizen.delete(f"{case}/exclusions/{exclusion['id']}")).status_code == 204
    assert [one["id"] for one in await items(other, "/practice-changes")] == [first["id"]]
    await gp.made(f"{changes}/{first['id']}/withdrawal")

    # Each person of a household, and somebody with whom others decide, leaves it to a professional.
    shared, _, _ = await household(instance)
    assert (await citizen.post(f"/cases/{shared}/practice-changes", TO_OTHER)).status_code == 403
    young = f"{datetime.now(UTC).year - 14}-01-31"
    body = {"bsn": await citizen_bsn(instance), "name": NAMES, "birthDate": young, "neighbourhood": "limmel"}
    child = (await other.made("/patients", body))["id"]
    opened = await other.made("/cases", {"kind": "individual", "patientIds": [child], "question": "Hoe nu?"})
    to_practice = {"organisationId": str(PRACTICE.id)}
    assert (await citizen.post(f"/cases/{opened['id']}/practice-changes", to_practice)).status_code == 403
    assert (await other.post(f"/cases/{opened['id']}/practice-changes", to_practice)).status_code == 201

    # A GP who sits there already keeps that seat, and becomes case manager where that falls free.
    seated = await seat(table, "gp-other", by="poh")
    assert await status(other, medication) == 404
    second: Json = await poh.made(changes, {**TO_OTHER, "fromOrganisationId": str(PRACTICE.id)})
    await other.made(f"{changes}/{second['id']}/acceptance")
    (member,) = [one for one in await items(other, f"{case}/members") if one["person"]["role"] == "gp"]
    assert (member["id"], member["caseRole"], member["directTreatment"]) == (seated, "casemanager", True)
    assert [await status(one, medication) for one in (other, gp, poh)] == [200, 404, 404]
    assert [one["state"] for one in await items(other, changes)] == ["accepted", "withdrawn"]
