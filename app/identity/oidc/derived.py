"""What is kept, or made again, of the secrets of a log-in under way. Pure."""

from base64 import urlsafe_b64encode

from app.crypto.digests import Digests


def derived(digests: Digests, label: str, state: str, secret: str) -> str:
    """Return 43 URL-safe characters that only we can make from the two."""
    return urlsafe_b64encode(digests.digest(label, *_bytes(state, secret))).rstrip(b"=").decode()


def state_digest(digests: Digests, state: str, secret: str) -> bytes:
    """Return what is kept of a state: found only by the browser that holds the secret."""
    return digests.digest("oidc-state", *_bytes(state, secret))


def completion_digest(digests: Digests, code: str, secret: str) -> bytes:
    """Return what is kept of a code that tokens are fetched with."""
    return digests.digest("oidc-completion", *_bytes(code, secret))


def subject_digest(digests: Digests, issuer: str, subject: str) -> bytes:
    """Return what is kept of a person's identifier at a provider."""
    return digests.digest("oidc-subject", *_bytes(issuer, subject))


def session_digest(digests: Digests, issuer: str, session: str | None) -> bytes | None:
    """Return what is kept of a provider's own session, if it names one."""
    return None if session is None else digests.digest("oidc-provider-session", *_bytes(issuer, session))


def _bytes(*texts: str) -> tuple[bytes, ...]:
    return tuple(text.encode("utf-8", "surrogatepass") for text in texts)
