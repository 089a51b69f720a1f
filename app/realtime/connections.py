"""HTTP connections: uvicorn's own, bounded wherever they wait for a peer or keep what it sent.

uvicorn waits for ever for the rest of a head, keeps whatever follows a head without end, and writes to a peer that
never reads for as long as it likes. Each of these is a way to fill the service from one machine.
"""

import asyncio
import logging
from asyncio import TimerHandle
from http import HTTPStatus
from typing import ClassVar, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.core.version import API_VERSION

HEAD_TIMEOUT_SECONDS: Final = 10.0
HEAD_BYTES_MAX: Final = 32 * 1024
CONNECTIONS_MAX: Final = 20_000
ANSWER_TIMEOUT_SECONDS: Final = 60.0
# Longer than clients and proxies keep an idle connection: who ends it first must be who sends the next request, or a
# request that is under way while we close is lost (httpx keeps one 5 s, nginx and most load balancers 60 s).
KEEP_ALIVE_SECONDS: Final = 75
LINGER_SECONDS: Final = 2.0

_quiet = logging.getLogger("uvicorn.error.connections")
_quiet.addFilter(lambda record: record.levelno >= logging.ERROR)  # a level may be set again by others


def _answer(status: HTTPStatus, code: str, title: str, *headers: str) -> bytes:
    """Return a whole answer; it is constant, so nothing of the request can stand in it."""
    body = orjson.dumps({"type": f"/problems/{code}", "title": title, "status": int(status), "code": code})
    lines = (
        f"HTTP/1.1 {int(status)} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        f"api-version: {API_VERSION}",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "connection: close",
        *headers,
        "\r\n",
    )
    return "\r\n".join(lines).encode("ascii") + body


MALFORMED: Final = _answer(HTTPStatus.BAD_REQUEST, "malformed-request", "The request could not be read")
OVERLOADED: Final = _answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "The service cannot answer safely right now",
    "retry-after: 5",
)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP connection with limits of ours; a subclass may set others, or other words for ``malformed``.

    A connection is always in one of: request in hands of the application; keep-alive (uvicorn's timeout); waiting for
    a head (ours); refused, and lingering until the peer has read why.
    """

    head_timeout_seconds: ClassVar[float] = HEAD_TIMEOUT_SECONDS
    answer_timeout_seconds: ClassVar[float] = ANSWER_TIMEOUT_SECONDS
    linger_seconds: ClassVar[float] = LINGER_SECONDS
    connections_max: ClassVar[int] = CONNECTIONS_MAX

    _deadline: TimerHandle | None = None
    _answer_deadline: TimerHandle | None = None
    _unfinished_bytes = 0
    _done = False

    @property
    def malformed(self) -> bytes:
        """The whole answer, head included, to bytes that are not a request."""
        return MALFORMED

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock for the first head, or refuse one connection too many."""
        super().connection_made(transport)
        self.access_log = False  # uvicorn would log paths and queries,
        self.logger = _quiet  # and a line for whatever else a stranger sends
        # Any unsent byte pauses writing, so that the answer's deadline sees a peer that does not read.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self.connections_max:
            self.connections.discard(self)
            self._refuse(OVERLOADED)
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._head_came()
        self._answer_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse what completes nothing for too long."""
        if self._done:
            return
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._done or self.transport.is_closing():
            return
        if self._unfinished_bytes > HEAD_BYTES_MAX:
            self._refuse(self.malformed)
        elif not self._busy and self._deadline is None:
            self._await_head()

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def on_message_begin(self) -> None:
        """Take one request at a time: who sends the next before the answer gets that answer, and the connection ends.

        uvicorn would queue them without bound and forget all but the last when the connection breaks; no browser and
        no client library of today does it.
        """
        if self._busy:
            self._done = True
            self.cycle.keep_alive = False
            raise ValueError
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Weigh the head; raising makes the parser, and so uvicorn, refuse it."""
        self._unfinished_bytes = 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        known = self.url.isascii() and self.parser.get_http_version() in {"1.0", "1.1"}
        if size > HEAD_BYTES_MAX or not known:
            raise ValueError
        self._head_came()
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = []  # trailers would be appended to the headers the application has already judged

    def on_body(self, body: bytes) -> None:
        """Count from here again."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, and keep nothing of it."""
        self._done = True
        self._answer_read()
        super().handle_websocket_upgrade()
        self.parser = self.scope = self.headers = None  # type: ignore[assignment]  # they refer to each other

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the sentence is uvicorn's
        """Refuse bytes that are not HTTP."""
        self._refuse(self.malformed)

    def pause_writing(self) -> None:
        """Start the clock for the peer to read its answer."""
        super().pause_writing()
        self._answer_deadline = self.loop.call_later(self.answer_timeout_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock: everything is sent."""
        self._answer_read()
        super().resume_writing()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_timeout_seconds, self.transport.abort)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _answer_read(self) -> None:
        if self._answer_deadline is not None:
            self._answer_deadline.cancel()
            self._answer_deadline = None

    def _refuse(self, answer: bytes) -> None:
        """Answer and close, but only after the peer: closing on unread data makes its kernel drop our answer."""
        if self._done or self.transport.is_closing():
            return
        self._done = True
        self._head_came()
        self._unset_keepalive_if_required()
        if self._busy:
            if self.cycle.response_started:
                self.transport.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_reading()
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(self.linger_seconds, self.transport.abort)
