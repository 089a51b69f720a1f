"""Ending an employment: what would become ownerless is handed over first, then everything ends in one commit.

What the leaver wrote stays theirs under the contributions; nothing of it moves. Source: DOMAIN R-41.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import CaseRole, Domain
from app.core.errors import Fault, Invalid, NotFound
from app.core.ids import CaseId, EngagementId
from app.entitlement import store
from app.entitlement.derivation import rederive
from app.entitlement.staffing import Effects, SuccessorNeeded, changeable
from app.events import service as events
from app.events.drafts import Draft, EventType, contacts, only
from app.identity import staff

WHY = "engagement-ended"


@dataclass(frozen=True, slots=True)
class Ownerless:
    """What nobody would answer for: cases with the leaver's role there, practice nurses, replacements, teams."""

    cases: Mapping[UUID, CaseRole]
    responsible_for: frozenset[UUID]
    replacements: tuple[UUID, ...]
    teams: tuple[UUID, ...]


async def preview(db: AsyncSession, permit: RolePermit, engagement_id: UUID) -> Ownerless:
    """Return what would become ownerless if an engagement ended now: ids and codes, nothing of the cases.

    Raises:
        NotFound: the actor does not manage the engagement.
    """
    found = await store.ownerless(db, permit, engagement_id)
    if found is None:
        raise NotFound
    return Ownerless(
        cases={UUID(one["caseId"]): CaseRole(one["caseRole"]) for one in found["cases"]},
        responsible_for=frozenset(UUID(one) for one in found["responsibleFor"]),
        replacements=tuple(UUID(one) for one in found["replacements"]),
        teams=tuple(UUID(one) for one in found["teams"]),
    )


async def end(
    db: AsyncSession,
    permit: RolePermit,
    engagement_id: UUID,
    *,
    successors: Mapping[UUID, UUID],
    responsibles: Mapping[UUID, UUID],
) -> Effects:
    """End an engagement: seats, replacements, teams and sessions with it, after handing over; ``successors`` by case.

    Raises:
        NotFound: the actor does not manage the engagement.
        OwnEngagement: it is the actor's.
        EngagementState: it has ended already.
        SuccessorNeeded: a case or a practice nurse would be left alone.
        Invalid: a successor is no peer of the organisation, a responsible is no GP in force, or neither is needed.
    """
    person = await changeable(db, permit, engagement_id)
    case_ids = list(await store.cases_of(db, [engagement_id]))  # held since before the engagement was
    left = await preview(db, permit, engagement_id)
    if left.cases.keys() - successors.keys() or left.responsible_for - responsibles.keys():
        raise SuccessorNeeded
    await _refuse_wrong(db, permit, engagement_id, left, successors, responsibles)
    for nurse, responsible in responsibles.items():
        await staff.update(db, permit, [nurse], {"responsible_engagement_id": responsible})
    seats = await store.end_seats(db, engagement_id, successors)
    ends = max(permit.now, person.valid_from + timedelta(microseconds=1))
    await staff.update(db, permit, [engagement_id], {"valid_until": ends})
    sessions = await staff.end_sessions_of(db, permit, engagement_id, WHY)
    by_case: dict[CaseId, RowMapping] = {CaseId(row["case_id"]): row for row in seats}
    for case_id in sorted({*case_ids, *by_case}, key=str):
        await _tell(db, permit, case_id, by_case.get(case_id), engagement_id)
    return Effects({*case_ids, *by_case}, set(sessions))


async def _refuse_wrong(
    db: AsyncSession,
    permit: RolePermit,
    engagement_id: UUID,
    left: Ownerless,
    successors: Mapping[UUID, UUID],
    responsibles: Mapping[UUID, UUID],
) -> None:
    peers = await store.peers_of(db, engagement_id, successors.values(), permit.now)
    faults = [
        Fault(f"/successors/{index}/{member}", code, detail)
        for index, (case_id, successor) in enumerate(successors.items())
        for member, code, detail, wrong in (
            ("caseId", "not-needed", "Nobody has to take over there.", case_id not in left.cases),
            ("engagementId", "not-a-successor", "This is no colleague of the same role.", successor not in peers),
        )
        if wrong
    ]
    for index, (nurse, responsible) in enumerate(responsibles.items()):
        if nurse not in left.responsible_for:
            faults.append(
                Fault(f"/responsibles/{index}/engagementId", "not-needed", "Nobody has to take over there.")
            )
        if responsible == engagement_id or not await staff.is_gp_in_force(db, permit, responsible):
            pointer = f"/responsibles/{index}/responsibleEngagementId"
            faults.append(Fault(pointer, "not-a-gp", "The responsible professional is a GP in force."))
    if faults:
        raise Invalid(*faults)


async def _tell(
    db: AsyncSession, permit: RolePermit, case_id: CaseId, seat: RowMapping | None, engagement_id: UUID
) -> None:
    """Derive a case again and tell it who left and who took over; the leaver's sockets there close."""
    change = await rederive(db, case_id, now=permit.now)
    drafts = change.drafts(WHY)
    if seat is not None:
        domain = Domain((await store.grant_inputs(db, case_id))["case"]["domain"])
        gone = _seated(seat["member_id"], engagement_id)
        told = [Draft(type=EventType.MEMBER_LEFT, audience=contacts(domain), refers_to=seat["member_id"], data=gone)]
        if seat["successor_id"] is not None:
            came = _seated(seat["successor_id"], seat["successor_engagement_id"])
            told.append(
                Draft(
                    type=EventType.MEMBER_ACCEPTED,
                    audience=contacts(domain),
                    refers_to=seat["successor_id"],
                    data=came,
                )
            )
        closed = Draft(
            type=EventType.MEMBER_LEFT,
            audience=only(EngagementId(engagement_id)),
            refers_to=seat["member_id"],
            data={**gone, "why": WHY},
        )
        drafts = [*told, *drafts, closed]
    if drafts:
        await events.append(db, case_id, drafts, actor=permit.actor, at=permit.now)


def _seated(member_id: UUID, engagement_id: UUID) -> dict[str, Any]:
    return {"memberId": str(member_id), "engagementId": str(engagement_id)}
