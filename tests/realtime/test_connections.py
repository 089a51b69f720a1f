"""HTTP connections that begin badly, never end, or never read: each is gone in bounded time, and says nothing."""

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat

import pytest

from app.realtime.connections import MALFORMED as MALFORMED_ANSWER
from tests.realtime.serving import (
    BIG_ANSWER,
    PATIENCE_SECONDS,
    ImpatientHttp,
    Server,
    eventually,
    handshake,
    read_all,
    serving,
)

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
        eventually(lambda: running.open_connections() == 0)


@pytest.fixture(autouse=True)
def nothing_is_left_over(server: Server) -> Iterator[None]:
    yield
    while not server.table.notes.empty():
        server.table.notes.get()


def drip(server: Server, *pieces: bytes) -> bytes:
    with server.connect() as connection:
        return converse(connection, *pieces)


def converse(connection: socket.socket, *pieces: bytes) -> bytes:
    """Send pieces in turn for as long as the connection takes them, and return what came back until it ended."""
    answer = b""
    connection.settimeout(0.02)
    with suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)
            with suppress(TimeoutError):
                received = connection.recv(65_536)
                answer += received
                if not received:
                    return answer
    connection.settimeout(PATIENCE_SECONDS)
    return answer + read_all(connection)


def exchange(server: Server, data: bytes) -> bytes:
    with server.connect() as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
        return read_all(connection)


def test_a_whole_request_is_answered_and_the_connection_kept(server: Server) -> None:
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(GET + b"\r\n")
            answer = b""
            while not answer.endswith(b"hello"):
                answer += connection.recv(1024)
            assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "start", [b"", b"G", GET, handshake()[:-2]], ids=["silence", "one byte", "head", "handshake"]
)
def test_an_unfinished_head_is_closed(server: Server, start: bytes) -> None:
    assert exchange(server, start) == b""


def test_a_head_that_never_ends_is_closed_however_busily_it_comes(server: Server) -> None:
    assert drip(server, GET, *repeat(b"a: b\r\n", 1000)) == b""


def test_a_second_head_has_its_own_clock(server: Server) -> None:
    assert exchange(server, GET + b"\r\n" + GET).startswith(b"HTTP/1.1 200")
    assert drip(server, GET + b"\r\n", GET, *repeat(b"a: b\r\n", 1000)).startswith(b"HTTP/1.1 200")


def test_a_body_nobody_waits_for_does_not_keep_the_connection(server: Server) -> None:
    post = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n"
    assert drip(server, post, *repeat(b"x", 1000)).count(b"HTTP/1.1") == 1


MALFORMED = {
    "not HTTP": b"canary\r\n\r\n",
    "binary": bytes(range(256)) * 4,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary",
    "no version": b"GET /canary\r\n\r\n",
    "bad header": b"GET / HTTP/1.1\r\nbad canary\r\n\r\n",
    "bad length": b"POST / HTTP/1.1\r\ncontent-length: canary\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\ncanary",
    "address not ASCII": "GET /canary/é HTTP/1.1\r\nhost: x\r\n\r\n".encode(),
    "handshake not ASCII": handshake("/é"),
    "one long header": GET + b"a: " + b"canary" * 6000 + b"\r\n\r\n",
    "one endless header": GET + b"a: " + b"canary" * 60_000,
    "many headers": GET + b"canary: x\r\n" * 4000 + b"\r\n",
    "long address": b"GET /" + b"canary" * 6000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "long handshake": handshake("/", "a: " + "canary" * 6000),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_a_request_is_answered_without_an_echo(server: Server, data: bytes) -> None:
    answer = exchange(server, data)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b'"code":"malformed-request"}')
    assert answer.count(b"HTTP/1.1") == 1
    assert b"canary" not in answer


def test_a_head_just_within_the_limit_is_answered(server: Server) -> None:
    assert exchange(server, GET + b"a: " + b"x" * 32_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 200")


SLOW_POST = b"POST /body HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20\r\n\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"


def test_trailers_do_not_join_the_headers(server: Server) -> None:
    answer = exchange(server, CHUNKED + b"1\r\nx\r\n0\r\nauthorization: canary\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert server.table.notes.get(timeout=10) == "http.request"
    assert "canary" not in server.table.notes.get(timeout=10)


@pytest.mark.parametrize(
    "endless",
    [(b"1;", *repeat(b"e" * 9000, 9)), (b"0\r\na: ", *repeat(b"t" * 9000, 9)), (b"z",)],
    ids=["chunk extension", "trailer", "not a chunk"],
)
def test_a_body_that_is_no_body_is_refused_and_the_application_told(server: Server, endless: tuple[bytes]) -> None:
    answer = drip(server, CHUNKED, *endless)
    assert answer.startswith(b"HTTP/1.1 400")
    assert server.table.notes.get(timeout=10) == "http.disconnect"


def test_a_large_body_in_small_chunks_is_a_body(server: Server) -> None:
    assert exchange(server, CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert server.table.notes.get(timeout=10) == "http.request"


def test_a_body_may_come_more_slowly_than_a_head(server: Server) -> None:
    assert drip(server, SLOW_POST, *repeat(b"x", 20)).startswith(b"HTTP/1.1 200")
    assert server.table.notes.get(timeout=10) == "http.request"


def test_a_refused_peer_that_stays_is_dropped(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"canary\r\n\r\n")
        assert read_all(connection) == MALFORMED_ANSWER
        eventually(lambda: server.open_connections() == 0)


def test_a_peer_that_read_its_answer_is_not_held_to_have_not(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = bytearray()
        while len(answer) < len(BIG_ANSWER) + answer.find(b"\r\n\r\n") + 4:
            answer += connection.recv(1 << 20)
        assert converse(connection, SLOW_POST, *repeat(b"x", 20)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("kept", [b"keep-alive", b"close"])
def test_a_peer_that_does_not_read_its_answer_is_dropped(server: Server, kept: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nhost: localhost\r\nconnection: " + kept + b"\r\n\r\n")
        eventually(lambda: server.open_connections() == 1)
        eventually(lambda: server.open_connections() == 0)
        assert len(read_all(connection)) < len(BIG_ANSWER)


@pytest.mark.parametrize(
    "second", [GET + b"\r\n", handshake(), b"canary\r\n\r\n"], ids=["request", "handshake", "noise"]
)
def test_a_request_sent_before_the_answer_ends_the_connection_after_that_answer(
    server: Server, second: bytes
) -> None:
    answer = exchange(server, GET + b"\r\n" + second * 3)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"hello")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_stranger_cannot_fill_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for data in MALFORMED.values():
        exchange(server, data)
    exchange(server, GET + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n")
    assert caplog.text == ""


def test_one_connection_too_many_is_told_so() -> None:
    class Small(ImpatientHttp):
        head_timeout_seconds = 60.0
        connections_max = 2

    with serving(http=Small) as server:
        first, second = server.connect(), server.connect()
        eventually(lambda: server.open_connections() == 2)
        with first, server.connect() as third:
            assert read_all(third).startswith(b"HTTP/1.1 503")
            with second:
                second.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                assert read_all(second).endswith(b"hello")
            eventually(lambda: server.open_connections() == 1)
            assert exchange(server, GET + b"connection: close\r\n\r\n").endswith(b"hello")
