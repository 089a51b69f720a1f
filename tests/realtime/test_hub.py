"""The hub against looks that fail, lag and overtake each other."""

import asyncio
from dataclasses import replace

import pytest

from app.realtime.hub import GO_LIVE_EVENTS_MAX
from app.realtime.outbox import OUTBOX_FRAMES_MAX
from app.realtime.room import LONG_AGO
from tests.realtime.conftest import Alarms
from tests.realtime.scripted import (
    CASE,
    CONTACTS,
    MEDICATION,
    SOCIAL,
    Ear,
    World,
    appended,
    engagement,
    hub_over,
    join,
    quiet,
    until,
)


@pytest.fixture
def world() -> World:
    made = World()
    made.give(engagement(1), MEDICATION, SOCIAL, CONTACTS)
    made.give(engagement(2), MEDICATION)
    return made


async def test_a_newcomer_hears_what_is_appended_while_it_joins_once_and_in_order(world: World) -> None:
    hub, first, second = hub_over(world), Ear(1), Ear(2)
    await join(hub, world, first)
    for what in ("permit", "after", "people"):
        world.gates = {what: asyncio.Event()}
        joining = asyncio.create_task(join(hub, world, second))
        await quiet()
        batch = [appended(world, MEDICATION, f"during {what}", hub.listeners(CASE))]
        hub.deliver(batch)
        await quiet()
        world.gates.pop(what).set()
        await joining
        await quiet()
        hub.deliver([appended(world, MEDICATION, f"after {what}", hub.listeners(CASE))])
        await quiet()
        assert second.texts[-1] == f"after {what}"
        assert len(second.texts) in {1, 2}
        second.frames.clear()
    assert first.texts == [f"{when} {what}" for what in ("permit", "after", "people") for when in ("during", "after")]
    assert [frame["n"] for frame in first.told("event")] == list(range(1, 7))


@pytest.mark.parametrize("what", ["permit", "head", "fresh", "people"])
async def test_a_join_that_fails_leaves_nothing_behind(world: World, what: str) -> None:
    hub, ear = hub_over(world), Ear(1)
    world.failing = {what}
    with pytest.raises(OSError, match=what):
        await join(hub, world, ear)
    assert not ear.seats
    assert not list(hub.listeners(CASE))
    hub.expire()
    assert not hub.rooms
    world.failing.clear()
    await join(hub, world, ear)
    assert ear.told("joined")


@pytest.mark.parametrize("what", ["permit", "after", "head", "people"])
async def test_joining_again_in_vain_keeps_the_seat_one_had(world: World, what: str) -> None:
    hub, ear = hub_over(world), Ear(1)
    await join(hub, world, ear)
    world.failing = {what}
    with pytest.raises(OSError, match=what):
        await join(hub, world, ear)
    world.failing.clear()
    world.post(MEDICATION, "still here")
    hub.moved([CASE])
    await quiet()
    assert ear.texts == ["still here"]


async def test_a_listener_gone_in_the_middle_of_a_join_is_not_seated(world: World) -> None:
    hub, ear = hub_over(world), Ear(1)
    world.gates = {"people": asyncio.Event()}
    joining = asyncio.create_task(join(hub, world, ear))
    await quiet()
    ear.gone(hub)
    world.gates["people"].set()
    await joining
    assert not list(hub.listeners(CASE))
    assert not ear.frames


async def test_a_room_is_not_let_go_of_under_somebody_who_waits_for_it(world: World) -> None:
    hub, first, second = hub_over(world), Ear(1), Ear(2)
    world.gates = {"people": asyncio.Event()}
    joining = [asyncio.create_task(join(hub, world, ear)) for ear in (first, second)]
    await quiet()
    first.gone(hub)
    world.gates["people"].set()
    while not joining[0].done():
        await asyncio.sleep(0)
        hub.expire()
    await asyncio.gather(*joining)
    world.post(MEDICATION, "heard")
    hub.moved([CASE])
    await quiet()
    assert second.texts == ["heard"]


