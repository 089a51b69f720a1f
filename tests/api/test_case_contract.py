"""CONTRACT on patients, cases, members, consents, threads and messages, line by line over HTTP."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.room import ABSENT, CARE, NAME, SHARED, Room, faults_of, problem_of
from tests.serving import Caller, Service
from tests.stories import account_of, citizen_bsn, consent, open_table, seat, thread

Json = dict[str, Any]
PATIENT = {"name": NAME, "birthDate": "1950-01-31", "neighbourhood": "limmel"}
HIDDEN = {"patients", "question", "members", "openedAt"}


@pytest.fixture
def instance(room: Room) -> Service:
    """The room's own service: a test that wants a case to itself opens another one there."""
    return room.instance


async def listed(caller: Caller, path: str) -> list[Json]:
    answer = await caller.get(path, limit=100)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["items"]
    return found


# Patients


async def test_the_same_number_again_is_the_same_patient_unchanged(room: Room) -> None:
    gp, poh, other = [await room.as_(persona) for persona in ("gp", "poh", "gp-other")]
    body = {"bsn": "999990044", **PATIENT}
    first = await gp.post("/patients", body)
    changed = {**body, "name": {"given": "Ander", "family": "Mens"}, "neighbourhood": "nazareth"}
    again = await poh.post("/patients", changed, Idempotency_Key="other-fields")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert first.json() == {"id": first.json()["id"], **PATIENT, "linked": False}
    elsewhere = await other.post("/patients", changed)
    assert elsewhere.status_code == 201
    assert elsewhere.json()["id"] != first.json()["id"]
    assert elsewhere.json()["name"] == {"given": "Ander", "family": "Mens", "prefix": None}
    for answer in (first, again, elsewhere):
        assert "999990044" not in answer.text
        assert "bsn" not in answer.text.lower()


async def test_two_registrations_at_once_make_one_patient(room: Room) -> None:
    gp, poh = await room.as_("gp"), await room.as_("poh")
    body = {"bsn": "999990056", **PATIENT}
    answers = await asyncio.gather(*(caller.post("/patients", body) for caller in (gp, poh, gp, poh)))
    assert Counter(one.status_code for one in answers) == {201: 1, 200: 3}
    assert len({one.json()["id"] for one in answers}) == 1


async def test_a_patient_has_a_number_or_a_reason_for_none(room: Room) -> None:
    gp = await room.as_("gp")
    assert (await gp.post("/patients", {"noBsnReason": "Pas aangekomen", **PATIENT})).status_code == 201
    assert faults_of(await gp.post("/patients", PATIENT)) == {"": "bsn-or-reason"}
    both = {"bsn": "999990044", "noBsnReason": "x", **PATIENT}
    assert faults_of(await gp.post("/patients", both)) == {"": "bsn-or-reason"}


async def test_a_search_reaches_the_own_organisation_and_cases_only(room: Room) -> None:
    gp, other, nurse, worker = [await room.as_(p) for p in ("gp", "gp-other", "district-nurse", "social-worker-2")]
    by_number = {"bsn": await citizen_bsn(room.instance)}
    by_name = {"family": "lemmens", "birthDate": "1941-03-02"}
    for body in (by_number, by_name):
        assert [one["id"] for one in (await gp.post("/patients/_search", body)).json()["items"]] == [room.patient_id]
        assert [one["id"] for one in (await nurse.post("/patients/_search", body)).json()["items"]] == [
            room.patient_id
        ]
        assert (await other.post("/patients/_search", body)).json() == {"items": [], "nextCursor": None}
        assert (await worker.post("/patients/_search", body)).json() == {"items": [], "nextCursor": None}
    assert "bsn" not in (await gp.post("/patients/_search", by_number)).text.lower()
    for body in ({}, {"family": "Lemmens"}, {**by_number, **by_name}, {"birthDate": "1941-03-02"}):
        assert faults_of(await gp.post("/patients/_search", body)) == {"": "bsn-or-name"}


async def test_a_name_is_found_however_it_is_typed(room: Room) -> None:
    gp = await room.as_("gp")
    name = {"given": "Ren\u00e9", "family": "Da  C\u00f4sta"}
    made = await gp.made("/patients", {"noBsnReason": "Onbekend", **PATIENT, "name": name})
    for family in ("Da C\u00f4sta", "DA CO\u0302STA", " da co\u0302sta "):
        found = await gp.post("/patients/_search", {"family": family, "birthDate": PATIENT["birthDate"]})
        assert [one["id"] for one in found.json()["items"]] == [made["id"]]


# Cases and members


