"""Attacks on consent in full: who reads, hears, ends or decides what is not theirs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.identity.demo import MUNICIPALITY
from tests.api.room import faults_of
from tests.serving import Caller, Instance
from tests.stories import Table, account_of, consent, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]


async def _items(caller: Caller, path: str) -> list[Json]:
    answer = await caller.get(path)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["items"]
    return found


async def _exclude(table: Table, persona: str, *, by: str = "gp") -> str:
    body = {"patientId": table.patient_id, "accountId": await account_of(table.instance, persona)}
    made = await (await table.as_(by)).made(f"/cases/{table.case_id}/exclusions", body)
    return str(made["id"])


def _same(left: httpx.Response, right: httpx.Response) -> bool:
    return (left.status_code, left.content) == (right.status_code, right.content)


async def test_whoever_is_excluded_reads_and_hears_of_no_consent_that_names_their_organisation_role_or_seat(
    instance: Instance,
) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    await seat(table, "social-worker-2")
    organisation = str(MUNICIPALITY.id)
    everyone = [{"type": "organisation", "id": organisation}, {"type": "role", "role": "social_team"}]
    given = await consent(table, "social-worker", "social_participation", recipients=everyone)
    worker, case = await table.as_("social-worker"), f"/cases/{table.case_id}"
    assert [one["id"] for one in await _items(worker, f"{case}/consents")] == [given]
    await _exclude(table, "social-worker")
    nowhere = await worker.get(f"/consents/{table.case_id}")
    assert await _items(worker, f"{case}/consents") == []
    assert await _items(worker, f"{case}/access") == []
    for path in (f"/consents/{given}", f"/consents/{given}/withdrawal-preview"):
        assert _same(await worker.get(path), nowhere), path
    assert _same(await worker.post(f"/consents/{given}/withdrawal", {}), nowhere)
    colleague = await table.as_("social-worker-2")
    async with talking(worker, table.case_id) as ear, talking(colleague, table.case_id) as other:
        second = await consent(table, "social-worker-2", "zrm", recipients=everyone)
        await other.event("consent.given")
        await (await table.as_("gp")).made(f"/consents/{second}/withdrawal", {})
        await other.event("consent.withdrawn")
        await ear.settle()
        assert not [one for one in ear.events if one["type"].startswith("consent.")], "not of those after it either"
    assert [one["id"] for one in await _items(colleague, f"{case}/consents")] == [second, given]


async def test_an_excluded_case_manager_manages_nothing_of_whom_she_is_kept_away_from(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    await seat(table, "social-worker")
    await seat(table, "district-nurse", direct=True, caseRole="casemanager")
    medication = await thread(table, "medication")
    case, manager, citizen = f"/cases/{table.case_id}", await table.as_("district-nurse"), await table.as_("citizen")
    given = await consent(table, "social-worker", "zrm")
    own = await consent(table, "social-worker", "social_participation", by="district-nurse")
    gp = await table.as_("gp")
    about = {"patientId": table.patient_id, "memberId": table.members["poh"]}
    await gp.made(f"{case}/openings", {**about, "category": "mental_health", "reason": "Depressie in beeld."})
    await gp.made(f"{case}/objections", {**about, "categories": ["crisis_plan"]})
    await _exclude(table, "social-worker")
    lists = [f"{case}/{what}" for what in ("consents", "exclusions", "objections", "openings", "access")]
    assert all([await _items(manager, path) for path in lists])
    excluded = await _exclude(table, "district-nurse", by="citizen")
    assert (await manager.get(f"/threads/{medication}")).status_code == 404
    for path in lists:
        assert await _items(manager, path) == [], path
    nowhere = await manager.get(f"/consents/{table.case_id}")
    for consent_id in (given, own):
        assert _same(await manager.get(f"/consents/{consent_id}"), nowhere)
        assert _same(await manager.get(f"/consents/{consent_id}/withdrawal-preview"), nowhere)
        assert _same(await manager.post(f"/consents/{consent_id}/withdrawal", {}), nowhere)
    assert (await manager.delete(f"{case}/exclusions/{excluded}")).status_code == 404
    assert [one["id"] for one in await _items(citizen, f"{case}/exclusions")][:1] == [excluded]
    basis = {
        "patientId": table.patient_id,
        "kind": "gdpr_basis",
        "recipients": [{"type": "member", "id": table.members["poh"]}],
        "categories": ["zrm"],
        "purpose": "CAREMGT",
    }
    told = await manager.post(f"{case}/consent-requests", basis)
    assert faults_of(told) == {"/patientId": "not-a-subject"}, "as about somebody who is no subject"
    assert (await citizen.get(f"/consents/{own}")).status_code == 200
    await citizen.made(f"/consents/{own}/withdrawal", {"method": "digital_2fa"})
    assert own not in str(await _items(manager, "/notices")), "nor is she told when it is taken back"


async def test_a_case_manager_sends_no_letter_about_her_own_exclusion(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    gp = await table.as_("gp")
    gone = {"patientId": table.patient_id, "safe": True, "reason": "De partner leest mee."}
    await gp.made(f"/cases/{table.case_id}/safe-contacts", gone)
    await _exclude(table, "gp", by="poh")
    assert await _items(gp, "/notices") == [], "the confirmation to the citizen would tell her"


async def test_nobody_learns_by_excluding_somebody_again_that_they_were_excluded(instance: Instance) -> None:
    table = await open_table(instance)
    for persona in ("poh", "district-nurse"):
        await seat(table, persona, direct=True)
    medication, case = await thread(table, "medication"), f"/cases/{table.case_id}"
    nurse, citizen = await table.as_("district-nurse"), await table.as_("citizen")
    first = await _exclude(table, "district-nurse", by="citizen")
    second = await _exclude(table, "district-nurse", by="poh")
    assert [one["id"] for one in await _items(await table.as_("poh"), f"{case}/exclusions")] == [second]
    body = {"patientId": table.patient_id, "accountId": await account_of(instance, "district-nurse")}
    again = await (await table.as_("poh")).post(f"{case}/exclusions", body)
    assert (again.status_code, again.json()["code"]) == (409, "already-excluded")
    assert (await citizen.delete(f"{case}/exclusions/{first}")).status_code == 204
    assert (await nurse.get(f"/threads/{medication}")).status_code == 404, "the other one holds"
    assert (await citizen.delete(f"{case}/exclusions/{second}")).status_code == 204
    assert (await nurse.get(f"/threads/{medication}")).status_code == 200


async def test_nobody_takes_back_or_clicks_for_the_citizen_what_merely_names_them(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    carer, gp = await table.as_("informal-carer"), await table.as_("gp")
    await seat(table, "informal-carer", caseRole="mantelzorger", reasonCode="informal-care")
    given = await consent(table, "informal-carer", "practical_coordination")
    assert (await carer.get(f"/consents/{given}")).status_code == 200
    for body in ({}, {"decidedBy": {"type": "patient"}, "method": "digital_2fa"}):
        assert (await carer.post(f"/consents/{given}/withdrawal", body)).status_code == 403
    assert faults_of(await gp.post(f"/consents/{given}/withdrawal", {"method": "digital_2fa"})) == {
        "/method": "not-own-login"
    }
    assert (await carer.get(f"/consents/{given}")).json()["status"] == "active"
    clicked = {
        "patientId": table.patient_id,
        "kind": "lift_secrecy",
        "recipients": [{"type": "member", "id": table.members["social-worker"]}],
        "categories": ["zrm"],
        "purpose": "CAREMGT",
        "decidedBy": {"type": "patient"},
        "method": "digital_2fa",
        "textVersion": "nl-2026-1",
    }
    assert faults_of(await gp.post(f"/cases/{table.case_id}/consents", clicked)) == {"/method": "not-own-login"}
    citizen = await table.as_("citizen")
    await citizen.made(f"/consents/{given}/withdrawal", {"method": "digital_2fa"})


async def test_no_yes_from_before_a_no_or_a_withdrawal_brings_back_what_it_ended(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    gp, citizen = await table.as_("gp"), await table.as_("citizen")
    case, member = f"/cases/{table.case_id}", [{"type": "member", "id": table.members["social-worker"]}]
    before = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    terms = {
        "patientId": table.patient_id,
        "kind": "lift_secrecy",
        "recipients": member,
        "categories": ["zrm", "social_participation"],
        "purpose": "CAREMGT",
    }
    said = {"decidedBy": {"type": "patient"}, "method": "oral_recorded", "textVersion": "nl-2026-1"}

    given = await gp.made(f"{case}/consents", {**terms, **said, "decidedAt": before})
    await citizen.made(f"/consents/{given['id']}/withdrawal", {})
    back = await gp.post(f"{case}/consents", {**terms, **said, "decidedAt": before})
    assert faults_of(back) == {"/decidedAt": "overtaken"}
    asked = await gp.made(f"{case}/consent-requests", terms)
    late = await gp.post(f"/consents/{asked['id']}/decisions", {**said, "decision": "yes", "decidedAt": before})
    assert faults_of(late) == {"/decidedAt": "overtaken"}
    refused = await gp.made(f"{case}/consent-requests", {**terms, "categories": ["medication"]})
    await gp.made(f"/consents/{refused['id']}/decisions", {**said, "decision": "no"})
    over = await gp.post(f"{case}/consents", {**terms, **said, "categories": ["medication"], "decidedAt": before})
    assert faults_of(over) == {"/decidedAt": "overtaken"}
    again = await gp.made(f"{case}/consents", {**terms, **said})
    assert again["status"] == "active", "the citizen may change their mind"
    other = await gp.made(f"{case}/consents", {**terms, **said, "categories": ["education"], "decidedAt": before})
    assert other["status"] == "active", "what nobody refused is not overtaken"
