"""Who is looked through: nobody without a context, and nobody in the transaction after."""

from collections.abc import Mapping
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.core.db import open_database
from app.core.settings import Settings
from app.identity.demo import BY_KEY
from tests.database.conftest import Connect, Connection, Stock, acting

FENCED = (
    *("patient", "care_case", "subject", "member", "public_task", "consent", "consent_recipient", "access_grant"),
    "consent_decision",
    *("thread", "case_event", "login_session", "idempotency", "audit_event"),
)
NAMES = ("account", "engagement", "organisation", "role_class", "instant", "door")


async def counts(connection: Connection) -> dict[str, int]:
    """Return how many rows of each fenced table show."""
    return {table: await connection.fetchval(f"select count(*) from {table}") for table in FENCED}


async def put(connection: Connection, context: Mapping[str, str]) -> None:
    """Set the context of this transaction by hand."""
    for name, value in context.items():
        await connection.execute("select set_config($1, $2, true)", f"app.{name}", value)


NOTHING = dict.fromkeys(FENCED, 0)


async def test_there_is_something_to_see(stock: Stock, connect: Connect) -> None:
    """The controls of all that follows: the rows are there, and a member sees those of the case."""
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    everything = await counts(root)
    assert {table for table, count in everything.items() if count == 0} <= {"public_task"}
    async with acting(stock, root, app, "gp"):
        seen = await counts(app)
    # What an opener sees none of: tasks, for there are none, and the log.
    assert {table for table, count in seen.items() if count == 0} == {"public_task", "audit_event"}


@pytest.mark.parametrize(
    "context",
    [
        {},
        dict.fromkeys(NAMES, ""),
        {name: str(uuid4()) for name in ("account", "engagement", "organisation")}
        | {"role_class": "gp", "instant": "2026-06-01T09:00:00Z"},
        {"role_class": "citizen"},
        {"role_class": "no such role", "door": "contributions"},
        {"door": "contributions"},
        {"instant": "2026-06-01T09:00:00Z"},
        {"instant": "infinity"},
    ],
    ids=lambda context: " ".join(context) or "unset",
)
async def test_without_a_person_there_are_no_rows(stock: Stock, connect: Connect, context: dict[str, str]) -> None:
    app = await connect(stock.urls.app)
    async with app.transaction():
        await put(app, context)
        assert await counts(app) == NOTHING


@pytest.mark.parametrize("name", ["account", "engagement", "organisation", "instant"])
@pytest.mark.parametrize("value", ["x", "null", "0", "' or true --", " ", "%", "{}"])
async def test_a_garbled_context_is_an_error_or_nobody(stock: Stock, connect: Connect, name: str, value: str) -> None:
    app = await connect(stock.urls.app)
    for table in FENCED:
        async with app.transaction():
            await put(app, {name: value})
            try:
                assert await app.fetchval(f"select count(*) from {table}") == 0, table
            except asyncpg.DataError:
                await app.execute("rollback; begin")


