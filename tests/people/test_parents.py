"""Parents speak for their child, each apart: who must say yes, what each is shown, and what neither may do."""

from typing import Any

import pytest

from app.identity.demo import BY_KEY
from tests.api.room import ABSENT, DECIDED, SHARED, faults_of, problem_of
from tests.people.family import FATHER, MOTHER, PATIENT, born, family, representation, voice
from tests.serving import Instance
from tests.stories import thread

Json = dict[str, Any]
TEENAGER = BY_KEY["teenager"].test_bsn


async def test_a_child_of_thirteen_and_each_parent_decide_in_their_own_log_in(instance: Instance) -> None:
    home = await family(instance, born(13), bsn=TEENAGER)
    shared = await thread(home, SHARED)
    for parent in (MOTHER, FATHER):
        await home.recorded(parent)
    consent = await home.asked()
    for persona in ("teenager", MOTHER):
        assert (await home.says_so(consent, persona)).json()["status"] == "proposed"
        assert (await (await home.as_("social-worker")).get(f"/threads/{shared}")).status_code == 404
    answer = await home.says_so(consent, FATHER)
    body = answer.json()
    assert (answer.status_code, body["status"]) == (201, "active")
    assert [one["decidedBy"] for one in body["decisions"]] == [{"type": "representative", "id": home.says[FATHER]}]
    assert body["method"] == "digital_2fa"
    assert (await (await home.as_("social-worker")).get(f"/threads/{shared}")).status_code == 200
    gp, child = await home.as_("gp"), await home.as_("teenager")
    for caller in (gp, child):
        whole = (await caller.get(f"/consents/{consent}")).json()
        assert [one["decidedBy"]["type"] for one in whole["decisions"]] == ["patient", *["representative"] * 2]
        assert {one["decidedBy"]["id"] for one in whole["decisions"]} == {None, *home.says.values()}

    # each of them may take it back, and then it is over
    assert (await (await home.as_(MOTHER)).post(f"/consents/{consent}/withdrawal")).status_code == 201
    assert (await (await home.as_("social-worker")).get(f"/threads/{shared}")).status_code == 404
    again = await (await home.as_(FATHER)).post(f"/consents/{consent}/withdrawal")
    assert (again.status_code, problem_of(again)["code"]) == (409, "consent-already-withdrawn")
    ending = (await gp.get(f"/consents/{consent}")).json()["withdrawal"]
    assert (ending["decidedBy"], ending["method"]) == ("representative", "digital_2fa")
    assert (await (await home.as_(FATHER)).get(f"/consents/{consent}")).json()["withdrawal"]["decidedBy"] is None


async def test_neither_parent_is_shown_the_other(instance: Instance) -> None:
    """Not as a member, not in lists or events, nor by what the other decided: a no is to them one that is awaited."""
    home = await family(instance, born(13), bsn=TEENAGER)
    gp = await home.as_("gp")
    for parent in (MOTHER, FATHER):
        await home.recorded(parent, evidence={"code": "court-decision", "text": f"Geheim over {parent}."})
    consent = await home.asked()
    assert (await home.says_so(consent, "teenager")).status_code == 201
    assert (await home.says_so(consent, MOTHER)).status_code == 201
    assert (await home.says_so(consent, FATHER, "no")).json()["status"] == "refused"
    assert await home.status(consent) == "refused"
    assert await home.status(consent, MOTHER) == "proposed"
    assert await home.status(consent, FATHER) == "refused"
    for mine, other in ((MOTHER, FATHER), (FATHER, MOTHER)):
        caller, name = await home.as_(mine), BY_KEY[other].name
        paths = ("", "/members", "/representations", "/consents", "/access", "/threads")
        for path in paths:
            answer = await caller.get(f"/cases/{home.case_id}{path}")
            assert answer.status_code == 200, path
            for secret in (name, home.says[other], str(BY_KEY[other].account_id), f"Geheim over {other}"):
                assert secret not in answer.text, (path, secret)
        shown = (await caller.get(f"/consents/{consent}")).json()
        assert [one["decidedBy"]["id"] for one in shown["decisions"]] == [home.says[mine]]
        (item,) = (await caller.get(f"/cases/{home.case_id}/representations")).json()["items"]
        assert (item["id"], item["evidenceText"]) == (home.says[mine], None)
        assert "withholdings" not in item
    members = (await gp.get(f"/cases/{home.case_id}/members")).json()["items"]
    assert {"wettelijk_vertegenwoordiger"} == {
        one["caseRole"] for one in members if one["person"]["role"] == "representative"
    }
    assert {BY_KEY[MOTHER].name, BY_KEY[FATHER].name} <= {one["person"]["name"] for one in members}


