"""From (actor, action, thing) to a permit: loads how the actor stands to the case and lets the policy decide."""

from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access import policy
from app.access.policy import CasePermit, Cell, Entity, Holding, MemberStatus, Standing
from app.access.vocabulary import Action, Category, Domain, Ground
from app.core.ids import AccountId, CaseId, ConsentId, MemberId, PatientId, ThreadId
from app.entitlement import store
from app.identity.service import Entered

HOLDINGS_MAX = 50_000


async def case_permit(db: AsyncSession, entered: Entered, action: Action, kind: str, entity_id: UUID) -> CasePermit:
    """Return a permit for the case that a ``case``, ``thread``, ``message`` or ``consent`` belongs to.

    Raises:
        Forbidden: the role never may, or the actor sees the thing but may not do this.
        NotFound: it is not there for this actor.
    """
    policy.authorize_self(entered.actor, action, now=entered.now)  # the role first: it needs no look-up
    found = await store.standing_of(db, kind, entity_id)
    standing = None if found is None else parse_standing(found)
    return policy.authorize(entered.actor, action, standing, now=entered.now)


def parse_standing(found: dict[str, Any]) -> Standing:
    """Return the standing that ``standing_of`` answered."""
    member = found["member"] or {}
    return Standing(
        case_id=CaseId(UUID(found["caseId"])),
        kind=found["kind"],
        status=found["status"],
        domain=Domain(found["domain"]),
        seq=found["seq"],
        version=found["version"],
        opened_by_me=found["openedByMe"],
        manages=found["manages"],
        stands_in=found["standsIn"],
        member_id=MemberId(UUID(member["id"])) if member else None,
        member_status=MemberStatus(member["status"]) if member else None,
        subject_of=frozenset(PatientId(UUID(patient)) for patient in found["subjectOf"]),
        subjects=tuple(PatientId(UUID(patient)) for patient in found["subjects"]),
        holdings=tuple(_holding(*row) for row in found["grants"]),
        entity=_entity(found["entity"]),
        emergency=bool(member) and member["emergency"],
        represents=frozenset(PatientId(UUID(patient)) for patient in found["represents"]),
        receives=found["receives"],
    )


@lru_cache(maxsize=HOLDINGS_MAX)  # the same rows come with every request of the same person
def _holding(
    patient: str,
    category: str,
    domain: str,
    may_write: bool,
    ground: str,
    consent: str | None,
    from_seq: int,
    threads_from_seq: int,
    valid_from: str,
    valid_until: str | None,
    on_behalf_of: str | None,
) -> Holding:
    return Holding(
        cell=Cell(PatientId(UUID(patient)), Category(category), Domain(domain)),
        may_write=may_write,
        ground=Ground(ground),
        consent_id=ConsentId(UUID(consent)) if consent else None,
        visible_from_seq=from_seq,
        threads_from_seq=threads_from_seq,
        valid_from=datetime.fromisoformat(valid_from),
        valid_until=datetime.fromisoformat(valid_until) if valid_until else None,
        on_behalf_of=AccountId(UUID(on_behalf_of)) if on_behalf_of else None,
    )


def _entity(found: dict[str, Any]) -> Entity:
    cell = None
    if found.get("category"):
        cell = Cell(PatientId(UUID(found["patientId"])), Category(found["category"]), Domain(found["domain"]))
    author, thread, held = found.get("authorId"), found.get("threadId"), found.get("heldUntil")
    return Entity(
        cell=cell,
        seq=found.get("seq"),
        opened_seq=found.get("openedSeq", 0),
        author_id=AccountId(UUID(author)) if author else None,
        retracted=found.get("retracted", False),
        readable=found.get("readable", False),
        thread_id=ThreadId(UUID(thread)) if thread else None,
        held_until=datetime.fromisoformat(held) if held else None,
    )


async def enter_as_time(db: AsyncSession, now: datetime | None) -> datetime:
    """Enter a transaction in which nobody acts, and return its instant."""
    return await store.enter_as_time(db, now)


async def place_of(db: AsyncSession, kind: str, entity_id: UUID) -> tuple[UUID, UUID | None] | None:
    """Return the case and patient of a thing, for the record of a denial; never shown to the actor."""
    return await store.place_of(db, kind, entity_id)
