"""Problem details (RFC 9457): the one place where a refusal gets its HTTP status.

``app.core.errors`` holds the kinds that the domain raises; the kinds below exist because of HTTP alone.

    DomainError
      Invalid
        HostNotAllowed       the request names a host that is not ours       400
        MalformedRequest     the bytes are not an HTTP request               400
      RequestTimeout         the body did not arrive in time                 408
      MethodNotAllowed       the route exists, the method does not           405
      PayloadTooLarge        the body exceeds the limit                      413
      UnsupportedMediaType   the body is not plain JSON                      415
      InternalError          unexpected; says nothing about itself           500
      Unavailable
        NotReady             what the service needs is not all there         503

Documentation lives at ``/problems/<code>``: the title, the status and the docstring of the class.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.core.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "/problems/"
UNAVAILABLE_RETRY_SECONDS = 5


class HostNotAllowed(Invalid):
    """The request has no Host header, several, or one that names a host this service does not answer for."""

    code = "host-not-allowed"
    title = "This host is not served here"


class MalformedRequest(Invalid):
    """The server could not read the bytes as an HTTP request, or its head is too large."""

    code = "malformed-request"
    title = "The request could not be read"


class RequestTimeout(DomainError):
    """The body did not arrive in time; the connection is closed after the answer."""

    code = "request-timeout"
    title = "The body did not arrive in time"


class MethodNotAllowed(DomainError):
    """The address exists, but not for this method; the ``Allow`` header lists the methods it has."""

    code = "method-not-allowed"
    title = "This method is not allowed here"

    def __init__(self, allowed: Iterable[str], detail: str = "") -> None:
        super().__init__(detail)
        self.allowed = tuple(sorted(allowed))


class PayloadTooLarge(DomainError):
    """The body exceeds 1 MiB.

    A body that declares its length is refused and the connection stays usable; one that is sent in chunks is cut at
    the limit and the connection is closed after the answer.
    """

    code = "payload-too-large"
    title = "The body is too large"

    def __init__(self, detail: str = "", *, closes: bool = False) -> None:
        super().__init__(detail)
        self.closes = closes


class UnsupportedMediaType(DomainError):
    """The body is not ``application/json`` in UTF-8, or it is compressed."""

    code = "unsupported-media-type"
    title = "The body must be plain JSON"


class NotReady(Unavailable):
    """Raised while the database, its migrations or the keys are not as this version needs them."""

    code = "not-ready"
    title = "The service is not ready"

    def __init__(self, states: Mapping[str, str]) -> None:
        super().__init__()
        self.states = states


class InternalError(DomainError):
    """The service failed in a way it did not foresee; the request id leads its operators to the cause."""

    code = "internal-error"
    title = "Something went wrong on our side"


STATUSES: Mapping[type[DomainError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    Conflict: 409,
    PreconditionFailed: 412,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    PreconditionRequired: 428,
    RateLimited: 429,
    InternalError: 500,
    Unavailable: 503,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal as HTTP shows it; ``body`` lacks only ``instance``, which ``render`` adds."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What stands at ``/problems/<code>``."""

    code: str
    title: str
    status: int
    explanation: str


NOT_FOUND = Problem(
    404,
    {
        "type": TYPE_BASE + NotFound.code,
        "title": NotFound.title,
        "status": 404,
        "detail": "There is nothing here, or nothing that you may see.",
        "code": NotFound.code,
    },
)
INTERNAL_ERROR = Problem(
    500,
    {
        "type": TYPE_BASE + InternalError.code,
        "title": InternalError.title,
        "status": 500,
        "code": InternalError.code,
    },
)


def status_of(kind: type[DomainError]) -> int:
    """Return the status of a kind of refusal: that of its nearest listed ancestor, or 500."""
    return next((STATUSES[base] for base in kind.__mro__ if base in STATUSES), 500)


