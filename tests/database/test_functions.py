"""What the functions that cross row-level security tell, and to whom."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.identity.demo import BY_KEY
from tests.database.conftest import Connect, Stock, acting

STRANGERS = ("gp-other", "auditor", None)


@pytest.mark.parametrize("persona", STRANGERS)
async def test_a_stranger_oversees_manages_and_sits_nowhere(
    stock: Stock, connect: Connect, persona: str | None
) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    async with acting(stock, root, app, persona):
        for question in ("seated", "opened_by_me", "manages", "oversees"):
            assert await app.fetchval(f"select {question}($1)", stock.case_id) is False, question
        assert await app.fetchval("select is_me($1)", stock.patient_id) is False
        assert not await app.fetchval("select reads_consent($1, $2)", stock.case_id, stock.consents["social-worker"])
        assert await app.fetch("select * from invitations()") == []
        assert await app.fetch("select * from case_access($1, clock_timestamp())", stock.case_id) == []


async def test_who_is_at_the_table_is_answered_by_what_they_are(stock: Stock, connect: Connect) -> None:
    """The controls of the test above, one by one."""
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    expected = {
        # seated, opened it, manages, oversees, is the subject, reads the consent
        "gp": (True, True, True, True, False, True),
        "poh": (True, False, False, False, False, False),
        "social-worker": (True, False, False, False, False, True),
        "social-worker-2": (True, False, False, False, False, False),
        "citizen": (True, False, False, True, True, True),
    }
    for persona, answers in expected.items():
        async with acting(stock, root, app, persona):
            found = await app.fetchrow(
                "select seated($1), opened_by_me($1), manages($1), oversees($1), is_me($2), reads_consent($1, $3)",
                stock.case_id,
                stock.patient_id,
                stock.consents["social-worker"],
            )
            assert tuple(found or ()) == answers, persona


async def test_access_is_shown_whole_to_who_oversees_and_one_s_own_to_the_others(
    stock: Stock, connect: Connect
) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    whole = await root.fetchval("select count(*) from access_grant where case_id = $1", stock.case_id)
    for persona, all_of_it in (("gp", True), ("citizen", True), ("poh", False), ("social-worker", False)):
        async with acting(stock, root, app, persona):
            rows = await app.fetch("select * from case_access($1, clock_timestamp())", stock.case_id)
        engagements = {row["engagement_id"] for row in rows}
        assert engagements
        assert (len(rows) == whole) is all_of_it
        assert all_of_it or engagements == {BY_KEY[persona].engagement_id}


async def test_the_past_is_told_to_the_same_people(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    before = await root.fetchval("select clock_timestamp()")
    async with app.transaction():
        await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, "gp"))
        await app.fetchval("select lock_case($1)", own_stock.case_id)
        held = await root.fetch(
            "select id from access_grant where engagement_id = $1", BY_KEY["social-worker"].engagement_id
        )
        await app.execute("select replace_grants($1, $2, '[]')", own_stock.case_id, [row["id"] for row in held])
    async with acting(own_stock, root, app, "social-worker"):
        assert await app.fetch("select * from access_grant") == []
        then = await app.fetch("select * from case_access($1, $2)", own_stock.case_id, before)
        assert len(then) == len(held)
        assert await app.fetch("select * from case_access($1, current_instant())", own_stock.case_id) == []
    async with acting(own_stock, root, app, "poh"):
        then = await app.fetch("select * from case_access($1, $2)", own_stock.case_id, before)
        assert {row["engagement_id"] for row in then} == {BY_KEY["poh"].engagement_id}


CODES = re.compile(r"[a-z][a-z_-]{0,40}|wmo2015|\d{4}-\d\d-\d\dT[\d:.]+\+00:00")


def words_of(value: Any) -> Iterator[str]:
    """Yield every text in an answer that is neither an id, nor a code, nor an instant."""
    if isinstance(value, dict):
        for part in value.values():
            yield from words_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from words_of(part)
    elif isinstance(value, str) and not CODES.fullmatch(value):
        try:
            UUID(value)
        except ValueError:
            yield value


async def test_what_decisions_are_made_from_holds_ids_and_codes_alone(stock: Stock, connect: Connect) -> None:
    """Whoever asks: policy and derivation must not look through the actor's eyes, so they get nothing to read."""
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    async with acting(stock, root, app, "gp-other"):
        answers = [json.loads(await app.fetchval("select grant_inputs($1)", stock.case_id))]
        for kind, entity in (
            ("case", stock.case_id),
            ("thread", stock.threads["medication"]),
            ("message", stock.messages["gp medication"]),
            ("consent", stock.consents["social-worker"]),
        ):
            answers.append(json.loads(await app.fetchval("select standing_of($1, $2)", kind, entity)))
    assert len(answers[0]["consents"]) == 1
    assert list(words_of(answers)) == []
    assert list(words_of({"name": "Mia Lemmens", "ids": ["999990007"]})) == ["Mia Lemmens", "999990007"]


