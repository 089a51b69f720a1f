"""The outermost layer: one request id, the same headers on every answer, and no failure without an answer.

Add it with ``add_middleware`` as the last one. Wrapped *around* the application it would come too late: the
framework's own error page would have been sent already.
"""

from collections.abc import Iterable
from pathlib import PurePath
from random import getrandbits

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import INTERNAL_ERROR, Problem, problem_of, render
from app.core.errors import DomainError
from app.core.version import API_VERSION

HSTS_SECONDS = 31_536_000
OPENAPI_PATH = "/api/v1/openapi.json"
OPENAPI_PATHS = frozenset({OPENAPI_PATH, "/openapi.json"})
REFERENCE_PATH = "/docs"

CSP_DATA = "default-src 'none'; frame-ancestors 'none'"
CSP_REFERENCE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Headers = tuple[tuple[bytes, bytes], ...]

log = structlog.get_logger()


def fixed_headers(csp: str, *, secure: bool) -> Headers:
    """Return the headers that all answers under one content security policy share; ``secure`` adds HSTS."""
    headers = {
        "api-version": API_VERSION,
        "cache-control": "no-store",
        "content-security-policy": csp,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    if secure:
        headers["strict-transport-security"] = f"max-age={HSTS_SECONDS}"
    return _encoded(headers.items())


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in headers)


def new_request_id() -> str:
    """Return a random UUID (version 4) in text.

    It need not be hard to guess, only unlikely to occur twice, so the operating system is not asked for it: that call
    would cost more than all else this layer does.
    """
    digits = f"{getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def request_id_of(scope: Scope) -> str:
    """Return the id of the request: a UUID of ours, never what the client sent."""
    return str(scope["state"]["request_id"])


class Conventions:
    """ASGI middleware that gives each request its id, each answer its headers, and each refusal its problem."""

    def __init__(self, app: ASGIApp, *, public_url: str) -> None:
        secure = public_url.startswith("https://")
        self._app = app
        self._data = fixed_headers(CSP_DATA, secure=secure)
        self._reference = fixed_headers(CSP_REFERENCE, secure=secure)
        self._document = (*self._data, (b"access-control-allow-origin", b"*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, whatever happens below."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        headers = self._headers_for(scope["path"])
        started = False

        async def stamp(message: Message) -> None:
            nonlocal started
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                message["headers"] = [*message["headers"], *headers, (b"x-request-id", request_id.encode())]
                started = True
            elif message["type"] == "websocket.accept":
                started = True
            await send(message)

        try:
            await self._app(scope, receive, stamp)
        except ClientDisconnect:
            return  # Nobody is left to answer.
        except Exception as error:  # noqa: BLE001  # the edge: no error may pass it in its own words
            problem = _problem(error, request_id)
            # An answer that has begun cannot be taken back: returning makes the server cut the connection.
            if not started:
                await render(problem, request_id)(scope, receive, stamp)

    def _headers_for(self, path: str) -> Headers:
        if path in OPENAPI_PATHS:
            return self._document
        if path.startswith(REFERENCE_PATH):
            return self._reference
        return self._data


def _problem(error: Exception, request_id: str) -> Problem:
    """Return what to answer; only the type and place of an unexpected error are logged, as its text may hold data."""
    if isinstance(error, DomainError):
        return problem_of(error)
    log.error("request.failed", error=type(error).__qualname__, at=_place(error), request_id=request_id)
    return INTERNAL_ERROR


def _place(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{PurePath(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
