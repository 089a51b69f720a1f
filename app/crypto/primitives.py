"""The few operations all formats here are made of, so that published vectors test what really runs."""

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


def length_prefixed(*parts: bytes) -> bytes:
    """Return the parts, each behind its length in 4 bytes big endian.

    Joining them bare was rejected: ("ab", "c") and ("a", "bc") would then be the same bytes.
    """
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def random_secret() -> bytes:
    """Return 32 fresh bytes from the operating system."""
    return os.urandom(SECRET_BYTES)


def hkdf(secret: bytes, *, salt: bytes, info: bytes, length: int = SECRET_BYTES) -> bytes:
    """Return ``length`` bytes derived from ``secret``. Source: RFC 5869 with SHA-256."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the 32-byte authentication code of ``message``. Source: RFC 2104 with SHA-256."""
    return hmac.digest(key, message, hashlib.sha256)
