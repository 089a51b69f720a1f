"""Who speaks for adults who cannot, in the legal order; and how somebody new comes in, without a BSN."""

from typing import Any

from tests.api.room import DECIDED, SHARED, faults_of, problem_of
from tests.people.family import FATHER, MOTHER, born, family, representation, voice
from tests.serving import Caller, Instance
from tests.stories import thread

Json = dict[str, Any]
LOST: Json = {"capacityLost": True}
PARTNER: Json = {**LOST, "kind": "partner", "evidence": {"code": "civil-registry"}}
FAMILY: Json = {**LOST, "kind": "family", "evidence": {"code": "declaration", "text": "Dochter van mevrouw."}}
MENTOR: Json = {**LOST, "kind": "mentor", "evidence": {"code": "court-decision"}}
INCAPABLE: Json = {"capacity": "incapable"}


async def test_who_comes_first_in_the_legal_order_speaks_and_who_comes_after_no_longer(people: Instance) -> None:
    home = await family(people, born(80))
    gp = await home.as_("gp")
    path = f"/cases/{home.case_id}/representations"
    shared = await thread(home, SHARED)
    await home.recorded(FATHER, **PARTNER)
    another = {"/kind": "another-represents"}
    assert faults_of(await gp.post(path, {**representation(home.patient_id, MOTHER), **FAMILY})) == another
    asked = await home.asked(**INCAPABLE)
    spoken: Json = {"decidedBy": voice(home.says[FATHER]), "method": "written"}
    assert (await home.says_so(asked, "gp", **spoken)).json()["status"] == "active"
    assert (await (await home.as_("social-worker")).get(f"/threads/{shared}")).status_code == 200
    assert await home.cells(FATHER)

    await home.recorded(MOTHER, **MENTOR)
    assert await home.cells(FATHER) == set()
    listed = (await gp.get(path)).json()["items"]
    assert {one["id"]: one["status"] for one in listed} == {home.says[FATHER]: "ended", home.says[MOTHER]: "in-force"}
    outside = {"/decidedBy/id": "outside-period"}
    second = await home.asked(**INCAPABLE, categories=["education"])
    assert faults_of(await home.says_so(second, "gp", **spoken)) == outside
    assert faults_of(await gp.post(f"/consents/{asked}/withdrawal", {"decidedBy": spoken["decidedBy"]})) == outside
    assert (await home.says_so(second, MOTHER)).json()["status"] == "active"
    withdrawn = await (await home.as_(MOTHER)).post(f"/consents/{asked}/withdrawal", {"method": "digital_2fa"})
    assert withdrawn.status_code == 201, "whoever decides now may take back what another gave"

    # what the patient can weigh is the patient's alone
    weighed = await home.asked(categories=["zrm"])
    assert faults_of(await home.says_so(weighed, MOTHER)) == {"/decidedBy": "patient-decides"}
    posed = {**home.terms(categories=["zrm"]), **DECIDED, "from": [{"domain": "care"}], "decidedBy": voice()}
    made = await (await home.as_(MOTHER)).post(f"/cases/{home.case_id}/consents", {**posed, **INCAPABLE})
    assert (made.status_code, made.json()["status"]) == (201, "active")


async def test_scope_bounds_what_a_representative_sees_and_decides(people: Instance) -> None:
    home = await family(people, born(70))
    mother = await home.as_(MOTHER)
    open_, closed = await thread(home, "living_situation"), await thread(home, "medication")
    await home.recorded(MOTHER, **MENTOR, scope=["living_situation"])
    assert {category for category, _ in await home.cells(MOTHER)} == {
        *("living_situation", "identification", "contact_network"),
    }
    assert (await mother.get(f"/threads/{open_}")).status_code == 200
    assert (await mother.get(f"/threads/{closed}")).status_code == 404
    within = await home.asked(**INCAPABLE, categories=["living_situation"])
    beyond = await home.asked(**INCAPABLE, categories=["living_situation", "medication"])
    assert (await home.says_so(within, MOTHER)).json()["status"] == "active"
    assert (await home.says_so(beyond, MOTHER)).status_code == 404
    outside = await home.says_so(beyond, "gp", decidedBy=voice(home.says[MOTHER]))
    assert faults_of(outside) == {"/decidedBy/id": "outside-scope"}
    assert await home.status(beyond) == "asked"


