"""Silent, not stale: what sockets hear when the worker or its database falls behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from uuid import UUID

import pytest

from app.realtime import lease
from app.realtime.hub import Hub
from app.realtime.lease import LEASE_SECONDS, Leases
from tests.realtime.conftest import Alarms
from tests.realtime.scripted import (
    CASE,
    MEDICATION,
    Ear,
    World,
    appended,
    engagement,
    hub_over,
    join,
    quiet,
    until,
)


class Time:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(lease, "time", made)
    return made


@pytest.fixture
def world() -> World:
    made = World()
    made.give(engagement(1), MEDICATION)
    made.give(engagement(2), MEDICATION)
    return made


class Leased(Ear):
    """A listener that speaks only under its worker's lease."""

    def __init__(self, number: int, leases: Leases, session: int = 0) -> None:
        super().__init__(number, session)
        self.outbox._leased = leases.held
        leases.admit(self)


def parts(world: World) -> tuple[Hub, Leases]:
    hub = hub_over(world)
    return hub, Leases(cast("Any", world), hub)


async def test_a_lease_ends_five_seconds_after_the_start_of_its_last_renewal(world: World, time: Time) -> None:
    _, leases = parts(world)
    assert not leases.held()
    world.gates = {"lease": asyncio.Event()}
    renewing = asyncio.create_task(leases.renew())
    await quiet()
    time.now += 3
    world.gates["lease"].set()
    await renewing
    assert leases.held()
    time.now += LEASE_SECONDS - 3 - 0.001
    assert leases.held()
    time.now += 0.001
    assert not leases.held()


async def test_an_answer_that_comes_too_late_renews_nothing(world: World, time: Time) -> None:
    hub, leases = parts(world)
    await leases.renew()
    ear = Leased(1, leases)
    await join(hub, world, ear)
    time.now += LEASE_SECONDS
    world.gates = {"lease": asyncio.Event()}
    renewing = asyncio.create_task(leases.renew())
    await quiet()
    time.now += LEASE_SECONDS
    world.gates["lease"].set()
    await renewing
    assert not leases.held()
    assert [frame["op"] for frame in ear.frames] == ["joined", "paused"]


async def test_without_a_lease_nothing_of_a_case_is_said_and_afterwards_all_of_it_in_order(
    world: World, time: Time
) -> None:
    hub, leases = parts(world)
    await leases.renew()
    ear = Leased(1, leases)
    await join(hub, world, ear)
    time.now += LEASE_SECONDS
    for text in ("one", "two"):
        hub.deliver([appended(world, MEDICATION, text, hub.listeners(CASE))])
    assert not ear.texts
    await leases.renew()
    hub.deliver([appended(world, MEDICATION, "three", hub.listeners(CASE))])
    assert [frame["op"] for frame in ear.frames] == ["joined", "paused", "resumed", *["event"] * 3]
    assert ear.texts == ["one", "two", "three"]


async def test_a_lapse_too_short_to_be_watched_leaves_nothing_waiting(world: World, time: Time) -> None:
    hub, leases = parts(world)
    await leases.renew()
    ear = Leased(1, leases)
    await join(hub, world, ear)
    time.now += LEASE_SECONDS
    hub.deliver([appended(world, MEDICATION, "meanwhile", hub.listeners(CASE))])
    await leases.renew()
    assert ear.texts == ["meanwhile"]


async def test_what_waited_is_told_only_after_what_happened_meanwhile_was_heard(world: World, time: Time) -> None:
    hub, leases = parts(world)
    await leases.renew()
    one, two = Leased(1, leases), Leased(2, leases)
    for ear in (one, two):
        await join(hub, world, ear)
    time.now += LEASE_SECONDS
    hub.deliver([appended(world, MEDICATION, "before", hub.listeners(CASE))])
    world.give(engagement(2), why="consent-withdrawn")
    world.post(MEDICATION, "after")
    await leases.renew()
    assert one.texts == ["before", "after"]
    assert two.texts == ["access.changed"]
    assert [frame["op"] for frame in two.frames] == ["joined", "paused", "narrowed", "resumed", "event"]


