"""J1: a GP opens a table on a frail elderly patient, and asks consent in one go. Plan, scores and MDO come later."""

import re
from typing import Any

from tests.api.room import DECIDED, another
from tests.serving import Caller, Instance
from tests.stories import open_table, seat, thread

Json = dict[str, Any]


async def told(caller: Caller, about: str) -> set[str]:
    return {one["kind"] for one in (await caller.get("/notices")).json()["items"] if one["about"] == about}


async def test_a_frail_patient_s_table_is_set_with_one_question_to_her(instance: Instance) -> None:
    # 1, 2: found by BSN or registered, and the case opened with its question.
    table = await open_table(instance)
    case = f"/cases/{table.case_id}"
    gp, citizen = await instance.as_("gp"), await instance.as_("citizen")
    # 4: whoever is invited sees who asks and nothing of the case until they accept.
    invitation: Json = {
        "accountId": (await (await instance.as_("social-worker")).get("/me")).json()["id"],
        "caseRole": "casemanager",
        "reasonCode": "elderly-mdo",
    }
    invited = await gp.made(f"{case}/members", invitation)
    worker = await instance.as_("social-worker")
    (seen,) = (await worker.get("/invitations")).json()["items"]
    assert (seen["memberId"], seen["invitedBy"]["role"]) == (invited["id"], "gp")
    assert (await worker.get(case)).status_code == 404
    await worker.made(f"{case}/members/{invited['id']}/acceptance")
    bare = (await worker.get(case)).json()
    assert {"patients", "question", "members"}.isdisjoint(bare), "a seat alone opens nothing"
    await seat(table, "district-nurse", direct=True)

    # 3: the nurse treats, and needs no consent; the social team does. One request, one decision.
    asked: Json = {
        "patientId": table.patient_id,
        "bundle": "langer-thuis",
        "version": "2026-1",
        "lines": [{"line": "sociaal-team"}],
    }
    strangers = {**asked, "bundle": "zorgteam-rond-mij", "lines": [{"line": "specialist"}], "decision": DECIDED}
    absent = await gp.post(f"{case}/consent-bundles", strangers)
    assert absent.status_code == 400, "a recipient who is not at the table"
    waiting = await gp.made(f"{case}/consent-bundles", asked)
    assert [one["status"] for one in waiting["items"]] == ["asked"]  # type: ignore[attr-defined]  # a list
    (mine,) = (await citizen.get("/me/consent-requests")).json()["items"]
    assert mine["bundle"] == "Langer thuis met het sociaal team"
    assert mine["recipients"] == ["Sociaal team Nazareth"]
    assert "Wie komt wanneer" in mine["question"]
    assert "Het werkt twee kanten op" in mine["question"]
    assert re.search(r"Uw ja geldt tot en met \d+ [a-z]+ 20\d\d\.", mine["question"])
    assert await told(citizen, mine["consentId"]) == {"consent_asked"}
    assert await told(gp, mine["consentId"]) == set(), "he asked it himself"
    assert (await worker.get("/me/consent-requests")).status_code == 403
    open_cells = (await worker.get(f"{case}/access")).json()["items"]
    assert invited["id"] not in {one["memberId"] for one in open_cells}, (
        "what is asked opens nothing, and silence is no consent"
    )
    decided = f"/consents/{mine['consentId']}/decisions"
    assert (await citizen.made(decided, {**DECIDED, "method": "digital_2fa", "decision": "yes"}))[
        "status"
    ] == "active"
    assert (await citizen.get("/me/consent-requests")).json()["items"] == []
    assert await told(citizen, mine["consentId"]) == set(), "what is decided is asked no longer"

    # 7: threads by category. Must fail: the social worker reads medication, which was not consented.
    home, pills = await thread(table, "living_situation"), await thread(table, "medication", by="district-nurse")
    await gp.made(f"/threads/{home}/messages", {"text": "De trap wordt steil."})
    worker = await another(instance, "social-worker")
    assert (await worker.get(f"/threads/{home}/messages")).json()["items"][0]["text"] == "De trap wordt steil."
    for path in (f"/threads/{pills}", f"/threads/{pills}/messages"):
        assert (await worker.get(path)).status_code == 404
    listed = {one["id"] for one in (await worker.get(f"{case}/threads")).json()["items"]}
    assert listed == {home}
    await worker.made(f"/threads/{home}/messages", {"text": "Ik kom dinsdag kijken."})

    # A colleague of the team needs no new question.
    await seat(table, "social-worker-2", by="gp")
    assert (await (await instance.as_("social-worker-2")).get(f"/threads/{home}")).status_code == 200

    # Said aloud at home: recorded by the GP, confirmed to her.
    spoken = await gp.made(f"{case}/consent-bundles", {**asked, "decision": DECIDED})
    kinds = {one["kind"] for one in (await citizen.get("/notices")).json()["items"]}
    assert "oral_confirmation" in kinds
    assert [one["status"] for one in spoken["items"]] == ["active"]  # type: ignore[attr-defined]  # a list
