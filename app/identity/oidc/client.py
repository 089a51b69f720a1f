"""Talks to the providers: discovery, keys, pushed requests, codes for tokens. Outside every transaction.

Addresses come from the operator's settings and from the document behind them, never from a user. Answers are bounded
in time and size, and redirects are not followed. Source: OpenID Connect Discovery 1.0; RFC 6749, 7523, 7636, 9126.
"""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import httpx
import structlog
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey

from app.core.providers import OidcProvider, is_safe_address
from app.crypto.digests import random_token
from app.identity.oidc.id_tokens import Jwk
from app.identity.oidc.refusals import LogInRefused, ProviderUnavailable

ANSWER_BYTES_MAX = 256 * 1024
TIMEOUT_SECONDS = 5.0
KEPT_SECONDS = 3600.0
KEYS_AGAIN_SECONDS = 30.0
ASSERTION_SECONDS = 60

log = structlog.get_logger()

# What going there can fail with: the network, and an answer that is not what it should be.
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, TypeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says of itself, as far as we use it."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    pushed_endpoint: str | None
    names_itself: bool
    secret_in_body: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A log-in to ask for. ``verifier`` stays with us until the code comes back; ``fresh`` means: log in anew."""

    state: str
    nonce: str
    verifier: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a code was good for. Never kept."""

    id_token: str
    access_token: str | None


