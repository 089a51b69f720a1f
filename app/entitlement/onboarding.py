"""Many people at once, from a file: first everything is looked at, then everything is done or nothing.

An employee number and a role name an engagement: what is there already is compared and changed where it may be, so
the same file again changes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import Role
from app.core.errors import Fault, Invalid
from app.core.ids import AccountId, CaseId, EngagementId, OrganisationId, new_id
from app.crypto.service import Crypto
from app.entitlement import staffing
from app.entitlement.engagements import hold_cases_of, rederive_for
from app.entitlement.staffing import Effects, Newcomer
from app.identity import staff
from app.identity.capacity import Capacity, capacity_faults, domain_of, full_name, period_faults
from app.identity.roster import CellFault, Entry, read_roster
from app.identity.staff import Colleague, State

FAULTS_SHOWN_MAX = 100

# A capacity's faults name members of a request; in a file the same things are columns.
_COLUMN_OF: Mapping[str, str] = {
    "/role": "role",
    "/domain": "domain",
    "/law": "law",
    "/responsibleEngagementId": "responsibleEmployeeNumber",
    "/validUntil": "validUntil",
}


class Outcome(StrEnum):
    """What happens with a line."""

    CREATE = "create"
    CHANGE = "change"
    UNCHANGED = "unchanged"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Handled:
    """One line and what became, or would become, of it."""

    line: int
    outcome: Outcome
    faults: Collection[CellFault]
    engagement_id: UUID | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file."""

    lines: list[Handled]
    effects: Effects


@dataclass(slots=True)
class _Step:
    """What one line asks for. ``id`` is that of the engagement there is, or of the one to make."""

    entry: Entry
    id: EngagementId
    present: Colleague | None
    account_id: AccountId | None = None
    responsible_id: EngagementId | None = None
    changes: dict[str, object] = field(default_factory=dict)
    new_name: str | None = None
    new_numbers: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """What this comes to."""
        if self.entry.line.faults:
            return Outcome.ERROR
        if self.present is None:
            return Outcome.CREATE
        moved = self.changes or self.new_name is not None or self.new_numbers
        return Outcome.CHANGE if moved else Outcome.UNCHANGED

    @property
    def name(self) -> str:
        """The name as it is shown."""
        return full_name(self.entry.given, self.entry.family, self.entry.prefix)


@dataclass(frozen=True, slots=True)
class _Here:
    """Who is in the organisation before the file."""

    by_key: Mapping[tuple[str, Role], Colleague]
    by_number: Mapping[str, Colleague]
    names: Mapping[EngagementId, str]
    holders: Mapping[tuple[str, str], UUID]


async def import_staff(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, organisation_id: UUID, text: str, *, dry_run: bool
) -> Imported:
    """Engage and change everybody in a file, or say what that would come to.

    Raises:
        NotFound, OrganisationInactive: as for a single engagement.
        Invalid: this is no dry run, and a line is wrong; each fault's pointer is ``/csv/<line>/<column>``.
    """
    await staffing.open_organisation(db, permit, organisation_id)
    entries = read_roster(text)
    here = await _look_around(db, permit, crypto, organisation_id, entries)
    steps = [_step(entry, here) for entry in entries]
    _check_file(steps)
    for step in steps:
        await _check(db, permit, step, steps, here)
    if dry_run:
        return Imported([Handled(s.entry.line.number, s.outcome, s.entry.line.faults) for s in steps], Effects())
    faults = [
        Fault(f"/csv/{step.entry.line.number}/{fault.column or ''}".rstrip("/"), fault.code, fault.detail)
        for step in steps
        for fault in step.entry.line.faults
    ]
    if faults:
        raise Invalid(*faults[:FAULTS_SHOWN_MAX])
    return await _do(db, permit, crypto, OrganisationId(organisation_id), steps)