async def test_nobody_is_seated_by_a_permission_from_before_the_last_change(world: World) -> None:
    hub, ear = hub_over(world), Ear(2)
    world.gates = {"permit": asyncio.Event()}
    joining = asyncio.create_task(join(hub, world, ear))
    await quiet()
    world.give(engagement(2), why="membership-ended")
    world.seated.discard(engagement(2))
    world.gates["permit"].set()
    with pytest.raises(LookupError):
        await joining
    assert not list(hub.listeners(CASE))


async def test_a_change_that_is_told_half_way_is_told_once(world: World) -> None:
    world.append("thread.opened", SOCIAL, text="Titel")
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    world.give(engagement(2), MEDICATION, SOCIAL)
    world.post(SOCIAL, "later")
    world.failing = {"openings"}
    hub.moved([CASE])
    await quiet()
    assert not ear.told("event")
    world.failing.clear()
    hub.moved([CASE])
    await quiet()
    assert ear.texts == ["access.changed", "thread.opened", "later"]
    assert [frame["n"] for frame in ear.told("event")] == [1, 2, 3]


async def test_what_came_before_a_gain_is_not_news_however_late_the_worker_looks(world: World) -> None:
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    world.post(SOCIAL, "before")
    world.give(engagement(2), MEDICATION, SOCIAL)
    world.post(SOCIAL, "after")
    hub.moved([CASE])
    await quiet()
    assert ear.texts == ["access.changed", "after"]


async def test_after_a_loss_nothing_waits_any_more(world: World) -> None:
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    ear.room = 0
    for text in ("one", "two"):
        world.post(MEDICATION, text)
    hub.moved([CASE])
    await quiet()
    world.give(engagement(2), why="consent-withdrawn")
    world.post(MEDICATION, "three")
    hub.moved([CASE])
    await quiet()
    ear.take(100)
    told = [frame["op"] for frame in ear.frames[1:]]
    assert told == ["narrowed", "event"]
    assert ear.texts == ["access.changed"]


async def test_what_concerns_the_network_goes_to_who_still_sees_it(world: World) -> None:
    hub, ear = hub_over(world), Ear(1)
    await join(hub, world, ear)
    ear.room = 0
    world.append(
        "member.invited",
        category=CONTACTS.category,
        domain=CONTACTS.domain,
        data={"memberId": "m", "engagementId": str(engagement(3))},
    )
    hub.moved([CASE])
    await quiet()
    world.give(engagement(1), MEDICATION, why="consent-withdrawn")
    hub.moved([CASE])
    await quiet()
    ear.take(100)
    assert ear.texts == ["access.changed"]


async def test_a_local_message_after_a_gap_waits_for_the_gap(world: World) -> None:
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    world.post(MEDICATION, "elsewhere")
    hub.deliver([appended(world, MEDICATION, "here", hub.listeners(CASE))])
    assert not ear.texts
    await quiet()
    assert ear.texts == ["elsewhere", "here"]


async def test_a_local_message_of_a_newer_version_waits_for_the_change(world: World) -> None:
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    batch = [appended(world, MEDICATION, "before", hub.listeners(CASE))]
    world.give(engagement(2), why="consent-withdrawn")
    batch += [appended(world, MEDICATION, "late", hub.listeners(CASE))]
    hub.deliver(batch[:1])
    hub.deliver(batch[1:])
    await quiet()
    assert ear.texts == ["before", "access.changed"]


async def test_who_leaves_during_a_look_is_no_disagreement(world: World, alarms: Alarms) -> None:
    hub, first, second = hub_over(world), Ear(1), Ear(2)
    await join(hub, world, first)
    await join(hub, world, second)
    world.post(MEDICATION, "x")
    world.gates = {"people": asyncio.Event()}
    hub.moved([CASE])
    await quiet()
    second.gone(hub)
    world.gates.pop("people").set()
    await quiet()
    assert first.texts == ["x"]
    assert not alarms


