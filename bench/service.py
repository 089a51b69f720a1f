"""Our service under load: started from nothing in a temporary folder, filled through its own HTTP contract."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from app.cli.folder import DataFolder
from bench.cluster import postmaster_pids
from bench.figures import Report, say
from bench.http_client import HttpFault, Pool
from bench.process import Child, descendants, free_port, kill
from bench.ws_client import Socket, SocketEnded

ROOT = Path(__file__).parent.parent
BASE = "/api/v1"
SOCKET_RATE = 1_000_000
REQUEST_RATE = 1_000_000  # nobody is held back: what is measured is the service, not its patience
READY_SECONDS = 180
JOIN_SECONDS = 60
PROBE_SECONDS = 0.02
CATEGORY = "medication"
# Care engagements write `medication` by direct treatment; the social workers do once the GP recorded oral consent.
PERSONAS = (
    *("gp", "poh", "district-nurse", "specialist", "gp-other", "gp-locum"),
    *("social-worker", "social-worker-2", "poh-youth"),
)
OPENER = "gp"
AT_ONCE = 8  # more would wait for a database connection longer than the service lets anybody wait

T = TypeVar("T")


@dataclass(slots=True)
class Account:
    """A persona's log-in."""

    persona: str
    id: str
    token: str
    renew_at: float


@dataclass(frozen=True, slots=True)
class Seat:
    """One account's place in one case."""

    account: Account
    case_id: str
    thread_id: str


@dataclass(slots=True)
class Service:
    """A running instance."""

    folder: Path
    workers: int = 1
    port: int = field(default_factory=free_port)
    _child: Child | None = None
    _accounts: dict[str, Account] = field(default_factory=dict)
    _bsn: int = field(default_factory=lambda: random.randrange(10_000_000, 90_000_000))

    @classmethod
    def create(cls, *, workers: int = 1) -> "Service":
        """Return an instance that is not started yet, in an empty temporary folder."""
        return cls(Path(tempfile.mkdtemp(prefix="bench-overlegtafel-")), workers)

    @property
    def data(self) -> Path:
        """The instance's data folder."""
        return self.folder

    def start(self) -> float:
        """Start it and return after how many seconds it was ready."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.upper().startswith("OVERLEGTAFEL_")
        }
        log = self.folder.with_name(f"{self.folder.name}.log")
        begin = time.perf_counter()
        self._child = Child(
            [sys.executable, "-m", "app.cli", "demo"],
            log=log,
            env={
                **inherited,
                "PORT": str(self.port),
                "OVERLEGTAFEL_DATA_DIR": str(self.folder),
                "OVERLEGTAFEL_WORKERS": str(self.workers),
                "OVERLEGTAFEL_SOCKET_RATE": str(SOCKET_RATE),
                "OVERLEGTAFEL_SESSION_RATE": str(REQUEST_RATE),
                "OVERLEGTAFEL_SESSION_BURST": str(REQUEST_RATE),
                "OVERLEGTAFEL_PUBLIC_RATE": str(REQUEST_RATE),
                "OVERLEGTAFEL_PUBLIC_BURST": str(REQUEST_RATE),
                "OVERLEGTAFEL_BSN_LOOK_UPS": str(REQUEST_RATE),
                "PYTHONPATH": str(ROOT),
            },
        )
        asyncio.run(self._wait_until_ready(begin + READY_SECONDS))
        return time.perf_counter() - begin

    async def _wait_until_ready(self, end: float) -> None:
        assert self._child is not None
        while time.perf_counter() < end:
            self._child.check()
            pool = Pool(self.port)
            with contextlib.suppress(OSError, HttpFault):
                await pool.call("GET", f"{BASE}/readiness")
                pool.close()
                return
            pool.close()
            await asyncio.sleep(PROBE_SECONDS)
        raise TimeoutError(f"The service was not ready after {READY_SECONDS} s; see {self._child.log}.")

    def stop(self) -> None:
        """Stop server and database; the data stays."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        self._accounts.clear()

    def remove(self) -> None:
        """Stop and remove the data."""
        self.stop()
        if (DataFolder(self.folder).cluster / "postmaster.pid").exists():
            # Only after the service had to be killed: its database has no parent any more.
            kill(postmaster_pids(DataFolder(self.folder).cluster)[0], signal.SIGQUIT)
            time.sleep(1)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_name(f"{self.folder.name}.log").unlink(missing_ok=True)

    def check(self) -> None:
        """Raise when the service is no longer there."""
        if self._child is not None:
            self._child.check()

    def pids(self) -> list[int]:
        """Return the service's processes and its database's."""
        assert self._child is not None
        return [self._child.pid, *descendants(self._child.pid), *postmaster_pids(DataFolder(self.folder).cluster)]

    @property
    def parent(self) -> int:
        """The process that all others of the service come from."""
        assert self._child is not None
        return self._child.pid

    def worker(self) -> int:
        """Return the process that serves."""
        assert self._child is not None
        return self._child.largest()

    async def account(self, persona: str, pool: Pool) -> Account:
        """Return a persona's log-in, renewed when half of its time is over."""
        known = self._accounts.get(persona)
        if known is not None and time.monotonic() < known.renew_at:
            return known
        answer = await pool.call("POST", f"{BASE}/demo-tokens", body={"persona": persona})
        renew_at = time.monotonic() + answer["expiresIn"] / 2
        if known is None:
            known = Account(persona, answer["account"]["id"], answer["accessToken"], renew_at)
            self._accounts[persona] = known
        else:
            known.token, known.renew_at = answer["accessToken"], renew_at
        return known

    async def renew(self) -> None:
        """Renew every log-in that is over half of its time."""
        pool = Pool(self.port)
        for persona in tuple(self._accounts):
            await self.account(persona, pool)
        pool.close()

    def next_bsn(self) -> str:
        """Return a number that passes the eleven test and that this instance has not seen."""
        while True:
            self._bsn += 1
            digits = [int(digit) for digit in f"{self._bsn:08d}"]
            check = sum(weight * digit for weight, digit in zip(range(9, 1, -1), digits, strict=True)) % 11
            if check < 10:
                return f"{self._bsn:08d}{check}"


