"""Each role that logs in can do what its work needs, and cannot make itself able to do more."""

import re

import asyncpg
import pytest

from app.cli.postgres import Urls
from tests.database.conftest import Connect, Connection, Stock

LOGINS = ("app", "appender", "stream", "sequencer", "auditor")

# Tables and columns a role may touch; whoever adds a privilege enters it here.
PRIVILEGES = {
    "app": """
        account: insert, select(id, name_sealed, status), update(name_sealed, status)
        access_grant: select
        access_request: insert, select
        account_handover: delete, insert, select
        account_registration: insert, select, update(number)
        after_death_request: insert, select
        alembic_version: select
        audit_event: insert, select
        break_glass: insert, select(account_id, citizen_told_from, confirmed_by_account_id,
            confirmed_by_engagement_id, created_at, delay_reason_sealed, ended_at, engagement_id, id, needs_second,
            reason_code, reason_sealed, remarks_sealed, review_due_at, reviewed_at, reviewed_by_account_id,
            reviewed_by_engagement_id, six_tests_sealed, started_at, valid_until, verdict)
        break_glass_case: select
        care_case: insert, select, update(status)
        case_event: insert, select, update(retracted_seq, superseded_seq)
        case_head: insert, select, update(seq)
        client: insert, select, update(dpop_required, jwks, jwks_url, rate, scopes, token_seconds)
        consent: insert, select, update(status, withdrawal_decided_at, withdrawal_decided_by, withdrawal_method,
            withdrawal_representation_id, withdrawn_at, withdrawn_by_engagement_id)
        consent_decision: insert, select
        consent_recipient: insert, select
        death: select
        disclosure: insert, select
        dossier_keeper: delete, insert, select
        emergency_access: select
        exclusion: insert, select, update(ended_at, ended_by_engagement_id)
        objection: insert, select, update(ended_at, ended_by_engagement_id)
        opening: insert, select, update(ended_at, ended_by_engagement_id)
        representation: insert, select, update(ended_at, ended_by_engagement_id)
        withholding: insert, select, update(ended_at, ended_by_engagement_id)
        engagement: insert, select, update(confirmed_until, employee_number, responsible_engagement_id, speciality,
            suspended_at, valid_until)
        external_identity: delete, insert, select
        factor_reset: insert, select
        idempotency: delete, insert, select
        passkey: delete, insert, select
        password_factor: delete, insert, select(account_id, created_at, id, used_at), update(created_at, hash,
            name_index, used_at)
        recovery_code: delete, insert, select(account_id, created_at, sheet_id, used_at)
        totp_factor: delete, insert, select, update(confirmed_at, last_step)
        workplace: insert, select(created_at, ended_at, id, name, organisation_id)
        login_session: select
        member: insert, select, update(decided_at, ended_at, history_from_seq, status)
        move: insert, select
        notice: select, update(read_at)
        organisation: insert, select, update(agb, agreement_on, agreement_reference, kvk, merged_into_id,
            municipality_code, name, oin, status, ura)
        patient: insert, select
        practice_change: insert, select
        public_task: insert, select, update(valid_until)
        realtime_ticket: delete, insert, select
        replacement: insert, select, update(cancelled_at)
        safe_contact: insert, select
        safety_report: insert, select
        safety_step: insert, select
        scim_user: delete, insert, select, update(attributes_sealed, changed_at, external_id_digest, user_name_digest)
        shown_once: delete, insert, select
        subject: insert, select
        statement: insert, select
        substitute: delete, insert, select
        team: insert, select, update(merged_into_id, name, status)
        team_member: delete, insert, select, update(valid_until)
        team_neighbourhood: delete, insert, select, update(valid_until)
        thread: insert, select
    """,
    "appender": """
        account: select(id, name_sealed)
        access_grant: select
        audit_event: insert
        case_event: insert, select(at, id, seq)
        case_head: select, update(seq)
        data_key: insert, select, update(uses)
        engagement: select
        idempotency: insert, select
        login_session: select(account_id, ended_at, engagement_id, expires_at, id, idle_until, locked_at)
        organisation: select
        thread: select
    """,
    "stream": """
        account: select(id, name_sealed)
        access_grant: select
        audit_event: insert
        browser_session: select(engagement_id, login_session_id)
        case_event: select
        case_head: select
        engagement: select
        login_session: select(account_id, ended_at, engagement_id, expires_at, id, idle_until, locked_at)
        organisation: select
        thread: select
    """,
    "sequencer": "",
    "auditor": """
        audit_event: select
    """,
}

