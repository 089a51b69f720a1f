"""A household that members, consents, tasks, teams and time change, and what every fence says of its cells."""

import asyncio
import json
import random
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.access.actor import Actor
from app.access.policy import Cell, Entity, Standing, authorize
from app.access.vocabulary import Acr, Action, Category, Domain, Law, Role
from app.cli.postgres import Urls
from app.core.errors import Forbidden, NotFound
from app.core.ids import AccountId, EngagementId, LoginSessionId, PatientId
from app.entitlement.derivation import parse_inputs
from app.entitlement.grants import Grant
from app.entitlement.permits import parse_standing
from app.entitlement.rules import derive
from tests.entitlement import naive
from tests.entitlement.naive import CATEGORIES, DOMAINS, Interpreter, Opening
from tests.entitlement.region import (
    BOUNDS,
    CAST,
    LAYERS,
    ORGANISATIONS,
    TEAMS,
    Person,
    Probe,
    Region,
    Tried,
    audiences,
    open_household,
    open_region,
    sees,
    uuid4,
    writes,
)

T = TypeVar("T")
WRITES_TRIED_BLIND = 12

people = st.sampled_from(sorted(CAST))
bounds = st.sampled_from(BOUNDS)
hours = st.integers(0, 24)
durations = st.one_of(st.none(), st.integers(1, 48))
patients = st.integers(0, 1)
members = st.tuples(st.just("member"), st.integers(0, 20))
recipients = st.one_of(
    *(members, members, members),
    st.tuples(st.just("organisation"), st.sampled_from(sorted(ORGANISATIONS))),
    st.tuples(st.just("team"), st.sampled_from(TEAMS)),
    st.tuples(st.just("role"), st.sampled_from(sorted({person[0] for person in CAST.values()}))),
)


@dataclass(frozen=True)
class Terms:
    """What one consent says."""

    patient: int
    kind: str
    domains: set[str]
    categories: set[str]
    both_ways: bool
    bound: int
    since: int
    start: int
    lasts: int | None
    to: list[tuple[str, Any]]


COMMON = ("social_participation", "functional_adl", "mental_health", "finance_debt", "safety_meldcode")
some_categories = st.one_of(
    st.none(),
    st.lists(st.sampled_from((*COMMON, "identification", "medication")), min_size=1, max_size=3, unique=True),
)
SOCIAL_WORKERS = ("social-worker", "social-worker-2", "youth-consultant")
terms = st.builds(
    Terms,
    patient=st.integers(0, 1),
    kind=st.sampled_from(["lift_secrecy"] * 8 + ["gdpr_basis", "agree_to_help"]),
    domains=st.sets(st.one_of(st.just("care"), st.sampled_from(DOMAINS)), min_size=1, max_size=2),
    categories=st.sets(st.one_of(st.sampled_from(COMMON), st.sampled_from(CATEGORIES)), min_size=1, max_size=4),
    both_ways=st.booleans(),
    bound=bounds,
    since=bounds,
    start=st.one_of(st.just(0), hours),
    lasts=durations,
    to=st.lists(recipients, min_size=1, max_size=3),
)


