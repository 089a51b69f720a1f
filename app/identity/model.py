"""Tables of who people are: organisations, accounts, engagements, teams, log-ins. Migrations hold the constraints."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, SEALED, TEXT


class Organisation(SQLModel, table=True):
    """A GP practice, municipality, nursing organisation and so on."""

    __tablename__ = "organisation"
    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=TEXT)
    name: str = Field(sa_type=TEXT)
    municipality_code: str | None = Field(default=None, sa_type=TEXT)


class Account(SQLModel, table=True):
    """A person who can log in. The name is sealed: a citizen's name is a patient's name."""

    __tablename__ = "account"
    id: UUID = Field(primary_key=True)
    name_sealed: bytes = Field(sa_type=SEALED)
    bsn_link_index: bytes | None = Field(default=None, sa_type=DIGEST, unique=True)
    created_at: datetime = Field(sa_type=INSTANT)


class Engagement(SQLModel, table=True):
    """In what capacity a person acts: role, organisation, domain, law, responsible professional, period."""

    __tablename__ = "engagement"
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


class Team(SQLModel, table=True):
    """A team, across organisations and municipalities."""

    __tablename__ = "team"
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=TEXT)


class TeamMember(SQLModel, table=True):
    """Who is in a team, and when."""

    __tablename__ = "team_member"
    team_id: UUID = Field(primary_key=True, foreign_key="team.id")
    engagement_id: UUID = Field(primary_key=True, foreign_key="engagement.id")
    valid_from: datetime = Field(primary_key=True, sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)


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


class RealtimeTicket(SQLModel, table=True):
    """A single-use key to the socket; only its digest is kept."""

    __tablename__ = "realtime_ticket"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    login_session_id: UUID = Field(foreign_key="login_session.id")
    expires_at: datetime = Field(sa_type=INSTANT)