async def test_a_case_is_opened_about_patients_of_the_own_organisation_only(room: Room) -> None:
    other, citizen = await room.as_("gp-other"), await room.as_("citizen")
    mine = await other.made("/patients", {"noBsnReason": "Onbekend", **PATIENT})
    for patient in (room.patient_id, ABSENT):
        body = {"kind": "individual", "patientIds": [patient], "question": "?"}
        assert faults_of(await other.post("/cases", body)) == {"/patientIds/0": "not-found"}
        household = {
            "kind": "household",
            "patients": [{"patientId": mine["id"], "question": "?"}, {"patientId": patient, "question": "?"}],
        }
        assert faults_of(await other.post("/cases", household)) == {"/patients/1/patientId": "not-found"}
    not_hers = {"kind": "individual", "patientIds": [mine["id"]], "question": "?"}
    assert faults_of(await citizen.post("/cases", not_hers)) == {"/patientIds/0": "not-found"}


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "individual"},
        {"kind": "individual", "patientIds": [ABSENT]},
        {"kind": "individual", "patients": [{"patientId": ABSENT, "question": "?"}]},
        {"kind": "household", "patientIds": [ABSENT], "question": "?"},
        {"kind": "household", "patients": [{"patientId": ABSENT, "question": "?"}], "question": "?"},
    ],
)
async def test_each_kind_of_case_has_its_own_members(room: Room, body: Json) -> None:
    assert faults_of(await (await room.as_("gp")).post("/cases", body)) == {"": "kind-mismatch"}


async def test_the_opener_sits_and_the_citizen_too(room: Room) -> None:
    gp = await room.as_("gp")
    case = (await gp.get(room.case)).json()
    assert (case["kind"], case["status"]) == ("individual", "open")
    assert case["membership"]["status"] == "accepted"
    assert case["membership"]["directTreatment"] is True
    assert case["question"] == "Hoe blijft zij veilig thuis?"
    assert [one["id"] for one in case["patients"]] == [room.patient_id]
    roles = {one["person"]["role"]: one for one in case["members"]}
    assert roles["citizen"]["status"] == "accepted"
    assert roles["specialist"]["status"] == "invited"
    citizen = await room.as_("citizen")
    assert [one["id"] for one in await listed(citizen, "/cases")] == [room.case_id]
    assert (await citizen.get(room.case)).json()["question"] == case["question"]


async def test_an_invitee_sees_who_invites_and_nothing_else(instance: Service) -> None:
    table = await open_table(instance)
    gp, worker = await instance.as_("gp"), await instance.as_("social-worker")
    body = {
        "accountId": await account_of(instance, "social-worker"),
        "caseRole": "deelnemer",
        "reasonCode": "elderly-mdo",
    }
    made = await gp.post(f"/cases/{table.case_id}/members", body)
    assert (made.status_code, made.json()) == (201, {"id": made.json()["id"], "status": "invited"})
    (invitation,) = await listed(worker, "/invitations")
    assert set(invitation) == {"memberId", "caseId", "caseRole", "reasonCode", "invitedBy", "invitedAt"}
    assert set(invitation["invitedBy"]) == {"id", "name", "role", "organisation"}
    assert (invitation["memberId"], invitation["caseId"]) == (made.json()["id"], table.case_id)
    assert "emmens" not in str(invitation)
    assert table.case_id not in {one["id"] for one in await listed(worker, "/cases")}
    path = f"/cases/{table.case_id}"
    assert (await worker.get(path)).status_code == 404
    # accepting somebody else's invitation
    for persona in ("gp-other", "poh", "gp", "citizen"):
        answer = await (await instance.as_(persona)).post(f"{path}/members/{made.json()['id']}/acceptance")
        assert answer.status_code == 404
    accepted = await worker.post(f"{path}/members/{made.json()['id']}/acceptance")
    assert (accepted.status_code, accepted.json()) == (201, {"id": made.json()["id"], "status": "accepted"})
    assert await listed(worker, "/invitations") == []
    # accepted, without any grant
    case = (await worker.get(path)).json()
    assert set(case) == {"id", "kind", "status", "membership"}
    assert set(case["membership"]) == {"memberId", "caseRole", "directTreatment", "status", "invitedBy"}
    assert case["membership"]["invitedBy"]["name"] == "Anna de Vries"
    assert case in await listed(worker, "/cases")
    assert (await worker.get(f"{path}/members")).status_code == 404
    assert await listed(worker, f"{path}/threads") == []
    assert await listed(worker, f"{path}/consents") == []
    assert await listed(worker, f"{path}/access") == []
    twice = await worker.post(f"{path}/members/{made.json()['id']}/acceptance")
    assert (twice.status_code, problem_of(twice)["code"]) == (409, "invitation-decided")


async def test_colleagues_of_the_opener_sit_down_at_once_whoever_asks_them(instance: Service) -> None:
    table = await open_table(instance)
    gp, citizen = await instance.as_("gp"), await instance.as_("citizen")
    body = {"caseRole": "deelnemer", "reasonCode": "treatment"}
    mine = {**body, "accountId": await account_of(instance, "poh")}
    assert (await gp.post(f"/cases/{table.case_id}/members", mine)).json()["status"] == "accepted"
    hers = {**body, "accountId": await account_of(instance, "poh-youth")}
    assert (await citizen.post(f"/cases/{table.case_id}/members", hers)).json()["status"] == "accepted"
    own = await citizen.made(
        "/cases", {"kind": "individual", "patientIds": [table.patient_id], "question": "Wie helpt?"}
    )
    assert own["status"] == "requested"
    asked = {**body, "accountId": await account_of(instance, "gp"), "directTreatment": True}
    invitation = await citizen.made(f"/cases/{own['id']}/members", asked)
    assert invitation["status"] == "invited"
    await gp.made(f"/cases/{own['id']}/members/{invitation['id']}/acceptance")
    opened = (await gp.get(f"/cases/{own['id']}")).json()
    assert (opened["status"], opened["question"]) == ("open", "Wie helpt?")


