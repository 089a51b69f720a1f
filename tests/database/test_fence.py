"""What row-level security lets each person change as role ``app``, whatever the service would have said."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.identity.demo import BY_KEY, Persona
from app.threads.releases.service import HELD_MAX
from tests.database.conftest import Connect, Connection, Stock, acting

EVENT = """
    insert into case_event (case_id, seq, id, type, at, actor_account_id, actor_engagement_id, thread_id, patient_id,
                            category, domain, addressees, body_sealed)
    values ($1, 9000, gen_random_uuid(), $2, clock_timestamp(), $3, $4, $5, $6, $7, $8, $9, $10)
"""


async def verdict(connection: Connection, statement: str, *values: object) -> str:
    """Return ``refused``, or how many rows a statement changed; then undo it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        status: str = await connection.execute(statement, *values)
    except asyncpg.InsufficientPrivilegeError:
        return "refused"
    finally:
        await transaction.rollback()
    return status.rsplit(maxsplit=1)[-1]


def event(
    stock: Stock,
    by: str | None,
    type_: str,
    **more: Any,
) -> tuple[object, ...]:
    """Return the values of an event by somebody; more are ``cell``, ``thread``, ``patient``, ``to`` and ``body``."""
    who = (BY_KEY[by].account_id, BY_KEY[by].engagement_id) if by else (None, None)
    cell = more.get("cell", (None, None))
    thread, patient, to, body = (more.get(name) for name in ("thread", "patient", "to", "body"))
    return (stock.case_id, type_, *who, thread, patient, *cell, to, body)


