"""Signed statements that clients make about themselves: assertions of who they are, and proofs of possession. Pure.

The library is handed one key and one algorithm, both chosen here, and only after form and header were checked here:
nothing that the statement says about its own key (``jwk``, ``jku``, ``x5u``, ``x5c``) is ever followed.

Source: RFC 7515, RFC 7521, RFC 7523, RFC 8725, RFC 9449; OpenID Connect Core 1.0, section 9.
"""

import json
import re
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import NoReturn
from uuid import UUID

from joserfc import jws
from joserfc.errors import JoseError

from app.core.ids import parse_id
from app.identity.keysets import ALGORITHMS, KeySetRefused, PublicKey, key_named, open_key, read_key, thumbprint

STATEMENT_CHARS_MAX = 8 * 1024
ASSERTION_SECONDS_MAX = 300
PROOF_SECONDS_MAX = 120
SKEW_SECONDS = 30
INSTANT_MAX = 253_402_300_799
BRACKETS_MAX = 8

ASSERTION_TYPES = frozenset({"jwt", "client-authentication+jwt"})
PROOF_TYPE = "dpop+jwt"

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_JTI = re.compile(r"[!-~]{1,256}")
_KID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")


class StatementRefused(Exception):
    """Raised for a statement that proves nothing; ``code`` is for the log of a developer, never for the client."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class KeyUnknown(StatementRefused):
    """Raised when the statement names a key that the set does not have: it may have been published since."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """Who a client says it is, once; ``until`` is when the ``jti`` may be forgotten, in seconds since 1970."""

    client_id: UUID
    jti: str
    until: int


@dataclass(frozen=True, slots=True)
class Proof:
    """Possession of the key with this thumbprint, shown once; ``until`` as for ``Assertion``."""

    jkt: str
    jti: str
    until: int


def claimed_client(assertion: str) -> UUID | None:
    """Return which client an assertion says it is from: where to look for the key, and nothing more."""
    try:
        _, claims = _parts(assertion)
    except StatementRefused:
        return None
    subject = claims.get("sub")
    return parse_id(subject) if isinstance(subject, str) else None


def check_assertion(
    assertion: str, keys: Sequence[PublicKey], client_id: UUID, audiences: Collection[str], *, now: int
) -> Assertion:
    """Return what a client's assertion says, verified with one of its keys.

    Raises:
        KeyUnknown: its ``kid`` names no key of the set.
        StatementRefused: anything else that is not exactly right.
    """
    header, claims = _parts(assertion)
    if not {"alg"} <= header.keys() <= {"alg", "kid", "typ"}:
        _refuse("header")
    if str(header.get("typ", "JWT")).lower() not in ASSERTION_TYPES:
        _refuse("typ")
    algorithm = _algorithm(header)
    kid = header.get("kid")
    if kid is not None and (not isinstance(kid, str) or _KID.fullmatch(kid) is None):
        _refuse("kid")
    key = key_named(keys, kid, algorithm)
    if key is None:
        raise KeyUnknown("key")
    _verify(assertion, key, algorithm)
    if claims.get("iss") != str(client_id) or claims.get("sub") != str(client_id):
        _refuse("iss")
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if not isinstance(audience, str) or audience not in audiences:
        _refuse("aud")
    until, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    if not now < until <= now + ASSERTION_SECONDS_MAX + SKEW_SECONDS:
        _refuse("exp")
    if not now - ASSERTION_SECONDS_MAX - SKEW_SECONDS <= issued <= now + SKEW_SECONDS:
        _refuse("iat")
    if "nbf" in claims and _seconds(claims, "nbf") > now + SKEW_SECONDS:
        _refuse("nbf")
    return Assertion(client_id, _jti(claims), until)


def check_proof(proof: str, *, method: str, url: str, now: int, token: str | None) -> Proof:
    """Return whose key a DPoP proof shows possession of, for one request; with a token it is bound to that too.

    Raises:
        StatementRefused: not a proof for this method, address, token and minute.
    """
    header, claims = _parts(proof)
    if header.keys() != {"alg", "jwk", "typ"} or header["typ"] != PROOF_TYPE:
        _refuse("header")
    try:
        key = read_key(header["jwk"])
    except KeySetRefused:
        _refuse("jwk")
    algorithm = _algorithm(header)
    if key_named([key], None, algorithm) is None:
        _refuse("alg")
    _verify(proof, key, algorithm)
    if claims.get("htm") != method or claims.get("htu") != url:
        _refuse("htu")
    issued = _seconds(claims, "iat")
    if not now - PROOF_SECONDS_MAX <= issued <= now + SKEW_SECONDS:
        _refuse("iat")
    if token is not None:
        expected = urlsafe_b64encode(sha256(token.encode("ascii")).digest()).rstrip(b"=").decode()
        given = claims.get("ath")
        if not isinstance(given, str) or not compare_digest(given.encode(), expected.encode()):
            _refuse("ath")
    return Proof(thumbprint(key), _jti(claims), issued + PROOF_SECONDS_MAX + 1)


def _refuse(code: str) -> NoReturn:
    raise StatementRefused(code)


def _parts(statement: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return header and claims of a compact JWS, unverified; what can be written in two ways is refused."""
    form = _FORM.fullmatch(statement) if len(statement) <= STATEMENT_CHARS_MAX else None
    if form is None:
        _refuse("form")
    header, payload, _ = (_decode(part) for part in form.groups())
    return _object(header), _object(payload)


def _decode(part: str) -> bytes:
    try:
        raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        _refuse("form")
    if urlsafe_b64encode(raw).rstrip(b"=") != part.encode("ascii"):
        _refuse("form")
    return raw


def _object(raw: bytes) -> Mapping[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            _refuse("duplicate")
        return members

    if raw.count(b"{") + raw.count(b"[") > BRACKETS_MAX:
        _refuse("form")
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=unique, parse_constant=_constant)
    except (ValueError, RecursionError):
        _refuse("form")
    if not isinstance(value, dict):
        _refuse("form")
    return value


def _constant(_text: str) -> NoReturn:
    _refuse("form")


def _algorithm(header: Mapping[str, object]) -> str:
    algorithm = header["alg"]
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        _refuse("alg")
    return algorithm


def _verify(statement: str, key: PublicKey, algorithm: str) -> None:
    check: Callable[..., object] = jws.deserialize_compact
    try:
        with warnings.catch_warnings():
            # RFC 9864 renames EdDSA to Ed25519; clients that say the old name mean the same.
            warnings.simplefilter("ignore")
            check(statement, open_key(key), [algorithm])
    except (JoseError, ValueError, TypeError):
        _refuse("signature")


def _seconds(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= INSTANT_MAX:  # a bool is an int to isinstance
        _refuse(name)
    return value


def _jti(claims: Mapping[str, object]) -> str:
    value = claims.get("jti")
    if not isinstance(value, str) or _JTI.fullmatch(value) is None:
        _refuse("jti")
    return value
