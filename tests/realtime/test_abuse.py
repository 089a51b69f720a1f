"""Clients that do what no client should: each is closed for it, and nobody else notices."""

import asyncio
import socket
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from websockets.exceptions import ConnectionClosed

from app.cli.postgres import Urls
from app.core.ids import CaseId
from app.core.settings import Settings
from app.identity.demo import BY_KEY
from app.realtime.outbox import OUTBOX_BYTES_MAX
from app.realtime.socket import CASES_PER_SOCKET_MAX, Live
from tests.serving import Caller, Instance, MovableClock, Service, serve
from tests.stories import Table, open_table, seat, thread
from tests.talking import Talk, dial, socket_url, talking

GP = BY_KEY["gp"].engagement_id


@pytest.fixture
async def table(shared: Instance) -> Table:
    made = await open_table(shared)
    await seat(made, "poh", direct=True)
    return made


def live_of(service: Service) -> Live:
    """Return the parts of a service in this process."""
    assert isinstance(service, Instance)
    live: Live = service.app.state.live
    return live


async def flood(talk: Talk, frames: list[str]) -> None:
    """Send without waiting, as far as the server takes it in."""
    with suppress(ConnectionClosed):
        for frame in frames:
            await talk.connection.send(frame)


async def test_a_frame_of_five_megabytes_is_cut_off(table: Table) -> None:
    async with talking(await table.as_("gp"), table.case_id) as talk, talking(await table.as_("poh")) as other:
        await flood(talk, ['{"op":"ping","x":"' + "x" * 5_000_000 + '"}'])
        assert await talk.close_code() == 1009
        await other.settle()


async def test_a_thousand_frames_at_once_are_refused_beyond_the_burst_and_then_end_the_socket(table: Table) -> None:
    medication = await thread(table, "medication")
    async with (
        talking(await table.as_("gp"), table.case_id) as talk,
        talking(await table.as_("poh"), table.case_id) as other,
    ):
        post = '{"op":"post","clientId":"c%d","threadId":"' + medication + '","text":"%d"}'
        await flood(talk, [post % (number, number) for number in range(1000)])
        assert await talk.close_code() == 4429
        refused = [frame for frame in talk.all("error") if frame["problem"]["code"] == "rate-limited"]
        assert refused
        assert talk.all("bye") == [{"op": "bye", "code": 4429}]
        # What was acknowledged is there, in order and once; what was refused is not.
        await other.settle()
        acked = [frame["clientId"] for frame in talk.all("ack")]
        assert {frame["clientId"] for frame in refused}.isdisjoint(acked)
        await other.until(lambda: len(other.events) >= len(acked), "all that was acknowledged")
        texts = [int(frame["data"]["text"]) for frame in other.events]
        assert texts == sorted(set(texts))
        assert {int(one.removeprefix("c")) for one in acked} <= set(texts)


@pytest.mark.parametrize("frame", ['{"op":"ping"}', '{"op":"join","caseId":"x"}', '{"op":"typing","threadId":"x"}'])
async def test_any_thousand_frames_end_the_socket(shared: Instance, frame: str) -> None:
    async with talking(await shared.as_("gp")) as talk:
        await flood(talk, [frame] * 1000)
        assert await talk.close_code() == 4429


async def test_a_peer_that_does_not_read_is_closed_and_the_others_hear_everything(shared_settings: Settings) -> None:
    async with serve(shared_settings.model_copy(update={"socket_rate": 500})) as instance:
        table = await open_table(instance)
        await seat(table, "poh", direct=True)
        medication, gp = await thread(table, "medication"), await table.as_("gp")
        ticket = await gp.made("/realtime-tickets")
        small = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", int(instance.url.rpartition(":")[2])))
        async with (
            dial(socket_url(instance.url), sock=small, max_queue=1, ping_interval=None) as deaf,
            talking(await table.as_("poh"), table.case_id) as other,
            talking(gp) as writer,
        ):
            await deaf.say("authenticate", ticket=ticket["ticket"])
            await deaf.say("join", caseId=table.case_id)
            await deaf.hear("joined")
            deaf.connection.transport.pause_reading()
            (seat_of_deaf,) = live_of(instance).hub.rooms[CaseId(UUID(table.case_id))].seats[GP]
            outbox, text, count = seat_of_deaf.listener.outbox, "x" * 7900, 0
            while not outbox.closed:
                assert count * len(text) < 20 * OUTBOX_BYTES_MAX
                for _ in range(40):
                    await writer.say("post", clientId=f"c{count}", threadId=medication, text=text)
                    count += 1
                await writer.many("ack", count)
                assert outbox.size_bytes <= OUTBOX_BYTES_MAX
            await other.many("event", count, seconds=30)
            assert [frame["n"] for frame in other.events] == list(range(1, count + 1))
            await other.hear("presence", lambda frame: len(frame["members"]) == 1)
            deaf.connection.transport.resume_reading()
            assert await deaf.close_code() in {4408, 1006}


