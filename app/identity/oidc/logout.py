"""Back-channel logout: a provider says that a session of its own has ended.

Source: OpenID Connect Back-Channel Logout 1.0.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.ids import AccountId
from app.core.providers import OidcProvider
from app.crypto.digests import Digests
from app.identity import store as identity_store
from app.identity.oidc import store
from app.identity.oidc.client import Providers
from app.identity.oidc.derived import session_digest, subject_digest
from app.identity.oidc.id_tokens import (
    LEEWAY_SECONDS,
    KeyNotKnown,
    LogoutNotice,
    unverified_issuer,
    verify_logout_token,
)
from app.identity.oidc.refusals import ProviderAnswerInvalid


async def log_out(
    db: AsyncSession, digests: Digests, provider: OidcProvider, notice: LogoutNotice, *, now: datetime | None
) -> Mapping[AccountId, Sequence[UUID]]:
    """End the sessions that rest on what a provider says has ended, and return them by account."""
    rows = await store.sessions_to_end(
        db,
        provider.issuer,
        subject_digest=None if notice.subject is None else subject_digest(digests, provider.issuer, notice.subject),
        provider_session=session_digest(digests, provider.issuer, notice.session),
        # What began after the notice is not meant, so that a notice shown again ends nothing more.
        issued=notice.issued_at + timedelta(seconds=LEEWAY_SECONDS),
    )
    by_account: dict[AccountId, list[UUID]] = {}
    for row in rows:
        by_account.setdefault(row["account_id"], []).append(row["login_session_id"])
    return {
        account_id: await identity_store.end_sessions(db, account_id, sessions, "provider-logout", now)
        for account_id, sessions in sorted(by_account.items())
    }


async def read_notice(providers: Providers, token: str, *, now: int) -> tuple[OidcProvider, LogoutNotice]:
    """Return which provider says that what has ended. The token names its issuer; the issuer's keys prove it.

    Raises:
        ProviderAnswerInvalid: none of our providers says so.
        ProviderUnavailable: its keys cannot be had.
    """
    issuer = unverified_issuer(token)
    provider = next((one for one in providers.all if one.issuer == issuer), None)
    if provider is None:
        raise ProviderAnswerInvalid("iss")
    try:
        return provider, verify_logout_token(token, provider, await providers.keys(provider), now=now)
    except KeyNotKnown:
        keys = await providers.keys(provider, again=True)
        return provider, verify_logout_token(token, provider, keys, now=now)
