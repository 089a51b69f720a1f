"""Use cases on organisations that touch no case: creating, changing, merging, agreements, and their borders.

Suspending one reaches grants and sessions, so that lives in ``app.entitlement.offices``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import Role
from app.core.errors import Fault, Invalid, NotFound
from app.core.ids import CaseId, EngagementId, OrganisationId
from app.identity.offices import store
from app.identity.offices.refusals import (
    AgreementRecorded,
    NoCooperationAgreement,
    NoMerger,
    NotActive,
    NotSuspended,
    RegistrationTaken,
)
from app.identity.offices.rules import OfficeStatus, OrganisationKind, Registrations, padded_ura, registration_faults


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation as those who administer it see it."""

    id: OrganisationId
    kind: OrganisationKind
    name: str
    registrations: Registrations
    status: OfficeStatus
    merged_into_id: OrganisationId | None
    agreement_reference: str | None
    agreement_on: date | None
    created_at: datetime

    def state(self) -> bytes:
        """Return what an update is based on: everything but how many people there are."""
        return repr(self).encode()


def _organisation(row: RowMapping) -> Organisation:
    return Organisation(
        id=row["id"],
        kind=OrganisationKind(row["kind"]),
        name=row["name"],
        registrations=Registrations(**{field.name: row[field.name] for field in fields(Registrations)}),
        status=OfficeStatus(row["status"]),
        merged_into_id=row["merged_into_id"],
        agreement_reference=row["agreement_reference"],
        agreement_on=row["agreement_on"],
        created_at=row["created_at"],
    )


async def create(
    db: AsyncSession,
    permit: RolePermit,
    organisation_id: OrganisationId,
    *,
    kind: OrganisationKind,
    name: str,
    given: Registrations,
) -> None:
    """Create an active organisation without an agreement: until one is recorded it crosses no border.

    Raises:
        Invalid: a registration is missing that its kind has, or is there that its kind has not.
        RegistrationTaken: one of the numbers is in use.
    """
    registrations = _checked(kind, given)
    if not await store.insert(db, permit, organisation_id, kind, name, registrations):
        raise RegistrationTaken


def _checked(kind: OrganisationKind, given: Registrations) -> Registrations:
    faults = tuple(registration_faults(kind, given))
    if faults:
        raise Invalid(*faults)
    return replace(given, ura=padded_ura(given.ura))


