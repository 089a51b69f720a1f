"""Access tokens: signed statements of who asks. The only importer of python-jose, so that it can be swapped.

python-jose tries several keys in turn, lets the last of duplicate members win, ignores ``typ`` and ``crit``, and
accepts tokens without end. So no token reaches it before its form and header are checked here, and only the bytes
whose signature it confirmed are read, by a parser and checks of our own. A token says *who*; rights are looked up at
each use.

An ECDSA signature ``(r, s)`` has a twin ``(r, n - s)`` that verifies as well, so one token can be written twice.
A token is therefore revoked by ``sid`` or ``jti``, never by its text.

Source: RFC 7515, RFC 7519, RFC 8725, RFC 9068.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import NoReturn, Protocol
from uuid import UUID

import structlog
from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JWSError

from app.core.errors import Unauthenticated
from app.core.ids import AccountId, EngagementId, LoginSessionId, OrganisationId, new_id, parse_id

ALGORITHM = "ES256"
MEDIA_TYPE = "at+jwt"
TOKEN_SECONDS = 600
LEEWAY_SECONDS = 30
TOKEN_CHARS_MAX = 8 * 1024
SIGNATURE_CHARS = 86  # 64 bytes: r and s, each 32
BRACKETS_MAX = 8  # nothing in a token nests; an issuer may name an IPv6 host
INSTANT_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z
CACHE_MAX = 4096

log = structlog.get_logger()

_FORM = re.compile(rf"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{{{SIGNATURE_CHARS}}})")
_KID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_SCOPE = re.compile(r"(?=.{0,1024}\Z)(?:[!#-Z^-z|~]+(?: [!#-Z^-z|~]+)*)?")  # RFC 6749, section 3.3, less brackets
_NAME = re.compile(r"[!#-\[\]-~]{1,256}")  # visible ASCII that JSON never escapes
_JKT = re.compile(r"[A-Za-z0-9_-]{43}")
_HEADER_NAMES = frozenset({"alg", "typ", "kid"})
_KEY_IS = {"kty": "EC", "crv": "P-256", "alg": ALGORITHM, "use": "sig"}


class SigningKey(Protocol):
    """The key that signs now: a P-256 private key in PEM."""

    @property
    def kid(self) -> str:
        """Return the name by which verifiers find the public half."""
        ...

    @property
    def pem(self) -> str:
        """Return the private key; it is never logged."""
        ...


class SigningKeys(Protocol):
    """The key set: one key signs, several may still verify."""

    def current(self) -> SigningKey:
        """Return the key that signs now."""
        ...

    def public_jwks(self) -> Mapping[str, object]:
        """Return the JWK set to publish."""
        ...

    def public_key(self, kid: str) -> Mapping[str, object] | None:
        """Return the public JWK named ``kid``, or None when there is no such key or it is retired."""
        ...


class TokenFault(StrEnum):
    """Why a token was refused: for the audit record, never for the client."""

    FORM = "form"
    HEADER = "header"
    KEY = "key"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    TIME = "time"
    POSSESSION = "possession"


class TokenInvalid(Unauthenticated):
    """Raised for every token that is not one of ours and in force; all look alike from outside."""

    code = "token-invalid"
    title = "The access token is not valid"

    def __init__(self, fault: TokenFault) -> None:
        super().__init__()
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    ``auth_time``, ``iat`` and ``exp`` are seconds since 1970, UTC, ``exp`` exclusive. ``scope`` is a list separated
    by spaces, and may be empty. ``org`` is None for who acts for no organisation, ``spec`` for a role without
    speciality, ``resp``, the responsible professional's account, for a role that works under nobody. ``cnf`` is the
    thumbprint of the key that the token is bound to (RFC 9449); most are bound to none.
    """

    iss: str
    aud: str
    sub: AccountId
    org: OrganisationId | None
    role: str
    spec: str | None
    resp: AccountId | None
    eng: EngagementId
    scope: str
    sid: LoginSessionId
    acr: str
    auth_time: int
    iat: int
    exp: int
    jti: UUID
    cnf: str | None = None


CLAIM_NAMES = frozenset(Claims.__slots__) - {"cnf"}


