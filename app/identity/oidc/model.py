"""Tables of log-in with a provider elsewhere. Migrations hold the constraints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, TEXT


class ExternalIdentity(SQLModel, table=True):
    """Who an account is by the lights of an issuer; of the subject only a keyed digest."""

    __tablename__ = "external_identity"
    __table_args__ = (UniqueConstraint("issuer", "subject_digest"),)
    id: UUID = Field(primary_key=True)
    issuer: str = Field(sa_type=TEXT)
    subject_digest: bytes = Field(sa_type=DIGEST)
    account_id: UUID = Field(foreign_key="account.id", index=True)
    linked_at: datetime = Field(sa_type=INSTANT)


class OidcLogIn(SQLModel, table=True):
    """A log-in under way, found by its state together with the browser's own secret."""

    __tablename__ = "oidc_log_in"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    provider: str = Field(sa_type=TEXT)
    purpose: str = Field(sa_type=TEXT)
    delivery: str = Field(sa_type=TEXT)
    return_to: str = Field(sa_type=TEXT)
    fresh: bool
    login_session_id: UUID | None = Field(default=None, foreign_key="login_session.id")
    engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    started_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT, index=True)


class OidcCompletion(SQLModel, table=True):
    """A log-in that was proven and waits to be fetched."""

    __tablename__ = "oidc_completion"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    external_identity_id: UUID = Field(foreign_key="external_identity.id", ondelete="CASCADE", index=True)
    provider: str = Field(sa_type=TEXT)
    authenticated_at: datetime = Field(sa_type=INSTANT)
    provider_session_digest: bytes | None = Field(default=None, sa_type=DIGEST)
    expires_at: datetime = Field(sa_type=INSTANT)


class OidcSession(SQLModel, table=True):
    """From which session of a provider's a session of ours came."""

    __tablename__ = "oidc_session"
    login_session_id: UUID = Field(primary_key=True, foreign_key="login_session.id")
    external_identity_id: UUID | None = Field(
        default=None, foreign_key="external_identity.id", ondelete="SET NULL", index=True
    )
    issuer: str = Field(sa_type=TEXT)
    provider_session_digest: bytes | None = Field(default=None, sa_type=DIGEST, index=True)