async def test_a_socket_listens_to_so_many_cases_and_no_more(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CASES_PER_SOCKET_MAX == 100
    monkeypatch.setattr("app.realtime.socket.CASES_PER_SOCKET_MAX", 2)
    instance = table.instance
    tables = [table, await open_table(instance), await open_table(instance)]
    async with talking(await table.as_("gp"), *(one.case_id for one in tables[:2])) as talk:
        await talk.say("join", caseId=tables[2].case_id)
        assert (await talk.hear("error"))["problem"]["code"] == "not-found"
        await talk.say("join", caseId=tables[0].case_id)
        await talk.many("joined", 3)
        await talk.say("leave", caseId=tables[1].case_id)
        await talk.say("join", caseId=tables[2].case_id)
        await talk.many("joined", 4)


async def test_joining_and_leaving_over_and_over_leaves_nothing_behind(table: Table) -> None:
    async with talking(await table.as_("poh")) as talk:
        for _ in range(60):
            await talk.say("join", caseId=table.case_id)
            await talk.say("leave", caseId=table.case_id)
        await talk.many("left", 60)
    assert not list(live_of(table.instance).hub.listeners(CaseId(UUID(table.case_id))))


async def test_sockets_that_vanish_in_the_middle_of_anything_leave_nothing_behind(table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    url = socket_url(table.instance.url)

    async def vanish(after: int) -> None:
        ticket = await gp.made("/realtime-tickets")
        async with dial(url) as talk:
            frames: list[tuple[str, dict[str, str]]] = [
                ("authenticate", {"ticket": str(ticket["ticket"])}),
                ("join", {"caseId": table.case_id}),
                ("post", {"clientId": f"v{after}", "threadId": medication, "text": "x"}),
                ("typing", {"threadId": medication}),
                ("leave", {"caseId": table.case_id}),
                ("join", {"caseId": table.case_id}),
            ]
            for op, members in frames[:after]:
                await talk.say(op, **members)
            await asyncio.sleep(0.002 * (after % 3))
            talk.connection.transport.abort()

    await asyncio.gather(*(vanish(after % 7) for after in range(28)))
    async with talking(await table.as_("poh"), table.case_id) as other:
        await other.hear("presence", lambda frame: [member["role"] for member in frame["members"]] == ["poh"])
        await gp.made(f"/threads/{medication}/messages", {"text": "gehoord"})
        await other.event("message.posted", lambda frame: frame["data"]["text"] == "gehoord")
    leases = live_of(table.instance).leases
    async with asyncio.timeout(10):
        while leases._listeners:  # noqa: ASYNC110  # their connections end when they end
            await asyncio.sleep(0.01)


async def test_a_ticket_outlives_no_thirty_seconds(
    shared_settings: Settings, clock: MovableClock, shared_urls: Urls
) -> None:
    async with serve(shared_settings, clock) as instance:
        gp = await instance.as_("gp")
        for seconds, opens in ((29, True), (30, False), (31, False)):
            ticket = await gp.made("/realtime-tickets")
            clock.move(timedelta(seconds=seconds))
            async with dial(socket_url(instance.url)) as talk:
                await talk.say("authenticate", ticket=ticket["ticket"])
                if opens:
                    await talk.hear("ready")
                else:
                    assert await talk.close_code() == 4401
        connection = await asyncpg.connect(shared_urls.superuser)
        try:
            denied = await connection.fetchval(
                "select count(*) from audit_event where action = 'socket:authenticate' and outcome = 'denied'"
            )
        finally:
            await connection.close()
        assert denied >= 2


async def test_a_session_that_runs_out_closes_its_sockets(shared_settings: Settings, clock: MovableClock) -> None:
    async with serve(shared_settings, clock) as instance, talking(await instance.as_("gp")) as talk:
        clock.move(timedelta(hours=12))
        assert await talk.hear("bye") == {"op": "bye", "code": 4401}
        assert await talk.close_code() == 4401


async def test_a_ticket_of_an_ended_session_opens_nothing(shared: Instance) -> None:
    gone = Caller(shared, "specialist", await shared.sign_in("specialist"))
    ticket = await gone.made("/realtime-tickets")
    await gone.delete("/sessions/current")
    async with dial(socket_url(shared.url)) as talk:
        await talk.say("authenticate", ticket=ticket["ticket"])
        assert await talk.close_code() == 4401


async def test_posts_that_wait_when_their_session_ends_are_refused_and_the_socket_closes(shared: Instance) -> None:
    table = await open_table(shared)
    medication = await thread(table, "medication")
    gp = Caller(shared, "gp", await shared.sign_in("gp"))
    async with talking(gp, table.case_id) as talk, talking(await table.as_("gp"), table.case_id) as other:
        ending = asyncio.create_task(gp.delete("/sessions/current"))
        with suppress(ConnectionClosed):
            for number in range(150):
                await talk.say("post", clientId=f"c{number}", threadId=medication, text=f"m{number}")
                await asyncio.sleep(0)
        assert (await ending).status_code == 204
        assert await talk.close_code() == 4401
        acked = {frame["messageId"] for frame in talk.all("ack")}
        await other.settle()
        await other.until(lambda: acked <= {frame["data"]["id"] for frame in other.events}, "acknowledged ones")
        codes = {frame["problem"]["code"] for frame in talk.all("error")}
        assert codes <= {"unauthenticated", "session-ended"}


async def test_the_server_says_goodbye_when_it_stops(shared_settings: Settings) -> None:
    async with serve(shared_settings) as instance:
        ticket = await (await instance.as_("gp")).made("/realtime-tickets")
        connection = dial(socket_url(instance.url))
        talk = await connection.__aenter__()
        await talk.say("authenticate", ticket=ticket["ticket"])
        await talk.hear("ready")
    assert await talk.hear("bye") == {"op": "bye", "code": 1012}
    assert await talk.close_code() == 1012
    await connection.__aexit__(None, None, None)