async def test_what_policy_and_database_disagree_on_is_an_alarm_and_not_told(world: World, alarms: Alarms) -> None:
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    world.holdings[engagement(2)] = ()
    world.post(MEDICATION, "x")
    hub.moved([CASE])
    await quiet()
    assert not ear.texts
    assert alarms.taken() == ["access.disagreement"]


async def test_an_author_s_copy_names_its_own_id_on_either_way(world: World) -> None:
    hub, author, other = hub_over(world), Ear(1), Ear(2)
    await join(hub, world, author)
    await join(hub, world, other)
    await quiet()
    for number in range(3):
        batch = [appended(world, MEDICATION, f"m{number}", hub.listeners(CASE))]
        hub.expect(batch[0].event_id, f"c{number}")
        if number == 0:
            hub.deliver(batch)
        elif number == 1:
            hub.moved([CASE])
            await quiet()
            hub.deliver(batch)
        else:
            world.post(MEDICATION, "gap")
            hub.deliver([appended(world, MEDICATION, "next", hub.listeners(CASE))])
            await quiet()
            hub.deliver(batch)
        await quiet()
    own = {frame["data"]["text"]: frame["data"].get("clientId") for frame in author.told("event")}
    assert own == {"m0": "c0", "m1": "c1", "m2": "c2", "gap": None, "next": None}
    assert author.texts == other.texts == ["m0", "m1", "m2", "gap", "next"]
    assert not [frame for frame in other.told("event") if "clientId" in frame["data"]]


@pytest.mark.parametrize("count", [1, GO_LIVE_EVENTS_MAX, GO_LIVE_EVENTS_MAX + 1, 256, 257, 3 * OUTBOX_FRAMES_MAX])
async def test_however_much_was_missed_a_slow_peer_is_told_all_of_it_in_order(world: World, count: int) -> None:
    hub, ear = hub_over(world), Ear(2)
    cursor = str(len(world.events))
    for number in range(count):
        world.post(MEDICATION, str(number))
        world.post(SOCIAL, "hidden")
    ear.room = 3
    joining = asyncio.create_task(join(hub, world, ear, cursor))
    live = 0
    while not joining.done() or live < 30:
        await quiet(20)
        if live < 30:
            batch = [appended(world, MEDICATION, f"live {live}", hub.listeners(CASE))]
            hub.deliver(batch)
            live += 1
        ear.take(40)
    await quiet()
    ear.take(1000)
    assert ear.texts == [*(str(number) for number in range(count)), *(f"live {number}" for number in range(30))]
    assert [frame["n"] for frame in ear.told("event")] == list(range(1, count + 31))
    assert ear.frames[0]["op"] == "joined"
    assert ear.frames[0]["recovered"] is True
    assert not ear.overflowed


async def test_what_is_lost_while_a_peer_catches_up_is_not_told_any_more(world: World) -> None:
    hub, ear = hub_over(world), Ear(2)
    cursor = str(len(world.events))
    for number in range(100):
        world.post(MEDICATION, str(number))
    ear.room = 11
    joining = asyncio.create_task(join(hub, world, ear, cursor))
    await quiet()
    world.give(engagement(2), why="consent-withdrawn")
    hub.moved([CASE])
    await quiet()
    ear.take(1000)
    await joining
    assert ear.texts == [*(str(number) for number in range(10)), "access.changed"]
    assert [frame["op"] for frame in ear.frames if frame["op"] != "event"] == ["joined", "narrowed"]


async def test_a_resume_goes_on_when_the_database_is_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.realtime.hub.RESUME_RETRY_SECONDS", 0)
    hub, ear = hub_over(world), Ear(2)
    cursor = str(len(world.events))
    world.post(MEDICATION, "missed")
    await join(hub, world, Ear(1))
    world.failing = {"people"}
    world.gates = {"people": asyncio.Event()}
    joining = asyncio.create_task(join(hub, world, ear, cursor))
    await quiet()
    world.failing.clear()
    world.gates.pop("people").set()
    await quiet()
    world.failing = {"after"}
    await quiet()
    world.failing.clear()
    await joining
    assert ear.texts == ["missed"]


