"""The one cookie there is: whose secret carries a browser's session on. No script and no other site sees it.

``__Host-`` makes the browser refuse it from anybody but this very host, over TLS (or on its own machine).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from app.crypto.digests import Digests
from app.identity.signing_in import browser_digest, csrf_token

COOKIE = "__Host-overlegtafel"
ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"
CLEARED = f"{COOKIE}=; Max-Age=0; {ATTRIBUTES}"


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser's cookie tells: the digest that its session is found by, and what its pages say to act."""

    digest: bytes
    csrf_token: str = field(repr=False)

    @classmethod
    def of(cls, secret: str, digests: Digests) -> Self:
        """Return what a cookie tells, whether or not there is such a session."""
        return cls(browser_digest(digests, secret), csrf_token(digests, secret))


def cookie_of(secret: str) -> str:
    """Return the header that gives a browser its secret, until the browser is closed or the session has ended."""
    return f"{COOKIE}={secret}; {ATTRIBUTES}"


def secrets_in(headers: Iterable[tuple[bytes, bytes]], name: str = COOKIE) -> list[str]:
    """Return every value that a request gives for a cookie; more than one is nobody's doing but an attacker's."""
    found = []
    for header, value in headers:
        if header == b"cookie":
            pairs = (pair.strip().partition("=") for pair in value.decode("latin-1").split(";"))
            found += [given for key, _, given in pairs if key == name]
    return found