@pytest.mark.parametrize("what", ["lease", "after", "fresh"])
async def test_sockets_stay_silent_while_rights_cannot_be_looked_at(world: World, time: Time, what: str) -> None:
    hub, leases = parts(world)
    await leases.renew()
    ear = Leased(2, leases)
    await join(hub, world, ear)
    time.now += LEASE_SECONDS
    world.give(engagement(2), why="consent-withdrawn")
    world.failing = {what}
    with pytest.raises(OSError, match=what):
        await leases.renew()
    assert not leases.held()
    assert "resumed" not in [frame["op"] for frame in ear.frames]
    world.failing.clear()
    await leases.renew()
    assert [frame["op"] for frame in ear.frames][-2:] == ["resumed", "event"]


async def test_a_failed_renewal_within_the_lease_changes_nothing(world: World, time: Time) -> None:
    hub, leases = parts(world)
    await leases.renew()
    ear = Leased(1, leases)
    await join(hub, world, ear)
    world.failing = {"lease"}
    time.now += LEASE_SECONDS - 1
    with pytest.raises(OSError, match="lease"):
        await leases.renew()
    hub.deliver([appended(world, MEDICATION, "heard", hub.listeners(CASE))])
    assert ear.texts == ["heard"]
    assert [frame["op"] for frame in ear.frames] == ["joined", "event"]


async def test_who_comes_while_the_worker_is_silent_is_told_so(world: World, time: Time) -> None:
    _, leases = parts(world)
    await leases.renew()
    time.now += LEASE_SECONDS
    world.failing = {"lease"}
    with suppress(OSError):
        await leases.renew()
    async with running(leases):
        await until(lambda: bool(Leased(1, leases).frames))
    late = Leased(1, leases)
    assert late.frames == [{"op": "paused", "why": "database"}]
    world.failing.clear()
    await leases.renew()
    assert late.frames[-1] == {"op": "resumed"}


async def test_a_hint_that_was_lost_costs_one_renewal(world: World, time: Time) -> None:
    hub, leases = parts(world)
    await leases.renew()
    ear = Leased(1, leases)
    await join(hub, world, ear)
    world.post(MEDICATION, "elsewhere")
    await quiet()
    assert not ear.texts
    await leases.renew()
    await quiet()
    assert ear.texts == ["elsewhere"]


async def test_the_sockets_of_an_ended_session_are_closed_and_no_others(world: World, time: Time) -> None:
    _, leases = parts(world)
    ears = [Leased(number, leases, session=number % 2) for number in range(4)]
    world.ended = {UUID(int=1)}
    await leases.renew()
    assert [ear.ended for ear in ears] == [False, True, False, True]
    leases.dismiss(ears[0])
    leases.end_sessions([UUID(int=0)])
    assert [ear.ended for ear in ears] == [False, True, True, True]


@asynccontextmanager
async def running(leases: Leases) -> AsyncIterator[None]:
    task = asyncio.create_task(leases.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_the_watch_says_that_the_lease_ran_out_and_the_next_renewal_that_it_is_back(
    world: World, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    _, leases = parts(world)
    await leases.renew()
    ear = Leased(1, leases)

    def said(count: int) -> Callable[[], bool]:
        return lambda: len(ear.frames) == count

    async with running(leases):
        for round_ in range(3):
            world.failing = {"lease"}
            time.now += LEASE_SECONDS
            await until(said(2 * round_ + 1))
            world.failing.clear()
            await until(said(2 * round_ + 2))
    assert [frame["op"] for frame in ear.frames] == ["paused", "resumed"] * 3


async def test_renewing_goes_on_whatever_fails(
    world: World, time: Time, monkeypatch: pytest.MonkeyPatch, alarms: Alarms
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    hub, leases = parts(world)
    calls = 0

    def broken() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise KeyError("unforeseen")

    monkeypatch.setattr(hub, "expire", broken)
    async with running(leases):
        await until(lambda: calls >= 3)
    assert alarms.taken() == ["lease.broken"] * 2
