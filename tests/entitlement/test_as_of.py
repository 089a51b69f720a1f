"""G12: who could see what is answered for every moment of the past, and a withdrawal does what its preview said.

The page's own interpreter says at each step what is open. The service is asked afterwards, as citizen, case manager
and member, about the instants of the steps, just before them and in between; and what was decided then is derived
again from what was kept.
"""

import asyncio
import json
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.access.vocabulary import Action
from app.cli.postgres import Urls
from app.core.errors import DomainError
from app.core.ids import CaseId
from app.entitlement.derivation import Change, rederive
from app.entitlement.permits import case_permit
from app.entitlement.previews import preview_withdrawal
from app.entitlement.replay import judge
from app.identity.service import enter
from tests.entitlement import naive
from tests.entitlement.household import Household, Terms
from tests.entitlement.naive import Interpreter, World
from tests.entitlement.region import Person, engine_of, open_region, session_on

Cells = dict[tuple[UUID, UUID, str, str], bool]
"""Engagement, patient, category and domain of each open cell, and whether it may be written."""

INSTANT = timedelta(microseconds=1)
VIEWERS = ("citizen", "son", "gp", "nurse", "social-worker", "poh")
MOMENTS_ASKED = 12


@dataclass
class History:
    """The rows at each instant at which something was changed, the last state of that instant alone."""

    instants: list[datetime]
    worlds: list[World]

    def note(self, at: datetime, world: World) -> None:
        """Keep the rows as they are now."""
        if self.instants and self.instants[-1] == at:
            self.worlds[-1] = world
        else:
            self.instants.append(at)
            self.worlds.append(world)

    def cells(self, at: datetime, household: Household) -> Cells:
        """Return what the page says was open at a moment, by the rows of that moment."""
        return cells_of(self.worlds[bisect_right(self.instants, at) - 1], at, household)

    def moments(self, now: datetime, chance: random.Random) -> list[datetime]:
        """Return some instants of changes, some just before one, some in between, and now."""
        found = [now, self.instants[0]]
        for before, after in zip(self.instants, [*self.instants[1:], now], strict=True):
            found += [after, max(before, after - INSTANT), before + (after - before) / 2]
        return chance.sample(found, min(MOMENTS_ASKED, len(found)))


def cells_of(world: World, at: datetime, household: Household) -> Cells:
    """Return every cell that the page's interpreter finds open."""
    opinion = Interpreter(world, at)
    return {
        (person.engagement_id, p.patient_id, p.category, p.domain): opening.write
        for person in household.region.people.values()
        for p in household.region.probes
        if (opening := opinion.cell(person.engagement_id, p.patient_id, p.category, p.domain, None)) is not None
    }


