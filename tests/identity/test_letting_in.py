"""Citizens come in by a member's code and sit down at once; whoever lost a factor begins anew by two people."""

from datetime import timedelta
from typing import Any

import pytest

from app.identity.demo import BY_KEY
from tests.identity.entering import Log, at_once, body_of, entered, log_in, masked
from tests.serving import Caller, Instance, MovableClock

Json = dict[str, Any]
BORN = "1950-01-31"


async def opened(instance: Instance, *, by: str = "gp", patient_id: str | None = None) -> Json:
    """Open a case about somebody without an account."""
    gp = await instance.as_(by)
    if patient_id is None:
        name = {"given": "Jan", "prefix": "de", "family": "Smeets"}
        body = {"bsn": "999990019", "name": name, "birthDate": BORN, "neighbourhood": "limmel"}
        patient_id = str((await gp.made("/patients", body))["id"])
    return await gp.made("/cases", {"kind": "individual", "patientIds": [patient_id], "question": "Hoe nu verder?"})


def asked(case: Json, **more: object) -> Json:
    check = {"document": "identity-card"}
    return {"patientId": case["patients"][0]["id"], "identityCheck": check, "delivery": "posted", **more}


async def coded(instance: Instance, case: Json, *, by: str = "gp") -> str:
    made = await (await instance.as_(by)).made(f"/cases/{case['id']}/activation-codes", asked(case))
    return str(made["code"])


async def used(instance: Instance, code: str, birth_date: str | None = BORN) -> Any:
    body = {"code": code, **({} if birth_date is None else {"birthDate": birth_date})}
    return await instance.http.post("/enrolments", json=body)


async def in_for_real(instance: Instance, answer: Any) -> Caller:
    """Set a password and a printed sheet, which is all that is needed, and log in with them."""
    caller = Caller(instance, "jan", answer.json()["accessToken"])
    await caller.made("/passwords", {"loginName": "jan", "password": "vier paarden op de markt"})
    sheet: Json = await caller.made("/recovery-codes")
    body = {"method": "password", "loginName": "jan", "password": "vier paarden op de markt"}
    answer = await log_in(instance, {**body, "recoveryCode": sheet["codes"][0]})
    assert answer.status_code == 201, answer.text
    return Caller(instance, "jan", answer.json()["accessToken"])


async def test_a_citizen_comes_in_by_a_code_and_a_birth_date_and_sits_down(instance: Instance, log: Log) -> None:
    first = await opened(instance)
    second = await opened(instance, patient_id=first["patients"][0]["id"])
    answer = await used(instance, await coded(instance, first))
    assert answer.status_code == 201, answer.text
    assert answer.json()["account"]["name"] == "Jan de Smeets"
    (record,) = await log.of(answer)
    assert (record["action"], record["outcome"]) == ("enrolment:use", "success")
    assert str(record["patient_id"]) == first["patients"][0]["id"]
    gp = await instance.as_("gp")
    for case in (first, second):
        roles = [one["caseRole"] for one in (await gp.get(f"/cases/{case['id']}/members")).json()["items"]]
        assert sorted(roles) == ["patient", "regiebehandelaar"]
    citizen = await in_for_real(instance, answer)
    found = (await citizen.get("/cases")).json()["items"]
    assert {one["id"] for one in found} == {first["id"], second["id"]}
    shown = (await citizen.get(f"/cases/{first['id']}")).json()
    assert shown["patients"][0]["linked"] is True
    row = await log.owner.fetchrow("select identity_document, delivery, tries from enrolment")
    assert row is not None
    assert tuple(row) == ("identity-card", "posted", 0)
    refused = await gp.post(f"/cases/{first['id']}/activation-codes", asked(first))
    assert (refused.status_code, refused.json()["code"]) == (409, "patient-linked")


async def test_without_the_birth_date_it_opens_nothing_and_the_fifth_wrong_one_ends_it(instance: Instance) -> None:
    case = await opened(instance)
    code = await coded(instance, case)
    answers = [await used(instance, code, born) for born in (None, *["1950-01-30"] * 4)]
    answers.append(await used(instance, code))
    assert len({str(masked(answer)) for answer in answers}) == 1
    assert answers[0].status_code == 401
    code = await coded(instance, case)
    assert (await used(instance, code, "1950-02-01")).status_code == 401
    assert (await used(instance, code)).status_code == 201