async def test_a_refused_invitation_is_over(room: Room) -> None:
    member = await room.invited("gp-other")
    other = await room.as_("gp-other")
    path = f"{room.case}/members/{member}"
    refused = await other.post(f"{path}/refusal", {"reason": "not-involved"})
    assert (refused.status_code, refused.json()) == (
        201,
        {"id": member, "status": "refused", "reason": "not-involved"},
    )
    assert await listed(other, "/invitations") == []
    assert (await other.post(f"{path}/acceptance")).status_code == 409
    assert (await other.get(room.case)).status_code == 404
    again = await room.invited("gp-other")
    assert again != member
    assert (await (await room.as_("gp")).delete(f"{room.case}/members/{again}")).status_code == 204


@pytest.mark.parametrize(
    ("persona", "more", "faults"),
    [
        ("social-worker-2", {"directTreatment": True}, {"/directTreatment": "not-a-treating-role"}),
        ("informal-carer", {"directTreatment": True}, {"/directTreatment": "not-a-treating-role"}),
        ("auditor", {}, {"/accountId": "not-found"}),
        ("integration", {}, {"/accountId": "not-found"}),
        ("citizen", {}, {"/accountId": "not-found"}),
        ("gp-other", {"caseRole": "patient"}, {"/caseRole": "not-allowed"}),
        ("gp-other", {"caseRole": "baas"}, {"/caseRole": "not-allowed"}),
        ("gp-other", {"reasonCode": "because"}, {"/reasonCode": "not-allowed"}),
        ("gp-other", {"accountId": ABSENT}, {"/accountId": "not-found"}),
    ],
)
async def test_who_cannot_sit_as_asked_is_refused(
    room: Room, persona: str, more: Json, faults: dict[str, str]
) -> None:
    gp = await room.as_("gp")
    body = await room.member_body(persona, **more)
    assert faults_of(await gp.post(f"{room.case}/members", body)) == faults


async def test_nobody_is_invited_twice_not_even_by_who_cannot_see_the_members(instance: Service) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker", caseRole="casemanager")
    await seat(table, "district-nurse")
    body = {
        "accountId": await account_of(instance, "district-nurse"),
        "caseRole": "deelnemer",
        "reasonCode": "treatment",
    }
    for persona in ("gp", "social-worker"):
        answer = await (await instance.as_(persona)).post(f"/cases/{table.case_id}/members", body)
        assert (answer.status_code, problem_of(answer)["code"]) == (409, "already-member")


async def test_only_opener_manager_and_subject_invite(room: Room) -> None:
    for persona in ("poh", "district-nurse", "social-worker"):
        caller = await room.as_(persona)
        answer = await caller.post(f"{room.case}/members", await room.member_body("gp-locum"))
        assert (persona, answer.status_code) == (persona, 403)


async def test_a_member_leaves_and_what_it_wrote_stays_its_own(instance: Service) -> None:
    table = await open_table(instance)
    member = await seat(table, "district-nurse", direct=True)
    medication = await thread(table, CARE)
    nurse, gp, poh = [await instance.as_(persona) for persona in ("district-nurse", "gp", "poh")]
    await seat(table, "poh", direct=True)
    await nurse.made(f"/threads/{medication}/messages", {"text": "Van de wijkverpleging"})
    path = f"/cases/{table.case_id}/members"
    assert (await poh.delete(f"{path}/{member}")).status_code == 403
    assert (await gp.delete(f"{path}/{ABSENT}")).status_code == 404
    assert (await nurse.delete(f"{path}/{member}")).status_code == 204
    assert (await nurse.get(f"/cases/{table.case_id}")).status_code == 404
    assert (await nurse.get(f"/threads/{medication}/messages")).status_code == 404
    assert (await nurse.post(f"/threads/{medication}/messages", {"text": "x"})).status_code == 404
    assert [one["text"] for one in await listed(nurse, "/contributions")] == ["Van de wijkverpleging"]
    elsewhere = (await nurse.get("/contributions", caseId=ABSENT)).json()
    assert elsewhere == {"items": [], "nextCursor": None}
    assert (await gp.delete(f"{path}/{member}")).status_code == 404
    citizen = next(one for one in await listed(gp, path) if one["caseRole"] == "patient")
    assert (await gp.delete(f"{path}/{citizen['id']}")).status_code == 403
    back = await seat(table, "district-nurse", direct=True)
    assert back != member


