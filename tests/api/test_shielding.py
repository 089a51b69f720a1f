"""What one member must not learn of another: through lists, previews, refusals and the order in which they come."""

from typing import Any

import orjson
import pytest

from tests.api.room import ABSENT, CARE, DECIDED, NAME, SHARED, Room, faults_of
from tests.serving import Caller, Service
from tests.stories import account_of, citizen_bsn, consent, open_table, seat

Json = dict[str, Any]


@pytest.fixture
def instance(room: Room) -> Service:
    """The room's own service: a test that wants a case to itself opens another one there."""
    return room.instance


async def access(caller: Caller, case_id: str, **params: str) -> list[Json]:
    answer = await caller.get(f"/cases/{case_id}/access", **params)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["items"]
    return found


async def household(instance: Service) -> tuple[str, str, str]:
    """Open a case about the citizen and another person; return the case and both patients."""
    table = await open_table(instance)
    gp = await instance.as_("gp")
    other = await gp.made(
        "/patients", {"bsn": "999990032", "name": NAME, "birthDate": "1939-01-02", "neighbourhood": "nazareth"}
    )
    case = await gp.made(
        "/cases",
        {
            "kind": "household",
            "patients": [
                {"patientId": table.patient_id, "question": "Hoe gaat het met haar?"},
                {"patientId": other["id"], "question": "Hoe gaat het met hem?"},
            ],
        },
    )
    return str(case["id"]), table.patient_id, str(other["id"])


async def test_the_manager_sees_who_may_see_what_and_others_their_own(room: Room) -> None:
    own = room.members
    gp, citizen = await room.as_("gp"), await room.as_("citizen")
    for manager in (gp, citizen):
        assert {one["memberId"] for one in await access(manager, room.case_id)} >= set(own.values())
    for persona in ("poh", "district-nurse", "social-worker"):
        rows = await access(await room.as_(persona), room.case_id)
        assert {one["memberId"] for one in rows} == {own[persona]}
    row = next(
        one for one in await access(await room.as_("social-worker"), room.case_id) if one["category"] == SHARED
    )
    assert row == {
        "memberId": own["social-worker"],
        "person": row["person"],
        "onBehalfOf": None,
        "patientId": room.patient_id,
        "category": SHARED,
        "domain": row["domain"],
        "mayWrite": True,
        "ground": "consent",
        "consentId": room.ids["consent"],
        "validUntil": None,
    }
    assert row["person"]["name"] == "Fatima el Amrani"


async def test_an_opener_with_a_case_manager_beside_her_sees_her_own_rows(instance: Service) -> None:
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True, caseRole="casemanager")
    rows = await access(await table.as_("gp"), table.case_id)
    assert len({one["memberId"] for one in rows}) == 1
    everything = await access(await table.as_("district-nurse"), table.case_id)
    assert len({one["memberId"] for one in everything}) == 3


async def test_people_of_one_household_do_not_see_one_another(instance: Service) -> None:
    case_id, hers, his = await household(instance)
    gp, citizen = await instance.as_("gp"), await instance.as_("citizen")
    whole = (await gp.get(f"/cases/{case_id}")).json()
    assert {one["id"]: one["question"] for one in whole["patients"]} == {
        hers: "Hoe gaat het met haar?",
        his: "Hoe gaat het met hem?",
    }
    assert "question" not in whole
    seen = (await citizen.get(f"/cases/{case_id}")).json()
    assert [one["id"] for one in seen["patients"]] == [hers]
    assert "hem" not in str(seen)
    made = {}
    for patient in (hers, his):
        body = {"patientId": patient, "category": CARE, "title": f"Over {patient}"}
        made[patient] = str((await gp.made(f"/cases/{case_id}/threads", body))["id"])
    assert [one["id"] for one in (await citizen.get(f"/cases/{case_id}/threads")).json()["items"]] == [made[hers]]
    assert (await citizen.get(f"/threads/{made[his]}")).status_code == 404
    assert {one["patientId"] for one in await access(citizen, case_id)} == {hers}
    assert {one["patientId"] for one in await access(gp, case_id)} == {hers, his}
    decision = {
        "patientId": his,
        "kind": "lift_secrecy",
        "from": [{"domain": "care"}],
        "recipients": [{"type": "role", "role": "gp"}],
        "categories": [CARE],
        "purpose": "CAREMGT",
        "decidedBy": {"type": "patient"},
        "method": "digital_2fa",
        "textVersion": "nl-2026-1",
    }
    assert (await citizen.post(f"/cases/{case_id}/consents", decision)).status_code == 403


async def test_a_preview_tells_a_recipient_only_what_she_would_lose_herself(room: Room) -> None:
    given = await room.consented(categories=["zrm"], recipients=[{"type": "role", "role": "social_team"}])
    gp, citizen, worker = [await room.as_(persona) for persona in ("gp", "citizen", "social-worker")]
    second = await room.invited("social-worker-2")
    await (await room.as_("social-worker-2")).made(f"{room.case}/members/{second}/acceptance")
    told = {}
    for caller in (gp, citizen, worker):
        answer = await caller.get(f"/consents/{given}/withdrawal-preview")
        told[caller.persona] = {loss["person"]["name"] for loss in answer.json()["losses"]}
    assert told["gp"] == told["citizen"] >= {"Fatima el Amrani", "Gijs Hermans"}
    assert told["social-worker"] == {"Fatima el Amrani"}
    assert (await (await room.as_("district-nurse")).get(f"/consents/{given}/withdrawal-preview")).status_code == 404