async def read(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Organisation:
    """Return an organisation.

    Raises:
        NotFound: there is none that the actor administers.
    """
    row = await store.find(db, permit, organisation_id)
    if row is None:
        raise NotFound
    return _organisation(row)


async def lock(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Organisation:
    """Return an organisation that stays as it is until the transaction ends, but for what the transaction changes.

    Raises:
        NotFound: there is none.
    """
    found = await store.lock(db, permit, [organisation_id])
    if not found:
        raise NotFound
    return _organisation(found[0])


async def people_by_role(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Mapping[Role, int]:
    """Return how many people work for an organisation in each role; no names."""
    return {Role(row["role"]): row["people"] for row in await store.people_by_role(db, permit, organisation_id)}


async def change(
    db: AsyncSession, permit: RolePermit, locked: Organisation, *, name: str | None, given: Mapping[str, str | None]
) -> None:
    """Change the name, or the registrations that ``given`` names; the kind stays.

    Raises:
        NotActive: what merged keeps its name and numbers, on everything it did.
        Invalid, RegistrationTaken: as when creating.
    """
    if locked.status is OfficeStatus.MERGED or locked.merged_into_id is not None:
        raise NotActive
    registrations = _checked(locked.kind, replace(locked.registrations, **given))
    if not await store.update(db, permit, locked.id, name or locked.name, registrations):
        raise RegistrationTaken


async def mark_suspended(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> None:
    """Mark an active organisation, and what merged into it, as suspended: none of its engagements is in force.

    Raises:
        NotFound: there is none.
        NotActive: it is suspended, or merged into another.
    """
    if (await lock(db, permit, organisation_id)).status is not OfficeStatus.ACTIVE:
        raise NotActive
    await store.suspend(db, permit, organisation_id)


async def mark_resumed(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> None:
    """Undo a suspension.

    Raises:
        NotFound: there is none.
        NotSuspended: it is not suspended, or only with what it merged into.
    """
    found = await lock(db, permit, organisation_id)
    if found.status is not OfficeStatus.SUSPENDED or found.merged_into_id is not None:
        raise NotSuspended
    await store.resume(db, permit, organisation_id)


async def merge(db: AsyncSession, permit: RolePermit, organisation_id: UUID, into_id: UUID) -> None:
    """Merge an organisation into another, which manages its people from now on.

    Its name stays on old records and on the seats its people hold, so nothing opens or closes for anybody. What had
    merged into it before belongs to the same successor: mergers make no chains.

    Raises:
        NotFound: there is no such organisation.
        Invalid: there is none to merge into.
        NoMerger: with itself, or one of the two is suspended or merged.
    """
    found = {row["id"]: _organisation(row) for row in await store.lock(db, permit, {organisation_id, into_id})}
    if organisation_id not in found:
        raise NotFound
    if into_id not in found:
        raise Invalid(Fault("/intoOrganisationId", "not-found", "There is no such organisation."))
    if organisation_id == into_id or any(one.status is not OfficeStatus.ACTIVE for one in found.values()):
        raise NoMerger
    await store.merge(db, permit, organisation_id, into_id)


async def record_agreement(
    db: AsyncSession, permit: RolePermit, organisation_id: UUID, *, reference: str, signed_on: date
) -> None:
    """Record that an organisation signed the cooperation agreement: from now on it crosses borders.

    Raises:
        NotFound: there is no such organisation.
        Invalid: it would have been signed in the future.
        NotActive: what merged stands under its successor's agreement.
        AgreementRecorded: one of that day or later is recorded.
    """
    if signed_on > permit.now.date():
        raise Invalid(Fault("/signedOn", "in-future", "An agreement cannot have been signed in the future."))
    found = await lock(db, permit, organisation_id)
    if found.merged_into_id is not None:
        raise NotActive
    if found.agreement_on is not None and signed_on <= found.agreement_on:
        raise AgreementRecorded
    await store.agree(db, permit, organisation_id, reference, signed_on)


async def require_agreement(db: AsyncSession, *organisation_ids: OrganisationId | None) -> None:
    """Let people of these organisations work together; who has no organisation crosses no border.

    Raises:
        NoCooperationAgreement: they are of several, and one has no recorded agreement.
    """
    if not await store.may_cooperate(db, [one for one in organisation_ids if one is not None]):
        raise NoCooperationAgreement


async def require_agreement_at_table(db: AsyncSession, case_id: CaseId, engagement_id: EngagementId) -> None:
    """Let somebody sit down at a table with whoever sits there or was invited.

    Raises:
        NoCooperationAgreement: they would be of several organisations, and one has no recorded agreement.
    """
    if not await store.table_may_cooperate(db, case_id, engagement_id):
        raise NoCooperationAgreement


async def engagements_of(db: AsyncSession, organisation_id: UUID, *, now: datetime) -> Collection[UUID]:
    """Return the engagements, not yet over, of an organisation and of what merged into it."""
    return await store.engagements_of(db, organisation_id, now)


async def of_the_same_people(db: AsyncSession, engagement_ids: Collection[UUID]) -> Collection[UUID]:
    """Return every engagement of whoever has one of these."""
    return await store.of_the_same_people(db, engagement_ids)


async def end_sessions_of(
    db: AsyncSession, engagement_ids: Collection[UUID], *, why: str, now: datetime
) -> Collection[UUID]:
    """End every session that began in one of these engagements; return them."""
    return await store.end_sessions_of(db, engagement_ids, why, now)
