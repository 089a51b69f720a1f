"""Who decides about a consent, over HTTP: asked, proposed, given, refused; children, birthdays, departures."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.consent.deciders import birthday
from app.core.settings import Settings
from tests.api.room import ABSENT, CARE, DECIDED, SHARED, Room, another, faults_of, problem_of
from tests.serving import Caller, Instance, MovableClock, Service, serve
from tests.stories import NAMES, Table, seat, thread

Json = dict[str, Any]
PATIENT = {"type": "patient"}


def born(years: int, *, days: int = 40) -> date:
    """Return the birth date of somebody who turned ``years`` some days ago; negative days are still to come."""
    return birthday(datetime.now(UTC).date() - timedelta(days=days), -years)


async def case_about(instance: Service, birth: date) -> Table:
    """Open a case about somebody born then, with a social worker at the table."""
    gp = await instance.as_("gp")
    body = {"noBsnReason": "onbekend", "name": NAMES, "birthDate": birth.isoformat(), "neighbourhood": "limmel"}
    patient = str((await gp.made("/patients", body))["id"])
    case = await gp.made("/cases", {"kind": "individual", "patientIds": [patient], "question": "Hoe nu?"})
    table = Table(instance, str(case["id"]), patient, {})
    await seat(table, "social-worker")
    return table


def terms(table: Table, **more: object) -> Json:
    """Return what is asked: care opens social participation to the social worker."""
    return {
        "patientId": table.patient_id,
        "kind": "lift_secrecy",
        "recipients": [{"type": "member", "id": table.members["social-worker"]}],
        "categories": [SHARED],
        "purpose": "CAREMGT",
        **more,
    }


async def given(table: Table, caller: Caller, **more: object) -> Json:
    """Record a consent with the patient's yes, and return it."""
    return await caller.made(f"/cases/{table.case_id}/consents", {**terms(table), **DECIDED, **more})


async def reads(table: Table, thread_id: str) -> bool:
    """Whether the social worker reads a thread now, in a fresh session."""
    worker = await another(table.instance, "social-worker")
    return (await worker.get(f"/threads/{thread_id}")).status_code == 200


async def test_what_is_asked_opens_nothing_and_its_recipient_does_not_learn_of_it(room: Room) -> None:
    gp, citizen, worker = [await room.as_(persona) for persona in ("gp", "citizen", "social-worker")]
    secret = await thread(room, "zrm")
    asked = await room.asked(categories=["zrm"])
    shown = (await gp.get(f"/consents/{asked}")).json()
    assert (shown["status"], shown["decisions"]) == ("asked", [])
    assert {shown[name] for name in ("decidedBy", "decidedAt", "method", "textVersion", "textSha256")} == {None}
    assert (await citizen.get(f"/consents/{asked}")).json()["status"] == "asked"
    for path in ("", "/withdrawal-preview"):
        assert (await worker.get(f"/consents/{asked}{path}")).status_code == 404
    assert (await worker.post(f"/consents/{asked}/decisions", room.decision_body())).status_code == 404
    assert (await worker.get(f"/threads/{secret}")).status_code == 404
    early = await gp.post(f"/consents/{asked}/withdrawal")
    assert (early.status_code, problem_of(early)["code"]) == (409, "consent-not-active")
    decided = await citizen.post(
        f"/consents/{asked}/decisions", room.decision_body(method="digital_2fa", textVersion="nl-easy-2026-1")
    )
    assert decided.status_code == 201
    body = decided.json()
    assert (body["status"], body["method"], body["textVersion"]) == ("active", "digital_2fa", "nl-easy-2026-1")
    assert body["validFrom"] == body["decisions"][0]["recordedAt"] > body["recordedAt"]
    assert (await worker.get(f"/threads/{secret}")).status_code == 200
    assert (await worker.get(f"/consents/{asked}")).json()["status"] == "active"


async def test_a_no_is_final_and_a_new_consent_may_be_asked(room: Room) -> None:
    gp, worker = await room.as_("gp"), await room.as_("social-worker")
    asked = await room.asked(categories=["finance_debt"])
    no = room.decision_body("no", interpreter="professional")
    refused: Json = await gp.made(f"/consents/{asked}/decisions", no)
    assert (refused["status"], refused["decidedBy"]) == ("refused", None)
    (decision,) = refused["decisions"]
    assert (decision["decision"], decision["language"], decision["interpreter"]) == ("no", "nl", "professional")
    for answer in (
        await gp.post(f"/consents/{asked}/decisions", room.decision_body()),
        await (await room.as_("citizen")).post(f"/consents/{asked}/decisions", room.decision_body("no")),
    ):
        assert (answer.status_code, problem_of(answer)["code"]) == (409, "consent-decided")
    assert (await gp.post(f"/consents/{asked}/withdrawal")).status_code == 409
    assert (await worker.get(f"/consents/{asked}")).status_code == 404, "nobody is told of a refusal"
    assert await room.asked(categories=["finance_debt"]) != asked


