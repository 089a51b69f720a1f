"""The keys that sign access tokens: ECDSA on P-256 with SHA-256 (ES256), nothing else.

Only keys are handed out here; ``identity.tokens`` signs and verifies with them.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NoReturn, TypeAlias
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from app.crypto.errors import KeyringError
from app.crypto.keys import KeyProvider, PurposeKey, Use, find_key

ALGORITHM = "ES256"
COORDINATE_BYTES = 32

Jwk: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A private key as a PKCS #8 PEM, with its public half. Never printed, pickled or copied."""

    kid: str
    public_jwk: Jwk
    pem: str = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A signing key is never pickled or copied.")


class SigningKeys:
    """The current signing key and the public keys that still verify."""

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys
        self._parsed: dict[UUID, SigningKey] = {}
        self._by_kid: dict[str, tuple[PurposeKey, Mapping[str, str]]] = {}

    def current(self) -> SigningKey:
        """Return the key that signs new tokens."""
        return self._parse(self._keys.current(Use.SIGNING))

    def public_key(self, kid: str) -> Mapping[str, str] | None:
        """Return the public JWK with this thumbprint, or None if no key that still verifies has it.

        Each request asks, so nothing is parsed or copied again: what comes back is the same object and read-only.
        """
        known = self._by_kid.get(kid)
        if known is not None:
            for key in self._keys.readable(Use.SIGNING):
                if key is known[0]:
                    return known[1]
        found = find_key(self._keys, Use.SIGNING, lambda key: self._parse(key).kid == kid)
        if found is None:
            self._by_kid.pop(kid, None)
            return None
        public = MappingProxyType(self._parse(found).public_jwk)
        self._by_kid[kid] = (found, public)
        return public

    def public_jwks(self) -> dict[str, list[Jwk]]:
        """Return the JWK set of all keys that still verify, newest first. Source: RFC 7517, section 5."""
        return {"keys": [dict(self._parse(key).public_jwk) for key in self._keys.readable(Use.SIGNING)]}

    def _parse(self, key: PurposeKey) -> SigningKey:
        found = self._parsed.get(key.id)
        if found is None:
            jwk = _public_jwk(key)
            found = self._parsed[key.id] = SigningKey(jwk["kid"], jwk, key.secret.decode())
        return found


def new_signing_pem() -> bytes:
    """Return a fresh P-256 private key as PKCS #8 PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def thumbprint(jwk: Jwk) -> str:
    """Return the key's name: SHA-256 over its required members in order. Source: RFC 7638, section 3."""
    required = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    text = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return _base64url(hashlib.sha256(text.encode()).digest())


def _public_jwk(key: PurposeKey) -> Jwk:
    private = load_pem_private_key(key.secret, password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise KeyringError(f"Signing key {key.id} is not a P-256 key.")
    numbers = private.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": _base64url(numbers.x.to_bytes(COORDINATE_BYTES, "big")),
        "y": _base64url(numbers.y.to_bytes(COORDINATE_BYTES, "big")),
        "use": "sig",
        "alg": ALGORITHM,
    }
    return jwk | {"kid": thumbprint(jwk)}


def _base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