async def test_a_stranger_stands_nowhere(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    async with acting(stock, root, app, "gp-other"):
        found = json.loads(await app.fetchval("select standing_of('case', $1)", stock.case_id))
        assert (found["member"], found["subjectOf"], found["grants"]) == (None, [], [])
        assert (found["openedByMe"], found["manages"]) == (False, False)
        consent = json.loads(await app.fetchval("select standing_of('consent', $1)", stock.consents["social-worker"]))
        assert consent["entity"]["readable"] is False
        for kind in ("case", "thread", "message", "consent", "patient", "", "x"):
            assert await app.fetchval("select standing_of($1, $2)", kind, uuid4()) is None


async def test_a_thing_is_only_of_its_own_kind(stock: Stock, connect: Connect) -> None:
    """An id of one kind asked for as another is not there; an event that is no message is no message."""
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    opening = await root.fetchval("select id from case_event where type = 'case.opened'")
    async with acting(stock, root, app, "gp"):
        for kind, entity in (
            ("thread", stock.messages["gp medication"]),
            ("message", stock.threads["medication"]),
            ("message", opening),
            ("consent", stock.case_id),
            ("case", stock.patient_id),
        ):
            assert await app.fetchval("select standing_of($1, $2)", kind, entity) is None, kind


async def test_nobody_ends_somebody_else_s_session(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    session = await own_stock.session_of(root, "gp")
    version = "select access_version from case_head where case_id = $1"
    before = await root.fetchval(version, own_stock.case_id)
    for persona in ("gp-other", "poh", None):
        async with app.transaction():
            if persona is not None:
                await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, persona))
            assert await app.fetchval("select end_session($1)", session) is False
    assert await root.fetchval("select ended_at from login_session where id = $1", session) is None
    assert await root.fetchval(version, own_stock.case_id) == before
    async with app.transaction():
        await app.fetchrow("select * from enter($1, null)", session)
        assert await app.fetchval("select end_session($1)", session) is True
        assert await app.fetchval("select end_session($1)", session) is False
    assert await root.fetchval(version, own_stock.case_id) == before + 1


