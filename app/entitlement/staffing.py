"""People come, change and pause: each change of an engagement derives the cases it bears on, in the same commit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit, SelfPermit
from app.access.vocabulary import Role
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import AccountId, CaseId, EngagementId, OrganisationId, new_id
from app.crypto.digests import random_token
from app.crypto.service import Crypto
from app.entitlement import store
from app.entitlement.engagements import hold_cases_of, rederive_for
from app.identity import service as identity
from app.identity import staff
from app.identity.capacity import (
    BY_ORGANISATION,
    BY_REGION,
    CONFIRMED_FOR,
    STAFF_ROLES,
    Capacity,
    capacity_faults,
    no_responsible,
    number_fits,
    period_faults,
)
from app.identity.enrolment import Purpose, issue_enrolment
from app.identity.offices import organisations
from app.identity.staff import Colleague, State

ENROLMENT_LIFETIME = timedelta(days=7)
HANDOVER_LIFETIME = timedelta(hours=24)


class OrganisationInactive(Conflict):
    """Raised when somebody is to be engaged by an organisation that is suspended or has merged into another."""

    code = "organisation-inactive"
    title = "This organisation takes on nobody"


class EngagementExists(Conflict):
    """Raised when somebody is engaged in this capacity already, or the employee number is taken in this role."""

    code = "engagement-exists"
    title = "There is such an engagement already"


class RegistrationTaken(Conflict):
    """Raised when a UZI, BIG or AGB number is another account's, or the account has another number.

    Whoever has an account already lets another organisation add an engagement by a code: ``POST /engagement-codes``.
    """

    code = "registration-of-another"
    title = "This registration stands with another account"


class EngagementState(Conflict):
    """Raised when an engagement has ended, is suspended already, or is not suspended."""

    code = "engagement-state"
    title = "The state of the engagement does not allow this"


class OwnEngagement(Forbidden):
    """Raised when somebody would decide what they are themselves: engage, change, suspend or confirm. Others do."""

    code = "own-engagement"
    title = "Nobody decides this about themselves"


class SuccessorNeeded(Conflict):
    """Raised when a case or a practice nurse would be left without anybody who answers for it; nothing was changed.

    ``GET /engagements/{engagementId}/ending-preview`` lists what needs whom.
    """

    code = "successor-needed"
    title = "Somebody has to take over first"


class AlreadyEnrolled(Conflict):
    """Raised when a first link is asked for somebody who signed in before; a lost factor is reset by two people."""

    code = "already-signed-in"
    title = "This person has signed in before"


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody to engage. Exactly one of ``name``, ``account_id`` and ``handover_code`` says who it is."""

    capacity: Capacity
    name: str | None = None
    account_id: UUID | None = None
    handover_code: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    employee_number: str | None = None
    registrations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Engaged:
    """An engagement that was made; ``code`` is the one-time code of a new account, shown now and never again.

    ``cases`` are those where a function of the organisation sits that somebody more holds now.
    """

    engagement_id: EngagementId
    account_id: AccountId
    code: str | None
    cases: Collection[CaseId] = ()


@dataclass(slots=True)
class Effects:
    """What a change moved: cases to look at again, and sessions that ended."""

    cases: set[CaseId] = field(default_factory=set)
    sessions: set[UUID] = field(default_factory=set)


def roles_given_by(permit: RolePermit) -> frozenset[Role]:
    """Return the roles that the actor may give."""
    match permit.actor.role:
        case Role.REGION_ADMIN:
            return BY_REGION
        case Role.ORG_ADMIN:
            return BY_ORGANISATION
        case _:
            return STAFF_ROLES


async def engage(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    organisation_id: UUID,
    newcomer: Newcomer,
    engagement_id: EngagementId,
) -> Engaged:
    """Engage somebody, with a new account or one that is there; whoever is new gets a one-time code.

    Raises:
        NotFound: the actor does not manage the organisation, or the account named is nobody's there.
        Invalid: the capacity, period, responsible GP or a number is not right; every fault is named.
        OwnEngagement: it would be the actor's own.
        NoCooperationAgreement: the GP is of another practice, and one of the two has no recorded agreement.
        OrganisationInactive, EngagementExists, RegistrationTaken: see there.
    """
    await open_organisation(db, permit, organisation_id)
    faults = await newcomer_faults(db, permit, newcomer)
    if faults:
        raise Invalid(*faults)
    await _require_agreement(db, organisation_id, newcomer.capacity.responsible_id)
    account_id = await _account_of(db, permit, crypto, newcomer)
    if account_id == permit.actor.account_id:
        raise OwnEngagement
    if account_id is not None:
        await _refuse_twice(db, permit, organisation_id, account_id, newcomer.capacity)
    elif newcomer.name is None:
        raise NotFound
    await refuse_taken_number(db, permit, organisation_id, newcomer.employee_number, newcomer.capacity.role)
    return await take_on(db, permit, crypto, OrganisationId(organisation_id), newcomer, engagement_id, account_id)


