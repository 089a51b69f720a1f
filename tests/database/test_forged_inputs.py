"""What role ``app`` cannot record or end in somebody's name, whatever a service would have sent it."""

import asyncpg
import pytest

from app.identity.demo import BY_KEY
from tests.database.conftest import Connect, Connection, Stock, acting

REFUSED = (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError)

EXCLUDE = """
    insert into exclusion (case_id, id, patient_id, account_id, recorded_by_account_id, recorded_by_engagement_id,
                           recorded_at)
    values ($1, gen_random_uuid(), $2, $3, current_account(), current_engagement(), current_instant())
"""


async def _exclude(app: Connection, stock: Stock, persona: str) -> None:
    await app.execute(EXCLUDE, stock.case_id, stock.patient_id, BY_KEY[persona].account_id)


async def test_who_is_excluded_ends_no_exclusion_without_looking_for_it(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    ended = "update exclusion set ended_at = current_instant(), ended_by_engagement_id = current_engagement()"
    async with acting(own_stock, root, app, "gp"):
        await _exclude(app, own_stock, "poh")
        for persona, changed in (("poh", "UPDATE 0"), ("district-nurse", "UPDATE 1")):
            await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, persona))
            assert await app.execute(ended) == changed


@pytest.mark.parametrize("whom", ["citizen", "gp"])
async def test_nobody_excludes_the_citizen_or_themselves(own_stock: Stock, connect: Connect, whom: str) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    async with acting(own_stock, root, app, "gp"):
        with pytest.raises(REFUSED):
            await _exclude(app, own_stock, whom)


NEW_CASE = """
    insert into care_case (id, kind, status, organisation_id, domain, opened_by_account_id, opened_by_engagement_id,
                           opened_at)
    select gen_random_uuid(), kind, status, organisation_id, domain, opened_by_account_id, opened_by_engagement_id,
           opened_at from care_case where id = $1 returning id
"""


async def test_nobody_comes_to_a_case_while_it_is_said_whom_they_keep_away(
    own_stock: Stock, connect: Connect
) -> None:
    """Or a case opened meanwhile would be derived without the exclusion, and the exclusion without the case."""
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    come = "insert into subject (case_id, patient_id) values ($1, $2)"
    async with acting(own_stock, root, app, "gp"):
        assert await app.fetch("select hold_person($1, $2)", own_stock.case_id, own_stock.patient_id)
        opening = root.transaction()
        await opening.start()
        case = await root.fetchval(NEW_CASE, own_stock.case_id)
        await root.execute("insert into case_head (case_id) values ($1)", case)
        await root.execute("set local lock_timeout = '20ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await root.execute(come, case, own_stock.patient_id)
        await opening.rollback()
    opening = root.transaction()
    await opening.start()
    case = await root.fetchval(NEW_CASE, own_stock.case_id)
    await root.execute("insert into case_head (case_id) values ($1)", case)
    await root.execute(come, case, own_stock.patient_id)
    await opening.rollback()
    async with acting(own_stock, root, app, "gp-other"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.fetch("select hold_person($1, $2)", own_stock.case_id, own_stock.patient_id)