async def test_nobody_records_a_yes_in_their_own_favour_but_the_citizen_may_say_it(room: Room) -> None:
    gp, citizen = await room.as_("gp"), await room.as_("citizen")
    asked = await room.asked(categories=["addiction"], recipients=[{"type": "role", "role": "gp"}])
    assert (await gp.post(f"/consents/{asked}/decisions", room.decision_body())).status_code == 403
    elsewhere = {"from": [{"domain": "social"}]}
    assert (await gp.post(f"{room.case}/consent-requests", room.terms_body(**elsewhere))).status_code == 403
    assert (await citizen.made(f"/consents/{asked}/decisions", room.decision_body()))["status"] == "active"


@pytest.mark.parametrize(
    ("more", "faults"),
    [
        ({"textVersion": "nl-1999-1"}, {"/textVersion": "unknown"}),
        ({"decidedAt": "2126-01-31T09:30:00Z"}, {"/decidedAt": "in-future"}),
        ({"decision": "perhaps"}, {"/decision": "not-allowed"}),
        ({"decision": None}, None),
        ({"language": "Nederlands"}, {"/language": "wrong-form"}),
        ({"interpreter": "Jan de Vries"}, {"/interpreter": "not-allowed"}),
        ({"method": "digital_2fa"}, {"/method": "not-own-login"}),
        ({"method": "silence"}, {"/method": "not-allowed"}),
    ],
)
async def test_a_decision_with_anything_wrong_decides_nothing(
    room: Room, more: Json, faults: dict[str, str] | None
) -> None:
    gp = await room.as_("gp")
    if "asked" not in room.ids:
        room.ids["asked"] = await room.asked(categories=["education"])
    found = faults_of(await gp.post(f"/consents/{room.ids['asked']}/decisions", {**room.decision_body(), **more}))
    assert faults is None or found == faults
    shown = (await gp.get(f"/consents/{room.ids['asked']}")).json()
    assert (shown["status"], shown["decisions"]) == ("asked", [])


async def test_every_field_of_what_is_asked_and_of_a_decision_is_required(room: Room) -> None:
    gp = await room.as_("gp")
    asked = await room.asked(categories=["work_income"])
    for path, names in (
        (f"{room.case}/consent-requests", ("patientId", "kind", "recipients", "categories", "purpose")),
        (f"/consents/{asked}/decisions", ("decision", "decidedBy", "method", "textVersion")),
    ):
        assert faults_of(await gp.post(path, {})) == {f"/{name}": "missing" for name in names}
    for more, faults in (
        ({"patientId": ABSENT}, {"/patientId": "not-a-subject"}),
        ({"recipients": [{"type": "member", "id": ABSENT}]}, {"/recipients/0": "not-a-member"}),
        ({"categories": ["safety_meldcode"]}, {"/categories": "not-shareable"}),
        ({"validUntil": "2020-01-31T09:30:00Z"}, {"/validUntil": "past"}),
        ({"departure": {"code": "whim", "reason": "x"}}, {"/departure/code": "not-allowed"}),
        ({"departure": {"code": "lasting-wish", "reason": ""}}, {"/departure/reason": "too-short"}),
    ):
        answer = await gp.post(f"{room.case}/consent-requests", room.terms_body(**more))
        assert answer.status_code in (400, 403), more
        assert answer.status_code == 403 or faults_of(answer) == faults


async def test_a_decision_recorded_more_than_a_week_later_is_marked_late_and_opens_from_then(room: Room) -> None:
    gp = await room.as_("gp")
    now = datetime.now(UTC)
    late = {}
    for days in (6, 8):
        body = room.consent_body(decidedAt=(now - timedelta(days=days)).isoformat(), categories=["mdo_report"])
        shown: Json = await gp.made(f"{room.case}/consents", body)
        assert shown["validFrom"] == shown["recordedAt"] > shown["decidedAt"]
        late[days] = shown["decisions"][0]["late"]
    assert late == {6: False, 8: True}


