"""What a representative is asked, sees and says no to for somebody else; never what is another's, or withheld."""

from typing import Any

from app.consent.bundles import BUNDLES_VERSION
from app.identity.demo import BY_KEY
from tests.api.room import DECIDED, SHARED, faults_of
from tests.people.family import FATHER, MOTHER, Family, born, family, voice
from tests.people.test_representatives import INCAPABLE, MENTOR
from tests.serving import Caller, Instance
from tests.stories import account_of, seat, thread

Json = dict[str, Any]
TEENAGER = BY_KEY["teenager"].test_bsn


async def items(caller: Caller, path: str) -> list[Json]:
    answer = await caller.get(path, limit=100)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def cells_of_others(home: Family, persona: str) -> set[tuple[str, str, str]]:
    """Return role, category and domain of what a persona's matrix shows of others."""
    rows = await items(await home.as_(persona), f"/cases/{home.case_id}/matrix")
    return {
        (row["person"]["role"], cell["category"], cell["domain"])
        for row in rows
        if row["person"] and row["person"]["role"] != "representative"
        for cell in row["cells"]
    }


async def test_each_parent_is_asked_and_shown_what_is_theirs_to_know(instance: Instance) -> None:
    home = await family(instance, born(13), bsn=TEENAGER)
    gp, mother, father, child, worker = [
        await home.as_(one) for one in ("gp", MOTHER, FATHER, "teenager", "social-worker")
    ]
    await seat(home, "district-nurse", direct=True)
    for parent in (MOTHER, FATHER):
        await home.recorded(parent)
    case, requests = f"/cases/{home.case_id}", "/me/consent-requests"

    # What is asked of her for her child, in plain Dutch; another's no is to her one that is awaited.
    asked = await home.asked()
    (shown,) = await items(mother, requests)
    assert (shown["consentId"], shown["status"], shown["askedBy"]["role"]) == (asked, "asked", "gp")
    assert "over degene voor wie u beslist: “Meedoen”" in shown["question"]
    assert (await home.says_so(asked, FATHER, "no")).status_code == 201
    assert [one["status"] for one in await items(mother, requests)] == ["proposed"]
    for caller in (mother, father, child):
        told = [one for one in await items(caller, "/notices") if one["about"] == asked]
        assert [one["kind"] for one in told] == ["consent_asked"]
        assert (told[0]["readAt"] is None) == (caller is not father), "his no is known to him alone"
    assert await items(father, requests) == [], "he has said what he had to say"
    own = await home.asked(by=FATHER, categories=["education"], **{"from": [{"domain": "care"}]})
    (theirs,) = [one for one in await items(mother, requests) if one["consentId"] == own]
    assert theirs["askedBy"] is None, "she does not learn that he asked it"
    harm = {"departure": {"code": "serious-harm", "reason": "Thuis is het niet veilig."}}
    alone: Json = await gp.made(f"{case}/consents", {**home.terms(categories=["positive_health"], **harm), **DECIDED})
    assert alone["status"] == "active"
    assert alone["id"] not in str(await items(mother, requests))

    # The matrix: who sees what of her child, by which door it is closed; not him, nor what her child decided alone.
    open_ = await cells_of_others(home, MOTHER)
    assert ("gp", "youth_development", "care") in open_
    assert ("district_nurse", "medication", "care") in open_
    assert not {one for one in open_ if one[1] == "positive_health" and one[0] == "social_team"}
    text = (await mother.get(f"{case}/matrix")).text
    assert BY_KEY[FATHER].name not in text
    assert alone["id"] not in text
    (nurse,) = [
        one
        for one in await items(mother, f"{case}/matrix")
        if "medication" in str(one) and one["person"] and one["person"]["role"] == "district_nurse"
    ]
    assert {one["change"]["by"] for one in nurse["cells"] if one["category"] == "medication"} == {"objection"}
    path = f"{case}/representations/{home.says[MOTHER]}/withholdings"
    await gp.made(path, {"categories": ["youth_development"], "reason": "Zij durft niet."})
    assert "youth_development" not in {one[1] for one in await cells_of_others(home, MOTHER)}
    assert "youth_development" in {one[1] for one in await cells_of_others(home, FATHER)}

    # Who looked: professionals, at what is hers to know; not him, nor her child, nor at what is withheld.
    plan, private = await thread(home, "plan_goals_actions"), await thread(home, "youth_development")
    for caller in (father, child, gp):
        for one in (plan, private):
            assert (await caller.get(f"/threads/{one}")).status_code == 200
    looked = await items(mother, "/me/accesses")
    assert {(one["role"], one["category"]) for one in looked if one["action"] == "thread:read"} == {
        ("gp", "plan_goals_actions")
    }
    assert not {one["role"] for one in looked} & {"representative", "citizen"}
    assert not {one["action"].split(":")[0] for one in looked} & {"withholding", "representation"}
    assert alone["id"] not in str(looked)
    assert ("gp", "youth_development") in {
        (one["role"], one["category"]) for one in await items(father, "/me/accesses")
    }
    assert (await worker.get("/me/accesses")).status_code == 403

    # A part of what was given is taken out again by any of them, after looking ahead.
    both = await home.asked(categories=[SHARED, "living_situation"])
    for persona in ("teenager", MOTHER, FATHER):
        assert (await home.says_so(both, persona)).status_code == 201
    cut = {"categories": ["living_situation"]}
    losses = (await mother.post(f"/consents/{both}/narrowing-preview", cut)).json()["losses"]
    assert "social_team" in {one["person"]["role"] for one in losses}
    assert "representative" not in {one["person"]["role"] for one in losses}
    left: Json = await mother.made(f"/consents/{both}/narrowing", {**cut, "method": "digital_2fa"})
    assert [one["categories"] for one in left["items"]] == [[SHARED]]
    assert len((await items(gp, f"{case}/consents"))[0]["decisions"]) == 4
    seen = (await father.get(f"/consents/{left['items'][0]['id']}")).json()
    assert [one["decidedBy"]["id"] for one in seen["decisions"]] == [home.says[FATHER]], "his own alone"
    posing = await father.post(f"/consents/{seen['id']}/narrowing", {**cut, "decidedBy": {"type": "patient"}})
    assert "/decidedBy" in faults_of(posing)


