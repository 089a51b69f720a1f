"""What checking a credential costs: a token on each request, and other people's log-ins beside case traffic."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from app.cli.account import server_account
from app.cli.folder import DataFolder
from app.cli.postgres import DATABASE, Urls
from bench import floors
from bench.bare import BareServer
from bench.figures import Report
from bench.http_client import Connection, HttpFault, Pool
from bench.service import BASE, Seat, Service, Tables

CLIENTS = 8
STORMERS = 16
# One address may try so often before it is told to wait; a storm of strangers comes from many.
TRIES_PER_ADDRESS = 50
LOG_INS = f"{BASE}/log-ins"
PAGE_TEXT = "y" * 210


def urls_of(service: Service) -> Urls:
    """Return the log-ins of the service's own database."""
    folder = DataFolder(service.data)
    account = server_account(folder.cluster, lambda _: None)
    return Urls(folder.socket_folder(account), DATABASE, folder.passwords())


def claims_of(token: str) -> dict[str, str]:
    """Return what a token says, unverified."""
    payload = token.split(".")[1]
    claims: dict[str, str] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def run_token(service: Service, report: Report, repeats: int, seconds: float, folder: Path) -> None:
    """Requests a second of a bare route that believes a header, and of the same route that verifies our token."""
    pool = Pool(service.port)
    account = await service.account("gp", pool)
    claims = claims_of(account.token)
    urls = urls_of(service)
    bare = BareServer(
        "bench.bare_token:app",
        folder,
        env={
            "BENCH_DATABASE_URL": urls.app,
            "BENCH_APPENDER_URL": urls.appender,
            "BENCH_STREAM_URL": urls.stream,
            "BENCH_KEYS": str(service.data / "keys"),
            "BENCH_ISSUER": claims["iss"],
        },
    )
    bare_pool = Pool(bare.port)
    calls = {
        "open": floors.repeated(bare_pool, "GET", "/open", {}),
        "trusted": floors.repeated(bare_pool, "GET", "/trusted", {"X-Session": f"{claims['sid']} {claims['eng']}"}),
        "token": floors.repeated(bare_pool, "GET", "/token", {"Authorization": f"Bearer {account.token}"}),
    }
    try:
        for one in calls.values():
            await floors.closed_loop(CLIENTS, 0.3, one)  # connections, plans and caches are there before we look
        for number in range(repeats):
            # The machine gets warmer or busier in one direction, so the order turns round.
            for name, one in list(calls.items())[:: -1 if number % 2 else 1]:
                rate, p50, p99 = await floors.closed_loop(CLIENTS, seconds, one)
                report.add(f"route {name}", rate, "req/s")
                report.add(f"route {name} p50", p50, "ms")
                report.add(f"route {name} p99", p99, "ms")
    finally:
        bare_pool.close()
        pool.close()
        bare.stop()
    report.show(figure for figure in report.runs if figure.startswith("route "))


def log_in(name: str, password: str) -> bytes:
    """Return the body of a log-in with a password and a code."""
    return orjson.dumps({"method": "password", "loginName": name, "password": password, "code": "000000"})


@dataclass
class Storm:
    """Log-ins under names that nobody has, which take as long as any other, from addresses that change."""

    port: int
    answers: dict[int, int] = field(default_factory=dict)
    _address: int = 1

    async def client(self, ending: asyncio.Event) -> None:
        """Log in again and again until told to end."""
        while not ending.is_set():
            connection = await Connection.open(self.port, local=self._next_address())
            for _ in range(TRIES_PER_ADDRESS):
                if ending.is_set() or connection.ended:
                    break
                name = secrets.token_hex(8)
                body = log_in(name, secrets.token_urlsafe(24))
                status, _ = await connection.request(connection.prepare("POST", LOG_INS, {}, body))
                self.answers[status] = self.answers.get(status, 0) + 1
            connection.close()

    def _next_address(self) -> str:
        self._address += 1
        return f"127.{self._address >> 16 & 255}.{self._address >> 8 & 255}.{self._address & 255}"

    @asynccontextmanager
    async def blowing(self) -> AsyncIterator[None]:
        """Let it blow for the length of the block."""
        ending = asyncio.Event()
        clients = [asyncio.create_task(self.client(ending)) for _ in range(STORMERS)]
        try:
            yield
        finally:
            ending.set()
            await asyncio.gather(*clients)


async def run_storm(service: Service, report: Report, repeats: int, seconds: float) -> None:
    """Case traffic over eight connections, half of it reading a thread and half posting, in calm and in a storm."""
    storm = Storm(service.port)
    pool = Pool(service.port)
    try:
        probe = await pool.send("POST", LOG_INS, {}, log_in("nobody", "x" * 20))
        if probe[0] != 401:
            report.note(f"A log-in under a name that nobody has is answered {probe[0]}; the storm is left out.")
            return
        tables = Tables(service, report)
        seats = await tables.room(CLIENTS)
        tables.close()
        for number in range(repeats):
            await service.renew()
            for blowing in (False, True) if number % 2 else (True, False):
                name = "in a storm" if blowing else "in calm"
                before = sum(storm.answers.values())
                if blowing:
                    async with storm.blowing():
                        await _traffic(pool, seats, report, name, seconds)
                    report.add("log-ins in the storm", (sum(storm.answers.values()) - before) / seconds, "req/s")
                else:
                    await _traffic(pool, seats, report, name, seconds)
    finally:
        pool.close()
    if storm.answers.keys() - {401}:
        report.note(f"Not every log-in of the storm was looked at: answers by status {storm.answers}.")
    report.show(figure for figure in report.runs if figure.startswith(("cases ", "log-ins ")))


async def _traffic(pool: Pool, seats: Sequence[Seat], report: Report, name: str, seconds: float) -> None:
    calls = [_in_turn(pool, seat) for seat in seats]
    turn = iter(range(1_000_000_000))

    async def one() -> None:
        await calls[next(turn) % len(calls)]()

    rate, p50, p99 = await floors.closed_loop(CLIENTS, seconds, one)
    report.add(f"cases {name}", rate, "req/s")
    report.add(f"cases {name} p50", p50, "ms")
    report.add(f"cases {name} p99", p99, "ms")


def _in_turn(pool: Pool, seat: Seat) -> Callable[[], Awaitable[None]]:
    """Return a call that reads the thread's newest page and posts to it in turn."""
    path = f"{BASE}/threads/{seat.thread_id}/messages"
    body = orjson.dumps({"text": PAGE_TEXT})
    number = 0

    async def one() -> None:
        nonlocal number
        number += 1
        headers = {"Authorization": f"Bearer {seat.account.token}"}
        if number % 2:
            status, answer = await pool.send("GET", f"{path}?limit=20", headers)
        else:
            status, answer = await pool.send("POST", path, headers, body)
        if status >= 300:
            raise HttpFault(status, answer)

    return one
