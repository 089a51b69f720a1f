"""Refusals that the domain raises; ``api.problems`` gives each kind its HTTP status, once.

    DomainError
      Unauthenticated   no valid credential                        401
      Forbidden         the actor sees the thing, but may not      403
      NotFound          not there, not yours, not parseable        404 (one constant body)
      Conflict          the thing's state does not allow it        409
      Invalid           the input is wrong; carries every fault    400
      PreconditionFailed    changed since it was read              412
      PreconditionRequired  an update must say what it is based on 428
      RateLimited       too often; says when to try again          429
      Unavailable       the database or the log cannot be written  503

Each refusal derives from a kind and fixes ``code`` and ``title``; ``detail`` is safe to show and never echoes input.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input.

    ``pointer`` is a JSON pointer into the body (RFC 6901), or ``?name`` for a query parameter; it is built from
    declared field names and positions only, never from what the client sent.
    """

    pointer: str
    code: str
    detail: str


class DomainError(Exception):
    """A refusal with a stable code."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request was refused"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class Unauthenticated(DomainError):
    """There is no valid credential."""

    code = "unauthenticated"
    title = "A valid access token is needed"


class Forbidden(DomainError):
    """The actor may see the thing, but not do this to it."""

    code = "forbidden"
    title = "You may not do this"


class NotFound(DomainError):
    """Not there, not yours, or not parseable: always the same answer."""

    code = "not-found"
    title = "Not found"


class Conflict(DomainError):
    """The present state does not allow it."""

    code = "conflict"
    title = "The present state does not allow this"


class PreconditionFailed(DomainError):
    """The thing changed since it was read: somebody else was first. Read it again and decide anew."""

    code = "precondition-failed"
    title = "This changed since you read it"


class PreconditionRequired(DomainError):
    """An update must say, in ``If-Match``, on which ETag it is based, so that nobody overwrites another's change."""

    code = "precondition-required"
    title = "If-Match is required here"


class Invalid(DomainError):
    """The input is wrong; ``faults`` lists everything that is."""

    code = "invalid-input"
    title = "The input is not valid"

    def __init__(self, *faults: Fault, detail: str = "") -> None:
        super().__init__(detail)
        self.faults = faults


class RateLimited(DomainError):
    """Too often; ``retry_after_seconds`` says when to try again. Only some are ``recorded`` in the audit log."""

    recorded: ClassVar[bool] = False
    code = "rate-limited"
    title = "Too many requests"

    def __init__(self, retry_after_seconds: int, detail: str = "") -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(DomainError):
    """The database or the audit log cannot be written, so nothing is answered."""

    code = "unavailable"
    title = "The service cannot answer safely right now"
