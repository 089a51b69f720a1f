"""Sockets on a real server: frames go straight through, and whatever a peer does, its connection ends."""

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.realtime.conftest import Alarms
from tests.realtime.serving import FLOOD, Server, eventually, frame, handshake, read_all, read_frame, serving

TEXT, BINARY, CLOSE, PING, PONG, END = 1, 2, 8, 9, 10, -1


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(ws_ping_interval=None) as running:
        yield running


@pytest.fixture(autouse=True)
def everything_is_let_go(server: Server) -> Iterator[None]:
    yield
    eventually(lambda: server.open_connections() == 0 and not server.uvicorn.server_state.tasks)
    for box in (server.table.ends, server.table.notes):
        while not box.empty():
            box.get()


@pytest.fixture
def client(server: Server) -> Iterator[ClientConnection]:
    with connect(server.url, compression=None) as connection:
        yield connection


def ended(server: Server) -> int:
    return int(server.table.ends.get(timeout=10)["code"])


def close_of(connection: socket.socket) -> int:
    """Return the close code, skipping frames that came before it."""
    opcode = TEXT
    while opcode not in {CLOSE, END}:
        opcode, payload = read_frame(connection)
    return int.from_bytes(payload[:2], "big") if opcode == CLOSE else opcode


def code_of(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=10)
    return caught.value.rcvd.code if caught.value.rcvd else None


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
def test_a_frame_of_any_size_is_written(client: ClientConnection, size: int) -> None:
    client.send(f"size {size}")
    assert client.recv(timeout=10) == "x" * size


def test_text_comes_as_text_and_binary_as_bytes(client: ClientConnection) -> None:
    client.send("Dag é 🙂")
    assert client.recv(timeout=10) == "Dag é 🙂"
    client.send(b"\xff\0")
    assert client.recv(timeout=10) == "2 bytes"


def test_frames_keep_their_order(client: ClientConnection) -> None:
    for number in range(500):
        client.send(f"number {number}")
    assert [client.recv(timeout=10) for _ in range(500)] == [f"number {number}" for number in range(500)]


def test_fragments_come_as_one_message_with_pings_between_them(client: ClientConnection) -> None:
    client.send(["D", "", "a", "g"])
    assert client.recv(timeout=10) == "Dag"
    client.send([b"1", b"2"])
    assert client.recv(timeout=10) == "2 bytes"
    client.socket.sendall(frame(TEXT, b"D", fin=False) + frame(PING, b"p") + frame(0, b"ag"))
    assert client.recv(timeout=10) == "Dag"


def test_a_peer_that_pings_is_answered_between_frames(client: ClientConnection) -> None:
    for number in range(20):
        client.send(f"number {number}")
        assert client.ping().wait(timeout=10)
        assert client.recv(timeout=10) == f"number {number}"


def test_reading_can_be_paused_without_losing_a_frame(client: ClientConnection) -> None:
    for word in ("pause", "a", "b"):
        client.send(word)
    assert [client.recv(timeout=10), client.recv(timeout=10)] == ["a", "b"]


def test_compression_is_never_agreed_on(server: Server) -> None:
    with connect(server.url, compression="deflate") as client:
        assert client.protocol.extensions == []


def test_asgi_messages_still_work_where_no_callback_is_set(server: Server) -> None:
    with connect(f"{server.url}/asgi") as client:
        for message in ("Dag", b"\xff", "Dag"):
            client.send(message)
            assert client.recv(timeout=10) == message
    assert ended(server) == 1000


def test_the_peers_goodbye_is_told_once_to_the_application(server: Server, client: ClientConnection) -> None:
    client.close(4000)
    assert ended(server) == 4000


def test_a_peer_that_vanishes_is_told(server: Server) -> None:
    server.upgrade().close()
    assert ended(server) == 1005


@pytest.mark.parametrize("code", [1011, 1012, 4400, 4401, 4408, 4429])
def test_we_close_with_our_code_and_write_nothing_after_it(
    server: Server, client: ClientConnection, code: int
) -> None:
    client.socket.sendall(frame(TEXT, f"close {code}".encode()) + frame(TEXT, b"not answered"))
    assert code_of(client) == code
    assert ended(server) == code


