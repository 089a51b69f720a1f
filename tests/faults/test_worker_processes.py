"""Two real worker processes: one stream, a worker that stands still, a worker that is killed in mid-load."""

import asyncio
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import psutil  # type: ignore[import-untyped]  # ships no types
import pytest

from app.cli.folder import DataFolder
from app.cli.postgres import DATABASE, Urls
from app.identity.demo import BY_KEY
from app.realtime.lease import LEASE_SECONDS
from tests.cli.test_commands import started
from tests.serving import NO_TLS, Caller, Service
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import Frame, Talk, dial, socket_url, talking

pytestmark = pytest.mark.heavy


@dataclass
class Demo:
    """A demo with two workers."""

    process: psutil.Process
    url: str
    superuser: str

    def workers(self) -> list[psutil.Process]:
        """Return the processes that serve: those that hold the port, but for the parent."""
        port = int(self.url.rpartition(":")[2])
        return [
            child
            for child in self.process.children(recursive=True)
            if any(one.laddr and one.laddr.port == port for one in child.net_connections("tcp"))
        ]

    def worker_of(self, talk: Talk) -> psutil.Process:
        """Return the worker at the other end of a socket."""
        port = talk.connection.local_address[1]
        return next(
            worker
            for worker in self.workers()
            if any(one.raddr and one.raddr.port == port for one in worker.net_connections("tcp"))
        )


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    place = Path(tempfile.mkdtemp(prefix="ot-"))
    place.chmod(0o711)
    with started(place / "data", OVERLEGTAFEL_WORKERS="2", OVERLEGTAFEL_SOCKET_RATE="500") as (process, url):
        folder = DataFolder(place / "data")
        urls = Urls(folder.path / "socket", DATABASE, folder.passwords())
        yield Demo(psutil.Process(process.pid), url, urls.superuser)


@pytest.fixture
async def service(demo: Demo) -> AsyncIterator[Service]:
    """Each request on a connection of its own: whichever worker takes it answers it."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"{demo.url}/api/v1", timeout=30, limits=limits, verify=NO_TLS) as http:
        yield Service(demo.url, http)


@pytest.fixture
async def table(service: Service) -> Table:
    made = await open_table(service)
    await seat(made, "poh", direct=True)
    await seat(made, "social-worker")
    return made


async def on_both(stack: AsyncExitStack, demo: Demo, caller: Caller, case_id: str) -> tuple[Talk, Talk]:
    """Return a socket at each worker."""
    found: dict[int, Talk] = {}
    for _ in range(40):
        talk = await stack.enter_async_context(talking(caller, case_id))
        found.setdefault(demo.worker_of(talk).pid, talk)
        if len(found) == 2:
            break
    one, two = (found[pid] for pid in sorted(found))
    return one, two


async def test_both_workers_tell_one_stream(demo: Demo, table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    assert len(demo.workers()) == 2
    async with AsyncExitStack() as stack:
        ears = await on_both(stack, demo, await table.as_("poh"), table.case_id)
        writers = await on_both(stack, demo, gp, table.case_id)
        for number in range(100):
            for name, writer in zip("ab", writers, strict=True):
                await writer.say("post", clientId=f"{name}{number}", threadId=medication, text=f"{name}{number}")
        heard = []
        for talk in (*ears, *writers):
            events = await talk.many("event", 200, seconds=60)
            assert [frame["n"] for frame in events] == list(range(1, 201))
            heard.append([frame["data"]["id"] for frame in events])
        assert all(one == heard[0] for one in heard)
        given = await consent(table, "social-worker", "medication")
        hers = await on_both(stack, demo, await table.as_("social-worker"), table.case_id)
        await (await table.as_("citizen")).made(f"/consents/{given}/withdrawal")
        await writers[0].say("post", clientId="late", threadId=medication, text="na")
        for ear in ears:
            await ear.event("message.posted", lambda frame: frame["data"]["text"] == "na")
        for talk in hers:
            assert "medication" in (await talk.hear("narrowed"))["categories"]
            await talk.settle()
            assert "na" not in [frame["data"].get("text") for frame in talk.events]


async def test_a_worker_that_stands_still_says_nothing_late_when_it_goes_on(demo: Demo, table: Table) -> None:
    medication, gp = await thread(table, "medication"), await table.as_("gp")
    given = await consent(table, "social-worker", "medication")
    async with AsyncExitStack() as stack:
        hers = await on_both(stack, demo, await table.as_("social-worker"), table.case_id)
        his = await on_both(stack, demo, await table.as_("poh"), table.case_id)
        await gp.made(f"/threads/{medication}/messages", {"text": "voor"})
        for talk in (*hers, *his):
            await talk.event("message.posted")
        stopped = demo.worker_of(hers[0])
        still, going = his if demo.worker_of(his[0]).pid == stopped.pid else his[::-1]
        stopped.send_signal(signal.SIGSTOP)
        try:
            await (await table.as_("citizen")).made(f"/consents/{given}/withdrawal")
            assert "medication" in (await hers[1].hear("narrowed"))["categories"]
            for number in range(20):
                await gp.made(f"/threads/{medication}/messages", {"text": f"na {number}"})
            await going.event("message.posted", lambda frame: frame["data"]["text"] == "na 19")
            await asyncio.sleep(LEASE_SECONDS + 0.5)
        finally:
            stopped.send_signal(signal.SIGCONT)
        assert "medication" in (await hers[0].hear("narrowed"))["categories"]
        await hers[0].hear("resumed")
        await still.event("message.posted", lambda frame: frame["data"]["text"] == "na 19")
        assert messages(still) == ["voor", *(f"na {number}" for number in range(20))]
        for talk in hers:
            await talk.settle()
            assert messages(talk) == ["voor"]
        ops = [frame["op"] for frame in hers[0].heard]
        assert ops.index("paused") < ops.index("narrowed") < ops.index("resumed")


def messages(talk: Talk) -> list[str]:
    return [frame["data"]["text"] for frame in talk.events if frame["type"] == "message.posted"]


@dataclass
class Persistent:
    """A client that comes back with its cursor and sends again what was not acknowledged."""

    caller: Caller
    case_id: str
    thread_id: str
    name: str
    total: int
    cursor: str | None = None
    acked: dict[str, str] = field(default_factory=dict)
    heard: list[Frame] = field(default_factory=list)

    async def run(self) -> None:
        """Post everything, over as many connections as it takes."""
        while len(self.acked) < self.total:
            try:
                await self._connected()
            except (OSError, AssertionError, TimeoutError, httpx.HTTPError):
                await asyncio.sleep(random.uniform(0.05, 0.2))

    async def _connected(self) -> None:
        ticket = await self.caller.made("/realtime-tickets")
        async with dial(socket_url(self.caller.instance.url)) as talk:
            try:
                await talk.say("authenticate", ticket=ticket["ticket"])
                cursor = {} if self.cursor is None else {"cursor": self.cursor}
                await talk.say("join", caseId=self.case_id, **cursor)
                await talk.hear("joined")
                while len(self.acked) < self.total:
                    key = f"{self.name}{len(self.acked)}"
                    answers = len(talk.all("ack"))
                    await talk.say("post", clientId=key, threadId=self.thread_id, text=key)
                    ack = (await talk.many("ack", answers + 1))[-1]
                    self.acked[key] = ack["messageId"]
            finally:
                if self.cursor is None and talk.all("joined"):
                    self.cursor = talk.all("joined")[0]["cursor"]
                self.heard += talk.events
                if talk.events:
                    self.cursor = talk.events[-1]["cursor"]


async def test_what_clients_heard_or_were_acknowledged_outlives_killed_workers(demo: Demo, table: Table) -> None:
    medication = await thread(table, "medication")
    callers = [await table.as_(persona) for persona in ("gp", "poh", "gp", "poh")]
    clients = [
        Persistent(caller, table.case_id, medication, name, total=60)
        for caller, name in zip(callers, "abcd", strict=True)
    ]
    for client in clients:  # everybody is there before anybody speaks
        async with talking(client.caller, table.case_id) as talk:
            client.cursor = (await talk.hear("joined"))["cursor"]
    running = asyncio.gather(*(client.run() for client in clients))
    for enough in (60, 140):
        async with asyncio.timeout(60):
            while sum(len(client.acked) for client in clients) < enough:  # noqa: ASYNC110  # each posts by itself
                await asyncio.sleep(0.01)
        demo.workers()[0].kill()
    await asyncio.wait_for(running, 90)
    acked = {id_ for client in clients for id_ in client.acked.values()}
    assert len(acked) == 4 * 60
    for client in clients:
        async with talking(client.caller, table.case_id, cursor=client.cursor) as talk:
            await talk.until(
                lambda client=client, talk=talk: (  # type: ignore[misc]
                    acked <= {f["data"]["id"] for f in [*client.heard, *talk.events]}
                ),
                "everything",
            )
            client.heard += talk.events
    connection = await asyncpg.connect(demo.superuser)
    try:
        stream = await connection.fetch(
            "select id, seq from case_event where case_id = $1 and type = 'message.posted' order by seq",
            UUID(table.case_id),
        )
        in_order = [str(row["id"]) for row in stream]
        assert set(in_order) == acked
        for client in clients:
            assert [frame["data"]["id"] for frame in client.heard] == in_order
        unrecorded = await connection.fetch(
            """
            select e.seq, l.engagement from case_event e, unnest($2::uuid[]) as l (engagement)
             where e.case_id = $1 and e.type = 'message.posted' and not exists (
                   select 1 from audit_event a
                    where a.action = 'event:deliver' and a.case_id = e.case_id
                      and e.seq between a.first_seq and a.last_seq and l.engagement = any (a.audience))
            """,
            UUID(table.case_id),
            [BY_KEY[persona].engagement_id for persona in ("gp", "poh")],
        )
        assert not unrecorded
    finally:
        await connection.close()
    async with asyncio.timeout(30):
        while len(demo.workers()) < 2:  # noqa: ASYNC110  # the parent starts them again when it notices
            await asyncio.sleep(0.1)
