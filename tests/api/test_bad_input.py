"""Bad input is refused clearly: a problem that names what is wrong without quoting it, and nothing half done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.api.room import Room, problem_of


@asynccontextmanager
async def unwritable_log(room: Room) -> AsyncIterator[None]:
    """Take the right to write audit records away, from all three roles that have it."""
    await room.owner.execute("revoke insert on audit_event from app, appender, stream")
    try:
        yield
    finally:
        await room.owner.execute("grant insert on audit_event to app, appender, stream")


async def test_a_log_that_cannot_be_written_stops_reads_writes_and_refusals_alike(room: Room) -> None:
    gp, stranger, auditor = [await room.as_(persona) for persona in ("gp", "gp-other", "auditor")]
    before = await room.owner.fetchval("select count(*) from case_event")
    async with unwritable_log(room):
        answers = [
            await gp.get(room.case),
            await gp.post(f"/threads/{room.ids['thread']}/messages", {"text": "Komt niet aan"}),
            await gp.post(f"{room.case}/threads", {}),
            await stranger.get(room.case),
            await auditor.get("/cases"),
            await room.anonymous("GET", "/me", headers={"Authorization": "Bearer a.b.c"}),
        ]
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert problem_of(answer)["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) > 0
    assert await room.owner.fetchval("select count(*) from case_event") == before
    assert (await gp.get(room.case)).status_code == 200


@pytest.mark.parametrize("bsn", ["123456789", "000000000", "12345678"])
async def test_a_search_for_a_number_that_cannot_exist_finds_nobody(room: Room, bsn: str) -> None:
    gp = await room.as_("gp")
    answer = await gp.post("/patients/_search", {"bsn": bsn})
    assert (answer.status_code, answer.json()) == (200, {"items": [], "nextCursor": None})