async def test_who_does_not_know_whom_a_case_is_about_cannot_find_out_by_trying(instance: Service) -> None:
    """A social worker knows the citizen from one case; a second case must not tell her that it is about the same."""
    known, hidden = await open_table(instance), await open_table(instance)
    assert known.patient_id == hidden.patient_id
    for table in (known, hidden):
        await seat(table, "social-worker")
    await consent(known, "social-worker", SHARED)
    worker, gp = await instance.as_("social-worker"), await instance.as_("gp")
    tried = [
        await worker.post(
            f"/cases/{hidden.case_id}/threads", {"patientId": patient, "category": SHARED, "title": "?"}
        )
        for patient in (known.patient_id, ABSENT)
    ]
    assert [one.status_code for one in tried] == [403, 403]
    assert len({one.json()["detail"] for one in tried}) == 1
    sure = await gp.post(f"/cases/{hidden.case_id}/threads", {"patientId": ABSENT, "category": CARE, "title": "?"})
    assert faults_of(sure) == {"/patientId": "not-a-subject"}


async def test_a_person_of_a_household_decides_nothing_for_the_others(instance: Service) -> None:
    """Whom one of them asks to treat, gives a task or sends away would open or close the other's cells too."""
    case_id, hers, his = await household(instance)
    gp, citizen, worker = [await instance.as_(persona) for persona in ("gp", "citizen", "social-worker")]
    members = f"/cases/{case_id}/members"
    body = {"caseRole": "deelnemer", "reasonCode": "youth-family"}
    nurse = {**body, "accountId": await account_of(instance, "district-nurse")}
    assert (await citizen.post(members, {**nurse, "directTreatment": True})).status_code == 403
    assert (await citizen.post(members, nurse)).status_code == 201
    asked = await gp.made(members, {**body, "accountId": await account_of(instance, "social-worker")})
    await worker.made(f"{members}/{asked['id']}/acceptance")
    path = f"{members}/{asked['id']}/public-tasks"
    assert (await citizen.post(path, {"law": "wmo2015"})).status_code == 403
    task = await gp.made(path, {"law": "wmo2015"})
    assert (await citizen.post(f"/cases/{case_id}/public-tasks/{task['id']}/ending")).status_code == 403
    assert (await citizen.delete(f"{members}/{asked['id']}")).status_code == 403
    lift = {"kind": "lift_secrecy", "categories": ["education", "zrm"], "purpose": "CAREMGT", **DECIDED}
    to = {"recipients": [{"type": "role", "role": "social_team"}]}
    mine, theirs = [
        await gp.made(f"/cases/{case_id}/consents", {**lift, **to, "patientId": one}) for one in (hers, his)
    ]
    cut = {"categories": ["zrm"], "method": "digital_2fa"}
    assert (await citizen.post(f"/consents/{theirs['id']}/narrowing", cut)).status_code == 404
    assert (await citizen.post(f"/consents/{theirs['id']}/narrowing-preview", cut)).status_code == 404
    assert (await citizen.post(f"/consents/{mine['id']}/narrowing", cut)).status_code == 201
    assert (await gp.post(f"/cases/{case_id}/public-tasks/{task['id']}/ending")).status_code == 204
    assert (await gp.delete(f"{members}/{asked['id']}")).status_code == 204
    assert {hers, his} == {one["id"] for one in (await gp.get(f"/cases/{case_id}")).json()["patients"]}


async def test_whose_number_one_registers_that_one_s_other_records_stay_closed(instance: Service) -> None:
    """Registering somebody's BSN links a new record to their account, and opens nothing that exists."""
    table = await open_table(instance)
    other, citizen = await instance.as_("gp-other"), await instance.as_("citizen")
    number = await citizen_bsn(instance)
    mine = await other.made(
        "/patients", {"bsn": number, "name": NAME, "birthDate": "1950-01-31", "neighbourhood": "x"}
    )
    assert mine["id"] != table.patient_id
    assert (await other.post("/patients/_search", {"bsn": number})).json()["items"] == [mine]
    body = {"kind": "individual", "patientIds": [mine["id"]], "question": "Wat is er elders bekend?"}
    case = await other.made("/cases", body)
    assert {one["id"] for one in (await other.get("/cases")).json()["items"]} == {case["id"]}
    assert (await other.get(f"/cases/{table.case_id}")).status_code == 404
    seen = {one["id"] for one in (await citizen.get("/cases", limit=100)).json()["items"]}
    assert {case["id"], table.case_id} <= seen
    for answer in (await other.get("/cases"), await other.get(f"/cases/{case['id']}/members")):
        assert table.patient_id not in answer.text


async def test_no_body_takes_what_is_not_the_client_s_to_say(room: Room) -> None:
    """Mass assignment: every schema of a body is closed, and says nothing of ids, authors, times and statuses."""
    schemas = orjson.loads(room.app.state.document())["components"]["schemas"]
    bodies = {name: schema for name, schema in schemas.items() if name.endswith(("In", "Body"))}
    assert len(bodies) >= 15
    for name, schema in bodies.items():
        assert schema["additionalProperties"] is False, name
        members = set(schema["properties"])
        # A region admin says for which organisation, a citizen to which; who ends an employment, for which case.
        elsewhere = {"organisationId"}
        told = {"ClientIn": elsewhere, "PracticeChangeIn": elsewhere, "SuccessorIn": {"caseId"}}.get(name, set())
        own = {"author", "status", "caseId", "recordedAt", "recordedBy", "organisationId", "grants"} - told
        assert not members & own, name
        assert "id" not in members or name in {"IdRecipientIn", "DeciderIn", "PasskeyIn"}, name
