"""The authorization server: tokens for clients, their end, word of them, and what it says of itself.

These addresses stand at the root and speak the language of their standards: forms in, RFC 6749 errors out. What is
wrong with a client is never told: one answer for an unknown one, a suspended one, a wrong key and a used assertion.

Source: RFC 6749, 7009, 7523, 7662, 8414, 9449.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.access.vocabulary import Action, ClientScope
from app.api import limits
from app.api.deps import Services
from app.api.problems import UnsupportedMediaType
from app.audit.records import ActionCode, Origin, Who
from app.core.db import FAILURES
from app.core.errors import DomainError, Fault, Invalid, Unauthenticated, Unavailable
from app.entitlement.refusals import record_refusal
from app.identity import carrying_on, oauth
from app.identity.keysets import ALGORITHMS
from app.identity.oauth import Client, ClientRefused, ProofRefused, ScopeRefused

router = APIRouter(include_in_schema=False)

FORM_BYTES_MAX = 32 * 1024
FIELDS_MAX = 32
FORM_MEDIA = re.compile(rb'application/x-www-form-urlencoded[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?', re.IGNORECASE)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PROOF_HEADER = "dpop"

log = structlog.get_logger()

Form = Mapping[str, str]


class GrantUnknown(Invalid):
    """The grant type is none of those that this server has."""

    code = "grant-type-unknown"
    title = "There is no such grant type here"


ERRORS: tuple[tuple[type[DomainError], int, str], ...] = (
    (ClientRefused, 401, "invalid_client"),
    (ScopeRefused, 400, "invalid_scope"),
    (ProofRefused, 400, "invalid_dpop_proof"),
    (GrantUnknown, 400, "unsupported_grant_type"),
    (Unauthenticated, 400, "invalid_grant"),
    (UnsupportedMediaType, 400, "invalid_request"),
    (Invalid, 400, "invalid_request"),
)
"""Refusals in the words of RFC 6749, section 5.2; whatever else is refused is a problem as everywhere."""


class Call:
    """One request to the authorization server, and who it is from as far as that is known."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.services: Services = request.app.state.services
        host = request.client.host if request.client else None
        self.origin = Origin("http", host, UUID(request.scope["state"]["request_id"]))
        self.client: Client | None = None

    async def form(self) -> Form:
        """Return the parameters of the request; those without a value count as left out.

        Raises:
            UnsupportedMediaType, PayloadTooLarge, RequestTimeout: it is no form of ours.
            Invalid: it is not UTF-8, or says something twice.
        """
        limits.check_declared_body(self.request.scope, FORM_BYTES_MAX, FORM_MEDIA)
        raw = await limits.read_body(self.request.receive, FORM_BYTES_MAX)
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
        except ValueError:
            raise _malformed() from None
        if len(dict(pairs)) < len(pairs) or any("\0" in value for _, value in pairs):
            raise _malformed()
        return {name: value for name, value in pairs if value}

    async def authenticate(self, form: Form) -> Client:
        """Return the client that signed the assertion in the form.

        Raises:
            ClientRefused: there is none, or it proves nothing.
            RateLimited: the client asks too often.
        """
        if form.get("client_assertion_type") != ASSERTION_TYPE or "client_secret" in form:
            raise ClientRefused
        self.client = await oauth.authenticate(
            self.services.oauth, form.get("client_assertion", ""), form.get("client_id")
        )
        self.services.rates.count_client(self.client.id, self.client.rate)
        return self.client


def _malformed() -> Invalid:
    return Invalid(Fault("", "malformed-form", "This is not a form in which each parameter stands once."))


def _required(form: Form, name: str) -> str:
    if name not in form:
        raise Invalid(Fault("", "missing", "A required parameter is missing."))
    return form[name]


async def _answered(
    request: Request, action: Action, code: ActionCode, answer: Callable[[Call, Form], Awaitable[Response]]
) -> Response:
    """Answer a request, and record it when it is refused.

    Raises:
        DomainError: what has no word in the language of OAuth.
    """
    call = Call(request)
    try:
        call.services.rates.count_source(call.origin.access_point)
        return await answer(call, await call.form())
    except DomainError as refusal:
        actor = call.client.who() if call.client else Who()
        await record_refusal(
            call.services.refusals, action, code, refusal, origin=call.origin, actor=actor, entity=None
        )
        known = next((one for one in ERRORS if isinstance(refusal, one[0])), None)
        if known is None:
            raise
        return _refused(*known[1:], refusal.title)
    except FAILURES as error:
        log.warning("database.unavailable", error=type(error).__name__)
        raise Unavailable from None


def _refused(status: int, error: str, description: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return _json({"error": error, "error_description": description}, status, headers)


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, {"Pragma": "no-cache", **(headers or {})}, "application/json")


