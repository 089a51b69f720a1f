"""Tables of who people are: organisations, accounts, engagements, teams, log-ins. Migrations hold the constraints."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, JSON, SEALED, TEXT, TEXTS


class Organisation(SQLModel, table=True):
    """A GP practice, municipality, nursing organisation and so on."""

    __tablename__ = "organisation"
    __table_args__ = (
        Index("ix_organisation_merged_into", "merged_into_id", postgresql_where=text("merged_into_id is not null")),
    )
    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=TEXT)
    name: str = Field(sa_type=TEXT)
    municipality_code: str | None = Field(default=None, sa_type=TEXT)
    status: str = Field(sa_type=TEXT)
    merged_into_id: UUID | None = Field(default=None, foreign_key="organisation.id")
    agb: str | None = Field(default=None, sa_type=TEXT, unique=True)
    ura: str | None = Field(default=None, sa_type=TEXT, unique=True)
    oin: str | None = Field(default=None, sa_type=TEXT, unique=True)
    kvk: str | None = Field(default=None, sa_type=TEXT)
    agreement_reference: str | None = Field(default=None, sa_type=TEXT)
    agreement_on: date | None = None
    created_at: datetime = Field(sa_type=INSTANT)


class Account(SQLModel, table=True):
    """A person who can log in. The name is sealed: a citizen's name is a patient's name."""

    __tablename__ = "account"
    id: UUID = Field(primary_key=True)
    name_sealed: bytes = Field(sa_type=SEALED)
    bsn_link_index: bytes | None = Field(default=None, sa_type=DIGEST, unique=True)
    created_at: datetime = Field(sa_type=INSTANT)
    status: str = Field(sa_type=TEXT)


class AccountRegistration(SQLModel, table=True):
    """A number that a register gives to a person: UZI, BIG or AGB."""

    __tablename__ = "account_registration"
    __table_args__ = (UniqueConstraint("kind", "number"),)
    account_id: UUID = Field(primary_key=True, foreign_key="account.id")
    kind: str = Field(primary_key=True, sa_type=TEXT)
    number: str = Field(sa_type=TEXT)


class Engagement(SQLModel, table=True):
    """In what capacity a person acts: role, organisation, domain, law, responsible professional, period."""

    __tablename__ = "engagement"
    __table_args__ = (
        Index(
            "ix_engagement_employee_number",
            "organisation_id",
            "employee_number",
            "role",
            unique=True,
            postgresql_where=text("employee_number is not null and valid_until is null"),
        ),
    )
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", index=True)
    organisation_id: UUID | None = Field(default=None, foreign_key="organisation.id", index=True)
    role: str = Field(sa_type=TEXT)
    profession: str = Field(sa_type=TEXT)
    speciality: str | None = Field(default=None, sa_type=TEXT)
    domain: str | None = Field(default=None, sa_type=TEXT)
    law: str | None = Field(default=None, sa_type=TEXT)
    responsible_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    valid_from: datetime = Field(sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)
    suspended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    confirmed_until: datetime | None = Field(default=None, sa_type=INSTANT)
    employee_number: str | None = Field(default=None, sa_type=TEXT)


class Team(SQLModel, table=True):
    """A team, across organisations and municipalities."""

    __tablename__ = "team"
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=TEXT)
    status: str = Field(sa_type=TEXT)
    merged_into_id: UUID | None = Field(default=None, foreign_key="team.id")
    created_at: datetime = Field(sa_type=INSTANT)


class TeamNeighbourhood(SQLModel, table=True):
    """Where a team works, and when."""

    __tablename__ = "team_neighbourhood"
    team_id: UUID = Field(primary_key=True, foreign_key="team.id")
    neighbourhood: str = Field(primary_key=True, sa_type=TEXT)
    valid_from: datetime = Field(primary_key=True, sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)


class TeamMember(SQLModel, table=True):
    """Who is in a team, and when."""

    __tablename__ = "team_member"
    __table_args__ = (Index("ix_team_member_engagement", "engagement_id"),)
    team_id: UUID = Field(primary_key=True, foreign_key="team.id")
    engagement_id: UUID = Field(primary_key=True, foreign_key="engagement.id")
    valid_from: datetime = Field(primary_key=True, sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)


class DossierKeeper(SQLModel, table=True):
    """Who of an organisation reads what its people wrote, when those have gone."""

    __tablename__ = "dossier_keeper"
    organisation_id: UUID = Field(primary_key=True, foreign_key="organisation.id")
    engagement_id: UUID = Field(primary_key=True, foreign_key="engagement.id")
    named_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    named_at: datetime = Field(sa_type=INSTANT)


class LoginSession(SQLModel, table=True):
    """A signed-in device. A token is worth nothing once this row has ended."""

    __tablename__ = "login_session"
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", index=True)
    engagement_id: UUID = Field(foreign_key="engagement.id")
    acr: str = Field(sa_type=TEXT)
    authenticated_at: datetime = Field(sa_type=INSTANT)
    created_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    method: str = Field(sa_type=TEXT)
    scopes: list[str] = Field(sa_type=TEXTS)
    idle_seconds: int | None = None
    idle_until: datetime | None = Field(default=None, sa_type=INSTANT)
    locked_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ended_why: str | None = Field(default=None, sa_type=TEXT)
    workplace_id: UUID | None = Field(default=None, foreign_key="workplace.id")
    two_factors_at: datetime | None = Field(default=None, sa_type=INSTANT)
    roles: list[str] | None = Field(default=None, sa_type=TEXTS)


class RealtimeTicket(SQLModel, table=True):
    """A single-use key to the socket; only its digest is kept."""

    __tablename__ = "realtime_ticket"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    login_session_id: UUID = Field(foreign_key="login_session.id")
    engagement_id: UUID = Field(foreign_key="engagement.id")
    expires_at: datetime = Field(sa_type=INSTANT)


class RefreshToken(SQLModel, table=True):
    """What gets the next tokens of a session, once; only its digest is kept."""

    __tablename__ = "refresh_token"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    login_session_id: UUID = Field(foreign_key="login_session.id")
    engagement_id: UUID = Field(foreign_key="engagement.id")
    issued_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT, index=True)
    used_at: datetime | None = Field(default=None, sa_type=INSTANT)


class BrowserSession(SQLModel, table=True):
    """What a browser carries its session on with; only the digest of the cookie is kept."""

    __tablename__ = "browser_session"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    login_session_id: UUID = Field(foreign_key="login_session.id", unique=True)
    engagement_id: UUID = Field(foreign_key="engagement.id")
    expires_at: datetime = Field(sa_type=INSTANT, index=True)


class ScimUser(SQLModel, table=True):
    """What an organisation's identity system calls one of its engagements; the names are sealed."""

    __tablename__ = "scim_user"
    __table_args__ = (
        UniqueConstraint("organisation_id", "user_name_digest"),
        Index("ix_scim_user_external_id", "organisation_id", "external_id_digest"),
    )
    engagement_id: UUID = Field(primary_key=True, foreign_key="engagement.id")
    organisation_id: UUID = Field(foreign_key="organisation.id")
    user_name_digest: bytes = Field(sa_type=DIGEST)
    external_id_digest: bytes | None = Field(default=None, sa_type=DIGEST)
    attributes_sealed: bytes = Field(sa_type=SEALED)
    created_at: datetime = Field(sa_type=INSTANT)
    changed_at: datetime = Field(sa_type=INSTANT)


