"""An organisation's identity system says who works there: the same use cases as an admin's, for it alone.

A user of SCIM is an engagement. Who somebody is engaged as cannot change; being inactive is being suspended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.errors import Conflict, Invalid, NotFound
from app.core.ids import EngagementId, OrganisationId
from app.crypto.service import Crypto
from app.entitlement import ending, staffing
from app.entitlement.staffing import Effects, Newcomer
from app.identity import scim, staff
from app.identity.capacity import STAFF_ROLES, Capacity, full_name
from app.identity.scim import Known, Naming
from app.identity.staff import Colleague, State


class UserNameTaken(Conflict):
    """Raised when another user of this organisation has that userName."""

    code = "user-name-taken"
    title = "Another user has this name"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How somebody is to be: as named, engaged, numbered, until when, and whether active now."""

    naming: Naming
    capacity: Capacity
    active: bool
    employee_number: str | None = None
    valid_until: datetime | None = None
    registrations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody as the identity system sees them."""

    person: Colleague
    naming: Naming
    created_at: datetime
    changed_at: datetime

    def version(self) -> tuple[bytes, bytes]:
        """Return what two clients can change at once, for an ETag."""
        return self.person.editable(), repr(self.naming).encode()


def organisation_of(permit: RolePermit) -> OrganisationId:
    """Return the one organisation that the client works for.

    Raises:
        NotFound: it works for none.
    """
    if permit.actor.organisation_id is None:
        raise NotFound
    return permit.actor.organisation_id


async def users(db: AsyncSession, permit: RolePermit, *, ids: Sequence[UUID] | None = None) -> list[Colleague]:
    """Return the organisation's people that an identity system may know of, whoever began last first."""
    people = await staff.colleagues(db, permit, organisation_of(permit), ids=ids)
    return [one for one in people if one.role in STAFF_ROLES and one.state is not State.ENDED]


async def named(db: AsyncSession, permit: RolePermit, crypto: Crypto, people: Sequence[Colleague]) -> list[User]:
    """Return people as the identity system names them, else by their employee number."""
    found = await scim.known(db, permit, crypto, {one.id: one.account_id for one in people})
    names = await staff.names(crypto, people)
    shown = []
    for one in people:
        naming = Naming(user_name=one.employee_number or str(one.id), formatted=names[one.id])
        known = found.get(one.id) or Known(naming, one.valid_from, one.valid_from)
        shown.append(User(one, known.naming, known.created_at, known.changed_at))
    return shown


async def user(db: AsyncSession, permit: RolePermit, crypto: Crypto, engagement_id: UUID) -> User:
    """Return one user.

    Raises:
        NotFound: the organisation has no such user.
    """
    for found in await named(db, permit, crypto, await users(db, permit, ids=[engagement_id])):
        return found
    raise NotFound


async def search(db: AsyncSession, permit: RolePermit, crypto: Crypto, attribute: str, value: str) -> list[Colleague]:
    """Return the users of whom ``userName``, ``externalId`` or ``id`` equals a value."""
    organisation = organisation_of(permit)
    if attribute == "id":
        return [one for one in await users(db, permit) if str(one.id) == value]
    if attribute == "externalId":
        digest = scim.external_id_digest(crypto, organisation, value)
        ids = await scim.find(db, permit, organisation, column="external_id_digest", digest=digest)
        return await users(db, permit, ids=list(ids))
    digest = scim.user_name_digest(crypto, organisation, value)
    ids = await scim.find(db, permit, organisation, column="user_name_digest", digest=digest)
    if ids:
        return await users(db, permit, ids=list(ids))
    # Whom no identity system named goes by the employee number, so that it can be taken over and not made twice.
    unnamed = [one for one in await users(db, permit) if value in {one.employee_number, str(one.id)}]
    taken = await scim.known(db, permit, crypto, {one.id: one.account_id for one in unnamed})
    return [one for one in unnamed if one.id not in taken]