async def open_organisation(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> None:
    """Let nobody else change this organisation's people until the commit.

    Raises:
        NotFound: the actor does not manage it.
        OrganisationInactive: it is suspended, or merged into another.
    """
    status = await staff.status_of_organisation(db, permit, organisation_id)
    if status is None:
        raise NotFound
    if status != "active":
        raise OrganisationInactive


async def newcomer_faults(db: AsyncSession, permit: RolePermit, newcomer: Newcomer) -> list[Fault]:
    """Return everything that is wrong with somebody to engage."""
    faults = list(capacity_faults(newcomer.capacity, roles_given_by(permit)))
    responsible = newcomer.capacity.responsible_id
    if (
        newcomer.capacity.role is Role.POH
        and responsible is not None
        and not await staff.is_gp_in_force(db, permit, responsible)
    ):
        faults.append(no_responsible())
    faults += period_faults(newcomer.valid_from, newcomer.valid_until, permit.now)
    return faults + registration_faults(newcomer.registrations)


async def _require_agreement(db: AsyncSession, organisation_id: UUID, responsible: UUID | None) -> None:
    """Let a POH work under a GP of another practice only if both have their agreement."""
    if responsible is not None:
        other = await identity.organisation_of(db, EngagementId(responsible))
        await organisations.require_agreement(db, OrganisationId(organisation_id), other)


def registration_faults(numbers: Mapping[str, str]) -> list[Fault]:
    """Return which registrations have not the form that their register gives."""
    return [
        Fault("/registrations", f"{kind}-invalid", "A registration does not have the form its register gives.")
        for kind, number in numbers.items()
        if not number_fits(kind, number)
    ]


async def _account_of(db: AsyncSession, permit: RolePermit, crypto: Crypto, newcomer: Newcomer) -> AccountId | None:
    """Return the account that is there already.

    An account grows by its owner's word alone, or within the organisation that knows it: a number from a public
    register proves nothing, since whoever entered it first would get what another organisation adds.
    """
    if newcomer.handover_code is not None:
        digest = crypto.tickets.digest("account-handover", newcomer.handover_code.encode("utf-8", "surrogatepass"))
        found = await staff.take_handover(db, permit, digest)
        if found is None:
            raise Invalid(Fault("/handoverCode", "code-not-valid", "This code was used, is too old, or never was."))
        return found
    if newcomer.account_id is not None:
        if not await staff.has_account_here(db, permit, newcomer.account_id):
            raise NotFound
        return AccountId(newcomer.account_id)
    return None


async def _refuse_twice(
    db: AsyncSession, permit: RolePermit, organisation_id: UUID, account_id: UUID, capacity: Capacity
) -> None:
    for one in await staff.colleagues(db, permit, organisation_id):
        same = (one.account_id, one.role, one.responsible_id) == (account_id, capacity.role, capacity.responsible_id)
        if same and one.state is not State.ENDED and one.law is capacity.law:
            raise EngagementExists


async def refuse_taken_number(
    db: AsyncSession,
    permit: RolePermit,
    organisation_id: UUID,
    number: str | None,
    role: Role,
    *,
    but: UUID | None = None,
) -> None:
    """Refuse an employee number that an engagement of this role has already.

    Raises:
        EngagementExists: so it is.
    """
    if number is None:
        return
    for one in await staff.colleagues(db, permit, organisation_id):
        if (one.employee_number, one.role) == (number, role) and one.state is not State.ENDED and one.id != but:
            raise EngagementExists


async def take_on(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    organisation_id: OrganisationId,
    newcomer: Newcomer,
    engagement_id: EngagementId,
    account_id: AccountId | None,
) -> Engaged:
    """Write an engagement that was found right, and the account if there is none yet; nothing begins in the past.

    Raises:
        RegistrationTaken: a number is another account's.
    """
    known = account_id
    if known is None:
        known = AccountId(new_id())
        await staff.add_account(db, permit, known, await staff.sealed_name(crypto, known, newcomer.name or ""))
    start = max(newcomer.valid_from or permit.now, permit.now)
    await staff.add_engagement(
        db,
        permit,
        engagement_id,
        known,
        organisation_id,
        newcomer.capacity,
        valid_from=start,
        valid_until=newcomer.valid_until,
        confirmed_until=start + CONFIRMED_FOR,
        employee_number=newcomer.employee_number,
    )
    if await staff.register(db, permit, known, newcomer.registrations):
        raise RegistrationTaken
    code = None
    if account_id is None and permit.actor.role is not Role.INTEGRATION:
        code = await _code(db, permit, crypto, known)
    cases = await rederive_for(db, [engagement_id], actor=permit.actor, why="engagement-begun", now=permit.now)
    return Engaged(engagement_id, known, code, cases)


async def _code(db: AsyncSession, permit: RolePermit, crypto: Crypto, account_id: AccountId) -> str:
    return await issue_enrolment(
        db,
        crypto.digests,
        account_id=account_id,
        purpose=Purpose.STAFF,
        created_by=permit.actor.engagement_id,
        now=permit.now,
        lifetime=ENROLMENT_LIFETIME,
    )


async def issue_code(db: AsyncSession, permit: RolePermit, crypto: Crypto, account_id: UUID) -> str:
    """Return a fresh one-time code for somebody who never used the first, which is void from now on.

    Only whoever manages everything that account is may: a code lets in whoever holds it.

    Raises:
        NotFound: the actor manages no engagement of that account.
        Forbidden: another organisation engages this person too.
        AlreadyEnrolled: somebody signed in to it before.
    """
    if not await staff.has_account_here(db, permit, account_id):
        raise NotFound
    if not await staff.keeps_account(db, permit, account_id):
        raise Forbidden("Another organisation engages this person too.")
    if not await staff.never_signed_in(db, permit, account_id):
        raise AlreadyEnrolled
    return await _code(db, permit, crypto, AccountId(account_id))


async def offer_handover(db: AsyncSession, permit: SelfPermit, crypto: Crypto) -> tuple[str, datetime]:
    """Return a code by which another organisation may add one engagement to one's own account, and until when."""
    code = random_token()
    until = permit.now + HANDOVER_LIFETIME
    digest = crypto.tickets.digest("account-handover", code.encode())
    await staff.offer_handover(db, permit.actor.account_id, digest, until)
    return code, until


async def changeable(db: AsyncSession, permit: RolePermit, engagement_id: UUID) -> Colleague:
    """Return an engagement, locked until the commit, so that who comes second sees what the first did.

    Raises:
        NotFound: the actor does not manage it.
        OwnEngagement: it is one of the actor's own.
        Forbidden: it is of a role that only the region's admin may touch.
        EngagementState: it has ended.
    """
    seen = await staff.find(db, permit, engagement_id)
    if seen is None:
        raise NotFound
    if seen.account_id == permit.actor.account_id:
        raise OwnEngagement
    await hold_cases_of(db, [engagement_id])
    if not await staff.lock(db, permit, [engagement_id]):
        raise Forbidden("The region's admin manages this role.")
    found = await staff.find(db, permit, engagement_id)
    if found is None:
        raise NotFound
    if found.state is State.ENDED:
        raise EngagementState("This engagement has ended.")
    return found


async def suspend(db: AsyncSession, permit: RolePermit, person: Colleague) -> Effects:
    """Suspend an engagement that is held: grants and the sessions that live by it end in this commit.

    Raises:
        EngagementState: it is suspended already.
    """
    if person.suspended_at is not None:
        raise EngagementState("This engagement is suspended already.")
    effects = await _apply(db, permit, [person.id], {"suspended_at": permit.now}, "engagement-suspended")
    effects.sessions |= set(await staff.end_sessions_of(db, permit, person.id, "engagement-suspended"))
    return effects


async def resume(db: AsyncSession, permit: RolePermit, person: Colleague) -> Effects:
    """Let a suspended engagement work again.

    Raises:
        EngagementState: it is not suspended.
    """
    if person.suspended_at is None:
        raise EngagementState("This engagement is not suspended.")
    return await _apply(db, permit, [person.id], {"suspended_at": None}, "engagement-resumed")


async def confirm(
    db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_ids: Sequence[UUID]
) -> Effects:
    """Confirm that these people still work here: their engagements hold for another year.

    Raises:
        NotFound: the actor does not manage the organisation.
        OwnEngagement: one of the actor's own is among them.
        Invalid: one is no engagement of this organisation that the actor may confirm, or has ended.
    """
    if await staff.status_of_organisation(db, permit, organisation_id) is None:
        raise NotFound
    await hold_cases_of(db, engagement_ids)
    mine = set(await staff.lock(db, permit, engagement_ids))
    people = await staff.colleagues(db, permit, organisation_id, ids=engagement_ids)
    here = {one.id for one in people if one.id in mine and one.state is not State.ENDED}
    if any(one.account_id == permit.actor.account_id for one in people):
        raise OwnEngagement
    faults = [
        Fault(f"/engagementIds/{index}", "not-confirmable", "This is no engagement here that can be confirmed.")
        for index, one in enumerate(engagement_ids)
        if one not in here
    ]
    if faults:
        raise Invalid(*faults)
    return await _apply(
        db, permit, engagement_ids, {"confirmed_until": permit.now + CONFIRMED_FOR}, "engagement-confirmed"
    )


async def change(db: AsyncSession, permit: RolePermit, person: Colleague, changes: Mapping[str, object]) -> Effects:
    """Change what of an engagement can change: speciality, employee number, end, responsible GP.

    Raises:
        Invalid: the end lies in the past, or the responsible GP is none.
        NoCooperationAgreement: the GP is of another practice, and one of the two has no recorded agreement.
        SuccessorNeeded: it would end sooner, and what would be left needs somebody first.
        EngagementExists: the employee number is taken.
    """
    faults: list[Fault] = []
    named: UUID | None = None
    end = changes.get("valid_until")
    if isinstance(end, datetime):
        faults += period_faults(person.valid_from, end, permit.now)
    if "responsible_engagement_id" in changes:
        responsible = changes["responsible_engagement_id"]
        named = responsible if isinstance(responsible, UUID) and person.role is Role.POH else None
        if named is None or not await staff.is_gp_in_force(db, permit, named):
            faults.append(no_responsible())
    if faults:
        raise Invalid(*faults)
    if "responsible_engagement_id" in changes:
        await _require_agreement(db, person.organisation_id, named)
    if await leaves_alone(db, permit, person, changes):
        raise SuccessorNeeded
    number = changes.get("employee_number")
    if isinstance(number, str) and number != person.employee_number:
        await staff.status_of_organisation(db, permit, person.organisation_id)  # whoever gives numbers waits
        await refuse_taken_number(db, permit, person.organisation_id, number, person.role, but=person.id)
    if not changes:
        return Effects()
    return await _apply(db, permit, [person.id], changes, "engagement-changed")


async def leaves_alone(
    db: AsyncSession, permit: RolePermit, person: Colleague, changes: Mapping[str, object]
) -> bool:
    """Whether a change brings an end forward past what nobody else answers for; ending by hand names successors."""
    end, known = changes.get("valid_until"), person.valid_until
    sooner = isinstance(end, datetime) and (known is None or end < known)
    left = await store.ownerless(db, permit, person.id) if sooner else None
    return left is not None and bool(left["cases"] or left["responsibleFor"])


async def rename(db: AsyncSession, permit: RolePermit, crypto: Crypto, person: Colleague, name: str) -> None:
    """Change the name of somebody.

    Raises:
        Forbidden: another organisation engages this person too.
    """
    if not await staff.keeps_account(db, permit, person.account_id):
        raise Forbidden("Another organisation engages this person too, so the name is not yours to change.")
    await staff.rename(db, permit, person.account_id, await staff.sealed_name(crypto, person.account_id, name))


async def _apply(
    db: AsyncSession, permit: RolePermit, ids: Collection[UUID], changes: Mapping[str, object], why: str
) -> Effects:
    await staff.update(db, permit, ids, changes)
    return Effects(set(await rederive_for(db, ids, actor=permit.actor, why=why, now=permit.now)))
