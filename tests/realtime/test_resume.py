"""Reconnecting with a cursor: exactly what was missed and may still be seen, once and in order."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.serving import Caller, Instance
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import Frame, Talk, dial, talking


@pytest.fixture
async def table(shared: Instance) -> Table:
    made = await open_table(shared)
    await seat(made, "poh", direct=True)
    await seat(made, "social-worker")
    return made


async def say(caller: Caller, thread_id: str, *texts: str) -> list[str]:
    """Post over HTTP, one after another; return the ids."""
    return [str((await caller.made(f"/threads/{thread_id}/messages", {"text": text}))["id"]) for text in texts]


def texts(talk: Talk) -> list[str]:
    return [frame["data"].get("text", frame["type"]) for frame in talk.events]


async def test_without_a_cursor_only_live_events_follow(table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    await say(gp, medication, "vroeger")
    async with talking(await table.as_("poh"), table.case_id) as talk:
        assert (await talk.hear("joined"))["recovered"] is True
        await say(gp, medication, "nu")
        await talk.event("message.posted")
        assert texts(talk) == ["nu"]


async def test_the_cursor_of_joined_and_of_an_acknowledgement_are_places_too(table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    poh = await table.as_("poh")
    async with talking(poh, table.case_id) as talk:
        joined = (await talk.hear("joined"))["cursor"]
        await say(gp, medication, "een")
        await talk.say("post", clientId="c", threadId=medication, text="twee")
        ack = (await talk.hear("ack"))["cursor"]
        await talk.event("message.posted", lambda frame: frame["data"]["text"] == "twee")
        own = talk.events[-1]["cursor"]
    await say(gp, medication, "drie")
    for cursor, missed in ((joined, ["een", "twee", "drie"]), (ack, ["drie"]), (own, ["drie"])):
        async with talking(poh, table.case_id, cursor=cursor) as talk:
            await talk.event("message.posted", lambda frame: frame["data"]["text"] == "drie")
            assert (await talk.hear("joined"))["recovered"] is True
            assert texts(talk) == missed
            assert [frame["n"] for frame in talk.events] == list(range(1, len(missed) + 1))


async def test_a_cursor_can_be_used_again_and_joined_gives_it_back_as_another(table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    poh = await table.as_("poh")
    async with talking(poh, table.case_id) as talk:
        cursor = (await talk.hear("joined"))["cursor"]
    await say(gp, medication, "een")
    seen = set()
    for _ in range(3):
        async with talking(poh, table.case_id, cursor=cursor) as talk:
            await talk.event("message.posted")
            seen.add((await talk.hear("joined"))["cursor"])
            assert texts(talk) == ["een"]
    assert len(seen) == 3
    assert {len(one) for one in seen} == {len(cursor)}


@pytest.mark.parametrize("whose", ["another's", "another case's", "invented", "cut", "empty"])
async def test_a_cursor_that_is_not_one_s_own_is_not_honoured_and_says_so(
    table: Table, shared: Instance, whose: str
) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    poh = await table.as_("poh")
    async with talking(poh, table.case_id) as talk:
        own = (await talk.hear("joined"))["cursor"]
    if whose == "another's":
        async with talking(gp, table.case_id) as talk:
            cursor = (await talk.hear("joined"))["cursor"]
    elif whose == "another case's":
        other = await open_table(shared)
        await seat(other, "poh", direct=True)
        async with talking(poh, other.case_id) as talk:
            cursor = (await talk.hear("joined"))["cursor"]
    else:
        cursor = {"invented": "a" + "0" * 32, "cut": own[:-1], "empty": ""}[whose]
    await say(gp, medication, "gemist")
    async with talking(poh, table.case_id, cursor=cursor) as talk:
        joined = await talk.hear("joined")
        assert joined["recovered"] is False
        await say(gp, medication, "daarna")
        await talk.event("message.posted")
        assert texts(talk) == ["daarna"]
    async with talking(poh, table.case_id, cursor=joined["cursor"]) as talk:
        await talk.event("message.posted")
        assert texts(talk) == ["daarna"]


async def test_rights_are_those_of_now_and_not_of_the_cursor(table: Table) -> None:
    medication = await thread(table, "medication")
    gp, worker, citizen = [await table.as_(who) for who in ("gp", "social-worker", "citizen")]
    given = await consent(table, "social-worker", "medication")
    async with talking(worker, table.case_id) as talk:
        cursor = (await talk.hear("joined"))["cursor"]
    await say(gp, medication, "gemist")
    await citizen.made(f"/consents/{given}/withdrawal")
    async with talking(worker, table.case_id, cursor=cursor) as talk:
        joined = await talk.hear("joined")
        assert joined["recovered"] is True
        assert "members" not in joined
        await talk.event("access.changed")
        await talk.settle()
        assert texts(talk) == ["consent.withdrawn", "access.changed"]
        again = talk.events[-1]["cursor"]
    await consent(table, "social-worker", "medication", history="from-now")
    await say(gp, medication, "weer")
    async with talking(worker, table.case_id, cursor=again) as talk:
        await talk.event("message.posted")
        assert texts(talk) == ["consent.given", "access.changed", "thread.opened", "weer"]
        opened = await talk.event("thread.opened")
        assert opened["data"]["id"] == medication
        assert "title" not in opened["data"]


async def test_what_was_retracted_meanwhile_is_a_tombstone_alone(table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    poh = await table.as_("poh")
    async with talking(poh, table.case_id) as talk:
        cursor = (await talk.hear("joined"))["cursor"]
    gone, _ = await say(gp, medication, "verkeerd", "goed")
    await gp.made(f"/messages/{gone}/retraction", {"reason": "wrong-person"})
    async with talking(poh, table.case_id, cursor=cursor) as talk:
        await talk.event("message.retracted")
        assert texts(talk) == ["goed", "message.retracted"]


async def test_a_long_absence_is_made_up_for_to_the_last_message(table: Table) -> None:
    medication, poh = await thread(table, "medication"), await table.as_("poh")
    gp = await table.as_("gp")
    count = 1300
    async with talking(poh, table.case_id) as talk:
        cursor = (await talk.hear("joined"))["cursor"]
    async with many_posts(gp, medication, count):
        pass
    async with talking(poh, table.case_id, cursor=cursor) as talk, talking(gp) as writer:
        for number in range(20):
            await writer.say("post", clientId=f"live{number}", threadId=medication, text=f"live {number}")
        await talk.many("event", count + 20, seconds=60)
        assert texts(talk) == [f"{n} " + "é" * 400 for n in range(count)] + [f"live {n}" for n in range(20)]
        assert [frame["n"] for frame in talk.events] == list(range(1, count + 21))


@asynccontextmanager
async def many_posts(caller: Caller, thread_id: str, count: int) -> AsyncIterator[None]:
    """Post many long messages over sockets, each within its rate."""
    for start in range(0, count, 150):
        async with talking(caller) as writer:
            for number in range(start, min(start + 150, count)):
                await writer.say("post", clientId=f"m{number}", threadId=thread_id, text=f"{number} " + "é" * 400)
            await writer.many("ack", min(150, count - start), seconds=60)
    yield


async def test_a_client_that_is_cut_off_at_random_ends_with_every_message_once_and_in_order(table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    poh = await table.as_("poh")
    chance = random.Random(7)
    heard: list[Frame] = []
    total = 120
    async with talking(poh, table.case_id) as first:
        cursor = (await first.hear("joined"))["cursor"]
    posting = asyncio.create_task(say(gp, medication, *(str(number) for number in range(total))))
    while len(heard) < total:
        ticket = await poh.made("/realtime-tickets")
        async with dial(str(ticket["url"])) as talk:
            await talk.say("authenticate", ticket=ticket["ticket"])
            await talk.say("join", caseId=table.case_id, cursor=cursor)
            want = min(chance.randrange(1, 25), total - len(heard))
            await talk.many("event", want, seconds=60)
            talk.connection.transport.abort()  # no goodbye: what was under way is lost
            new = talk.events[: chance.randrange(0, len(talk.events) + 1)]
        heard += new
        if new:
            cursor = new[-1]["cursor"]
    await posting
    assert [frame["data"]["text"] for frame in heard] == [str(number) for number in range(total)]
    assert len({frame["data"]["id"] for frame in heard}) == len(heard)
