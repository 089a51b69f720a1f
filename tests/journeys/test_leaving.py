"""Leaving and moving: what one takes along, and what ends with a municipality."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from app.core.settings import Settings
from tests.api.room import ABSENT, faults_of
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import open_table, seat, thread

Json = dict[str, Any]


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def test_who_leaves_takes_along_what_they_wrote_and_nothing_else(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    path = f"/threads/{await thread(table, 'medication')}/messages"
    gp, poh = await instance.as_("gp"), await instance.as_("poh")
    await gp.made(path, {"text": "Van de huisarts"})
    for number in range(3):
        await poh.made(path, {"text": f"Van mij {number}"})
    gone = await gp.delete(f"/cases/{table.case_id}/members/{table.members['poh']}")
    assert gone.status_code == 204
    assert (await poh.get(path)).status_code == 404
    answer = await poh.get("/contribution-exports", caseId=table.case_id)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert 'filename="contributions.ndjson"' in answer.headers["content-disposition"]
    lines: list[Json] = [orjson.loads(line) for line in answer.content.splitlines()]
    assert [line["text"] for line in lines] == ["Van mij 2", "Van mij 1", "Van mij 0"]
    assert (await poh.get("/contribution-exports", caseId=ABSENT)).content == b""


async def test_a_public_task_ends_on_the_day_of_a_move_to_another_municipality(
    timed: Instance, clock: MovableClock
) -> None:
    clock.move(timedelta(seconds=1))
    table = await open_table(timed)
    member = await seat(table, "social-worker")
    await seat(table, "poh", direct=True)
    gp, worker = await timed.as_("gp"), await timed.as_("social-worker")
    case = f"/cases/{table.case_id}"
    await gp.made(f"{case}/members/{member}/public-tasks", {"law": "wmo2015"})

    async def grounds(caller: Caller) -> set[str]:
        found: list[Json] = (await caller.get(f"{case}/access")).json()["items"]
        return {one["ground"] for one in found}

    now = clock()
    assert now is not None
    body = {"patientId": table.patient_id, "municipalityCode": "0935", "on": now.date().isoformat()}
    assert faults_of(await gp.post(f"{case}/moves", {**body, "municipalityCode": "Sittard"})) == {
        "/municipalityCode": "wrong-form"
    }
    assert faults_of(await gp.post(f"{case}/moves", {**body, "patientId": ABSENT})) == {"/patientId": "not-a-subject"}
    assert (await (await timed.as_("poh")).post(f"{case}/moves", body)).status_code == 403
    await gp.made(f"{case}/moves", body)
    assert await grounds(worker) == {"public_task"}, "within the same municipality nothing ends"
    later = {**body, "municipalityCode": "1883", "on": (now + timedelta(days=3)).date().isoformat()}
    made = await gp.made(f"{case}/moves", later, Idempotency_Key="move")
    assert (await gp.made(f"{case}/moves", later, Idempotency_Key="move"))["id"] == made["id"]
    assert await grounds(worker) == {"public_task"}, "not before the day"
    clock.move(timedelta(days=4))
    worker = Caller(timed, "social-worker", await timed.sign_in("social-worker"))
    assert await grounds(worker) == set()