async def test_a_public_task_opens_its_law_s_cells_to_that_engagement_only(instance: Service) -> None:
    table = await open_table(instance)
    worker_seat = await seat(table, "social-worker")
    nurse_seat = await seat(table, "district-nurse")
    worker, gp, nurse = [await instance.as_(persona) for persona in ("social-worker", "gp", "district-nurse")]
    path = f"/cases/{table.case_id}/members/{worker_seat}/public-tasks"
    assert (await worker.post(path, {"law": "wmo2015"})).status_code == 403
    assert (await nurse.post(path, {"law": "wmo2015"})).status_code == 403
    assert faults_of(await gp.post(path, {"law": "jeugdwet"})) == {"/law": "other-law"}
    assert faults_of(await gp.post(path.replace(worker_seat, nurse_seat), {"law": "wmo2015"})) == {
        "/law": "other-law"
    }
    past = {"law": "wmo2015", "validFrom": "2020-01-01T00:00:00Z"}
    assert faults_of(await gp.post(path, past)) == {"/validFrom": "past"}
    assert (await worker.get(f"/cases/{table.case_id}")).json().keys().isdisjoint(HIDDEN)
    task = await gp.made(path, {"law": "wmo2015"})
    rows = await listed(worker, f"/cases/{table.case_id}/access") or []
    whole = (await worker.get(f"/cases/{table.case_id}/access")).json()["items"]
    assert rows == whole[:100]
    opened = {one["category"] for one in whole if one["domain"] == "social" and one["mayWrite"]}
    assert opened == {
        *("plan_goals_actions", "practical_coordination", "functional_adl", "living_situation"),
        *("social_participation", "positive_health", "zrm"),
    }
    assert {one["category"] for one in whole if one["domain"] != "social"} == {"identification", "contact_network"}
    assert {one["ground"] for one in whole} == {"public_task"}
    mine = await thread(table, "living_situation", by="social-worker")
    assert (await worker.get(f"/threads/{mine}")).json()["domain"] == "social"
    assert (await gp.get(f"/threads/{mine}")).status_code == 404
    for category in ("finance_debt", "work_income", "medication"):
        body = {"patientId": table.patient_id, "category": category, "title": "Titel"}
        assert (await worker.post(f"/cases/{table.case_id}/threads", body)).status_code == 403
    ended = await gp.post(f"/cases/{table.case_id}/public-tasks/{task['id']}/ending")
    assert (ended.status_code, ended.content) == (204, b"")
    assert (await worker.get(f"/threads/{mine}")).status_code == 404
    assert (await gp.post(f"/cases/{table.case_id}/public-tasks/{task['id']}/ending")).status_code == 404


async def test_a_social_worker_opens_a_case_under_her_own_law(instance: Service) -> None:
    worker, second = await instance.as_("social-worker"), await instance.as_("social-worker-2")
    patient = await worker.made("/patients", {"noBsnReason": "Onbekend", **PATIENT})
    case = await worker.made("/cases", {"kind": "individual", "patientIds": [patient["id"]], "question": "Wat nu?"})
    assert case["question"] == "Wat nu?"
    grounds = {one["ground"] for one in (await worker.get(f"/cases/{case['id']}/access")).json()["items"]}
    assert grounds == {"public_task"}
    seated = await worker.made(
        f"/cases/{case['id']}/members",
        {
            "accountId": await account_of(instance, "social-worker-2"),
            "caseRole": "deelnemer",
            "reasonCode": "social-support",
        },
    )
    if seated["status"] == "invited":
        await second.made(f"/cases/{case['id']}/members/{seated['id']}/acceptance")
    assert (await second.get(f"/cases/{case['id']}")).json().keys().isdisjoint(HIDDEN)


# Consent


async def test_a_consent_shows_everything_that_was_decided(room: Room) -> None:
    gp = await room.as_("gp")
    answer = await gp.post(f"{room.case}/consents", room.consent_body(decidedAt="2026-01-31T09:30:00+01:00"))
    assert answer.status_code == 201
    body = answer.json()
    assert (
        body
        | {
            "status": "active",
            "patientId": room.patient_id,
            "kind": "lift_secrecy",
            "from": [{"domain": "care"}],
            "bothWays": True,
            "history": "all",
            "recipients": [{"type": "member", "id": room.members["social-worker"], "role": None}],
            "categories": [SHARED],
            "purpose": "CAREMGT",
            "decidedBy": {"type": "patient", "id": None},
            "decidedAt": "2026-01-31T08:30:00.000Z",
            "method": "oral_recorded",
            "textVersion": "nl-2026-1",
            "validUntil": None,
            "withdrawal": None,
        }
        == body
    )
    assert body["validFrom"] == body["recordedAt"]
    texts = await listed(gp, "/consent-texts")
    assert body["textSha256"] == next(one["sha256"] for one in texts if one["version"] == "nl-2026-1")
    assert set(texts[0]) == {"version", "language", "level", "text", "sha256"}
    assert (await gp.get(f"/consents/{body['id']}")).json() == body
    assert body in await listed(gp, f"{room.case}/consents")