async def test_a_citizen_is_found_by_a_keyed_index_alone(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    index = await root.fetchval("select bsn_link_index from account where id = $1", BY_KEY["citizen"].account_id)
    async with acting(stock, root, app, "gp-other"):
        assert await app.fetchval("select account_with_bsn($1)", index) == BY_KEY["citizen"].account_id
        digests = [f"select {f}('999990007'::bytea)" for f in ("sha224", "sha256", "sha384", "sha512")]
        guesses = [b"999990007", b"", *[await root.fetchval(digest) for digest in digests]]
        for guess in guesses:
            assert await app.fetchval("select account_with_bsn($1)", guess) is None
        assert await app.fetchval("select account_with_bsn(null)") is None
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.fetch("select bsn_link_index from account")


async def test_an_invitation_is_shown_to_whom_it_is_for(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    invited = BY_KEY["informal-carer"].engagement_id
    async with root.transaction():
        await root.execute(
            "insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, status,"
            " invited_at) values ($1, $2, 'person', $3, 'mantelzorger', false, 'all', 'invited', clock_timestamp())",
            *(own_stock.case_id, uuid4(), invited),
        )
        await root.execute("update case_head set dirty = false")
    for persona, shown in (("informal-carer", 1), ("gp", 0), ("gp-other", 0), ("citizen", 0)):
        async with acting(own_stock, root, app, persona):
            assert len(await app.fetch("select * from invitations()")) == shown, persona
            if persona == "informal-carer":
                for table in ("care_case", "thread", "case_event", "patient", "subject", "access_grant"):
                    assert await app.fetchval(f"select count(*) from {table}") == 0, table


async def test_a_consent_that_still_runs_does_not_expire(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    ends = datetime.now(UTC) + timedelta(hours=1)
    async with root.transaction():
        await root.execute("update consent set valid_until = $1", ends)
        await root.execute("update case_head set dirty = false")
    for instant, lapses in ((None, 0), (ends - timedelta(microseconds=1), 0), (ends, 1)):
        transaction = app.transaction()
        await transaction.start()
        if instant is not None:
            await app.execute("select set_config('app.instant', $1, true)", instant.isoformat())
        assert len(await app.fetch("select * from expire_consents($1)", own_stock.case_id)) == lapses
        await transaction.rollback()
        assert len(await app.fetch("select lapsed($1)", instant)) == lapses


GRANT = """
    select jsonb_agg(to_jsonb(g) - 'case_id' - 'announced' - 'granted_at' || $3::jsonb
                     || jsonb_build_object('id', gen_random_uuid()))
      from (select * from access_grant where case_id = $1 and engagement_id = $2 and category = $4 and domain = $5
             order by may_write desc limit 1) g
"""

OTHER = BY_KEY["gp-other"]
# What a derivation gone wrong, or somebody in its place, might ask for: whose grant is changed, and how.
UNFOUNDED: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "somebody who does not sit there": (
        *("gp", "medication", "care"),
        {"engagement_id": str(OTHER.engagement_id), "account_id": str(OTHER.account_id)},
    ),
    "somebody else's account": ("gp", "medication", "care", {"account_id": str(OTHER.account_id)}),
    "somebody else's seat": ("gp", "medication", "care", {"member_id": str(uuid4())}),
    "a patient of another case": ("gp", "medication", "care", {"patient_id": str(uuid4())}),
    "treatment that is not one": (
        "social-worker",
        "social_participation",
        "social",
        {
            "ground": "direct_treatment",
            "consent_id": None,
        },
    ),
    "a task that nobody recorded": (
        "social-worker",
        "social_participation",
        "social",
        {
            "ground": "public_task",
            "consent_id": None,
        },
    ),
    "somebody else's own file": ("gp", "medication", "care", {"ground": "subject"}),
    "safety_meldcode": ("gp", "medication", "care", {"category": "safety_meldcode"}),
    "debts by treatment": ("gp", "medication", "care", {"category": "finance_debt"}),
    "a category that was not consented": (
        "social-worker",
        "social_participation",
        "care",
        {"category": "medication"},
    ),
    "writing what is implied": (
        "social-worker",
        "social_participation",
        "care",
        {
            "category": "identification",
            "may_write": True,
        },
    ),
    "a consent that is not there": ("social-worker", "social_participation", "care", {"consent_id": str(uuid4())}),
    "before the consent": ("social-worker", "social_participation", "care", {"valid_from": "2026-01-01T00:00:00Z"}),
    "before the membership": ("gp", "medication", "care", {"valid_from": "2025-01-01T00:00:00Z"}),
}


@pytest.mark.parametrize("why", UNFOUNDED)
async def test_no_grant_rests_on_nothing(stock: Stock, connect: Connect, why: str) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    persona, category, domain, change = UNFOUNDED[why]
    of = (stock.case_id, BY_KEY[persona].engagement_id)
    asked = await root.fetchval(GRANT, *of, json.dumps(change), category, domain)
    plain = await root.fetchval(GRANT, *of, "{}", category, domain)
    async with acting(stock, root, app, "gp"):
        await app.fetchval("select lock_case($1)", stock.case_id)
        assert await app.fetchval("select replace_grants($1, '{}', $2)", stock.case_id, plain) > 0
    async with acting(stock, root, app, "gp"):
        await app.fetchval("select lock_case($1)", stock.case_id)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="rests on nothing"):
            await app.fetchval("select replace_grants($1, '{}', $2)", stock.case_id, asked)


LEFT_STANDING = {
    "withdrawn": "update consent set status = 'withdrawn', withdrawn_at = current_instant()",
    "ended": "update consent set valid_until = recorded_at + interval '1 microsecond'",
    "another kind": "update consent set kind = 'gdpr_basis'",
    "membership ended": "update member set status = 'ended', ended_at = current_instant() where engagement_id = "
    f"'{BY_KEY['social-worker'].engagement_id}'",
    "bound moved": "update consent set history_from_seq = 5",
}


@pytest.mark.parametrize("why", LEFT_STANDING)
async def test_what_a_grant_rested_on_cannot_go_and_leave_it_standing(
    own_stock: Stock, connect: Connect, why: str
) -> None:
    root = await connect(own_stock.urls.superuser)
    transaction = root.transaction()
    await transaction.start()
    await root.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, "gp"))
    await root.execute(LEFT_STANDING[why])
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="rests on nothing"):
        await root.fetchval("select replace_grants($1, '{}', '[]')", own_stock.case_id)
    await transaction.rollback()


async def test_places_and_subjects_are_ids_for_the_log(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    async with acting(stock, root, app, None):
        place = await app.fetchrow("select * from place_of('thread', $1)", stock.threads["medication"])
        assert tuple(place or ()) == (stock.case_id, stock.patient_id)
        assert await app.fetchrow("select * from place_of('thread', $1)", uuid4()) is None
        assert [row[0] for row in await app.fetch("select subjects_of($1)", stock.case_id)] == [stock.patient_id]
        told = await app.fetch("select consent_audience($1, $2)", stock.case_id, stock.consents["social-worker"])
        named = {BY_KEY[persona].engagement_id for persona in ("gp", "citizen", "social-worker")}
        assert {row[0] for row in told} == named