class TokenIssuer:
    """Signs access tokens with the key that is current."""

    def __init__(self, keys: SigningKeys, issuer: str, audience: str) -> None:
        _require_backend()
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._prepared: tuple[str, Key] | None = None

    def issue(
        self,
        *,
        sub: AccountId,
        org: OrganisationId | None,
        role: str,
        spec: str | None,
        resp: AccountId | None,
        eng: EngagementId,
        scope: str,
        sid: LoginSessionId,
        acr: str,
        auth_time: int,
        now: int,
        seconds: int = TOKEN_SECONDS,
        cnf: str | None = None,
    ) -> str:
        """Return a token in force from ``now`` for ``seconds``, with a fresh ``jti``; ``cnf`` binds it to a key.

        Raises:
            ValueError: the verifier would refuse these claims; a token that comes back as a 401 is never signed.
        """
        payload: dict[str, object] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(sub),
            "org": None if org is None else str(org),
            "role": role,
            "spec": spec,
            "resp": None if resp is None else str(resp),
            "eng": str(eng),
            "scope": scope,
            "sid": str(sid),
            "acr": acr,
            "auth_time": auth_time,
            "iat": now,
            "exp": now + seconds,
            "jti": str(new_id()),
        }
        if cnf is not None:
            payload["cnf"] = {"jkt": cnf}
        try:
            raw = json.dumps(payload).encode()
            _claims(_members(raw, TokenFault.CLAIMS), issuer=self._issuer, audience=self._audience)
        except TokenInvalid as error:
            raise ValueError("A claim is not of the form that the verifier accepts.") from error
        kid, key = self._current()
        return jws.sign(payload, key, headers={"typ": MEDIA_TYPE, "kid": kid}, algorithm=ALGORITHM)

    def _current(self) -> tuple[str, Key]:
        signing = self._keys.current()
        if self._prepared is None or self._prepared[0] != signing.kid:
            self._prepared = (signing.kid, jwk.construct(signing.pem, ALGORITHM))
        return self._prepared


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that verified, and the key it verified under."""

    claims: Claims
    kid: str
    public: Mapping[str, object]


class TokenVerifier:
    """Turns a token into its claims, or refuses it.

    Tokens that verified are kept by SHA-256 digest until they end (at most ``CACHE_MAX``, the least recently used
    goes first). Time and key are still checked at each use, so a hit is as safe as the first look. Use it from one
    thread.
    """

    def __init__(self, keys: SigningKeys, issuer: str, audience: str) -> None:
        _require_backend()
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()
        self._prepared: dict[str, tuple[Mapping[str, object], Key]] = {}

    def verify(self, token: str, *, now: int) -> Claims:
        """Return what the token says; ``now`` is in seconds since 1970, UTC.

        Raises:
            TokenInvalid: for whatever input it cannot vouch for.
        """
        try:
            return self._verify(token, now)
        except (ValueError, TypeError, RecursionError):  # what parsers make of hostile input
            raise TokenInvalid(TokenFault.FORM) from None
        except TokenInvalid:
            raise
        except Exception:  # anything else is a refusal too, but the cause may be ours: the keys cannot be read
            log.exception("token.check-failed")
            raise TokenInvalid(TokenFault.FORM) from None

    def _verify(self, token: str, now: int) -> Claims:
        if len(token) > TOKEN_CHARS_MAX:
            _refuse(TokenFault.FORM)
        digest = sha256(token.encode("ascii")).digest()
        known = self._cache.pop(digest, None)
        if known is not None:
            public = self._keys.public_key(known.kid)
            if public is not known.public and public != known.public:
                known = None
        if known is None:
            known = self._examine(token)
        _require_in_force(known.claims, now)
        self._cache[digest] = known  # last in line again
        if len(self._cache) > CACHE_MAX:
            self._cache.popitem(last=False)
        return known.claims

    def _examine(self, token: str) -> _Verified:
        """Check everything but the time."""
        form = _FORM.fullmatch(token)
        if form is None:
            _refuse(TokenFault.FORM)
        header, payload, _signature = (_decode(part) for part in form.groups())
        kid = _kid(_members(header, TokenFault.HEADER))
        public, key = self._public(kid)
        try:
            signed = jws.verify(token, key, [ALGORITHM])
        except JWSError:
            _refuse(TokenFault.SIGNATURE)
        if signed != payload:  # the library must have read what was checked here
            _refuse(TokenFault.SIGNATURE)
        members = _members(payload, TokenFault.CLAIMS)
        return _Verified(_claims(members, issuer=self._issuer, audience=self._audience), kid, public)

    def _public(self, kid: str) -> tuple[Mapping[str, object], Key]:
        """Return the one key named ``kid``, fit for the one algorithm."""
        public = self._keys.public_key(kid)
        if public is None:
            self._prepared.pop(kid, None)
            _refuse(TokenFault.KEY)
        known = self._prepared.get(kid)
        if known is not None and known[0] == public:
            return known
        if public.get("kid") != kid or any(public.get(name) != value for name, value in _KEY_IS.items()):
            _refuse(TokenFault.KEY)
        prepared = (dict(public), jwk.construct(dict(public), ALGORITHM))
        self._prepared[kid] = prepared
        return prepared


def _require_backend() -> None:
    """Refuse to start on python-jose's other backend: ``ecdsa`` leaks the key through timing (CVE-2024-23342)."""
    backend = jwk.get_key(ALGORITHM)
    if backend is None or backend.__module__ != "jose.backends.cryptography_backend":
        raise RuntimeError("python-jose must use its cryptography backend.")


