"""A region and a household of its own for the agreement test: people of every kind, and rows changed one by one.

Inputs are written past row-level security, so that states come up which no use case makes (a treating social worker,
a task under another law, a team at the table); what derives from them is the real code, under role ``app``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID
from uuid import uuid4 as random_uuid

import asyncpg
from asyncpg.pgproto import pgproto
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import StaticPool

from app.cli.postgres import Urls
from app.core.ids import CaseId
from app.entitlement.derivation import rederive
from tests.entitlement.naive import CATEGORIES, DOMAINS, words

START = datetime(2026, 6, 1, 9, tzinfo=UTC)
LAYERS = (0, 1000, 2000)
"""Each cell has an event in each layer of the stream; a bound between two of them hides the older ones."""
BOUNDS = (0, 1000, 2000, 3000)
OPENED = (1, 1001, 2001, 1)
"""Where the threads were opened, in turn: before or after the consents that answer in them."""
PARTICIPATION = "select set_config('overlegtafel.platform_consent', $1, $2)"
AFRESH = (
    "delete from team_member",
    "delete from replacement",
    "delete from access_grant",
    "update member set status = 'ended', ended_at = invited_at where status in ('invited', 'accepted')",
    "update engagement set suspended_at = null, confirmed_until = null",
    "update organisation set status = 'active'",
    "update team set status = 'active'",
    "update account set status = 'active'",
)

# key: role, profession, domain, law, organisation, months the engagement lasts
CAST: dict[str, tuple[str, str | None, str | None, str | None, float | None]] = {
    "gp": ("gp", "care", None, "practice", None),
    "poh": ("poh", "care", None, "practice", None),
    "locum": ("gp", "care", None, "locums", 48),
    "nurse": ("district_nurse", "care", None, "nursing", None),
    "specialist": ("specialist", "care", None, "hospital", None),
    "youth-specialist": ("specialist", "youth", None, "hospital", None),
    "social-worker": ("social_team", "social", "wmo2015", "municipality", None),
    "social-worker-2": ("social_team", "social", "wmo2015", "municipality", None),
    "youth-consultant": ("social_team", "social", "jeugdwet", "municipality", None),
    "carer": ("informal_carer", None, None, None, None),
    "volunteer": ("volunteer", "social", None, "welfare", None),
    "citizen": ("citizen", None, None, None, None),
    "son": ("citizen", None, None, None, None),
    "mother": ("representative", None, None, None, None),
}
ORGANISATIONS = {
    "practice": "gp_practice",
    "locums": "gp_practice",
    "nursing": "nursing",
    "hospital": "hospital",
    "municipality": "municipality",
    "welfare": "welfare",
    "elsewhere": "gp_practice",
}
SPECIALITIES = {"poh": "somatiek"}
TEAMS = ("nazareth", "limmel")


def uuid4() -> UUID:
    """Return a random id of the driver's kind, which is looked up in no time, as happens millions of times."""
    return pgproto.UUID(random_uuid().bytes)


@dataclass(frozen=True)
class Person:
    """Somebody of the cast, signed in."""

    key: str
    account_id: UUID
    engagement_id: UUID
    session_id: UUID
    role: str


@dataclass(frozen=True)
class Probe:
    """One cell of one subject, with a thread in it."""

    patient_id: UUID
    category: str
    domain: str
    thread_id: UUID
    opened_seq: int


@dataclass
class Region:
    """Connections, people and one case."""

    root: "asyncpg.Connection[asyncpg.Record]"
    app: "asyncpg.Connection[asyncpg.Record]"
    appender: "asyncpg.Connection[asyncpg.Record]"
    stream: "asyncpg.Connection[asyncpg.Record]"
    engine: AsyncEngine
    people: dict[str, Person]
    clerk: Person
    organisations: dict[str, UUID]
    teams: dict[str, UUID]
    case_id: UUID = field(default_factory=uuid4)
    patients: list[UUID] = field(default_factory=list)
    elsewhere: UUID = field(default_factory=uuid4)
    known_as: list[UUID] = field(default_factory=list)
    """The same two people as another organisation registered them, in a case ``elsewhere``."""
    probes: list[Probe] = field(default_factory=list)
    now: datetime = START
    participation_required: bool = False

    async def require_participation(self, required: bool) -> None:
        """Set what the deployment asks, on the connection that reads the inputs; ``change`` sets it on its own."""
        self.participation_required = required
        await self.root.execute(PARTICIPATION, self.asked, False)

    @property
    def asked(self) -> str:
        """What the deployment asks of citizens, as its connections say it."""
        return "required" if self.participation_required else "informed"

    async def close(self) -> None:
        """Hang up."""
        await self.engine.dispose()
        for connection in (self.root, self.app, self.appender, self.stream):
            await connection.close()

    async def change(
        self, work: "Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[object]]", *, everywhere: bool = False
    ) -> None:
        """Change inputs and derive, in one transaction, as a use case does; perhaps those of the other case too."""
        async with session_on(self.engine) as (raw, db):
            await raw.fetchval("select seq from case_head where case_id = $1 for update", self.case_id)
            await work(raw)
            await raw.execute(PARTICIPATION, self.asked, True)
            await raw.execute("set local role app")
            await raw.fetch("select * from enter($1, $2)", self.clerk.session_id, self.now)
            await rederive(db, CaseId(self.case_id), now=self.now)
            if everywhere:
                await rederive(db, CaseId(self.elsewhere), now=self.now)


