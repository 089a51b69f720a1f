"""Exclusions, objections and openings over HTTP and on an open socket: what one sees, and what nobody tells."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.core.settings import Settings
from tests.api.room import faults_of
from tests.api.test_shielding import household
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import Table, account_of, citizen_bsn, consent, open_table, seat, thread
from tests.talking import talking


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def _table(instance: Instance) -> Table:
    table = await open_table(instance)
    for persona in ("poh", "district-nurse"):
        await seat(table, persona, direct=True)
    await seat(table, "social-worker")
    return table


async def _reads(table: Table, persona: str, thread_id: str) -> int:
    return (await (await table.as_(persona)).get(f"/threads/{thread_id}/messages")).status_code


async def _say(table: Table, what: str, by: str = "gp", **body: Any) -> str:
    made = await (await table.as_(by)).made(f"/cases/{table.case_id}/{what}", {"patientId": table.patient_id, **body})
    return str(made["id"])


async def _own_seat(caller: Caller, case_id: str) -> str:
    return str((await caller.get(f"/cases/{case_id}")).json()["membership"]["memberId"])


async def _open_thread(table: Table, persona: str, category: str) -> httpx.Response:
    body = {"patientId": table.patient_id, "category": category, "title": "Titel"}
    return await (await table.as_(persona)).post(f"/cases/{table.case_id}/threads", body)


def _in(clock: MovableClock, *, minutes: int) -> str:
    return (datetime.now(UTC) + clock.offset + timedelta(minutes=minutes)).isoformat()


async def _told(caller: Caller, about: object) -> set[str]:
    return {one["kind"] for one in (await caller.get("/notices")).json()["items"] if one["about"] == about}


async def test_whom_the_citizen_excludes_sees_nothing_more_and_is_not_told_by_what(instance: Instance) -> None:
    table = await _table(instance)
    medication, nurse = await thread(table, "medication"), await table.as_("district-nurse")
    await consent(table, "district-nurse", "zrm")
    gp, path = await table.as_("gp"), f"/cases/{table.case_id}/exclusions"
    account = await account_of(instance, "district-nurse")
    async with talking(nurse, table.case_id) as ear:
        made = await gp.made(path, {"patientId": table.patient_id, "accountId": account})
        narrowed = await ear.hear("narrowed")
        await gp.made(f"/threads/{medication}/messages", {"text": "Dit hoort zij niet."})
        assert "exclu" not in str(narrowed), "it does not say by what"
        assert "medication" in narrowed["categories"]
        assert not ear.events or all(one["type"] != "message.posted" for one in ear.events)
    assert await _reads(table, "district-nurse", medication) == 404
    assert (await nurse.get(path)).json()["items"] == [], "she does not see that there is one"
    assert (await nurse.delete(f"{path}/{made['id']}")).status_code in {403, 404}
    citizen = await table.as_("citizen")
    assert [one["accountId"] for one in (await citizen.get(path)).json()["items"]] == [account]
    assert any(one["kind"] == "oral_confirmation" for one in (await citizen.get("/notices")).json()["items"])
    assert await _reads(table, "poh", medication) == 200, "nobody else is concerned"

    again = await gp.post(path, {"patientId": table.patient_id, "accountId": account})
    assert (again.status_code, again.json()["code"]) == (409, "already-excluded")
    for wrong, fault in ((await account_of(instance, "gp"), "not-to-exclude"), (str(made["id"]), "unknown")):
        answer = await gp.post(path, {"patientId": table.patient_id, "accountId": wrong})
        assert faults_of(answer) == {"/accountId": fault}
    mine = await gp.post(path, {"patientId": table.patient_id, "accountId": await account_of(instance, "citizen")})
    assert faults_of(mine) == {"/accountId": "not-to-exclude"}

    assert (await citizen.delete(f"{path}/{made['id']}")).status_code == 204
    assert await _reads(table, "district-nurse", medication) == 200
    twice = await citizen.delete(f"{path}/{made['id']}")
    assert (twice.status_code, twice.json()["code"]) == (409, "already-ended")
    assert await _told(citizen, made["id"]) == {"oral_confirmation"}, "she ended it herself"
    second = await gp.made(path, {"patientId": table.patient_id, "accountId": account})
    assert (await gp.delete(f"{path}/{second['id']}")).status_code == 204
    assert await _told(citizen, second["id"]) == {"oral_confirmation", "exclusion_ended"}
    objection = {"patientId": table.patient_id, "memberId": table.members["district-nurse"]}
    against = await gp.made(f"/cases/{table.case_id}/objections", objection)
    assert (await gp.delete(f"/cases/{table.case_id}/objections/{against['id']}")).status_code == 204
    assert await _told(citizen, against["id"]) == {"oral_confirmation", "objection_ended"}


async def test_whom_the_citizen_excludes_is_kept_away_from_every_case_about_them(instance: Instance) -> None:
    """Also from one they opened themselves, or open after that; a threatened life alone gets past."""
    table, elsewhere = await open_table(instance), await open_table(instance, opener="gp-other")
    assert table.patient_id != elsewhere.patient_id, "each practice registers for itself"
    medication = await thread(elsewhere, "medication", by="gp-other")
    other, citizen = await elsewhere.as_("gp-other"), await table.as_("citizen")
    path, account = f"/cases/{table.case_id}/exclusions", await account_of(instance, "gp-other")
    async with talking(other, elsewhere.case_id) as ear:
        made = await citizen.made(path, {"patientId": table.patient_id, "accountId": account})
        narrowed = await ear.hear("narrowed")
        assert "medication" in narrowed["categories"]
        assert table.case_id not in str(narrowed), "where it was said is not told"
    assert await _reads(elsewhere, "gp-other", medication) == 404
    assert (await _open_thread(elsewhere, "gp-other", "medication")).status_code == 403
    assert await _reads(elsewhere, "citizen", medication) == 200
    assert (await other.get(f"/cases/{elsewhere.case_id}/exclusions")).json()["items"] == []

    again = {"kind": "individual", "patientIds": [elsewhere.patient_id], "question": "En zo?"}
    opened = await other.post("/cases", again)
    late = Table(instance, str(opened.json()["id"]), elsewhere.patient_id, {})
    assert (await _open_thread(late, "gp-other", "medication")).status_code == 403
    agreed = await other.post(f"/cases/{late.case_id}/break-glass", {})
    assert agreed.status_code == 404, "there is no such way in"
    reason = {"reasonCode": "life-threatening", "reason": "Gevallen en niet aanspreekbaar."}
    seen = await other.made("/break-glass", {"bsn": await citizen_bsn(instance), **reason})
    assert seen["id"]
    assert await _reads(table, "gp-other", await thread(table, "medication")) == 200

    assert (await citizen.delete(f"{path}/{made['id']}")).status_code == 204
    assert await _reads(elsewhere, "gp-other", medication) == 200
    assert (await _open_thread(late, "gp-other", "medication")).status_code == 201


async def test_an_objection_closes_what_treatment_opens_to_one_member_and_leaves_what_is_consented_to(
    instance: Instance,
) -> None:
    table = await _table(instance)
    medication, adl = await thread(table, "medication"), await thread(table, "functional_adl")
    nurse, gp = table.members["district-nurse"], await table.as_("gp")
    first = await _say(table, "objections", by="citizen", memberId=nurse, categories=["medication"])
    assert [await _reads(table, "district-nurse", one) for one in (medication, adl)] == [404, 200]
    assert [await _reads(table, "poh", one) for one in (medication, adl)] == [200, 200]
    await _say(table, "objections", by="citizen", memberId=nurse)
    assert [await _reads(table, "district-nurse", one) for one in (medication, adl)] == [404, 404]
    await consent(table, "district-nurse", "functional_adl")
    assert [await _reads(table, "district-nurse", one) for one in (medication, adl)] == [404, 200]
    citizen, path = await table.as_("citizen"), f"/cases/{table.case_id}/objections"
    seen = (await citizen.get(path)).json()["items"]
    assert [one["categories"] for one in seen] == [None, ["medication"]], "newest first"
    assert len((await gp.get(path)).json()["items"]) == 2
    assert (await (await table.as_("poh")).get(path)).json()["items"] == []
    assert (await citizen.delete(f"{path}/{first}")).status_code == 204
    assert await _reads(table, "district-nurse", medication) == 404, "the other one is about all of it"

    shared, _, his = await household(instance)
    seat_of_gp = await _own_seat(gp, shared)
    refused = await citizen.post(f"/cases/{shared}/objections", {"patientId": his, "memberId": seat_of_gp})
    assert refused.status_code == 403, "each person decides for themselves"
    body = {"patientId": table.patient_id, "memberId": table.case_id, "categories": ["zrm", "zrm"]}
    assert faults_of(await gp.post(path, body)) == {"/memberId": "not-a-member", "/categories": "repeated"}


async def test_what_treatment_leaves_closed_is_opened_for_one_member_with_a_reason_and_for_a_time(
    timed: Instance, clock: MovableClock
) -> None:
    table = await _table(timed)
    gp, poh, path = await table.as_("gp"), await table.as_("poh"), f"/cases/{table.case_id}/openings"
    assert (await _open_thread(table, "gp", "mental_health")).status_code == 403
    own = await _own_seat(gp, table.case_id)
    await _say(table, "openings", memberId=own, category="mental_health", reason="Depressie in beeld.")
    talk = str((await _open_thread(table, "gp", "mental_health")).json()["id"])
    assert await _reads(table, "poh", talk) == 404, "it is opened for one member"
    opening = await _say(
        table, "openings", memberId=table.members["poh"], category="mental_health", reason="Gesprekken."
    )
    assert await _reads(table, "poh", talk) == 200
    assert (await poh.post(f"/threads/{talk}/messages", {"text": "Ik pak dit op."})).status_code == 201
    nurse = await table.as_("district-nurse")
    assert (await nurse.get(path)).json()["items"] == [], "nobody else learns that there is something to open"
    citizen = await table.as_("citizen")
    assert {one["reason"] for one in (await citizen.get(path)).json()["items"]} == {
        "Depressie in beeld.",
        "Gesprekken.",
    }
    assert (await gp.delete(f"{path}/{opening}")).status_code == 204
    assert await _reads(table, "poh", talk) == 404

    body = {"patientId": table.patient_id, "category": "mental_health", "reason": "x"}
    assert (await poh.post(path, {**body, "memberId": table.members["poh"]})).status_code == 403
    social = await gp.post(path, {**body, "memberId": table.members["social-worker"], "category": "finance_debt"})
    assert faults_of(social) == {"/memberId": "not-treating", "/category": "not-openable"}
    await gp.made(path, {**body, "memberId": table.members["poh"], "validUntil": _in(clock, minutes=5)})
    assert await _reads(table, "poh", talk) == 200
    clock.move(timedelta(minutes=5))
    assert await _reads(table, "poh", talk) == 404, "it ended by itself"
