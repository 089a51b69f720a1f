"""When somebody dies: what closes at once and what in thirty days, a mistake undone, and what is asked afterwards."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core.settings import Settings
from app.notices.kinds import Citizen, NoticeKind
from tests.api.room import DECIDED, faults_of, problem_of
from tests.api.test_matrix import speaking_body
from tests.notices.telling import tell
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import Table, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def again(instance: Instance, persona: str) -> Caller:
    """Return a persona in a session of now."""
    return Caller(instance, persona, await instance.sign_in(persona))


async def managed(instance: Instance) -> tuple[Table, str]:
    """A case that the practice nurse manages, with a thread in it."""
    table = await open_table(instance)
    await seat(table, "poh", direct=True, caseRole="casemanager")
    return table, f"/threads/{await thread(table, 'medication')}"


async def status(caller: Caller, path: str) -> int:
    return (await caller.get(path)).status_code


async def test_a_death_closes_at_once_for_the_citizen_and_after_the_closing_round_for_everybody(
    timed: Instance, clock: MovableClock
) -> None:
    clock.move(timedelta(seconds=1))
    table, path = await managed(timed)
    case = f"/cases/{table.case_id}"
    gp, poh, citizen = [await timed.as_(one) for one in ("gp", "poh", "citizen")]
    await seat(table, "social-worker")
    await tell(timed.app, table.case_id, Citizen(UUID(table.patient_id)), NoticeKind.CONSENT_EXPIRING_7)
    asked: Json = {"requester": "Haar zus", "ground": "weighty-interest", "reason": "Erfenis.", "given": None}
    early = await poh.post(f"{case}/after-death-requests", {**asked, "patientId": table.patient_id})
    assert (early.status_code, problem_of(early)["code"]) == (409, "nobody-died")

    terms: Json = {
        "patientId": table.patient_id,
        "kind": "lift_secrecy",
        "recipients": [{"type": "member", "id": table.members["social-worker"]}],
        "categories": ["social_participation"],
        "purpose": "CAREMGT",
    }
    pending = await gp.made(f"{case}/consent-requests", terms)

    body = {"patientId": table.patient_id, "diedOn": "2026-01-31"}
    for caller, code in ((await timed.as_("social-worker"), 403), (await timed.as_("gp-other"), 404)):
        assert (caller.persona, (await caller.post(f"{case}/deaths", body)).status_code) == (caller.persona, code)
    assert faults_of(await gp.post(f"{case}/deaths", {**body, "diedOn": "2126-01-31"})) == {"/diedOn": "in-future"}
    assert await status(citizen, path) == 200
    async with talking(citizen, table.case_id) as socket:
        made: Json = await gp.made(f"{case}/deaths", body, Idempotency_Key="died")
        assert "medication" in (await socket.hear("narrowed"))["categories"]
        await gp.made(f"{path}/messages", {"text": "Overleden, dossier afronden"})
        await socket.settle()
        assert "afronden" not in str(socket.heard)
    assert (await gp.made(f"{case}/deaths", body, Idempotency_Key="died"))["id"] == made["id"]
    twice = await poh.post(f"{case}/deaths", body)
    assert (twice.status_code, problem_of(twice)["code"]) == (409, "death-recorded")
    assert await status(citizen, path) == 404
    assert (await citizen.get("/notices")).json()["items"] == [], "reminders and letters have stopped"
    assert await status(gp, path) == await status(poh, path) == 200
    for where, said in (
        (f"{case}/consents", {**terms, **DECIDED}),
        (f"{case}/consent-requests", terms),
        (f"/consents/{pending['id']}/decisions", {**DECIDED, "decision": "yes"}),
        (f"/consents/{pending['id']}/decisions", {**DECIDED, "decision": "no"}),
        (f"{case}/representations", speaking_body(table.patient_id)),
    ):
        answer = await gp.post(where, said)
        assert (where, answer.status_code, answer.json().get("code")) == (where, 409, "patient-died")

    clock.move(timedelta(days=30, minutes=1))
    gp, poh = await again(timed, "gp"), await again(timed, "poh")
    assert await status(gp, path) == await status(poh, path) == 404
    assert (
        await gp.post(f"{case}/after-death-requests", {**asked, "patientId": table.patient_id})
    ).status_code == 403
    about = {**asked, "patientId": table.patient_id}
    no_ground = {**about, "ground": "none", "given": "Alles"}
    assert faults_of(await poh.post(f"{case}/after-death-requests", no_ground)) == {"/ground": "no-ground"}
    refused: Json = await poh.made(f"{case}/after-death-requests", about)
    granted = await poh.made(f"{case}/after-death-requests", {**about, "given": "Het medicatieoverzicht van 2025."})
    assert (refused["granted"], refused["given"]) == (False, None)
    assert (granted["granted"], granted["requester"]) == (True, "Haar zus")
    listed = (await poh.get(f"{case}/after-death-requests")).json()["items"]
    assert [one["id"] for one in listed] == [granted["id"], refused["id"]]
    assert await status(poh, path) == 404, "deciding opens nothing"
    late = await poh.post(f"{case}/deaths/{made['id']}/undoing", {"reason": "Toch niet."})
    assert (late.status_code, problem_of(late)["code"]) == (409, "death-stands")


async def test_a_death_recorded_by_mistake_is_undone_by_somebody_else(instance: Instance) -> None:
    table, path = await managed(instance)
    case = f"/cases/{table.case_id}"
    gp, poh, citizen = [await instance.as_(one) for one in ("gp", "poh", "citizen")]
    told = await tell(instance.app, table.case_id, Citizen(UUID(table.patient_id)), NoticeKind.CONSENT_EXPIRING_7)
    made = await gp.made(f"{case}/deaths", {"patientId": table.patient_id, "diedOn": "2026-01-31"})
    assert await status(citizen, path) == 404
    undoing = f"{case}/deaths/{made['id']}/undoing"
    assert (await gp.post(undoing, {"reason": "Verkeerde persoon."})).status_code == 403
    assert faults_of(await poh.post(undoing, {})) == {"/reason": "missing"}
    undone: Json = await poh.made(undoing, {"reason": "Verkeerde persoon."})
    assert undone["undone"]["reason"] == "Verkeerde persoon."
    assert await status(citizen, path) == 200
    assert [one["about"] for one in (await citizen.get("/notices")).json()["items"]] == [str(told)]
    stands = await poh.post(undoing, {"reason": "Nog eens."})
    assert (stands.status_code, problem_of(stands)["code"]) == (409, "death-stands")
    await gp.made(f"{case}/deaths", {"patientId": table.patient_id, "diedOn": "2026-01-31"})
    listed = (await poh.get(f"{case}/deaths")).json()["items"]
    assert [one["undone"] is None for one in listed] == [True, False]
