"""Opaque positions: pages of lists, and places in a case's stream.

Both tell a client nothing, have one length whatever they hold, differ each time they are given, and mean something
only to the account they were given to. Neither carries a right: rights are looked up when a cursor is used.
"""

import binascii
import hmac
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from string import ascii_lowercase
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.crypto.errors import CursorInvalid
from app.crypto.keys import KeyProvider, PurposeKey, Use, find_key
from app.crypto.primitives import NONCE_BYTES, hmac_sha256, length_prefixed

PAGE_POSITION_BYTES_MAX = 126
PAGE_CURSOR_LENGTH = 220
STREAM_CURSOR_LENGTH = 33
STREAM_SEQ_MAX = 2**40 - 1
STREAM_TAG_BYTES = 8

Scalar = str | int | bool | None

_PAGE_VERSION = b"\x01"
_PAGE_KEY_BYTES = 8
_PAGE_HEADER_BYTES = len(_PAGE_VERSION) + _PAGE_KEY_BYTES
_PAGE_LABEL = b"overlegtafel/page-cursor/v1"

_BLOCK_BYTES = 16
_BLOCK_HEX = 2 * _BLOCK_BYTES
_SEQ_BYTES = 5
_SALT_BYTES = 3


class PageCursors:
    """Sealed positions in a list, each bound to one account and one query."""

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys

    def seal(self, position: tuple[Scalar, ...], *, account: UUID, query: bytes) -> str:
        """Return the position as 220 URL-safe characters. ``query`` is any bytes that tell this query from others.

        Raises:
            ValueError: the position takes more than ``PAGE_POSITION_BYTES_MAX`` bytes of JSON.
        """
        content = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
        if len(content) > PAGE_POSITION_BYTES_MAX:
            raise ValueError("The position is too long for a cursor.")
        padded = len(content).to_bytes(2, "big") + content.ljust(PAGE_POSITION_BYTES_MAX, b"\0")
        key = self._keys.current(Use.PAGE_CURSOR)
        header = _page_header(key)
        nonce = os.urandom(NONCE_BYTES)
        body = AESGCM(key.secret).encrypt(nonce, padded, _page_label(header, account, query))
        return urlsafe_b64encode(header + nonce + body).decode()

    def open(self, cursor: str, *, account: UUID, query: bytes) -> tuple[Scalar, ...]:
        """Return the position that was sealed for this account and query.

        Raises:
            CursorInvalid: forged, cut, given to another account or for another query, or its key is no longer read.
        """
        if len(cursor) != PAGE_CURSOR_LENGTH:
            raise CursorInvalid
        try:
            sealed = urlsafe_b64decode(cursor)
        except (binascii.Error, ValueError):
            raise CursorInvalid from None
        # One spelling only: the decoder skips characters outside its alphabet and takes both alphabets.
        if urlsafe_b64encode(sealed) != cursor.encode():
            raise CursorInvalid
        header, nonce = sealed[:_PAGE_HEADER_BYTES], sealed[_PAGE_HEADER_BYTES : _PAGE_HEADER_BYTES + NONCE_BYTES]
        body = sealed[_PAGE_HEADER_BYTES + NONCE_BYTES :]
        try:
            padded = AESGCM(self._key_of(header)).decrypt(nonce, body, _page_label(header, account, query))
        except InvalidTag:
            raise CursorInvalid from None
        return tuple(json.loads(padded[2 : 2 + int.from_bytes(padded[:2], "big")]))

    def _key_of(self, header: bytes) -> bytes:
        key = find_key(self._keys, Use.PAGE_CURSOR, lambda key: header == _page_header(key))
        if key is None:
            raise CursorInvalid
        return key.secret


def _page_header(key: PurposeKey) -> bytes:
    return _PAGE_VERSION + key.id.bytes[:_PAGE_KEY_BYTES]


def _page_label(header: bytes, account: UUID, query: bytes) -> bytes:
    return length_prefixed(_PAGE_LABEL, header, account.bytes, query)


