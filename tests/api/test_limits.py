"""Requests that are refused before anybody reads them, at the edge functions and over a real connection."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import orjson
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive

from app.api.headers import Conventions
from app.api.limits import (
    BODY_BYTES_MAX,
    Guard,
    check_declared_body,
    check_host,
    check_query,
    check_target,
    drain,
    read_body,
)
from app.api.problems import HostNotAllowed, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from app.core.errors import Invalid, NotFound
from app.core.version import API_VERSION
from app.realtime.connections import HEAD_BYTES_MAX, HttpProtocol

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
JSON = ("content-type", "application/json")
ODD_HOSTS = (
    "localhost:",
    "localhost:x",
    "localhost@evil.example",
    "localhost.",
    "",
    "é",
    "::1",
    "[::1",
    "localhost\n",
)
ODD_TARGETS = ("", "*", "//", "//evil.example/x", "/a/./b", "/a b", "/é", "/a\\b", "/a\n", "/a?")


def scope_of(*headers: tuple[str, str], path: str = "/", query: bytes = b"") -> dict[str, object]:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "headers": raw, "path": path, "raw_path": path.encode("latin-1"), "query_string": query}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_our_hosts_pass_on_any_port(host: str) -> None:
    check_host(scope_of(("host", host)), HOSTS)


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("evil.example",),
        ("localhost", "localhost"),
        ("localhost, evil.example",),
        *((host,) for host in ODD_HOSTS),
    ],
    ids=repr,
)
def test_any_other_host_is_refused(hosts: tuple[str, ...]) -> None:
    with pytest.raises(HostNotAllowed):
        check_host(scope_of(*(("host", host) for host in hosts)), HOSTS)


@pytest.mark.parametrize("path", ["/", "/api/v1/patients/_search", "/.well-known/jwks.json", "/fhir/r4/Consent/$x"])
def test_our_spelling_of_an_address_passes(path: str) -> None:
    check_target(scope_of(path=path))


@pytest.mark.parametrize(
    "path",
    [*ODD_TARGETS, "/api//v1", "/api/v1/", "/api/v1/me%00", "/api/%6de", "/a%2fb", "/%ff", "/./a", "/a/..", "/../a"],
)
def test_any_other_spelling_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        check_target(scope_of(path=path))


@pytest.mark.parametrize("query", [b"", b"limit=5", b"actorId=%C3%A9", b"cursor=a%2Bb"])
def test_a_query_of_text_passes(query: bytes) -> None:
    check_query(scope_of(query=query))


@pytest.mark.parametrize(("query", "code"), [(b"a=%00", "nul-character"), (b"a=%ff", "not-utf-8")])
def test_a_query_that_is_not_text_is_invalid(query: bytes, code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_query(scope_of(query=query))
    assert [fault.code for fault in refusal.value.faults] == [code]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-length", "0"), ("content-type", "text/plain")],
        [("content-length", str(BODY_BYTES_MAX)), JSON],
        [("content-length", "2"), ("content-type", 'Application/JSON; charset="UTF-8"')],
        [
            ("content-length", "2"),
            ("content-type", "application/json;charset=utf-8"),
            ("content-encoding", "identity"),
        ],
        [("transfer-encoding", "chunked"), JSON],
    ],
)
def test_plain_json_within_the_limit_passes(headers: list[tuple[str, str]]) -> None:
    check_declared_body(scope_of(*headers))


@pytest.mark.parametrize("length", [str(BODY_BYTES_MAX + 1), "10000000", "9" * 5000, "-1", "1e3", ""])
def test_a_length_beyond_the_limit_is_too_large_whatever_the_media_type(length: str) -> None:
    with pytest.raises(PayloadTooLarge) as refusal:
        check_declared_body(scope_of(("content-length", length), ("content-type", "text/plain")))
    assert not refusal.value.closes


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "text/plain")],
        [("content-type", "application/jsonp")],
        [("content-type", "application/json; charset=latin-1")],
        [("content-type", "application/json; charset=utf-8; x=y")],
        [JSON, JSON],
        [JSON, ("content-encoding", "gzip")],
        [JSON, ("content-encoding", "identity"), ("content-encoding", "br")],
    ],
)
@pytest.mark.parametrize("sized", [("content-length", "2"), ("transfer-encoding", "chunked")])
def test_any_other_media_type_is_unsupported(sized: tuple[str, str], headers: list[tuple[str, str]]) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_declared_body(scope_of(sized, *headers))


def receiver(chunks: Iterable[bytes], *, ends: bool = True) -> tuple[Receive, list[bytes]]:
    """Return a receive callable over ``chunks`` and the list of those not yet taken; without an end it hangs."""
    left = list(chunks)

    async def receive() -> Message:
        if left:
            chunk = left.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(left) or not ends}
        await asyncio.Event().wait()
        raise AssertionError

    return receive, left


async def test_a_body_is_read_whole_up_to_the_limit() -> None:
    assert await read_body(receiver([b"{}"])[0]) == b"{}"
    assert await read_body(receiver([b"ab", b"", b"cd"])[0], limit=4) == b"abcd"


async def test_a_body_beyond_the_limit_is_drained_and_closes_the_connection() -> None:
    receive, left = receiver([b"ab", b"cde", b"fgh"])
    with pytest.raises(PayloadTooLarge) as refusal:
        await read_body(receive, limit=4)
    assert refusal.value.closes
    assert left == []


async def test_draining_has_an_end() -> None:
    receive, left = receiver([b"abc"] * 10)
    await drain(receive, limit=5)
    assert len(left) == 8
    await drain(receiver([], ends=False)[0], timeout_seconds=0.01)


async def test_a_body_that_does_not_arrive_in_time_is_given_up() -> None:
    with pytest.raises(RequestTimeout):
        await read_body(receiver([b"{"], ends=False)[0], timeout_seconds=0.01)


async def test_a_body_of_a_client_that_left_is_nobody_s() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        await read_body(receive)
    await drain(receive)


async def take(request: Request) -> Response:
    check_declared_body(request.scope)
    return JSONResponse({"size": len(await read_body(request.receive))})


@asynccontextmanager
async def serve() -> AsyncIterator[int]:
    """Serve the edge on a free port of this machine, as the command line does."""
    app = Starlette(
        routes=[Route("/bodies", take, methods=["POST"])],
        middleware=[Middleware(Conventions, public_url=""), Middleware(Guard, hosts=HOSTS)],
    )
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listener = socket.create_server(("127.0.0.1", 0))
    await server.startup(sockets=[listener])
    try:
        yield listener.getsockname()[1]
    finally:
        await server.shutdown(sockets=[listener])


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


HEAD = b"POST /bodies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SMALL = HEAD + b"Content-Length: 2\r\n\r\n{}"


async def test_a_declared_overlong_body_leaves_the_connection_usable() -> None:
    size = 10_000_000
    async with serve() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        status, headers, body = await read_answer(reader)
        assert (status, orjson.loads(body)["code"]) == (413, "payload-too-large")
        assert "connection" not in headers
        writer.write(SMALL)
        assert (await read_answer(reader))[::2] == (200, b'{"size":2}')
        writer.close()


async def test_a_client_that_waits_for_leave_to_send_is_refused_before_it_does() -> None:
    async with serve() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 10000000\r\n\r\n")
        assert (await read_answer(reader))[0] == 413
        writer.close()


async def test_an_overlong_body_in_chunks_is_cut_answered_and_closed() -> None:
    chunk = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
    async with serve() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 100 + b"0\r\n\r\n")
        status, headers, body = await read_answer(reader)
        assert (status, orjson.loads(body)["code"]) == (413, "payload-too-large")
        assert headers["connection"] == "close"
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 20 * HEAD_BYTES_MAX,
    ],
    ids=lambda value: repr(value[:24]),
)
async def test_bytes_that_are_not_a_request_get_a_problem_with_our_headers(request_bytes: bytes) -> None:
    async with serve() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        status, headers, body = await read_answer(reader)
        assert (status, orjson.loads(body)["code"]) == (400, "malformed-request")
        assert headers["api-version"] == API_VERSION
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert "server" not in headers
        writer.close()
