"""``python -m bench``: our service, its floors and, where they are installed, its peers."""

import argparse
import asyncio
import contextlib
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import uvloop

from bench import credentials, ejabberd, fanout, floors, goals, synapse
from bench.bare import BareServer
from bench.cluster import Cluster
from bench.figures import Report, say
from bench.http_client import HttpFault, Pool
from bench.ours import OurHttpRoom, OurRoom
from bench.process import usage
from bench.room import Room
from bench.service import BASE, SOCKET_RATE, Seat, Service, Tables, join_all, open_all

SENDERS = (1, 8, 32)
MEMBERS = 8
ROOMS = 50
FAN_OUT = (8, 100, 1000)
IDLE_SOCKETS = 5000
WARM_UP_SOCKETS = 100
SETTLE_SECONDS = 2
PARTS = ("startup", "room", "rooms", "fanout", "page", "append", "idle", "token", "storm")
INSTALL = "`python -m bench.install_peers` installs them"


class Peers(Enum):
    """Whether the peers run."""

    OFF = "off"
    TRIED = "tried"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and how long."""

    parts: Sequence[str]
    repeats: int
    seconds: float
    peers: Peers
    idle: int


def arguments(argv: Sequence[str]) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--peers", action="store_true", help="insist on the peers; without it they run when installed"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each figure (default 5)")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of one repeat (default 2.5)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="run some parts")
    parser.add_argument("--idle", type=int, default=IDLE_SOCKETS, help="idle sockets for the memory figure")
    chosen = parser.parse_args(argv)
    missing = [name for name, module in (("ejabberd", ejabberd), ("Synapse", synapse)) if not module.installed()]
    if chosen.peers and missing:
        parser.error(f"{' and '.join(missing)} not installed; {INSTALL}")
    peers = Peers.REQUIRED if chosen.peers else Peers.OFF if chosen.no_peers or missing else Peers.TRIED
    if missing and not chosen.no_peers:
        say(f"Peers left out: {' and '.join(missing)} not installed; {INSTALL}.")
    return Plan(chosen.only, chosen.repeats, chosen.seconds, peers, chosen.idle)


@contextlib.contextmanager
def part(title: str) -> Iterator[None]:
    """Announce a part and say how long it took."""
    say(f"\n{title}")
    begin = time.perf_counter()
    yield
    say(f"  ({time.perf_counter() - begin:.0f} s)")


def run_startup(report: Report, plan: Plan) -> None:
    """First start in an empty folder, and a start with data; from the process's birth to readiness."""
    with part("Start-up"):
        for _ in range(min(3, plan.repeats)):
            service = Service.create()
            try:
                report.add("first start", service.start(), "s")
                service.stop()
                report.add("second start", service.start(), "s")
            finally:
                service.remove()
        report.show(("first start", "second start"))


@contextlib.asynccontextmanager
async def started_peers(report: Report, plan: Plan) -> AsyncIterator[list[tuple[str, Room]]]:
    """Start both peers on one cluster, give a room of each, and stop them; no room when one does not start."""
    async with contextlib.AsyncExitStack() as stack:
        rooms: list[tuple[str, Room]] = []
        if plan.peers is not Peers.OFF:
            say("  starting ejabberd and Synapse")
            try:
                rooms = await _start_peers(stack)
            except (OSError, HttpFault, subprocess.SubprocessError) as error:
                if plan.peers is Peers.REQUIRED:
                    raise
                report.note(f"The peers did not start and are left out: {error}")
        yield rooms


async def _start_peers(stack: contextlib.AsyncExitStack) -> list[tuple[str, Room]]:
    cluster = stack.enter_context(Cluster())
    xmpp, matrix = ejabberd.Ejabberd(cluster), synapse.Synapse(cluster)
    for server in (xmpp, matrix):
        stack.callback(server.stop)
        await server.start()
    rooms = [
        ("ejabberd", Room(ejabberd.EjabberdRoom(xmpp, cluster, MEMBERS))),
        ("Synapse", Room(synapse.SynapseRoom(matrix, cluster, MEMBERS))),
    ]
    for _, room in rooms:
        stack.push_async_callback(room.stop)
        await room.start()
    return rooms


async def run_room(service: Service, report: Report, plan: Plan) -> None:
    """The room test, ours and the peers in turn within each repeat."""
    with part(f"Room test: one room of {MEMBERS}, closed loop, {plan.seconds:g} s a run"):
        tables = Tables(service, report)
        socket_seats, http_seats = await tables.room(MEMBERS), await tables.room(MEMBERS)
        tables.close()
        ours = [
            ("socket", Room(OurRoom(service, socket_seats, others=MEMBERS - 1))),
            ("HTTP", Room(OurHttpRoom(service, http_seats, others=MEMBERS - 1))),
        ]
        async with started_peers(report, plan) as peers, contextlib.AsyncExitStack() as stack:
            for _, room in ours:
                stack.push_async_callback(room.stop)
                await room.start()
            in_turn = [pair for pairs in zip(ours, peers, strict=True) for pair in pairs] if peers else ours
            for number in range(plan.repeats):
                await service.renew()
                for senders in SENDERS:
                    for name, room in in_turn:
                        (await room.run(senders, plan.seconds)).record(report, f"{name} {senders}")
                say(f"  repeat {number + 1} of {plan.repeats}")
        for name, _ in in_turn:
            report.show(figure for figure in report.runs if figure.split(" ")[0] == name)


