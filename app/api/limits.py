"""What a request may look like before anybody reads it: host, target, size and media type.

The order on every route is host, route and method, credential, size and media type, permit, body. ``Guard`` does the
first as middleware; the route calls the others in their turn.

A body that declares too great a length is refused unread: the server throws the rest away as it comes in, so the
connection survives. A body in chunks declares nothing; it is cut at the limit and the connection closed, and
``drain`` first takes in what is under way, because closing on unread data can make the client's kernel discard our
answer. ``http_protocol`` holds the limits that lie below ASGI: the size of a request's head and the time it may take.
"""

import asyncio
import re
from collections.abc import Collection
from functools import lru_cache
from typing import ClassVar, Final
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.headers import CSP_DATA, Headers, fixed_headers, new_request_id
from app.api.problems import (
    MEDIA_TYPE,
    HostNotAllowed,
    MalformedRequest,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
    body_bytes,
    problem_of,
)
from app.core.errors import Fault, Invalid, NotFound

BODY_BYTES_MAX: Final = 1024 * 1024
BODY_TIMEOUT_SECONDS: Final = 30.0
DRAIN_BYTES_MAX: Final = 16 * 1024 * 1024
DRAIN_TIMEOUT_SECONDS: Final = 2.0
LENGTH_DIGITS_MAX: Final = 18
HOST_SPELLINGS_MAX: Final = 64
HEAD_BYTES_MAX: Final = 64 * 1024
HEAD_TIMEOUT_SECONDS: Final = 10.0

_HOST = re.compile(rb"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
# One spelling per address: no percent-encoding, no empty or dot segment, no slash at the end.
_TARGET = re.compile(rb"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_JSON = re.compile(rb'application/json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?', re.IGNORECASE)


class Guard:
    """ASGI middleware that refuses a foreign host and a misspelt target before a route is looked up."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on.

        Raises:
            HostNotAllowed: see ``check_host``.
            NotFound: see ``check_target``.
        """
        if scope["type"] != "lifespan":
            check_host(scope, self._hosts)
            check_target(scope)
        await self._app(scope, receive, send)


@lru_cache(maxsize=HOST_SPELLINGS_MAX)
def _host_name(value: bytes) -> str | None:
    """Return the name in a Host header in lower case, without port and brackets, or None when it is malformed."""
    match = _HOST.fullmatch(value)
    return (match[1] or match[2]).decode("ascii").lower() if match else None


def check_host(scope: Scope, hosts: Collection[str]) -> None:
    """Let only requests pass that name one of ``hosts``, on any port.

    Raises:
        HostNotAllowed: no Host header, several, a malformed one, or another host.
    """
    values = [value for name, value in scope["headers"] if name == b"host"]
    if len(values) != 1 or _host_name(values[0]) not in hosts:
        raise HostNotAllowed


def check_target(scope: Scope) -> None:
    """Let only paths pass that are spelt in the one way ours are.

    Raises:
        NotFound: percent-encoding, ``//``, a dot segment, a slash at the end, or anything but ASCII.
    """
    raw = scope.get("raw_path")
    if _TARGET.fullmatch(scope["path"].encode() if raw is None else raw) is None:
        raise NotFound


def check_query(scope: Scope) -> None:
    """Let only queries pass that decode to text without NUL.

    Raises:
        Invalid: not UTF-8, or a NUL character.
    """
    query: bytes = scope["query_string"]
    if b"%" not in query:
        return
    try:
        text = unquote_to_bytes(query).decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(Fault("?", "not-utf-8", "The query is not valid UTF-8.")) from None
    if "\0" in text:
        raise Invalid(Fault("?", "nul-character", "The query holds a NUL character."))


def check_declared_body(scope: Scope, limit: int = BODY_BYTES_MAX) -> None:
    """Let only bodies pass whose declared size and media type are ours; a request without a body passes.

    Raises:
        PayloadTooLarge: the declared length exceeds ``limit``; the connection stays open.
        UnsupportedMediaType: not ``application/json`` in UTF-8, or compressed.
    """
    length, media_type, encoded, chunked = b"0", [], False, False
    for name, value in scope["headers"]:
        match name:
            case b"content-length":
                length = value
            case b"content-type":
                media_type.append(value)
            case b"content-encoding":
                encoded = encoded or value.strip().lower() != b"identity"
            case b"transfer-encoding":
                chunked = True
    if not length.isdigit() or len(length) > LENGTH_DIGITS_MAX or int(length) > limit:
        raise PayloadTooLarge
    if int(length) == 0 and not chunked:
        return
    if encoded:
        raise UnsupportedMediaType("Compressed bodies are not accepted.")
    if len(media_type) != 1 or _JSON.fullmatch(media_type[0]) is None:
        raise UnsupportedMediaType


async def read_body(
    receive: Receive, limit: int = BODY_BYTES_MAX, timeout_seconds: float = BODY_TIMEOUT_SECONDS
) -> bytes:
    """Return the whole body, at most ``limit`` bytes. Call it before a transaction opens: it waits for the client.

    Raises:
        PayloadTooLarge: more than ``limit`` bytes came in; the connection is closed after the answer.
        RequestTimeout: the body was not complete within ``timeout_seconds``; likewise.
        ClientDisconnect: the client went away.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            body = await _collect(receive, limit)
    except TimeoutError:
        raise RequestTimeout from None
    if body is None:
        await drain(receive)
        raise PayloadTooLarge(closes=True)
    return body


async def _collect(receive: Receive, limit: int) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


async def drain(
    receive: Receive, limit: int = DRAIN_BYTES_MAX, timeout_seconds: float = DRAIN_TIMEOUT_SECONDS
) -> None:
    """Take in and drop what is left of a body, until it ends, ``limit`` bytes passed, or the time is up."""
    size = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            while size <= limit:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


class LimitedHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits on a request's head; ``http_protocol`` fills in the class attributes."""

    answer_headers: ClassVar[Headers] = ()
    head_timeout_seconds: ClassVar[float] = HEAD_TIMEOUT_SECONDS

    _head_open = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock: a connection that never sends a head is closed too."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._end_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._head_open, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Stop counting and the clock; a WebSocket handshake leaves this class here."""
        self._end_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then weigh a head that is still not complete."""
        within_head = self._head_open
        super().data_received(data)
        if not self._head_open or self.transport.is_closing():
            return
        # A head that began within this read is weighed from the next one on: one read is a bound of its own.
        self._head_bytes += len(data) if within_head else 0
        if self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response("")
        elif self._head_timer is None:
            self._start_timer()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's own sentence is not part of our contract
        """Answer bytes that are not HTTP in the same form as everything else, and close."""
        self.transport.write(_malformed(self.answer_headers))
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_seconds, self.transport.abort)

    def _end_head(self) -> None:
        self._head_open = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def http_protocol(public_url: str, timeout_seconds: float = HEAD_TIMEOUT_SECONDS) -> type[LimitedHttp]:
    """Return the class for uvicorn's ``http`` setting, with the headers that fit the public address."""

    class ConfiguredHttp(LimitedHttp):
        answer_headers = fixed_headers(CSP_DATA, secure=public_url.startswith("https://"))
        head_timeout_seconds = timeout_seconds

    return ConfiguredHttp


def _malformed(fixed: Headers) -> bytes:
    """Return the whole answer, status line included, to bytes that are not an HTTP request."""
    request_id = new_request_id()
    problem = problem_of(MalformedRequest())
    body = body_bytes(problem, request_id)
    headers = (
        *fixed,
        (b"x-request-id", request_id.encode()),
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    )
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"HTTP/1.1 400 Bad Request\r\n" + lines + b"\r\n" + body
