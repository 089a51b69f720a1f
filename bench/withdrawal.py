"""``python -m bench.withdrawal``: from a withdrawal to silence, on two workers, under load (G1).

Many sockets of people who read by consent alone listen on both workers of one instance while messages are posted;
consents are withdrawn at random and given again. Counted are frames that came too late, by the stream's own order, of
which there may be none; measured is the time from the withdrawal's own instant until a socket is told that it
narrowed, beside a floor: one bare commit and a bare broadcast to as many sockets.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import orjson
import psutil  # type: ignore[import-untyped]  # ships no types
import uvloop

from app.cli.account import server_account
from app.cli.folder import DataFolder
from app.cli.postgres import DATABASE, Urls
from app.identity.demo import BY_KEY
from bench.bare import BareServer
from bench.fanout import MARK, open_bare
from bench.figures import Report, percentile, say
from bench.floors import AppendFloor
from bench.http_client import Pool
from bench.process import descendants
from bench.service import BASE, Guests, Live, Seat, Service, Tables, open_all

GUESTS = ("social-worker", "social-worker-2", "youth-consultant", "specialist", "gp-other", "gp-locum")
CATEGORIES = ("medication", "functional_adl", "living_situation")
DECIDERS = 3
NARROWED = b'"op":"narrowed"'
GOAL_MS = 250
TOLD_SECONDS = 30
"""After how long a socket that was not told counts as never told; the server's lease ends sooner."""
DRAIN_SECONDS = 1.0
FLOOR_ROUNDS = 50


@dataclass(slots=True)
class Ear:
    """One socket of a guest: what it was told, and when it was told that it narrowed."""

    persona: str
    heard: list[bytes] = field(default_factory=list)
    narrowed: list[tuple[float, bytes]] = field(default_factory=list)

    def __call__(self, data: bytes, start: int, end: int) -> None:
        if data.find(MARK, start, end) >= 0:
            self.heard.append(data[start:end])
        elif data.find(NARROWED, start, end) >= 0:
            self.narrowed.append((time.time(), data[start:end]))

    def told(self, category: str, since: int) -> float | None:
        """Return when it was told, after its first ``since`` times, that this category closed."""
        for at, frame in self.narrowed[since:]:
            if category in orjson.loads(frame)["categories"]:
                return at
        return None


@dataclass(slots=True)
class Outcome:
    """What happened; latencies in milliseconds, one for each socket that a withdrawal closed something to.

    ``latencies`` count from the instant at which the withdrawal's transaction began, ``after_answer`` from its
    answer, which leaves after the commit: what was told before that counts as nothing.
    """

    sockets: int
    workers: dict[int, int]
    posted: int = 0
    deliveries: int = 0
    withdrawals: int = 0
    late: int = 0
    never_told: int = 0
    latencies: list[float] = field(default_factory=list)
    after_answer: list[float] = field(default_factory=list)


