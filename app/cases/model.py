"""Tables of cases: patients, cases, subjects, members, public tasks. Migrations hold the constraints."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, POSITION, SEALED, TEXT


class Patient(SQLModel, table=True):
    """A citizen as one organisation knows them. Everything that names them is sealed under a key of their own."""

    __tablename__ = "patient"
    __table_args__ = (
        UniqueConstraint("organisation_id", "bsn_organisation_index"),
        Index("ix_patient_name", "organisation_id", "name_index"),
    )
    id: UUID = Field(primary_key=True)
    organisation_id: UUID = Field(foreign_key="organisation.id")
    bsn_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    bsn_organisation_index: bytes | None = Field(default=None, sa_type=DIGEST)
    bsn_link_index: bytes | None = Field(default=None, sa_type=DIGEST, index=True)
    no_bsn_reason_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    name_sealed: bytes = Field(sa_type=SEALED)
    name_index: bytes = Field(sa_type=DIGEST)
    birth_date_sealed: bytes = Field(sa_type=SEALED)
    neighbourhood: str = Field(sa_type=TEXT)
    account_id: UUID | None = Field(default=None, foreign_key="account.id", index=True)
    registered_by_account_id: UUID = Field(foreign_key="account.id")
    registered_at: datetime = Field(sa_type=INSTANT)


class CareCase(SQLModel, table=True):
    """One table around one citizen or household (``case`` is SQL's own word)."""

    __tablename__ = "care_case"
    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=TEXT)
    status: str = Field(sa_type=TEXT)
    organisation_id: UUID = Field(foreign_key="organisation.id")
    domain: str = Field(sa_type=TEXT)
    opened_by_account_id: UUID = Field(foreign_key="account.id")
    opened_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    opened_at: datetime = Field(sa_type=INSTANT)
    handed_to_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")


class Subject(SQLModel, table=True):
    """A person the case is about; the question about them is the body of the event ``case.opened``.

    Who joined a household later takes part ``by_consent``, as long as one holds.
    """

    __tablename__ = "subject"
    __table_args__ = (Index("ix_subject_patient", "patient_id"),)
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    patient_id: UUID = Field(primary_key=True, foreign_key="patient.id")
    safe_contact: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    died_on: date | None = None
    died_at: datetime | None = Field(default=None, sa_type=INSTANT)
    death_recorded_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    by_consent: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class Member(SQLModel, table=True):
    """Who sits at the table: a person, a function, a team, or until ``seated_until`` whoever broke the glass."""

    __tablename__ = "member"
    __table_args__ = (
        Index(
            "uq_member_seated",
            "case_id",
            "engagement_id",
            unique=True,
            postgresql_where=text("status in ('invited', 'accepted') and kind <> 'emergency'"),
        ),
        Index(
            "uq_member_emergency",
            "case_id",
            "engagement_id",
            unique=True,
            postgresql_where=text("status = 'accepted' and kind = 'emergency'"),
        ),
        Index("ix_member_engagement", "engagement_id"),
    )
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=TEXT)
    engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    organisation_id: UUID | None = Field(default=None, foreign_key="organisation.id")
    function_role: str | None = Field(default=None, sa_type=TEXT)
    team_id: UUID | None = Field(default=None, foreign_key="team.id")
    case_role: str = Field(sa_type=TEXT)
    direct_treatment: bool
    history: str = Field(sa_type=TEXT)
    history_from_seq: int = Field(default=0, sa_type=POSITION, sa_column_kwargs={"server_default": text("0")})
    reason_code: str | None = Field(default=None, sa_type=TEXT)
    status: str = Field(sa_type=TEXT)
    invited_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    invited_at: datetime = Field(sa_type=INSTANT)
    decided_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    seated_until: datetime | None = Field(default=None, sa_type=INSTANT)


class PublicTask(SQLModel, table=True):
    """A municipality's task for this case, recorded for one member under one law."""

    __tablename__ = "public_task"
    __table_args__ = (ForeignKeyConstraint(["case_id", "member_id"], ["member.case_id", "member.id"]),)
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    member_id: UUID
    law: str = Field(sa_type=TEXT)
    valid_from: datetime = Field(sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
