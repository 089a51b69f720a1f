"""A second opinion on DESIGN 5, written from its prose alone: slow, plain, one moment and one cell at a time.

It shares nothing with ``app.entitlement.rules`` or ``app.access``: categories, tables and grounds are spelled out
again from the page, and it reads the database's tables itself. What is uncertain in the prose is said in place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

Row = Mapping[str, Any]

DOMAINS = ("care", "youth", "social")


def words(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


CATEGORIES = words(
    "medical_summary medication mental_health addiction functional_adl advance_care_planning crisis_plan"
    " youth_development education living_situation social_participation finance_debt work_income identification"
    " contact_network practical_coordination plan_goals_actions mdo_report positive_health zrm safety_meldcode"
)

# "gp, poh: W on all categories except …"; W includes R
CLOSED_TO_PRACTICE = words("mental_health addiction advance_care_planning finance_debt work_income safety_meldcode")
NOT_FOR_SPECIALITY = {one: words("youth_development education") for one in ("somatiek", "ggz")}
NURSE_WRITES = words(
    "medication functional_adl living_situation practical_coordination plan_goals_actions positive_health"
)
NURSE_READS = words("medical_summary social_participation crisis_plan mdo_report")
SPECIALIST_WRITES = words("medical_summary medication")
SPECIALIST_READS = words("functional_adl plan_goals_actions practical_coordination mdo_report")

OPENED_FOR_ONE = {  # closed unless opened for that member; the page leaves open who then writes, the policy says
    "mental_health": words("gp poh specialist"),
    "addiction": words("gp poh specialist"),
    "advance_care_planning": words("gp poh specialist district_nurse"),
}
# "the configured emergency subset" is the committed policy's
EMERGENCY = words(
    "medical_summary medication advance_care_planning crisis_plan identification contact_network"
    " practical_coordination"
)

# "table law → categories" is all the page says; these are the committed policy's
_PLAN = "plan_goals_actions practical_coordination "
LAWS = {
    "wmo2015": words(_PLAN + "functional_adl living_situation social_participation positive_health zrm"),
    "jeugdwet": words(_PLAN + "youth_development education living_situation"),
    "participatiewet": words(_PLAN + "social_participation"),
    "wgs": words(_PLAN),
}


@dataclass
class World:
    """Every row that a right may rest on."""

    case: Row
    engagements: dict[UUID, Row]
    accounts: dict[UUID, Row]
    organisations: dict[UUID, Row]
    teams: dict[UUID, Row]
    replacements: list[Row]
    team_members: list[Row]
    patients: dict[UUID, Row]
    subjects: list[Row]
    members: list[Row]
    tasks: list[Row]
    consents: list[Row]
    recipients: list[Row]
    representations: list[Row]
    withholdings: list[Row]
    exclusions: list[Row]
    objections: list[Row]
    openings: list[Row]
    emergencies: list[Row]
    threads: dict[UUID, Row]
    participation_required: bool


async def look(
    connection: "asyncpg.Connection[asyncpg.Record]", case_id: UUID, *, participation_required: bool = False
) -> World:
    """Read the rows of one case, and of everybody, past row-level security."""

    async def rows(sql: str, *values: object) -> list[Row]:
        return [dict(row) for row in await connection.fetch(sql, *values)]

    return World(
        case=(await rows("select * from care_case where id = $1", case_id))[0],
        engagements={row["id"]: row for row in await rows("select * from engagement")},
        accounts={row["id"]: row for row in await rows("select id, status from account")},
        organisations={row["id"]: row for row in await rows("select id, status from organisation")},
        teams={row["id"]: row for row in await rows("select id, status from team")},
        replacements=await rows("select * from replacement"),
        team_members=await rows("select * from team_member"),
        patients={row["id"]: row for row in await rows("select id, account_id, bsn_link_index from patient")},
        subjects=await rows("select * from subject where case_id = $1", case_id),
        members=await rows("select * from member where case_id = $1", case_id),
        tasks=await rows("select * from public_task where case_id = $1", case_id),
        consents=await rows("select * from consent where case_id = $1", case_id),
        recipients=await rows("select * from consent_recipient where case_id = $1", case_id),
        representations=await rows("select * from representation where case_id = $1", case_id),
        withholdings=await rows("select * from withholding where case_id = $1", case_id),
        exclusions=await rows("select * from exclusion"),  # of whoever, in whatever case
        objections=await rows("select * from objection where case_id = $1", case_id),
        openings=await rows("select * from opening where case_id = $1", case_id),
        emergencies=await rows("select * from emergency_access where case_id = $1", case_id),
        threads={row["id"]: row for row in await rows("select * from thread where case_id = $1", case_id)},
        participation_required=participation_required,
    )


def during(row: Row, now: datetime) -> bool:
    """Half-open, both ends."""
    if now < row["valid_from"]:
        return False
    return row["valid_until"] is None or now < row["valid_until"]


@dataclass(frozen=True)
class Opening:
    """One reason why a cell is open: may it be written, from where on, and in threads opened from where on."""

    write: bool
    from_seq: int
    threads_from: int = 0


@dataclass
class Interpreter:
    """Answers for one case at one moment."""

    world: World
    now: datetime
    _kept: dict[tuple[object, ...], Any] = field(default_factory=dict)
    _seats: dict[UUID, list[Row]] = field(default_factory=dict)
    _openings: dict[tuple[UUID, UUID, str, str], list[Opening]] = field(default_factory=dict)

    # Who sits at the table

    def seats_of(self, engagement_id: UUID) -> list[Row]:
        """Return the accepted memberships behind which this engagement stands now."""
        seats = self._seats.get(engagement_id)
        if seats is None:
            self._seats[engagement_id] = seats = list(self._seats_of(engagement_id))
        return seats

    def _seats_of(self, engagement_id: UUID) -> Iterator[Row]:
        engagement = self.world.engagements[engagement_id]
        if not self.in_force(engagement_id):
            return
        for member in self.world.members:
            if member["status"] != "accepted" or self.now < member["decided_at"]:
                continue
            if member["seated_until"] is not None and self.now >= member["seated_until"]:
                continue
            if (
                (member["kind"] in ("person", "emergency") and member["engagement_id"] == engagement_id)
                or (
                    member["kind"] == "function"
                    and engagement["organisation_id"] == member["organisation_id"]
                    and engagement["role"] == member["function_role"]
                )
                or (member["kind"] == "team" and self.in_team(engagement_id, member["team_id"]))
            ):
                yield member

    def in_force(self, engagement_id: UUID) -> bool:
        """Whether an engagement counts now: its own, its account's and its organisation's state, and its principal's.

        A POH works under a GP, and is worth nothing while that GP is not.
        """
        engagement = self.world.engagements[engagement_id]
        organisation = self.world.organisations.get(engagement["organisation_id"])
        fine = (
            during(engagement, self.now)
            and engagement["suspended_at"] is None
            and (engagement["confirmed_until"] is None or self.now < engagement["confirmed_until"])
            and self.world.accounts[engagement["account_id"]]["status"] == "active"
            and (organisation is None or organisation["status"] != "suspended")
        )
        if fine and engagement["role"] == "poh":
            principal = engagement["responsible_engagement_id"]
            return principal is not None and self.in_force(principal)
        return fine

    def in_team(self, engagement_id: UUID, team_id: UUID) -> bool:
        """Whether somebody is in a team now."""
        return any(
            row["team_id"] == team_id and row["engagement_id"] == engagement_id and during(row, self.now)
            for row in self.world.team_members
            if self.world.teams[team_id]["status"] != "suspended"
        )

    # Grounds

    def subject(self, engagement_id: UUID, patient_id: UUID, category: str) -> Iterator[Opening]:
        """Everything about oneself, in every domain, except safety_meldcode; to the citizen, or a representative."""
        engagement = self.world.engagements[engagement_id]
        if category == "safety_meldcode":
            return
        if (
            self.seats_of(engagement_id)
            and engagement["role"] == "citizen"
            and engagement["account_id"] == self.world.patients[patient_id]["account_id"]
        ):
            yield Opening(write=True, from_seq=0)  # "everything": one's own file has no beginning
        if engagement["role"] != "representative":
            return
        for member in self.seats_of(engagement_id):
            for row in self.standing(self.world.representations, patient_id, member_id=member["id"]):
                in_scope = row["scope"] is None or category in row["scope"]
                if during(row, self.now) and in_scope and not self.withheld(row, category):
                    yield Opening(write=True, from_seq=0)

    def withheld(self, representation: Row, category: str) -> bool:
        """Whether a category is withheld from a representative, with a reason."""
        return any(
            row["representation_id"] == representation["id"]
            and row["ended_at"] is None
            and (row["categories"] is None or category in row["categories"])
            for row in self.world.withholdings
        )

    def standing(self, rows: list[Row], patient_id: UUID, **others: object) -> Iterator[Row]:
        """Yield the rows about this patient, and whoever else is named, that nobody ended."""
        wanted = {"patient_id": patient_id, "ended_at": None, **others}
        return (row for row in rows if all(row[name] == value for name, value in wanted.items()))

    def direct_treatment(
        self, engagement_id: UUID, patient_id: UUID, category: str, domain: str
    ) -> Iterator[Opening]:
        """Care engagements marked directly involved, per profession the need-to-know table; never a social one.

        What is closed may be opened for one member; what the citizen objects to for one member is closed.
        """
        engagement = self.world.engagements[engagement_id]
        if engagement["domain"] == "social" or engagement["domain"] != domain:
            return
        match engagement["role"]:
            case "gp" | "poh":
                closed = CLOSED_TO_PRACTICE + NOT_FOR_SPECIALITY.get(engagement["speciality"], [])
                reads = writes = [each for each in CATEGORIES if each not in closed]
            case "district_nurse":
                reads, writes = NURSE_READS + NURSE_WRITES, NURSE_WRITES
            case "specialist":
                reads, writes = SPECIALIST_READS + SPECIALIST_WRITES, SPECIALIST_WRITES
            case _:
                return
        for member in self.seats_of(engagement_id):
            if not member["direct_treatment"] or self.objected(patient_id, member, category):
                continue
            if category in reads:
                yield Opening(write=category in writes, from_seq=member["history_from_seq"])
            for row in self.standing(self.world.openings, patient_id, member_id=member["id"], category=category):
                if row["valid_until"] is None or self.now < row["valid_until"]:
                    may_write = engagement["role"] in OPENED_FOR_ONE[category]
                    yield Opening(may_write, from_seq=member["history_from_seq"])

    def objected(self, patient_id: UUID, member: Row, category: str) -> bool:
        """Whether the citizen objects to this member seeing this by treatment."""
        return any(
            row["categories"] is None or category in row["categories"]
            for row in self.standing(self.world.objections, patient_id, member_id=member["id"])
        )

    def emergency(self, engagement_id: UUID, patient_id: UUID, category: str) -> Iterator[Opening]:
        """The emergency subset, to who broke the glass, read only; an exclusion gives way to a threatened life."""
        account = self.world.engagements[engagement_id]["account_id"]
        for member in self.seats_of(engagement_id):
            for row in self.standing(self.world.emergencies, patient_id, member_id=member["id"]):
                excluded = self.excluded(account, patient_id) and not row["life_threatening"]
                if during(row, self.now) and category in EMERGENCY and not excluded:
                    yield Opening(write=False, from_seq=0)

    def takes_part(self, engagement_id: UUID, patient_id: UUID) -> bool:
        """Whether the citizen agreed to take part, which the organisation that opened the case need not wait for."""
        if not self.world.participation_required:
            return True
        organisation = self.world.engagements[engagement_id]["organisation_id"]
        home = organisation is not None and organisation == self.world.case["organisation_id"]
        return home or self.agreed_to_help(patient_id)

    def joins(self, patient_id: UUID) -> bool:
        """Whether the case is about somebody now: "joining the household case needs that member's consent" (R-14)."""
        subject = next(row for row in self.world.subjects if row["patient_id"] == patient_id)
        return not subject["by_consent"] or self.agreed_to_help(patient_id)

    def agreed_to_help(self, patient_id: UUID) -> bool:
        """Whether a consent to being helped like this is in force."""
        return any(
            consent["kind"] == "agree_to_help"
            and consent["patient_id"] == patient_id
            and consent["withdrawn_at"] is None
            and during(consent, self.now)
            for consent in self.world.consents
        )

    def excluded(self, account_id: UUID, patient_id: UUID) -> bool:
        """Whether the citizen said: not this one; anywhere, for "an exclusion of a named person wins"."""
        return any(
            row["account_id"] == account_id
            and row["ended_at"] is None
            and self.same_person(row["patient_id"], patient_id)
            for row in self.world.exclusions
        )

    def same_person(self, one: UUID, other: UUID) -> bool:
        """Whether two registrations are of one person: by the number that everybody has but once."""
        number = self.world.patients[one]["bsn_link_index"]
        return one == other or (number is not None and number == self.world.patients[other]["bsn_link_index"])

    def over(self, engagement_id: UUID, patient_id: UUID) -> bool:
        """Whether death closed it: one's own people's at once, professionals' after a round of 30 days."""
        died_at = next(row["died_at"] for row in self.world.subjects if row["patient_id"] == patient_id)
        if died_at is None:
            return False
        role = self.world.engagements[engagement_id]["role"]
        if role in ("citizen", "representative", "informal_carer"):
            return bool(self.now >= died_at)
        return bool(self.now >= died_at + timedelta(days=30))

    def public_task(self, engagement_id: UUID, category: str, domain: str) -> Iterator[Opening]:
        """Domain social, per law, where that task was recorded for that member; membership alone gives no cell.

        "of the municipality responsible on that date" is not read: nothing records which one that is.
        """
        engagement = self.world.engagements[engagement_id]
        if domain != "social" or category in {"finance_debt", "work_income", "safety_meldcode"}:
            return
        if engagement["role"] != "social_team":
            return
        for member in self.seats_of(engagement_id):
            for task in self.world.tasks:
                if (
                    task["member_id"] == member["id"]
                    and during(task, self.now)
                    and task["law"] == engagement["law"]
                    and category in LAWS[task["law"]]
                ):
                    yield Opening(write=True, from_seq=member["history_from_seq"])

    def lifted(self, patient_id: UUID, category: str) -> Iterator[Row]:
        """Yield the consents in force of this subject that lift secrecy of this category."""
        for consent in self.world.consents:
            if (
                consent["kind"] == "lift_secrecy"
                and consent["patient_id"] == patient_id
                and category in consent["categories"]
                and category != "safety_meldcode"
                and consent["withdrawn_at"] is None
                and consent["recorded_at"] <= self.now
                and during(consent, self.now)
            ):
                yield consent

    def is_recipient(self, consent: Row, engagement_id: UUID, member: Row) -> bool:
        """Whether this accepted member is, or falls under, a recipient; who came by emergency never is."""
        if member["kind"] == "emergency":
            return False
        engagement = self.world.engagements[engagement_id]
        for recipient in self.world.recipients:
            if recipient["consent_id"] != consent["id"]:
                continue
            match recipient["type"]:
                case "member":
                    named = recipient["recipient_id"] == member["id"]
                case "organisation":
                    named = recipient["recipient_id"] == engagement["organisation_id"]
                case "team":
                    named = self.in_team(engagement_id, recipient["recipient_id"])
                case "role":
                    named = recipient["role"] == engagement["role"]
                case other:
                    raise AssertionError(other)
            if named:
                return True
        return False

    def consented(self, engagement_id: UUID, patient_id: UUID, category: str, domain: str) -> Iterator[Opening]:
        """What consent opens to its recipients: the lifted cells, and both ways, their own domain."""
        own_domain = self.world.engagements[engagement_id]["domain"]
        for consent in self.lifted(patient_id, category):
            for member in self.seats_of(engagement_id):
                if not self.is_recipient(consent, engagement_id, member):
                    continue
                bound = max(consent["history_from_seq"], member["history_from_seq"])
                if domain in consent["from_domains"]:
                    # "read only": somebody near to the citizen
                    carer = self.world.engagements[engagement_id]["role"] == "informal_carer"
                    yield Opening(write=consent["both_ways"] and not carer, from_seq=bound)
                elif consent["both_ways"] and domain == own_domain:
                    # "may open threads in these categories in its own domain": what it opens, not what was there
                    yield Opening(True, bound, consent["threads_from_seq"])

    def answered(self, engagement_id: UUID, patient_id: UUID, category: str, domain: str) -> Iterator[Opening]:
        """What consent both ways opens to those whose secrecy it lifts: what recipients open from then on.

        "accepted members of the from domains holding the same category": read as holding it in their own domain.
        For threads in that very domain there is nothing to add: they hold what they hold there, and whoever may only
        read goes on only reading.
        """
        own_domain = self.world.engagements[engagement_id]["domain"]
        for consent in self.lifted(patient_id, category):
            if not consent["both_ways"] or own_domain not in consent["from_domains"]:
                continue
            if domain == own_domain or domain not in self.domains_of_recipients(consent):
                continue
            holds = [
                *self.direct_treatment(engagement_id, patient_id, category, own_domain),
                *self.public_task(engagement_id, category, own_domain),
                *self.consented(engagement_id, patient_id, category, own_domain),
            ]
            if holds:
                for member in self.seats_of(engagement_id):
                    bound = max(consent["history_from_seq"], member["history_from_seq"])
                    yield Opening(True, bound, consent["threads_from_seq"])

    def domains_of_recipients(self, consent: Row) -> set[str]:
        """Return the domains in which recipients may open threads."""
        key = ("domains", consent["id"])
        if key not in self._kept:
            self._kept[key] = {
                engagement["domain"]
                for engagement in self.world.engagements.values()
                for member in self.seats_of(engagement["id"])
                if engagement["domain"] and self.is_recipient(consent, engagement["id"], member)
            }
        kept: set[str] = self._kept[key]
        return kept

    def grounds(self, engagement_id: UUID, patient_id: UUID, category: str, domain: str) -> list[Opening]:
        """Return every opening of a cell but the implied ones."""
        key = (engagement_id, patient_id, category, domain)
        kept: list[Opening] | None = self._kept.get(key)
        if kept is None:
            self._kept[key] = kept = list(self.each_ground(engagement_id, patient_id, category, domain))
        return kept

    def each_ground(self, engagement_id: UUID, patient_id: UUID, category: str, domain: str) -> Iterator[Opening]:
        """Yield every opening of a cell but the implied ones."""
        if patient_id not in {row["patient_id"] for row in self.world.subjects} or not self.seats_of(engagement_id):
            return
        yield from self.subject(engagement_id, patient_id, category)
        if self.takes_part(engagement_id, patient_id):
            yield from self.direct_treatment(engagement_id, patient_id, category, domain)
            yield from self.public_task(engagement_id, category, domain)
            yield from self.consented(engagement_id, patient_id, category, domain)
            yield from self.answered(engagement_id, patient_id, category, domain)

    def open_thread(self, engagement_id: UUID, patient_id: UUID, category: str, domain: str) -> bool:
        """Whether an engagement may open a thread: where it may write, in its own domain.

        The page says nothing of who has no domain; the code opens a citizen's thread in the domain of the case.
        """
        own_domain = self.world.engagements[engagement_id]["domain"] or self.world.case["domain"]
        opening = self.cell(engagement_id, patient_id, category, domain, None)
        return opening is not None and opening.write and domain == own_domain

    def replaced_by(self, engagement_id: UUID) -> list[UUID]:
        """Return whom an engagement stands in for now: both in force, within the period, and not called off."""
        return [
            row["replaced_engagement_id"]
            for row in self.world.replacements
            if row["substitute_engagement_id"] == engagement_id
            and row["cancelled_at"] is None
            and during(row, self.now)
            and self.in_force(engagement_id)
        ]

    def own(
        self, engagement_id: UUID, patient_id: UUID, category: str, domain: str, *, citizen: bool = True
    ) -> list[Opening]:
        """Return every opening of a cell by one's own grounds, the implied ones too; perhaps without subjecthood."""
        openings = self.by(engagement_id, patient_id, category, domain, citizen=citizen)
        if category in {"identification", "contact_network"}:
            openings += self.implied(engagement_id, patient_id, citizen=citizen)
        return openings

    def by(
        self, engagement_id: UUID, patient_id: UUID, category: str, domain: str, *, citizen: bool
    ) -> list[Opening]:
        """Return the openings of a cell by its own grounds, perhaps without subjecthood."""
        found = self.grounds(engagement_id, patient_id, category, domain)
        mine = [] if citizen else list(self.subject(engagement_id, patient_id, category))
        return [opening for opening in found if opening not in mine]

    def implied(self, engagement_id: UUID, patient_id: UUID, *, citizen: bool) -> list[Opening]:
        """Return what any cell at all opens of who the citizen is and who is around; the same in each domain."""
        key = ("implied", engagement_id, patient_id, citizen)
        if key not in self._kept:
            self._kept[key] = {
                Opening(False, opening.from_seq, opening.threads_from)
                for other in CATEGORIES
                for elsewhere in DOMAINS
                for opening in self.by(engagement_id, patient_id, other, elsewhere, citizen=citizen)
            }
        return list(self._kept[key])

    def for_others(self, engagement_id: UUID, patient_id: UUID, category: str, domain: str) -> list[Opening]:
        """Return what replacing opens: exactly the cells of the person replaced. Nobody stands in for a citizen."""
        return [
            opening
            for other in self.replaced_by(engagement_id)
            if not self.excluded(self.world.engagements[other]["account_id"], patient_id)
            and not self.over(other, patient_id)
            for opening in self.own(other, patient_id, category, domain, citizen=False)
        ]

    def every_opening(self, engagement_id: UUID, patient_id: UUID, category: str, domain: str) -> Iterator[Opening]:
        """Yield one's own and others' openings, unless excluded, and an emergency's; as long as a death allows."""
        if patient_id not in {row["patient_id"] for row in self.world.subjects} or not self.joins(patient_id):
            return
        over = self.over(engagement_id, patient_id)
        if not self.excluded(self.world.engagements[engagement_id]["account_id"], patient_id):
            if not over:
                yield from self.own(engagement_id, patient_id, category, domain)
            yield from self.for_others(engagement_id, patient_id, category, domain)
        if not over:
            yield from self.emergency(engagement_id, patient_id, category)

    # What is asked

    def cell(
        self, engagement_id: UUID, patient_id: UUID, category: str, domain: str, opened_seq: int | None
    ) -> Opening | None:
        """Return what an engagement may do in a thread opened there, or in the cell at all without a position.

        None is nothing; else whether it writes, and from where on it reads.
        """
        if not self.seats_of(engagement_id) and not self.replaced_by(engagement_id):
            return None  # whoever sits nowhere, and stands in for nobody, holds nothing
        cell = (engagement_id, patient_id, category, domain)
        found = self._openings.get(cell)
        if found is None:
            self._openings[cell] = found = list(self.every_opening(*cell))
        openings = [one for one in found if opened_seq is None or one.threads_from <= opened_seq]
        if not openings:
            return None
        return Opening(any(each.write for each in openings), min(each.from_seq for each in openings))

    def shown(self, engagement_id: UUID, thread_id: UUID) -> bool:
        """Whether a thread is there for somebody: "professional threads at-once or, per thread, on-release".

        The page names the citizen; that is read to hold for whoever is no professional.
        """
        release_at = self.world.threads[thread_id]["release_at"]
        return release_at is None or self.now >= release_at or self.is_professional(engagement_id)

    def hears(self, engagement_id: UUID, thread_id: UUID, seq: int) -> bool:
        """Whether somebody hears an event of a thread: what came before its release is history, not news."""
        thread = self.world.threads[thread_id]
        if thread["release_at"] is None or self.is_professional(engagement_id):
            return True
        return thread["released_seq"] is not None and seq >= thread["released_seq"]

    def is_professional(self, engagement_id: UUID) -> bool:
        """Whether an engagement is one of those who work with citizens under secrecy."""
        return self.world.engagements[engagement_id]["role"] in words("gp poh social_team district_nurse specialist")