@dataclass(frozen=True, slots=True)
class Guests:
    """A case in which some read by consent alone: a thread for each category, a consent for each guest in each."""

    case_id: str
    patient_id: str
    threads: dict[str, str]
    members: dict[str, str]
    accounts: dict[str, Account]
    consents: dict[tuple[str, str], str] = field(default_factory=dict)

    async def consent(self, pool: Pool, persona: str, category: str) -> None:
        """Record the citizen's consent that this guest reads this category."""
        body = {
            "patientId": self.patient_id,
            "kind": "lift_secrecy",
            "bothWays": False,
            "recipients": [{"type": "member", "id": self.members[persona]}],
            "categories": [category],
            "purpose": "CAREMGT",
            "decidedBy": {"type": "patient"},
            "method": "oral_recorded",
            "textVersion": "nl-2026-1",
        }
        path = f"{BASE}/cases/{self.case_id}/consents"
        given = await pool.call("POST", path, token=self.accounts[OPENER].token, body=body)
        self.consents[persona, category] = str(given["id"])


class Tables:
    """Sets up cases through the HTTP contract, as the personas would."""

    def __init__(self, service: Service, report: Report) -> None:
        self._service = service
        self._report = report
        self._pool = Pool(service.port)

    async def room(self, size: int) -> list[Seat]:
        """Return a case with one thread that ``size`` members read and write; an account may hold several seats."""
        gp = await self._service.account(OPENER, self._pool)
        patient_id, case_id = await self._case(gp)
        thread_id = await self._thread(gp, patient_id, case_id)
        seats = [Seat(gp, case_id, thread_id)]
        for persona in PERSONAS:
            if len(seats) == size:
                break
            if persona != OPENER:
                account = await self._service.account(persona, self._pool)
                refused = await self._seat(gp, account, patient_id, case_id, thread_id)
                if refused is None:
                    seats.append(Seat(account, case_id, thread_id))
                else:
                    self._report.note(f"{persona} cannot write in the room ({refused}); another takes the place.")
        distinct = len(seats)
        if distinct < size:
            self._report.note(f"{distinct} accounts hold the {size} seats; some have two sockets in the room.")
            seats += [seats[number % distinct] for number in range(size - distinct)]
        return seats

    async def pair(self) -> list[Seat]:
        """Return a case of two: the GP and her POH, who is a member at once."""
        gp = await self._service.account(OPENER, self._pool)
        poh = await self._service.account("poh", self._pool)
        patient_id, case_id = await self._case(gp)
        thread_id = await self._thread(gp, patient_id, case_id)
        await self._invite(gp, poh, case_id)
        return [Seat(gp, case_id, thread_id), Seat(poh, case_id, thread_id)]

    async def guests(self, personas: Sequence[str], categories: Sequence[str]) -> Guests:
        """Return a case of the GP's at which these personas sit without treating, each with every consent."""
        gp = await self._service.account(OPENER, self._pool)
        patient_id, case_id = await self._case(gp)
        found = Guests(case_id, patient_id, {}, {}, {OPENER: gp})
        for category in categories:
            found.threads[category] = await self._thread(gp, patient_id, case_id, category)
        for persona in personas:
            account = await self._service.account(persona, self._pool)
            found.accounts[persona] = account
            found.members[persona] = await self._invite(gp, account, case_id, direct=False)
            for category in categories:
                await found.consent(self._pool, persona, category)
        return found

    def close(self) -> None:
        """End the connections."""
        self._pool.close()

    async def _case(self, gp: Account) -> tuple[str, str]:
        person = {
            "bsn": self._service.next_bsn(),
            "name": {"given": "Bente", "family": f"Bank{self._service.next_bsn()}"},
            "birthDate": "1941-05-17",
            "neighbourhood": "nazareth",
        }
        patient = await self._pool.call("POST", f"{BASE}/patients", token=gp.token, body=person)
        case = {"kind": "individual", "patientIds": [patient["id"]], "question": "Can she stay at home?"}
        opened = await self._pool.call("POST", f"{BASE}/cases", token=gp.token, body=case)
        return patient["id"], opened["id"]

    async def _thread(self, gp: Account, patient_id: str, case_id: str, category: str = CATEGORY) -> str:
        thread = {"patientId": patient_id, "category": category, "title": "Medication"}
        opened = await self._pool.call("POST", f"{BASE}/cases/{case_id}/threads", token=gp.token, body=thread)
        return str(opened["id"])

    async def _invite(self, gp: Account, account: Account, case_id: str, *, direct: bool = True) -> str:
        """Make the account an accepted member and return the member's id."""
        path = f"{BASE}/cases/{case_id}/members"
        member = {"accountId": account.id, "caseRole": "deelnemer", "reasonCode": "elderly-mdo"}
        try:
            answer = await self._pool.call("POST", path, token=gp.token, body={**member, "directTreatment": direct})
        except HttpFault as fault:
            if fault.status != 400:
                raise
            answer = await self._pool.call("POST", path, token=gp.token, body=member)
        if answer["status"] == "invited":
            await self._pool.call("POST", f"{path}/{answer['id']}/acceptance", token=account.token)
        return str(answer["id"])

    async def _seat(self, gp: Account, account: Account, patient_id: str, case_id: str, thread_id: str) -> str | None:
        """Give the account a seat, by consent where no other ground opens the thread; else return why not."""
        try:
            member_id = await self._invite(gp, account, case_id)
            if await self._may_write(account, thread_id):
                return None
            consent = {
                "patientId": patient_id,
                "kind": "lift_secrecy",
                "recipients": [{"type": "member", "id": member_id}],
                "categories": [CATEGORY],
                "purpose": "CAREMGT",
                "decidedBy": {"type": "patient"},
                "method": "oral_recorded",
                "textVersion": "nl-2026-1",
            }
            await self._pool.call("POST", f"{BASE}/cases/{case_id}/consents", token=gp.token, body=consent)
        except HttpFault as fault:
            return str(fault)
        return None if await self._may_write(account, thread_id) else "no right after consent"

    async def _may_write(self, account: Account, thread_id: str) -> bool:
        path = f"{BASE}/threads/{thread_id}/messages"
        try:
            await self._pool.call("POST", path, token=account.token, body={"text": "Present."})
        except HttpFault as fault:
            if fault.status in {403, 404}:
                return False
            raise
        return True