class Remembered(Household):
    """A household of which each state is remembered, and asked about once it is past."""

    engine: AsyncEngine
    asked = 0
    previewed = 0

    def __init__(self) -> None:
        super().__init__()
        self.history = History([], [])

    @invariant()
    def all_agree_on_every_cell(self) -> None:
        """Remember; what is open now is another test's."""
        if self.members:
            self.history.note(self.region.now, self.wait(self.look()))

    async def look(self) -> World:
        required = self.region.participation_required
        return await naive.look(self.region.root, self.region.case_id, participation_required=required)

    @rule(which=st.integers(0, 20))
    def withdraw(self, which: int) -> None:
        """Withdraw a consent, after looking ahead at what that changes."""
        if not self.consents:
            return
        consent = self.consents[which % len(self.consents)]
        foreseen = self.wait(self.preview(consent))
        before = cells_of(self.wait(self.look()), self.region.now, self)
        super().withdraw(which)
        after = cells_of(self.wait(self.look()), self.region.now, self)
        if foreseen is not None:
            assert foreseen == before.keys() - after.keys(), "the preview said otherwise"
            type(self).previewed += 1

    async def preview(self, consent_id: UUID) -> "set[tuple[UUID, UUID, str, str]] | None":
        """Return what the case manager is told that somebody would lose; None if the consent is not to be seen."""
        async with AsyncSession(self.engine) as db, db.begin():
            try:
                entered = await enter(db, self.region.people["gp"].session_id, self.region.now)
                permit = await case_permit(db, entered, Action.CONSENT_PREVIEW, "consent", consent_id)
            except DomainError:
                return None
            if not permit.standing.manages:
                return None
            return {
                (loss.engagement_id, loss.patient_id, str(category), str(domain))
                for loss in await preview_withdrawal(db, permit, consent_id)
                for category, domain in loss.cells
            }

    def teardown(self) -> None:
        """Ask about the past, once there is one."""
        if self.history.instants:
            self.ask_about_the_past()

    def ask_about_the_past(self) -> None:
        chance = random.Random(len(self.history.instants))
        for at in self.history.moments(self.region.now, chance):
            expected = self.history.cells(at, self)
            for key in VIEWERS:
                self.wait(self.compare_as_of(self.region.people[key], at, expected))
            self.wait(self.derive_again(at, expected))
            type(self).asked += 1

    async def compare_as_of(self, viewer: Person, at: datetime, expected: Cells) -> None:
        """Compare what somebody is told of a moment with what the page says was open then, as far as it is theirs."""
        app, case, me = self.region.app, self.region.case_id, viewer.engagement_id
        async with app.transaction():
            if await app.fetchrow("select * from enter($1, $2)", viewer.session_id, self.region.now) is None:
                return
            manages = await app.fetchval("select manages($1)", case)
            patients = self.region.patients
            own = {patient for patient in patients if await app.fetchval("select is_me($1)", patient)}
            # Who manages the case is not told of whoever keeps them away, nor of what was before that.
            away = {patient for patient in patients if await app.fetchval("select kept_away($1, $2)", case, patient)}
            rows = await app.fetch("select * from case_access($1, $2)", case, at)
        told: Cells = {}
        for row in rows:
            cell = (row["engagement_id"], row["patient_id"], row["category"], row["domain"])
            told[cell] = told.get(cell, False) or row["may_write"]
        theirs = {
            cell: write
            for cell, write in expected.items()
            if (manages and cell[1] not in away) or cell[1] in own or cell[0] == me
        }
        assert told == theirs, f"as of {at}, {viewer.key} is told otherwise: {_difference(told, theirs)}"

    async def derive_again(self, at: datetime, expected: Cells) -> None:
        """Make the decision of that moment again from what was kept of it."""
        root = self.region.root
        async with root.transaction():
            await root.execute("select set_config('app.role_class', 'auditor', true)")
            await root.execute("select set_config('app.instant', $1, true)", self.region.now.isoformat())
            kept = json.loads(await root.fetchval("select access_decision($1, $2)", self.region.case_id, at))
        decision = judge(kept, at)
        assert decision.reproduced is True
        opened = {(UUID(row[0]), UUID(row[1]), row[2], row[3]) for row in kept["grants"]}
        assert opened == expected.keys()


def _difference(told: Cells, expected: Cells) -> list[str]:
    keys = sorted((key for key in told.keys() | expected.keys() if told.get(key) != expected.get(key)), key=str)
    return [f"{key}: {told.get(key)}, not {expected.get(key)}" for key in keys[:5]]


@contextmanager
def remembering(urls: Urls) -> Iterator[type[Remembered]]:
    """Yield the machine on a region and an event loop of its own."""
    loop = asyncio.new_event_loop()
    region = loop.run_until_complete(open_region(urls))
    Remembered.loop, Remembered.region, Remembered.engine = loop, region, engine_of(urls.app)
    Remembered.asked = Remembered.previewed = 0
    try:
        yield Remembered
    finally:
        loop.run_until_complete(Remembered.engine.dispose())
        loop.run_until_complete(region.close())
        loop.close()