def _refuse(fault: TokenFault) -> NoReturn:
    raise TokenInvalid(fault)


def _decode(part: str) -> bytes:
    """Decode base64url that is written in the one canonical way: no padding, no stray bits in the last character."""
    raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(raw).rstrip(b"=") != part.encode("ascii"):
        _refuse(TokenFault.FORM)
    return raw


def _members(raw: bytes, fault: TokenFault) -> dict[str, object]:
    """Read a JSON object of plain ASCII text and integers, in which nothing can be written in two ways."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            _refuse(fault)
        return members

    def never(_text: str) -> NoReturn:
        _refuse(fault)

    # Nothing that we sign needs an escape, so none is taken: an escaped name is a second spelling of a member.
    if b"\\" in raw or raw.count(b"{") + raw.count(b"[") > BRACKETS_MAX:
        _refuse(fault)
    try:
        value = json.loads(raw.decode("ascii"), object_pairs_hook=unique, parse_float=never, parse_constant=never)
    except ValueError:
        _refuse(fault)
    if not isinstance(value, dict):
        _refuse(fault)
    return value


def _kid(header: Mapping[str, object]) -> str:
    """Return the key's name from a header that has exactly the three members we write."""
    if header.keys() != _HEADER_NAMES or header["alg"] != ALGORITHM or header["typ"] != MEDIA_TYPE:
        _refuse(TokenFault.HEADER)
    kid = header["kid"]
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        _refuse(TokenFault.HEADER)
    return kid


def _claims(members: Mapping[str, object], *, issuer: str, audience: str) -> Claims:
    """Check every claim but for the time; exactly ours, each of its own type."""
    if members.keys() - {"cnf"} != CLAIM_NAMES or members["iss"] != issuer or members["aud"] != audience:
        _refuse(TokenFault.CLAIMS)
    claims = Claims(
        iss=_text(members["iss"], _NAME),
        aud=_text(members["aud"], _NAME),
        sub=AccountId(_id(members["sub"])),
        org=None if members["org"] is None else OrganisationId(_id(members["org"])),
        role=_text(members["role"], _CODE),
        spec=None if members["spec"] is None else _text(members["spec"], _CODE),
        resp=None if members["resp"] is None else AccountId(_id(members["resp"])),
        eng=EngagementId(_id(members["eng"])),
        scope=_text(members["scope"], _SCOPE),
        sid=LoginSessionId(_id(members["sid"])),
        acr=_text(members["acr"], _NAME),
        auth_time=_seconds(members["auth_time"]),
        iat=_seconds(members["iat"]),
        exp=_seconds(members["exp"]),
        jti=_id(members["jti"]),
        cnf=_thumbprint(members["cnf"]) if "cnf" in members else None,
    )
    if not claims.iat < claims.exp <= claims.iat + TOKEN_SECONDS or claims.auth_time > claims.iat + LEEWAY_SECONDS:
        _refuse(TokenFault.CLAIMS)
    return claims


def _require_in_force(claims: Claims, now: int) -> None:
    if claims.exp <= now or claims.iat > now + LEEWAY_SECONDS:
        _refuse(TokenFault.TIME)


def _text(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        _refuse(TokenFault.CLAIMS)
    return value


def _thumbprint(value: object) -> str:
    if not isinstance(value, dict) or value.keys() != {"jkt"}:
        _refuse(TokenFault.CLAIMS)
    return _text(value["jkt"], _JKT)


def _id(value: object) -> UUID:
    parsed = parse_id(value) if isinstance(value, str) else None
    if parsed is None:
        _refuse(TokenFault.CLAIMS)
    return parsed


def _seconds(value: object) -> int:
    if type(value) is not int or not 0 <= value <= INSTANT_MAX:  # a bool is an int to isinstance
        _refuse(TokenFault.CLAIMS)
    return value