async def test_somebody_new_comes_in_by_a_code_and_their_own_birth_date(people: Instance) -> None:
    home = await family(people, born(9))
    gp, worker = await home.as_("gp"), await home.as_("social-worker")
    path = f"/cases/{home.case_id}/representations"
    new = {"name": {"given": "Jo", "prefix": "van", "family": "Bos"}}
    body = {**representation(home.patient_id, MOTHER), "representative": new}
    made: Json = await gp.made(path, body)
    assert made["representative"]["name"] == "Jo van Bos"
    asked = {"birthDate": "1985-02-28", "identityCheck": {"document": "passport"}, "delivery": "handed-over"}
    codes = f"{path}/{made['id']}/activation-codes"
    assert (await worker.post(codes, asked)).status_code == 403
    assert "/birthDate" in faults_of(await gp.post(codes, {**asked, "birthDate": None}))
    first, code = [str((await gp.made(codes, asked))["code"]) for _ in range(2)]
    for wrong in ({"code": first, "birthDate": "1985-02-28"}, {"code": code, "birthDate": "1985-03-01"}):
        assert (await people.http.post("/enrolments", json=wrong)).status_code == 401
    answer = await people.http.post("/enrolments", json={"code": code, "birthDate": "1985-02-28"})
    assert answer.status_code == 201, answer.text
    entering = Caller(people, "jo", answer.json()["accessToken"])
    password = {"loginName": "jo-van-bos", "password": "vier paarden op de markt"}
    await entering.made("/passwords", password)
    sheet: Json = await entering.made("/recovery-codes")
    entry = {"method": "password", **password, "recoveryCode": sheet["codes"][0]}
    token = (await people.http.post("/log-ins", json=entry)).json()["accessToken"]
    parent = Caller(people, "jo", token)
    (case,) = (await parent.get("/cases")).json()["items"]
    assert (case["id"], case["membership"]["caseRole"]) == (home.case_id, "wettelijk_vertegenwoordiger")
    asked_of = await home.asked()
    yes = {**DECIDED, "decision": "yes", "decidedBy": voice(), "method": "digital_2fa"}
    assert (await parent.made(f"/consents/{asked_of}/decisions", yes))["status"] == "active"
    assert problem_of(await gp.post(codes, asked))["code"] == "already-enrolled"


async def test_of_a_representative_whom_others_seated_too_nobody_alone_chooses_the_birth_date(
    people: Instance,
) -> None:
    home, elsewhere = await family(people, born(9)), await family(people, born(9))
    gp, nurse = await home.as_("gp"), await home.as_("poh-youth")
    new = {"name": {"given": "Ada", "family": "Bos"}}
    body = {**representation(home.patient_id, MOTHER), "representative": new}
    made: Json = await gp.made(f"/cases/{home.case_id}/representations", body)
    name = {"given": "Bo", "family": "Bos"}
    child = {"noBsnReason": "onbekend", "name": name, "birthDate": born(9).isoformat(), "neighbourhood": "limmel"}
    patient = str((await nurse.made("/patients", child))["id"])
    case = await nurse.made("/cases", {"kind": "individual", "patientIds": [patient], "question": "Hoe nu?"})
    account = {"accountId": made["representative"]["id"]}
    other: Json = await nurse.made(
        f"/cases/{case['id']}/representations",
        {**representation(patient, MOTHER), "representative": account},
    )
    asked = {"birthDate": "1985-02-28", "identityCheck": {"document": "passport"}, "delivery": "handed-over"}
    for caller, path in (
        (gp, f"/cases/{home.case_id}/representations/{made['id']}"),
        (nurse, f"/cases/{case['id']}/representations/{other['id']}"),
    ):
        assert (await caller.post(f"{path}/activation-codes", asked)).status_code == 403
    assert elsewhere.case_id != home.case_id