async def run_rooms(service: Service, report: Report, plan: Plan) -> None:
    """Many rooms of two, a socket a seat, senders going round."""
    with part(f"Many rooms: {ROOMS} rooms of 2, 32 senders"):
        tables = Tables(service, report)
        seats: list[Seat] = []
        for _ in range(ROOMS):
            seats += await tables.pair()
        tables.close()
        room = Room(OurRoom(service, seats, others=1))
        await room.start()
        for _ in range(plan.repeats):
            (await room.run(32, plan.seconds)).record(report, "rooms 32")
        await room.stop()
        report.show(figure for figure in report.runs if figure.startswith("rooms"))


async def run_fanout(service: Service, report: Report, plan: Plan, folder: Path) -> None:
    """Deliveries a second to many sockets, ours and bare in turn."""
    with part(f"Fan-out, {fanout.UNDER_WAY} broadcasts under way"):
        tables = Tables(service, report)
        seats = await tables.room(MEMBERS)
        tables.close()
        frame_bytes = await _frame_bytes(service, seats)
        say(f"  the bare broadcast's frame is as long as ours: {frame_bytes} bytes")
        bare = BareServer("bench.bare_ws:app", folder, frame_bytes=frame_bytes)
        try:
            for size in FAN_OUT:
                ours = await fanout.Ours.open(service, seats, size)
                theirs = await fanout.Bare.open(bare.port, bare.child.pid, size)
                for _ in range(plan.repeats):
                    for name, system in (("ours", ours), ("bare", theirs)):
                        rate, lost, cpu = await fanout.measure(system, min(1.5, plan.seconds))
                        report.add(f"fan-out {size} {name}", rate, "deliveries/s")
                        report.add(f"fan-out {size} {name} lost", lost, "deliveries")
                        report.add(f"fan-out {size} {name} server", cpu, "µs cpu/delivery")
                ours.close()
                theirs.close()
                await asyncio.sleep(0.5)
        finally:
            bare.stop()
        report.show(figure for figure in report.runs if figure.startswith("fan-out"))


async def _frame_bytes(service: Service, seats: Sequence[Seat]) -> int:
    system = await fanout.Ours.open(service, seats[:2], 2)
    await fanout.measure(system, 0.3)
    system.close()
    return system.counter.bytes


async def run_page(service: Service, report: Report, plan: Plan, folder: Path) -> None:
    """A thread page of fifty, and bare routes; one and eight connections."""
    with part("Thread page of 50, and bare FastAPI routes"):
        tables = Tables(service, report)
        seat = (await tables.pair())[0]
        pool = Pool(service.port)
        messages = f"{BASE}/threads/{seat.thread_id}/messages"
        for _ in range(60):
            await pool.call("POST", messages, token=seat.account.token, body={"text": "y" * 210})
        page = await pool.call("GET", f"{messages}?limit=50", token=seat.account.token)
        if len(page["items"]) != 50:
            raise AssertionError(f"The page holds {len(page['items'])} messages instead of 50.")
        bare = BareServer("bench.bare_http:app", folder)
        bare_pool = Pool(bare.port)
        body = b'{"text":"' + b"y" * 210 + b'"}'
        headers = {"Authorization": f"Bearer {seat.account.token}"}
        calls = {
            "page": floors.repeated(pool, "GET", f"{messages}?limit=50", headers),
            "bare page": floors.repeated(bare_pool, "GET", "/page", {}),
            "bare POST": floors.repeated(bare_pool, "POST", "/messages", {}, body),
            "bare GET": floors.repeated(bare_pool, "GET", "/status", {}),
        }
        try:
            for _ in range(plan.repeats):
                for name, one in calls.items():
                    for connections in (1, 8):
                        rate, p50, p99 = await floors.closed_loop(connections, min(1.0, plan.seconds), one)
                        report.add(f"{name} {connections}", rate, "req/s")
                        report.add(f"{name} {connections} p50", p50, "ms")
                        report.add(f"{name} {connections} p99", p99, "ms")
        finally:
            bare.stop()
            tables.close()
            pool.close()
            bare_pool.close()
        report.show(figure for name in calls for figure in report.runs if figure.startswith(f"{name} "))


async def run_append(service: Service, report: Report, plan: Plan) -> None:
    """Bare inserts on our own database server."""
    with part("Bare asyncpg insert of a comparable row on the same database server, durable"):
        floor = floors.AppendFloor(service.data)
        await floor.open()
        for _ in range(plan.repeats):
            report.add("insert 1", await floor.one_by_one(1, min(1.0, plan.seconds)), "rows/s")
            report.add("insert 8", await floor.one_by_one(8, min(1.0, plan.seconds)), "rows/s")
            report.add("insert batch", await floor.in_batches(min(1.0, plan.seconds)), "rows/s")
        await floor.close()
        report.show(("insert 1", "insert 8", "insert batch"))


