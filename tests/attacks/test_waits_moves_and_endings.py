"""Attacks on what waits, on going elsewhere and on endings: who is told, kept or closed by whom it is not for."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY, OTHER_PRACTICE
from tests.api.room import faults_of, problem_of
from tests.api.test_shielding import household
from tests.serving import Caller, Instance
from tests.stories import Table, account_of, open_table, seat, thread

Json = dict[str, Any]
WAITS = (
    "select exists (select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())"
)
TO_OTHER: Json = {"organisationId": str(OTHER_PRACTICE.id)}


async def _items(caller: Caller, path: str, **params: str | int) -> list[Json]:
    answer = await caller.get(path, **params)
    assert answer.status_code == 200, (path, answer.text)
    found: list[Json] = answer.json()["items"]
    return found


async def _shown(citizen: Caller, table: Table, at: str) -> dict[str, object]:
    """Return everything that the citizen can fetch of a case."""
    case = f"/cases/{table.case_id}"
    paths = ["/cases", "/notices", "/me/accesses?limit=100", "/me/consent-requests", "/contributions"]
    paths += [f"{case}/{what}" for what in ("threads", "members", "consents", "matrix", "access", "disclosures")]
    paths += [f"{case}/access?at={at}", f"{case}/representations", f"{case}/exclusions", f"{case}/practice-changes"]
    found: dict[str, object] = {path: await _items(citizen, path) for path in paths}
    whole = await citizen.get(case)
    return {**found, "case": whole.json(), "version": whole.headers.get("etag")}


async def test_nothing_that_professionals_do_with_what_waits_shows_anywhere_the_citizen_looks(
    instance: Instance,
) -> None:
    table = await open_table(instance)
    for persona in ("poh", "district-nurse"):
        await seat(table, persona, direct=True)
    case = f"/cases/{table.case_id}"
    gp, nurse, citizen = [await table.as_(one) for one in ("gp", "district-nurse", "citizen")]
    shown = await gp.made(f"/threads/{await thread(table, 'medication')}/messages", {"text": "Voor iedereen."})
    now = datetime.now(UTC)
    at = now.isoformat().replace("+00:00", "Z")
    before = await _shown(citizen, table, at)

    until = (now + timedelta(days=3)).isoformat()
    why = {"at": until, "reasonCode": "talk-first", "reason": "Eerst zelf met haar bespreken."}
    body = {"patientId": table.patient_id, "category": "medication", "title": "Uitslag", "onRelease": why}
    held: Json = await nurse.made(f"{case}/threads", body, Idempotency_Key="waits")
    assert (await nurse.made(f"{case}/threads", body, Idempotency_Key="waits"))["id"] == held["id"]
    assert await _items(gp, f"/threads/{held['id']}/messages") == [], "an empty list is a look as well"
    message: Json = await nurse.made(f"/threads/{held['id']}/messages", {"text": "Zij schrikt snel."})
    statements = f"/messages/{message['id']}/statements"
    refused = [await one.post(statements, {"text": "Dat klopt.", "onWordOf": "patient"}) for one in (gp, nurse)]
    assert [(one.status_code, problem_of(one)["code"]) for one in refused] == [(409, "record-held-back")] * 2
    assert (await gp.post(f"/messages/{message['id']}/corrections", {"text": "x"})).status_code == 403
    assert await _items(gp, statements) == []
    given = {"patientId": table.patient_id, "kind": "adviser", "messageIds": [message["id"]]}
    await gp.made(f"{case}/disclosures", {**given, "recipient": "Jurist", "reason": "Advies."})
    for path in (
        "/contributions",
        f"/contribution-exports?caseId={table.case_id}",
        f"/threads/{held['id']}/messages",
    ):
        assert (await nurse.get(path)).status_code == 200, path
    after = await _shown(citizen, table, at)
    assert [path for path, found in after.items() if found != before[path]] == []

    # Released, it is a record like any other: one says something beside it.
    await gp.made(f"/threads/{held['id']}/release")
    await nurse.made(statements, {"text": "Dat klopt.", "onWordOf": "patient"})
    await citizen.made(f"/messages/{shown['id']}/statements", {"text": "Ja."})
    assert [one["text"] for one in await _items(citizen, statements)] == ["Dat klopt."]


async def _waiting(database: Urls, sent: "asyncio.Task[httpx.Response]") -> None:
    """Wait until somebody waits for a lock."""
    looker = await asyncpg.connect(database.superuser)
    try:
        async with asyncio.timeout(10):
            while not sent.done() and not await looker.fetchval(WAITS):
                pass
    finally:
        await looker.close()


async def test_a_change_of_practice_is_taken_back_by_no_other_and_accepted_by_nobody_who_was_just_suspended(
    instance: Instance, database: Urls
) -> None:
    table = await open_table(instance)
    await seat(table, "specialist", direct=True)
    changes = f"/cases/{table.case_id}/practice-changes"
    gp, other, citizen = [await instance.as_(one) for one in ("gp", "gp-other", "citizen")]
    medication = f"/threads/{await thread(table, 'medication')}"
    hers: Json = await citizen.made(changes, TO_OTHER)
    assert (await gp.post(f"{changes}/{hers['id']}/withdrawal")).status_code == 403, "she goes where she likes"
    assert (await _items(citizen, changes))[0]["state"] == "announced"

    shared, _, _ = await household(instance)
    theirs = f"/cases/{shared}/practice-changes"
    of_both: Json = await gp.made(theirs, TO_OTHER)
    assert (await citizen.post(f"{theirs}/{of_both['id']}/withdrawal")).status_code == 403, "not for the others"
    assert (await gp.made(f"{theirs}/{of_both['id']}/withdrawal"))["state"] == "withdrawn"

    # Whoever was suspended while they waited takes nothing over: nobody would be left.
    root = await asyncpg.connect(database.superuser)
    engagement = BY_KEY["gp-other"].engagement_id
    try:
        async with root.transaction():
            await root.fetch("select 1 from case_head where case_id = $1 for update", table.case_id)
            accepting = asyncio.create_task(other.post(f"{changes}/{hers['id']}/acceptance"))
            await _waiting(database, accepting)
            await root.execute("update engagement set suspended_at = now() where id = $1", engagement)
        assert (await accepting).status_code in (403, 404, 409)
        assert (await gp.get(medication)).status_code == 200
        assert (await _items(citizen, changes))[0]["state"] == "announced"
        await root.execute("update engagement set suspended_at = null where id = $1", engagement)
    finally:
        await root.close()
    assert (await citizen.made(f"{changes}/{hers['id']}/withdrawal"))["state"] == "withdrawn"


async def test_whoever_is_kept_away_ends_nothing_of_that_person(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True, caseRole="casemanager")
    case, gp, citizen = f"/cases/{table.case_id}", await table.as_("gp"), await table.as_("citizen")
    medication = f"/threads/{await thread(table, 'medication')}"
    kept = {"patientId": table.patient_id, "accountId": await account_of(instance, "gp")}
    exclusion = await citizen.made(f"{case}/exclusions", kept)
    died = {"patientId": table.patient_id, "diedOn": "2026-01-31"}
    moved = {"patientId": table.patient_id, "municipalityCode": "0363", "on": "2026-02-01"}
    for path, body in (("deaths", died), ("moves", moved)):
        assert faults_of(await gp.post(f"{case}/{path}", body)) == {"/patientId": "not-a-subject"}, path
    assert (await gp.post(f"{case}/practice-changes", TO_OTHER)).status_code in (403, 404)
    assert (await citizen.get(medication)).status_code == 200, "she lives"

    # What others recorded of her is not for them either.
    assert (await citizen.delete(f"{case}/exclusions/{exclusion['id']}")).status_code == 204
    await gp.made(f"{case}/moves", moved)
    await citizen.made(f"{case}/exclusions", kept)
    recorded: Json = await (await table.as_("poh")).made(f"{case}/deaths", died)
    assert await _items(gp, f"{case}/deaths") == []
    assert (await gp.post(f"{case}/deaths/{recorded['id']}/undoing", {"reason": "Vergissing."})).status_code == 404