async def test_the_same_key_decides_once(room: Room) -> None:
    gp = await room.as_("gp")
    asked = await room.asked(categories=["positive_health"])
    for _ in range(2):
        answer = await gp.post(f"/consents/{asked}/decisions", room.decision_body(), Idempotency_Key="decided-once-1")
        assert (answer.status_code, answer.json()["status"]) == (201, "active")
    assert len(answer.json()["decisions"]) == 1


async def test_of_a_child_of_thirteen_the_child_s_yes_alone_opens_nothing(instance: Instance) -> None:
    table = await case_about(instance, born(13))
    gp, shared = await instance.as_("gp"), await thread(table, SHARED)
    proposed = await given(table, gp)
    assert (proposed["status"], proposed["decidedBy"]) == ("proposed", {**PATIENT, "id": None})
    assert not await reads(table, shared)
    again: Json = await gp.made(f"/consents/{proposed['id']}/decisions", {**DECIDED, "decision": "yes"})
    assert (again["status"], len(again["decisions"])) == ("proposed", 2), "nobody with authority is recorded"
    assert not await reads(table, shared)
    refused = await gp.made(f"/consents/{proposed['id']}/decisions", {**DECIDED, "decision": "no"})
    assert refused["status"] == "refused", "the child's own no is enough"


@pytest.mark.parametrize(
    ("years", "capacity"), [(9, "capable"), (13, "incapable"), (17, "incapable"), (40, "incapable")]
)
async def test_who_does_not_decide_about_themselves_is_not_asked(
    instance: Instance, years: int, capacity: str
) -> None:
    table = await case_about(instance, born(years))
    gp = await instance.as_("gp")
    answer = await gp.post(f"/cases/{table.case_id}/consents", {**terms(table), **DECIDED, "capacity": capacity})
    assert faults_of(answer) == {"/decidedBy": "patient-does-not-decide"}
    assert (await gp.get(f"/cases/{table.case_id}/consents")).json()["items"] == []


async def test_a_departure_has_a_reason_that_recipients_do_not_read_and_an_end(instance: Instance) -> None:
    table = await case_about(instance, born(15))
    gp, worker, shared = await instance.as_("gp"), await instance.as_("social-worker"), await thread(table, SHARED)
    departure = {"code": "lasting-wish", "reason": "Zij wil dit al maanden en overziet het goed."}
    consent = await given(table, gp, departure=departure)
    assert (consent["status"], consent["departure"]) == ("active", departure)
    assert await reads(table, shared)
    seen = (await worker.get(f"/consents/{consent['id']}")).json()
    assert seen["departure"] == {"code": "lasting-wish", "reason": None}
    sixteen = birthday(born(15), 16)
    assert (consent["renewOn"], consent["toBeRenewed"]) == (sixteen.isoformat(), False)
    ends = datetime.fromisoformat(str(consent["validUntil"]))
    assert timedelta(days=89) < ends - datetime.combine(sixteen, datetime.min.time(), UTC) < timedelta(days=91)


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def test_turning_sixteen_changes_who_decides_without_anybody_s_doing(
    timed: Instance, clock: MovableClock
) -> None:
    """The consent of a minor lives on for the term and is to be renewed; what waited for parents waits no longer."""
    table = await case_about(timed, born(16, days=-20))
    gp, shared = await timed.as_("gp"), await thread(table, SHARED)
    wish = {"code": "lasting-wish", "reason": "Wil dit al lang."}
    active, waiting = await given(table, gp, departure=wish), await given(table, gp, categories=[CARE])
    assert (active["status"], active["toBeRenewed"], waiting["status"]) == ("active", False, "proposed")
    before = datetime.now(UTC)
    clock.move(timedelta(days=22))
    gp = await another(timed, "gp")
    assert await reads(table, shared)
    assert (await gp.get(f"/consents/{active['id']}")).json()["toBeRenewed"] is True
    path = f"/consents/{waiting['id']}/decisions"
    stale = await gp.post(path, {**DECIDED, "decision": "yes", "decidedAt": before.isoformat()})
    assert faults_of(stale) == {"/decidedAt": "before-birthday"}
    alone = await gp.made(path, {**DECIDED, "decision": "yes"})
    assert (alone["status"], alone["validUntil"], alone["renewOn"]) != ("proposed", None, None)
    assert alone["status"] == "active"
    clock.move(timedelta(days=90))
    assert not await reads(table, shared), "the term is over"
    gp = await another(timed, "gp")
    assert (await gp.get(f"/consents/{active['id']}")).json()["status"] == "expired"
    assert (await gp.get(f"/consents/{alone['id']}")).json()["status"] == "active", "until the eighteenth birthday"
