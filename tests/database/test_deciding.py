"""The database makes no consent active without the yes of everybody whose say is recorded, whatever it is told."""

from uuid import UUID, uuid4

from app.identity.demo import BY_KEY
from tests.database.conftest import Connect, Connection, Stock, acting
from tests.database.test_fence import ASKED, SETTLE, verdict

SEAT = """
    insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, status, invited_at,
                        decided_at, invited_by_engagement_id)
    values ($1, $2, 'person', $3, 'wettelijk_vertegenwoordiger', false, 'all', 'accepted', now(), now(), $4)
"""
SAY = """
    insert into representation (case_id, id, patient_id, member_id, engagement_id, kind, evidence, capacity_lost,
                                valid_from, valid_until, recorded_by_account_id, recorded_by_engagement_id,
                                recorded_at)
    values ($1, $2, $3, $4, $5, $6, 'court-decision', false, now() - interval '1 day', $7, $8, $9, now())
"""
SAID = """
    insert into consent_decision (case_id, consent_id, ordinal, decider, representation_id, yes, decided_at, method,
                                  text_version, text_sha256, language, recorded_by_account_id,
                                  recorded_by_engagement_id, recorded_at)
    values ($1, $2, $3, case when $4::uuid is null then 'patient' else 'representative' end, $4, $5,
            current_instant(), 'written', 'nl-2026-1', repeat('0', 64), 'nl', $6, $7, current_instant())
"""


async def speaks(root: Connection, stock: Stock, persona: str, kind: str = "parent") -> UUID:
    """Seat a persona and record a say, past row-level security."""
    member, say, person, gp = uuid4(), uuid4(), BY_KEY[persona], BY_KEY["gp"]
    async with root.transaction():
        await root.execute(SEAT, stock.case_id, member, person.engagement_id, gp.engagement_id)
        values = (stock.case_id, say, stock.patient_id, member, person.engagement_id, kind, None)
        await root.execute(SAY, *values, gp.account_id, gp.engagement_id)
        await root.execute("update case_head set dirty = false")
    return say


async def asked(root: Connection, stock: Stock, **columns: str) -> UUID:
    """Turn the consent of the stock into one that nobody decided yet."""
    consent = stock.consents["social-worker"]
    async with root.transaction():
        await root.execute(ASKED, consent)
        await root.execute("delete from consent_decision where consent_id = $1", consent)
        for name, value in columns.items():
            await root.execute(f"update consent set {name} = $2 where id = $1", consent, value)
        await root.execute("update case_head set dirty = false")
    return consent


async def departed(root: Connection, consent: UUID, code: str) -> None:
    """Say that the table of deciders is departed from."""
    async with root.transaction():
        reason = b"\x00"
        statement = "update consent set departure = $2, departure_reason_sealed = $3 where id = $1"
        await root.execute(statement, consent, code, reason)
        await root.execute("update case_head set dirty = false")


async def test_every_parent_in_force_must_have_said_yes(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    mother, father = [await speaks(root, own_stock, one) for one in ("mother", "father")]
    consent, gp, case = await asked(root, own_stock), BY_KEY["gp"], own_stock.case_id

    async def settled(status: str, *said: tuple[UUID | None, bool]) -> str:
        async with acting(own_stock, root, app, "gp"):
            for ordinal, (person, yes) in enumerate(said, start=1):
                values = (case, consent, ordinal, person, yes, gp.account_id, gp.engagement_id)
                await app.execute(SAID, *values)
            return await verdict(app, SETTLE, case, consent, status)

    everybody = ((None, True), (mother, True), (father, True))
    assert await settled("active", (None, True)) == "refused"
    assert await settled("active", (None, True), (mother, True)) == "refused"
    assert await settled("active", (None, False), (mother, True), (father, True)) == "refused"
    assert await settled("active", *everybody, (father, False)) == "refused", "the last word counts"
    assert await settled("proposed", (None, True), (mother, False)) == "refused", "a no is final"
    assert await settled("refused", (None, True), (mother, False)) == "1"
    assert await settled("proposed", (None, True), (mother, True)) == "1"
    assert await settled("active", *everybody) == "1"
    await departed(root, consent, "court-order")
    assert await settled("active", (mother, True)) == "1"
    await departed(root, consent, "lasting-wish")
    assert await settled("active", (None, True)) == "1"
    assert await settled("active", (mother, True)) == "refused"


async def test_a_word_is_recorded_by_whose_it_is_or_by_a_professional(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    mother, father = [await speaks(root, own_stock, one) for one in ("mother", "father")]
    consent, case = await asked(root, own_stock), own_stock.case_id
    for persona, person, outcome in (
        ("gp", mother, "1"),
        ("gp", None, "1"),
        ("gp", uuid4(), "refused"),
        ("mother", mother, "1"),
        ("mother", father, "refused"),
        ("mother", None, "refused"),
        ("citizen", None, "1"),
        ("citizen", mother, "refused"),
        ("social-worker", None, "refused"),
    ):
        me = BY_KEY[persona]
        async with acting(own_stock, root, app, persona):
            values = (case, consent, 1, person, True, me.account_id, me.engagement_id)
            assert await verdict(app, SAID, *values) == outcome, (persona, person)
    async with acting(own_stock, root, app, "gp"):
        gp = BY_KEY["gp"]
        for ordinal, person in enumerate((None, mother, father), start=1):
            await app.execute(SAID, case, consent, ordinal, person, True, gp.account_id, gp.engagement_id)
        assert await app.fetchval("select count(*) from consent_decision") == 3
        for persona, seen in (("mother", 1), ("citizen", 3)):
            session = await own_stock.session_of(root, persona)
            await app.fetchrow("select * from enter($1, null)", session)
            found = "select count(*) from consent_decision where consent_id = $1"
            assert await app.fetchval(found, consent) == seen, persona


async def test_of_an_adult_who_cannot_decide_who_comes_first_must_have(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    partner, mentor = (
        await speaks(root, own_stock, "father", "partner"),
        await speaks(root, own_stock, "mother", "mentor"),
    )
    consent, gp, case = await asked(root, own_stock, capacity="incapable"), BY_KEY["gp"], own_stock.case_id
    for person, outcome in ((None, "refused"), (partner, "refused"), (mentor, "1")):
        async with acting(own_stock, root, app, "gp"):
            await app.execute(SAID, case, consent, 1, person, True, gp.account_id, gp.engagement_id)
            assert await verdict(app, SETTLE, case, consent, "active") == outcome, person
