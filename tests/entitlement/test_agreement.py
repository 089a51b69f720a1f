"""G8: the pure rules, the stored grants, row-level security of every role, the policy and a naive interpreter of the
page agree on every cell, in every state that members, consents, tasks, teams and time can bring a household into."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from app.cli.postgres import Urls
from tests.entitlement.household import Terms, opened, run
from tests.entitlement.naive import DOMAINS


def test_rules_grants_database_and_policy_agree_with_the_page(database: Urls) -> None:
    assert run(database, examples=8, steps=27, chance=False) >= 200


def test_they_agree_where_chance_seldom_comes(database: Urls) -> None:
    """A walk past the corners of the page, the last instants of periods among them."""
    with opened(database, thorough=False) as machine:
        machine.open(
            directly={"nurse", "specialist", "youth-specialist"}, others={"poh", "carer"}, alike=1000, given=[]
        )
        worker, locum, son = (("member", machine.position(key)) for key in ("social-worker", "locum", "son"))
        care = Terms(0, "lift_secrecy", {"care"}, {"functional_adl"}, True, 0, 2000, 0, None, [worker])
        instant = timedelta(microseconds=1)
        steps: list[Callable[[], None]] = [
            lambda: machine.give(care),
            # From the recipient's own domain as well: that takes nothing from the others.
            lambda: machine.give(replace(care, domains={"care", "social"}, categories={"crisis_plan"})),
            # Between two of one domain: nobody's need-to-know table is widened.
            lambda: machine.give(replace(care, categories={"plan_goals_actions"}, to=[locum])),
            # To somebody who holds the category by consent alone, and so takes part in what comes back.
            lambda: machine.give(replace(care, categories={"mental_health"}, to=[locum])),
            lambda: machine.give(replace(care, categories={"mental_health"}, to=[worker])),
            # To another citizen of the household, by name and by role.
            lambda: machine.give(replace(care, categories={"medication"}, to=[son])),
            lambda: machine.give(replace(care, categories={"zrm"}, to=[("role", "citizen")], both_ways=False)),
            lambda: machine.give(replace(care, categories={"safety_meldcode"}, domains=set(DOMAINS))),
            lambda: machine.record_task("social-worker", 0, "jeugdwet", 0, None),
            lambda: machine.record_task("social-worker", 0, "wmo2015", 1, 2),
            # Periods: a consent of two hours that starts in one, a team joined for three.
            lambda: machine.give(replace(care, categories={"education"}, start=1, lasts=2)),
            lambda: machine.seat_team("nazareth", 2000),
            lambda: machine.join_team("nazareth", "volunteer", 1, 2),
            lambda: machine.give(replace(care, categories={"addiction"}, to=[("member", len(machine.members) - 1)])),
            lambda: machine.suspend_team("nazareth", "suspended"),
            lambda: machine.suspend_team("nazareth", "active"),
            # Somebody stands in for the nurse, and for the citizen, which is worth nothing; and again later on.
            lambda: machine.replace("nurse", "poh", 0, 1),
            lambda: machine.replace("citizen", "son", 0, 2),
            lambda: machine.replace("social-worker", "social-worker-2", 1, 2),
            # Nobody stands in for a substitute.
            lambda: machine.replace("poh", "volunteer", 0, 2),
            # Without the GP the POH is worth nothing, and what it was given by others neither.
            lambda: machine.suspend("gp", True),
            lambda: machine.suspend("gp", False),
            lambda: machine.confirm("gp", 3),
            lambda: machine.suspend_organisation("municipality", "suspended"),
            lambda: machine.suspend_organisation("municipality", "active"),
            lambda: machine.suspend_account("specialist", "suspended"),
            lambda: machine.confirm("specialist", 1),
            lambda: machine.suspend_account("specialist", "active"),
            # What is not about secrecy lifts none.
            lambda: machine.give(replace(care, kind="agree_to_help", categories={"work_income"})),
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            *(lambda: machine.time_passes(2, False), lambda: machine.skip(instant)),
            lambda: machine.withdraw(0),
            lambda: machine.call_off(2),
            lambda: machine.leave_or_accept(machine.position("locum"), "ended"),
            *(lambda: machine.time_passes(44, False), lambda: machine.skip(instant)),
            # A mother for her son: part of it for an hour, then all of it, then all but what is withheld.
            lambda: machine.represent(1, "mother", ["medication", "safety_meldcode"], 1),
            lambda: machine.represent(1, "mother", None, None),
            lambda: machine.withhold(1, ["medication", "identification"]),
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            lambda: machine.withhold(1, None),
            # Opened for one, objected to in part and in all, and who stands in meets the same.
            lambda: machine.open_for_one(0, "nurse", "advance_care_planning", None),
            lambda: machine.open_for_one(0, "specialist", "mental_health", 1),
            lambda: machine.open_for_one(0, "social-worker", "mental_health", None),
            lambda: machine.say_no_to(0, "specialist", ["mental_health", "identification"]),
            lambda: machine.replace("nurse", "poh", 0, 5),
            lambda: machine.say_no_to(0, "nurse", None),
            # Excluded: the one replaced, then the substitute, then a recipient of consents, then the citizen's own.
            lambda: machine.exclude(0, "gp"),
            lambda: machine.replace("gp", "locum", 0, 5),
            lambda: machine.exclude(1, "poh", elsewhere=True),
            lambda: machine.exclude(0, "nurse", elsewhere=True),
            lambda: machine.end_one(len(machine.recorded) - 1),
            lambda: machine.exclude(0, "social-worker"),
            lambda: machine.exclude(0, "citizen"),
            # Emergencies: of somebody excluded, of a stranger, of a member; a threatened life alone gets past.
            lambda: machine.break_the_glass(0, "gp", False),
            lambda: machine.break_the_glass(0, "gp", True),
            lambda: machine.break_the_glass(1, "locum", False),
            lambda: machine.give(replace(care, patient=1, categories={"zrm"}, to=[("organisation", "locums")])),
            lambda: machine.end_one(len(machine.recorded) - 1),
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            # The deployment asks citizens to agree to taking part: strangers to the opener wait for that, for a time.
            lambda: machine.ask_for_participation(True),
            lambda: machine.give(replace(care, kind="agree_to_help", categories={"zrm"}, lasts=1)),
            lambda: machine.give(replace(care, kind="agree_to_help", categories={"zrm"}, start=2)),
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            lambda: machine.withdraw(len(machine.consents) - 1),
            lambda: machine.ask_for_participation(False),
            # What waits is for professionals alone: until its moment, to the microsecond, or until it is released.
            lambda: machine.give(replace(care, categories={"medication"}, to=[("role", "informal_carer")])),
            lambda: machine.hold_back(0, "medication", 1),
            lambda: machine.hold_back(1, "medication", 24),
            lambda: machine.hold_back(0, "identification", 24),
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            lambda: machine.release(False, 1500),
            lambda: machine.release(True, 2500),
            # Somebody joins by consent, for an hour, again, and no longer; not even an emergency is about them then.
            lambda: machine.let_join(1),
            lambda: machine.break_the_glass(1, "volunteer", True),
            lambda: machine.agree_to_help(1, 1),
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            lambda: machine.agree_to_help(1, None),
            lambda: machine.break_the_glass(1, "volunteer", True),
            machine.sweep,
            *(lambda: machine.time_passes(1, False), lambda: machine.skip(instant)),
            machine.sweep,
            lambda: machine.withdraw(len(machine.consents) - 1),
            lambda: machine.agree_to_help(1, None),
            # A death, taken back, and recorded again: thirty days on nobody is left.
            lambda: machine.give(replace(care, categories={"education"}, to=[("role", "informal_carer")])),
            lambda: machine.die(0, True),
            lambda: machine.die(0, False),
            lambda: machine.die(0, True),
            lambda: machine.die(1, True),
            *(lambda: machine.time_passes(30 * 24, False), lambda: machine.skip(instant)),
        ]
        for step in steps:
            step()
            machine.all_agree_on_every_cell()


@pytest.mark.nightly
def test_they_agree_in_ten_thousand_states(database: Urls) -> None:
    assert run(database, examples=350, steps=30, chance=True) >= 10_000