async def run_idle(service: Service, report: Report, plan: Plan, folder: Path) -> None:
    """Memory an idle socket adds, and the whole process divided by the sockets."""
    with part(f"Memory of {plan.idle:,} idle sockets"):
        tables = Tables(service, report)
        seats: list[Seat] = []
        for _ in range(ROOMS):
            seats += await tables.pair()
        tables.close()
        places = [seats[number % len(seats)] for number in range(plan.idle)]
        bare = BareServer("bench.bare_ws:app", folder)
        try:
            # What the first sockets of a process load once must not count as memory of each.
            for socket in await fanout.open_bare(bare.port, WARM_UP_SOCKETS, fanout.Counter()):
                socket.close()
            for live in await open_all(service, places[:WARM_UP_SOCKETS]):
                live.close()
            await asyncio.sleep(SETTLE_SECONDS)
            before = usage([bare.child.pid]).rss_bytes
            sockets = await fanout.open_bare(bare.port, plan.idle, fanout.Counter())
            await _memory(report, "idle socket bare", bare.child.pid, before, plan.idle)
            for socket in sockets:
                socket.close()
            worker = service.worker()
            before = usage([worker]).rss_bytes
            lives = await open_all(service, places, join=False)
            await _memory(report, "idle socket ours, not joined", worker, before, plan.idle)
            await join_all(lives, places)
            await _memory(report, "idle socket ours", worker, before, plan.idle)
            ended = sum(live.ended for live in lives)
            if ended:
                report.note(f"The service ended {ended} of {plan.idle} idle sockets.")
            for live in lives:
                live.close()
        finally:
            bare.stop()
        report.show(figure for figure in report.runs if figure.startswith("idle"))
        await asyncio.sleep(SETTLE_SECONDS)


async def _memory(report: Report, name: str, pid: int, before: int, count: int) -> None:
    await asyncio.sleep(SETTLE_SECONDS)
    after = usage([pid]).rss_bytes
    report.add(name, (after - before) / count / 1024, "KiB grown per socket")
    report.add(f"{name}, whole process", after / count / 1024, "KiB resident per socket")


async def run_parts(service: Service, report: Report, plan: Plan, folder: Path) -> None:
    """Run every part that needs a running service, memory first because a process never gives all of it back."""
    if "idle" in plan.parts:
        await run_idle(service, report, plan, folder)
    if "room" in plan.parts:
        await run_room(service, report, plan)
    if "rooms" in plan.parts:
        await run_rooms(service, report, plan)
    if "fanout" in plan.parts:
        await run_fanout(service, report, plan, folder)
    if "page" in plan.parts:
        await run_page(service, report, plan, folder)
    if "append" in plan.parts:
        await run_append(service, report, plan)
    if "token" in plan.parts:
        with part(f"Token check, {credentials.CLIENTS} clients, beside the same route that believes a header"):
            await credentials.run_token(service, report, plan.repeats, min(1.5, plan.seconds), folder)
    if "storm" in plan.parts:
        with part(f"Log-in storm of {credentials.STORMERS}, beside case traffic of {credentials.CLIENTS} clients"):
            await credentials.run_storm(service, report, plan.repeats, plan.seconds)


def allow_files(wanted: int) -> int:
    """Raise the limit on open files, ours and our children's, and return how many sockets fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + 2000
    limit = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return min(wanted, limit - 1000)


def main(argv: Sequence[str]) -> None:
    """Run the bench."""
    signal.signal(
        signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)
    )  # whoever stops us: nothing stays behind
    plan = arguments(argv)
    report = Report.create()
    begin = time.perf_counter()
    load = os.getloadavg()[0]
    say(f"{os.cpu_count()} processors, load {load:.1f} at the start, Python {platform.python_version()}.")
    say("Client, servers and databases share this machine: compare the ratios of one run, not runs.")
    say(f"One worker. The socket's frame limit is raised: OVERLEGTAFEL_SOCKET_RATE={SOCKET_RATE}.")
    if allow_files(plan.idle) < plan.idle:
        raise SystemExit(f"This system allows too few open files for {plan.idle} sockets; pass a lower --idle.")
    if "startup" in plan.parts:
        run_startup(report, plan)
    rest = [name for name in plan.parts if name != "startup"]
    if rest:
        service = Service.create()
        with tempfile.TemporaryDirectory(prefix="bench-floors-") as folder:
            try:
                service.start()
                uvloop.run(run_parts(service, report, plan, Path(folder)))
            finally:
                service.remove()
    goals.show(report)
    for sentence in report.notes:
        say(f"  note: {sentence}")
    say(f"\n{time.perf_counter() - begin:.0f} s in all, load {os.getloadavg()[0]:.1f} at the end.")
    say(f"Every repeat: {report.path}")


if __name__ == "__main__":
    main(sys.argv[1:])
