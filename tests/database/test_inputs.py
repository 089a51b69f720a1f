"""No commit leaves an input of the grants changed without deriving them again."""

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError

from app.core.ids import CaseId
from app.entitlement.derivation import rederive
from app.identity.demo import BY_KEY
from tests.database.conftest import Connect, Connection, Stock, acting
from tests.entitlement.region import engine_of, session_on

REFUSED = (asyncpg.IntegrityConstraintViolationError, IntegrityError)
GP, POH, SPECIALIST = (BY_KEY[key].engagement_id for key in ("gp", "poh", "specialist"))

CHANGES = {
    "a member": f"""
        insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, status,
                            invited_at, decided_at)
        select id, gen_random_uuid(), 'person', '{SPECIALIST}', 'deelnemer', true, 'all', 'accepted',
               clock_timestamp(), clock_timestamp() from care_case
    """,
    "leaving": "update member set status = 'ended', ended_at = clock_timestamp() where case_role = 'deelnemer'",
    "a bound": "update member set history_from_seq = 1",
    "a seat deleted": "delete from member where case_role = 'deelnemer'",
    "a task": """
        insert into public_task (case_id, id, member_id, law, valid_from, recorded_by_engagement_id, recorded_at)
        select case_id, gen_random_uuid(), id, 'wmo2015', clock_timestamp(), engagement_id, clock_timestamp()
          from member
    """,
    "a withdrawal": "update consent set status = 'withdrawn', withdrawn_at = clock_timestamp()",
    "a consent's end": "update consent set valid_until = valid_from + interval '1 year'",
    "a recipient": """
        alter table consent_recipient disable trigger refuse_late_recipient;
        insert into consent_recipient (case_id, consent_id, ordinal, type, role)
        select case_id, id, 9, 'role', 'poh' from consent
    """,
    "a recipient changed": "update consent_recipient set recipient_id = gen_random_uuid()",
    "a recipient deleted": "delete from consent_recipient",
    "a suspension": f"update engagement set suspended_at = clock_timestamp() where id = '{POH}'",
    "a confirmation": f"update engagement set confirmed_until = clock_timestamp() where id = '{POH}'",
    "the principal's end": f"update engagement set valid_until = clock_timestamp() where id = '{GP}'",
    "a suspended account": f"""
        update account set status = 'suspended' where id = (select account_id from engagement where id = '{POH}')
    """,
    "a suspended organisation": f"""
        update organisation set status = 'suspended'
         where id = (select organisation_id from engagement where id = '{POH}')
    """,
    "a team's new member": f"""
        insert into team_member (team_id, engagement_id, valid_from) select id, '{POH}', clock_timestamp() from team
    """,
    "a replacement": f"""
        insert into replacement (id, replaced_engagement_id, substitute_engagement_id, kind, valid_from, valid_until,
                                 started_by_engagement_id, created_at)
        values (gen_random_uuid(), '{POH}', '{SPECIALIST}', 'deputy', clock_timestamp(),
                clock_timestamp() + interval '1 day', '{POH}', clock_timestamp())
    """,
    "a subject": """
        insert into subject select c.id, p.id from care_case c, patient p
         where not exists (select from subject s where s.patient_id = p.id)
    """,
}


async def commit(stock: Stock, root: Connection, *steps: str) -> None:
    """Change inputs past every other fence, entered as the opener; ``derive`` is a step too."""
    engine = engine_of(stock.urls.superuser)
    try:
        async with session_on(engine) as (raw, db):
            await raw.fetchrow("select * from enter($1, null)", await stock.session_of(root, "gp"))
            await raw.execute("select lock_case($1)", stock.case_id)
            for step in steps:
                if step == "derive":
                    await rederive(db, CaseId(stock.case_id), now=await raw.fetchval("select current_instant()"))
                else:
                    assert not (await raw.execute(step)).endswith(" 0"), step
    finally:
        await engine.dispose()


async def second_patient(root: Connection) -> None:
    """Add a patient who is no subject yet."""
    await root.execute(
        """
        insert into patient (id, organisation_id, no_bsn_reason_sealed, name_sealed, name_index, birth_date_sealed,
                             neighbourhood, registered_by_account_id, registered_at)
        select gen_random_uuid(), organisation_id, 'x', 'x', 'x', 'x', neighbourhood, registered_by_account_id,
               registered_at from patient limit 1
        """
    )


@pytest.mark.parametrize("what", CHANGES)
async def test_a_changed_input_does_not_commit_by_itself(own_stock: Stock, connect: Connect, what: str) -> None:
    root = await connect(own_stock.urls.superuser)
    await second_patient(root)
    with pytest.raises(REFUSED, match="without deriving"):
        await commit(own_stock, root, CHANGES[what])


