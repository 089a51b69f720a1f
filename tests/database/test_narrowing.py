"""A consent gives way to less of itself alone, as role ``app``, whatever the service would have said."""

from typing import Any
from uuid import UUID, uuid4

from app.identity.demo import BY_KEY
from tests.database.conftest import Connect, Stock, acting
from tests.database.test_fence import verdict

NARROW = "select narrow_consent($1, $2, $3, $4, $5, $6, null, current_instant(), 'oral_recorded')"
LEFT = "select categories, history_from_seq, valid_until, text_sha256 from consent where refers_to_id = $1"


async def test_nothing_narrows_a_consent_but_what_takes_something_out_of_it(
    own_stock: Stock, connect: Connect
) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    case, consent = own_stock.case_id, own_stock.consents["social-worker"]
    had: list[str] = await root.fetchval("select categories from consent where id = $1", consent)
    before = await root.fetchrow(
        "select history_from_seq, valid_until, text_sha256 from consent where id = $1", consent
    )

    def values(categories: list[str] | None, recipients: list[int] | None = None, ids: int = 1) -> tuple[Any, ...]:
        made: list[UUID] = [uuid4() for _ in range(ids)]
        return case, consent, made, [None] * ids, categories, recipients

    if len(had) < 2:
        had = [*had, "living_situation"]
        async with root.transaction():
            await root.execute("update consent set categories = $2 where id = $1", consent, had)
            await root.execute("update case_head set dirty = false")
    one = had[:1]
    for persona, outcome in (
        ("citizen", "1"),
        ("gp", "1"),
        ("social-worker", "1"),
        ("poh", "refused"),
        ("social-worker-2", "refused"),
        ("gp-other", "refused"),
    ):
        async with acting(own_stock, root, app, persona):
            assert await verdict(app, NARROW, *values(one)) == outcome, persona
    async with acting(own_stock, root, app, "citizen"):
        for wrong in (
            values(["finance_debt"]),
            values([*one, "finance_debt"]),
            values(had),
            values([]),
            values(None),
            values(None, [0]),
            values(None, [7]),
            values(one, ids=2),
            values(one, ids=0),
        ):
            assert await verdict(app, NARROW, *wrong) == "refused", wrong
        await app.execute(NARROW, *values(one))
        (left,) = await app.fetch(LEFT, consent)
        assert left["categories"] == had[1:]
        assert tuple(left)[1:] == tuple(before or ())
        assert await verdict(app, NARROW, *values(one)) == "refused", "it has given way already"
    forged = """
        insert into consent (case_id, id, patient_id, kind, status, from_domains, categories, both_ways, history,
                             history_from_seq, threads_from_seq, purpose, regime, capacity, recorded_by_account_id,
                             recorded_by_engagement_id, recorded_at, valid_from, refers_to_id, refers_as)
        select case_id, gen_random_uuid(), patient_id, kind, 'asked', from_domains, categories, both_ways, history,
               history_from_seq, (select h.seq + 1 from case_head h where h.case_id = consent.case_id), purpose,
               regime, capacity, $2, $3, current_instant(), current_instant(), id, $4 from consent where id = $1
    """
    gp = BY_KEY["gp"]
    async with acting(own_stock, root, app, "gp"):
        for as_, outcome in (("renewal", "1"), ("narrowing", "refused")):
            assert await verdict(app, forged, consent, gp.account_id, gp.engagement_id, as_) == outcome