@pytest.mark.parametrize("role", ["appender", "stream", "auditor"])
async def test_a_context_lends_the_other_roles_nothing(stock: Stock, connect: Connect, role: str) -> None:
    root, one = await connect(stock.urls.superuser), await connect(stock.urls.role(role))
    gp = BY_KEY["gp"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await one.fetchrow("select * from enter($1, null)", await stock.session_of(root, "gp"))
    async with one.transaction():
        await put(one, {"account": str(gp.account_id), "engagement": str(gp.engagement_id), "role_class": "auditor"})
        for table in ("patient", "member", "consent", "care_case"):
            assert await one.fetchval("select has_table_privilege(current_user, $1, 'select')", table) is False, table


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_the_next_transaction_of_a_pooled_connection_is_nobody_s(
    stock: Stock, connect: Connect, end: str
) -> None:
    """One physical connection, through the service's own pool; statements are prepared in both transactions."""
    root = await connect(stock.urls.superuser)
    session = await stock.session_of(root, "gp")
    database = await open_database(
        Settings(
            database_url=SecretStr(stock.urls.app),
            appender_url=SecretStr(stock.urls.appender),
            stream_url=SecretStr(stock.urls.stream),
        )
    )
    try:
        for _ in range(3):
            async with database.session() as db:
                await db.execute(text("select * from enter(:session, null)"), {"session": session})
                assert (await db.execute(text("select count(*) from case_event"))).scalar_one() > 0
                pid = (await db.execute(text("select pg_backend_pid()"))).scalar_one()
                await (db.commit() if end == "commit" else db.rollback())
            async with database.session() as db:
                assert (await db.execute(text("select pg_backend_pid()"))).scalar_one() == pid
                for table in FENCED:
                    assert (await db.execute(text(f"select count(*) from {table}"))).scalar_one() == 0, table
                await db.rollback()
    finally:
        await database.close()


async def test_a_session_that_ended_opens_nothing(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    session = await own_stock.session_of(root, "gp")
    await root.execute("update login_session set ended_at = clock_timestamp() where id = $1", session)
    async with app.transaction():
        assert await app.fetchrow("select * from enter($1, null)", session) is None
        assert await counts(app) == NOTHING


async def test_failing_to_enter_does_not_leave_somebody_else_in(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    async with acting(stock, root, app, "gp"):
        assert await app.fetchval("select count(*) from case_event") > 0
        assert await app.fetchrow("select * from enter($1, null)", uuid4()) is None
        assert await counts(app) == NOTHING


@pytest.mark.parametrize(
    "spoil",
    [
        "update engagement set valid_until = clock_timestamp() where id = $1",
        "update login_session set expires_at = created_at + interval '1 microsecond' where engagement_id = $1",
        "update login_session s set account_id = (select account_id from engagement e where e.id <> $1 limit 1)",
    ],
    ids=["engagement ended", "session ran out", "engagement of somebody else"],
)
async def test_a_session_opens_one_s_own_engagement_in_its_time(
    own_stock: Stock, connect: Connect, spoil: str
) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    session = await own_stock.session_of(root, "gp")
    async with root.transaction():
        await root.execute(spoil, BY_KEY["gp"].engagement_id)
        await root.execute("update case_head set dirty = false")  # as whoever owns everything may
    async with app.transaction():
        assert await app.fetchrow("select * from enter($1, null)", session) is None


async def test_temporary_objects_do_not_shadow_what_a_crossing_function_reads(stock: Stock, connect: Connect) -> None:
    """A copy of the template lets everybody make temporary objects, as a careless administrator's database would."""
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    gp = BY_KEY["gp"]
    async with acting(stock, root, app, "gp-other"):
        me = BY_KEY["gp-other"]
        await app.execute("create temp table member as select * from public.member")
        await app.execute("create temp table care_case as select * from public.care_case")
        await app.execute("create temp table access_grant as select * from public.access_grant")
        await app.execute(
            "insert into pg_temp.member (case_id, id, engagement_id, status, case_role)"
            " values ($1, $2, $3, 'accepted', 'casemanager')",
            *(stock.case_id, uuid4(), me.engagement_id),
        )
        await app.execute(
            "insert into pg_temp.care_case (id, opened_by_engagement_id) values ($1, $2)",
            stock.case_id,
            me.engagement_id,
        )
        await app.execute(
            "create function pg_temp.current_engagement() returns uuid language sql as $f$ select"
            f" '{gp.engagement_id}'::uuid $f$"
        )
        for question in ("seated", "opened_by_me", "manages", "oversees"):
            assert await app.fetchval(f"select public.{question}($1)", stock.case_id) is False, question
        assert await app.fetchval("select count(*) from public.case_event") == 0


async def test_operators_and_functions_of_one_s_own_do_not_run_inside_policies(
    stock: Stock, connect: Connect
) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    async with acting(stock, root, app, "gp-other"):
        await app.execute("create function pg_temp.yes(uuid, uuid) returns boolean language sql as 'select true'")
        await app.execute("create operator pg_temp.= (leftarg = uuid, rightarg = uuid, function = pg_temp.yes)")
        await app.execute("set local search_path = pg_temp, public, pg_catalog")
        assert await app.fetchval("select count(*) from public.case_event") == 0
        assert await app.fetchval("select public.seated($1)", stock.case_id) is False


async def test_a_leaky_function_in_a_condition_sees_no_hidden_row(stock: Stock, connect: Connect) -> None:
    """The planner may run a cheap condition before a policy only if it cannot tell what it saw."""
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    heard: list[str] = []
    app.add_log_listener(lambda _, message: heard.append(str(message)))
    tell = (
        "create function pg_temp.tell(text) returns boolean language plpgsql cost 0.0000001 as"
        " $f$ begin raise notice 'saw %', $1; return true; end $f$"
    )
    columns = (
        ("category", "thread"),
        ("text_version", "consent"),
        ("neighbourhood", "patient"),
        ("type", "case_event"),
    )
    async with acting(stock, root, app, "gp-other"):
        await app.execute(tell)
        for column, table in columns:
            assert await app.fetchval(f"select count(*) from {table} where pg_temp.tell({column})") == 0
    assert heard == []
    async with acting(stock, root, app, "gp"):
        await app.execute(tell)
        await app.fetchval("select count(*) from thread where pg_temp.tell(category)")
    assert any("medication" in message for message in heard), "the spy works"