class Household(RuleBasedStateMachine):
    """One case; every rule is one transaction or one jump of the clock."""

    region: Region
    thorough = False
    states = 0
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.members: list[UUID] = []
        self.seats: dict[str, UUID] = {}
        self.consents: list[UUID] = []
        self.tasks: list[UUID] = []
        self.replacements: list[UUID] = []
        self.representations: list[UUID] = []
        self.recorded: list[tuple[str, UUID]] = []
        self.joining: set[int] = set()
        self.before: dict[str, frozenset[tuple[CellKey, Opening]]] = {}

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def change(self, sql: str, *values: object, everywhere: bool = False) -> None:
        async def work(raw: "asyncpg.Connection[asyncpg.Record]") -> None:
            await raw.execute(sql, *values)

        self.wait(self.region.change(work, everywhere=everywhere))

    @initialize(
        directly=st.sets(people, max_size=3),
        others=st.sets(people, max_size=3),
        alike=bounds,
        given=st.lists(terms, max_size=3),
        joins=st.booleans(),
    )
    def open(self, directly: set[str], others: set[str], alike: int, given: list[Terms], joins: bool = False) -> None:
        self.wait(open_household(self.region))
        if joins:
            self.let_join(1)
        for key in ("citizen", "gp"):
            self.seat(key, True, "accepted", 0)
        for key in sorted((directly | others) - {"citizen", "gp"}):
            self.seat(key, key in directly, "accepted", alike)
        for agreed in given:
            self.give(agreed)

    # Members

    def seat(self, key: str, direct: bool, status: str, bound: int) -> None:
        member = uuid4()
        try:
            self.change(
                "insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history,"
                " history_from_seq, status, invited_at, decided_at)"
                " values ($1, $2, 'person', $3, 'deelnemer', $4, 'from-now', $5, $6, $7, $7)",
                self.region.case_id,
                member,
                self.region.people[key].engagement_id,
                direct,
                bound,
                status,
                self.region.now,
            )
        except asyncpg.UniqueViolationError:
            return
        self.members.append(member)
        self.seats[key] = member

    @rule(key=people, direct=st.booleans(), status=st.sampled_from(["accepted"] * 4 + ["invited"]), bound=bounds)
    def sit_down(self, key: str, direct: bool, status: str, bound: int) -> None:
        self.seat(key, direct, status, bound)

    @rule(
        organisation=st.sampled_from(sorted(ORGANISATIONS)),
        role=st.sampled_from(["gp", "poh", "social_team", "specialist"]),
        direct=st.booleans(),
        bound=bounds,
    )
    def seat_function(self, organisation: str, role: str, direct: bool, bound: int) -> None:
        self.members.append(uuid4())
        self.change(
            "insert into member (case_id, id, kind, organisation_id, function_role, case_role, direct_treatment,"
            " history, history_from_seq, status, invited_at, decided_at)"
            " values ($1, $2, 'function', $3, $4, 'waarnemer', $5, 'from-now', $6, 'accepted', $7, $7)",
            self.region.case_id,
            self.members[-1],
            self.region.organisations[organisation],
            role,
            direct,
            bound,
            self.region.now,
        )

    @rule(team=st.sampled_from(TEAMS), bound=bounds)
    def seat_team(self, team: str, bound: int) -> None:
        self.members.append(uuid4())
        self.change(
            "insert into member (case_id, id, kind, team_id, case_role, direct_treatment, history, history_from_seq,"
            " status, invited_at, decided_at) values ($1, $2, 'team', $3, 'deelnemer', true, 'from-now', $4,"
            " 'accepted', $5, $5)",
            self.region.case_id,
            self.members[-1],
            self.region.teams[team],
            bound,
            self.region.now,
        )

    @rule(team=st.sampled_from(TEAMS), key=people, start=hours, lasts=durations)
    def join_team(self, team: str, key: str, start: int, lasts: int | None) -> None:
        begins = self.region.now + timedelta(hours=start)
        self.change(
            "insert into team_member (team_id, engagement_id, valid_from, valid_until) values ($1, $2, $3, $4)"
            " on conflict do nothing",
            self.region.teams[team],
            self.region.people[key].engagement_id,
            begins,
            begins + timedelta(hours=lasts) if lasts else None,
        )

    @rule(which=st.integers(0, 20), ended=st.sampled_from(["ended", "accepted"]))
    def leave_or_accept(self, which: int, ended: str) -> None:
        """End a membership, or accept one that was only asked."""
        self.change(
            "update member set status = 'ended', ended_at = $3 where case_id = $1 and id = $2"
            " and status in ('invited', 'accepted')"
            if ended == "ended"
            else "update member set status = 'accepted', decided_at = $3 where case_id = $1 and id = $2"
            " and status = 'invited'",
            self.region.case_id,
            self.members[which % len(self.members)],
            self.region.now,
        )

    def position(self, key: str) -> int:
        """Return which member somebody is, seating them first if need be."""
        if key not in self.seats:
            self.seat(key, False, "accepted", 0)
        return self.members.index(self.seats[key])

    # Consents

    @rule(agreed=terms)
    def consent(self, agreed: Terms) -> None:
        self.give(agreed)

    @rule(patient=patients, lasts=durations)
    def agree_to_help(self, patient: int, lasts: int | None) -> None:
        """Agree to being helped like this, which lifts nobody's secrecy."""
        self.give(Terms(patient, "agree_to_help", {"care"}, {"zrm"}, False, 0, 0, 0, lasts, [("member", 0)]))

    def give(self, agreed: Terms) -> None:
        region, consent = self.region, uuid4()
        # Whoever joins is there from then on; what begins later counts from the next derivation after that.
        joins = agreed.patient in self.joining and agreed.kind == "agree_to_help"
        begins = region.now + timedelta(hours=0 if joins else agreed.start)
        rows = [self.recipient(ordinal, *one) for ordinal, one in enumerate(agreed.to)]

        async def work(raw: "asyncpg.Connection[asyncpg.Record]") -> None:
            gp = region.people["gp"]
            await raw.execute(
                "insert into consent (case_id, id, patient_id, kind, status, from_domains, categories, both_ways,"
                " history, history_from_seq, threads_from_seq, purpose, regime, capacity, decided_by, decided_at,"
                " method, text_version, text_sha256, recorded_by_account_id, recorded_by_engagement_id, recorded_at,"
                " valid_from, valid_until)"
                " values ($1, $2, $3, $4, 'active', $5, $6, $7, 'from-now', $8, $14, 'CAREMGT', 'wgbo', 'capable',"
                " 'patient', $9, 'oral_recorded', 'nl-2026-1', repeat('0', 64), $10, $11, $9, $12, $13)",
                *(region.case_id, consent, region.patients[agreed.patient], agreed.kind, sorted(agreed.domains)),
                *(sorted(agreed.categories), agreed.both_ways, agreed.bound, region.now, gp.account_id),
                *(gp.engagement_id, begins, begins + timedelta(hours=agreed.lasts) if agreed.lasts else None),
                agreed.since,
            )
            await raw.executemany(
                "insert into consent_recipient (case_id, consent_id, ordinal, type, recipient_id, role)"
                " values ($1, $2, $3, $4, $5, $6)",
                [(region.case_id, consent, *row) for row in rows],
            )

        self.wait(region.change(work))
        self.consents.append(consent)

    def recipient(self, ordinal: int, type_: str, value: Any) -> tuple[int, str, UUID | None, str | None]:
        match type_:
            case "member":
                return ordinal, type_, self.members[value % len(self.members)], None
            case "organisation":
                return ordinal, type_, self.region.organisations[value], None
            case "team":
                return ordinal, type_, self.region.teams[value], None
            case _:
                return ordinal, type_, None, value

    def let_join(self, patient: int) -> None:
        """Let somebody be there by a consent of their own, and as long as one is in force."""
        self.joining.add(patient)
        self.change(
            "update subject set by_consent = true where case_id = $1 and patient_id = $2",
            *(self.region.case_id, self.region.patients[patient]),
        )

    @rule(which=st.integers(0, 20))
    def withdraw(self, which: int) -> None:
        if self.consents:
            self.change(
                "update consent set status = 'withdrawn', withdrawn_at = $3 where case_id = $1 and id = $2"
                " and status = 'active'",
                self.region.case_id,
                self.consents[which % len(self.consents)],
                self.region.now,
            )

    # Who is in force, and who stands in

    @rule(key=people, suspended=st.booleans())
    def suspend(self, key: str, suspended: bool) -> None:
        self.change(
            "update engagement set suspended_at = $2 where id = $1",
            self.region.people[key].engagement_id,
            self.region.now if suspended else None,
        )

    @rule(key=people, lasts=durations)
    def confirm(self, key: str, lasts: int | None) -> None:
        """Say until when an engagement is confirmed; nobody need do anything for it to run out."""
        self.change(
            "update engagement set confirmed_until = $2 where id = $1",
            self.region.people[key].engagement_id,
            self.region.now + timedelta(hours=lasts) if lasts else None,
        )

    @rule(which=st.sampled_from(sorted(ORGANISATIONS)), status=st.sampled_from(["active", "suspended"]))
    def suspend_organisation(self, which: str, status: str) -> None:
        self.change("update organisation set status = $2 where id = $1", self.region.organisations[which], status)

    @rule(which=st.sampled_from(TEAMS), status=st.sampled_from(["active", "suspended"]))
    def suspend_team(self, which: str, status: str) -> None:
        self.change("update team set status = $2 where id = $1", self.region.teams[which], status)

    @rule(key=people, status=st.sampled_from(["active", "suspended"]))
    def suspend_account(self, key: str, status: str) -> None:
        self.change("update account set status = $2 where id = $1", self.region.people[key].account_id, status)

    @rule(replaced=people, substitute=people, start=st.one_of(st.just(0), hours), lasts=st.integers(1, 48))
    def replace(self, replaced: str, substitute: str, start: int, lasts: int) -> None:
        """Let somebody stand in for anybody, which use cases allow among peers only."""
        region, begins = self.region, self.region.now + timedelta(hours=start)
        replacement = uuid4()
        try:
            self.change(
                "insert into replacement (id, replaced_engagement_id, substitute_engagement_id, kind, valid_from,"
                " valid_until, started_by_engagement_id, created_at) values ($1, $2, $3, 'deputy', $4, $5, $2, $6)",
                replacement,
                region.people[replaced].engagement_id,
                region.people[substitute].engagement_id,
                begins,
                begins + timedelta(hours=lasts),
                region.now,
            )
        except (asyncpg.ExclusionViolationError, asyncpg.CheckViolationError):
            return  # there is one in that time already, or it would be oneself
        self.replacements.append(replacement)

    @rule(which=st.integers(0, 20))
    def call_off(self, which: int) -> None:
        if self.replacements:
            self.change(
                "update replacement set cancelled_at = $2 where id = $1 and cancelled_at is null",
                self.replacements[which % len(self.replacements)],
                self.region.now,
            )

    # What the citizen says no to, what is opened, who represents, emergencies and death

    @rule(patient=patients, key=people, elsewhere=st.booleans())
    def exclude(self, patient: int, key: str, elsewhere: bool = False) -> None:
        """Exclude somebody here, or in a case about the same person elsewhere."""
        account = self.region.people[key].account_id
        with suppress(asyncpg.UniqueViolationError):
            self.record("exclusion", patient, elsewhere=elsewhere, account_id=account)

    @rule(patient=patients, key=people, categories=some_categories)
    def say_no_to(self, patient: int, key: str, categories: list[str] | None) -> None:
        self.record("objection", patient, member_id=self.seat_of(key), categories=categories)

    @rule(patient=patients, key=people, category=st.sampled_from(sorted(naive.OPENED_FOR_ONE)), lasts=durations)
    def open_for_one(self, patient: int, key: str, category: str, lasts: int | None) -> None:
        until = self.region.now + timedelta(hours=lasts) if lasts else None
        values = {"category": category, "reason_sealed": b"x", "valid_until": until}
        self.record("opening", patient, member_id=self.seat_of(key), **values)

    @rule(
        patient=patients, key=st.sampled_from(["mother", "mother", "carer"]), scope=some_categories, lasts=durations
    )
    def represent(self, patient: int, key: str, scope: list[str] | None, lasts: int | None) -> None:
        """Record somebody's say for a patient; for whoever is no representative it is worth nothing."""
        values = {
            "engagement_id": self.region.people[key].engagement_id,
            "kind": "mentor",
            "evidence": "x",
            "scope": scope,
            "capacity_lost": True,
            "valid_from": self.region.now,
            "valid_until": self.region.now + timedelta(hours=lasts) if lasts else None,
        }
        self.representations.append(self.record("representation", patient, member_id=self.seat_of(key), **values))

    @rule(which=st.integers(0, 20), categories=some_categories)
    def withhold(self, which: int, categories: list[str] | None) -> None:
        if self.representations:
            representation = self.representations[which % len(self.representations)]
            values = {"representation_id": representation, "categories": categories, "reason_sealed": b"x"}
            self.record("withholding", None, **values)

    @rule(which=st.integers(0, 20))
    def end_one(self, which: int) -> None:
        """End one of the recorded things."""
        if self.recorded:
            table, row = self.recorded[which % len(self.recorded)]
            self.change(
                f"update {table} set ended_at = $2 where id = $1 and ended_at is null",
                *(row, self.region.now),
                everywhere=table == "exclusion",
            )

    @rule(patient=patients, key=people, life_threatening=st.booleans())
    def break_the_glass(self, patient: int, key: str, life_threatening: bool) -> None:
        region, member = self.region, self.seats.get(key)
        until = region.now + timedelta(minutes=60)
        if member is None:
            member = uuid4()
            try:
                self.change(
                    "insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history,"
                    " history_from_seq, status, invited_at, decided_at, seated_until)"
                    " values ($1, $2, 'emergency', $3, 'deelnemer', false, 'all', 0, 'accepted', $4, $4, $5)",
                    *(region.case_id, member, region.people[key].engagement_id, region.now, until),
                )
            except asyncpg.UniqueViolationError:
                return  # there by an earlier emergency, whose seat nobody ended yet
        values = {"life_threatening": life_threatening, "valid_from": region.now, "valid_until": until}
        self.record("emergency_access", patient, member_id=member, **values)

    @rule()
    def sweep(self) -> None:
        """End the seats of emergencies that ran out and mark consents expired, as the sweeper does in passing."""

        async def work(raw: "asyncpg.Connection[asyncpg.Record]") -> None:
            await raw.execute("select set_config('app.instant', $1, true)", self.region.now.isoformat())
            await raw.execute("select end_lapsed_seats($1)", self.region.case_id)
            await raw.execute("select expire_consents($1)", self.region.case_id)

        self.wait(self.region.change(work))

    @rule(patient=patients, died=st.sampled_from([True, True, False]))
    def die(self, patient: int, died: bool) -> None:
        """Record a death, or take it back."""
        self.change(
            "update subject set died_on = $3, died_at = $4, death_recorded_by_engagement_id = $5"
            " where case_id = $1 and patient_id = $2",
            *(self.region.case_id, self.region.patients[patient]),
            *(
                (self.region.now.date(), self.region.now, self.region.people["gp"].engagement_id)
                if died
                else (None,) * 3
            ),
        )

    # Threads that wait

    @rule(patient=patients, category=st.sampled_from((*COMMON, "identification", "medication")), wait=hours)
    def hold_back(self, patient: int, category: str, wait: int) -> None:
        """Hold back the threads of a category that are not released yet."""
        self.change(
            "update thread set opened_at = $3, release_at = $4, release_reason = 'other',"
            " release_reason_sealed = 'x' where case_id = $1 and patient_id = $2 and category = $5"
            " and released_seq is null",
            *(self.region.case_id, self.region.patients[patient], self.region.now),
            *(self.region.now + timedelta(hours=wait), category),
        )

    @rule(early=st.booleans(), at=st.sampled_from([1, 1500, 2500]))
    def release(self, early: bool, at: int) -> None:
        """Release what is due, or everything that waits, and tell of it at a position among the events."""
        self.change(
            "update thread set release_at = least(release_at, $2), released_seq = $3 where case_id = $1"
            " and release_at is not null and released_seq is null and ($4 or release_at <= $2)",
            *(self.region.case_id, self.region.now, at, early),
        )

    def seat_of(self, key: str) -> UUID:
        return self.members[self.position(key)]

    def record(self, table: str, patient: int | None, **values: object) -> UUID:
        """Record something of the case, or where ``elsewhere`` says so of the other one; return its id."""
        region, row, gp, elsewhere = self.region, uuid4(), self.region.people["gp"], values.pop("elsewhere", False)
        case, registered = (region.elsewhere, region.known_as) if elsewhere else (region.case_id, region.patients)
        values |= {"case_id": case, "id": row, "recorded_at": region.now}
        values |= {"recorded_by_account_id": gp.account_id, "recorded_by_engagement_id": gp.engagement_id}
        if patient is not None:
            values["patient_id"] = registered[patient]
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        sql = f"insert into {table} ({', '.join(values)}) values ({places})"
        self.change(sql, *values.values(), everywhere=table == "exclusion")
        self.recorded.append((table, row))
        return row

    @rule(required=st.booleans())
    def ask_for_participation(self, required: bool) -> None:
        """Switch whether the deployment asks citizens to agree to taking part at all."""
        self.wait(self.region.require_participation(required))
        self.change("update case_head set dirty = true where case_id = $1", self.region.case_id)

    # Public tasks and time

    @rule(
        whose=st.sampled_from(SOCIAL_WORKERS),
        which=st.integers(0, 20),
        law=st.sampled_from(["wmo2015", *sorted(naive.LAWS)]),
        start=st.one_of(st.just(0), hours),
        lasts=durations,
    )
    def record_task(self, whose: str, which: int, law: str, start: int, lasts: int | None) -> None:
        """Record a task for a social worker who sits there, or else for anybody."""
        region = self.region
        member = self.seats.get(whose, self.members[which % len(self.members)])
        begins = region.now + timedelta(hours=start)
        self.tasks.append(uuid4())
        self.change(
            "insert into public_task (case_id, id, member_id, law, valid_from, valid_until,"
            " recorded_by_engagement_id, recorded_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
            *(region.case_id, self.tasks[-1], member, law, begins),
            begins + timedelta(hours=lasts) if lasts else None,
            *(region.people["gp"].engagement_id, region.now),
        )

    @rule(which=st.integers(0, 20))
    def end_task(self, which: int) -> None:
        if self.tasks:
            self.change(
                "update public_task set valid_until = greatest($3, valid_from + interval '1 microsecond')"
                " where case_id = $1 and id = $2",
                self.region.case_id,
                self.tasks[which % len(self.tasks)],
                self.region.now,
            )

    @rule(by=st.one_of(st.integers(1, 24), st.sampled_from([48])), exactly=st.booleans())
    def time_passes(self, by: int, exactly: bool) -> None:
        """Nobody derives: what time closes is closed by the same rows."""
        self.region.now += timedelta(hours=by) if exactly else timedelta(hours=by) - timedelta(microseconds=1)

    def skip(self, by: timedelta) -> None:
        """Pass on by hand."""
        self.region.now += by

    # Agreement

    @invariant()
    def all_agree_on_every_cell(self) -> None:
        if self.members:
            Household.states += 1
            self.wait(self.compare())

    async def compare(self) -> None:
        region = self.region
        required = region.participation_required
        world = await naive.look(region.root, region.case_id, participation_required=required)
        opinion = Interpreter(world, region.now)
        expected = {
            (person.engagement_id, p.patient_id, p.category, p.domain): opening
            for person in region.people.values()
            for p in region.probes
            if (opening := opinion.cell(person.engagement_id, p.patient_id, p.category, p.domain, p.opened_seq))
            is not None
        }
        await region.root.execute("select set_config('app.instant', $1, false)", region.now.isoformat())
        inputs = json.loads(await region.root.fetchval("select grant_inputs($1)", region.case_id))
        derived = derive(parse_inputs(inputs), now=region.now)
        same(_of_grants(derived, region), expected, "the rules")
        stored = await region.root.fetch(
            "select engagement_id, patient_id, category, domain, may_write, visible_from_seq, threads_from_seq"
            " from access_grant"
            " where case_id = $1 and valid_from <= $2 and (valid_until is null or valid_until > $2)",
            region.case_id,
            region.now,
        )
        same(_of_rows([tuple(row) for row in stored], region), expected, "the stored grants")
        heard = await audiences(region)
        for person in self.worth_asking(expected):
            await self.compare_with_database(person, expected, opinion, heard)

    def worth_asking(self, expected: "dict[CellKey, Opening]") -> list[Person]:
        """Return whom to compare through the database: everybody, or in the short run whose cells just changed."""
        now = {
            person.key: frozenset((key, one) for key, one in expected.items() if key[0] == person.engagement_id)
            for person in self.region.people.values()
        }
        changed = {key for key, cells in now.items() if self.before.get(key, frozenset()) != cells}
        self.before = now
        lucky = set(random.Random(self.states).sample(sorted(now), 1))
        return [one for one in self.region.people.values() if self.thorough or one.key in changed | lucky]

    async def compare_with_database(
        self,
        person: Person,
        expected: "dict[CellKey, Opening]",
        opinion: Interpreter,
        heard: dict[int, set[UUID]],
    ) -> None:
        region, me = self.region, person.engagement_id
        held = {p.thread_id: expected.get((me, p.patient_id, p.category, p.domain)) for p in region.probes}
        mine = {thread: opening if opinion.shown(me, thread) else None for thread, opening in held.items()}
        told = {seq for seq, audience in heard.items() if me in audience}
        assert told == {
            layer + number
            for layer in LAYERS
            for number, p in enumerate(region.probes, start=1)
            if (opening := held[p.thread_id]) is not None
            and opening.from_seq <= layer + number
            and opinion.hears(me, p.thread_id, layer + number)
        }, f"role stream and the page disagree on what {person.key} hears"
        events = {
            layer + number
            for layer in LAYERS
            for number, p in enumerate(region.probes, start=1)
            if (opening := mine[p.thread_id]) is not None and opening.from_seq <= layer + number
        }
        seen = await sees(region, person)
        if seen is None:
            assert not events, f"{person.key} holds cells without a session"
            return
        assert seen.threads == {thread for thread, opening in mine.items() if opening}, f"threads of {person.key}"
        assert seen.events == events, f"events of {person.key}"
        open_ = [p for p in region.probes if opinion.cell(me, p.patient_id, p.category, p.domain, None) is not None]
        named = {p.patient_id for p in open_ if p.category == "identification"}
        account = {p for p in region.patients if opinion.world.patients[p]["account_id"] == person.account_id}
        assert seen.patients == named | account, f"patients of {person.key}"
        contacts = any(p.category == "contact_network" for p in open_)
        own = {m["id"] for m in opinion.world.members if m["engagement_id"] == me}
        assert seen.members == ({m["id"] for m in opinion.world.members} if contacts else own)
        self.compare_with_policy(person, mine, seen.standing, opinion)
        await self.compare_writes(person, mine, opinion)

    def compare_with_policy(
        self, person: Person, mine: dict[UUID, Opening | None], found: Any, opinion: Interpreter
    ) -> None:
        standing = parse_standing(json.loads(found))
        actor = _actor(person, opinion)
        # The policy knows members who are persons; whoever is there as a function or a team has no standing yet.
        seated = any(m["kind"] in ("person", "emergency") for m in opinion.seats_of(person.engagement_id)) or any(
            opinion.for_others(person.engagement_id, p.patient_id, p.category, p.domain) for p in self.region.probes
        )
        for p in self.region.probes:
            opening = mine[p.thread_id] if seated else None
            cell = Cell(PatientId(p.patient_id), Category(p.category), Domain(p.domain))
            until = opinion.world.threads[p.thread_id]["release_at"]
            entity = Entity(cell, opened_seq=p.opened_seq, held_until=until)
            verdicts = tuple(
                _verdict(actor, action, standing, entity, self.region)
                for action in (Action.THREAD_READ, Action.MESSAGE_POST)
            )
            wanted = ("no", "no") if opening is None else ("yes", "yes" if opening.write else "read-only")
            assert verdicts == wanted, f"the policy on {person.key} in {p.category}, {p.domain}"

    async def compare_writes(self, person: Person, mine: dict[UUID, Opening | None], opinion: Interpreter) -> None:
        me, probes = person.engagement_id, self.region.probes
        may = [p for p in probes if (one := mine[p.thread_id]) is not None and one.write]
        openable = [p for p in probes if opinion.open_thread(me, p.patient_id, p.category, p.domain)]
        opening = Tried(openable, self.some_without(openable))
        posting = Tried(may, self.some_without(may))
        opened, corrected, posted = await writes(self.region, person, opening, posting)
        assert corrected == posting.expected, f"writes of {person.key} as app"
        assert posted == posting.expected, f"writes of {person.key} as appender"
        assert opened == opening.expected, f"threads opened by {person.key}"

    def some_without(self, sure: list[Probe]) -> list[Probe]:
        """Return some cells beside these, to be refused, others in each state; all of them when thorough."""
        taken = {p.thread_id for p in sure}
        others = [p for p in self.region.probes if p.thread_id not in taken]
        if self.thorough:
            return others
        return random.Random(self.states).sample(others, min(WRITES_TRIED_BLIND, len(others)))