HELD = """
    select r.rolname as role, c.relname as relation, lower(p.privilege) as privilege, null as attribute
      from pg_roles r, pg_class c,
           unnest(array['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES','TRIGGER']) as p (privilege)
     where r.rolname = any($1) and c.relnamespace = 'public'::regnamespace and c.relkind in ('r','v','m','p','f')
       and has_table_privilege(r.oid, c.oid, p.privilege)
    union all
    select r.rolname, c.relname, lower(p.privilege), a.attname
      from pg_roles r, pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped,
           unnest(array['SELECT','INSERT','UPDATE','REFERENCES']) as p (privilege)
     where r.rolname = any($1) and c.relnamespace = 'public'::regnamespace and c.relkind in ('r','v','m','p','f')
       and has_column_privilege(r.oid, c.oid, a.attnum, p.privilege)
       and not has_table_privilege(r.oid, c.oid, p.privilege)
     order by 1, 2, 3, 4
"""


def listed(held: list[asyncpg.Record], role: str) -> str:
    """Return what a role may touch, in the form of the table above."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in held:
        if row["role"] == role:
            columns = found.setdefault(row["relation"], {}).setdefault(row["privilege"], [])
            if row["attribute"]:
                columns.append(row["attribute"])
    return "\n".join(
        f"{relation}: " + ", ".join(f"{name}({', '.join(cols)})" if cols else name for name, cols in held_.items())
        for relation, held_ in sorted(found.items())
    )


@pytest.mark.parametrize("role", LOGINS)
async def test_a_role_holds_the_privileges_of_its_work_and_no_other(
    stock: Stock, connect: Connect, role: str
) -> None:
    root = await connect(stock.urls.superuser)
    written = re.sub(r",\n\s+", ", ", PRIVILEGES[role])
    expected = sorted(line.strip() for line in written.strip().splitlines())
    assert listed(await root.fetch(HELD, list(LOGINS)), role).splitlines() == expected


@pytest.mark.parametrize("role", [*LOGINS, "keeper"])
async def test_a_role_is_nothing_special(stock: Stock, connect: Connect, role: str) -> None:
    root = await connect(stock.urls.superuser)
    special = "rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication or rolinherit"
    assert await root.fetchval(f"select {special} from pg_roles where rolname = $1", role) is False
    memberships = "select count(*) from pg_auth_members where member = $1::regrole"
    assert await root.fetchval(memberships, role) == 0


@pytest.mark.parametrize("role", LOGINS)
async def test_a_role_owns_nothing(stock: Stock, connect: Connect, role: str) -> None:
    root = await connect(stock.urls.superuser)
    owned = "select count(*) from pg_shdepend where refclassid = 'pg_authid'::regclass and refobjid = $1::regrole"
    assert await root.fetchval(f"{owned} and deptype = 'o'", role) == 0


async def test_the_keeper_owns_functions_alone(stock: Stock, connect: Connect) -> None:
    root = await connect(stock.urls.superuser)
    owned = await root.fetch(
        "select distinct classid::regclass::text from pg_shdepend where deptype = 'o'"
        " and refclassid = 'pg_authid'::regclass and refobjid = 'keeper'::regrole"
    )
    assert [row[0] for row in owned] == ["pg_proc"]
    assert not await root.fetchval("select rolcanlogin from pg_roles where rolname = 'keeper'")
    assert await root.fetchval("select count(*) from pg_auth_members where roleid = 'keeper'::regrole") == 1
    assert not await root.fetchval("select has_schema_privilege('keeper', 'public', 'create')")


OTHERS = (
    "postgres",
    "owner",
    "keeper",
    *LOGINS,
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_execute_server_program",
)

FORBIDDEN = (
    "create table mine ()",
    "create schema mine",
    "create function mine() returns int language sql as 'select 1'",
    "create or replace function enter(p_session uuid, p_now timestamptz) returns void language sql as ''",
    "create view mine as select * from case_event",
    "create policy mine on case_event using (true)",
    "create rule mine as on select to case_event do instead nothing",
    "create trigger mine before insert on case_event for each row execute function refuse_change()",
    "create publication mine for table case_event",
    "drop policy app_select on case_event",
    "drop trigger audit_event_is_append_only on audit_event",
    "alter policy app_select on case_event using (true)",
    "alter table case_event disable row level security",
    "alter table case_event no force row level security",
    "alter table audit_event disable trigger all",
    "alter table case_head disable trigger grants_are_derived",
    "alter table case_event owner to app",
    "alter function enter(uuid, timestamptz) owner to app",
    "alter function enter(uuid, timestamptz) security invoker",
    "alter role app bypassrls",
    "alter database overlegtafel set row_security = off",
    "grant keeper to current_user",
    "set session_replication_role = replica",
    "truncate audit_event",
    "truncate case_event cascade",
    "copy (select 1) to program 'true'",
    "copy (select 1) to '/tmp/overlegtafel'",
    "copy case_event from '/etc/hostname'",
    "select pg_read_file('PG_VERSION')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/hostname')",
    "load 'plpgsql'",
    "lock table access_grant in access exclusive mode",
    "insert into access_grant (case_id) select id from care_case",
    "update access_grant set may_write = true",
    "update access_grant set valid_until = null",
    "delete from access_grant",
    "update ended_grant set may_write = true",
    "delete from ended_grant",
    "update case_head set access_version = access_version + 1",
    "update case_head set dirty = false",
    "delete from case_head",
    "update audit_event set outcome = 'success'",
    "delete from audit_event",
    "update case_event set body_sealed = ''",
    "update case_event set category = 'medication'",
    "update case_event set actor_account_id = null",
    "delete from case_event",
    "update thread set category = 'medication'",
    "update consent set categories = '{medication}'",
    "update consent set both_ways = true",
    "update consent set status = 'active', valid_until = null",
    "update consent_decision set yes = true",
    "delete from consent_decision",
    "update consent_recipient set recipient_id = null",
    "update member set direct_treatment = true",
    "update member set case_role = 'casemanager'",
    "update patient set account_id = null",
    "update account set bsn_link_index = null",
    "select bsn_link_index from account",
    "update engagement set role = 'gp'",
    "insert into team_member (team_id) select id from team",
    "insert into login_session (id) values (gen_random_uuid())",
    "update login_session set expires_at = 'infinity'",
    "update data_key set wrapped = ''",
    "delete from data_key",
)


@pytest.mark.parametrize("role", LOGINS)
async def test_a_role_cannot_lift_itself(stock: Stock, connect: Connect, role: str) -> None:
    one = await connect(stock.urls.role(role))
    verdicts = {statement: await verdict(one, statement) for statement in FORBIDDEN}
    assert {statement: found for statement, found in verdicts.items() if found not in REFUSALS} == {}


@pytest.mark.parametrize("role", LOGINS)
async def test_a_role_makes_no_temporary_objects_in_the_real_database(cluster: Urls, role: str) -> None:
    """The tests' copies have the privileges of any new database, so this asks the database that roles.sql made."""
    one = await asyncpg.connect(cluster.role(role))
    try:
        assert await verdict(one, "create temp table mine ()") == "42501"
        assert await verdict(one, "create function pg_temp.mine() returns int language sql as 'select 1'") == "42501"
    finally:
        await one.close()


