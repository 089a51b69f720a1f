"""What a request may look like before anybody reads it: host, target, size and media type.

The order on every route is host, route and method, credential, size and media type, permit, body. ``Guard`` does the
first as middleware; the route calls the others in their turn.

A body that declares too great a length is refused unread: the server throws the rest away as it comes in, so the
connection survives. A body in chunks declares nothing; it is cut at the limit and the connection closed, and
``drain`` first takes in what is under way, because closing on unread data can make the client's kernel discard our
answer. The limits that lie below ASGI, on a request's head, are the connection's own.
"""

import asyncio
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import (
    HostNotAllowed,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from app.core.errors import Fault, Invalid, NotFound

BODY_BYTES_MAX: Final = 1024 * 1024
BODY_TIMEOUT_SECONDS: Final = 30.0
DRAIN_BYTES_MAX: Final = 16 * 1024 * 1024
DRAIN_TIMEOUT_SECONDS: Final = 2.0
LENGTH_DIGITS_MAX: Final = 18
HOST_SPELLINGS_MAX: Final = 64

_HOST = re.compile(rb"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
# One spelling per address: no percent-encoding, no empty or dot segment, no slash at the end.
_TARGET = re.compile(rb"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
JSON_MEDIA: Final = re.compile(rb'application/json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?', re.IGNORECASE)


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


def check_declared_body(scope: Scope, limit: int = BODY_BYTES_MAX, media: re.Pattern[bytes] = JSON_MEDIA) -> None:
    """Let only bodies pass whose declared size and media type are ours; a request without a body passes.

    Raises:
        PayloadTooLarge: the declared length exceeds ``limit``; the connection stays open.
        UnsupportedMediaType: not of the form ``media``, which is ``application/json`` in UTF-8; or compressed.
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
    if len(media_type) != 1 or media.fullmatch(media_type[0]) is None:
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
