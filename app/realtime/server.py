"""Sockets: uvicorn's WebSocket connection, which the application reads and writes itself.

There is no queue and no task between the two: a frame read is handed over at once, a written one goes to the kernel.
Asking the WebSocket library to frame each delivery would cost as much as sending it. Whatever ends a connection, it
is gone in bounded time: uvicorn alone waits for ever for a peer that does not read.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import PurePath
from typing import Any, ClassVar, Final, cast

import structlog
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from app.realtime.connections import MALFORMED
from app.realtime.frames import CloseCode

TRANSPORT: Final = "overlegtafel.transport"
CLOSE_TIMEOUT_SECONDS: Final = 5.0
FRAME_BYTES_MAX: Final = 65_536
FRAGMENTS_MAX: Final = 1024
PINGS_PER_SECOND_MAX: Final = 50
GATHERED_BYTES_MAX: Final = 65_536
INVALID_UTF8: Final = 1007

log = structlog.get_logger()
# uvicorn and the library tell of each handshake and close, with the path; we have records of our own.
_quiet = logging.getLogger("uvicorn.error.sockets")
_quiet.addFilter(lambda record: record.levelno >= logging.WARNING)  # a level may be set again by others


class _Connection(ServerProtocol):
    """The library's side of a socket, without compression and without echoing a bad handshake."""

    def __init__(self, size_bytes_max: int) -> None:
        super().__init__(extensions=None, max_size=size_bytes_max, logger=_quiet)

    def reject(self, status: HTTPStatus | int, text: str) -> Response:  # noqa: ARG002  # it quotes the request
        return super().reject(status, "The WebSocket handshake was refused.\n")


