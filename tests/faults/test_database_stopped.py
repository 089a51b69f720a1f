"""A database that stands still: sockets fall silent, say so, and go on by themselves (G2)."""

import asyncio
import signal

import asyncpg
import psutil  # type: ignore[import-untyped]  # ships no types
import pytest

from app.cli.postgres import Urls
from app.realtime.lease import LEASE_SECONDS
from tests.faults.conftest import Cluster
from tests.serving import Instance
from tests.stories import open_table, seat, thread
from tests.talking import talking

OF_A_CASE = {"event", "presence", "typing", "joined"}


async def test_sockets_are_silent_while_the_database_stands_still_and_then_hear_everything(
    own: Instance, durable: Cluster
) -> None:
    table = await open_table(own)
    await seat(table, "poh", direct=True)
    medication = await thread(table, "medication")
    gp, poh = await table.as_("gp"), await table.as_("poh")
    async with (
        talking(gp, table.case_id) as one,
        talking(poh, table.case_id) as two,
        talking(poh) as late,
    ):
        for number in range(5):
            await one.say("post", clientId=f"before{number}", threadId=medication, text=f"before {number}")
        for talk in (one, two):
            await talk.many("event", 5)
        with durable.stopped():
            posting = asyncio.create_task(gp.made(f"/threads/{medication}/messages", {"text": "over HTTP"}))
            await one.say("post", clientId="during", threadId=medication, text="during")
            await late.say("join", caseId=table.case_id)
            await one.say("typing", threadId=medication)
            for talk in (one, two, late):
                assert await talk.hear("paused") == {"op": "paused", "why": "database"}
            said = [len(talk.heard) for talk in (one, two, late)]
            await asyncio.sleep(0.5)
            for talk, count in zip((one, two, late), said, strict=True):
                assert not OF_A_CASE & {frame["op"] for frame in talk.heard[count:]}
                assert talk.closed is None
            assert not posting.done()
        for talk in (one, two, late):
            await talk.hear("resumed")
        await posting
        assert (await one.many("ack", 6))[-1]["clientId"] == "during"
        await one.say("post", clientId="after", threadId=medication, text="after")
        await late.hear("joined")
        for talk in (one, two):
            await talk.event("message.posted", lambda frame: frame["data"]["text"] == "after")
            assert [frame["n"] for frame in talk.events] == list(range(1, 9))
            told = [frame["data"]["text"] for frame in talk.events]
            assert told[:5] == [f"before {number}" for number in range(5)]
            assert sorted(told[5:7]) == ["during", "over HTTP"]
            silent = talk.heard.index({"op": "paused", "why": "database"})
            spoke = talk.heard.index({"op": "resumed"})
            assert not OF_A_CASE & {frame["op"] for frame in talk.heard[silent:spoke]}


async def test_a_standstill_within_the_lease_is_not_even_noticed(own: Instance, durable: Cluster) -> None:
    table = await open_table(own)
    medication = await thread(table, "medication")
    async with talking(await table.as_("gp"), table.case_id) as talk:
        with durable.stopped():
            await talk.say("post", clientId="c", threadId=medication, text="x")
            await asyncio.sleep(LEASE_SECONDS / 4)
        await talk.hear("ack")
        await talk.event("message.posted")
        assert {"paused", "resumed"}.isdisjoint(frame["op"] for frame in talk.heard)


async def test_a_listener_s_connection_that_stands_still_costs_the_poll_alone(
    own: Instance, own_urls: Urls, durable: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = await open_table(own)
    await seat(table, "social-worker")
    connection = await asyncpg.connect(own_urls.superuser)
    try:
        pid = await connection.fetchval(
            "select pid from pg_stat_activity where query ilike 'listen %' and datname = current_database()"
        )
    finally:
        await connection.close()
    bus = psutil.Process(pid)
    assert bus.ppid() == durable.processes()[0].pid
    bus.send_signal(signal.SIGSTOP)
    try:
        async with talking(await table.as_("gp"), table.case_id) as talk:
            medication = await thread(table, "medication")
            gp = await table.as_("gp")
            await gp.made(f"/threads/{medication}/messages", {"text": "gehoord"})
            await talk.event("message.posted")
            assert "paused" not in [frame["op"] for frame in talk.heard]
    finally:
        bus.send_signal(signal.SIGCONT)
