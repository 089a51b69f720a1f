"""The load generator must read what a server writes, however the network cuts it, or it would report losses."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.http_client import Connection
from bench.room import OnMessage, Room
from bench.service import Service
from bench.ws_client import Socket

HANDSHAKE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
SIZES = (0, 1, 125, 126, 200, 65535, 65536)


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: object) -> None:
        self.written += bytes(data)  # type: ignore[call-overload]  # asyncio's own type is wider than what we pass

    def close(self) -> None:
        return


def server_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return bytes((0x81, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x81, 127)) + size.to_bytes(8, "big") + payload


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.sampled_from(SIZES), max_size=5), st.lists(st.integers(min_value=0), max_size=8))
def test_every_frame_arrives_once_wherever_the_stream_is_cut(sizes: list[int], cuts: list[int]) -> None:
    sent = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    got: list[bytes] = []

    async def receive() -> None:
        socket = Socket("/", lambda data, start, end: got.append(data[start:end]))
        socket.connection_made(Wire())
        for piece in pieces(HANDSHAKE + b"".join(map(server_frame, sent)), cuts):
            socket.data_received(piece)

    asyncio.run(receive())
    assert got == sent


@pytest.mark.parametrize("size", SIZES)
async def test_a_sent_frame_is_masked_and_says_its_length(size: int) -> None:
    wire = Wire()
    socket = Socket("/", lambda *_: None)
    socket.connection_made(wire)
    socket.send(b"x" * size)
    length = size if size < 126 else 126 if size < 65536 else 127
    assert wire.written[:2] == bytes((0x81, 0x80 | length))
    assert wire.written.endswith(b"\0\0\0\0" + b"x" * size)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("width", [1, 7, 1000])
async def test_an_answer_is_whole_wherever_it_is_cut(answer: bytes, width: int) -> None:
    connection = Connection("127.0.0.1:1")
    connection.connection_made(Wire())
    future = connection.request(b"GET / HTTP/1.1\r\n\r\n")
    for start in range(0, len(answer), width):
        connection.data_received(answer[start : start + width])
    assert future.result() == (201, b"abcde")


def test_generated_numbers_pass_the_eleven_test() -> None:
    service = Service(Path("unused"))
    for _ in range(200):
        digits = [int(digit) for digit in service.next_bsn()]
        weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
        assert sum(weight * digit for weight, digit in zip(weights, digits, strict=True)) % 11 == 0


class Faulty:
    """A room of three that loses every second message for seat 2 and gives seat 1 everything twice."""

    label, seats, others = "faulty", 3, 2

    def __init__(self) -> None:
        self._count = 0

    async def start(self, on_message: OnMessage) -> None:
        self._on_message = on_message

    async def send(self, seat: int, message_id: str) -> None:
        self._count += 1
        for receiver in (seat, 1, 1, *([2] if self._count % 2 else [])):
            self._on_message(receiver, message_id.encode())
        await asyncio.sleep(0)

    def server_pids(self) -> list[int]:
        return []

    async def stop(self) -> None:
        return


async def test_losses_and_duplicates_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.room.DRAIN_SECONDS", 0)
    adapter = Faulty()
    room = Room(adapter)
    await adapter.start(room._on_message)
    outcome = await room.run(1, 0.01)
    assert outcome.lost > 0
    assert outcome.twice > outcome.lost
