"""Somebody leaves: first everything gets somebody, then all of it ends at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY
from tests.serving import Caller, Instance
from tests.stories import Table, open_table, seat, thread
from tests.talking import talking


def at(persona: str, what: str = "ending") -> str:
    """Return the path of somebody's engagement."""
    return f"/engagements/{BY_KEY[persona].engagement_id}/{what}"


async def second_gp(database: Urls) -> str:
    """Let the GP of elsewhere work at the practice too, and return that engagement."""
    owner = await asyncpg.connect(database.superuser)
    try:
        return str(
            await owner.fetchval(
                "insert into engagement (id, account_id, organisation_id, role, profession, domain, valid_from)"
                " select gen_random_uuid(), $1, organisation_id, role, profession, domain, valid_from"
                "   from engagement where id = $2 returning id",
                BY_KEY["gp-other"].account_id,
                BY_KEY["gp"].engagement_id,
            )
        )
    finally:
        await owner.close()


@pytest.fixture
async def table(instance: Instance) -> Table:
    """A case that the GP opened, with its practice nurse."""
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    return table


async def test_nobody_leaves_a_case_or_a_nurse_behind(table: Table, database: Urls) -> None:
    admin, gp = await table.as_("org-admin"), await table.as_("gp")
    nurses = sorted(str(BY_KEY[key].engagement_id) for key in ("poh", "poh-youth"))
    await gp.made("/replacements", _replacement())
    listed = (await admin.get(at("gp", "ending-preview"))).json()
    assert listed["cases"] == [{"caseId": table.case_id, "caseRole": "regiebehandelaar"}]
    assert sorted(listed["responsibleFor"]) == nurses
    assert len(listed["replacements"]) == 1
    successor = await second_gp(database)
    for body in (
        {},
        {"successors": [{"caseId": table.case_id, "engagementId": successor}]},
        {"responsibles": [_under(nurse, successor) for nurse in nurses]},
    ):
        answer = await admin.post(at("gp"), body)
        assert (answer.status_code, answer.json()["code"]) == (409, "successor-needed")
    wrong = {
        "successors": [{"caseId": table.case_id, "engagementId": nurses[0]}],
        "responsibles": [_under(nurse, nurses[0]) for nurse in nurses],
    }
    answer = await admin.post(at("gp"), wrong)
    assert {fault["code"] for fault in answer.json()["errors"]} == {"not-a-successor", "not-a-gp"}
    assert (await gp.get(f"/cases/{table.case_id}")).status_code == 200


async def test_who_leaves_is_out_at_once_and_the_successor_manages(table: Table, database: Urls) -> None:
    admin, gp, poh, locum = [await table.as_(key) for key in ("org-admin", "gp", "poh", "gp-locum")]
    medication = await thread(table, "medication")
    await gp.made(f"/threads/{medication}/messages", {"text": "Mijn laatste"})
    await gp.made("/replacements", _replacement())
    successor = await second_gp(database)
    nurses = [str(BY_KEY[key].engagement_id) for key in ("poh", "poh-youth")]
    body = {
        "successors": [{"caseId": table.case_id, "engagementId": successor}],
        "responsibles": [_under(nurse, successor) for nurse in nurses],
    }
    async with talking(gp, table.case_id) as leaving, talking(poh, table.case_id) as staying:
        await admin.made(at("gp"), body)
        assert await leaving.close_code() == 4401
        await staying.event("member.left")
        await staying.event("member.accepted")
        await staying.settle()
    assert (await gp.get(f"/cases/{table.case_id}")).status_code == 401
    assert (await locum.get(f"/cases/{table.case_id}")).status_code == 404
    assert (await poh.get(f"/threads/{medication}/messages")).status_code == 200
    members = (await poh.get(f"/cases/{table.case_id}/members")).json()["items"]
    (heir,) = [one for one in members if one["person"]["name"] == BY_KEY["gp-other"].name]
    assert heir["caseRole"] == "regiebehandelaar"
    answer = await admin.post(at("gp"), body)
    assert answer.status_code == 409
    await _manages(database, table.case_id, successor)


async def test_who_manages_nobody_ends_nobody(table: Table) -> None:
    for persona, status in (("gp", 403), ("poh", 403), ("auditor", 403)):
        caller: Caller = await table.as_(persona)
        assert (await caller.post(at("poh"), {})).status_code == status
    admin = await table.as_("org-admin")
    assert (await admin.post(at("gp-other"), {})).status_code == 404
    assert (await admin.get(at("gp-other", "ending-preview"))).status_code == 404


async def _manages(database: Urls, case_id: str, engagement: str) -> None:
    owner = await asyncpg.connect(database.superuser)
    try:
        await owner.execute("select set_config('app.engagement', $1, false)", engagement)
        assert await owner.fetchval("select manages($1)", case_id)
    finally:
        await owner.close()


def _under(nurse: str, responsible: str) -> dict[str, str]:
    return {"engagementId": nurse, "responsibleEngagementId": responsible}


def _replacement() -> dict[str, Any]:
    return {
        "kind": "locum",
        "substituteEngagementId": str(BY_KEY["gp-locum"].engagement_id),
        "validUntil": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }
