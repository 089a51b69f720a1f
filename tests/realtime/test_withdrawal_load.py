"""Random consents and withdrawals under a load of messages, on two workers: nothing late, nothing lost (G1, G10)."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest

from app.cli.postgres import Urls
from app.core.settings import Settings
from app.identity.demo import BY_KEY
from tests.serving import Caller, Service, serve
from tests.stories import Table, open_table, seat, thread
from tests.talking import Frame, dial, socket_url

CATEGORIES = ("medication", "functional_adl", "living_situation")
GUESTS = ("social-worker", "social-worker-2", "youth-consultant", "specialist", "informal-carer", "gp-locum")


@dataclass
class Client:
    """A client as people would write one: it keeps what it may see, and nothing else.

    It fetches history when a thread opens to it and drops what is narrowed. ``heard`` keeps every event for the
    test, per join; ``cuts`` lets it lose its connection and come back with its last cursor.
    """

    caller: Caller
    case_id: str
    chance: random.Random
    cuts: bool
    cursor: str | None = None
    heard: list[list[Frame]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)  # thread to category
    messages: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    done: asyncio.Event = field(default_factory=asyncio.Event)
    here: asyncio.Event = field(default_factory=asyncio.Event)
    fetching: set[asyncio.Task[None]] = field(default_factory=set)
    narrowed: int = 0

    async def live(self) -> None:
        """Stay connected until told that it is done."""
        while not self.done.is_set():
            ticket = await made(self.caller, "/realtime-tickets")
            async with dial(socket_url(self.caller.instance.url)) as talk:
                await talk.say("authenticate", ticket=ticket["ticket"])
                cursor = {} if self.cursor is None else {"cursor": self.cursor}
                await talk.say("join", caseId=self.case_id, **cursor)
                self.heard.append([])
                self.here.clear()
                talk.on_frame = self.take
                cut = asyncio.create_task(self._cut_later(talk.connection.transport.abort))
                await talk.ended()
                cut.cancel()

    async def _cut_later(self, cut: Callable[[], None]) -> None:
        """Cut the connection some time after it joined, in the middle of whatever is under way."""
        if self.cuts:
            await self.here.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.done.wait(), self.chance.uniform(0.0, 1.0))
        else:
            await self.done.wait()
        cut()

    def take(self, frame: Frame) -> None:
        """Take in one frame."""
        match frame["op"]:
            case "joined":
                assert frame["recovered"] is True
                self.cursor = frame["cursor"]
                self.here.set()
            case "narrowed":
                self.narrowed += 1
            case "event":
                assert frame["n"] == len(self.heard[-1]) + 1
                self.heard[-1].append(frame)
                self.cursor = frame["cursor"]
                self._apply(frame["type"], frame["data"])
            case "error" | "bye" | "ended":
                raise AssertionError(frame)

    def _apply(self, type_: str, data: Frame) -> None:
        match type_:
            case "access.changed":
                # The same category may stay open in another domain: the cells tell, and these threads are in care.
                self._drop({cell["category"] for cell in data["cells"]["lost"] if cell["domain"] == "care"})
            case "thread.opened":
                self.known[data["id"]] = data["category"]
                task = asyncio.create_task(self._fetch(data["id"]))
                self.fetching.add(task)
                task.add_done_callback(self._fetched)
            case "message.posted":
                self.known[data["threadId"]] = data["category"]
                self.messages[data["threadId"]][data["id"]] = data["text"]
            case "message.retracted":
                self.messages[data["threadId"]].pop(data["id"], None)

    def _fetched(self, task: "asyncio.Task[None]") -> None:
        """Forget a fetch that is done; one that failed is kept for the test to fail with."""
        if not task.cancelled() and task.exception() is None:
            self.fetching.discard(task)

    def _drop(self, categories: Iterable[str]) -> None:
        for thread_id in [one for one, category in self.known.items() if category in categories]:
            del self.known[thread_id]
            self.messages.pop(thread_id, None)

    async def _fetch(self, thread_id: str) -> None:
        """Fetch the history of a thread that opened; what was heard meanwhile counts too."""
        cursor: str | None = ""
        while cursor is not None and thread_id in self.known:
            params: dict[str, str | int] = {"limit": 100, **({"cursor": cursor} if cursor else {})}
            answer = await got(self.caller, f"/threads/{thread_id}/messages", **params)
            if answer.status_code == 404 or thread_id not in self.known:
                return
            page = answer.json()
            for item in page["items"]:
                self.messages[thread_id].setdefault(item["id"], item["text"])
            cursor = page["nextCursor"]


async def made(caller: Caller, path: str, body: object = None) -> dict[str, object]:
    """POST until the service has time for it."""
    while True:
        answer = await caller.post(path, body)
        if answer.status_code != 503:
            assert answer.status_code == 201, answer.text
            found: dict[str, object] = answer.json()
            return found
        await asyncio.sleep(0.1)


async def got(caller: Caller, path: str, **params: str | int) -> httpx.Response:
    """GET until the service has time for it."""
    while True:
        answer = await caller.get(path, **params)
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0.1)


async def projection(caller: Caller, case_id: str) -> dict[str, dict[str, str]]:
    """Return what the server shows now: the messages by thread."""
    found: dict[str, dict[str, str]] = {}
    for item in (await got(caller, f"/cases/{case_id}/threads", limit=100)).json()["items"]:
        cursor: str | None = ""
        shown = found[item["id"]] = {}
        while cursor is not None:
            params: dict[str, str | int] = {"limit": 100, **({"cursor": cursor} if cursor else {})}
            page = (await got(caller, f"/threads/{item['id']}/messages", **params)).json()
            shown.update({message["id"]: message["text"] for message in page["items"]})
            cursor = page["nextCursor"]
    return found


class Load:
    """Writers and deciders on both workers."""

    def __init__(self, table: Table, workers: list[Service], threads: dict[str, str], chance: random.Random) -> None:
        self.table = table
        self.workers = workers
        self.threads = threads
        self.chance = chance
        self.consents: dict[tuple[str, str], str] = {}
        self.stopping = False
        self.posted = 0

    async def on(self, persona: str) -> Caller:
        """Return a persona's caller at either worker."""
        caller = await self.table.as_(persona)
        return Caller(self.chance.choice(self.workers), persona, caller.token)

    async def write(self, persona: str, name: str) -> None:
        """Post until told to stop, now and then taking something back."""
        number = 0
        while not self.stopping:
            caller = await self.on(persona)
            thread_id = self.threads[self.chance.choice(CATEGORIES)]
            posted = await caller.made(f"/threads/{thread_id}/messages", {"text": f"{name} {number}"})
            number += 1
            self.posted += 1
            if self.chance.random() < 0.05:
                await made(caller, f"/messages/{posted['id']}/retraction", {"reason": "error"})

    async def decide(self, decisions: int) -> None:
        """Give and withdraw at random."""
        for _ in range(decisions):
            guest, category = self.chance.choice(GUESTS), self.chance.choice(CATEGORIES)
            given = self.consents.pop((guest, category), None)
            if given is not None:
                await made(await self.on("citizen"), f"/consents/{given}/withdrawal")
                continue
            recorded = await made(
                await self.on("gp"),
                f"/cases/{self.table.case_id}/consents",
                {
                    "patientId": self.table.patient_id,
                    "kind": "lift_secrecy",
                    "recipients": [{"type": "member", "id": self.table.members[guest]}],
                    "categories": [category],
                    "purpose": "CAREMGT",
                    "decidedBy": {"type": "patient"},
                    "method": "oral_recorded",
                    "textVersion": "nl-2026-1",
                },
            )
            self.consents[(guest, category)] = str(recorded["id"])


@asynccontextmanager
async def two_workers(settings: Settings) -> AsyncIterator[list[Service]]:
    """Serve twice behind one public address."""
    behind = settings.model_copy(update={"public_url": "http://127.0.0.1:1"})
    async with serve(behind) as one, serve(behind) as two:
        yield [one, two]


async def under_load(
    workers: list[Service], superuser: str, *, sockets: int, decisions: int, seed: int = 1
) -> dict[str, int]:
    """Let clients live under load, and hold each to the stream and to the server's projection.

    Returns:
        How much happened: messages, deliveries, cuts.
    """
    chance = random.Random(seed)
    table = await open_table(workers[0])
    await seat(table, "poh", direct=True)
    for guest in GUESTS:
        await seat(table, guest)
    threads = {category: await thread(table, category) for category in CATEGORIES}
    load = Load(table, workers, threads, chance)
    clients = [
        Client(await load.on(GUESTS[number % len(GUESTS)]), table.case_id, chance, cuts=number % 4 == 3)
        for number in range(sockets)
    ]
    async with AsyncExitStack() as stack:
        living = [asyncio.create_task(client.live()) for client in clients]
        stack.callback(lambda: [task.cancel() for task in living])
        joined = asyncio.ensure_future(asyncio.gather(*(client.here.wait() for client in clients)))
        waiting: list[asyncio.Future[Any]] = [joined, *living]
        await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        the_living(living)
        assert joined.done()
        writing = [asyncio.create_task(load.write(*who)) for who in (("gp", "a"), ("poh", "b"), ("gp", "c"))]
        await load.decide(decisions)
        load.stopping = True
        await asyncio.gather(*writing)
        the_living(living)
        await settled(lambda: all_caught_up(clients, load))
        for client in clients:
            client.done.set()
        await asyncio.gather(*living)
        await asyncio.gather(*(task for client in clients for task in client.fetching))
    await hold_to_the_stream(superuser, table.case_id, clients)
    return {
        "messages": load.posted,
        "deliveries": sum(len(events) for client in clients for events in client.heard),
        "cuts": sum(len(client.heard) - 1 for client in clients),
    }


