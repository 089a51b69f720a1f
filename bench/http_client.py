"""A keep-alive HTTP/1.1 client of a hundred lines: the load must not cost more than the server it measures.

It speaks to our service and to Synapse alike. One request at a time per connection, loopback only.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any, cast

import orjson

TIMEOUT_SECONDS = 60
IDLE_SECONDS_MAX = 4
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class HttpFault(Exception):
    """An answer that was not a success, or a connection that ended under a request."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status} {body[:500]!r}")
        self.status = status
        self.body = body


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, host: str) -> None:
        self.ended = False
        self._host = host.encode()
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, port: int, *, local: str | None = None) -> "Connection":
        """Return a connection to a loopback port, from another loopback address when ``local`` names one."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(
            lambda: cls(f"127.0.0.1:{port}"), "127.0.0.1", port, local_addr=None if local is None else (local, 0)
        )
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.ended = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(HttpFault(0, b"the connection ended"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end])
        start = head_end + 4
        length = _LENGTH.search(head)
        if length is not None:
            end = start + int(length[1])
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[start:end])
        elif _CHUNKED.search(head):
            if not self._buffer.endswith(b"\r\n0\r\n\r\n", start - 2):
                return
            body = _dechunk(bytes(self._buffer[start:]))
        else:
            body = b""
        self._buffer.clear()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result((int(head[9:12]), body))

    def request(self, raw: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Write one prepared request and return its status and body to come."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return self._answer

    def prepare(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """Return the bytes of one request."""
        lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: " + self._host]
        lines += [f"{name}: {value}".encode() for name, value in headers.items()]
        if body is not None:
            lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        return b"\r\n".join((*lines, b"", body or b""))

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


class Pool:
    """As many connections as are in use at once, opened when needed and kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[Connection, float]] = []

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of one request over a connection that is free at this moment."""
        connection = self._free() or await Connection.open(self._port)
        answer = await connection.request(connection.prepare(method, path, headers, body))
        self._idle.append((connection, time.monotonic()))
        return answer

    def _free(self) -> Connection | None:
        """Return an idle connection that the server is not about to end (uvicorn does after five seconds)."""
        while self._idle:
            connection, since = self._idle.pop()
            if not connection.ended and time.monotonic() - since < IDLE_SECONDS_MAX:
                return connection
            connection.close()
        return None

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # JSON of others
        """Return the parsed body of a successful answer.

        Raises:
            HttpFault: any status of 300 or more, or no answer at all.
        """
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        content = None if method == "GET" else b"" if body is None else orjson.dumps(body)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            status, answer = await self.send(method, path, fields, content)
        if status >= 300:
            raise HttpFault(status, answer)
        return orjson.loads(answer) if answer else None

    def close(self) -> None:
        """End the idle connections."""
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()


def _dechunk(raw: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = raw.index(b"\r\n", at)
        size = int(raw[at:line_end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[line_end + 2 : line_end + 2 + size])
        at = line_end + 4 + size