class Providers:
    """The configured providers, and what was learnt about each, for an hour."""

    def __init__(
        self, configured: Sequence[OidcProvider], redirect_uri: str, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._by_key = {provider.key: provider for provider in configured}
        self._redirect_uri = redirect_uri
        self._timeout_seconds = timeout_seconds
        self._client: httpx.AsyncClient | None = None
        self._metadata: dict[str, tuple[float, Metadata]] = {}
        self._keys: dict[str, tuple[float, Sequence[Jwk]]] = {}

    @property
    def all(self) -> Sequence[OidcProvider]:
        """The providers, as the operator ordered them."""
        return tuple(self._by_key.values())

    def named(self, key: str) -> OidcProvider | None:
        """Return a provider by its key."""
        return self._by_key.get(key)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def metadata(self, provider: OidcProvider) -> Metadata:
        """Return what the provider says of itself.

        Raises:
            ProviderUnavailable: it says nothing, or something else than is configured.
        """
        kept = self._metadata.get(provider.key)
        if kept is not None and time.monotonic() < kept[0] + KEPT_SECONDS:
            return kept[1]
        address = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
        said = await self._get(provider, address)
        try:
            found = _metadata_of(said, provider)
        except (ValueError, TypeError, KeyError, AttributeError):
            log.warning("oidc.metadata-unfit", provider=provider.key)
            raise ProviderUnavailable from None
        self._metadata[provider.key] = (time.monotonic(), found)
        return found

    async def keys(self, provider: OidcProvider, *, again: bool = False) -> Sequence[Jwk]:
        """Return the provider's public keys; ``again`` looks anew, at most once in ``KEYS_AGAIN_SECONDS``.

        Raises:
            ProviderUnavailable: there is no key set.
        """
        kept = self._keys.get(provider.key)
        if kept is not None:
            age = time.monotonic() - kept[0]
            if age < (KEYS_AGAIN_SECONDS if again else KEPT_SECONDS):
                return kept[1]
        said = await self._get(provider, (await self.metadata(provider)).jwks_uri)
        keys = said.get("keys")
        if not isinstance(keys, list):
            raise ProviderUnavailable
        found = [key for key in keys if isinstance(key, dict)]
        self._keys[provider.key] = (time.monotonic(), found)
        return found

    async def authorization_url(self, provider: OidcProvider, request: Request, *, now: int) -> str:
        """Return where to send the browser; with a provider that takes it, the request itself is pushed first.

        Raises:
            ProviderUnavailable: as for :meth:`metadata`; or it does not take the request.
        """
        metadata = await self.metadata(provider)
        asked = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(provider.scopes),
            "state": request.state,
            "nonce": request.nonce,
            "code_challenge": create_s256_code_challenge(request.verifier),
            "code_challenge_method": "S256",
            "max_age": "0" if request.fresh else str(provider.max_age_seconds),
            "ui_locales": "nl",
        }
        if provider.acr_values:
            asked["acr_values"] = " ".join(provider.acr_values)
        if request.fresh:
            asked["prompt"] = "login"
        if metadata.pushed_endpoint is not None:
            status, said = await self._post(provider, metadata, metadata.pushed_endpoint, asked, now=now)
            uri = said.get("request_uri")
            if status not in {200, 201} or not isinstance(uri, str):
                log.warning("oidc.request-refused", provider=provider.key, status=status)
                raise ProviderUnavailable
            asked = {"client_id": provider.client_id, "request_uri": uri}
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return metadata.authorization_endpoint + joint + urlencode(asked)

    async def redeem(self, provider: OidcProvider, code: str, verifier: str, *, now: int) -> Tokens:
        """Return what a code is good for.

        Raises:
            LogInRefused: nothing; it is not a code of this provider's, or was used before.
            ProviderUnavailable: the provider does not answer.
        """
        metadata = await self.metadata(provider)
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        status, said = await self._post(provider, metadata, metadata.token_endpoint, given, now=now)
        id_token, access_token = said.get("id_token"), said.get("access_token")
        if status != 200 or not isinstance(id_token, str):
            log.warning("oidc.code-refused", provider=provider.key, status=status)
            raise LogInRefused
        return Tokens(id_token, access_token if isinstance(access_token, str) else None)

    async def _get(self, provider: OidcProvider, address: str) -> Mapping[str, object]:
        status, said = await self._send(provider, "GET", address)
        if status != 200:
            log.warning("oidc.unreachable", provider=provider.key, status=status)
            raise ProviderUnavailable
        return said

    async def _post(
        self, provider: OidcProvider, metadata: Metadata, address: str, fields: Mapping[str, str], *, now: int
    ) -> tuple[int, Mapping[str, object]]:
        """Send a form, showing who we are."""
        headers: dict[str, str] = {}
        shown = dict(fields)
        if provider.private_key_file is not None:
            shown |= {
                "client_id": provider.client_id,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": await asyncio.to_thread(_assertion, provider, now),
            }
        elif provider.client_secret is not None and metadata.secret_in_body:
            shown |= {"client_id": provider.client_id, "client_secret": provider.client_secret.get_secret_value()}
        elif provider.client_secret is not None:
            pair = f"{quote(provider.client_id, '')}:{quote(provider.client_secret.get_secret_value(), '')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        return await self._send(provider, "POST", address, fields=shown, headers=headers)

    async def _send(
        self,
        provider: OidcProvider,
        method: str,
        address: str,
        *,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, object]]:
        """Return status and JSON object of an answer.

        Raises:
            ProviderUnavailable: none came in time, or it is too long, or no such thing.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(follow_redirects=False, timeout=self._timeout_seconds)
        asked = {"Accept": "application/json", **(headers or {})}
        try:
            async with (
                asyncio.timeout(2 * self._timeout_seconds),
                self._client.stream(method, address, data=fields, headers=asked) as answer,
            ):
                raw = b""
                async for chunk in answer.aiter_bytes():
                    raw += chunk
                    if len(raw) > ANSWER_BYTES_MAX:
                        raise ValueError("too long")
                said = json.loads(raw)
        except _FAILURES as error:
            log.warning("oidc.failed", provider=provider.key, error=type(error).__name__)
            raise ProviderUnavailable from None
        if not isinstance(said, dict):
            raise ProviderUnavailable
        return answer.status_code, said


def _metadata_of(said: Mapping[str, object], provider: OidcProvider) -> Metadata:
    """Return what is said.

    Raises:
        ValueError: another issuer, an unsafe address, or no PKCE.
    """
    if said.get("issuer") != provider.issuer:
        raise ValueError("another issuer")
    methods = said.get("code_challenge_methods_supported", ["S256"])
    if not isinstance(methods, list) or "S256" not in methods:
        raise ValueError("no PKCE")
    pushed = said.get("pushed_authorization_request_endpoint")
    authenticates = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if not isinstance(authenticates, list):
        raise TypeError
    return Metadata(
        authorization_endpoint=_address(said["authorization_endpoint"]),
        token_endpoint=_address(said["token_endpoint"]),
        jwks_uri=_address(said["jwks_uri"]),
        pushed_endpoint=None if pushed is None else _address(pushed),
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        secret_in_body="client_secret_basic" not in authenticates and "client_secret_post" in authenticates,
    )


def _address(value: object) -> str:
    if not isinstance(value, str) or not is_safe_address(value):
        raise ValueError("an unsafe address")
    return value


def _assertion(provider: OidcProvider, now: int) -> str:
    """Return a statement, signed with our own key, that it is us (RFC 7523); for this issuer and a minute."""
    assert provider.private_key_file is not None
    key = ECKey.import_key(provider.private_key_file.read_bytes())
    header = {"alg": "ES256", **({"kid": provider.private_key_id} if provider.private_key_id else {})}
    claims = {
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": provider.issuer,
        "jti": random_token(),
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    }
    return jwt.encode(header, claims, key, algorithms=["ES256"])
