"""Adapters of the room test for our service: posting over the socket or over HTTP, receiving over sockets."""

import asyncio
import re
from collections.abc import Sequence

import orjson

from bench.http_client import HttpFault, Pool
from bench.room import PADDING, OnMessage
from bench.service import BASE, Live, Seat, Service, open_all
from bench.ws_client import FrameHandler, SocketEnded

QUIET = frozenset({"presence", "typing", "pong", "event"})
_TEXT = re.compile(rb'"text": ?"(m\d+)\|')


class OurRoom:
    """Seats with a socket each, in one case or in several."""

    def __init__(self, service: Service, seats: Sequence[Seat], *, others: int, label: str = "ours") -> None:
        self.label = label
        self.seats, self.others = len(seats), others
        self._service, self._places = service, seats
        self._frames = [
            '{"op":"post","clientId":"%s","threadId":"' + seat.thread_id + '","text":"%s|' + PADDING + '"}'
            for seat in seats
        ]
        self._lives: list[Live] = []
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def start(self, on_message: OnMessage) -> None:
        """Open and join every seat's socket."""
        self._lives = await open_all(self._service, self._places)
        for number, live in enumerate(self._lives):
            live.on_frame = self._receiver(number, on_message)

    def _receiver(self, number: int, on_message: OnMessage) -> FrameHandler:
        search, waiting = _TEXT.search, self._waiting

        def receive(data: bytes, start: int, end: int) -> None:
            match = search(data, start, end)
            if match is not None:
                on_message(number, match[1])
                return
            frame = orjson.loads(data[start:end])
            if frame["op"] == "ack":
                future = waiting.pop(frame["clientId"])
                if not future.done():
                    future.set_result(None)
            elif frame["op"] not in QUIET:
                fault = SocketEnded(f"{frame}, close code {self._lives[number].close_code}")
                for future in waiting.values():
                    if not future.done():
                        future.set_exception(fault)

        return receive

    async def send(self, seat: int, message_id: str) -> None:
        """Post over the seat's socket and wait for its acknowledgement."""
        self._waiting[message_id] = future = asyncio.get_running_loop().create_future()
        self._lives[seat].send((self._frames[seat] % (message_id, message_id)).encode())
        await future

    def server_pids(self) -> Sequence[int]:
        """Return the service and its database."""
        return self._service.pids()

    async def stop(self) -> None:
        """Close the sockets."""
        for live in self._lives:
            live.close()


class OurHttpRoom(OurRoom):
    """The same, but messages are posted over HTTP, each with an idempotency key."""

    async def start(self, on_message: OnMessage) -> None:
        """Open the sockets that receive."""
        await super().start(on_message)
        self._pool = Pool(self._service.port)

    async def send(self, seat: int, message_id: str) -> None:
        """Post over a connection that is free at this moment; the answer is the acknowledgement."""
        place = self._places[seat]
        headers = {"Authorization": f"Bearer {place.account.token}", "Idempotency-Key": message_id}
        body = orjson.dumps({"text": f"{message_id}|{PADDING}"})
        status, answer = await self._pool.send("POST", f"{BASE}/threads/{place.thread_id}/messages", headers, body)
        if status != 201:
            raise HttpFault(status, answer)

    async def stop(self) -> None:
        """Close the sockets and connections."""
        await super().stop()
        self._pool.close()
