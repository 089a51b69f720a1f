"""A real uvicorn on uvloop in a thread, with our protocols, a scripted application and impatient limits."""

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from starlette.types import Receive, Scope, Send

from app.realtime.connections import HttpProtocol
from app.realtime.frames import CloseCode
from app.realtime.server import TRANSPORT, SocketProtocol

PATIENCE_SECONDS = 10.0
BIG_ANSWER = b"x" * 16 * 1024 * 1024
FLOOD = b"f" * 32 * 1024


class ImpatientHttp(HttpProtocol):
    head_timeout_seconds = 0.2
    answer_timeout_seconds = 0.3
    linger_seconds = 0.3
    connections_max = 100


class ImpatientSocket(SocketProtocol):
    close_timeout_seconds = 0.3


class Table:
    """The application. Over HTTP it answers; over a socket it does what each text frame says."""

    def __init__(self) -> None:
        self.ends: queue.Queue[Mapping[str, Any]] = queue.Queue()
        self.notes: queue.Queue[str] = queue.Queue()
        self.socket: SocketProtocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.answer(scope, receive, send)
        else:
            await self.converse(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = BIG_ANSWER if scope["path"] == "/big" else b"hello"
        if scope["path"] == "/body":
            while (message := await receive()).get("more_body"):
                pass
            self.notes.put(message["type"])
            self.notes.put(repr(scope["headers"]))
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        self.socket = transport = cast("SocketProtocol", scope["extensions"][TRANSPORT])
        if scope["path"] == "/asgi":
            await self.echo(receive, send)
            return
        transport.on_text = lambda frame: self.obey(transport, frame)
        transport.on_writable = lambda: self.notes.put("writable")
        if scope["path"] == "/draining":
            transport.on_drain = lambda: self.drain(transport)
        if scope["path"] != "/late":
            await send({"type": "websocket.accept"})
        if scope["path"] == "/broken":
            raise RuntimeError("canary")
        self.ends.put(await receive())

    async def echo(self, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        self.ends.put(message)

    def drain(self, transport: SocketProtocol) -> None:
        transport.write_text(b"bye")
        transport.close(CloseCode.DRAINING)

    def obey(self, transport: SocketProtocol, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            transport.write_text(b"%d bytes" % len(frame))
            return
        command, _, rest = frame.partition(" ")
        match command:
            case "size":
                transport.write_text(b"x" * int(rest))
            case "flood":
                while transport.can_write:
                    transport.write_text(FLOOD)
                self.notes.put("full")
            case "close":
                transport.close(int(rest))
                transport.write_text(b"too late")
            case "abort":
                transport.abort()
                transport.write_text(b"too late")
            case "raise":
                raise RuntimeError("canary")
            case "pause":
                transport.pause_reading()
                asyncio.get_running_loop().call_later(0.05, transport.resume_reading)
            case _:
                transport.write_text(frame.encode())


class Server:
    """A running server; ``stop`` begins an orderly shutdown."""

    def __init__(self, **options: Any) -> None:
        self.table = Table()
        settings: dict[str, Any] = {
            "http": ImpatientHttp,
            "ws": ImpatientSocket,
            "loop": "uvloop",
            "lifespan": "off",
            "log_config": None,
            "timeout_keep_alive": 0.3,
            "timeout_graceful_shutdown": 2,
            **options,
        }
        self.uvicorn = uvicorn.Server(uvicorn.Config(self.table, **settings))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [self.listener]})

    def connect(self) -> socket.socket:
        """Open a bare connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def upgrade(self, path: str = "/", *, receive_bytes: int | None = None) -> socket.socket:
        """Open a socket by hand."""
        connection = socket.socket()
        connection.settimeout(PATIENCE_SECONDS)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(handshake(path))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert head.startswith(b"HTTP/1.1 101")
        return connection

    def open_connections(self) -> int:
        return len(self.uvicorn.server_state.connections)


@contextmanager
def serving(**options: Any) -> Iterator[Server]:
    server = Server(**options)
    server.thread.start()
    try:
        eventually(lambda: server.uvicorn.started)
        yield server
    finally:
        server.uvicorn.should_exit = True
        server.thread.join(PATIENCE_SECONDS)
        server.listener.close()
        assert not server.thread.is_alive()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def handshake(path: str = "/", *more: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a client's frame, masked with zeros."""
    first = (0x80 if fin else 0) | opcode
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    """Return opcode and payload of the next frame; opcode -1 is the end of the connection."""
    try:
        first, size = _read(connection, 2)
        if size >= 126:
            size = int.from_bytes(_read(connection, 2 if size == 126 else 8), "big")
        return first & 0x0F, _read(connection, size)
    except (EOFError, ConnectionResetError):
        return -1, b""


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the connection ends, in whichever way."""
    data = bytearray()
    try:
        while piece := connection.recv(65_536):
            data += piece
    except ConnectionError:
        pass
    return bytes(data)