@asynccontextmanager
async def session_on(engine: AsyncEngine) -> "AsyncIterator[tuple[asyncpg.Connection[asyncpg.Record], AsyncSession]]":
    """Yield one transaction twice: as the bare connection, and as what the service works with."""
    async with engine.connect() as connection, connection.begin():
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await connection.exec_driver_sql("select 1")  # the driver opens its transaction with the first statement
        async with AsyncSession(connection, join_transaction_mode="conditional_savepoint") as db:
            yield raw, db


def engine_of(url: str) -> AsyncEngine:
    """Return an engine of one connection, as nothing but this URL says; a new one would learn every table again."""
    return create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=StaticPool
    )


async def open_region(urls: Urls) -> Region:
    """Fill an empty region with the cast, everybody signed in for years."""
    root = await asyncpg.connect(urls.superuser)
    organisations = {key: uuid4() for key in ORGANISATIONS}
    await root.executemany(
        "insert into organisation (id, kind, name) values ($1, $2, $3)",
        [(organisations[key], kind, key) for key, kind in ORGANISATIONS.items()],
    )
    people = {key: await _person(root, key, organisations, {}) for key in CAST if key == "gp"}
    people |= {key: await _person(root, key, organisations, people) for key in CAST if key != "gp"}
    clerk = await _person(root, "clerk", organisations, {})
    teams = {key: uuid4() for key in TEAMS}
    await root.executemany("insert into team (id, name) values ($1, $2)", [(teams[key], key) for key in TEAMS])
    await root.execute(PROBES)
    return Region(
        root=root,
        app=await asyncpg.connect(urls.app),
        appender=await asyncpg.connect(urls.appender),
        stream=await asyncpg.connect(urls.stream),
        engine=engine_of(urls.superuser),
        people=people,
        clerk=clerk,
        organisations=organisations,
        teams=teams,
    )


async def _person(
    root: "asyncpg.Connection[asyncpg.Record]", key: str, organisations: dict[str, UUID], others: dict[str, Person]
) -> Person:
    role, domain, law, organisation, lasts = CAST.get(key, ("region_admin", None, None, None, None))
    person = Person(key, uuid4(), uuid4(), uuid4(), role)
    await root.execute(
        "insert into account (id, name_sealed, created_at) values ($1, $2, $3)",
        person.account_id,
        key.encode(),
        START - timedelta(days=365),
    )
    await root.execute(
        "insert into engagement (id, account_id, organisation_id, role, profession, domain, law,"
        " responsible_engagement_id, valid_from, valid_until, speciality)"
        " values ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10)",
        person.engagement_id,
        person.account_id,
        organisations[organisation] if organisation else None,
        role,
        domain,
        law,
        others["gp"].engagement_id if role == "poh" else None,
        START - timedelta(days=365),
        START + timedelta(hours=lasts) if lasts else None,
        SPECIALITIES.get(key),
    )
    await root.execute(
        "insert into login_session (id, account_id, engagement_id, acr, authenticated_at, created_at, expires_at)"
        " values ($1, $2, $3, 'demo', $4, $4, $5)",
        person.session_id,
        person.account_id,
        person.engagement_id,
        START - timedelta(days=1),
        START + timedelta(days=3650),
    )
    return person


