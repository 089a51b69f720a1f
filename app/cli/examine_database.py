"""The doctor on the database: its log-ins, version, tables, roles and the fences between them, and its durability."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg

from app.cli.examine_machine import clock_drift
from app.cli.findings import Finding, error, ok, warning
from app.core.db import FAILURES, POOL_OVERFLOW, POOL_SIZE, STATEMENT_TIMEOUT_MS, connect
from app.core.logins import refuse_unsafe_login
from app.core.settings import Settings, SettingsError, transport_is_safe

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

PART = "database"
OLDEST = 15
SERVING = ("app", "appender", "stream")
ROLES = ("owner", "keeper", *SERVING, "sequencer", "auditor")
# Of the pools of the appender and the stream, and the listener, beside those of role app.
OTHER_CONNECTIONS = 9
RUN_ROLES_SQL = "Run deploy/roles.sql again, as a superuser."

# The directory is written under policies, but the owner's commands fill it: policies are on and not forced.
NOT_FORCED = frozenset(
    {"organisation", "account", "account_registration", "engagement", "substitute", "team", "team_member"}
    | {"team_neighbourhood"}
)

# A table with policies that are off is a fence that somebody took down.
TABLES = """
select c.relname as name, pg_get_userbyid(c.relowner) as owner, c.relrowsecurity as fenced,
       c.relforcerowsecurity as forced, exists (select from pg_policy p where p.polrelid = c.oid) as has_policies,
       exists (select from aclexplode(c.relacl) a where a.grantee = 0) as open_to_all
  from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1
"""
ROLE_FACTS = """
select r.rolname as name, r.rolcanlogin as can_login,
       r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication as mighty,
       array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
              where m.member = r.oid order by 1) as member_of,
       exists (select from pg_class c where c.relowner = r.oid) as owns_tables
  from pg_roles r where r.rolname = any ($1)
"""
SERVER = ("fsync", "synchronous_commit", "full_page_writes", "log_statement", "max_connections")
SERVER_FACTS = """
select name, current_setting(name) as value from unnest($1::text[]) as name
union all select 'parameters_logged', (current_setting('log_statement') in ('mod', 'all')
    and current_setting('log_parameter_max_length') <> '0'
    or current_setting('log_parameter_max_length_on_error') <> '0')::text