async def test_nobody_records_in_their_own_favour_or_for_another_domain(room: Room) -> None:
    nurse, worker = await room.as_("district-nurse"), await room.as_("social-worker")
    team = await room.owner.fetchval("select id from team")
    organisation = (await nurse.get("/me")).json()["organisation"]["id"]
    refused = [
        (nurse, {"type": "member", "id": room.members["district-nurse"]}),
        (nurse, {"type": "organisation", "id": organisation}),
        (nurse, {"type": "role", "role": "district_nurse"}),
        (worker, {"type": "member", "id": room.members["social-worker"]}),
        (worker, {"type": "team", "id": str(team)}),
        (worker, {"type": "role", "role": "social_team"}),
    ]
    for caller, recipient in refused:
        for listing in ([recipient], [{"type": "role", "role": "poh"}, recipient]):
            body = room.consent_body(recipients=listing)
            assert (await caller.post(f"{room.case}/consents", body)).status_code == 403
    for domains in (["social"], ["youth"], ["care", "social"]):
        body = room.consent_body(**{"from": [{"domain": domain} for domain in domains]})
        assert (await nurse.post(f"{room.case}/consents", body)).status_code == 403
    carer = await room.invited("informal-carer")
    relative = await room.as_("informal-carer")
    await relative.made(f"{room.case}/members/{carer}/acceptance")
    assert (await relative.post(f"{room.case}/consents", room.consent_body())).status_code == 403
    for kind in ("gdpr_basis", "agree_to_help"):
        body = room.consent_body(kind=kind, recipients=[{"type": "role", "role": "social_team"}])
        assert (await worker.post(f"{room.case}/consents", body)).status_code == 201


@pytest.mark.parametrize("kind", ["gdpr_basis", "agree_to_help"])
async def test_only_lifting_secrecy_opens_anything(instance: Service, kind: str) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    shared = await thread(table, SHARED)
    await consent(table, "social-worker", SHARED, kind=kind)
    worker = await instance.as_("social-worker")
    assert (await worker.get(f"/threads/{shared}")).status_code == 404
    assert (await worker.get(f"/cases/{table.case_id}")).json().keys().isdisjoint(HIDDEN)


@pytest.mark.parametrize(
    ("more", "faults"),
    [
        ({"recipients": []}, {"/recipients": "too-few"}),
        ({"recipients": [{"type": "member", "id": ABSENT}]}, {"/recipients/0": "not-a-member"}),
        ({"recipients": [{"type": "organisation", "id": ABSENT}]}, {"/recipients/0": "not-a-member"}),
        ({"recipients": [{"type": "team", "id": ABSENT}]}, {"/recipients/0": "not-a-member"}),
        ({"recipients": [{"type": "role", "role": "specialist"}]}, {"/recipients/0": "not-a-member"}),
        ({"recipients": [{"type": "person", "id": ABSENT}]}, {"/recipients/0/type": "not-allowed"}),
        ({"recipients": [{"type": "role", "id": ABSENT}]}, None),
        ({"categories": []}, {"/categories": "too-few"}),
        ({"categories": ["gossip"]}, {"/categories/0": "not-allowed"}),
        ({"categories": [SHARED, SHARED]}, {"/categories": "repeated"}),
        ({"categories": ["safety_meldcode"]}, {"/categories": "not-shareable"}),
        ({"purpose": "AUDIT"}, {"/purpose": "not-allowed"}),
        ({"method": "telepathy"}, {"/method": "not-allowed"}),
        ({"textVersion": "nl-1999-1"}, {"/textVersion": "unknown"}),
        ({"from": []}, {"/from": "too-few"}),
        ({"decidedAt": "2026-01-31T09:30:00"}, {"/decidedAt": "not-an-instant"}),
        ({"decidedAt": "2126-01-31T09:30:00Z"}, {"/decidedAt": "in-future"}),
        ({"validUntil": "2020-01-31T09:30:00Z"}, {"/validUntil": "past"}),
        ({"patientId": ABSENT}, {"/patientId": "not-a-subject"}),
        (
            {"patientId": ABSENT, "textVersion": "x", "decidedAt": "2126-01-31T09:30:00Z"},
            {"/patientId": "not-a-subject", "/textVersion": "unknown", "/decidedAt": "in-future"},
        ),
    ],
)
async def test_a_consent_with_anything_missing_or_wrong_is_not_recorded(
    room: Room, more: Json, faults: dict[str, str] | None
) -> None:
    gp = await room.as_("gp")
    before = await room.owner.fetchval("select count(*) from consent")
    answer = await gp.post(f"{room.case}/consents", room.consent_body(**more))
    found = faults_of(answer)
    assert faults is None or found == faults
    assert not any("<" in fault["detail"] for fault in answer.json()["errors"]), "in the words of the interface"
    assert await room.owner.fetchval("select count(*) from consent") == before


