"""The meldcode: five steps in their order, for the author's own organisation; for everybody else there is nothing."""

from typing import Any

import asyncpg
import pytest

from app.cli.postgres import Urls
from tests.api.room import faults_of, problem_of
from tests.serving import Caller, Instance
from tests.stories import consent, open_table, seat, thread

Json = dict[str, Any]
SIGNALS = "Zij durft niet te praten waar hij bij is."
QUESTIONS = {"suspicion": True, "unsafe": True, "ableToHelp": False, "helpAccepted": False, "lastingSafety": False}
DECISION: Json = {
    "step": "decision",
    "text": "Melden.",
    "questions": QUESTIONS,
    "reported": True,
    "patientInformed": False,
    "notInformedReason": "Hij leest haar telefoon.",
}
STEPS: list[Json] = [
    {"step": "consultation", "text": "Advies gevraagd.", "consultedWith": "veilig-thuis"},
    {"step": "talk", "text": "Alleen gesproken.", "talked": True},
    {"step": "weighing", "text": "Gewogen."},
    DECISION,
]


async def everything_shown(caller: Caller, case_id: str) -> list[bytes]:
    """Return all that a person is shown of a case, now and in the past."""
    paths = ("", "/members", "/consents", "/threads", "/access", "/access?at=2026-01-01T00:00:00Z")
    return [(await caller.get(f"/cases/{case_id}{path}")).content for path in paths]


async def test_a_report_is_taken_step_by_step_and_nobody_else_can_tell_that_there_is_one(
    instance: Instance, database: Urls
) -> None:
    table = await open_table(instance)
    for persona in ("poh", "district-nurse"):
        await seat(table, persona, direct=True)
    for persona in ("social-worker", "informal-carer"):
        await seat(table, persona)
    await thread(table, "medication")
    await consent(table, "social-worker", "functional_adl")
    gp, poh = await table.as_("gp"), await table.as_("poh")
    others = [await table.as_(one) for one in ("citizen", "district-nurse", "social-worker", "informal-carer")]
    before = [await everything_shown(one, table.case_id) for one in others]
    root = await asyncpg.connect(database.superuser)
    head = "select seq, access_version from case_head where case_id = $1"
    stood = await root.fetchrow(head, table.case_id)

    path = f"/cases/{table.case_id}/safety-reports"
    opening = {"patientId": table.patient_id, "signals": SIGNALS}
    made = await gp.made(path, opening, **{"Idempotency-Key": "one"})
    assert (await gp.made(path, opening, **{"Idempotency-Key": "one"}))["id"] == made["id"]
    steps = f"{path}/{made['id']}/steps"

    # In their order, by whichever colleague; none twice; and whoever keeps it from the person says why.
    early = await poh.post(steps, {"taken": STEPS[2]})
    assert (early.status_code, problem_of(early)["code"]) == (409, "safety-step-out-of-order")
    silent = {name: value for name, value in DECISION.items() if name != "notInformedReason"}
    assert "reason-mismatch" in faults_of(await poh.post(steps, {"taken": silent})).values()
    missing = {**DECISION, "questions": {**QUESTIONS, "suspicion": None}}
    assert (await poh.post(steps, {"taken": missing})).status_code == 400
    for number, taken in enumerate(STEPS):
        await (gp if number % 2 else poh).made(steps, {"taken": taken})
        assert (await gp.post(steps, {"taken": taken})).status_code == 409
    (seen,) = (await poh.get(path)).json()["items"]
    assert [one["step"] for one in seen["steps"]] == ["signals", "consultation", "talk", "weighing", "decision"]
    assert seen["steps"][0]["text"] == SIGNALS
    assert {name: seen["steps"][4][name] for name in DECISION} == DECISION
    assert [one["recordedBy"]["role"] for one in seen["steps"]] == ["gp", "poh", "gp", "poh", "gp"]

    # Others: the same as without it, whatever their rights.
    assert [await everything_shown(one, table.case_id) for one in others] == before
    assert await root.fetchrow(head, table.case_id) == stood
    citizen, nurse, worker, carer = others
    for one in (nurse, worker):
        assert (await one.get(path)).json()["items"] == []
        assert (await one.post(steps, {"taken": STEPS[0]})).status_code == 404
    for one in (citizen, carer):
        assert (await one.get(path)).status_code == (await one.post(path, opening)).status_code == 403
    assert (await (await table.as_("gp-other")).get(path)).status_code == 404
    try:
        # Nothing of it stands anywhere in clear.
        sealed = await root.fetch("select body_sealed from safety_step")
        assert len(sealed) == 5
        assert not any(SIGNALS.encode() in bytes(row[0]) for row in sealed)
    finally:
        await root.close()


async def test_the_database_keeps_the_steps_in_their_order_and_to_the_organisation(
    instance: Instance, database: Urls
) -> None:
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True)
    gp = await table.as_("gp")
    made = await gp.made(
        f"/cases/{table.case_id}/safety-reports", {"patientId": table.patient_id, "signals": SIGNALS}
    )
    await instance.as_("citizen")
    root, app = await asyncpg.connect(database.superuser), await asyncpg.connect(database.app)
    insert = (
        "insert into safety_step (case_id, report_id, ordinal, step, body_sealed, recorded_by_account_id,"
        " recorded_by_engagement_id, recorded_at)"
        " values ($1, $2, $3, $4, 'x', current_account(), current_engagement(), current_instant())"
    )
    try:
        for role, rows in (("gp", 1), ("district_nurse", 0), ("citizen", 0)):
            session = await root.fetchval(
                "select s.id from login_session s join engagement e on e.id = s.engagement_id"
                " join member m on m.engagement_id = e.id where e.role = $1 limit 1",
                role,
            )
            for ordinal, step, error in (
                (3, "talk", asyncpg.ForeignKeyViolationError),
                (2, "talk", asyncpg.CheckViolationError),
                (1, "signals", asyncpg.UniqueViolationError),
            ):
                transaction = app.transaction()
                await transaction.start()
                await app.fetch("select * from enter($1, null)", session)
                assert len(await app.fetch("select * from safety_report")) == rows, role
                assert len(await app.fetch("select * from safety_step")) == rows, role
                with pytest.raises(error if rows else asyncpg.InsufficientPrivilegeError):
                    await app.execute(insert, table.case_id, made["id"], ordinal, step)
                await transaction.rollback()
    finally:
        await root.close()
        await app.close()