"""


@dataclass(slots=True)
class Examined:
    """What was found, and which wrapping keys the stored data keys name; None when that could not be asked."""

    findings: list[Finding] = field(default_factory=list)
    wrapping_keys: set[UUID] | None = None


async def examine(settings: Settings, head: str) -> Examined:
    """Look at the database behind the settings; ``head`` is the newest revision of this version."""
    found = Examined()
    if settings.database_url is None:
        found.findings.append(ok(PART, "None is configured: the command demo runs and looks after its own."))
        return found
    try:
        connection = await connect(settings.role_url("app"))
    except (*FAILURES, ValueError) as fault:
        found.findings.append(
            error(PART, f"It cannot be reached ({type(fault).__name__}).", "See OVERLEGTAFEL_DATABASE_URL.")
        )
        return found
    try:
        found.findings += [ok(PART, "It answers.")]
        found.findings += await _as_app(connection, settings, head)
    except FAILURES as fault:
        found.findings.append(error(PART, f"A question failed ({type(fault).__name__}).", "Look at its log."))
    finally:
        await connection.close()
    found.findings += _transports(settings)
    found.findings += [await _login(settings, role) for role in SERVING]
    found.wrapping_keys = await _wrapping_keys(settings)
    return found


async def _as_app(connection: Connection, settings: Settings, head: str) -> list[Finding]:
    return [
        _version(connection.get_server_version().major),
        await _drift(connection),
        await _migrations(connection, head),
        *roles([dict(row) for row in await connection.fetch(ROLE_FACTS, ROLES)]),
        *fences([dict(row) for row in await connection.fetch(TABLES)]),
        *server({row["name"]: row["value"] for row in await connection.fetch(SERVER_FACTS, SERVER)}, settings),
    ]


def _version(major: int) -> Finding:
    if major < OLDEST:
        return error(PART, f"It is PostgreSQL {major}.", f"The oldest that serves is {OLDEST}.")
    return ok(PART, f"It is PostgreSQL {major}.")


async def _drift(connection: Connection) -> Finding:
    before = datetime.now(UTC)
    theirs: datetime = await connection.fetchval("select clock_timestamp()")
    after = datetime.now(UTC)
    return clock_drift(theirs - before - (after - before) / 2, after - before)


async def _migrations(connection: Connection, head: str) -> Finding:
    there = await connection.fetchval("select to_regclass('public.alembic_version') is not null")
    revision = await connection.fetchval("select version_num from alembic_version") if there else None
    if revision is None:
        return error(PART, "It has no tables yet.", "Run the command migrate.")
    if revision != head:
        return error(
            PART,
            f"Its tables are of revision {revision}, this version's of {head}.",
            "Run the command migrate, or the version that belongs to these tables.",
        )
    return ok(PART, f"Its tables are of revision {revision}, as this version's.")


def roles(facts: Sequence[Mapping[str, object]]) -> Iterator[Finding]:
    """Say what is wrong with the roles, from ``ROLE_FACTS``."""
    known = {str(row["name"]): row for row in facts}
    missing = [name for name in ROLES if name not in known]
    if missing:
        yield error(PART, f"Role {', '.join(missing)} is missing.", RUN_ROLES_SQL)
    wrong = [f"{name} {fault}" for name, row in sorted(known.items()) for fault in _role_faults(name, row)]
    for one in wrong:
        yield error(PART, f"Role {one}.", f"Take that away. {RUN_ROLES_SQL}")
    if not missing and not wrong:
        yield ok(PART, f"Its {len(ROLES)} roles are there, each without any right beyond its own.")


def _role_faults(name: str, row: Mapping[str, object]) -> Iterator[str]:
    if row["mighty"]:
        yield "has SUPERUSER, BYPASSRLS, CREATEROLE, CREATEDB or REPLICATION"
    if row["can_login"] == (name == "keeper"):
        yield "can log in" if row["can_login"] else "cannot log in"
    if row["owns_tables"] and name != "owner":
        yield "owns a table"
    if row["member_of"] != (["keeper"] if name == "owner" else []):
        yield "is a member of another role" if row["member_of"] else "is not a member of keeper"


def fences(facts: Sequence[Mapping[str, object]]) -> Iterator[Finding]:
    """Say where row-level security is off, or the tables are not the owner's, from ``TABLES``."""
    wrong = {
        "Row-level security is off on": [row["name"] for row in facts if row["has_policies"] and not row["fenced"]],
        "Row-level security is not forced on": [
            row["name"] for row in facts if row["fenced"] and not row["forced"] and row["name"] not in NOT_FORCED
        ],
        "Not the owner's is": [row["name"] for row in facts if row["owner"] != "owner"],
        "Open to every role is": [row["name"] for row in facts if row["open_to_all"]],
    }
    for fault, names in wrong.items():
        if names:
            yield error(
                PART,
                f"{fault} {', '.join(map(str, names))}.",
                "Put back what the migrations made, and find out who changed it and why.",
            )
    fenced = sum(bool(row["forced"]) for row in facts)
    if fenced and not any(wrong.values()):
        yield ok(PART, f"Row-level security is forced on {fenced} tables and on in the directory.")
    elif not fenced and facts:
        yield error(PART, "Row-level security is forced on no table.", "These are not the tables of this service.")


def server(facts: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Say what of the server's own settings endangers what is written, or copies it to a log."""
    unsafe = [name for name in ("fsync", "synchronous_commit", "full_page_writes") if facts[name] == "off"]
    if unsafe:
        yield error(
            PART, f"{', '.join(unsafe)} is off.", "Switch it on: what was acknowledged would be lost with the power."
        )
    if facts["parameters_logged"] == "true":
        yield warning(
            PART,
            "The server's log takes in the parameters of statements.",
            "Set log_statement to none and log_parameter_max_length_on_error to 0.",
        )
    needed = settings.workers * (POOL_SIZE + POOL_OVERFLOW + OTHER_CONNECTIONS)
    if needed > int(facts["max_connections"]):
        yield warning(
            PART,
            f"{settings.workers} workers may want {needed} connections of {facts['max_connections']} that there are.",
            "Raise max_connections, or run fewer workers.",
        )


def _transports(settings: Settings) -> Iterator[Finding]:
    bare = [role for role in SERVING if not transport_is_safe(settings.role_url(role))]
    if bare:
        yield error(
            PART,
            f"The connection of {', '.join(bare)} is neither local nor verified.",
            "Add sslmode=verify-full and sslrootcert to its URL.",
        )
    else:
        yield ok(PART, "Every connection is local or over verified TLS.")


async def _login(settings: Settings, role: str) -> Finding:
    try:
        await refuse_unsafe_login(settings.role_url(role))
    except SettingsError as fault:
        return error(PART, f"As {role}: {fault}", "See the URLs in the settings.")
    return ok(PART, f"The log-in for {role} is bound by row-level security.")


async def _wrapping_keys(settings: Settings) -> set[UUID] | None:
    """Return the wrapping keys that data keys name, asked as the appender, who alone may read those."""
    try:
        connection = await connect(settings.role_url("appender"))
    except (*FAILURES, ValueError):
        return None
    try:
        rows = await connection.fetch("select distinct kek_id from data_key", timeout=STATEMENT_TIMEOUT_MS / 1000)
        return {UUID(int=row["kek_id"].int) for row in rows}
    except FAILURES:
        return None
    finally:
        await connection.close()