def run(machine: type[Remembered], *, examples: int, steps: int, chance: bool) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not chance,
            phases=[Phase.generate, Phase.shrink] if chance else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_past_is_told_as_it_was_and_derived_again(database: Urls) -> None:
    with remembering(database) as machine:
        run(machine, examples=6, steps=14, chance=False)
        assert machine.asked >= 25


def test_the_past_is_told_as_it_was_where_chance_seldom_comes(database: Urls) -> None:
    """Every kind of input begun, ended and lapsed, some at one instant; and withdrawals as their preview foresaw."""
    with remembering(database) as kind:
        machine = kind()
        machine.open(
            directly={"nurse", "specialist"}, others={"poh", "carer", "social-worker", "mother"}, alike=0, given=[]
        )
        worker, nurse = (("member", machine.position(key)) for key in ("social-worker", "nurse"))
        care = Terms(0, "lift_secrecy", {"care"}, {"functional_adl", "mental_health"}, True, 0, 0, 0, 30, [worker])
        steps: list[Callable[[], None]] = [
            lambda: machine.give(care),
            lambda: machine.time_passes(1, True),
            lambda: machine.open_for_one(0, "gp", "mental_health", 3),
            lambda: machine.exclude(0, "specialist"),
            lambda: machine.time_passes(1, True),
            lambda: machine.represent(1, "mother", ["medication", "education"], 5),
            lambda: machine.withhold(0, ["education"]),
            lambda: machine.say_no_to(0, "nurse", ["medication"]),
            lambda: machine.replace("nurse", "poh", 1, 6),
            lambda: machine.time_passes(1, False),
            lambda: machine.break_the_glass(0, "locum", True),
            lambda: machine.end_one(1),
            lambda: machine.record_task("social-worker", 0, "wmo2015", 0, 20),
            lambda: machine.time_passes(1, True),
            # Given and withdrawn at one instant: it never was.
            lambda: machine.give(Terms(0, "lift_secrecy", {"care"}, {"zrm"}, False, 0, 0, 0, None, [nurse, worker])),
            lambda: machine.withdraw(1),
            lambda: machine.time_passes(2, True),
            lambda: machine.withdraw(0),
            lambda: machine.time_passes(1, True),
            lambda: machine.suspend("gp", True),
            lambda: machine.time_passes(1, True),
            lambda: machine.suspend("gp", False),
            lambda: machine.leave_or_accept(machine.position("nurse"), "ended"),
            lambda: machine.time_passes(1, True),
            lambda: machine.die(0, True),
            lambda: machine.time_passes(24, True),
        ]
        for step in steps:
            step()
            machine.all_agree_on_every_cell()
        assert machine.previewed == 2
        for _ in range(3):
            machine.ask_about_the_past()
            machine.time_passes(1, True)


def test_whoever_entered_before_and_comes_after_takes_nothing_away(database: Urls) -> None:
    """Two transactions wait for one case: the one that entered first may derive last, at an earlier instant."""
    with remembering(database) as kind:
        machine = kind()
        machine.open(directly=set(), others={"social-worker"}, alike=0, given=[])
        worker = ("member", machine.position("social-worker"))
        entered_before = machine.region.now
        machine.skip(INSTANT)
        machine.give(Terms(0, "lift_secrecy", {"care"}, {"zrm"}, False, 0, 0, 0, None, [worker]))

        async def derive_late() -> Change:
            region = machine.region
            async with session_on(region.engine) as (raw, db):
                await raw.execute("set local role app")
                await raw.fetch("select * from enter($1, $2)", region.clerk.session_id, entered_before)
                return await rederive(db, CaseId(region.case_id), now=entered_before)

        change = machine.wait(derive_late())
        assert change.before == change.after
        assert change.drafts("consent-withdrawn") == []


@pytest.mark.nightly
def test_the_past_is_told_as_it_was_in_thousands_of_moments(database: Urls) -> None:
    with remembering(database) as machine:
        run(machine, examples=150, steps=30, chance=True)
        assert machine.asked >= 1_500