async def test_a_code_is_used_once_by_five_at_once_and_a_newer_one_voids_it(
    timed: Instance, clock: MovableClock
) -> None:
    case = await opened(timed)
    older, newer = await coded(timed, case), await coded(timed, case)
    assert (await used(timed, older)).status_code == 401
    answers = await at_once(*(used(timed, newer) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401]
    clock.move(timedelta(seconds=1))


async def test_a_code_ends_after_fourteen_days(timed: Instance, clock: MovableClock) -> None:
    code = await coded(timed, await opened(timed))
    clock.move(timedelta(days=14, seconds=1))
    assert (await used(timed, code)).status_code == 401


async def test_only_who_knows_whom_the_case_is_about_lets_them_in(instance: Instance) -> None:
    case, other = await opened(instance), await instance.as_("gp-other")
    path = f"/cases/{case['id']}/activation-codes"
    assert (await other.post(path, asked(case))).status_code == 404
    gp = await instance.as_("gp")
    assert (await gp.post(path, asked(case, patientId=str(BY_KEY["gp"].account_id)))).status_code == 404
    assert (await gp.post(path, asked(case, identityCheck={"document": "library-card"}))).status_code == 400
    admin = await instance.as_("org-admin")
    assert (await admin.post(path, asked(case))).status_code == 403


async def test_a_citizen_with_an_account_links_a_further_patient_while_logged_in(instance: Instance) -> None:
    case = await opened(instance)
    citizen = await in_for_real(instance, await used(instance, await coded(instance, case)))
    gp = await instance.as_("gp-other")
    body = {"noBsnReason": "onbekend", "name": {"given": "Jan", "family": "Smeets"}, "birthDate": BORN}
    patient = await gp.made("/patients", {**body, "neighbourhood": "limmel"})
    other = await opened(instance, by="gp-other", patient_id=str(patient["id"]))
    code = await coded(instance, other, by="gp-other")
    for wrong in ({"code": code, "birthDate": "1950-01-30"}, {"code": "0", "birthDate": BORN}):
        answer = await citizen.post("/patient-links", wrong)
        assert (answer.status_code, answer.json()["code"]) == (401, "enrolment-failed")
    linked = await citizen.made("/patient-links", {"code": code, "birthDate": BORN})
    assert linked["patientId"] == patient["id"]
    found = (await citizen.get("/cases")).json()["items"]
    assert {one["id"] for one in found} == {case["id"], other["id"]}
    assert (await citizen.post("/patient-links", {"code": code, "birthDate": BORN})).status_code == 401
    assert (await gp.post("/patient-links", {"code": code, "birthDate": BORN})).status_code == 403


# By two people


async def requested(instance: Instance, by: str, persona: str) -> Any:
    caller = await instance.as_(by)
    body = {"accountId": str(BY_KEY[persona].account_id), "reasonCode": "lost-device"}
    return await caller.post("/factor-resets", body)


async def confirmed(instance: Instance, by: str, reset_id: str) -> Any:
    return await (await instance.as_(by)).post(f"/factor-resets/{reset_id}/confirmation")


async def test_two_people_let_a_third_begin_anew(instance: Instance, log: Log) -> None:
    poh = await entered(instance, "poh")
    asked_for = await requested(instance, "org-admin", "poh")
    assert asked_for.status_code == 201, asked_for.text
    reset_id = asked_for.json()["id"]
    assert (await poh.get("/cases")).status_code == 200
    listed = (await (await instance.as_("gp")).get("/factor-resets")).json()["items"]
    assert [one["id"] for one in listed] == [reset_id]
    answer = await confirmed(instance, "gp", reset_id)
    assert answer.status_code == 201, answer.text
    assert (await poh.get("/cases")).status_code == 401
    assert (await log_in(instance, body_of("poh"))).status_code == 401
    again = await confirmed(instance, "gp", reset_id)
    assert (again.status_code, again.json()["code"]) == (409, "reset-decided")
    begun = await used(instance, answer.json()["code"], None)
    assert begun.status_code == 201, begun.text
    caller = Caller(instance, "poh", begun.json()["accessToken"])
    assert (await caller.get("/credentials")).json()["items"] == []
    actions = {record["action"] for one in (asked_for, answer) for record in await log.of(one)}
    assert actions == {"factor-reset:request", "factor-reset:confirm"}


async def test_the_second_person_is_another_and_neither_is_the_one_who_is_helped(instance: Instance) -> None:
    own = await requested(instance, "gp", "gp")
    assert own.status_code == 404
    reset_id = (await requested(instance, "org-admin", "poh")).json()["id"]
    twice = await confirmed(instance, "org-admin", reset_id)
    assert (twice.status_code, twice.json()["code"]) == (403, "reset-needs-another")
    assert (await confirmed(instance, "poh", reset_id)).status_code == 403
    assert (await confirmed(instance, "gp-other", reset_id)).status_code == 404
    about_gp = (await requested(instance, "org-admin", "gp")).json()["id"]
    assert (await confirmed(instance, "gp", about_gp)).status_code == 404
    assert (await log_in(instance, body_of("poh"))).status_code == 201


@pytest.mark.parametrize("persona", ["gp-other", "social-worker", "region-admin", "auditor"])
async def test_an_organisation_helps_its_own_people_alone(instance: Instance, persona: str) -> None:
    assert (await requested(instance, "org-admin", persona)).status_code == 404
    assert (await requested(instance, "gp", persona)).status_code == 404
    helper = "privacy-officer" if persona == "region-admin" else "region-admin"
    assert (await requested(instance, helper, persona)).status_code == 201


async def test_a_reset_waits_for_a_day_and_its_code_for_another(timed: Instance, clock: MovableClock) -> None:
    first = (await requested(timed, "org-admin", "poh")).json()["id"]
    second = (await requested(timed, "region-admin", "gp-other")).json()["id"]
    clock.move(timedelta(hours=11))
    for persona in ("gp", "privacy-officer"):
        timed.tokens.pop(persona, None)
    code = (await confirmed(timed, "privacy-officer", second)).json()["code"]
    clock.move(timedelta(hours=13, seconds=1))
    timed.tokens.clear()
    late = await confirmed(timed, "gp", first)
    assert (late.status_code, late.json()["code"]) == (409, "reset-decided")
    clock.move(timedelta(hours=11))
    assert (await used(timed, code, None)).status_code == 401


async def test_a_citizen_who_lost_everything_is_let_in_again_by_the_practice(instance: Instance) -> None:
    case = await opened(instance)
    citizen = await in_for_real(instance, await used(instance, await coded(instance, case)))
    account = (await citizen.get("/me")).json()["id"]
    gp, admin = await instance.as_("gp"), await instance.as_("org-admin")
    body = {"accountId": account, "reasonCode": "forgotten"}
    reset_id = (await gp.made("/factor-resets", body))["id"]
    code = (await admin.made(f"/factor-resets/{reset_id}/confirmation"))["code"]
    assert (await citizen.get("/cases")).status_code == 401
    assert (await used(instance, str(code), None)).status_code == 201
