"""Who asks: whoever a token names, or a browser by its cookie; and whether it was a page of ours that asked."""

from datetime import UTC, datetime
from hmac import compare_digest

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from app.api.cookies import Browser, secrets_in
from app.api.deps import Services
from app.core.errors import Forbidden, Unauthenticated
from app.identity import service as identity
from app.identity.service import Entered
from app.identity.tokens import Claims

SCHEMES = frozenset({b"bearer", b"dpop"})
"""Which of them is a token's own, ``possession`` checks."""
SECRET_CHARS_MAX = 128
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "x-csrf-token"
OWN_SITES = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` of a request by a page of this very origin, or by nobody's page."""

Credential = Claims | Browser


class CsrfTokenInvalid(Forbidden):
    """A change that a browser's cookie alone vouches for: another site's page may have sent it.

    Repeat in ``X-CSRF-Token`` the ``csrfToken`` that signing in, switching and ``GET /me`` gave.
    """

    code = "csrf-token-invalid"
    title = "This change was not asked for by a page of this service"


def credential_of(request: Request, services: Services) -> Credential:
    """Return what a request shows: what its token says, or the browser behind its cookie, which is not looked up yet.

    A token wins: whoever sends one does not rest on what a browser adds by itself.

    Raises:
        Unauthenticated: there is none, several, or a token that does not verify.
    """
    headers = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if headers:
        scheme, _, token = headers[0].partition(b" ") if len(headers) == 1 else (b"", b"", b"")
        if scheme.lower() not in SCHEMES:
            raise Unauthenticated
        now = services.clock() or datetime.now(UTC)
        return services.verifier.verify(token.decode("latin-1"), now=int(now.timestamp()))
    secrets = secrets_in(request.scope["headers"])
    if len(secrets) != 1 or not 0 < len(secrets[0]) <= SECRET_CHARS_MAX:
        raise Unauthenticated
    return Browser.of(secrets[0], services.crypto.digests)


async def enter(services: Services, credential: Credential, db: AsyncSession) -> Entered:
    """Enter the transaction through the session that the credential leads to; :func:`vouch` comes next.

    Raises:
        Unauthenticated: it has ended.
    """
    if isinstance(credential, Browser):
        return await identity.enter_browser(db, credential.digest, services.clock())
    return await identity.enter(db, credential.sid, services.clock(), engagement_id=credential.eng)


async def recall(services: Services, credential: Credential) -> Entered:
    """Return who asks, as it was at most half a minute ago, for a statement that checks the session itself.

    Raises:
        Unauthenticated: as for :func:`enter`.
    """
    if isinstance(credential, Browser):
        return await services.actors.of_browser(credential.digest)
    return await services.actors.of(credential.sid, credential.eng)


def vouch(request: Request, services: Services, credential: Credential, entered: Entered) -> None:
    """Check that the credential is true of who entered, and that a page of ours asked if nothing but a cookie did.

    Raises:
        Unauthenticated: the session is another account's.
        CsrfTokenInvalid: a browser changes something, and no page of ours asked it to.
    """
    if not isinstance(credential, Browser):
        if entered.actor.account_id != credential.sub:
            raise Unauthenticated
    elif request.method not in SAFE_METHODS:
        _require_own_page(request, services, credential)


def _require_own_page(request: Request, services: Services, browser: Browser) -> None:
    origins = request.headers.getlist("origin")
    sites = request.headers.getlist("sec-fetch-site")
    said = request.headers.getlist(CSRF_HEADER)
    foreign = any(origin not in services.settings.origins for origin in origins) or not OWN_SITES.issuperset(sites)
    if foreign or len(said) != 1 or not compare_digest(said[0].encode("latin-1"), browser.csrf_token.encode()):
        raise CsrfTokenInvalid