async def test_nobody_writes_in_a_case_without_having_been_at_its_table(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    contacts, everybody = ("contact_network", "care"), [BY_KEY["gp"].engagement_id]
    tried: tuple[dict[str, Any], ...] = (
        {"type_": "member.left", "cell": contacts},
        {"type_": "consent.withdrawn", "to": everybody, "patient": stock.patient_id},
        {"type_": "message.retracted", "cell": ("medication", "care"), "patient": stock.patient_id},
        {"type_": "access.changed", "to": everybody, "patient": stock.patient_id},
        {"type_": "case.opened", "cell": ("plan_goals_actions", "care"), "patient": stock.patient_id, "body": b"x"},
    )
    for one in tried:
        async with acting(stock, root, app, "gp-other"):
            assert await verdict(app, EVENT, *event(stock, "gp-other", **one)) == "refused", one
        async with acting(stock, root, app, "gp"):
            assert await verdict(app, EVENT, *event(stock, "gp", **one)) == "1", one


async def test_nobody_writes_under_another_name(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    said: dict[str, Any] = {"cell": ("medication", "care"), "patient": stock.patient_id}
    async with acting(stock, root, app, "gp"):
        for by, outcome in (("gp", "1"), ("poh", "refused"), (None, "refused")):
            values = event(stock, by, "message.corrected", body=b"x", **said)
            assert await verdict(app, EVENT, *values) == outcome, by
        mixed = list(event(stock, "gp", "message.corrected", body=b"x", **said))
        mixed[3] = BY_KEY["poh"].engagement_id
        assert await verdict(app, EVENT, *mixed) == "refused"


async def test_time_tells_only_of_what_lapsed(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    to = [BY_KEY["gp"].engagement_id]
    async with acting(stock, root, app, None):
        assert await verdict(app, EVENT, *event(stock, None, "access.changed", to=to)) == "refused", "no instant"
        await app.execute("select set_config('app.instant', clock_timestamp()::text, true)")
        assert await verdict(app, EVENT, *event(stock, None, "access.changed", to=to)) == "1"
        assert await verdict(app, EVENT, *event(stock, None, "consent.expired", to=to)) == "1"
        assert await verdict(app, EVENT, *event(stock, None, "consent.withdrawn", to=to)) == "refused"
        assert await verdict(app, EVENT, *event(stock, None, "access.changed", to=to, body=b"x")) == "refused"


async def test_what_was_said_is_retracted_by_its_author_once_and_for_good(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    retract = "update case_event set retracted_seq = $2 where id = $1"
    mine, other = own_stock.messages["gp medication"], own_stock.messages["poh medication"]
    async with acting(own_stock, root, app, "gp"):
        assert await verdict(app, retract, mine, 99) == "1"
        assert await verdict(app, retract, other, 99) == "0"
    await root.execute(retract, mine, 99)
    async with acting(own_stock, root, app, "gp"):
        assert await verdict(app, retract, mine, None) == "0"
        assert await verdict(app, "update case_event set superseded_seq = null where id = $1", mine) == "0"
        assert await app.fetchval("select count(*) from case_event where id = $1", mine) == 1
    async with acting(own_stock, root, app, "poh"):
        assert await app.fetchval("select count(*) from case_event where id = $1", mine) == 0


MEMBER = """
    insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, status,
                        invited_by_engagement_id, invited_at, decided_at)
    values ($1, gen_random_uuid(), 'person', $2, 'deelnemer', true, 'all', 'accepted', $3, clock_timestamp(),
            clock_timestamp())
"""


async def test_only_who_oversees_the_case_seats_anybody(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    guest = BY_KEY["informal-carer"].engagement_id
    for persona, outcome in (
        ("gp", "1"),
        ("citizen", "1"),
        ("poh", "refused"),
        ("social-worker", "refused"),
        ("gp-other", "refused"),
    ):
        async with acting(stock, root, app, persona):
            me = BY_KEY[persona].engagement_id
            assert await verdict(app, MEMBER, stock.case_id, guest, me) == outcome, persona
            assert await verdict(app, MEMBER, stock.case_id, guest, BY_KEY["poh-youth"].engagement_id) == "refused"


DECIDE = "update member set status = $2, decided_at = clock_timestamp(), ended_at = $3 where id = $1"


@pytest.mark.parametrize("was", ["ended", "refused"])
async def test_who_left_or_refused_does_not_come_back_by_oneself(
    own_stock: Stock, connect: Connect, was: str
) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    seat = own_stock.members["social-worker"]
    async with acting(own_stock, root, app, "social-worker"):
        assert await verdict(app, DECIDE, seat, "accepted", None) == "1", "the control: the row may be touched"
    async with root.transaction():
        ended = await root.fetchval("select clock_timestamp()") if was == "ended" else None
        await root.execute(DECIDE, seat, was, ended)
        await root.execute("update case_head set dirty = false")
    for persona in ("social-worker", "gp", "citizen"):
        async with acting(own_stock, root, app, persona):
            assert await verdict(app, DECIDE, seat, "accepted", None) == "0", persona
            assert await verdict(app, DECIDE, seat, "invited", None) == "0", persona


async def test_one_accepts_for_oneself_alone(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    seat = uuid4()
    async with root.transaction():
        await root.execute(
            "insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, status,"
            " invited_at) values ($1, $2, 'person', $3, 'mantelzorger', false, 'all', 'invited', clock_timestamp())",
            *(own_stock.case_id, seat, BY_KEY["informal-carer"].engagement_id),
        )
        await root.execute("update case_head set dirty = false")
    for persona, outcome in (("informal-carer", "1"), ("gp", "refused"), ("citizen", "refused"), ("poh", "0")):
        async with acting(own_stock, root, app, persona):
            assert await verdict(app, DECIDE, seat, "accepted", None) == outcome, persona
    instant = await root.fetchval("select clock_timestamp()")
    for persona, outcome in (("gp", "1"), ("citizen", "1"), ("informal-carer", "1"), ("poh", "0"), ("gp-other", "0")):
        async with acting(own_stock, root, app, persona):
            assert await verdict(app, DECIDE, seat, "ended", instant) == outcome, persona


CONSENT = """
    insert into consent (case_id, id, patient_id, kind, status, from_domains, categories, both_ways, history,
                         history_from_seq, threads_from_seq, purpose, regime, capacity, recorded_by_account_id,
                         recorded_by_engagement_id, recorded_at, valid_from)
    select $1, gen_random_uuid(), $2, $3, 'asked', $4, '{medication}', true, 'all', 0, h.seq + 1, 'CAREMGT', 'wgbo',
           'capable', $5, $6, t.at, t.at
      from (select current_instant() - $7::text::interval as at) as t, case_head h where h.case_id = $1
"""
GIVEN = """
    insert into consent (case_id, id, patient_id, kind, status, from_domains, categories, both_ways, history,
                         history_from_seq, threads_from_seq, purpose, regime, capacity, decided_by, decided_at,
                         method, text_version, text_sha256, recorded_by_account_id, recorded_by_engagement_id,
                         recorded_at, valid_from)
    select $1, gen_random_uuid(), $2, 'lift_secrecy', $3, '{care}', '{medication}', true, 'all', 0, h.seq + 1,
           'CAREMGT', 'wgbo', 'capable', 'patient', t.at, 'written', 'nl-2026-1', repeat('0', 64), $4, $5, t.at, t.at
      from (select current_instant() as at) as t, case_head h where h.case_id = $1
"""
ASKED = """
    update consent set status = 'asked', decided_by = null, decided_at = null, method = null, text_version = null,
                       text_sha256 = null where id = $1
"""
DECISION = """
    insert into consent_decision (case_id, consent_id, ordinal, decider, yes, decided_at, method, text_version,
                                  text_sha256, language, recorded_by_account_id, recorded_by_engagement_id,
                                  recorded_at)
    values ($1, $2, 9, 'patient', $3, current_instant(), 'written', 'nl-2026-1', repeat('0', 64), 'nl', $4, $5,
            current_instant())
"""
SETTLE = "select settle_consent($1, $2, $3, null, null)"


async def test_nobody_records_a_consent_that_is_active_from_the_start(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    for persona in ("gp", "citizen", "poh"):
        me = BY_KEY[persona]
        for status in ("active", "proposed", "expired"):
            async with acting(stock, root, app, persona):
                values = (stock.case_id, stock.patient_id, status, me.account_id, me.engagement_id)
                assert await verdict(app, GIVEN, *values) == "refused", (persona, status)


async def test_a_consent_moves_by_a_decision_of_this_transaction_alone(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    gp, worker, consent = BY_KEY["gp"], BY_KEY["social-worker"], own_stock.consents["social-worker"]
    case = own_stock.case_id

    def by(yes: bool, who: Persona = gp) -> tuple[object, ...]:
        return case, consent, yes, who.account_id, who.engagement_id

    async with acting(own_stock, root, app, "gp"):
        assert await verdict(app, DECISION, *by(True)) == "refused", "given already"
        assert await verdict(app, SETTLE, case, consent, "active") == "refused"
    async with root.transaction():
        await root.execute(ASKED, consent)
        await root.execute("update case_head set dirty = false")
    async with acting(own_stock, root, app, "social-worker"):
        assert await app.fetchval("select count(*) from consent") == 0, "who is to receive does not know who is asked"
        assert await verdict(app, DECISION, *by(True, worker)) == "refused"
        assert await verdict(app, DECISION, *by(True)) == "refused", "in another's name"
    async with acting(own_stock, root, app, "gp"):
        for status in ("active", "proposed", "refused"):
            assert await verdict(app, SETTLE, case, consent, status) == "refused", "nobody decided here and now"
        await app.execute(DECISION, *by(False))
        for status in ("active", "withdrawn", "expired", "superseded"):
            assert await verdict(app, SETTLE, case, consent, status) == "refused", status
        await app.execute(SETTLE, case, consent, "refused")
        assert await app.fetchval("select status from consent where id = $1", consent) == "refused"
        assert await verdict(app, SETTLE, case, consent, "active") == "refused", "a no is final"
    async with acting(own_stock, root, app, "gp"):
        await app.execute(DECISION, *by(True))
        await app.execute(SETTLE, case, consent, "active")
        assert await app.fetchval("select status from consent where id = $1", consent) == "active"


async def test_a_professional_lifts_the_secrecy_of_their_own_domain_alone(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    for persona, kind, domains, outcome in (
        ("gp", "lift_secrecy", ["care"], "1"),
        ("gp", "lift_secrecy", ["social"], "refused"),
        ("gp", "lift_secrecy", ["care", "social"], "refused"),
        ("gp", "agree_to_help", ["social"], "1"),
        ("social-worker", "lift_secrecy", ["social"], "1"),
        ("social-worker", "lift_secrecy", ["care"], "refused"),
        ("citizen", "lift_secrecy", ["care", "youth", "social"], "1"),
        ("gp-other", "lift_secrecy", ["care"], "refused"),
    ):
        me = BY_KEY[persona]
        async with acting(stock, root, app, persona):
            values = (stock.case_id, stock.patient_id, kind, domains, me.account_id, me.engagement_id)
            assert await verdict(app, CONSENT, *values, "0") == outcome, (persona, kind, domains)
            assert await verdict(app, CONSENT, *values, "1 day") == "refused", "recorded in the past"
            other = BY_KEY["district-nurse"]
            values = (stock.case_id, stock.patient_id, kind, domains, other.account_id, other.engagement_id)
            assert await verdict(app, CONSENT, *values, "0") == "refused", "recorded by somebody else"


async def test_a_recorded_consent_gets_no_further_recipient(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    add = "insert into consent_recipient (case_id, consent_id, ordinal, type, role) values ($1, $2, 7, 'role', 'poh')"
    for persona in ("gp", "citizen", "social-worker", "gp-other"):
        async with acting(stock, root, app, persona):
            assert await verdict(app, add, stock.case_id, stock.consents["social-worker"]) == "refused", persona


async def test_a_withdrawal_is_for_who_may_read_the_consent_and_for_good(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    withdraw = "update consent set status = 'withdrawn', withdrawn_at = clock_timestamp() where id = $1"
    revive = "update consent set status = 'active', withdrawn_at = null where id = $1"
    consent = own_stock.consents["social-worker"]
    readers = ("gp", "citizen", "social-worker")
    for persona in (*readers, "poh", "social-worker-2", "gp-other"):
        async with acting(own_stock, root, app, persona):
            may = persona in readers
            assert await verdict(app, withdraw, consent) == ("1" if may else "0"), persona
            assert await verdict(app, "update consent set status = 'expired' where id = $1", consent) == (
                "refused" if may else "0"
            )
            assert await app.fetchval("select count(*) from consent") == int(may), persona
    async with root.transaction():
        await root.execute(withdraw, consent)
        await root.execute("update case_head set dirty = false")
    for persona in readers:
        async with acting(own_stock, root, app, persona):
            assert await verdict(app, revive, consent) == "0", persona


async def test_somebody_s_own_file_is_opened_to_the_citizen_and_not_to_the_professional(
    own_stock: Stock, connect: Connect
) -> None:
    """A doctor who is a patient elsewhere acts, in the consulting room, as a doctor."""
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    await root.execute("update patient set account_id = $1", BY_KEY["gp-other"].account_id)
    async with acting(own_stock, root, app, "gp-other"):
        assert await app.fetchval("select count(*) from patient") == 0
        assert await app.fetchval("select oversees($1)", own_stock.case_id) is False
        assert await app.fetchval("select count(*) from consent") == 0


async def test_sessions_keys_and_grants_of_others_do_not_show(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    for persona in ("gp", "social-worker", "gp-other"):
        me = BY_KEY[persona]
        async with acting(stock, root, app, persona):
            for table, column, value in (
                ("login_session", "account_id", me.account_id),
                ("idempotency", "account_id", me.account_id),
                ("access_grant", "engagement_id", me.engagement_id),
            ):
                others = f"select count(*) from {table} where {column} <> $1"
                assert await root.fetchval(others, value) > 0, table
                assert await app.fetchval(others, value) == 0, table


async def test_the_log_shows_itself_to_auditors_alone(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    for persona in ("gp", "citizen", "social-worker", "auditor", "privacy-officer"):
        async with acting(stock, root, app, persona):
            shown = await app.fetchval("select count(*) > 0 from audit_event")
            assert shown is (persona in {"auditor", "privacy-officer"}), persona
            for table in ("thread", "case_event", "patient", "consent", "member"):
                if persona in {"auditor", "privacy-officer"}:
                    assert await app.fetchval(f"select count(*) from {table}") == 0, table


async def test_the_door_of_contributions_shows_what_one_wrote_and_no_more(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    async with root.transaction():
        await root.execute("delete from access_grant")
    async with acting(own_stock, root, app, "social-worker"):
        assert await app.fetchval("select count(*) from case_event where body_sealed is not null") == 0
        await app.execute("select set_config('app.door', 'contributions', true)")
        mine = await app.fetch("select id from case_event where body_sealed is not null")
        assert [row["id"] for row in mine] == [own_stock.messages["social-worker social_participation"]]
        await app.execute("select set_config('app.door', 'retracted', true)")
        assert await app.fetchval("select count(*) from case_event where body_sealed is not null") == 0


APPEND = """
    insert into case_event (case_id, seq, id, type, at, actor_account_id, actor_engagement_id, thread_id, patient_id,
                            category, domain, kind, body_sealed)
    values ($1, 9000, gen_random_uuid(), $2, clock_timestamp(), $3, $4, $5, $6, $7, $8, 'message', 'x')
"""


async def test_the_appender_adds_messages_of_those_who_may_write_there_and_nothing_else(
    stock: Stock, connect: Connect
) -> None:
    appender = await connect(stock.urls.appender)
    gp, worker, stranger = BY_KEY["gp"], BY_KEY["social-worker"], BY_KEY["gp-other"]
    medication, social = stock.threads["medication"], stock.threads["social_participation"]

    async def add(
        by: object = gp.account_id,
        engagement: object = gp.engagement_id,
        thread: object = medication,
        patient: object = stock.patient_id,
        category: str = "medication",
        domain: str = "care",
        type_: str = "message.posted",
        case: object = stock.case_id,
    ) -> str:
        return await verdict(appender, APPEND, case, type_, by, engagement, thread, patient, category, domain)

    assert await add() == "1"
    assert await add(worker.account_id, worker.engagement_id, social, category="social_participation") == "1"
    refused = {
        "a stranger": await add(stranger.account_id, stranger.engagement_id),
        "somebody without the category": await add(worker.account_id, worker.engagement_id),
        "another's account": await add(by=worker.account_id),
        "nobody": await add(None, None),
        "no thread": await add(thread=None),
        "a thread that is not there": await add(thread=uuid4()),
        "a label that is not the thread's": await add(category="social_participation"),
        "a domain that is not the thread's": await add(domain="social"),
        "another patient": await add(patient=uuid4()),
        "another case": await add(case=uuid4()),
        "another kind of event": await add(type_="thread.opened"),
        "a retraction": await add(type_="message.retracted"),
    }
    assert set(refused.values()) == {"refused"}, refused


async def test_the_hot_roles_read_no_more_than_their_statements_need(stock: Stock, connect: Connect) -> None:
    appender = await connect(stock.urls.appender)
    assert await appender.fetchval("select count(seq) from case_event") > 0
    for statement in ("select body_sealed from case_event", "select bsn_link_index from account", "table patient"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await appender.fetch(statement)
    stream = await connect(stock.urls.stream)
    for statement in ("table data_key", "table patient", "table consent", "table member", "table idempotency"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stream.fetch(statement)


HELD = """
    insert into thread (case_id, id, patient_id, category, domain, opened_seq, opened_by_account_id,
                        opened_by_engagement_id, opened_at, release_at, release_reason, release_reason_sealed)
    values ($1, $2, $3, 'medication', 'care', 9001, current_account(), current_engagement(), current_instant(),
            current_instant() + $4::interval, 'other', 'x')
"""


async def test_what_waits_is_neither_read_nor_written_nor_hurried_by_whom_it_waits_for(
    own_stock: Stock, connect: Connect
) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    thread_id, case = uuid4(), own_stock.case_id
    cell, talk = ("medication", "care"), {"thread": thread_id, "patient": own_stock.patient_id}
    async with acting(own_stock, root, app, "gp"):
        for too_long in (HELD_MAX + timedelta(seconds=1), timedelta(seconds=-1)):
            transaction = app.transaction()
            await transaction.start()
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
                await app.execute(HELD, case, thread_id, own_stock.patient_id, too_long)
            await transaction.rollback()
        await app.execute(HELD, case, thread_id, own_stock.patient_id, HELD_MAX)
        said = event(own_stock, "gp", "message.posted", cell=cell, body=b"x", **talk)
        await app.execute(EVENT, *said)
        for persona, seen in (("citizen", 0), ("informal-carer", 0), ("poh", 1)):
            await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, persona))
            assert await app.fetchval("select count(*) from thread where id = $1", thread_id) == seen, persona
            assert await app.fetchval("select count(*) from case_event where thread_id = $1", thread_id) == seen
        await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, "citizen"))
        mine = event(own_stock, "citizen", "message.posted", cell=cell, body=b"x", **talk)
        assert await verdict(app, EVENT, *mine) == "refused"
        assert await app.fetch("select * from release_thread($1, $2)", case, thread_id) == []
        assert await app.fetch("select * from release_due($1)", case) == []
        assert await app.fetch("select * from release_asked($1, $2)", case, uuid4()) == []
        for persona in ("citizen", "gp"):
            await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, persona))
            assert await verdict(app, "update thread set release_at = null where id = $1", thread_id) == "refused"
        (released,) = await app.fetch("select * from release_thread($1, $2)", case, thread_id)
        assert released["thread_id"] == thread_id
        assert await app.fetch("select * from release_thread($1, $2)", case, thread_id) == [], "once"