class AccountHandover(SQLModel, table=True):
    """A single-use code by which somebody lets another organisation add an engagement; only its digest is kept."""

    __tablename__ = "account_handover"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    account_id: UUID = Field(foreign_key="account.id", index=True)
    expires_at: datetime = Field(sa_type=INSTANT)


class Client(SQLModel, table=True):
    """An integration: its keys, and what it may do how often. Its status is its account's."""

    __tablename__ = "client"
    id: UUID = Field(primary_key=True, foreign_key="account.id")
    engagement_id: UUID = Field(foreign_key="engagement.id", unique=True)
    scopes: list[str] = Field(sa_type=TEXTS)
    jwks: list[dict[str, str]] | None = Field(default=None, sa_type=JSON)
    jwks_url: str | None = Field(default=None, sa_type=TEXT)
    token_seconds: int
    rate: int
    dpop_required: bool
    created_at: datetime = Field(sa_type=INSTANT)


class ShownOnce(SQLModel, table=True):
    """What may be shown once only, until it ends; only its digest is kept."""

    __tablename__ = "shown_once"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    expires_at: datetime = Field(sa_type=INSTANT, index=True)


class BsnAllowance(SQLModel, table=True):
    """When an account's allowance of BSN look-ups would be whole again."""

    __tablename__ = "bsn_allowance"
    account_id: UUID = Field(primary_key=True, foreign_key="account.id")
    whole_at: datetime = Field(sa_type=INSTANT)