class Live:
    """One authenticated socket."""

    __slots__ = ("_replies", "_socket", "on_frame")

    def __init__(self) -> None:
        self.on_frame: Callable[[bytes, int, int], None] | None = None
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._socket: Socket

    @classmethod
    async def open(cls, service: Service, account: Account, pool: Pool) -> "Live":
        """Return a socket that is ready."""
        ticket = await pool.call("POST", f"{BASE}/realtime-tickets", token=account.token)
        live = cls()
        live._socket = await Socket.open(service.port, urlsplit(ticket["url"]).path, live._receive)
        await live._ask({"op": "authenticate", "ticket": ticket["ticket"]}, "ready")
        return live

    async def join(self, case_id: str) -> None:
        """Join a case; its live events follow."""
        await self._ask({"op": "join", "caseId": case_id}, "joined")

    async def _ask(self, frame: dict[str, str], answer: str) -> dict[str, Any]:
        self._replies[answer] = future = asyncio.get_running_loop().create_future()
        self._socket.send(orjson.dumps(frame))
        return await asyncio.wait_for(future, JOIN_SECONDS)

    def _receive(self, data: bytes, start: int, end: int) -> None:
        if self._replies:
            frame = orjson.loads(data[start:end])
            future = self._replies.pop(frame["op"], None)
            if future is not None:
                if not future.done():
                    future.set_result(frame)
                return
            if frame["op"] in {"error", "bye"}:
                for waiting in (future for future in self._replies.values() if not future.done()):
                    waiting.set_exception(SocketEnded(str(frame)))
                self._replies.clear()
                return
        if self.on_frame is not None:
            self.on_frame(data, start, end)

    def send(self, payload: bytes) -> None:
        """Write one frame."""
        self._socket.send(payload)

    @property
    def ended(self) -> bool:
        """Whether the server ended this socket."""
        return self._socket.ended

    @property
    def close_code(self) -> int | None:
        """The server's close code, when it gave one."""
        return self._socket.close_code

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


async def open_all(service: Service, seats: Sequence[Seat], *, join: bool = True) -> list[Live]:
    """Open a socket for each seat, in order, a few at a time."""
    pool = Pool(service.port)

    async def one(seat: Seat) -> Live:
        live = await Live.open(service, seat.account, pool)
        if join:
            await live.join(seat.case_id)
        return live

    lives = await _few_at_a_time([partial(one, seat) for seat in seats], "sockets open")
    pool.close()
    return lives


async def join_all(lives: Sequence[Live], seats: Sequence[Seat]) -> None:
    """Let open sockets join the cases of their seats, a few at a time."""
    await _few_at_a_time(
        [partial(live.join, seat.case_id) for live, seat in zip(lives, seats, strict=True)], "sockets joined"
    )


async def _few_at_a_time(calls: Sequence[Callable[[], Awaitable[T]]], what: str) -> list[T]:
    """Make all calls, ``AT_ONCE`` under way, and tell of every thousand."""
    gate = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        nonlocal done
        async with gate:
            result = await call()
        done += 1
        if not done % 1000:
            say(f"  {done:,} {what}")
        return result

    return await asyncio.gather(*(one(call) for call in calls))
