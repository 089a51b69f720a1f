"""Sealing of single values: AES-256-GCM, each bound to the place it is stored in.

A sealed value is ``version(1) | algorithm(1) | key id(16) | nonce(12) | ciphertext | tag(16)``. Its associated data
are version, algorithm, table, column, row, scope, category, author and key id, each behind its length: a value moved
to another row, relabelled or attributed to someone else does not open.

The nonce is random (96 bits from the operating system), not a counter: a counter repeats after a fork, a restored
snapshot or a second worker. A data key is replaced long before random nonces may collide (``DATA_KEY_USES_MAX``).
GCM does not commit to its key, so the key id is bound too and exactly one key is ever tried.
"""

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.crypto.errors import SealBroken
from app.crypto.primitives import NONCE_BYTES, SECRET_BYTES, TAG_BYTES, length_prefixed, random_secret

FORMAT_VERSION = 1
AES_256_GCM = 1
DATA_KEY_USES_MAX = 2**24
PLAINTEXT_BYTES_MAX = 2**24

_FORMAT = bytes((FORMAT_VERSION, AES_256_GCM))
_HEADER_BYTES = 18
_SEALED_BYTES_MIN = _HEADER_BYTES + NONCE_BYTES + TAG_BYTES
_SEALED_BYTES_MAX = _SEALED_BYTES_MIN + PLAINTEXT_BYTES_MAX
_UUID_LENGTH = (16).to_bytes(4, "big")
_ABSENT = length_prefixed(b"")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value stands and whose it is; ``scope`` is the case, patient or organisation of its key."""

    table: str
    column: str
    row: UUID
    scope: UUID
    category: str
    author: UUID | None


@dataclass(frozen=True, slots=True, eq=False)
class DataKey:
    """A 32-byte key for one scope and category. Never printed, pickled or copied; ``generation`` counts from 1."""

    id: UUID
    scope: UUID
    category: str
    generation: int
    secret: bytes = field(repr=False)
    cipher: AESGCM = field(init=False, repr=False)
    header: bytes = field(init=False, repr=False)
    label: bytes = field(init=False, repr=False)
    tail: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_BYTES:
            raise ValueError(f"A data key has {SECRET_BYTES} bytes.")
        # Derived once, here: building the cipher for each message would cost more than sealing it.
        object.__setattr__(self, "cipher", AESGCM(self.secret))
        object.__setattr__(self, "header", _FORMAT + self.id.bytes)
        object.__setattr__(self, "label", length_prefixed(self.scope.bytes, self.category.encode()))
        object.__setattr__(self, "tail", length_prefixed(self.id.bytes))

    def __reduce__(self) -> NoReturn:
        raise TypeError("A data key is never pickled or copied.")


def new_data_key(scope: UUID, category: str, generation: int) -> DataKey:
    """Return a fresh random data key under a fresh id."""
    return DataKey(uuid4(), scope, category, generation, random_secret())


def seal(key: DataKey, plaintext: bytes, place: Place) -> bytes:
    """Return ``plaintext`` sealed under ``key`` for ``place``: 46 bytes longer, and different each time.

    Raises:
        ValueError: the key belongs to another scope or category, or the plaintext is over ``PLAINTEXT_BYTES_MAX``.
    """
    if key.scope != place.scope or key.category != place.category:
        raise ValueError("The key belongs to another scope or category than the place.")
    if len(plaintext) > PLAINTEXT_BYTES_MAX:
        raise ValueError("The plaintext is too long to seal in one piece.")
    nonce = os.urandom(NONCE_BYTES)
    return key.header + nonce + key.cipher.encrypt(nonce, plaintext, _associated(key, place))


def open_sealed(key: DataKey, sealed: bytes, place: Place) -> bytes:
    """Return the plaintext that was sealed under ``key`` for ``place``.

    Raises:
        SealBroken: changed, cut, moved, relabelled, or sealed under another key or format.
    """
    if not _SEALED_BYTES_MIN <= len(sealed) <= _SEALED_BYTES_MAX or sealed[:_HEADER_BYTES] != key.header:
        raise _broken(key, place)
    if key.scope != place.scope or key.category != place.category:
        raise _broken(key, place)
    nonce, body = sealed[_HEADER_BYTES : _HEADER_BYTES + NONCE_BYTES], sealed[_HEADER_BYTES + NONCE_BYTES :]
    try:
        return key.cipher.decrypt(nonce, body, _associated(key, place))
    except InvalidTag:
        raise _broken(key, place) from None


def seal_text(key: DataKey, text: str, place: Place) -> bytes:
    """Return ``text`` sealed as UTF-8.

    Raises:
        ValueError: as for ``seal``, or the text holds a lone surrogate.
    """
    try:
        plaintext = text.encode()
    except UnicodeEncodeError:
        plaintext = None
    if plaintext is None:  # Raised out here because a UnicodeError carries the text, even as a hidden context.
        raise ValueError("The text cannot be written as UTF-8.")
    return seal(key, plaintext, place)


def open_text(key: DataKey, sealed: bytes, place: Place) -> str:
    """Return the text that ``seal_text`` sealed.

    Raises:
        SealBroken: as for ``open_sealed``, or what was sealed is not UTF-8.
    """
    plaintext = open_sealed(key, sealed, place)
    try:
        text = plaintext.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:  # See seal_text.
        raise _broken(key, place)
    return text


def key_id_of(sealed: bytes) -> UUID:
    """Return the id of the data key that a value says it is sealed under; only opening proves it.

    Raises:
        SealBroken: too short or too long, or not of a known version and algorithm.
    """
    if not _SEALED_BYTES_MIN <= len(sealed) <= _SEALED_BYTES_MAX or sealed[:2] != _FORMAT:
        raise SealBroken("A sealed value has no known format.")
    return UUID(bytes=sealed[2:_HEADER_BYTES])


def _associated(key: DataKey, place: Place) -> bytes:
    """Return the associated data; the parts that a key or a column fixes are encoded once."""
    author = _ABSENT if place.author is None else _UUID_LENGTH + place.author.bytes
    return _column_label(place.table, place.column) + place.row.bytes + key.label + author + key.tail


@lru_cache(maxsize=1024)
def _column_label(table: str, column: str) -> bytes:
    return length_prefixed(_FORMAT[:1], _FORMAT[1:], table.encode(), column.encode()) + _UUID_LENGTH


def _broken(key: DataKey, place: Place) -> SealBroken:
    return SealBroken(f"{place.table}.{place.column} of row {place.row} does not open under key {key.id}.")