REFUSALS = {"42501", "42883"}
"""Insufficient privilege, or no such function."""


async def verdict(one: Connection, statement: str) -> str | None:
    """Return the error code of a statement, or None if it did what it says; then undo it."""
    transaction = one.transaction()
    await transaction.start()
    try:
        await one.execute(statement)
    except asyncpg.PostgresError as refused:
        return refused.sqlstate
    finally:
        await transaction.rollback()
    return None


@pytest.mark.parametrize("role", LOGINS)
async def test_a_role_cannot_become_another(stock: Stock, connect: Connect, role: str) -> None:
    one = await connect(stock.urls.role(role))
    for other in OTHERS:
        if other == role:
            continue
        for statement in (f"set role {other}", f"set session authorization {other}"):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await one.execute(statement)
            assert refused.value.sqlstate in {"42501", "22023"}, f"{statement}: {refused.value}"
    assert await one.fetchval("select current_user || ' ' || session_user") == f"{role} {role}"


@pytest.mark.parametrize("role", LOGINS)
async def test_turning_row_level_security_off_shows_nothing(stock: Stock, connect: Connect, role: str) -> None:
    one = await connect(stock.urls.role(role))
    await one.execute("set row_security = off")
    for table in ("patient", "member", "consent", "thread", "case_event", "access_grant", "audit_event"):
        try:
            found = await one.fetchval(f"select count(*) from {table}")
        except asyncpg.InsufficientPrivilegeError:
            continue
        # Only where a role's policy is "all" is there nothing to be refused: ids for appender and stream, the log.
        assert (role, table) in UNFILTERED, f"{role} counted {found} rows of {table}"


UNFILTERED = {
    *(("appender", table) for table in ("thread", "access_grant", "case_event")),
    *(("stream", table) for table in ("thread", "access_grant", "case_event")),
    ("auditor", "audit_event"),
}


async def test_statistics_tell_no_role_what_is_in_protected_tables(stock: Stock, connect: Connect) -> None:
    root = await connect(stock.urls.superuser)
    await root.execute("analyze")
    app = await connect(stock.urls.app)
    protected = "select relname from pg_class where relrowsecurity"
    assert await root.fetchval(f"select count(*) from pg_stats where tablename in ({protected})")
    assert await app.fetchval(f"select count(*) from pg_stats where tablename in ({protected})") == 0
