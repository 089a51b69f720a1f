"""A WebSocket client of a hundred lines (RFC 6455): complete frames in, masked text frames out.

The mask key is zero, which the protocol allows and which saves the client the XOR; the server unmasks all the same.
A server of this bench never fragments and never compresses, so a client that meets either stops.
"""

import asyncio
import base64
import os
from collections.abc import Callable
from typing import TypeAlias, cast

FrameHandler: TypeAlias = Callable[[bytes, int, int], None]

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_NO_MASK = b"\0\0\0\0"
OPEN_SECONDS = 30


class SocketEnded(Exception):
    """The server ended the connection, or spoke in a way this client does not know."""


class Socket(asyncio.Protocol):
    """One open socket; ``on_frame(buffer, start, end)`` gets every text frame without a copy."""

    __slots__ = ("_buffer", "_opened", "_path", "_transport", "close_code", "ended", "on_frame")

    def __init__(self, path: str, on_frame: FrameHandler) -> None:
        self.on_frame = on_frame
        self.close_code: int | None = None
        self.ended = False
        self._path = path
        self._buffer = b""
        self._opened: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, port: int, path: str, on_frame: FrameHandler) -> "Socket":
        """Return a socket after its handshake.

        Raises:
            SocketEnded: the handshake was refused.
        """
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(lambda: cls(path, on_frame), "127.0.0.1", port)
        await socket.opened(port)
        return socket

    async def opened(self, port: int) -> None:
        """Ask for the handshake and wait until it is complete."""
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert self._opened is not None
        await asyncio.wait_for(self._opened, OPEN_SECONDS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.ended = True
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(SocketEnded("the connection ended during the handshake"))

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if self._opened is not None:
            head_end = data.find(b"\r\n\r\n")
            if head_end < 0:
                self._buffer = data
                return
            self._answered(self._opened, data[:head_end])
            data = data[head_end + 4 :]
        at, size, on_frame = 0, len(data), self.on_frame
        while size - at >= 2:
            first, length, start = data[at], data[at + 1], at + 2
            if length == 126:
                if size < start + 2:
                    break
                length, start = data[start] << 8 | data[start + 1], start + 2
            elif length == 127:
                if size < start + 8:
                    break
                length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            end = start + length
            if end > size:
                break
            if first == _TEXT:
                on_frame(data, start, end)
            else:
                self._control(first, data[start:end])
            at = end
        self._buffer = data[at:]

    def send(self, payload: bytes) -> None:
        """Write one text frame."""
        self._write(_TEXT, payload)

    def close(self) -> None:
        """End the connection without a closing handshake."""
        self._transport.close()

    def _write(self, first: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((first, 0x80 | size))
        elif size < 65536:
            head = bytes((first, 0xFE, size >> 8, size & 0xFF))
        else:
            head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
        self._transport.write(head + _NO_MASK + payload)

    def _answered(self, opened: asyncio.Future[None], head: bytes) -> None:
        self._opened = None
        if opened.done():  # nobody waits any more
            self._transport.close()
        elif head.startswith(b"HTTP/1.1 101"):
            opened.set_result(None)
        else:
            opened.set_exception(SocketEnded(head.decode(errors="replace")))
            self._transport.close()

    def _control(self, first: int, payload: bytes) -> None:
        if first == _PING:
            self._write(_PONG, payload)
        elif first == _CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
            self._write(_CLOSE, payload[:2])
            self._transport.close()
        elif first != _PONG:
            self._transport.abort()
            raise SocketEnded(f"an unexpected frame {first:#x}")