class StreamCursors:
    """Positions in a case's stream, one 16-byte block each: cheap enough to give every frame of every socket its own.

    A cursor is a letter that names the key, and 32 hex digits: AES-256 of ``seq(5) | salt(3) | tag(8)``. AES is a
    permutation of blocks, so a changed or invented cursor becomes a random block, whose tag is right once in 2^64.
    The salt is fresh per call. Without it a viewer who is given the same cursor twice learns that nothing happened
    between, and one who is given another learns of an event that is hidden from her.

    Tags have a key of their own that is not rotated, because callers keep them; what hides them rotates.
    """

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys
        self._tag_key = keys.current(Use.STREAM_TAG).secret
        self._ciphers: dict[UUID, Cipher[modes.ECB]] = {}

    def tag(self, account: UUID, case: UUID) -> bytes:
        """Return the 8 bytes that bind a cursor to this account and case; keep them, they cost more than a cursor."""
        return hmac_sha256(self._tag_key, length_prefixed(account.bytes, case.bytes))[:STREAM_TAG_BYTES]

    def many(self, seq: int, tags: list[bytes]) -> list[str]:
        """Return one cursor of position ``seq`` per tag, in their order.

        Raises:
            ValueError: the tags do not have 8 bytes each.
            OverflowError: ``seq`` is negative or over ``STREAM_SEQ_MAX``.
        """
        if not tags:
            return []
        head = seq.to_bytes(_SEQ_BYTES, "big") + os.urandom(_SALT_BYTES)
        blocks = head + head.join(tags)
        if len(blocks) != _BLOCK_BYTES * len(tags):
            raise ValueError(f"A tag has {STREAM_TAG_BYTES} bytes.")
        key = self._keys.current(Use.STREAM_CURSOR)
        letter, text = _letter(key), self._cipher(key).encryptor().update(blocks).hex()
        return [letter + text[at : at + _BLOCK_HEX] for at in range(0, len(text), _BLOCK_HEX)]

    def one(self, seq: int, tag: bytes) -> str:
        """Return one cursor of position ``seq``; refuses as ``many`` does."""
        return self.many(seq, [tag])[0]

    def read(self, cursor: str, account: UUID, case: UUID) -> int | None:
        """Return the position, or None if the cursor was not given to this account for this case, or is too old."""
        if len(cursor) != STREAM_CURSOR_LENGTH:
            return None
        try:
            block = bytes.fromhex(cursor[1:])
        except ValueError:
            return None
        # One spelling only: fromhex takes capitals and skips spaces.
        if block.hex() != cursor[1:]:
            return None
        key = find_key(self._keys, Use.STREAM_CURSOR, lambda key: _letter(key) == cursor[0])
        if key is None:
            return None
        plain = self._cipher(key).decryptor().update(block)
        if not hmac.compare_digest(plain[_SEQ_BYTES + _SALT_BYTES :], self.tag(account, case)):
            return None
        return int.from_bytes(plain[:_SEQ_BYTES], "big")

    def _cipher(self, key: PurposeKey) -> Cipher[modes.ECB]:
        cipher = self._ciphers.get(key.id)
        if cipher is None:
            cipher = self._ciphers[key.id] = block_cipher(key.secret)
        return cipher


def block_cipher(secret: bytes) -> Cipher[modes.ECB]:
    """Return AES-256 as a permutation of single blocks.

    ECB is right here and nowhere else: every cursor is one block, a message of its own that a permutation hides
    whole, and equal blocks mean equal (seq, salt, viewer). What ECB leaks is how the blocks *of one message* relate;
    the concatenation in ``many`` is no message, only one call into the library instead of a thousand.
    """
    return Cipher(algorithms.AES(secret), modes.ECB())  # noqa: S305  # the docstring says why


def _letter(key: PurposeKey) -> str:
    return ascii_lowercase[(key.number - 1) % len(ascii_lowercase)]