async def test_for_a_child_under_twelve_every_holder_of_authority_decides_and_not_the_child(
    instance: Instance,
) -> None:
    home = await family(instance, born(9))
    gp = await home.as_("gp")
    for parent in (MOTHER, FATHER):
        await home.recorded(parent)
    consent = await home.asked()
    assert faults_of(await home.says_so(consent, "gp")) == {"/decidedBy": "patient-does-not-decide"}
    first = await home.says_so(consent, "gp", decidedBy=voice(home.says[MOTHER]), method="written")
    assert (first.status_code, first.json()["status"]) == (201, "proposed")
    assert (await home.says_so(consent, FATHER)).json()["status"] == "active"

    # a court's order stands in for the parent who refuses, and only a professional records that
    ordered = {"code": "court-order", "reason": "Vervangende toestemming."}
    body = {**home.terms(categories=["education"], departure=ordered), **DECIDED}
    mother = await home.as_(MOTHER)
    mine = {**body, "from": [{"domain": "care"}], "decidedBy": voice(), "method": "digital_2fa"}
    refused = await mother.post(f"/cases/{home.case_id}/consents", mine)
    assert faults_of(refused) == {"/departure": "for-professionals"}
    theirs = {**body, "decidedBy": voice(home.says[MOTHER])}
    allowed = await gp.made(f"/cases/{home.case_id}/consents", theirs)
    assert allowed["status"] == "active"
    father = await home.as_(FATHER)
    assert faults_of(await father.post(f"/consents/{allowed['id']}/withdrawal")) == {"/decidedBy/id": "no-say"}
    assert (await mother.post(f"/consents/{allowed['id']}/withdrawal")).status_code == 201


async def test_who_has_no_say_decides_nothing(instance: Instance) -> None:
    home = await family(instance, born(13), bsn=TEENAGER)
    gp, child = await home.as_("gp"), await home.as_("teenager")
    consent = await home.asked()
    nobody = {"/decidedBy/id": "not-a-representative"}
    for named in (ABSENT, home.members["social-worker"]):
        assert faults_of(await home.says_so(consent, "gp", decidedBy=voice(named))) == nobody
    assert faults_of(await home.says_so(consent, "gp", decidedBy=voice())) == {"/decidedBy/id": "missing"}
    assert (await home.says_so(consent, MOTHER)).status_code == 404, "a parent without authority is not there"
    await home.recorded(MOTHER, scope=["education"])
    await home.recorded(FATHER)
    outside = {"/decidedBy/id": "outside-scope"}
    assert faults_of(await home.says_so(consent, "gp", decidedBy=voice(home.says[MOTHER]))) == outside
    assert (await home.says_so(consent, MOTHER)).status_code == 404, "nor one outside the scope"
    assert faults_of(await home.says_so(consent, "gp", decidedBy=voice(home.says[FATHER]), method="digital_2fa")) == {
        "/method": "not-own-login"
    }
    assert faults_of(await home.says_so(consent, FATHER, decidedBy=voice(home.says[MOTHER]))) == nobody
    posing = await home.says_so(consent, FATHER, decidedBy=PATIENT, method="oral_recorded")
    assert faults_of(posing) == {"/decidedBy": "not-yours"}
    assert faults_of(await home.says_so(consent, "teenager", decidedBy=voice(home.says[FATHER])))
    silence = {name: value for name, value in DECIDED.items() if name != "decidedBy"}
    assert "/decidedBy" in faults_of(await gp.post(f"/consents/{consent}/decisions", {**silence, "decision": "yes"}))
    assert "/decision" in faults_of(await child.post(f"/consents/{consent}/decisions", DECIDED))
    assert (await gp.get(f"/consents/{consent}")).json()["decisions"] == []
    wish = {"departure": {"code": "lasting-wish", "reason": "Dat wil ik zelf."}}
    own = {**home.terms(**wish), **DECIDED, "from": [{"domain": "care"}], "method": "digital_2fa"}
    assert faults_of(await child.post(f"/cases/{home.case_id}/consents", own)) == {"/departure": "for-professionals"}


async def test_what_a_child_decides_without_its_parents_is_not_shown_to_them(instance: Instance) -> None:
    home = await family(instance, born(14))
    gp, mother = await home.as_("gp"), await home.as_(MOTHER)
    await home.recorded(MOTHER)
    harm = {"departure": {"code": "serious-harm", "reason": "Thuis is het niet veilig."}}
    made = await gp.made(f"/cases/{home.case_id}/consents", {**home.terms(**harm), **DECIDED})
    assert made["status"] == "active"
    assert (await mother.get(f"/consents/{made['id']}")).status_code == 404
    assert (await mother.post(f"/consents/{made['id']}/withdrawal")).status_code == 404
    assert (await mother.get(f"/cases/{home.case_id}/consents")).json()["items"] == []