def test_we_can_drop_a_connection(server: Server, client: ClientConnection) -> None:
    client.send("abort")
    assert code_of(client) is None
    assert ended(server) == 1005


@pytest.mark.parametrize("size", [65_537, 5_000_000])
def test_a_frame_over_64_kib_closes_1009(server: Server, client: ClientConnection, size: int) -> None:
    client.send("x" * 65_536)
    assert client.recv(timeout=10) == "x" * 65_536
    with suppress(ConnectionClosed):
        client.send("x" * size)
    assert code_of(client) == 1009
    assert ended(server) == 1009


def test_fragments_over_64_kib_close_1009(server: Server, client: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        client.send(["x" * 1000] * 66)
    assert code_of(client) == 1009
    assert ended(server) == 1009


def test_endless_empty_fragments_close_1009(server: Server) -> None:
    with server.upgrade() as connection:
        connection.sendall(frame(TEXT, b"D", fin=False) + frame(0, b"", fin=False) * 5000)
        assert close_of(connection) == 1009
    assert ended(server) == 1009


@pytest.mark.parametrize("data", [frame(TEXT, b"\xff"), frame(TEXT, b"\xc3", fin=False) + frame(0, b"\xff")])
def test_text_that_is_not_utf_8_closes_1007(server: Server, data: bytes) -> None:
    with server.upgrade() as connection:
        connection.sendall(data + frame(PING) + frame(TEXT, b"not answered"))
        assert close_of(connection) == 1007
        assert read_frame(connection) == (END, b"")
    assert ended(server) == 1007


@pytest.mark.parametrize(
    "data",
    [b"\x81\x03Dag", frame(3), frame(0, b"x"), frame(PING, b"x" * 126), frame(CLOSE, b"\0"), b"\xf1\x80\0\0\0\0"],
    ids=["unmasked", "unknown opcode", "continuation of nothing", "long ping", "short close", "reserved bits"],
)
def test_what_is_not_websocket_closes_1002(server: Server, data: bytes) -> None:
    with server.upgrade() as connection:
        connection.sendall(data)
        assert close_of(connection) == 1002
    assert ended(server) == 1002


def test_a_slow_reader_makes_us_wait_and_its_reading_lets_us_go_on(server: Server) -> None:
    with server.upgrade(receive_bytes=4096) as connection:
        connection.sendall(frame(TEXT, b"flood"))
        assert server.table.notes.get(timeout=10) == "full"
        assert server.table.notes.empty()
        while server.table.notes.empty():
            assert read_frame(connection) == (TEXT, FLOOD)
        assert server.table.notes.get() == "writable"


def test_a_slow_reader_can_be_dropped(server: Server) -> None:
    with server.upgrade(receive_bytes=4096) as connection:
        connection.sendall(frame(TEXT, b"flood") + frame(TEXT, b"abort"))
        assert ended(server) == 1005
        assert not read_all(connection).endswith(b"too late")


def test_a_slow_reader_that_wakes_up_in_time_is_told_why(server: Server) -> None:
    with server.upgrade(receive_bytes=4096) as connection:
        connection.sendall(frame(TEXT, b"flood") + frame(TEXT, b"close 4408"))
        assert ended(server) == 4408
        assert close_of(connection) == 4408


@pytest.mark.parametrize(
    "goodbye",
    [frame(TEXT, b"close 4408"), frame(CLOSE, b"\x03\xe8"), frame(3), frame(TEXT, b"\xff")],
    ids=["ours", "theirs", "violation", "not UTF-8"],
)
def test_no_peer_that_stops_reading_keeps_its_connection(server: Server, goodbye: bytes) -> None:
    with server.upgrade(receive_bytes=4096) as connection:
        connection.sendall(frame(TEXT, b"flood") + goodbye)
        ended(server)
        eventually(lambda: server.open_connections() == 0)


def test_a_peer_that_never_answers_our_goodbye_is_dropped(server: Server) -> None:
    with server.upgrade() as connection:
        connection.sendall(frame(TEXT, b"close 4401"))
        assert close_of(connection) == 4401
        assert read_all(connection) == b""


def test_a_flood_of_pings_closes_4429(server: Server) -> None:
    with server.upgrade() as connection:
        connection.sendall(frame(PING) * 1000)
        assert close_of(connection) == 4429
    assert ended(server) == 4429


def test_pings_of_a_peer_that_does_not_read_pile_up_nowhere(server: Server) -> None:
    with server.upgrade(receive_bytes=4096) as connection:
        connection.sendall(frame(TEXT, b"flood") + frame(PING, b"p" * 125) * 40 + frame(TEXT, b"close 4408"))
        assert server.table.notes.get(timeout=10) == "full"
        opcode, payload = read_frame(connection)
        while opcode == TEXT:
            opcode, payload = read_frame(connection)
        assert (opcode, payload) == (CLOSE, (4408).to_bytes(2, "big"))


def test_a_failing_callback_closes_1011_and_logs_no_text(server: Server, client: ClientConnection) -> None:
    with capture_logs() as logs:
        client.send("raise")
        assert code_of(client) == 1011
    assert ended(server) == 1011
    assert [(entry["event"], entry["error"]) for entry in logs] == [("socket.failed", "RuntimeError")]
    assert "canary" not in str(logs)


def test_a_failing_application_closes_1011(server: Server, alarms: Alarms) -> None:
    with connect(f"{server.url}/broken") as client:
        assert code_of(client) == 1011
    assert alarms.taken() == ["socket.failed"]


@pytest.mark.parametrize(
    "more",
    [("a: " + "canary" * 1500,), ("canary: b",) * 200],
    ids=["long line", "many lines"],
)
def test_a_handshake_the_library_gives_up_on_is_refused(server: Server, more: tuple[str, ...]) -> None:
    with server.connect() as connection:
        connection.sendall(handshake("/", *more))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"canary" not in answer


def test_a_bad_handshake_is_refused_without_an_echo(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(handshake("/").replace(b"Version: 13", b"Version: canary"))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"canary" not in answer


def test_a_frame_sent_before_the_handshake_is_answered_is_not_read(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(handshake("/late"))
        eventually(lambda: server.open_connections() == 1 and bool(server.uvicorn.server_state.tasks))
        connection.sendall(frame(TEXT, b"early"))
        assert read_all(connection) == b""
    assert ended(server) == 1006


def test_addresses_are_not_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with connect(f"{server.url}/canary?canary=1"):
        pass
    assert ended(server) == 1000
    assert "canary" not in caplog.text


def test_a_live_peer_is_pinged_and_kept_while_frames_flow() -> None:
    with serving(ws_ping_interval=0.05, ws_ping_timeout=0.2) as server, server.upgrade() as connection:
        seen = 0
        while seen < 8:
            opcode, payload = read_frame(connection)
            assert opcode == PING
            connection.sendall(frame(PONG, payload) + frame(TEXT, b"Dag"))
            assert read_frame(connection) == (TEXT, b"Dag")
            seen += 1


@pytest.mark.parametrize("receive_bytes", [None, 4096], ids=["reading", "not reading"])
def test_a_peer_that_answers_no_ping_is_dropped(receive_bytes: int | None) -> None:
    with (
        serving(ws_ping_interval=0.05, ws_ping_timeout=0.1) as server,
        server.upgrade(receive_bytes=receive_bytes) as connection,
    ):
        if receive_bytes is not None:
            connection.sendall(frame(TEXT, b"flood"))
        assert ended(server) == 1005
        eventually(lambda: server.open_connections() == 0)


def test_a_shutdown_closes_1012_whatever_others_are_doing() -> None:
    with (
        serving() as server,
        connect(server.url) as client,
        server.upgrade(receive_bytes=4096) as stuck,
        server.connect() as half,
    ):
        half.sendall(handshake("/late"))
        stuck.sendall(frame(TEXT, b"flood") + frame(CLOSE, b"\x03\xe8"))
        assert server.table.notes.get(timeout=10) == "full"
        eventually(lambda: server.open_connections() == 3)
        server.uvicorn.should_exit = True
        assert code_of(client) == 1012
        eventually(lambda: server.open_connections() == 0)


def test_the_application_can_take_its_leave_at_shutdown() -> None:
    with serving() as server, connect(f"{server.url}/draining") as client:
        server.uvicorn.should_exit = True
        assert client.recv(timeout=10) == "bye"
        assert code_of(client) == 1012
