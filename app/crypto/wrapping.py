"""Wrapping of data keys: AES-256-GCM under a key derived from a key-encryption key *and* an erasure secret.

A wrapped key is ``version(1) | algorithm(1) | KEK id(16) | nonce(12) | ciphertext(32) | tag(16)``, 78 bytes. Both
inputs are needed to open it, and the erasure secret exists only outside the database and its dumps: destroying that
one secret makes every dump of the scope unreadable, while the key-encryption key goes on serving all others.
"""

import os
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.crypto.errors import SealBroken
from app.crypto.primitives import NONCE_BYTES, SECRET_BYTES, TAG_BYTES, hkdf, length_prefixed
from app.crypto.sealing import DataKey

WRAPPED_BYTES = 18 + NONCE_BYTES + SECRET_BYTES + TAG_BYTES

_FORMAT = bytes((1, 1))
_LABEL = b"overlegtafel/data-key/v1"


@dataclass(frozen=True, slots=True, eq=False)
class Wrapping:
    """The two secrets that wrap a data key; ``kek_id`` names the first in the header."""

    kek_id: UUID
    kek: bytes = field(repr=False)
    erasure_secret: bytes = field(repr=False)


def wrap(wrapping: Wrapping, key: DataKey) -> bytes:
    """Return ``key`` wrapped, 78 bytes, different each time."""
    header = _FORMAT + wrapping.kek_id.bytes
    nonce = os.urandom(NONCE_BYTES)
    cipher = _cipher(wrapping, key.scope, key.category)
    label = _associated(header, key.id, key.scope, key.category, key.generation)
    return header + nonce + cipher.encrypt(nonce, key.secret, label)


def unwrap(
    wrapping: Wrapping, wrapped: bytes, *, key_id: UUID, scope: UUID, category: str, generation: int
) -> DataKey:
    """Return the data key that was wrapped as this one.

    Raises:
        SealBroken: changed, or wrapped as another key, scope, category or generation, or under other secrets.
    """
    header, nonce, body = wrapped[:18], wrapped[18 : 18 + NONCE_BYTES], wrapped[18 + NONCE_BYTES :]
    if kek_id_of(wrapped) != wrapping.kek_id:
        raise SealBroken(f"Data key {key_id} is wrapped under another key-encryption key.")
    try:
        secret = _cipher(wrapping, scope, category).decrypt(
            nonce, body, _associated(header, key_id, scope, category, generation)
        )
    except InvalidTag:
        raise SealBroken(f"Data key {key_id} of {scope} does not unwrap.") from None
    return DataKey(key_id, scope, category, generation, secret)


def kek_id_of(wrapped: bytes) -> UUID:
    """Return the id of the key-encryption key a wrapped key says it needs; only unwrapping proves it.

    Raises:
        SealBroken: not of the one known length, version and algorithm.
    """
    if len(wrapped) != WRAPPED_BYTES or wrapped[:2] != _FORMAT:
        raise SealBroken("A wrapped data key has no known format.")
    return UUID(bytes=wrapped[2:18])


def _cipher(wrapping: Wrapping, scope: UUID, category: str) -> AESGCM:
    info = length_prefixed(_LABEL, scope.bytes, category.encode())
    return AESGCM(hkdf(wrapping.kek, salt=wrapping.erasure_secret, info=info))


def _associated(header: bytes, key_id: UUID, scope: UUID, category: str, generation: int) -> bytes:
    count = generation.to_bytes(4, "big")
    return length_prefixed(_LABEL, header[:2], header[2:], key_id.bytes, scope.bytes, category.encode(), count)
