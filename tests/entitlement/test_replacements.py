"""A locum at five to six, and a deputy: what they may, what they may not, and how it ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.core.settings import Settings
from app.identity.demo import BY_KEY, LOCUMS, PRACTICE
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import account_of, open_table, seat, thread
from tests.talking import talking

DAY = timedelta(days=1)


def body(substitute: str = "gp-locum", lasts: timedelta = DAY, **more: Any) -> dict[str, Any]:
    """Return the body of a replacement by somebody from now on."""
    return {
        "kind": "locum",
        "substituteEngagementId": str(BY_KEY[substitute].engagement_id),
        "validUntil": (datetime.now(UTC) + lasts).isoformat(),
        **more,
    }


async def refusal(caller: Caller, sent: dict[str, Any]) -> tuple[int, str, set[str]]:
    """Return status, code and faults of a replacement that does not start."""
    answer = await caller.post("/replacements", sent)
    problem = answer.json()
    return answer.status_code, problem["code"], {fault["code"] for fault in problem.get("errors", [])}


async def test_a_locum_gets_exactly_the_cells_of_the_gp_until_the_gp_is_back(
    instance: Instance, database: Urls
) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    gp, locum, poh = [await table.as_(key) for key in ("gp", "gp-locum", "poh")]
    medication = await thread(table, "medication")
    await gp.made(f"/threads/{medication}/messages", {"text": "Let op de dosering"})
    for path in (f"/cases/{table.case_id}", f"/threads/{medication}"):
        assert (await locum.get(path)).status_code == 404

    started = await gp.made("/replacements", body())
    assert started["status"] == "running"
    await _told_who_looks(await table.as_("citizen"), table.case_id)

    assert [one["id"] for one in (await locum.get("/cases")).json()["items"]] == [table.case_id]
    assert (await locum.get(f"/threads/{medication}/messages")).json()["items"][0]["text"] == "Let op de dosering"
    async with talking(locum, table.case_id) as line, talking(poh, table.case_id) as other:
        await line.say("post", clientId="m1", threadId=medication, text="Ik neem waar")
        await line.hear("ack")
        assert (await other.event("message.posted"))["actor"]["name"] == BY_KEY["gp-locum"].name
        # It reads and posts; it decides nothing.
        for method, path, sent in (
            ("POST", "members", await _invitation(table.instance)),
            ("POST", "consents", _consent(table.patient_id, table.members["poh"])),
        ):
            answer = await locum.request(method, f"/cases/{table.case_id}/{path}", sent)
            assert answer.status_code == 403, (path, answer.text)
        assert (await locum.get(f"/cases/{table.case_id}/access")).json()["items"]
        ended = await locum.made(f"/replacements/{started['id']}/ending")
        assert ended["status"] == "ended"
        assert "medication" in (await line.hear("narrowed"))["categories"]
        await line.say("post", clientId="m2", threadId=medication, text="te laat")
        await line.hear("error")
    assert (await locum.get(f"/cases/{table.case_id}")).status_code == 404
    assert (await locum.get(f"/threads/{medication}")).status_code == 404
    assert (await locum.get("/contributions")).json()["items"][0]["text"] == "Ik neem waar"

    owner = await asyncpg.connect(database.superuser)
    try:
        rows = await owner.fetch(
            "select action, ground, on_behalf_of::text from audit_event where actor_account_id = $1"
            " and outcome = 'success' and case_id is not null and action in ('message:list', 'message:post')",
            await account_of(instance, "gp-locum"),
        )
        assert {tuple(row) for row in rows} == {
            (action, "replacement", await account_of(instance, "gp")) for action in ("message:list", "message:post")
        }
    finally:
        await owner.close()


async def _told_who_looks(citizen: Caller, case_id: str) -> None:
    """Check that the substitute stands in the citizen's lists by its own name, and the GP with her own cells."""
    gp, locum = BY_KEY["gp"].name, BY_KEY["gp-locum"].name
    for path in ("matrix", "access"):
        rows = (await citizen.get(f"/cases/{case_id}/{path}")).json()["items"]
        grounds: dict[tuple[str, str | None], set[str]] = {}
        for row in rows:
            whose = row["person"]["name"], row["onBehalfOf"] and row["onBehalfOf"]["name"]
            cells = row["cells"] if path == "matrix" else [row]
            grounds.setdefault(whose, set()).update(cell["ground"] for cell in cells)
        assert grounds[locum, gp] == {"replacement"}, path
        assert grounds[gp, None] == {"direct_treatment"}, path
        assert {whose for whose, why in grounds.items() if "replacement" in why} == {(locum, gp)}


async def _invitation(instance: Any) -> dict[str, Any]:
    return {
        "accountId": await account_of(instance, "specialist"),
        "caseRole": "deelnemer",
        "reasonCode": "consultation",
    }


def _consent(patient: str, member: str) -> dict[str, Any]:
    return {
        "patientId": patient,
        "kind": "lift_secrecy",
        "recipients": [{"type": "member", "id": member}],
        "categories": ["mental_health"],
        "purpose": "CAREMGT",
        "decidedBy": {"type": "patient"},
        "method": "oral_recorded",
        "textVersion": "nl-2026-1",
    }