CellKey = tuple[UUID, UUID, str, str]


def _of_grants(grants: "frozenset[Grant]", region: Region) -> dict[CellKey, Opening]:
    return _of_rows(
        [
            (
                *(g.engagement_id, g.patient_id, str(g.category), str(g.domain)),
                *(g.may_write, g.visible_from_seq, g.threads_from_seq),
            )
            for g in grants
            if g.period.holds(region.now)
        ],
        region,
    )


def _of_rows(rows: list[tuple[Any, ...]], region: Region) -> dict[CellKey, Opening]:
    """Return what grants open in the threads there are, one in each cell."""
    opened = {(p.patient_id, p.category, p.domain): p.opened_seq for p in region.probes}
    found: dict[CellKey, Opening] = {}
    for engagement, patient, category, domain, write, from_seq, threads_from in rows:
        key = (engagement, patient, category, domain)
        if opened[key[1:]] < threads_from:
            continue
        before = found.get(key, Opening(False, from_seq))
        found[key] = Opening(before.write or write, min(before.from_seq, from_seq))
    return found


def same(found: dict[CellKey, Opening], expected: dict[CellKey, Opening], whose: str) -> None:
    assert found == expected, f"{whose} and the page disagree: {_difference(found, expected)}"


def _difference(found: dict[CellKey, Opening], expected: dict[CellKey, Opening]) -> list[str]:
    keys = sorted((key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)), key=str)
    return [f"{key}: {found.get(key)}, not {expected.get(key)}" for key in keys[:5]]


