"""What the catalog must say of every table and function, so that a new one is noticed."""

import asyncpg
import pytest

from app.cli.postgres import Urls
from tests.database.conftest import Connect, Connection, Stock

# Tables without row-level security, each with the reason why that is right.
OPEN = {
    "account": "sealed names, which everybody at a table may have to show; written under policies, not forced",
    "account_registration": "public numbers of professionals; written under policies, not forced",
    "alembic_version": "the schema's revision",
    "case_head": "two counters; taking a position must not depend on who asks",
    "data_key": "wrapped keys, of use only with the key folder; granted to the appender's pool alone",
    "engagement": "who works where: the directory; written under policies, not forced: the owner loads the demo",
    "organisation": "the directory, as above",
    "shown_once": "digests of what may be shown once, noted before there is an actor",
    "realtime_ticket": "digests of single-use tickets, redeemed before there is an actor",
    "substitute": "who may stand in where; written under policies, not forced: the owner loads the demo",
    "team": "the directory, as above",
    "team_member": "the directory, as above",
    "team_neighbourhood": "the directory, as above",
}

TABLES = """
    select relname, relrowsecurity and relforcerowsecurity as fenced, relkind in ('v', 'm', 'f') as other
      from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')
"""


async def unfenced(connection: Connection) -> list[str]:
    """Return the tables that row-level security does not bind even their owner in, and views of any kind."""
    rows = await connection.fetch(TABLES)
    return sorted(row["relname"] for row in rows if row["other"] or not (row["fenced"] or row["relname"] in OPEN))


async def test_row_level_security_is_forced_on_every_table_that_is_not_excused(
    stock: Stock, connect: Connect
) -> None:
    root = await connect(stock.urls.superuser)
    assert await unfenced(root) == []
    fenced = {row["relname"] for row in await root.fetch(TABLES) if row["fenced"]}
    assert fenced.isdisjoint(OPEN), "an excuse that is no longer needed"
    assert OPEN.keys() <= {row["relname"] for row in await root.fetch(TABLES)}


async def test_a_new_table_or_view_without_it_is_noticed(stock: Stock, connect: Connect) -> None:
    owner = await connect(stock.urls.owner)
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("create table diary (case_id uuid)")
    await owner.execute("create table enabled_only (case_id uuid)")
    await owner.execute("alter table enabled_only enable row level security")
    await owner.execute("create view spyglass as select * from case_event")
    assert await unfenced(owner) == ["diary", "enabled_only", "spyglass"]
    await transaction.rollback()


async def test_the_owner_of_the_tables_sees_no_rows_either(stock: Stock, connect: Connect) -> None:
    owner = await connect(stock.urls.owner)
    for row in await owner.fetch(TABLES):
        if row["fenced"]:
            assert await owner.fetchval(f"select count(*) from {row['relname']}") == 0, row["relname"]


POLICIES = """
    select tablename || ' ' || cmd || ' ' || array_to_string(roles, ',') as policy, coalesce(qual, with_check) as rule
      from pg_policies where schemaname = 'public'
"""

# Policies that let a role see or add any row: ids for the two hot roles, records for the log.
DIRECTORY = (
    "account",
    "account_registration",
    "engagement",
    "organisation",
    "team",
    "team_member",
    "team_neighbourhood",
)
TRUE = {
    *(f"{table} SELECT app,appender,stream" for table in DIRECTORY),
    "access_grant SELECT appender,stream",
    "audit_event INSERT app,appender,stream",
    "audit_event SELECT auditor",
    "audit_event SELECT keeper",
    "browser_session SELECT stream",
    "case_event SELECT appender,stream",
    "idempotency ALL appender",
    "login_session SELECT appender,stream",
    "thread SELECT appender,stream",
}


async def test_no_policy_is_for_everybody_or_always_true_but_the_ones_meant_so(
    stock: Stock, connect: Connect
) -> None:
    root = await connect(stock.urls.superuser)
    policies = {row["policy"]: row["rule"] for row in await root.fetch(POLICIES)}
    assert not [policy for policy in policies if policy.endswith("public")]
    true = {policy for policy, rule in policies.items() if rule == "true" and not policy.endswith(" ALL keeper")}
    assert true == TRUE