async def test_every_member_of_a_consent_is_required(room: Room) -> None:
    gp = await room.as_("gp")
    faults = faults_of(await gp.post(f"{room.case}/consents", {}))
    assert faults == dict.fromkeys(
        (
            *("/patientId", "/kind", "/recipients", "/categories", "/purpose", "/decidedBy", "/method"),
            "/textVersion",
        ),
        "missing",
    )


async def test_a_consent_is_readable_to_those_it_concerns(room: Room) -> None:
    given = await room.consented(by="poh", categories=["zrm"])
    seen = {}
    for persona in ("gp", "poh", "citizen", "social-worker", "district-nurse", "gp-other"):
        caller = await room.as_(persona)
        read = (await caller.get(f"/consents/{given}")).status_code
        listing = await caller.get(f"{room.case}/consents", limit=100)
        in_list = listing.status_code == 200 and given in {one["id"] for one in listing.json()["items"]}
        assert in_list == (read == 200)
        seen[persona] = read
    assert seen == {
        "gp": 200,  # case manager
        "poh": 200,  # recorder
        "citizen": 200,  # subject
        "social-worker": 200,  # recipient
        "district-nurse": 404,
        "gp-other": 404,
    }


@pytest.mark.parametrize("persona", ["citizen", "gp", "poh", "social-worker"])
async def test_whoever_may_read_a_consent_may_withdraw_it_once(room: Room, persona: str) -> None:
    given = await room.consented(by="poh", categories=["crisis_plan"])
    caller = await room.as_(persona)
    for other in ("district-nurse", "gp-other"):
        assert (await (await room.as_(other)).post(f"/consents/{given}/withdrawal")).status_code == 404
    answer = await caller.post(f"/consents/{given}/withdrawal", {"method": "written"})
    assert answer.status_code == 201
    assert answer.json()["status"] == "withdrawn"
    assert answer.json()["withdrawal"]["method"] == "written"
    again = await (await room.as_("gp")).post(f"/consents/{given}/withdrawal")
    assert (again.status_code, problem_of(again)["code"]) == (409, "consent-already-withdrawn")


async def test_of_withdrawals_at_once_exactly_one_is_the_withdrawal(room: Room) -> None:
    given = await room.consented()
    callers = [await room.as_(persona) for persona in ("citizen", "gp", "social-worker", "citizen", "gp")]
    answers = await asyncio.gather(*(caller.post(f"/consents/{given}/withdrawal") for caller in callers))
    assert Counter(one.status_code for one in answers) == {201: 1, 409: 4}
    events = "select count(*) from case_event where type = 'consent.withdrawn' and refers_to = $1"
    assert await room.owner.fetchval(events, given) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"decidedBy": {"type": "neighbour"}},
        {"decidedAt": "2126-01-01T00:00:00Z"},
        {"why": "no"},
        [],
        {"method": 1},
        {"decidedAt": "2020-01-01T00:00:00Z"},
    ],
)
async def test_a_bad_withdrawal_withdraws_nothing(room: Room, body: Any) -> None:
    gp = await room.as_("gp")
    answer = await gp.post(f"/consents/{room.ids['consent']}/withdrawal", body)
    assert faults_of(answer)
    assert (await gp.get(f"/consents/{room.ids['consent']}")).json()["status"] == "active"


async def test_the_preview_says_what_the_withdrawal_then_takes(instance: Service) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    given = await consent(table, "social-worker", SHARED, CARE)
    worker, citizen = await instance.as_("social-worker"), await instance.as_("citizen")
    path = f"/cases/{table.case_id}/access"
    before = {(one["category"], one["domain"]) for one in (await worker.get(path)).json()["items"]}
    losses = (await citizen.get(f"/consents/{given}/withdrawal-preview")).json()["losses"]
    loss = next(one for one in losses if one["person"]["role"] == "social_team")
    assert loss["patientId"] == table.patient_id
    assert {(one["category"], one["domain"]) for one in loss["cells"]} == before
    withdrawn: Any = await citizen.made(f"/consents/{given}/withdrawal")
    assert withdrawn["withdrawal"]["method"] == "digital_2fa", "in her own log-in"
    assert (await worker.get(path)).json()["items"] == []
    assert (await citizen.get(f"/consents/{given}/withdrawal-preview")).json() == {"losses": []}


async def test_access_tells_a_past_moment_too(instance: Service) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    given = await consent(table, "social-worker", SHARED)
    gp = await instance.as_("gp")
    at = (await gp.get(f"/consents/{given}")).json()["recordedAt"]
    later = datetime.fromisoformat(at) + timedelta(milliseconds=1)
    await gp.made(f"/consents/{given}/withdrawal")
    path = f"/cases/{table.case_id}/access"

    async def worker_holds(moment: datetime) -> bool:
        rows = (await gp.get(path, at=moment.isoformat().replace("+00:00", "Z"))).json()["items"]
        return any(one["memberId"] == table.members["social-worker"] for one in rows)

    assert await worker_holds(later)
    assert not await worker_holds(datetime.now(UTC))
    assert not await worker_holds(later - timedelta(hours=1))
    assert faults_of(await gp.get(path, at="2026-01-31T09:30:00")) == {"?at": "not-an-instant"}