async def measure(service: Service, report: Report, *, sockets: int, withdrawals: int, rate: float) -> Outcome:
    """Withdraw at random under load, and judge every frame; ``rate`` is messages a second."""
    tables = Tables(service, report)
    guests = await tables.guests(GUESTS, CATEGORIES)
    places = [Seat(guests.accounts[GUESTS[n % len(GUESTS)]], guests.case_id, "") for n in range(sockets)]
    lives = await open_all(service, places)
    ears = [Ear(place.account.persona) for place in places]
    for live, ear in zip(lives, ears, strict=True):
        live.on_frame = ear
    outcome = Outcome(sockets, sockets_by_worker(service))
    author = (await open_all(service, [Seat(guests.accounts["gp"], guests.case_id, "")]))[0]
    writing = asyncio.create_task(_write(author, guests, rate, outcome))
    chance = random.Random(1)
    try:
        shares = [withdrawals // DECIDERS + (n < withdrawals % DECIDERS) for n in range(DECIDERS)]
        await asyncio.gather(
            *(
                _decide(service, guests, ears, GUESTS[number::DECIDERS], share, chance, outcome)
                for number, share in enumerate(shares)
            )
        )
    finally:
        writing.cancel()
    await asyncio.sleep(DRAIN_SECONDS)
    outcome.deliveries = sum(len(ear.heard) for ear in ears)
    outcome.late = await _late(service, guests.case_id, ears)
    assert not any(live.ended for live in (*lives, author)), "a socket ended"
    for live in (*lives, author):
        live.close()
    tables.close()
    return outcome


async def _write(author: Live, guests: Guests, rate: float, outcome: Outcome) -> None:
    run, threads = time.time_ns(), list(guests.threads.values())
    begin = time.perf_counter()
    while True:
        frame = {
            "op": "post",
            "clientId": f"{run}-{outcome.posted}",
            "threadId": threads[outcome.posted % len(threads)],
            "text": f"Bericht {outcome.posted}",
        }
        author.send(orjson.dumps(frame))
        outcome.posted += 1
        await asyncio.sleep(max(0.0, begin + outcome.posted / rate - time.perf_counter()))


async def _decide(
    service: Service,
    guests: Guests,
    ears: Sequence[Ear],
    personas: Sequence[str],
    times: int,
    chance: random.Random,
    outcome: Outcome,
) -> None:
    pool, gp = Pool(service.port), guests.accounts["gp"]
    for _ in range(times):
        persona, category = chance.choice(personas), chance.choice(CATEGORIES)
        concerned = [ear for ear in ears if ear.persona == persona]
        since = [len(ear.narrowed) for ear in concerned]
        path = f"{BASE}/consents/{guests.consents[persona, category]}/withdrawal"
        answer = await pool.call("POST", path, token=gp.token)
        answered_at = time.time()
        withdrawn_at = datetime.fromisoformat(answer["withdrawal"]["withdrawnAt"]).timestamp()
        outcome.withdrawals += 1
        for ear, before in zip(concerned, since, strict=True):
            told = await _told(ear, category, before)
            if told is None:
                outcome.never_told += 1
            else:
                outcome.latencies.append((told - withdrawn_at) * 1e3)
                outcome.after_answer.append(max(0.0, told - answered_at) * 1e3)
        await asyncio.sleep(chance.uniform(0, 0.05))
        await guests.consent(pool, persona, category)
    pool.close()


async def _told(ear: Ear, category: str, since: int) -> float | None:
    end = time.perf_counter() + TOLD_SECONDS
    while (told := ear.told(category, since)) is None and time.perf_counter() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return told


def sockets_by_worker(service: Service) -> dict[int, int]:
    """Return how many connections each serving process holds."""
    found: Counter[int] = Counter()
    for pid in descendants(service.parent):
        for one in psutil.Process(pid).net_connections("tcp"):
            if one.laddr and one.laddr.port == service.port and one.status == psutil.CONN_ESTABLISHED:
                found[pid] += 1
    return dict(found)


async def _late(service: Service, case_id: str, ears: Sequence[Ear]) -> int:
    """Return how many frames told somebody of a cell that the stream had closed to them before."""
    folder = DataFolder(service.data)
    urls = Urls(folder.socket_folder(server_account(folder.cluster, lambda _: None)), DATABASE, folder.passwords())
    connection = await asyncpg.connect(urls.superuser)
    rows = await connection.fetch(
        "select seq, id, type, category, domain, addressees, data from case_event where case_id = $1 order by seq",
        UUID(case_id),
    )
    await connection.close()
    label = {str(row["id"]): (row["seq"], (row["category"], row["domain"])) for row in rows}
    late = 0
    for persona in {ear.persona for ear in ears}:
        me = BY_KEY[persona].engagement_id
        held: set[tuple[str, str]] = set()
        held_at: dict[int, frozenset[tuple[str, str]]] = {}
        for row in rows:
            held_at[row["seq"]] = frozenset(held)
            if row["type"] == "access.changed" and me in row["addressees"]:
                change = orjson.loads(row["data"])
                held |= {(cell["category"], cell["domain"]) for cell in change["gained"]}
                held -= {(cell["category"], cell["domain"]) for cell in change["lost"]}
        told = (orjson.loads(frame)["data"]["id"] for ear in ears if ear.persona == persona for frame in ear.heard)
        late += sum(cell not in held_at[seq] for seq, cell in (label[one] for one in told))
    return late


async def floor(service: Service, folder: Path, sockets: int) -> list[float]:
    """Return milliseconds from the start of one bare commit until each of some bare sockets has one bare frame."""
    append = AppendFloor(service.data)
    await append.open()
    commit_ms = 1e3 / await append.one_by_one(1, 1.0)
    await append.close()
    server = BareServer("bench.bare_ws:app", folder)
    arrived: list[float] = []
    begin = 0.0

    def on_frame(data: bytes, start: int, end: int) -> None:  # noqa: ARG001  # a frame handler's own shape
        arrived.append(commit_ms + (time.perf_counter() - begin) * 1e3)

    try:
        bare = await open_bare(server.port, sockets, on_frame)  # type: ignore[arg-type]  # it counts nothing here
        for round_ in range(1, FLOOR_ROUNDS + 1):
            begin = time.perf_counter()
            bare[0].send(b"go")
            while len(arrived) < round_ * sockets:  # noqa: ASYNC110
                await asyncio.sleep(0)
        for socket in bare:
            socket.close()
    finally:
        server.stop()
    return arrived


async def run(service: Service, report: Report, folder: Path, chosen: argparse.Namespace) -> Outcome:
    """Measure and print."""
    outcome = await measure(service, report, sockets=chosen.sockets, withdrawals=chosen.withdrawals, rate=chosen.rate)
    bare = await floor(service, folder, max(1, chosen.sockets // len(GUESTS)))
    say(f"  {outcome.sockets} sockets on {len(outcome.workers)} workers: {sorted(outcome.workers.values())}")
    say(f"  {outcome.posted:,} messages, {outcome.deliveries:,} deliveries, {outcome.withdrawals} withdrawals")
    figures = {
        "narrowed, since the transaction began": outcome.latencies,
        "narrowed, since its answer": outcome.after_answer,
        "bare commit and broadcast": bare,
    }
    for name, values in figures.items():
        for share in (50, 99):
            report.add(f"{name} p{share}", percentile(values, share), "ms")
    report.show(report.runs)
    for name, values in tuple(figures.items())[:2]:
        reached = "reached" if percentile(values, 99) <= GOAL_MS else "NOT REACHED"
        say(f"  p99 of {name} within {GOAL_MS} ms: {reached}")
    say(f"  load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    say(f"  late frames: {outcome.late}; sockets never told: {outcome.never_told}")
    return outcome


def main(argv: Sequence[str]) -> int:
    """Run the bench; 1 if any frame was late or any socket was never told."""
    parser = argparse.ArgumentParser(prog="python -m bench.withdrawal", description=__doc__)
    parser.add_argument("--sockets", type=int, default=200, help="sockets that listen (default 200)")
    parser.add_argument("--withdrawals", type=int, default=100, help="withdrawals in all (default 100)")
    parser.add_argument("--rate", type=float, default=20, help="messages a second (default 20)")
    chosen = parser.parse_args(argv)
    report = Report.create()
    say("Two workers; client, workers and database share this machine.")
    service = Service.create(workers=2)
    with tempfile.TemporaryDirectory(prefix="bench-floors-") as folder:
        try:
            service.start()
            outcome = uvloop.run(run(service, report, Path(folder), chosen))
        finally:
            service.remove()
    return int(bool(outcome.late or outcome.never_told))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