async def test_a_representative_says_no_to_one_person_and_takes_that_back(instance: Instance) -> None:
    home = await family(instance, born(9))
    gp, mother, father = [await home.as_(one) for one in ("gp", MOTHER, FATHER)]
    for persona in ("district-nurse", "poh"):
        await seat(home, persona, direct=True)
    for parent in (MOTHER, FATHER):
        await home.recorded(parent)
    exclusions, objections = f"/cases/{home.case_id}/exclusions", f"/cases/{home.case_id}/objections"
    medication = await thread(home, "medication")
    body = {"patientId": home.patient_id, "memberId": home.members["district-nurse"], "categories": ["medication"]}
    nurse, poh = await home.as_("district-nurse"), await home.as_("poh")

    made: Json = await mother.made(objections, body)
    assert (await nurse.get(f"/threads/{medication}")).status_code == 404
    assert [one["id"] for one in await items(mother, objections)] == [made["id"]]
    assert await items(father, objections) == [], "what she said no to is not his to know"
    assert (await father.delete(f"{objections}/{made['id']}")).status_code == 404
    assert (await mother.delete(f"{objections}/{made['id']}")).status_code == 204
    assert (await nurse.get(f"/threads/{medication}")).status_code == 200

    away: Json = await mother.made(
        exclusions, {"patientId": home.patient_id, "accountId": await account_of(instance, "poh")}
    )
    assert (await poh.get(f"/threads/{medication}")).status_code == 404
    assert await items(father, exclusions) == []
    assert (await father.delete(f"{exclusions}/{away['id']}")).status_code == 404

    # Must fail: keeping the other parent, herself or nobody away; another's child; beyond the scope.
    for account, fault in ((FATHER, "unknown"), (MOTHER, "not-to-exclude")):
        wrong = {"patientId": home.patient_id, "accountId": str(BY_KEY[account].account_id)}
        assert faults_of(await mother.post(exclusions, wrong)) == {"/accountId": fault}
    assert (await mother.delete(f"{exclusions}/{away['id']}")).status_code == 204
    assert (await poh.get(f"/threads/{medication}")).status_code == 200
    assert (await gp.delete(f"/cases/{home.case_id}/exclusions/{away['id']}")).status_code in (404, 409)
    elsewhere = await family(instance, born(8))
    assert (await mother.post(f"/cases/{elsewhere.case_id}/objections", body)).status_code == 404
    await elsewhere.recorded(MOTHER, scope=["education"])
    await seat(elsewhere, "district-nurse", direct=True)
    narrow = {**body, "patientId": elsewhere.patient_id, "memberId": elsewhere.members["district-nurse"]}
    path = f"/cases/{elsewhere.case_id}"
    assert faults_of(await mother.post(f"{path}/objections", narrow)) == {"/categories": "outside-scope"}
    everything = {"patientId": elsewhere.patient_id, "memberId": elsewhere.members["district-nurse"]}
    assert faults_of(await mother.post(f"{path}/objections", everything)) == {"/categories": "outside-scope"}
    whole = {"patientId": elsewhere.patient_id, "accountId": await account_of(instance, "poh")}
    assert faults_of(await mother.post(f"{path}/exclusions", whole)) == {"/patientId": "outside-scope"}


async def test_a_mentor_uses_a_bundle_within_the_scope(people: Instance) -> None:
    home = await family(people, born(80))
    mother = await home.as_(MOTHER)
    shared = await thread(home, SHARED)
    body: Json = {
        "patientId": home.patient_id,
        "bundle": "langer-thuis",
        "version": BUNDLES_VERSION,
        "lines": [{"line": "sociaal-team", "categories": [SHARED, "living_situation"]}],
        "decision": {**DECIDED, "decidedBy": voice(), "method": "digital_2fa"},
        **INCAPABLE,
    }
    path = f"/cases/{home.case_id}/consent-bundles"
    assert (await mother.post(path, body)).status_code == 404, "who represents nobody here is not there"
    await home.recorded(MOTHER, **MENTOR, scope=[SHARED, "living_situation"])
    wide = {**body, "lines": [{"line": "sociaal-team"}]}
    assert faults_of(await mother.post(path, wide)) == {"/decision/decidedBy/id": "outside-scope"}
    posed = {**body, "decision": {**body["decision"], "decidedBy": {"type": "patient"}}}
    assert faults_of(await mother.post(path, posed)) == {"/decision/decidedBy": "not-yours"}
    assert (await (await home.as_("social-worker")).get(f"/threads/{shared}")).status_code == 404
    used: Json = await mother.made(path, body)
    assert [(one["status"], one["bundle"]["bundle"]) for one in used["items"]] == [("active", "langer-thuis")]
    assert (await (await home.as_("social-worker")).get(f"/threads/{shared}")).status_code == 200
