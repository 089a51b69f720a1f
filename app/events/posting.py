"""The one namespace of a message's idempotency: HTTP's ``Idempotency-Key`` and the socket's ``clientId`` alike."""

from app.crypto.digests import Digests


def digests_of(digests: Digests, key: bytes | None, text: str, kind: str) -> tuple[bytes | None, bytes | None]:
    """Return the keyed digests of a client's key and of the body it stands for, 32 bytes each; None without a key."""
    if key is None:
        return None, None
    return digests.digest("message-key", key), digests.digest("message-body", text.encode(), kind.encode())