@pytest.mark.parametrize("what", CHANGES)
async def test_it_commits_once_everything_is_derived_again(own_stock: Stock, connect: Connect, what: str) -> None:
    root = await connect(own_stock.urls.superuser)
    await second_patient(root)
    head = "select access_version, dirty from case_head where case_id = $1"
    before = await root.fetchrow(head, own_stock.case_id)
    await commit(own_stock, root, CHANGES[what], "derive")
    after = await root.fetchrow(head, own_stock.case_id)
    assert before is not None
    assert after is not None
    assert tuple(after) == (before["access_version"] + 1, False)


async def test_deriving_before_the_last_change_does_not_count(own_stock: Stock, connect: Connect) -> None:
    root = await connect(own_stock.urls.superuser)
    grants = "select array_agg(id order by id) from access_grant"
    before = await root.fetchval(grants)
    with pytest.raises(REFUSED, match="without deriving"):
        await commit(own_stock, root, CHANGES["a member"], "derive", CHANGES["a withdrawal"])
    assert await root.fetchval(grants) == before
    await commit(own_stock, root, CHANGES["a member"], "derive", CHANGES["a withdrawal"], "derive")
    assert await root.fetchval(grants) != before


@pytest.mark.parametrize(
    "evasion",
    [
        "set constraints all immediate",
        "set constraints grants_are_derived immediate",
        "savepoint s; rollback to s",
        "update case_head set seq = seq + 1",
    ],
)
async def test_there_is_no_way_round(own_stock: Stock, connect: Connect, evasion: str) -> None:
    """What role ``app`` can say in its own transaction: raised at once or at commit, never passed over."""
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    session = await own_stock.session_of(root, "gp")
    poh = own_stock.members["poh"]
    leave = f"update member set status = 'ended', ended_at = clock_timestamp() where id = '{poh}'"

    async def evade(*statements: str) -> None:
        async with app.transaction():
            await app.fetchrow("select * from enter($1, null)", session)
            for statement in statements:
                await app.execute(statement)

    for statements in ((leave,), (evasion, leave), (leave, evasion)):
        with pytest.raises(REFUSED, match="without deriving"):
            await evade(*statements)
    assert await root.fetchval("select status from member where id = $1", poh) == "accepted"


async def test_changing_one_case_does_not_hold_up_another(own_stock: Stock, connect: Connect) -> None:
    """The refusal is of the case that changed: another one's commit is none of its business."""
    root = await connect(own_stock.urls.superuser)
    await root.execute("update case_head set dirty = false")
    async with root.transaction():
        await root.execute("update case_head set seq = seq + 1")
    assert await root.fetchval("select count(*) from case_head where dirty") == 0


async def test_no_service_role_but_app_changes_what_rights_rest_on(stock: Stock, connect: Connect) -> None:
    """Engagements, teams, organisations: written under policies by who manages them; a patient's link by nobody."""
    root = await connect(stock.urls.superuser)
    able = "select has_any_column_privilege($1, $2, 'update') or has_table_privilege($1, $2, 'delete')"
    for table in ("engagement", "team_member", "team", "organisation", "account"):
        for role in ("appender", "stream", "sequencer", "auditor"):
            assert await root.fetchval(able, role, table) is False, (role, table)
        # Who was to join a team and did not yet may be taken off again; that is watched as every change is.
        may_delete = await root.fetchval("select has_table_privilege('app', $1, 'delete')", table)
        assert may_delete is (table == "team_member"), table
    assert await root.fetchval("select has_any_column_privilege('app', 'patient', 'update')") is False


@pytest.mark.parametrize(
    "persona", ["gp", "poh", "social-worker", "citizen", "auditor", "privacy-officer", "integration"]
)
async def test_who_manages_nobody_writes_nothing_in_the_directory(
    stock: Stock, connect: Connect, persona: str
) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    engagement = BY_KEY["poh-youth"].engagement_id
    async with acting(stock, root, app, persona):
        assert await app.execute("update engagement set suspended_at = now() where id = $1", engagement) == "UPDATE 0"
        assert await app.execute("update organisation set name = 'x'") == "UPDATE 0"
        assert await app.execute("update account set status = 'suspended'") == "UPDATE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute("insert into team (id, name) values (gen_random_uuid(), 'x')")


async def test_an_administrator_writes_its_own_people_and_makes_no_watcher(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    own, other = BY_KEY["poh-youth"].engagement_id, BY_KEY["gp-other"].engagement_id
    async with acting(stock, root, app, "org-admin"):
        suspend = "update engagement set suspended_at = null where id = $1"
        assert await app.execute(suspend, own) == "UPDATE 1"
        assert await app.execute(suspend, other) == "UPDATE 0"
    for role in ("auditor", "privacy_officer", "region_admin", "citizen"):
        async with acting(stock, root, app, "org-admin"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(
                    "insert into engagement (id, account_id, organisation_id, role, profession, valid_from)"
                    " select gen_random_uuid(), account_id, organisation_id, $2, 'x', now()"
                    " from engagement where id = $1",
                    own,
                    role,
                )