async def test_history_from_now_leaves_what_was_said_before_closed(instance: Service) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    shared = await thread(table, SHARED, title="Van voor die tijd")
    gp, worker = await instance.as_("gp"), await instance.as_("social-worker")
    early = await gp.made(f"/threads/{shared}/messages", {"text": "Vroeger"})
    await consent(table, "social-worker", SHARED, history="from-now")
    await gp.made(f"/threads/{shared}/messages", {"text": "Nu"})
    seen = (await worker.get(f"/threads/{shared}")).json()
    assert "title" not in seen
    assert [one["text"] for one in await listed(worker, f"/threads/{shared}/messages")] == ["Nu"]
    assert (await worker.get(f"/messages/{early['id']}")).status_code == 404
    assert "question" not in (await worker.get(f"/cases/{table.case_id}")).json()


async def test_a_one_way_consent_lets_the_recipient_only_read(instance: Service) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    shared = await thread(table, SHARED)
    await consent(table, "social-worker", SHARED, bothWays=False)
    worker = await instance.as_("social-worker")
    assert (await worker.get(f"/threads/{shared}")).status_code == 200
    assert (await worker.post(f"/threads/{shared}/messages", {"text": "x"})).status_code == 403
    body = {"patientId": table.patient_id, "category": SHARED, "title": "x"}
    assert (await worker.post(f"/cases/{table.case_id}/threads", body)).status_code == 403


# Threads and messages


async def test_a_thread_has_the_domain_of_who_opened_it_and_a_message_its_author(room: Room) -> None:
    gp = await room.as_("gp")
    body = {"patientId": room.patient_id, "category": CARE, "title": "Pillen"}
    made = await gp.post(f"{room.case}/threads", body)
    assert (
        made.json() | {"category": CARE, "domain": "care", "title": "Pillen", "caseId": room.case_id} == made.json()
    )
    answer = await gp.post(f"/threads/{made.json()['id']}/messages", {"text": "Hoeveel?", "kind": "question"})
    posted = answer.json()
    assert (
        posted
        | {
            "threadId": made.json()["id"],
            "author": {"id": await account_of(room.instance, "gp"), "name": "Anna de Vries", "role": "gp"},
            "text": "Hoeveel?",
            "kind": "question",
            "status": "posted",
        }
        == posted
    )
    assert set(posted) == {"id", "threadId", "author", "text", "kind", "at", "status"}
    assert (await gp.get(f"/messages/{posted['id']}")).json() == posted
    assert await listed(gp, f"/threads/{made.json()['id']}/messages") == [posted]


async def test_a_thread_is_opened_where_one_may_write_only(room: Room) -> None:
    nurse, gp = await room.as_("district-nurse"), await room.as_("gp")
    for caller, category in ((nurse, "medical_summary"), (nurse, "addiction"), (gp, "mental_health"), (gp, "zzz")):
        body = {"patientId": room.patient_id, "category": category, "title": "Titel"}
        assert (await caller.post(f"{room.case}/threads", body)).status_code == (400 if category == "zzz" else 403)


async def test_a_correction_is_an_addition(room: Room) -> None:
    gp, poh = await room.as_("gp"), await room.as_("poh")
    thread_id = await thread(room, CARE)
    first = await room.posted(thread_id, "Tweemaal daags")
    answer = await gp.post(f"/messages/{first}/corrections", {"text": "Driemaal daags"})
    assert answer.status_code == 201
    assert (answer.json()["corrects"], answer.json()["status"]) == (first, "correction")
    told = [(one["text"], one["status"]) for one in await listed(poh, f"/threads/{thread_id}/messages")]
    assert told == [("Tweemaal daags", "superseded"), ("Driemaal daags", "correction")]
    refused = await poh.post(f"/messages/{first}/corrections", {"text": "Nee"})
    assert refused.status_code == 403
    assert (await poh.post(f"/messages/{first}/retraction", {"reason": "error"})).status_code == 403