def problem_of(error: DomainError) -> Problem:
    """Return the problem that a refusal is answered with.

    Every ``NotFound`` gives the same constant, whatever its class and detail. A refusal of no known kind is an
    internal error.
    """
    if isinstance(error, NotFound):
        return NOT_FOUND
    status = status_of(type(error))
    if status == 500:
        return INTERNAL_ERROR
    body: dict[str, object] = {
        "type": TYPE_BASE + error.code,
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "code": error.code,
    }
    if isinstance(error, NotReady):
        body |= error.states
    if isinstance(error, Invalid):
        body["errors"] = [{"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in error.faults]
    return Problem(status, body, dict(_headers(error)))


def _headers(error: DomainError) -> Iterator[tuple[str, str]]:
    match error:
        case Unauthenticated():
            yield "WWW-Authenticate", "Bearer"
        case MethodNotAllowed():
            yield "Allow", ", ".join(error.allowed)
        case RateLimited():
            yield "Retry-After", str(error.retry_after_seconds)
        case Unavailable():
            yield "Retry-After", str(UNAVAILABLE_RETRY_SECONDS)
        case RequestTimeout() | MalformedRequest() | PayloadTooLarge(closes=True):
            yield "Connection", "close"
        case _:
            return


def refusal_of(error: HTTPException) -> DomainError:
    """Return the refusal behind a framework's own exception: an unknown route, or a method it does not have."""
    match error.status_code:
        case 404:
            return NotFound()
        case 405:
            allow = (error.headers or {}).get("Allow", "")
            return MethodNotAllowed(filter(None, allow.replace(" ", "").split(",")))
        case _:
            return InternalError()


def body_bytes(problem: Problem, request_id: str) -> bytes:
    """Return the JSON of a problem; a 404 has no ``instance``, so that all of them are the same bytes."""
    if problem.status == 404:
        return orjson.dumps(problem.body)
    return orjson.dumps({**problem.body, "instance": f"urn:uuid:{request_id}"})


def render(problem: Problem, request_id: str) -> Response:
    """Return the answer to a refused request; ``request_id`` is the UUID that ``X-Request-Id`` shows."""
    return Response(body_bytes(problem, request_id), problem.status, dict(problem.headers), MEDIA_TYPE)


def problem_types() -> dict[str, ProblemType]:
    """Return every problem that the classes imported so far can raise, by code, in order of code.

    What lies under ``NotFound`` is left out: nobody is ever told which of them it was.

    Raises:
        ValueError: two classes claim the same code.
    """
    found: dict[str, ProblemType] = {}
    for kind in _kinds(DomainError):
        if kind.code in found:
            raise ValueError(f"Two refusals claim the code {kind.code}.")
        explanation = inspect.cleandoc(kind.__doc__ or kind.title)
        found[kind.code] = ProblemType(kind.code, kind.title, status_of(kind), explanation)
    return dict(sorted(found.items()))


def _kinds(root: type[DomainError]) -> Iterator[type[DomainError]]:
    for kind in root.__subclasses__():
        if "code" in vars(kind):
            yield kind
        if kind is not NotFound:
            yield from _kinds(kind)


def problem_page(code: str) -> str | None:
    """Return the HTML page that documents one code, or None when there is no such code."""
    known = problem_types().get(code)
    if known is None:
        return None
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in known.explanation.split("\n\n"))
    return _page(
        known.title,
        f"<p><code>{escape(known.code)}</code>, HTTP status {known.status}</p>"
        f'{paragraphs}<p><a href="/problems">All problems</a></p>',
    )


def problem_index() -> str:
    """Return the HTML page that lists every code."""
    rows = "".join(
        f'<li><a href="{TYPE_BASE}{escape(known.code)}"><code>{escape(known.code)}</code></a> '
        f"{known.status}: {escape(known.title)}</li>"
        for known in problem_types().values()
    )
    return _page("Problems", f"<ul>{rows}</ul>")


def _page(title: str, content: str) -> str:
    heading = escape(title)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{heading} - Overlegtafel</title></head><body><h1>{heading}</h1>{content}</body></html>"
    )
