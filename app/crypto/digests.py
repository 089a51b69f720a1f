"""Keyed digests: for comparing bodies, projections and tickets without keeping them."""

import secrets

from app.crypto.keys import KeyProvider, Use
from app.crypto.primitives import hmac_sha256, length_prefixed

TOKEN_BYTES = 32


class Digests:
    """HMAC-SHA-256 under the key of one use: ``Use.DIGEST`` for bodies and ETags, ``Use.TICKET`` for tickets.

    Keyed, because what is digested (a BSN in a body, a short answer) could otherwise be searched out by guessing.
    """

    def __init__(self, keys: KeyProvider, use: Use = Use.DIGEST) -> None:
        self._key = keys.current(use)

    def digest(self, label: str, *parts: bytes) -> bytes:
        """Return 32 bytes that depend on the label and on each part and its bounds; compare in constant time."""
        return hmac_sha256(self._key.secret, length_prefixed(label.encode(), *parts))


def random_token() -> str:
    """Return 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(TOKEN_BYTES)