async def test_a_thread_gained_while_away_is_told_of_once(world: World) -> None:
    world.append("thread.opened", SOCIAL, text="Vroeg")
    hub, ear = hub_over(world), Ear(2)
    cursor = str(len(world.events))
    world.append("thread.opened", SOCIAL, text="Laat")
    world.give(engagement(2), MEDICATION, SOCIAL)
    world.post(SOCIAL, "hallo")
    await join(hub, world, ear, cursor)
    told = [(frame["type"], frame["data"].get("title", frame["data"].get("text"))) for frame in ear.told("event")]
    assert told == [
        ("thread.opened", "Laat"),
        ("access.changed", None),
        ("thread.opened", "Vroeg"),
        ("message.posted", "hallo"),
    ]


async def test_who_is_cut_off_amid_what_opened_comes_back_for_the_rest(world: World) -> None:
    for number in range(4):
        world.append("thread.opened", SOCIAL, text=f"T{number}")
        world.append("thread.opened", CONTACTS, text="hidden")
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    world.post(MEDICATION, "before")
    world.give(engagement(2), MEDICATION, SOCIAL)
    world.append("thread.opened", SOCIAL, text="T4")
    world.post(SOCIAL, "after")
    hub.moved([CASE])
    await quiet()

    def told(ear: Ear) -> list[str]:
        return [f["data"].get("title", f["data"].get("text", f["type"])) for f in ear.told("event")]

    whole = told(ear)
    assert whole == ["before", "access.changed", "T0", "T1", "T2", "T3", "T4", "after"]
    for at, frame in enumerate(ear.told("event"), 1):
        again = Ear(2)
        await join(hub, world, again, frame["cursor"])
        assert told(again) == whole[at:]
        assert again.frames[0]["cursor"] == frame["cursor"]
        assert again.frames[0]["recovered"] is True
        for later, rest in enumerate(again.told("event"), 1):
            once_more = Ear(2)
            await join(hub, world, once_more, rest["cursor"])
            assert told(once_more) == whole[at + later :]


@pytest.mark.parametrize(("cursor", "recovered"), [("0", True), ("2", True), ("3", False), ("x", False), ("", False)])
async def test_a_cursor_that_cannot_be_honoured_is_said_so(world: World, cursor: str, recovered: bool) -> None:
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear, cursor)
    assert ear.frames[0]["recovered"] is recovered
    assert ear.frames[0]["cursor"] == (cursor if recovered else "2")


async def test_time_closes_at_once_but_opens_with_the_event_alone(world: World) -> None:
    hub, ear = hub_over(world), Ear(2)
    await join(hub, world, ear)
    seat = ear.seats[CASE]
    held, world.holdings[engagement(2)] = world.holdings[engagement(2)], ()
    room = hub.rooms[CASE]
    turned = (world.at,)
    room.snapshot, room.lapsed_at = replace(world.snapshot(), turns=turned), LONG_AGO
    hub.expire()
    assert not seat.cells
    world.holdings[engagement(2)] = held
    room.snapshot, room.lapsed_at = replace(world.snapshot(), turns=turned), LONG_AGO
    hub.expire()
    assert not seat.cells


async def test_many_who_come_and_go_are_told_of_once_things_settle(world: World) -> None:
    hub, watcher = hub_over(world), Ear(1)
    await join(hub, world, watcher)
    for number in range(3, 60):
        world.seated.add(engagement(number))
    ears = [Ear(number) for number in range(3, 60)]
    await asyncio.gather(*(join(hub, world, ear) for ear in ears))
    for ear in ears:
        ear.gone(hub)
    await until(lambda: bool(watcher.told("presence")))
    assert [len(frame["members"]) for frame in watcher.told("presence")] == [1]
    hub.expire()
    assert list(hub.rooms) == [CASE]