class SocketProtocol(WebSocketsSansIOProtocol):
    """One socket; ``scope["extensions"][TRANSPORT]`` is this object.

    The handshake and its refusal go through ASGI. Set ``on_text`` before accepting: text frames are then handed over
    as ``str``, binary ones as ``bytes``, while they are being read, and ASGI's ``receive`` only tells of the end.
    ``on_gone`` is called when the connection has ended; with it set the application need not wait for that.
    ``on_writable`` is called when ``can_write`` is true again, ``on_drain`` when the server stops; whoever sets the
    latter closes the socket.
    """

    on_text: Callable[[str | bytes], None] | None = None
    on_writable: Callable[[], None] | None = None
    on_drain: Callable[[], None] | None = None
    on_gone: Callable[[], None] | None = None
    can_write = True  # whether the peer keeps up: what is written now does not pile up here
    close_timeout_seconds: ClassVar[float] = CLOSE_TIMEOUT_SECONDS

    _failed = False
    _gathered: list[bytes] | None = None
    _gathered_bytes = 0
    _pings = 0
    _pings_at = 0.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _quiet
        self.conn = _Connection(min(config.ws_max_size, FRAME_BYTES_MAX))

    # What the application calls

    def write_text(self, payload: bytes) -> None:
        """Write one text frame; ``payload`` is UTF-8. After the end nothing is written."""
        if self.close_sent or not self.handshake_complete or self.transport.is_closing():
            return
        size = len(payload)
        if size < 126:
            head = b"\x81%c" % size
        elif size < 65_536:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        if self._gathered is None:
            self._gathered = []
            self.loop.call_soon(self._write_gathered)
        self._gathered += (head, payload)
        self._gathered_bytes += size
        if self._gathered_bytes > GATHERED_BYTES_MAX:
            self._write_gathered()

    def _write_gathered(self) -> None:
        """Write what was gathered in this turn of the loop at once: a system call costs more than all else of it."""
        gathered, self._gathered, self._gathered_bytes = self._gathered, None, 0
        if gathered and not self.transport.is_closing():
            self.transport.write(b"".join(gathered))

    def pause_reading(self) -> None:
        """Stop reading from the peer; frames of the read at hand still come."""
        if not self.read_paused and not self.close_sent:
            self.read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def close(self, code: int) -> None:
        """Say goodbye behind what was written; the peer has ``close_timeout_seconds`` to take it all in."""
        if self.close_sent or self.conn.state is not State.OPEN:
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(code)})
        self._write_gathered()
        self.conn.send_close(code)
        self._write_pending()
        self.close_sent = True
        self.resume_reading()
        self._abort_later()

    def abort(self) -> None:
        """Drop the connection and everything that was not sent."""
        self.close_sent = True
        self.transport.abort()

    # What the transport and uvicorn call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over from HTTP, which had other limits."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and let go of it."""
        self.read_paused = False
        super().connection_lost(exc)
        gone, self.on_gone = self.on_gone, None
        self.on_text = self.on_writable = self.on_drain = None
        if gone is not None:
            gone()

    def pause_writing(self) -> None:
        """Remember that the peer does not keep up."""
        super().pause_writing()
        self.can_write = False

    def resume_writing(self) -> None:
        """Tell the application that the peer keeps up again."""
        super().resume_writing()
        self.can_write = True
        if self.on_writable is not None:
            self.on_writable()

    def shutdown(self) -> None:
        """Close with 1012, unless the application takes its leave itself."""
        if not self.handshake_complete:
            super().shutdown()
        elif self.on_drain is not None:
            self.on_drain()
        else:
            self.close(CloseCode.DRAINING)

    def data_received(self, data: bytes) -> None:
        """Read frames; after a violation, drop what comes until the peer has read why."""
        if self._failed:
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._failed = True  # uvicorn waits for ever for a handshake the library has already given up
            self.transport.write(MALFORMED)
            self.transport.close()
            self._abort_later()

    def handle_connect(self, event: Request) -> None:
        """Put this connection where the application finds it."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][TRANSPORT] = cast("Any", self)  # not one of the extensions uvicorn knows

    def start_keepalive(self) -> None:
        """The handshake is over: nobody needs its two halves any more."""
        super().start_keepalive()
        self.request = self.response = None  # type: ignore[assignment]  # a kilobyte or two per idle socket

    def keepalive_timeout(self) -> None:
        """Give up on a peer that no longer answers."""
        super().keepalive_timeout()
        self._abort_later()

    def send_receive_event_to_app(self) -> None:
        """Hand over a whole message."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent or self.transport.is_closing():
            return
        if not self.handshake_complete:  # RFC 6455 section 4.1: a client waits for the answer
            self.abort()
            return
        try:
            frame = data.decode() if self.curr_msg_data_type == "text" else bytes(data)
        except UnicodeDecodeError:
            self._fail(INVALID_UTF8)
            return
        if self.on_text is None:
            self.frames = [data]
            super().send_receive_event_to_app()
            return
        try:
            self.on_text(frame)
        except Exception as error:  # noqa: BLE001  # the edge: the loop would log its text, which may hold content
            log.error("socket.failed", error=type(error).__qualname__, at=_place(error))  # noqa: TRY400  # likewise
            self.close(CloseCode.OUR_FAULT)

    def handle_cont(self, event: Frame) -> None:
        """Bound the number of fragments: empty ones do not count against the size of a message."""
        if len(self.frames) >= FRAGMENTS_MAX:
            self._fail(CloseCode.FRAME_TOO_BIG)
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer, but not faster than a peer that reads needs it."""
        pongs = b"".join(self.conn.data_to_send())
        if self.close_sent or self.transport.is_closing():
            return
        now = self.loop.time()
        if now - self._pings_at >= 1:
            self._pings_at, self._pings = now, 0
        self._pings += 1
        if self._pings > PINGS_PER_SECOND_MAX:
            self.close(CloseCode.RATE)
        elif self.can_write:
            self.transport.write(pongs)

    def handle_close(self, event: Frame) -> None:
        """Answer the peer's goodbye; one that does not read the answer is dropped."""
        super().handle_close(event)
        self._abort_later()

    def handle_parser_exception(self) -> None:
        """Say which rule was broken, and drop the rest unread."""
        self._failed = True
        self._write_gathered()
        self.stop_keepalive()
        code = self.conn.close_sent.code if self.conn.close_sent else CloseCode.OUR_FAULT
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(code)})
        self._write_pending()
        self.close_sent = True
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._abort_later()

    async def run_asgi(self) -> None:
        """Run the application; the connection ends with it, unless it left ``on_gone`` behind to be told instead.

        An application that waited in ``receive`` for the end of an idle socket would keep its whole stack for that.
        """
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception as error:  # noqa: BLE001  # the edge: the loop would log its text, which may hold content
            log.error("socket.failed", error=type(error).__qualname__, at=_place(error))  # noqa: TRY400  # likewise
            self.send_500_response()
        else:
            if not self.handshake_complete:
                self.send_500_response()
            elif self.on_gone is not None and not self.close_sent:
                self.scope = {}  # type: ignore[typeddict-item]  # nobody asks for it any more
                return
        if self.close_timer is None:
            self.transport.close()
        if not self.disconnected:
            self._abort_later()

    def send_500_response(self) -> None:
        """Say that it was our fault, in the words of the protocol the connection speaks by now."""
        if self.handshake_complete:
            self.close(CloseCode.OUR_FAULT)
        else:
            super().send_500_response()

    def _fail(self, code: int) -> None:
        self.conn.fail(code)
        self.handle_parser_exception()

    def _write_pending(self) -> None:
        pending = b"".join(self.conn.data_to_send())
        if not self.transport.is_closing():
            self.transport.write(pending)

    def _abort_later(self) -> None:
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(self.close_timeout_seconds, self.transport.abort)


def _place(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{PurePath(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
