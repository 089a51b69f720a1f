"""What one member must not learn of another: through lists, previews, refusals and the order in which they come."""

from typing import Any

import pytest

from tests.api.room import ABSENT, CARE, NAME, SHARED, Room, faults_of
from tests.serving import Caller, Service
from tests.stories import consent, open_table, seat

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
        "patientId": room.patient_id,
        "category": SHARED,
        "domain": row["domain"],
        "mayWrite": True,
        "ground": "consent",
        "consentId": room.ids["consent"],
        "validUntil": None,
    }


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
