"""Representations as requests bring them and answers show them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import PROFESSIONALS, Category
from app.api.activation import IdentityCheckIn
from app.api.bodies import Body, Day, Instant, Text, unfit
from app.api.deps import CaseContext, case_touch
from app.api.operations import Out
from app.api.patients import NameBody
from app.api.schemas import At, AuthorRef, PersonRef, author_ref, person_ref
from app.audit.records import Touch
from app.cases.service import Name
from app.consent.decisions import RepresentationKind
from app.consent.representations import Claim, Evidence
from app.core.ids import AccountId, PatientId
from app.entitlement import representing
from app.entitlement.representing import Spokesperson, evidence_place, reason_place
from app.identity.enrolment import CodeDelivery, IdentityDocument, Relative

CategoriesIn = Annotated[list[Category], Field(min_length=1, max_length=len(Category))]


class RepresentativeIn(Body):
    """Who speaks for the patient: an account, or a new person by name. There is no member for a BSN (R-40)."""

    account_id: UUID | None = None
    name: NameBody | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.account_id is None) == (self.name is None):
            raise unfit("account-or-name", "Give either accountId or name.")
        return self


class EvidenceIn(Body):
    """By what it was seen, and in words what else there is to say, which are sealed."""

    code: Evidence
    text: Annotated[str, Text(1, 2000)] | None = None


class RepresentationIn(Body):
    """Somebody's say for a patient. ``scope`` is every category, when absent; a parent's end is the birthday."""

    patient_id: UUID
    representative: RepresentativeIn
    kind: RepresentationKind
    evidence: EvidenceIn
    scope: CategoriesIn | None = None
    capacity_lost: bool = False
    valid_from: Instant
    valid_until: Instant | None = None

    def claim(self) -> Claim:
        """Return what is to be recorded."""
        return Claim(
            patient_id=self.patient_id,
            kind=self.kind,
            evidence=self.evidence.code,
            evidence_text=self.evidence.text,
            scope=frozenset(self.scope) if self.scope else None,
            capacity_lost=self.capacity_lost,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
        )

    def who(self) -> Spokesperson:
        """Return who speaks."""
        person = self.representative
        if person.name is None:
            return Spokesperson(account_id=AccountId(person.account_id) if person.account_id else None)
        return Spokesperson(name=Name(person.name.given, person.name.family, person.name.prefix))


class RelativeCodeIn(Body):
    """How it was seen who the representative is, and how the code reaches them; it opens with this birth date."""

    birth_date: Day
    identity_check: IdentityCheckIn
    delivery: Literal["handed-over", "posted"]

    def relative(self) -> Relative:
        """Return what the code is bound to."""
        document = IdentityDocument(self.identity_check.document)
        return Relative(self.birth_date, document, CodeDelivery(self.delivery))


class WithholdingIn(Body):
    """What a parent is not shown (everything, when absent), and why, which is sealed."""

    categories: CategoriesIn | None = None
    reason: Annotated[str, Text(1, 2000)]


class WithholdingOut(Out):
    """What is withheld from a parent. The reason is shown to its author and the case manager."""

    id: UUID
    categories: list[Category] | None
    reason: str | None
    recorded_by: AuthorRef
    recorded_at: At
    ended_at: At | None


class RepresentationOut(Out):
    """Somebody's recorded say for a patient. What is withheld is absent for all but professionals."""

    id: UUID
    patient_id: UUID
    member_id: UUID
    representative: PersonRef
    kind: RepresentationKind
    evidence: Evidence
    evidence_text: str | None
    scope: list[Category] | None
    capacity_lost: bool
    status: Literal["in-force", "ended"]
    valid_from: At
    valid_until: At | None
    recorded_by: AuthorRef
    recorded_at: At
    ended_at: At | None
    withholdings: list[WithholdingOut] | None = None


class RepresentationsOut(Out):
    """Representations, newest first."""

    items: list[RepresentationOut]
    next_cursor: str | None


async def representation_outs(ctx: CaseContext, rows: Sequence[RowMapping]) -> list[RepresentationOut]:
    """Return representations as this viewer may see them."""
    people = await ctx.services.directory.people(
        engagement
        for row in rows
        for engagement in (
            row["engagement_id"],
            row["recorded_by_engagement_id"],
            *(UUID(one["recorded_by_engagement_id"]) for one in row["withholdings"]),
        )
    )
    if unknown := {row["engagement_id"] for row in rows} - people.keys():
        people = {**people, **await representing.newcomers(ctx.db, ctx.permit, ctx.crypto, unknown)}
    outs = []
    for row in rows:
        ended = row["ended_at"] or row["valid_until"]
        hidden: dict[str, Any] = {}
        if ctx.actor.role in PROFESSIONALS:
            hidden["withholdings"] = [
                await _withholding(ctx, one, author_ref(people, UUID(one["recorded_by_engagement_id"])))
                for one in row["withholdings"]
            ]
        outs.append(
            RepresentationOut(
                representative=person_ref(people[row["engagement_id"]]),
                evidence_text=await _evidence(ctx, row),
                status="ended" if ended is not None and ended <= ctx.now else "in-force",
                recorded_by=author_ref(people, row["recorded_by_engagement_id"]),
                **{name: row[name] for name in _PLAIN},
                **hidden,
            )
        )
    return outs


_PLAIN = (
    *("id", "patient_id", "member_id", "kind", "evidence", "scope", "capacity_lost", "valid_from", "valid_until"),
    *("recorded_at", "ended_at"),
)


async def _evidence(ctx: CaseContext, row: RowMapping) -> str | None:
    if not _writes(ctx, row["recorded_by_engagement_id"]):
        return None
    place = evidence_place(row["case_id"], row["id"], row["recorded_by_account_id"])
    return await representing.open_sealed(ctx.crypto, row["evidence_sealed"], place)


async def _withholding(ctx: CaseContext, one: dict[str, Any], author: AuthorRef) -> WithholdingOut:
    reason = None
    if _writes(ctx, UUID(one["recorded_by_engagement_id"])):
        place = reason_place(UUID(one["case_id"]), UUID(one["id"]), UUID(one["recorded_by_account_id"]))
        reason = await representing.open_sealed(ctx.crypto, bytes.fromhex(one["reason_sealed"]), place)
    return WithholdingOut(
        id=UUID(one["id"]),
        categories=one["categories"],
        reason=reason,
        recorded_by=author,
        recorded_at=datetime.fromisoformat(one["recorded_at"]),
        ended_at=datetime.fromisoformat(one["ended_at"]) if one["ended_at"] else None,
    )


def _writes(ctx: CaseContext, author: UUID) -> bool:
    """Whether sealed words are for the viewer: who wrote them, and the case manager."""
    return ctx.permit.standing.manages or author == ctx.actor.engagement_id


def representation_touch(ctx: CaseContext, row: RowMapping) -> Touch:
    """Return the touch of one representation, for the log."""
    return case_touch(ctx.permit, "representation", row["id"], patient_id=PatientId(row["patient_id"]))
