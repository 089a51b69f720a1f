"""Verifies what a provider signs: id tokens and logout tokens. No I/O: the provider's public keys come from outside.

The algorithm comes from our list, the key from the provider's own key set by ``kid``; what the token's header says
about keys (``jwk``, ``jku``, ``x5c``, ``x5u``) is never looked at. Source: OpenID Connect Core 3.1.3.7, Back-Channel
Logout 2.6, RFC 8725.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from app.core.providers import OidcProvider
from app.identity.oidc.refusals import ProviderAnswerInvalid
from app.identity.oidc.rules import Proof, shows_two_factors

ALGORITHMS = ("ES256", "PS256", "RS256")
LEEWAY_SECONDS = 60
AGE_SECONDS_MAX = 600
TOKEN_CHARS_MAX = 16 * 1024
INSTANT_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z
TEXT_MAX = 512
RSA_BITS_MIN = 2048
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

Claims = Mapping[str, object]
Jwk = Mapping[str, object]


class KeyNotKnown(ProviderAnswerInvalid):
    """The key set at hand has no such key; the provider may have made a new one since."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a log-in was begun with: the answer must fit it.

    ``max_age`` counts back from now, ``not_before`` is an instant, both in seconds. ``access_token`` came in the same
    answer as the id token, which may bind it (``at_hash``).
    """

    nonce: str
    max_age: int
    not_before: int
    access_token: str | None


@dataclass(frozen=True, slots=True)
class LogoutNotice:
    """A provider ended a session of its own (``session``) or all of a person's (``subject``); one of them is set."""

    issued_at: datetime
    subject: str | None
    session: str | None


def verify_id_token(token: str, provider: OidcProvider, keys: Sequence[Jwk], asked: Asked, *, now: int) -> Proof:
    """Return who logged in, as the provider proves it.

    Raises:
        KeyNotKnown: no key of the set fits.
        ProviderAnswerInvalid: anything else; ``fault`` says what, for the log.
    """
    header, claims = _signed(token, keys)
    _require(header.get("typ", "JWT") in {"JWT", "jwt"}, "typ")
    _require_ours(claims, provider)
    _require_time(claims, now=now)
    nonce = claims.get("nonce")
    _require(isinstance(nonce, str) and compare_digest(nonce.encode(), asked.nonce.encode()), "nonce")
    if "at_hash" in claims:
        _require(asked.access_token is not None and claims["at_hash"] == _half_hash(asked.access_token), "at_hash")
    since = _instant(claims, "auth_time")
    _require(since <= now + LEEWAY_SECONDS, "auth_time")
    _require(since >= max(now - asked.max_age, asked.not_before) - LEEWAY_SECONDS, "auth_time")
    session = claims.get("sid")
    return Proof(
        issuer=provider.issuer,
        subject=_text(claims, "sub"),
        two_factors=shows_two_factors(provider, claims),
        authenticated_at=datetime.fromtimestamp(min(since, now), UTC),
        provider_session=None if session is None else _text(claims, "sid"),
    )


def verify_logout_token(token: str, provider: OidcProvider, keys: Sequence[Jwk], *, now: int) -> LogoutNotice:
    """Return what a provider says has ended.

    Raises:
        KeyNotKnown: no key of the set fits.
        ProviderAnswerInvalid: anything else.
    """
    header, claims = _signed(token, keys)
    # The type is what keeps one kind of token from being taken for another; older providers leave it out (2.4).
    _require(header.get("typ", "logout+jwt") in {"logout+jwt", "JWT"}, "typ")
    _require_ours(claims, provider)
    _require_time(claims, now=now)
    _text(claims, "jti")
    events = claims.get("events")
    _require(isinstance(events, dict) and isinstance(events.get(LOGOUT_EVENT), dict), "events")
    _require("nonce" not in claims, "nonce")
    _require("sub" in claims or "sid" in claims, "sub")
    return LogoutNotice(
        issued_at=datetime.fromtimestamp(_instant(claims, "iat"), UTC),
        subject=_text(claims, "sub") if "sub" in claims else None,
        session=_text(claims, "sid") if "sid" in claims else None,
    )


def unverified_issuer(token: str) -> str:
    """Return whom a token says it is from, to look for the keys that prove it; nothing else is believed of it.

    Raises:
        ProviderAnswerInvalid: it says nothing that can be read.
    """
    _require(len(token) <= TOKEN_CHARS_MAX and token.isascii() and token.count(".") == 2, "form")
    try:
        claims = json.loads(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise ProviderAnswerInvalid("form") from None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    _require(isinstance(issuer, str), "iss")
    return str(issuer)


def _signed(token: str, keys: Sequence[Jwk]) -> tuple[Claims, Claims]:
    """Return header and claims of a token that one of the keys signed."""
    _require(len(token) <= TOKEN_CHARS_MAX and token.isascii() and token.count(".") == 2, "form")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise ProviderAnswerInvalid("form") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    _require(isinstance(algorithm, str) and algorithm in ALGORITHMS, "alg")
    _require(kid is None or isinstance(kid, str), "kid")
    key = _key_for(str(algorithm), kid, keys)
    try:
        verified = jwt.decode(token, key, algorithms=[str(algorithm)])
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise ProviderAnswerInvalid("signature") from None
    return verified.header, verified.claims


def _key_for(algorithm: str, kid: str | None, keys: Sequence[Jwk]) -> ECKey | RSAKey:
    """Return the provider's key of that name that is for this algorithm; without a name there must be just one."""
    kind = "EC" if algorithm.startswith("ES") else "RSA"
    fitting = [
        key
        for key in keys
        if key.get("kty") == kind
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]
    if len(fitting) != 1:
        raise KeyNotKnown("kid")
    # only the public members, so that nothing else in the set has a meaning
    members = ("kty", "crv", "x", "y") if kind == "EC" else ("kty", "n", "e")
    public: dict[str, str | list[str]] = {name: str(fitting[0].get(name, "")) for name in members}
    try:
        if kind == "EC":
            _require(public["crv"] == "P-256", "key")
            return ECKey.import_key(public)
        _require(len(public["n"]) * 6 >= RSA_BITS_MIN, "key")
        return RSAKey.import_key(public)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise ProviderAnswerInvalid("key") from None


def _require_ours(claims: Claims, provider: OidcProvider) -> None:
    """Refuse what another issuer made, or what was made for another client."""
    _require(claims.get("iss") == provider.issuer, "iss")
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    _require(isinstance(named, list) and provider.client_id in named, "aud")
    # Who else is named could pass the token on to us; the provider says then for whom it was made.
    alone = isinstance(named, list) and len(named) == 1
    _require(claims.get("azp", provider.client_id if alone else None) == provider.client_id, "azp")


def _require_time(claims: Claims, *, now: int) -> None:
    issued, until = _instant(claims, "iat"), _instant(claims, "exp")
    _require(now - AGE_SECONDS_MAX <= issued <= now + LEEWAY_SECONDS, "iat")
    _require(until > now - LEEWAY_SECONDS, "exp")
    if "nbf" in claims:
        _require(_instant(claims, "nbf") <= now + LEEWAY_SECONDS, "nbf")


def _instant(claims: Claims, name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= INSTANT_MAX:
        raise ProviderAnswerInvalid(name)
    return int(value)


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX or "\0" in value:
        raise ProviderAnswerInvalid(name)
    return value


def _half_hash(token: str) -> str:
    """Return the left half of the token's SHA-256, as all three algorithms have it."""
    return urlsafe_b64encode(sha256(token.encode("utf-8", "surrogatepass")).digest()[:16]).rstrip(b"=").decode()


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise ProviderAnswerInvalid(fault)
