"""The check that a serving process logs in to PostgreSQL without any right to get round row-level security."""

import asyncpg

from app.core.db import connect
from app.core.settings import SettingsError

FORBIDDEN_MEMBERSHIPS = (
    *("owner", "keeper", "app", "appender", "stream", "sequencer", "auditor"),
    *("pg_read_all_data", "pg_write_all_data", "pg_database_owner", "pg_maintain"),
    *("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"),
)

# Every role the log-in is or could become, with what makes that unsafe.
REACHABLE = """
SELECT r.rolname AS name, r.oid = me.oid AS self, r.rolsuper AS super, r.rolbypassrls AS bypass,
       r.rolcreaterole AS creates_roles,
       EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid)
       OR EXISTS (SELECT FROM pg_proc p WHERE p.proowner = r.oid)
       OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspowner = r.oid)
       OR EXISTS (SELECT FROM pg_database d WHERE d.datdba = r.oid AND d.datname = current_database()) AS owns
  FROM pg_roles me
  JOIN pg_roles r ON r.oid = me.oid OR (NOT me.rolsuper AND pg_has_role(me.oid, r.oid, 'MEMBER'))
 WHERE me.rolname = session_user
 ORDER BY r.oid <> me.oid, r.rolname
"""


async def refuse_unsafe_login(dsn: str) -> None:
    """Return only if the log-in behind ``dsn`` is bound by row-level security and cannot lift itself out of it.

    Raises:
        SettingsError: it is a superuser, has BYPASSRLS or CREATEROLE, owns anything in the database, or is a member
            of a role that could; or the database cannot be reached. The message names the role, never the password.
    """
    try:
        connection = await connect(dsn)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise SettingsError(f"The database cannot be reached: {_reason(error)}.") from error
    try:
        reachable = await connection.fetch(REACHABLE)
    finally:
        await connection.close()
    faults = [fault for role in reachable for fault in _faults(role)]
    if faults:
        login = reachable[0]["name"]
        raise SettingsError(
            f"The database log-in {login} {' and '.join(faults)}, so row-level security would not bind it. Log in "
            "with a role that deploy/roles.sql made."
        )


def _faults(role: asyncpg.Record) -> list[str]:
    """Return what is wrong with the log-in itself, or with one role that it is a member of."""
    if not role["self"]:
        dangerous = role["super"] or role["bypass"] or role["creates_roles"] or role["owns"]
        return [f"is a member of {role['name']}"] if dangerous or role["name"] in FORBIDDEN_MEMBERSHIPS else []
    found = {
        "is a superuser": role["super"],
        "has BYPASSRLS": role["bypass"],
        "has CREATEROLE": role["creates_roles"],
        "owns things in the database": role["owns"] and not role["super"],
    }
    return [fault for fault, applies in found.items() if applies]


def _reason(error: Exception) -> str:
    # The client library's own messages on addresses may quote the URL with its password; the server's do not.
    if isinstance(error, asyncpg.PostgresError):
        return str(error).rstrip(".")
    return (error.strerror if isinstance(error, OSError) else None) or "the connection failed"