async def test_a_retracted_message_is_gone_with_its_corrections_for_all_but_its_author(room: Room) -> None:
    gp, poh, officer, auditor = [await room.as_(one) for one in ("gp", "poh", "privacy-officer", "auditor")]
    thread_id = await thread(room, CARE)
    wrong = await room.posted(thread_id, "Over iemand anders")
    other = await room.posted(thread_id, "Blijft staan")
    corrected = (await gp.made(f"/messages/{wrong}/corrections", {"text": "Over iemand heel anders"}))["id"]
    twice = (await gp.made(f"/messages/{corrected}/corrections", {"text": "Weer over iemand anders"}))["id"]
    assert (await officer.get(f"/messages/{wrong}")).status_code == 404
    answer = await gp.post(f"/messages/{wrong}/retraction", {"reason": "wrong-person"})
    assert (answer.status_code, answer.json()) == (
        201,
        {"id": wrong, "threadId": thread_id, "status": "retracted", "reason": "wrong-person"},
    )
    assert [one["id"] for one in await listed(poh, f"/threads/{thread_id}/messages")] == [other]
    for message in (wrong, corrected, twice):
        assert (await poh.get(f"/messages/{message}")).status_code == 404
        assert (await auditor.get(f"/messages/{message}")).status_code == 403
        mine = (await gp.get(f"/messages/{message}")).json()
        assert (mine["status"], "anders" in mine["text"]) == ("retracted", True)
        assert (await officer.get(f"/messages/{message}")).json()["text"] == mine["text"]
    assert (await officer.get(f"/messages/{other}")).status_code == 404
    assert (await poh.post(f"/messages/{wrong}/corrections", {"text": "x"})).status_code == 404
    for body, path in (({"text": "x"}, "corrections"), ({"reason": "error"}, "retraction")):
        late = await gp.post(f"/messages/{wrong}/{path}", body)
        assert (late.status_code, problem_of(late)["code"]) == (409, "message-already-retracted")


async def test_a_correction_alone_can_be_taken_back(room: Room) -> None:
    gp, poh = await room.as_("gp"), await room.as_("poh")
    thread_id = await thread(room, CARE)
    first = await room.posted(thread_id, "Eerst")
    corrected = (await gp.made(f"/messages/{first}/corrections", {"text": "Daarna"}))["id"]
    await gp.made(f"/messages/{corrected}/retraction", {"reason": "error"})
    assert [one["text"] for one in await listed(poh, f"/threads/{thread_id}/messages")] == ["Eerst"]


# Audit


async def test_the_log_tells_who_what_and_why_and_no_content(room: Room) -> None:
    auditor, gp = await room.as_("auditor"), await room.as_("gp")
    await gp.get(f"/threads/{room.ids['shared']}/messages")
    answer = await auditor.get("/audit/events", patientId=room.patient_id, action="message:list", limit=1)
    (record,) = answer.json()["items"]
    assert {
        *("id", "at", "actor", "onBehalfOf", "purpose", "patientId", "entity", "category", "action", "outcome"),
        *("ground", "consentId", "accessVersion", "origin", "traceId"),
    } <= set(record)
    assert record["actor"] | {"name": "Anna de Vries", "role": "gp"} == record["actor"]
    assert record["entity"] == {"type": "thread", "id": room.ids["shared"]}
    assert (record["category"], record["ground"], record["outcome"]) == (SHARED, "direct_treatment", "success")
    poh = await room.as_("poh")
    await poh.get(room.case)
    by_poh = await auditor.get("/audit/events", actorId=await account_of(room.instance, "poh"), action="case:read")
    assert by_poh.json()["items"][0]["onBehalfOf"] == await account_of(room.instance, "gp")
    whole = (await auditor.get("/audit/events", limit=100)).text
    for content in (
        "Bericht",
        "Hoe blijft zij veilig thuis?",
        "Lemmens",
        "1941-03-02",
        await citizen_bsn(room.instance),
    ):
        assert content not in whole.replace("Karel Lemmens", "").replace("Mia Lemmens", "")


async def test_the_log_is_searched_by_every_filter(room: Room) -> None:
    auditor = await room.as_("auditor")
    gp = await account_of(room.instance, "gp")
    practice = (await (await room.as_("gp")).get("/me")).json()["organisation"]["id"]
    now = datetime.now(UTC)
    soon, past = (now + timedelta(hours=1)).isoformat(), (now - timedelta(hours=1)).isoformat()
    checks: dict[str, tuple[str, Callable[[Json], bool]]] = {
        "patientId": (room.patient_id, lambda one: one["patientId"] == room.patient_id),
        "actorId": (gp, lambda one: one["actor"]["id"] == gp),
        "organisationId": (practice, lambda one: one["actor"]["organisationId"] == practice),
        "entityId": (room.ids["thread"], lambda one: one["entity"]["id"] == room.ids["thread"]),
        "action": ("thread:open", lambda one: one["action"] == "thread:open"),
        "outcome": ("denied", lambda one: one["outcome"] == "denied"),
        "ground": ("consent", lambda one: one["ground"] == "consent"),
        "from": (past, lambda _: True),
        "to": (soon, lambda _: True),
    }
    await (await room.as_("gp-other")).get(room.case)
    await (await room.as_("social-worker")).get(f"/threads/{room.ids['shared']}")
    for name, (value, fits) in checks.items():
        found = (await auditor.get("/audit/events", **{name: value})).json()["items"]
        assert found, name
        assert all(fits(one) for one in found), name
    assert (await auditor.get("/audit/events", to=past)).json()["items"] == []
    assert (await auditor.get("/audit/events", **{"from": soon})).json()["items"] == []
    for params in ({"patientId": "x"}, {"from": "yesterday"}, {"outcome": "maybe"}, {"action": "'; drop"}):
        assert faults_of(await auditor.get("/audit/events", **params)).keys() == {f"?{next(iter(params))}"}