async def _look_around(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, organisation_id: UUID, entries: Collection[Entry]
) -> _Here:
    people = [
        one
        for one in await staff.colleagues(db, permit, organisation_id)
        if one.state is not State.ENDED and one.employee_number is not None
    ]
    numbers = {(kind, number) for entry in entries for kind, number in entry.registrations.items()}
    return _Here(
        by_key={(one.employee_number or "", one.role): one for one in people},
        by_number={one.employee_number or "": one for one in people},
        names=await staff.names(crypto, people),
        holders=await staff.holders(db, permit, numbers),
    )


def _step(entry: Entry, here: _Here) -> _Step:
    present = None if entry.role is None else here.by_key.get((entry.employee_number, entry.role))
    step = _Step(entry, EngagementId(new_id()) if present is None else present.id, present)
    known = here.by_number.get(entry.employee_number)
    if known is not None:
        step.account_id = known.account_id
    return step


def _check_file(steps: Collection[_Step]) -> None:
    """Find what two lines say against each other."""
    seen: dict[tuple[str, Role | None], _Step] = {}
    persons: dict[str, str] = {}
    numbers: dict[tuple[str, str], str] = {}
    for step in steps:
        entry = step.entry
        if not entry.employee_number:
            continue
        key = (entry.employee_number, entry.role)
        if key in seen:
            entry.line.fault("employeeNumber", "number-twice", "This employee number stands there twice in one role.")
        elif persons.setdefault(entry.employee_number, step.name) != step.name:
            entry.line.fault("employeeNumber", "number-of-another", "This number stands there with another name.")
        seen.setdefault(key, step)
        for register in entry.registrations.items():
            if numbers.setdefault(register, entry.employee_number) != entry.employee_number:
                entry.line.fault(register[0], "registration-taken", "This number stands there with another person.")


async def _check(db: AsyncSession, permit: RolePermit, step: _Step, steps: Collection[_Step], here: _Here) -> None:
    """Find what is wrong with one line, and what it changes."""
    entry, line = step.entry, step.entry.line
    if entry.role is None or not entry.employee_number:
        return
    _find_responsible(step, steps, here)
    capacity = _capacity(step, entry.role)
    faults = [*capacity_faults(capacity, staffing.roles_given_by(permit))]
    if step.present is None or entry.valid_until != step.present.valid_until:
        faults += period_faults(entry.valid_from, entry.valid_until, permit.now)
    for fault in faults:
        # A number that leads to nobody was named already.
        if fault.code != "responsible-missing" or entry.responsible_number is None:
            line.fault(_COLUMN_OF[fault.pointer], fault.code, fault.detail)
    for kind, number in entry.registrations.items():
        holder = here.holders.get((kind, number))
        if holder is not None and holder != step.account_id:
            line.fault(kind, "registration-taken", "This number stands with another account.")
    if step.present is not None:
        await _compare(db, permit, step, step.present, here)
    elif step.account_id is not None and here.names[here.by_number[entry.employee_number].id] != step.name:
        line.fault("employeeNumber", "number-of-another", "Somebody of another name has this employee number.")
    if step.account_id == permit.actor.account_id and (step.present is None or step.changes):
        line.fault("employeeNumber", "own-engagement", "Nobody decides this about themselves.")


def _capacity(step: _Step, role: Role) -> Capacity:
    entry = step.entry
    return Capacity(
        role=role,
        profession=entry.profession,
        speciality=entry.speciality,
        domain=domain_of(role, entry.domain),
        law=entry.law,
        responsible_id=step.responsible_id,
    )


def _find_responsible(step: _Step, steps: Collection[_Step], here: _Here) -> None:
    """Look for the GP of a POH, in the file first and then in the organisation."""
    number = step.entry.responsible_number
    if number is None:
        return
    for other in steps:
        named = other.entry.role is Role.GP and other.entry.employee_number == number
        if named and not other.entry.line.faults and (other.present is None or other.present.state is State.ACTIVE):
            step.responsible_id = other.id
            return
    present = here.by_key.get((number, Role.GP))
    if present is not None and present.state is State.ACTIVE:
        step.responsible_id = present.id
    else:
        step.entry.line.fault(
            "responsibleEmployeeNumber",
            "responsible-not-in-force",
            "No GP in force has this number, here or in the file.",
        )