async def open_household(region: Region) -> None:
    """Open a fresh case about a mother and her son, with a thread and three events in every cell of both."""
    root, gp = region.root, region.people["gp"]
    by = (gp.account_id, gp.engagement_id, START)
    region.case_id, region.now = uuid4(), START
    await region.require_participation(False)
    region.patients, region.elsewhere, region.known_as = [uuid4(), uuid4()], uuid4(), [uuid4(), uuid4()]
    async with root.transaction():
        await root.execute("set local session_replication_role = replica")  # what was before is nobody's business now
        for statement in AFRESH:
            await root.execute(statement)
        await root.execute("set local session_replication_role = origin")
        await root.executemany(
            "insert into patient (id, organisation_id, name_sealed, name_index, bsn_sealed, bsn_organisation_index,"
            " bsn_link_index, birth_date_sealed, neighbourhood, account_id, registered_by_account_id, registered_at)"
            " values ($1, $2, 'x', 'x', 'x', $3, $3, 'x', 'nazareth', $4, $5, $6)",
            [
                (patient, region.organisations[registered], number, account, gp.account_id, START)
                for registered, patients in (("elsewhere", region.patients), ("hospital", region.known_as))
                for patient, number, account in zip(
                    patients,
                    [one.bytes for one in region.patients],
                    [region.people[key].account_id for key in ("citizen", "son")],
                    strict=True,
                )
            ],
        )
        await root.executemany(
            "insert into care_case (id, kind, status, organisation_id, domain, opened_by_account_id,"
            " opened_by_engagement_id, opened_at) values ($1, 'household', 'open', $2, 'care', $3, $4, $5)",
            [
                (case, region.organisations[whose], gp.account_id, gp.engagement_id, START)
                for case, whose in ((region.case_id, "practice"), (region.elsewhere, "hospital"))
            ],
        )
        await root.execute(
            "insert into case_head (case_id, seq) values ($1, 3000), ($2, 3000)", region.case_id, region.elsewhere
        )
        region.probes = [
            Probe(patient, category, domain, uuid4(), OPENED[number % len(OPENED)])
            for number, (patient, category, domain) in enumerate(product(region.patients, CATEGORIES, DOMAINS))
        ]
        await root.copy_records_to_table(
            "thread",
            columns=words(
                "case_id id patient_id category domain opened_seq"
                " opened_by_account_id opened_by_engagement_id opened_at"
            ),
            records=[
                (region.case_id, p.thread_id, p.patient_id, p.category, p.domain, p.opened_seq, *by)
                for p in region.probes
            ],
        )
        await root.copy_records_to_table(
            "case_event",
            columns=words("case_id seq id type at thread_id patient_id category domain kind body_sealed"),
            records=[
                (
                    *(region.case_id, layer + number, uuid4(), "message.posted", START, p.thread_id, p.patient_id),
                    *(p.category, p.domain, "message", b"sealed"),
                )
                for layer in LAYERS
                for number, p in enumerate(region.probes, start=1)
            ],
        )
    await region.change(_subjects(region), everywhere=True)


def _subjects(region: Region) -> "Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[object]]":
    async def work(raw: "asyncpg.Connection[asyncpg.Record]") -> None:
        await raw.executemany(
            "insert into subject (case_id, patient_id) values ($1, $2)",
            [
                *((region.case_id, patient) for patient in region.patients),
                *((region.elsewhere, patient) for patient in region.known_as),
            ],
        )

    return work


# What a state looks like to each fence

# Try to insert into cells as whoever is entered, and take each row back; return the positions that went in. The first
# ``p_sure`` are tried at once, and one by one where that fails: a statement for each costs more than all the rest.
PROBES = """
create function probe_threads(p_case uuid, p_sure integer, p_patient uuid[], p_category text[], p_domain text[])
returns integer[] language plpgsql as $$
declare taken integer[] := '{}'; v_next integer := 1;
begin
    begin
        insert into thread (case_id, id, patient_id, category, domain, opened_seq, opened_by_account_id,
                            opened_by_engagement_id, opened_at)
        select p_case, gen_random_uuid(), p_patient[i], p_category[i], p_domain[i], 9000, current_account(),
               current_engagement(), current_instant() from generate_series(1, p_sure) as i;
        raise exception using errcode = 'P0001';
    exception when insufficient_privilege then null; when raise_exception then
        taken := array(select generate_series(1, p_sure));
        v_next := p_sure + 1;
    end;
    for i in v_next .. cardinality(p_patient) loop
        begin
            insert into thread (case_id, id, patient_id, category, domain, opened_seq, opened_by_account_id,
                                opened_by_engagement_id, opened_at)
            values (p_case, gen_random_uuid(), p_patient[i], p_category[i], p_domain[i], 9000, current_account(),
                    current_engagement(), current_instant());
            raise exception using errcode = 'P0001';
        exception when insufficient_privilege then null; when raise_exception then taken := taken || i;
        end;
    end loop;
    return taken;
end
$$;
create function probe_events(p_case uuid, p_sure integer, p_patient uuid[], p_category text[], p_domain text[],
                             p_thread uuid[], p_type text, p_account uuid, p_engagement uuid, p_at timestamptz)
returns integer[] language plpgsql as $$
declare taken integer[] := '{}'; v_next integer := 1;
begin
    begin
        insert into case_event (case_id, seq, id, type, at, actor_account_id, actor_engagement_id, thread_id,
                                patient_id, category, domain, kind, body_sealed)
        select p_case, 9000 + i, gen_random_uuid(), p_type, p_at, p_account, p_engagement, p_thread[i], p_patient[i],
               p_category[i], p_domain[i], 'message', 'sealed' from generate_series(1, p_sure) as i;
        raise exception using errcode = 'P0001';
    exception when insufficient_privilege then null; when raise_exception then
        taken := array(select generate_series(1, p_sure));
        v_next := p_sure + 1;
    end;
    for i in v_next .. cardinality(p_patient) loop
        begin
            insert into case_event (case_id, seq, id, type, at, actor_account_id, actor_engagement_id, thread_id,
                                    patient_id, category, domain, kind, body_sealed)
            values (p_case, 9000, gen_random_uuid(), p_type, p_at, p_account, p_engagement, p_thread[i], p_patient[i],
                    p_category[i], p_domain[i], 'message', 'sealed');
            raise exception using errcode = 'P0001';
        exception when insufficient_privilege then null; when raise_exception then taken := taken || i;
        end;
    end loop;
    return taken;
end
$$;
"""