async def provision(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, wanted: Wanted, engagement_id: EngagementId
) -> Effects:
    """Engage somebody new; no code comes of it: they sign in through the provider, or an admin makes them a link.

    Raises:
        Invalid, EngagementExists, RegistrationTaken, UserNameTaken: see there.
    """
    organisation = organisation_of(permit)
    newcomer = Newcomer(
        capacity=wanted.capacity,
        name=shown_name(wanted.naming),
        valid_until=wanted.valid_until,
        employee_number=wanted.employee_number,
        registrations=wanted.registrations,
    )
    made = await staffing.engage(db, permit, crypto, organisation, newcomer, engagement_id)
    await _name(db, permit, crypto, organisation, engagement_id, made.account_id, wanted.naming)
    if wanted.active:
        return Effects(cases=set(made.cases))
    return await staffing.suspend(db, permit, await staffing.changeable(db, permit, engagement_id))


async def held(db: AsyncSession, permit: RolePermit, crypto: Crypto, engagement_id: UUID) -> User:
    """Return a user, locked until the commit.

    Raises:
        NotFound: the organisation has no such user.
    """
    await user(db, permit, crypto, engagement_id)
    await staffing.changeable(db, permit, engagement_id)
    return await user(db, permit, crypto, engagement_id)


async def replace(db: AsyncSession, permit: RolePermit, crypto: Crypto, present: User, wanted: Wanted) -> Effects:
    """Make a user that is held what is wanted; inactive is suspended at once, with its sessions and grants.

    Raises:
        Invalid, Forbidden, EngagementExists, RegistrationTaken, UserNameTaken: see there.
    """
    person, effects = present.person, Effects()
    if wanted.naming != present.naming:
        if shown_name(wanted.naming) != shown_name(present.naming):
            await staffing.rename(db, permit, crypto, person, shown_name(wanted.naming))
        await _name(db, permit, crypto, organisation_of(permit), person.id, person.account_id, wanted.naming)
    pairs = {
        "speciality": (person.speciality, wanted.capacity.speciality),
        "employee_number": (person.employee_number, wanted.employee_number),
        "valid_until": (person.valid_until, wanted.valid_until),
        "responsible_engagement_id": (person.responsible_id, wanted.capacity.responsible_id),
    }
    changes = {name: after for name, (before, after) in pairs.items() if before != after}
    if changes:
        _join(effects, await staffing.change(db, permit, person, changes))
    fresh = {k: number for k, number in wanted.registrations.items() if person.registrations.get(k) != number}
    if fresh:
        faults = staffing.registration_faults(fresh)
        if faults:
            raise Invalid(*faults)
        if await staff.register(db, permit, person.account_id, fresh):
            raise staffing.RegistrationTaken
    if wanted.active != (person.suspended_at is None):
        act = staffing.resume if wanted.active else staffing.suspend
        _join(effects, await act(db, permit, person))
    return effects


async def end(db: AsyncSession, permit: RolePermit, person: Colleague) -> Effects:
    """End an engagement at once, with the seats, sessions and grants that live by it.

    Raises:
        SuccessorNeeded: a case or a practice nurse would be left alone; an admin names who takes over.
    """
    return await ending.end(db, permit, person.id, successors={}, responsibles={})


def _join(effects: Effects, more: Effects) -> None:
    effects.cases |= more.cases
    effects.sessions |= more.sessions


async def _name(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    organisation_id: UUID,
    engagement_id: EngagementId,
    account_id: UUID,
    naming: Naming,
) -> None:
    if not await scim.name(db, permit, crypto, organisation_id, engagement_id, account_id, naming):
        raise UserNameTaken


def shown_name(naming: Naming) -> str:
    """Return the name that colleagues see."""
    if naming.given and naming.family:
        return full_name(naming.given, naming.family, naming.middle)
    return naming.formatted or naming.display or naming.user_name