async def test_every_policy_of_app_that_lets_rows_in_checks_them(stock: Stock, connect: Connect) -> None:
    root = await connect(stock.urls.superuser)
    unchecked = await root.fetch(
        "select tablename, policyname from pg_policies"
        " where 'app' = any (roles) and cmd in ('INSERT', 'UPDATE', 'ALL') and with_check is null and qual is null"
    )
    assert unchecked == []


FUNCTIONS = """
    select p.proname as name, p.prosecdef as definer, pg_get_userbyid(p.proowner) as owner,
           array_to_string(p.proconfig, ';') as settings,
           coalesce((select array_agg(case a.grantee when 0 then 'PUBLIC' else pg_get_userbyid(a.grantee) end
                                      order by 1) from aclexplode(p.proacl) a
                      where a.privilege_type = 'EXECUTE' and a.grantee <> p.proowner), '{}')
             || case when p.proacl is null then array['PUBLIC'] else '{}' end as executors
      from pg_proc p where p.pronamespace = 'public'::regnamespace order by 1
"""
PINNED = "search_path=pg_catalog, public, pg_temp"

# Of codes and factors, before and after there is an actor.
CREDENTIALS = (
    *("activate_citizen", "add_challenge", "add_enrolment", "can_log_in", "cases_of_mine", "confirm_reset"),
    "hold_factors",
    *("count_attempt", "end_workplace", "forgive_attempt", "login_facts", "may_reset", "passkey_with"),
    *("reauthenticate", "session_factors", "take_challenge", "take_enrolment", "use_passkey", "use_password"),
    "workplace_with",
)

# Of log-in with a provider elsewhere.
PROVIDERS = (
    *("backdate_session", "begin_oidc_log_in", "can_log_in", "find_external_identity", "keep_oidc_completion"),
    *("note_oidc_session", "oidc_sessions_of", "oidc_sessions_to_end", "take_oidc_completion", "take_oidc_log_in"),
)

# Who may call what crosses row-level security; nobody calls what only triggers and the keeper's own functions use.
CROSSING = {
    **{
        name: ["app"]
        for name in (
            *("account_with_bsn", "administers", "announces", "case_access", "cases_of", "chained"),
            *("end_seats", "keeps_dossier", "may_keep_dossiers", "overtaken", "ownerless"),
            *("birth_date_of", "contact_kept_safe", "end_lapsed_seats", "settle_consent"),
            *("access_decision", "keep_basis"),
            *("break_glass_concerns_me", "confirm_break_glass", "emergency_cases", "emergency_shown"),
            *("end_break_glass", "leave_emergency", "overdue_reviews", "review_break_glass"),
            *("seat_in_emergency", "settles_emergency", "sits", "stands_beside"),
            *("acts_for", "engage_relative", "may_let_in", "represents", "said_about", "say_of", "seat_joined"),
            *("shows_representative", "speaks_as"),
            *("brief_privacy_officers", "end_tasks_of_the_moved"),
            *("accept_practice_change", "announces_practice", "close_consents_left", "close_practice_change"),
            *("consents_left", "gps_to_ask", "offers_anew", "practices_at", "receives_practice", "shut_out"),
            *("cases_elsewhere", "has_died", "may_record_death", "record_death", "undo_death"),
            *("is_that_patient", "kept_away", "told_of_consent"),
            *("changes_exclusion", "hold_person"),
            *("end_notices", "notice_channel", "notice_for_me", "notify"),
            *("answers_for", "bundle_asks", "is_representative", "knows_of", "speaks_about"),
            *("narrow_consent", "succeed_consent", "table_company"),
            *("due_reminders", "remind_of", "reminders_of", "who_looked"),
            *("due_releases", "release_asked", "release_due", "release_thread", "thread_shown", "names_held"),
            *("citizen_engagement", "consent_audience", "may_stand_in", "stands_in"),
            *("end_session", "end_sessions", "enter"),
            *("client_terms", "start_client_session"),
            *("expire_consents", "grant_inputs", "hold_inputs", "invitations", "is_me", "lapsed", "lock_case"),
            "manages",
            *("may_write", "opened_by_me", "oversees", "place_of", "reads_consent", "replace_grants", "seated"),
            *("standing_of", "start_session", "subjects_of"),
            *CREDENTIALS,
            *PROVIDERS,
            *("end_sessions_of", "may_cooperate", "table_may_cooperate", "team_may_cooperate"),
            *("add_refresh_token", "end_other_session", "engagement_to_enter", "enter_browser", "lock_session"),
            *("open_browser_session", "sessions_of", "switch_engagement", "use_refresh_token", "watches_over"),
        )
    },
    "engagement_in_force": ["app", "appender", "stream"],
    "take_bsn_look_up": ["stream"],
    "engagement_period": [],
    **{name: ["app"] for name in ("end_sessions_of", "keeps_account", "never_signed_in", "take_handover")},
    "mark_cases_dirty": [],
    "mark_dirty": [],
    "note_safe_contact": [],
    "note_use": ["stream"],
    "refuse_dirty": [],
    "refuse_late_recipient": [],
    "refuse_own_favour": [],
    "release_threads": [],
    "participation": [],
    "shown_for": [],
    **{name: [] for name in ("same_person", "excluded_by", "cases_about", "hold_cases_about", "lock_of_person")},
    **{name: [] for name in ("await_exclusions", "mark_cases_about")},
    "takes_part": [],
    "unfounded": [],
}