async def test_a_category_is_withheld_from_a_parent_who_does_not_learn_why(instance: Instance) -> None:
    home = await family(instance, born(14))
    gp, worker, mother = [await home.as_(one) for one in ("gp", "social-worker", MOTHER)]
    await home.recorded(MOTHER)
    private = await thread(home, "youth_development")
    assert (await mother.get(f"/threads/{private}")).status_code == 200
    path = f"/cases/{home.case_id}/representations/{home.says[MOTHER]}/withholdings"
    assert faults_of(await gp.post(path, {"categories": ["identification"], "reason": "x"})) == {
        "/categories": "implied"
    }
    assert "/reason" in faults_of(await gp.post(path, {"categories": ["youth_development"]}))
    made: Json = await gp.made(path, {"categories": ["youth_development"], "reason": "Zij durft niet."})
    (withheld,) = made["withholdings"]
    assert withheld["reason"] == "Zij durft niet."
    assert (await mother.get(f"/threads/{private}")).status_code == 404
    assert ("youth_development", "care") not in await home.cells(MOTHER)
    for seen in (f"/cases/{home.case_id}/representations", f"/cases/{home.case_id}/access"):
        text = (await mother.get(seen)).text
        assert "durft" not in text
        assert withheld["id"] not in text
    assert (await mother.post(path, {"reason": "x"})).status_code == 403
    ending = f"/cases/{home.case_id}/withholdings/{withheld['id']}/ending"
    assert (await worker.post(ending)).status_code in (403, 404)
    assert (await mother.post(ending)).status_code == 403
    assert (await gp.post(ending)).status_code == 204
    assert (await mother.get(f"/threads/{private}")).status_code == 200
    assert problem_of(await gp.post(ending))["code"] == "withholding-ended"
    everything: Json = await gp.made(path, {"reason": "Alles, voorlopig."})
    assert await home.cells(MOTHER) == set()
    assert (await mother.get(f"/threads/{private}")).status_code == 404
    assert len(everything["withholdings"]) == 2
    consent = await home.asked(categories=["practical_coordination"])
    assert (await home.says_so(consent, MOTHER)).status_code == 201, "the say stays: only the file is withheld"


@pytest.mark.parametrize(
    ("years", "more", "faults"),
    [
        (17, {}, {"/kind": "patient-decides"}),
        (40, {}, {"/kind": "of-age"}),
        (9, {"kind": "mentor", "evidence": {"code": "court-decision"}, "capacityLost": True}, {"/kind": "under-age"}),
        (40, {"kind": "partner", "evidence": {"code": "declaration"}}, {"/capacityLost": "patient-decides"}),
        (9, {"evidence": {"code": "declaration"}}, {"/evidence": "not-enough"}),
        (9, {"validFrom": "2126-01-01T00:00:00Z"}, {"/validFrom": "in-future"}),
        (9, {"validUntil": "2020-01-01T00:00:00Z"}, {"/validUntil": "past"}),
        (9, {"scope": ["safety_meldcode"]}, {"/scope": "not-shareable"}),
        (9, {"representative": {"accountId": ABSENT}}, {"/representative/accountId": "not-found"}),
        (9, {"patientId": ABSENT}, {"/patientId": "not-a-subject"}),
        (9, {"representative": {"bsn": "999994001"}}, None),
        (9, {"validFrom": None}, None),
    ],
)
async def test_what_the_law_does_not_know_is_not_recorded(
    people: Instance, years: int, more: Json, faults: dict[str, str] | None
) -> None:
    home = await family(people, born(years))
    gp = await home.as_("gp")
    path = f"/cases/{home.case_id}/representations"
    found = faults_of(await gp.post(path, {**representation(home.patient_id, MOTHER), **more}))
    assert faults is None or found == faults
    assert (await gp.get(path)).json()["items"] == []


async def test_only_who_answers_for_the_case_records_and_ends_a_representation(instance: Instance) -> None:
    home = await family(instance, born(9))
    gp, worker, mother = [await home.as_(one) for one in ("gp", "social-worker", MOTHER)]
    path = f"/cases/{home.case_id}/representations"
    body = representation(home.patient_id, MOTHER)
    assert (await worker.post(path, body)).status_code == 403
    account = {"accountId": str(BY_KEY[MOTHER].account_id), "reasonCode": "youth-family"}
    invited = await gp.post(f"/cases/{home.case_id}/members", {**account, "caseRole": "deelnemer"})
    assert faults_of(invited) == {"/accountId": "by-representation"}
    own = {**body, "representative": {"accountId": str(BY_KEY["gp"].account_id)}}
    assert (await gp.post(path, own)).status_code == 403
    made = await gp.made(path, body, Idempotency_Key="mother-1")
    assert await gp.made(path, body, Idempotency_Key="mother-1") == made
    assert problem_of(await gp.post(path, body))["code"] == "already-represents"
    await home.recorded(FATHER)
    third = {**body, "representative": {"name": {"given": "Jo", "family": "Bos"}}}
    assert faults_of(await gp.post(path, third)) == {"/kind": "too-many"}
    assert (await worker.get(path)).json()["items"] == [], "whoever sees nothing of the child"
    assert await home.cells(MOTHER) >= {("medication", "care"), ("zrm", "social")}
    for caller in (worker, mother):
        assert (await caller.post(f"{path}/{made['id']}/ending")).status_code == 403
    assert (await gp.post(f"{path}/{made['id']}/ending")).status_code == 204
    assert (await mother.get(f"/cases/{home.case_id}")).status_code == 404
    assert problem_of(await gp.post(f"{path}/{made['id']}/ending"))["code"] == "representation-ended"
    listed = (await gp.get(path)).json()["items"]
    assert {one["id"]: one["status"] for one in listed} == {made["id"]: "ended", home.says[FATHER]: "in-force"}
