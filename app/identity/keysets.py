"""Public keys of others: read strictly, of the kinds that we verify with, never with a private part. Pure.

Source: RFC 7517, RFC 7518, RFC 8037, RFC 8725; NL GOV Assurance profile for OAuth 2.0, section 2.3.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

KEYS_MAX = 10
MODULUS_BITS = range(2048, 4097)
EXPONENT_CHARS_MAX = 6

_TEXT = re.compile(r"[A-Za-z0-9_-]{1,1024}")
_KID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")
_MEMBERS = {"EC": ("crv", "x", "y"), "RSA": ("n", "e"), "OKP": ("crv", "x")}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# Algorithm to key type and curve. No RS256: PKCS #1 v1.5 is taken only where SMART clients need it, as RS384.
ALGORITHMS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "ES256": ("EC", "P-256"),
        "ES384": ("EC", "P-384"),
        "RS384": ("RSA", None),
        "PS256": ("RSA", None),
        "EdDSA": ("OKP", "Ed25519"),
        "Ed25519": ("OKP", "Ed25519"),
    }
)

PublicKey = Mapping[str, str]


class KeySetRefused(Exception):
    """Raised for a key set that cannot be used; ``code`` says why, in a word that holds nothing of the set."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_key_set(value: object) -> list[PublicKey]:
    """Return the public keys of a JWK set: only the members that make the key, and its ``kid``, ``alg`` and ``use``.

    Raises:
        KeySetRefused: no set, too many keys, a private or symmetric key, a weak one, or two of one name.
    """
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= KEYS_MAX:
        raise KeySetRefused("not-a-key-set")
    found = [read_key(key) for key in keys]
    names = [key.get("kid") for key in found]
    if len(found) > 1 and (None in names or len(set(names)) < len(names)):
        raise KeySetRefused("key-without-its-own-name")
    return found


def read_key(value: object) -> PublicKey:
    """Return one public key that we verify with.

    Raises:
        KeySetRefused: see ``read_key_set``.
    """
    if not isinstance(value, dict):
        raise KeySetRefused("not-a-key-set")
    if _PRIVATE & value.keys():
        raise KeySetRefused("private-key")
    wanted = _MEMBERS.get(str(value.get("kty")))
    if wanted is None:
        raise KeySetRefused("key-type-unknown")
    key: dict[str, str] = {"kty": str(value["kty"])}
    for name in wanted:
        member = value.get(name)
        if not isinstance(member, str) or _TEXT.fullmatch(member) is None:
            raise KeySetRefused("key-malformed")
        key[name] = member
    for name, allowed in (("kid", _KID), ("alg", _TEXT), ("use", _TEXT)):
        if name in value:
            if not isinstance(value[name], str) or allowed.fullmatch(value[name]) is None:
                raise KeySetRefused("key-malformed")
            key[name] = value[name]
    if not any(_fits(key, algorithm) for algorithm in ALGORITHMS):
        raise KeySetRefused("key-not-for-this")
    _require_strength(key)
    return key


def _require_strength(key: PublicKey) -> None:
    try:
        if key["kty"] == "RSA":
            # Before the library sees it: what is weak warns there, and what is huge takes long.
            modulus = urlsafe_b64decode(key["n"] + "=" * (-len(key["n"]) % 4))
            if int.from_bytes(modulus, "big").bit_length() not in MODULUS_BITS:
                raise KeySetRefused("key-strength")
            if len(key["e"]) > EXPONENT_CHARS_MAX:
                raise KeySetRefused("key-malformed")
        _ = open_key(key).public_key
    except (JoseError, ValueError, TypeError):
        raise KeySetRefused("key-malformed") from None


def open_key(key: PublicKey) -> Key:
    """Return a key that ``read_key`` let through, to verify with."""
    bare: dict[str, str | list[str]] = {name: key[name] for name in ("kty", *_MEMBERS[key["kty"]])}
    match key["kty"]:
        case "EC":
            return ECKey.import_key(bare)
        case "RSA":
            return RSAKey.import_key(bare)
        case _:
            return OKPKey.import_key(bare)


def _fits(key: PublicKey, algorithm: str) -> bool:
    """Whether a key is of the kind that an algorithm takes, and says nothing to the contrary."""
    kind, curve = ALGORITHMS[algorithm]
    said = key.get("alg", algorithm)
    same = said == algorithm or {said, algorithm} == {"EdDSA", "Ed25519"}
    return key["kty"] == kind and key.get("crv") == curve and same and key.get("use", "sig") == "sig"


def key_named(keys: Sequence[PublicKey], kid: str | None, algorithm: str) -> PublicKey | None:
    """Return the key that a header means, if it is fit for the algorithm.

    Without a name it is the only one of a set of one; a name that the set does not have means no key at all.
    """
    if kid is None:
        fitting = [key for key in keys if _fits(key, algorithm)] if len(keys) == 1 else []
    else:
        fitting = [key for key in keys if key.get("kid") == kid and _fits(key, algorithm)]
    return fitting[0] if len(fitting) == 1 else None


def thumbprint(key: PublicKey) -> str:
    """Return the SHA-256 thumbprint of a key in base64url, 43 characters.

    Source: RFC 7638.
    """
    return open_key(key).thumbprint()