@router.post("/oauth/token")
async def token(request: Request) -> Response:
    """Issue a token for a grant."""
    return await _answered(request, Action.TOKEN_ISSUE, ActionCode.EXECUTE, _token)


async def _token(call: Call, form: Form) -> Response:
    grant = GRANTS.get(_required(form, "grant_type"))
    if grant is None:
        raise GrantUnknown
    return await grant(call, form)


async def _client_credentials(call: Call, form: Form) -> Response:
    server = call.services.oauth
    client = await call.authenticate(form)
    proofs = call.request.headers.getlist(PROOF_HEADER)
    if len(proofs) > 1:
        raise ProofRefused
    jkt = None
    if proofs:
        jkt = (await oauth.prove(server, proofs[0], method="POST", url=server.token_url)).jkt
    issued = await oauth.issue(server, client, form.get("scope"), jkt, call.origin)
    return _json(
        {
            "access_token": issued.token,
            "token_type": "DPoP" if issued.bound else "Bearer",
            "expires_in": issued.seconds,
            "scope": issued.scope,
        }
    )


async def _refresh_token(call: Call, form: Form) -> Response:
    """Carry a person's session on. The token itself is all that is shown, once: shown twice, it ends its session."""
    services = call.services
    signed_in = await carrying_on.refresh(
        services.database,
        services.clock,
        _required(form, "refresh_token"),
        issuer=services.issuer,
        digests=services.crypto.digests,
        origin=call.origin,
        source=services.settings.audit_source,
        after_commit=services.after_commit,
    )
    return _json(
        {
            "access_token": signed_in.access_token,
            "token_type": "Bearer",
            "expires_in": signed_in.expires_in,
            "refresh_token": signed_in.refresh_token,
        }
    )


GRANTS: Mapping[str, Callable[[Call, Form], Awaitable[Response]]] = {
    "client_credentials": _client_credentials,
    "refresh_token": _refresh_token,
}


@router.post("/oauth/revoke")
async def revoke(request: Request) -> Response:
    """End a token of the client's own; any other is left alone, and the answer is the same."""
    return await _answered(request, Action.TOKEN_REVOKE, ActionCode.DELETE, _revoke)


async def _revoke(call: Call, form: Form) -> Response:
    client = await call.authenticate(form)
    ended = await oauth.revoke(call.services.oauth, client, _required(form, "token"), call.origin)
    await call.services.after_commit([], ended)
    return Response(status_code=200)


@router.post("/oauth/introspect")
async def introspect(request: Request) -> Response:
    """Say what a live token of the client's own organisation says, and of any other text that it is none."""
    return await _answered(request, Action.TOKEN_INTROSPECT, ActionCode.READ, _introspect)


async def _introspect(call: Call, form: Form) -> Response:
    client = await call.authenticate(form)
    claims = await oauth.introspect(call.services.oauth, client, _required(form, "token"), call.origin)
    if claims is None:
        return _json({"active": False})
    said: dict[str, object] = {
        "active": True,
        "iss": claims.iss,
        "aud": claims.aud,
        "sub": str(claims.sub),
        "scope": claims.scope,
        "token_type": "Bearer" if claims.cnf is None else "DPoP",
        "acr": claims.acr,
        "exp": claims.exp,
        "iat": claims.iat,
        "jti": str(claims.jti),
    }
    if claims.role == "integration":
        said["client_id"] = str(claims.sub)
    if claims.cnf is not None:
        said["cnf"] = {"jkt": claims.cnf}
    return _json(said)


@router.get("/.well-known/oauth-authorization-server")
async def authorization_server_metadata(request: Request) -> Response:
    """Serve what a client needs to know of this server (RFC 8414)."""
    return _json(server_metadata(request.app.state.services.settings.base_url))


@router.get("/.well-known/openid-configuration")
async def openid_configuration(request: Request) -> Response:
    """Serve the same to verifiers that look for it under this name; nobody gets an ID token here."""
    base = request.app.state.services.settings.base_url
    extra = {"id_token_signing_alg_values_supported": ["ES256"], "subject_types_supported": ["public"]}
    return _json({**server_metadata(base), **extra})


def server_metadata(base: str) -> dict[str, object]:
    """Return what the server says of itself; ``base`` is the issuer."""
    algorithms = sorted(ALGORITHMS)
    methods = ["private_key_jwt"]
    return {
        "issuer": base,
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "token_endpoint": f"{base}/oauth/token",
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": f"{base}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": f"{base}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "grant_types_supported": sorted(GRANTS),
        "response_types_supported": [],
        "scopes_supported": sorted(ClientScope),
        "dpop_signing_alg_values_supported": algorithms,
    }