async def test_a_replacement_ends_by_itself_and_the_socket_narrows(settings: Settings) -> None:
    clock = MovableClock()
    async with serve(settings, clock) as instance:
        table = await open_table(instance)
        await thread(table, "medication")
        gp = await table.as_("gp")
        await gp.made("/replacements", body(lasts=timedelta(minutes=5)))
        async with talking(await table.as_("gp-locum"), table.case_id) as line:
            clock.move(timedelta(minutes=6))
            assert "medication" in (await line.hear("narrowed"))["categories"]
        listed = (await gp.get("/replacements")).json()["items"]
        assert [one["status"] for one in listed] == ["ended"]


async def test_what_makes_no_replacement_is_said_and_starts_none(instance: Instance) -> None:
    gp, poh, locum, other = [await instance.as_(key) for key in ("gp", "poh", "gp-locum", "gp-other")]
    past = (datetime.now(UTC) - DAY).isoformat()
    assert await refusal(gp, body(validFrom=past)) == (400, "invalid-input", {"past"})
    assert await refusal(gp, body(lasts=-DAY)) == (400, "invalid-input", {"not-after-start"})
    assert await refusal(gp, body(lasts=93 * DAY)) == (400, "invalid-input", {"too-long"})
    assert await refusal(gp, body("gp")) == (400, "invalid-input", {"oneself"})
    assert await refusal(gp, body("gp-other")) == (400, "invalid-input", {"not-a-substitute"})
    assert await refusal(gp, body("poh")) == (400, "invalid-input", {"other-profession"})
    assert (await refusal(poh, body("poh-youth")))[2] == {"not-for-this-role", "other-profession"}
    # Nobody starts one for somebody else, the locum for itself the least.
    for caller in (locum, other, poh):
        sent = body(replacedEngagementId=str(BY_KEY["gp"].engagement_id))
        assert (await refusal(caller, sent))[:2] == (403, "forbidden")
    assert (await gp.get("/replacements")).json()["items"] == []


async def test_one_at_a_time_answers_for_a_practice(instance: Instance) -> None:
    gp, locum = await instance.as_("gp"), await instance.as_("gp-locum")
    made = await gp.made("/replacements", body())
    assert await refusal(gp, body(lasts=2 * DAY)) == (409, "replacement-overlaps", set())
    # The locum is not replaced by another in that time: that one would stand in for nobody it knows.
    admin = await instance.as_("region-admin")
    await admin.made(
        f"/organisations/{LOCUMS.id}/substitutes", {"engagementId": str(BY_KEY["gp-other"].engagement_id)}
    )
    assert await refusal(locum, body("gp-other")) == (409, "replacement-chained", set())
    await gp.made(f"/replacements/{made['id']}/ending")
    again = await gp.post(f"/replacements/{made['id']}/ending")
    assert (again.status_code, again.json()["code"]) == (409, "replacement-ended")
    assert (await locum.made("/replacements", body("gp-other")))["status"] == "running"


async def test_an_organisation_says_who_may_stand_in(instance: Instance) -> None:
    gp, admin, other = [await instance.as_(key) for key in ("gp", "org-admin", "gp-other")]
    path = f"/organisations/{PRACTICE.id}/substitutes"
    listed = (await gp.get(path)).json()["items"]
    assert [one["person"]["name"] for one in listed if one["registered"]] == [BY_KEY["gp-locum"].name]
    newcomer = {"engagementId": str(BY_KEY["gp-other"].engagement_id)}
    await admin.made(path, newcomer)
    assert (await admin.post(path, newcomer)).json()["code"] == "already-substitute"
    assert (await admin.post(path, {"engagementId": str(BY_KEY["poh"].engagement_id)})).status_code == 409
    assert (await admin.post(path, {"engagementId": str(BY_KEY["citizen"].engagement_id)})).status_code == 400
    # Whose it is not manages it not, and sees no list.
    assert (await admin.post(f"/organisations/{LOCUMS.id}/substitutes", newcomer)).status_code == 404
    assert (await other.get(path)).status_code == 404
    await gp.made("/replacements", body("gp-other"))
    assert (await admin.delete(f"{path}/{newcomer['engagementId']}")).status_code == 204
    assert (await admin.delete(f"{path}/{newcomer['engagementId']}")).status_code == 404


@pytest.mark.parametrize("side", ["replaced_engagement_id", "substitute_engagement_id"])
async def test_two_that_begin_at_the_same_time_cannot_both(database: Urls, side: str) -> None:
    """The database refuses what overlaps for the one replaced, whoever asks; a substitute may serve two."""
    owner = await asyncpg.connect(database.superuser)
    gp, locum, other = [BY_KEY[key].engagement_id for key in ("gp", "gp-locum", "gp-other")]
    insert = (
        "insert into replacement (id, replaced_engagement_id, substitute_engagement_id, kind, valid_from,"
        " valid_until, started_by_engagement_id, created_at)"
        " values (gen_random_uuid(), $1, $2, 'locum', now(), now() + interval '1 day', $1, now())"
    )
    try:
        await owner.execute(insert, gp, locum)
        if side == "substitute_engagement_id":
            await owner.execute(insert, other, locum)
        else:
            with pytest.raises(asyncpg.ExclusionViolationError):
                await owner.execute(insert, gp, other)
    finally:
        await owner.close()
