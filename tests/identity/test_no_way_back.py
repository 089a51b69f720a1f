"""No sequence of signing in, refreshing, switching, locking and ending leaves alive what should be dead."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY, OTHER_PRACTICE
from tests.browsing import Browser, browse
from tests.serving import Caller, Instance
from tests.talking import Talk, dial

T = TypeVar("T")
PERSONA = "gp-locum"
FIRST = BY_KEY[PERSONA].engagement_id
PATIENCE_SECONDS = 120
any_of = st.integers(0, 20)


@dataclass
class Session:
    """What a login session should be."""

    id: str
    alive: bool = True
    locked: bool = False


@dataclass
class Held:
    """Something that somebody holds of a session, for one engagement; ``spent`` once it should be worth nothing."""

    session: Session
    engagement: UUID
    thing: Any
    spent: bool = False


@dataclass
class World:
    """The service, the database past every policy, and the second engagement."""

    instance: Instance
    owner: "asyncpg.Connection[asyncpg.Record]"
    second: UUID
    loop: asyncio.AbstractEventLoop
    in_force: dict[UUID, bool] = field(default_factory=dict)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the service's own event loop, from the machine's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)


class Life(RuleBasedStateMachine):
    """One person with two engagements, any number of windows and browsers, and others who end things."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.run = self.world.run
        self.windows: list[Held] = []
        self.browsers: list[Held] = []
        self.refreshes: list[Held] = []
        self.tickets: list[Held] = []
        self.sockets: list[Held] = []
        self.stack = AsyncExitStack()
        for engagement in (FIRST, self.world.second):
            self.set_in_force(engagement, holds=True)

    def teardown(self) -> None:
        self.run(self.stack.aclose())

    # What should be

    def usable(self, held: Held) -> bool:
        session = held.session
        return session.alive and not session.locked and not held.spent and self.world.in_force[held.engagement]

    def end(self, session: Session) -> None:
        session.alive = False

    def set_in_force(self, engagement: UUID, *, holds: bool) -> None:
        statement = "update engagement set suspended_at = $2 where id = $1"
        at = None if holds else datetime.now(UTC)
        self.run(self.world.owner.execute(statement, engagement, at))
        self.world.in_force[engagement] = holds
        for socket in self.sockets:
            # A socket that ended for it does not come back when the engagement does.
            socket.spent = socket.spent or (not holds and socket.engagement == engagement)

    def credentials(self) -> list[Held]:
        return [*self.windows, *self.browsers]

    # What people do

    @initialize()
    def begin(self) -> None:
        """Begin with a window and a browser, a socket of each, and a ticket that lies about."""
        for by_cookie in (False, True):
            self.sign_in(by_cookie)
        for which in (1, 2):
            self.connect(which)
        self.ask_for_a_ticket(1)

    @rule(which=any_of)
    def connect(self, which: int) -> None:
        """Open a socket straight away."""
        asked = len(self.tickets)
        self.ask_for_a_ticket(which)
        if len(self.tickets) > asked:
            self.open_a_socket(asked)

    @rule(by_cookie=st.booleans())
    def sign_in(self, by_cookie: bool) -> None:
        self.run(self._sign_in(by_cookie=by_cookie))

    async def _sign_in(self, *, by_cookie: bool) -> None:
        instance = self.world.instance
        if not self.world.in_force[FIRST]:
            answer = await instance.http.post("/demo-tokens", json={"persona": PERSONA})
            assert answer.status_code == 401
            return
        if by_cookie:
            browser = await browse(instance, PERSONA)
            self.browsers.append(Held(Session(await current(browser)), FIRST, browser))
            return
        answer = await instance.http.post("/demo-tokens", json={"persona": PERSONA})
        session = Session(await current(Caller(instance, PERSONA, answer.json()["accessToken"])))
        self._take(session, FIRST, answer.json())

    def _take(self, session: Session, engagement: UUID, given: dict[str, Any]) -> None:
        caller = Caller(self.world.instance, PERSONA, given["accessToken"])
        self.windows.append(Held(session, engagement, caller))
        self.refreshes.append(Held(session, engagement, given["refreshToken"]))

    @rule(which=any_of)
    def refresh(self, which: int) -> None:
        """Use any refresh token, also one that was used."""
        if not self.refreshes:
            return
        fresh = [one for one in self.refreshes if self.usable(one)]
        among = fresh if fresh and which % 4 else self.refreshes
        held = among[which % len(among)]
        body = {"refreshToken": held.thing}
        answer = self.run(self.world.instance.http.post("/token-refreshes", json=body))
        assert answer.status_code == (201 if self.usable(held) else 401)
        if held.spent:
            self.end(held.session)
        elif answer.status_code == 201:
            held.spent = True
            self._take(held.session, held.engagement, answer.json())

    @rule(which=any_of, back=st.booleans())
    def switch(self, which: int, back: bool) -> None:
        held = self._pick(which)
        if held is None:
            return
        to = FIRST if back else self.world.second
        old = held.thing.cookie if isinstance(held.thing, Browser) else None
        answer = self.run(held.thing.post("/engagement-switches", {"engagementId": str(to)}))
        if not self.usable(held):
            assert answer.status_code == 401
        elif not self.world.in_force[to]:
            assert answer.status_code == 404
        elif old is None:
            assert answer.status_code == 201
            self._take(held.session, to, answer.json())
        else:
            assert answer.status_code == 201
            self._moved(held, old, to)

    def _moved(self, held: Held, old: str, to: UUID) -> None:
        """The browser got another cookie: the old one, its tickets and its sockets are worth nothing."""
        left = Browser(self.world.instance, PERSONA, "", old, held.thing.csrf)
        self.browsers.append(Held(held.session, held.engagement, left, spent=True))
        held.engagement = to
        for other in (*self.tickets, *self.sockets):
            other.spent = other.spent or other.session is held.session

    @rule(which=any_of)
    def sign_out(self, which: int) -> None:
        held = self._pick(which)
        if held is None:
            return
        cookie = getattr(held.thing, "cookie", None)
        answer = self.run(held.thing.delete("/sessions/current"))
        may = held.session.alive and not held.spent and self.world.in_force[held.engagement]
        assert answer.status_code == (204 if may else 401)
        if may:
            self.end(held.session)
        if cookie is not None:
            held.thing.cookie = cookie  # whoever copied it still has it

    @rule(which=any_of)
    def lock(self, which: int) -> None:
        held = self._pick(which)
        if held is None:
            return
        answer = self.run(held.thing.post("/sessions/current/lock"))
        may = held.session.alive and not held.spent and self.world.in_force[held.engagement]
        assert answer.status_code == (204 if may else 401)
        held.session.locked = held.session.locked or may

    @rule(which=any_of)
    def end_as_admin(self, which: int) -> None:
        held = self._pick(which)
        if held is None:
            return
        path = f"/accounts/{BY_KEY[PERSONA].account_id}/sessions/{held.session.id}"
        answer = self.run(self._as_admin(path))
        assert answer.status_code == (204 if held.session.alive else 404)
        self.end(held.session)

    async def _as_admin(self, path: str) -> httpx.Response:
        return await (await self.world.instance.as_("region-admin")).delete(path)

    @rule(first=st.booleans(), holds=st.sampled_from([True, True, True, False]))
    def change_employment(self, first: bool, holds: bool) -> None:
        self.set_in_force(FIRST if first else self.world.second, holds=holds)

    @rule(which=any_of)
    def ask_for_a_ticket(self, which: int) -> None:
        held = self._pick(which)
        if held is None:
            return
        answer = self.run(held.thing.post("/realtime-tickets"))
        assert answer.status_code == (201 if self.usable(held) else 401)
        if answer.status_code == 201:
            self.tickets.append(Held(held.session, held.engagement, answer.json()))

    @rule(which=any_of)
    def open_a_socket(self, which: int) -> None:
        if not self.tickets:
            return
        held = self.tickets[which % len(self.tickets)]
        talk = self.run(self._dial(held.thing))
        # A ticket that was refused while the engagement rested was used up as little as it was taken.
        assert (talk.closed is None) == self.usable(held)
        if talk.closed is None:
            held.spent = True
            self.sockets.append(Held(held.session, held.engagement, talk))
        else:
            self.tickets.remove(held)

    async def _dial(self, ticket: dict[str, str]) -> Talk:
        talk = await self.stack.enter_async_context(dial(ticket["url"]))
        await talk.say("authenticate", ticket=ticket["ticket"])
        try:
            await talk.hear("ready")
        except AssertionError:
            assert await talk.close_code() == 4401
        return talk

    def _pick(self, which: int) -> Held | None:
        """Return something somebody holds: mostly what works, so that stories go on, now and then what is dead."""
        held = self.credentials()
        working = [one for one in held if self.usable(one)]
        among = working if working and which % 4 else held
        return among[which % len(among)] if among else None

    # What must hold after each of it

    @invariant()
    def only_what_should_be_alive_is(self) -> None:
        self.run(self._look())

    async def _look(self) -> None:
        for held in self.credentials():
            status = (await held.thing.get("/me")).status_code
            assert status == (200 if self.usable(held) else 401), held
        await self.world.instance.app.state.live.leases.renew()
        for held in self.sockets:
            if self.usable(held):
                assert held.thing.closed is None
            else:
                held.spent = True
                assert await held.thing.close_code() == 4401


async def current(caller: Caller) -> str:
    """Return the id of the session that somebody calls in."""
    sessions = (await caller.get("/sessions")).json()["items"]
    return next(str(session["id"]) for session in sessions if session["current"])


async def live(instance: Instance, database: Urls, *, examples: int, steps: int) -> None:
    owner = await asyncpg.connect(database.superuser)
    second = uuid4()
    await owner.execute(
        "insert into engagement (id, account_id, organisation_id, role, profession, domain, valid_from)"
        " values ($1, $2, $3, 'gp', 'huisarts', 'care', '2026-02-01')",
        second,
        BY_KEY[PERSONA].account_id,
        OTHER_PRACTICE.id,
    )
    world = World(instance, owner, second, asyncio.get_running_loop())
    machine = type("Life", (Life,), {"world": world})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=chosen)
    await owner.close()


async def test_no_sequence_leaves_anything_usable_that_should_be_dead(instance: Instance, database: Urls) -> None:
    await live(instance, database, examples=6, steps=12)


@pytest.mark.nightly
async def test_no_long_sequence_does_either(instance: Instance, database: Urls) -> None:
    await live(instance, database, examples=150, steps=40)
