"""Derives the grants of a case again where an input changed, and says for whom that changed what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.vocabulary import Category, Domain, Ground, Law, Role
from app.core.ids import (
    AccountId,
    CaseId,
    ConsentId,
    EngagementId,
    MemberId,
    OrganisationId,
    PatientId,
    ReplacementId,
    TeamId,
    new_id,
)
from app.entitlement import store
from app.entitlement.grants import (
    Emergency,
    Exclusion,
    Grant,
    Inputs,
    Lifting,
    Objection,
    Opening,
    Period,
    Recipient,
    Replacement,
    Represents,
    Seat,
    SubjectOf,
    Task,
)
from app.entitlement.rules import derive
from app.events.drafts import Draft, EventType, only

Cells = frozenset[tuple[EngagementId, PatientId, Category, Domain, bool]]


@dataclass(frozen=True, slots=True)
class Change:
    """What a derivation changed: the new access version, and the cells in force before and after."""

    version: int
    before: Cells
    after: Cells

    def drafts(self, why: str) -> list[Draft]:
        """Return an ``access.changed`` event for each engagement and subject that gained or lost a cell."""
        drafts = []
        for engagement, patient in sorted({(cell[0], cell[1]) for cell in self.before ^ self.after}, key=str):
            was = _reads(self.before, engagement, patient)
            is_now = _reads(self.after, engagement, patient)
            gained = {cell for cell, write in is_now.items() if cell not in was or (write and not was[cell])}
            lost = was.keys() - is_now.keys()
            if gained or lost:
                drafts.append(
                    Draft(
                        type=EventType.ACCESS_CHANGED,
                        audience=only(engagement),
                        patient_id=patient,
                        data={"gained": _listed(gained, is_now), "lost": _listed(lost, was), "why": why},
                    )
                )
        return drafts


def _reads(cells: Cells, engagement: EngagementId, patient: PatientId) -> dict[tuple[Category, Domain], bool]:
    found: dict[tuple[Category, Domain], bool] = {}
    for holder, subject, category, domain, may_write in cells:
        if holder == engagement and subject == patient:
            found[(category, domain)] = found.get((category, domain), False) or may_write
    return found


def _listed(
    cells: Iterable[tuple[Category, Domain]], write: Mapping[tuple[Category, Domain], bool]
) -> list[dict[str, object]]:
    return [
        {"category": category, "domain": domain, "mayWrite": write[(category, domain)]}
        for category, domain in sorted(cells)
    ]


async def rederive(db: AsyncSession, case_id: CaseId, *, now: datetime) -> Change:
    """Replace the grants of a case by what its inputs now derive to, and raise its access version.

    The caller holds the case's lock since before it changed an input.
    """
    await store.hold_inputs(db, case_id)
    found = await store.grant_inputs(db, case_id)
    wanted = derive(parse_inputs(found), now=now)
    present = {_grant(row): row for row in found["grants"]}
    removed = [UUID(row["id"]) for grant, row in present.items() if grant not in wanted]
    added = [_row(grant) for grant in wanted if grant not in present]
    version = await store.replace_grants(db, case_id, removed, added)
    await store.keep_basis(db, case_id)
    announced = [grant for grant, row in present.items() if row["announced"]]
    # Whoever entered later may have held the case before: what that one said began is not lost by an earlier instant.
    begun = max([now, *(grant.period.start for grant in announced)])
    return Change(
        version=version,
        before=frozenset(_cell(grant) for grant in announced),
        after=frozenset(_cell(grant) for grant in wanted if grant.period.holds(begun)),
    )


def _cell(grant: Grant) -> tuple[EngagementId, PatientId, Category, Domain, bool]:
    return grant.engagement_id, grant.patient_id, grant.category, grant.domain, grant.may_write


def _row(grant: Grant) -> dict[str, Any]:
    return {
        "id": str(new_id()),
        "member_id": str(grant.member_id),
        "engagement_id": str(grant.engagement_id),
        "account_id": str(grant.account_id),
        "patient_id": str(grant.patient_id),
        "category": grant.category,
        "domain": grant.domain,
        "may_write": grant.may_write,
        "ground": grant.ground,
        "consent_id": str(grant.consent_id) if grant.consent_id else None,
        "visible_from_seq": grant.visible_from_seq,
        "threads_from_seq": grant.threads_from_seq,
        "replacement_id": str(grant.replacement_id) if grant.replacement_id else None,
        "on_behalf_of": str(grant.on_behalf_of) if grant.on_behalf_of else None,
        "valid_from": grant.period.start.isoformat(),
        "valid_until": grant.period.end.isoformat() if grant.period.end else None,
    }


def _grant(row: Mapping[str, Any]) -> Grant:
    return Grant(
        member_id=MemberId(UUID(row["member_id"])),
        engagement_id=EngagementId(UUID(row["engagement_id"])),
        account_id=AccountId(UUID(row["account_id"])),
        patient_id=PatientId(UUID(row["patient_id"])),
        category=Category(row["category"]),
        domain=Domain(row["domain"]),
        may_write=row["may_write"],
        ground=Ground(row["ground"]),
        consent_id=ConsentId(UUID(row["consent_id"])) if row["consent_id"] else None,
        visible_from_seq=row["visible_from_seq"],
        threads_from_seq=row["threads_from_seq"],
        period=_period(row["valid_from"], row["valid_until"]),
        replacement_id=ReplacementId(UUID(row["replacement_id"])) if row["replacement_id"] else None,
        on_behalf_of=AccountId(UUID(row["on_behalf_of"])) if row["on_behalf_of"] else None,
    )


def _period(start: str, end: str | None) -> Period:
    return Period(datetime.fromisoformat(start), datetime.fromisoformat(end) if end else None)


def parse_inputs(found: Mapping[str, Any]) -> Inputs:
    """Return the inputs that ``grant_inputs`` answered."""
    return Inputs(
        subjects=tuple(
            SubjectOf(
                PatientId(UUID(item["patientId"])),
                AccountId(UUID(item["accountId"])) if item["accountId"] else None,
                datetime.fromisoformat(item["diedAt"]) if item["diedAt"] else None,
                datetime.fromisoformat(item["until"]) if item.get("until") else None,
                None if item["participation"] is None else tuple(_period(*one) for one in item["participation"]),
            )
            for item in found["subjects"]
        ),
        seats=tuple(_seat(item) for item in found["seats"]),
        tasks=tuple(
            Task(MemberId(UUID(item["memberId"])), Law(item["law"]), _period(item["validFrom"], item["validUntil"]))
            for item in found["tasks"]
        ),
        consents=tuple(_lifting(item) for item in found["consents"]),
        replacements=tuple(
            Replacement(
                replacement_id=ReplacementId(UUID(item["id"])),
                replaced_engagement_id=EngagementId(UUID(item["replacedEngagementId"])),
                replaced_account_id=AccountId(UUID(item["replacedAccountId"])),
                substitute_engagement_id=EngagementId(UUID(item["substituteEngagementId"])),
                substitute_account_id=AccountId(UUID(item["substituteAccountId"])),
                period=_period(item["validFrom"], item["validUntil"]),
            )
            for item in found["replacements"]
        ),
        represents=tuple(
            Represents(
                *_about(item),
                scope=_categories(item["scope"]),
                withheld=_categories(item["withheld"]) or frozenset(),
                period=_period(item["validFrom"], item["validUntil"]),
            )
            for item in found["represents"]
        ),
        exclusions=tuple(
            Exclusion(PatientId(UUID(item["patientId"])), AccountId(UUID(item["accountId"])))
            for item in found["exclusions"]
        ),
        objections=tuple(Objection(*_about(item), _categories(item["categories"])) for item in found["objections"]),
        openings=tuple(
            Opening(*_about(item), Category(item["category"]), _period(item["validFrom"], item["validUntil"]))
            for item in found["openings"]
        ),
        emergencies=tuple(
            Emergency(*_about(item), item["lifeThreatening"], _period(item["validFrom"], item["validUntil"]))
            for item in found["emergencies"]
        ),
        home=OrganisationId(UUID(found["case"]["organisationId"])),
    )


def _about(item: Mapping[str, Any]) -> tuple[PatientId, MemberId]:
    return PatientId(UUID(item["patientId"])), MemberId(UUID(item["memberId"]))


def _categories(listed: Iterable[str] | None) -> frozenset[Category] | None:
    return None if listed is None else frozenset(Category(one) for one in listed)


def _seat(item: Mapping[str, Any]) -> Seat:
    return Seat(
        member_id=MemberId(UUID(item["memberId"])),
        engagement_id=EngagementId(UUID(item["engagementId"])),
        account_id=AccountId(UUID(item["accountId"])),
        role=Role(item["role"]),
        domain=Domain(item["domain"]) if item["domain"] else None,
        law=Law(item["law"]) if item["law"] else None,
        organisation_id=OrganisationId(UUID(item["organisationId"])) if item["organisationId"] else None,
        direct_treatment=item["directTreatment"],
        from_seq=item["fromSeq"],
        period=_period(item["validFrom"], item["validUntil"]),
        teams=tuple((TeamId(UUID(team)), _period(start, end)) for team, start, end in item["teams"]),
        speciality=item["speciality"],
        emergency=item["emergency"],
    )


def _lifting(item: Mapping[str, Any]) -> Lifting:
    return Lifting(
        consent_id=ConsentId(UUID(item["id"])),
        patient_id=PatientId(UUID(item["patientId"])),
        from_domains=frozenset(Domain(domain) for domain in item["fromDomains"]),
        categories=frozenset(Category(category) for category in item["categories"]),
        both_ways=item["bothWays"],
        from_seq=item["fromSeq"],
        threads_from_seq=item["threadsFromSeq"],
        period=_period(item["validFrom"], item["validUntil"]),
        recipients=tuple(
            Recipient(
                type=recipient["type"],
                id=UUID(recipient["id"]) if recipient["id"] else None,
                role=Role(recipient["role"]) if recipient["role"] else None,
            )
            for recipient in item["recipients"]
        ),
    )
