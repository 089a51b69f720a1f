"""Tables of what is open to whom: the grants, what they were, and who stands in for whom."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, JSON, POSITION, SEALED, TEXT


class GrantColumns(SQLModel):
    """What a grant says: this engagement holds this cell of this subject, on this ground, in this period."""

    member_id: UUID
    engagement_id: UUID
    account_id: UUID
    patient_id: UUID
    category: str = Field(sa_type=TEXT)
    domain: str = Field(sa_type=TEXT)
    may_write: bool
    ground: str = Field(sa_type=TEXT)
    consent_id: UUID | None = None
    visible_from_seq: int = Field(sa_type=POSITION)
    threads_from_seq: int = Field(sa_type=POSITION)
    replacement_id: UUID | None = None
    on_behalf_of: UUID | None = None
    valid_from: datetime = Field(sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)
    granted_at: datetime = Field(sa_type=INSTANT)


class AccessGrant(GrantColumns, table=True):
    """A grant in force or to come; written by ``replace_grants`` alone."""

    __tablename__ = "access_grant"
    __table_args__ = (
        Index("ix_access_grant_cell", "case_id", "engagement_id", "category", "domain"),
        Index("ix_access_grant_engagement", "engagement_id"),
        Index("ix_access_grant_ending", "valid_until", postgresql_where=text("valid_until is not null")),
        Index("ix_access_grant_beginning", "valid_from", postgresql_where=text("not announced")),
    )
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True)
    announced: bool


class EndedGrant(GrantColumns, table=True):
    """A grant that was, kept to answer who could see what at any moment."""

    __tablename__ = "ended_grant"
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True)
    ended_at: datetime = Field(sa_type=INSTANT)


class AccessBasis(SQLModel, table=True):
    """What one derivation rested on; rows are added and never changed."""

    __tablename__ = "access_basis"
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    version: int = Field(primary_key=True, sa_type=POSITION)
    policy_version: str = Field(sa_type=TEXT)
    inputs: dict[str, Any] = Field(sa_type=JSON)
    derived_at: datetime = Field(sa_type=INSTANT)


class Replacement(SQLModel, table=True):
    """Somebody stands in for an engagement; no two at a time for the same one, the migration sees to that."""

    __tablename__ = "replacement"
    __table_args__ = (
        Index("ix_replacement_replaced", "replaced_engagement_id"),
        Index("ix_replacement_substitute", "substitute_engagement_id"),
    )
    id: UUID = Field(primary_key=True)
    replaced_engagement_id: UUID = Field(foreign_key="engagement.id")
    substitute_engagement_id: UUID = Field(foreign_key="engagement.id")
    kind: str = Field(sa_type=TEXT)
    valid_from: datetime = Field(sa_type=INSTANT)
    valid_until: datetime = Field(sa_type=INSTANT)
    started_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    created_at: datetime = Field(sa_type=INSTANT)
    cancelled_at: datetime | None = Field(default=None, sa_type=INSTANT)


class Substitute(SQLModel, table=True):
    """Who may stand in at an organisation without working there."""

    __tablename__ = "substitute"
    organisation_id: UUID = Field(primary_key=True, foreign_key="organisation.id")
    engagement_id: UUID = Field(primary_key=True, foreign_key="engagement.id")
    registered_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    registered_at: datetime = Field(sa_type=INSTANT)


class BreakGlass(SQLModel, table=True):
    """Somebody broke the glass: why, who confirmed it, how long it lasts, and what a reviewer said. Never a BSN."""

    __tablename__ = "break_glass"
    __table_args__ = (
        Index("ix_break_glass_account", "account_id", "review_due_at", postgresql_where=text("reviewed_at is null")),
        Index("ix_break_glass_created", "created_at", "id"),
    )
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id")
    engagement_id: UUID = Field(foreign_key="engagement.id")
    subject_index: bytes = Field(sa_type=DIGEST)
    reason_code: str = Field(sa_type=TEXT)
    reason_sealed: bytes = Field(sa_type=SEALED)
    six_tests_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    delay_reason_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    citizen_told_from: datetime = Field(sa_type=INSTANT)
    needs_second: bool
    created_at: datetime = Field(sa_type=INSTANT)
    confirmed_by_account_id: UUID | None = Field(default=None, foreign_key="account.id")
    confirmed_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    started_at: datetime | None = Field(default=None, sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    review_due_at: datetime = Field(sa_type=INSTANT)
    verdict: str | None = Field(default=None, sa_type=TEXT)
    remarks_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    reviewed_by_account_id: UUID | None = Field(default=None, foreign_key="account.id")
    reviewed_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    reviewed_at: datetime | None = Field(default=None, sa_type=INSTANT)


class BreakGlassCase(SQLModel, table=True):
    """A case that breaking the glass opened, by which access, at which seat, about whom."""

    __tablename__ = "break_glass_case"
    __table_args__ = (
        ForeignKeyConstraint(["case_id", "access_id"], ["emergency_access.case_id", "emergency_access.id"]),
        Index("ix_break_glass_case_member", "case_id", "member_id"),
    )
    break_glass_id: UUID = Field(primary_key=True, foreign_key="break_glass.id")
    case_id: UUID = Field(primary_key=True)
    access_id: UUID = Field(primary_key=True)
    member_id: UUID
    patient_id: UUID


class Death(SQLModel, table=True):
    """That a subject died, as somebody recorded it; undone by somebody else when it was a mistake."""

    __tablename__ = "death"
    __table_args__ = (
        ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),
        Index("uq_death", "case_id", "patient_id", unique=True, postgresql_where=text("undone_at is null")),
    )
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    died_on: date
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
    undone_at: datetime | None = Field(default=None, sa_type=INSTANT)
    undone_by_account_id: UUID | None = Field(default=None, foreign_key="account.id")
    undone_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    undo_reason_sealed: bytes | None = Field(default=None, sa_type=SEALED)


class AfterDeathRequest(SQLModel, table=True):
    """Who asked to see something of somebody who died, on which ground, and what the case manager decided."""

    __tablename__ = "after_death_request"
    __table_args__ = (ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),)
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    ground: str = Field(sa_type=TEXT)
    granted: bool
    requester_sealed: bytes = Field(sa_type=SEALED)
    reason_sealed: bytes = Field(sa_type=SEALED)
    given_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)


class Move(SQLModel, table=True):
    """In which municipality a subject lives from a day on."""

    __tablename__ = "move"
    __table_args__ = (ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),)
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    municipality_code: str = Field(sa_type=TEXT)
    moved_on: date
    moved_at: datetime = Field(sa_type=INSTANT)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)


class PracticeChange(SQLModel, table=True):
    """That a case goes from one GP practice to another; nothing changes before a GP there accepts.

    ``reason`` is a code, of a refusal alone.
    """

    __tablename__ = "practice_change"
    __table_args__ = (
        Index("uq_practice_change_open", "case_id", unique=True, postgresql_where=text("state = 'announced'")),
        Index("ix_practice_change_to", "to_organisation_id"),
    )
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True)
    from_organisation_id: UUID = Field(foreign_key="organisation.id")
    to_organisation_id: UUID = Field(foreign_key="organisation.id")
    state: str = Field(sa_type=TEXT)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
    decided_by_account_id: UUID | None = Field(default=None, foreign_key="account.id")
    decided_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    decided_at: datetime | None = Field(default=None, sa_type=INSTANT)
    reason: str | None = Field(default=None, sa_type=TEXT)