async def _compare(db: AsyncSession, permit: RolePermit, step: _Step, present: Colleague, here: _Here) -> None:
    """Find what a line changes of the engagement there is. Who somebody is engaged as does not change."""
    entry, line = step.entry, step.entry.line
    for column, is_now, wanted in (
        ("profession", present.profession, entry.profession),
        ("domain", present.domain, domain_of(present.role, entry.domain)),
        ("law", present.law, entry.law),
    ):
        if is_now != wanted:
            line.fault(column, "cannot-change", "This does not change: end the engagement and make another.")
    for name, before, after in (
        ("speciality", present.speciality, entry.speciality),
        ("valid_until", present.valid_until, entry.valid_until),
        ("responsible_engagement_id", present.responsible_id, step.responsible_id),
    ):
        if before != after:
            step.changes[name] = after
    if await staffing.leaves_alone(db, permit, present, step.changes):
        line.fault("validUntil", "successor-needed", "Somebody has to take over first: end this engagement by hand.")
    step.new_numbers = {
        kind: number for kind, number in entry.registrations.items() if present.registrations.get(kind) != number
    }
    for kind in step.new_numbers.keys() & present.registrations.keys():
        line.fault(kind, "cannot-change", "Another number of this register stands there already.")
    if here.names[present.id] != step.name:
        step.new_name = step.name
        if not await staff.keeps_account(db, permit, present.account_id):
            line.fault(
                "family", "name-of-another", "Another organisation engages this person too; ask for the name there."
            )


async def _do(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, organisation_id: OrganisationId, steps: list[_Step]
) -> Imported:
    """Do what was found right: GPs first, because POHs name them."""
    codes: dict[EngagementId, str] = {}
    accounts: dict[str, AccountId] = {}
    changed: list[UUID] = []
    moved: set[CaseId] = set()
    await hold_cases_of(db, [step.id for step in steps if step.present is not None])
    for step in sorted(steps, key=lambda one: one.entry.role is not Role.GP):
        if step.present is not None:
            if await _change(db, permit, crypto, step, step.present):
                changed.append(step.id)
            continue
        assert step.entry.role is not None  # a line without a role has a fault
        number = step.entry.employee_number
        made = await staffing.take_on(
            db,
            permit,
            crypto,
            organisation_id,
            Newcomer(
                capacity=_capacity(step, step.entry.role),
                name=step.name,
                valid_from=step.entry.valid_from,
                valid_until=step.entry.valid_until,
                employee_number=number,
                registrations=step.entry.registrations,
            ),
            step.id,
            step.account_id or accounts.get(number),
        )
        accounts[number] = made.account_id
        moved.update(made.cases)
        if made.code is not None:
            codes[step.id] = made.code
    moved.update(await rederive_for(db, changed, actor=permit.actor, why="engagement-changed", now=permit.now))
    lines = [Handled(s.entry.line.number, s.outcome, (), s.id, codes.get(s.id)) for s in steps]
    return Imported(lines, Effects(cases=moved))


async def _change(db: AsyncSession, permit: RolePermit, crypto: Crypto, step: _Step, present: Colleague) -> bool:
    """Write what a line changes, and return whether grants may rest on it."""
    if step.new_name is not None:
        await staffing.rename(db, permit, crypto, present, step.new_name)
    if step.new_numbers and await staff.register(db, permit, present.account_id, step.new_numbers):
        raise staffing.RegistrationTaken
    if step.changes:
        await staff.lock(db, permit, [present.id])
        await staff.update(db, permit, [present.id], step.changes)
    return bool(step.changes)
