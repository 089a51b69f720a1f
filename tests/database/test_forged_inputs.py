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