async def all_caught_up(clients: list[Client], load: Load) -> list[str]:
    """Return what still differs between clients and the server."""
    for client in clients:
        the_living(client.fetching)
    shown = {
        guest: await projection(await load.table.as_(guest), load.table.case_id)
        for guest in {client.caller.persona for client in clients}
    }
    return [
        f"{client.caller.persona}: {len(client.heard)} joins, has {sizes(has)}, is shown {sizes(wants)}"
        for client in clients
        if (has := kept(client.known, client.messages))
        != (wants := kept(shown[client.caller.persona], shown[client.caller.persona]))
    ]


def kept(threads: Iterable[str], messages: Mapping[str, Mapping[str, str]]) -> set[tuple[str, str, str]]:
    return {(thread_id, id_, text) for thread_id in threads for id_, text in messages.get(thread_id, {}).items()}


def sizes(found: set[tuple[str, str, str]]) -> dict[str, int]:
    return dict(Counter(one[0][:8] for one in found))


def the_living(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Fail with whatever a client failed with."""
    for task in tasks:
        if task.done():
            task.result()


async def settled(differ: Callable[[], Awaitable[list[str]]], *, seconds: float = 30) -> None:
    """Wait until nothing differs any more."""
    left: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            while left := await differ():  # noqa: ASYNC110  # the server has no event for it
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError("\n".join(["still different:", *left])) from None


async def hold_to_the_stream(superuser: str, case_id: str, clients: list[Client]) -> None:
    """Compare every event that was told with the stream and with the rights the stream says."""
    connection = await asyncpg.connect(superuser)
    try:
        rows = await connection.fetch(
            "select seq, id, type, category, domain, addressees, data from case_event where case_id = $1"
            " order by seq",
            UUID(case_id),
        )
    finally:
        await connection.close()
    position = {str(row["id"]): row["seq"] for row in rows}
    label = {row["seq"]: (row["category"], row["domain"]) for row in rows}
    for client in clients:
        me = BY_KEY[client.caller.persona].engagement_id
        changes = [
            (row["seq"], orjson.loads(row["data"]))
            for row in rows
            if row["type"] == "access.changed" and me in row["addressees"]
        ]
        told: set[str] = set()
        for at, events in enumerate(client.heard):
            positions = [position[one["data"]["id"]] for one in events if one["type"] == "message.posted"]
            assert positions == sorted(set(positions)), "out of order, or twice"
            fresh = {one["data"]["id"] for one in events if one["type"] == "message.posted"}
            assert not fresh & told, "told again after a cut"
            told |= fresh
            for seq in positions:
                held = held_at(changes, seq)
                # Who comes back is told by the rights of that moment, and so may hear what it regained since.
                regained = at > 0 and any(
                    label[seq] in held_at(changes, later + 1) for later, _ in changes if later > seq
                )
                assert label[seq] in held or regained, f"late: {client.caller.persona} heard {seq}"


def held_at(changes: list[tuple[int, Frame]], seq: int) -> set[tuple[str, str]]:
    """Return the cells held at a position of the stream."""
    held: set[tuple[str, str]] = set()
    for at, change in changes:
        if at < seq:
            held |= {(cell["category"], cell["domain"]) for cell in change["gained"]}
            held -= {(cell["category"], cell["domain"]) for cell in change["lost"]}
    return held


async def test_nothing_is_late_and_nothing_is_lost_under_load(shared_settings: Settings, shared_urls: Urls) -> None:
    async with two_workers(shared_settings) as workers:
        happened = await under_load(workers, shared_urls.superuser, sockets=50, decisions=16)
    assert happened["messages"] > 20
    assert happened["cuts"] > 5


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_late_and_nothing_is_lost_at_fifty_sockets(
    shared_settings: Settings, shared_urls: Urls, seed: int
) -> None:
    async with two_workers(shared_settings) as workers:
        await under_load(workers, shared_urls.superuser, sockets=50, decisions=200, seed=seed)