def _actor(person: Person, opinion: Interpreter) -> Actor:
    engagement = opinion.world.engagements[person.engagement_id]
    return Actor(
        account_id=AccountId(person.account_id),
        engagement_id=EngagementId(person.engagement_id),
        organisation_id=engagement["organisation_id"],
        role=Role(person.role),
        speciality=None,
        domain=Domain(engagement["domain"]) if engagement["domain"] else None,
        law=Law(engagement["law"]) if engagement["law"] else None,
        responsible_account_id=None,
        login_session_id=LoginSessionId(person.session_id),
        acr=Acr.DEMO,
        authenticated_at=opinion.now,
    )


def _verdict(actor: Actor, action: Action, standing: Standing, entity: Entity, region: Region) -> str:
    try:
        authorize(actor, action, replace(standing, entity=entity), now=region.now)
    except NotFound:
        return "no"
    except Forbidden:
        return "read-only"
    return "yes"


@contextmanager
def opened(urls: Urls, *, thorough: bool) -> Iterator[Household]:
    """Yield a machine on a region and an event loop of its own."""
    loop = asyncio.new_event_loop()
    region = loop.run_until_complete(open_region(urls))
    Household.loop, Household.region, Household.thorough, Household.states = loop, region, thorough, 0
    try:
        yield Household()
    finally:
        loop.run_until_complete(region.close())
        loop.close()


def run(urls: Urls, *, examples: int, steps: int, chance: bool, thorough: bool = False) -> int:
    """Run the machine, by chance or always the same way; return how many states were compared."""
    with opened(urls, thorough=thorough):
        run_state_machine_as_test(
            Household,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=not chance,
                phases=[Phase.generate, Phase.shrink] if chance else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    return Household.states