@dataclass
class Seen:
    """What row-level security shows one engagement."""

    threads: set[UUID]
    events: set[int]
    patients: set[UUID]
    members: set[UUID]
    standing: Any


async def sees(region: Region, person: Person) -> Seen | None:
    """Return what somebody sees through the session, as role ``app``; None when the session does not open."""
    app = region.app
    transaction = app.transaction()
    await transaction.start()
    try:
        if await app.fetchrow("select * from enter($1, $2)", person.session_id, region.now) is None:
            return None
        case, both = region.case_id, region.patients
        return Seen(
            threads={row[0] for row in await app.fetch("select id from thread where case_id = $1", case)},
            events={row[0] for row in await app.fetch("select seq from case_event where case_id = $1", case)},
            patients={row[0] for row in await app.fetch("select id from patient where id = any($1)", both)},
            members={row[0] for row in await app.fetch("select id from member where case_id = $1", case)},
            standing=await app.fetchval("select standing_of('case', $1)", case),
        )
    finally:
        await transaction.rollback()


@dataclass(frozen=True)
class Tried:
    """Cells to write in: those of which the page says that it is allowed, before the others."""

    sure: list[Probe]
    others: list[Probe]

    @property
    def all(self) -> list[Probe]:
        """Every cell, in order."""
        return [*self.sure, *self.others]

    @property
    def cells(self) -> tuple[int, list[UUID], list[str], list[str]]:
        """What both functions take."""
        return (
            len(self.sure),
            [p.patient_id for p in self.all],
            [p.category for p in self.all],
            [p.domain for p in self.all],
        )

    @property
    def expected(self) -> set[int]:
        """The positions that should go in."""
        return set(range(1, len(self.sure) + 1))


async def writes(region: Region, person: Person, opening: Tried, posting: Tried) -> tuple[set[int], ...]:
    """Return in which cells somebody may open a thread, write as ``app``, and be written for by ``appender``."""
    threads = [p.thread_id for p in posting.all]
    me = (person.account_id, person.engagement_id, region.now)
    transaction = region.app.transaction()
    await transaction.start()
    try:
        entered = await region.app.fetchrow("select * from enter($1, $2)", person.session_id, region.now)
        opened = corrected = []
        if entered is not None:
            opened = await region.app.fetchval(
                "select probe_threads($1, $2, $3, $4, $5)", region.case_id, *opening.cells
            )
            corrected = await region.app.fetchval(
                _PROBE_EVENTS, region.case_id, *posting.cells, threads, "message.corrected", *me
            )
    finally:
        await transaction.rollback()
    posted = await region.appender.fetchval(
        _PROBE_EVENTS, region.case_id, *posting.cells, threads, "message.posted", *me
    )
    return set(opened), set(corrected), set(posted)


_PROBE_EVENTS = "select probe_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"


async def audiences(region: Region) -> dict[int, set[UUID]]:
    """Return who role ``stream`` would let hear each event of the case."""
    transaction = region.stream.transaction()
    await transaction.start()
    try:
        rows = await region.stream.fetch(
            "select seq, audience from read_stream('test', $1, 0, 10000, $2, 'test', $3)",
            region.case_id,
            region.now,
            [person.engagement_id for person in region.people.values()],
        )
        return {row["seq"]: set(row["audience"] or ()) for row in rows}
    finally:
        await transaction.rollback()
