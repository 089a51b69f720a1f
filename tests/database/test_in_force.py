"""An engagement is in force by the one definition, however it is asked: as first written down, and in any state."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import asyncpg

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY, OTHER_PRACTICE, PRACTICE
from tests.database.conftest import Connection

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AROUND = tuple(NOW + timedelta(seconds=seconds) for seconds in (-1, 0, 1))
STATES = 400

# The rule as it was before it was written so that it can be read in place.
AS_FIRST_WRITTEN = """
select exists (
    select 1 from engagement e
      join account a on a.id = e.account_id and a.status = 'active'
      left join organisation o on o.id = e.organisation_id
      left join engagement r on r.id = e.responsible_engagement_id
      left join account b on b.id = r.account_id
      left join organisation q on q.id = r.organisation_id
     where e.id = $1 and e.suspended_at is null and e.valid_from <= $2
       and (e.valid_until is null or e.valid_until > $2)
       and (e.confirmed_until is null or e.confirmed_until > $2)
       and (o.id is null or o.status <> 'suspended')
       and (e.role <> 'poh' or (r.suspended_at is null and r.valid_from <= $2
            and (r.valid_until is null or r.valid_until > $2)
            and (r.confirmed_until is null or r.confirmed_until > $2)
            and b.status = 'active' and (q.id is null or q.status <> 'suspended'))))
"""


async def shuffle(connection: Connection, random: Random) -> None:
    """Give the GP, her POH, their accounts and organisations another state, mostly a sound one."""

    def seldom(value: object, otherwise: object) -> object:
        return value if random.random() < 0.12 else otherwise

    for key in ("gp", "poh"):
        one = BY_KEY[key]
        await connection.execute(
            "update account set status = $2 where id = $1", one.account_id, seldom("suspended", "active")
        )
        begin = random.choice(AROUND) if random.random() < 0.12 else NOW - timedelta(days=1)
        ends = [end for end in (*AROUND, NOW + timedelta(days=9)) if end > begin]
        await connection.execute(
            "update engagement set valid_from = $2, valid_until = $3, suspended_at = $4, confirmed_until = $5,"
            " organisation_id = $6 where id = $1",
            one.engagement_id,
            begin,
            seldom(random.choice(ends), None),
            seldom(NOW, None),
            seldom(random.choice(AROUND), NOW + timedelta(days=9)),
            seldom(None, random.choice((PRACTICE.id, OTHER_PRACTICE.id))),
        )
    for organisation in (PRACTICE, OTHER_PRACTICE):
        await connection.execute(
            "update organisation set status = $2 where id = $1", organisation.id, seldom("suspended", "active")
        )


async def session_of(connection: Connection, key: str) -> UUID:
    session_id = uuid4()
    await connection.execute(
        "select start_session($1, $2, $3, 'demo', 'demo', '{}', $4, 3600, null, null)",
        session_id,
        BY_KEY[key].account_id,
        BY_KEY[key].engagement_id,
        NOW,
    )
    return session_id


async def test_in_any_state_entering_agrees_with_the_rule_as_it_was_first_written(database: Urls) -> None:
    random = Random(20261122)
    root = await asyncpg.connect(database.superuser)
    await root.execute("set session_replication_role = replica")  # what follows from a change is not asked here
    sessions = {key: await session_of(root, key) for key in ("gp", "poh")}
    seen: dict[tuple[str, bool], int] = {}
    for _ in range(STATES):
        await shuffle(root, random)
        for key, session_id in sessions.items():
            engagement_id = BY_KEY[key].engagement_id
            expected = await root.fetchval(AS_FIRST_WRITTEN, engagement_id, NOW)
            assert await root.fetchval("select engagement_in_force($1, $2)", engagement_id, NOW) == expected
            entered = await root.fetchrow("select * from enter($1, $2, $3)", session_id, NOW, engagement_id)
            assert (entered is not None) == expected
            seen[(key, expected)] = seen.get((key, expected), 0) + 1
    await root.close()
    assert all(seen[(key, answer)] > STATES // 20 for key in sessions for answer in (True, False)), seen


async def test_entering_says_whose_engagement_it_is_and_on_whom_a_poh_rests(database: Urls) -> None:
    root = await asyncpg.connect(database.superuser)
    for key, responsible in (("gp", None), ("poh", BY_KEY["gp"].account_id)):
        one = BY_KEY[key]
        row = await root.fetchrow("select * from enter($1, $2)", await session_of(root, key), NOW)
        assert row is not None
        assert (row["account_id"], row["engagement_id"]) == (one.account_id, one.engagement_id)
        assert (row["responsible_account_id"], row["role"], row["speciality"]) == (
            responsible,
            one.role,
            one.speciality,
        )
    await root.close()


async def test_a_session_enters_no_engagement_of_another_account(database: Urls) -> None:
    root = await asyncpg.connect(database.superuser)
    session_id = await session_of(root, "gp")
    assert (
        await root.fetchrow("select * from enter($1, $2, $3)", session_id, NOW, BY_KEY["poh"].engagement_id) is None
    )
    await root.close()
