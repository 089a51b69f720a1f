"""No answer without a record (G3): when the log cannot be written, nothing is read, posted or told."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.cli.postgres import Urls
from tests.serving import Instance
from tests.stories import Table, open_table, seat, thread
from tests.talking import dial, socket_url, talking


@pytest.fixture
async def superuser(own_urls: Urls) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(own_urls.superuser)
    yield connection
    await connection.close()


@pytest.fixture
async def table(own: Instance) -> Table:
    made = await open_table(own)
    await seat(made, "poh", direct=True)
    return made


async def test_without_the_log_nothing_is_read_posted_or_told(
    table: Table, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    medication = await thread(table, "medication")
    gp, poh = await table.as_("gp"), await table.as_("poh")
    made = await gp.made(f"/threads/{medication}/messages", {"text": "bewaard"})
    async with talking(gp, table.case_id) as one, talking(poh, table.case_id) as two, talking(poh) as late:
        await superuser.execute("revoke insert on audit_event from app, appender, stream")
        for path in (
            f"/cases/{table.case_id}",
            f"/threads/{medication}/messages",
            f"/messages/{made['id']}",
            "/cases",
            "/contributions",
            "/cases/00000000-0000-4000-8000-000000000000",
        ):
            answer = await gp.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), path
            assert "Retry-After" in answer.headers
        answer = await gp.post(f"/threads/{medication}/messages", {"text": "niet"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        await one.say("post", clientId="c1", threadId=medication, text="ook niet")
        assert (await one.hear("error"))["problem"]["code"] == "unavailable"
        for case_id in (table.case_id, "00000000-0000-4000-8000-000000000000"):
            before = len(late.all("error"))
            await late.say("join", caseId=case_id)
            assert (await late.many("error", before + 1))[-1]["problem"]["code"] == "unavailable"
        unknown = "00000000-0000-4000-8000-000000000001"
        await one.say("post", clientId="c2", threadId=unknown, text="x")
        refused = await one.hear("error", lambda frame: frame["clientId"] == "c2")
        assert refused["problem"]["code"] == "unavailable"
        assert (await gp.post("/realtime-tickets")).status_code == 503
        assert not one.events
        assert not two.events
        await superuser.execute("grant insert on audit_event to app, appender, stream")
        await one.say("post", clientId="c1", threadId=medication, text="ook niet")
        await one.hear("ack")
        await two.event("message.posted")
        await late.say("join", caseId=table.case_id)
        await late.hear("joined")
        assert [frame["data"]["text"] for frame in two.events] == ["ook niet"]


async def test_what_cannot_be_recorded_as_delivered_waits_until_it_can(
    table: Table, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    medication = await thread(table, "medication")
    gp, poh = await table.as_("gp"), await table.as_("poh")
    async with talking(poh, table.case_id) as talk:
        await superuser.execute("revoke insert on audit_event from stream")
        # Not a message: those are recorded in the statement that writes them.
        await thread(table, "medication", title="Nieuw")
        await gp.made(f"/threads/{medication}/messages", {"text": "daarna"})
        await talk.settle()
        assert not talk.events
        async with talking(gp) as other:
            await other.say("join", caseId=table.case_id)
            assert (await other.hear("error"))["problem"]["code"] == "unavailable"
        await superuser.execute("grant insert on audit_event to stream")
        await talk.event("message.posted")
        assert [frame["type"] for frame in talk.events] == ["thread.opened", "message.posted"]


async def test_a_ticket_is_not_redeemed_without_a_record(
    table: Table, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ticket = (await (await table.as_("gp")).made("/realtime-tickets"))["ticket"]
    url = socket_url(table.instance.url)
    await superuser.execute("revoke insert on audit_event from app")
    async with dial(url) as talk:
        await talk.say("authenticate", ticket=ticket)
        assert (await talk.hear("error"))["problem"]["code"] == "unavailable"
        assert await talk.hear("bye") == {"op": "bye", "code": 1011}
        assert await talk.close_code() == 1011
    async with dial(url) as talk:
        await talk.say("authenticate", ticket="invented")
        assert (await talk.hear("error"))["problem"]["code"] == "unavailable"
        assert await talk.close_code() == 1011
    await superuser.execute("grant insert on audit_event to app")
    async with dial(url) as talk:
        await talk.say("authenticate", ticket=ticket)
        await talk.hear("ready")