# Functions that run with the rights of whoever calls them.
PLAIN = {
    "append_messages": ["appender"],
    "engagements_in_force": [],
    "case_snapshot": ["appender", "stream"],
    "lease": ["stream"],
    **{name: ["PUBLIC"] for name in ("uuid_multirange", "uuid_range")},
    "read_openings": ["stream"],
    "read_stream": ["stream"],
    **{
        f"current_{name}": ["PUBLIC"]
        for name in ("account", "door", "engagement", "instant", "organisation", "role_class", "scopes")
    },
    "refuse_change": ["PUBLIC"],
}


async def faults(connection: Connection) -> list[str]:
    """Return what is wrong with any function of the schema."""
    found = []
    for row in await connection.fetch(FUNCTIONS):
        name, wanted = row["name"], CROSSING if row["definer"] else PLAIN
        if name not in wanted:
            found.append(f"{name} is not in the list of {'those that cross' if row['definer'] else 'plain ones'}")
        elif sorted(row["executors"]) != wanted[name]:
            found.append(f"{name} is executable by {row['executors']}")
        if row["definer"] and (row["owner"], row["settings"]) != ("keeper", PINNED):
            found.append(f"{name} is owned by {row['owner']} and set to {row['settings']}")
    return found


async def test_every_function_pins_its_path_and_is_for_those_who_need_it(stock: Stock, connect: Connect) -> None:
    root = await connect(stock.urls.superuser)
    assert await faults(root) == []
    assert {row["name"] for row in await root.fetch(FUNCTIONS)} == CROSSING.keys() | PLAIN.keys()


@pytest.mark.parametrize(
    ("definition", "fault"),
    [
        ("security definer as 'select 1'", "not in the list"),
        ("security definer set search_path = public as 'select 1'", "is owned by owner"),
        ("as 'select 1'", "not in the list"),
    ],
)
async def test_a_careless_function_is_noticed(stock: Stock, connect: Connect, definition: str, fault: str) -> None:
    owner = await connect(stock.urls.owner)
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(f"create function careless() returns int language sql {definition}")
    assert any(fault in found for found in await faults(owner))
    await transaction.rollback()


async def test_nobody_but_the_owner_can_make_anything_in_the_schema(cluster: Urls) -> None:
    root = await asyncpg.connect(cluster.superuser)
    try:
        able = await root.fetch(
            "select rolname from pg_roles where has_schema_privilege(oid, 'public', 'create') and not rolsuper"
            " and rolname !~ '^pg_'"
        )
        assert [row[0] for row in able] == ["owner"]
        temporary = await root.fetch(
            "select rolname from pg_roles where has_database_privilege(oid, current_database(), 'temp')"
            " and not rolsuper and rolname !~ '^pg_'"
        )
        assert [row[0] for row in temporary] == ["owner"]
        assert not await root.fetchval("select has_database_privilege('public', current_database(), 'connect')")
    finally:
        await root.close()
