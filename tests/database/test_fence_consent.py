"""What row-level security and the keeper's functions let each person do about consent as role ``app``."""

from typing import Any
from uuid import UUID, uuid4

from app.access.vocabulary import Category, Domain
from app.consent.bundles import BUNDLES, BUNDLES_VERSION
from app.identity.demo import BY_KEY
from tests.database.conftest import Connect, Connection, Stock, acting
from tests.database.test_deciding import SAID, asked, speaks
from tests.database.test_fence import CONSENT, verdict

REPRESENT = """
    insert into representation (case_id, id, patient_id, member_id, engagement_id, kind, evidence, capacity_lost,
                                valid_from, recorded_by_account_id, recorded_by_engagement_id, recorded_at)
    values ($1, gen_random_uuid(), $2, $3, $4, 'parent', 'court-decision', false, current_instant(),
            current_account(), current_engagement(), current_instant())
"""
WITHHOLD = """
    insert into withholding (case_id, id, representation_id, reason_sealed, recorded_by_account_id,
                             recorded_by_engagement_id, recorded_at)
    values ($1, gen_random_uuid(), $2, '\\x00', current_account(), current_engagement(), current_instant())
"""
OBJECT = """
    insert into objection (case_id, id, patient_id, member_id, categories, recorded_by_account_id,
                           recorded_by_engagement_id, recorded_at)
    values ($1, gen_random_uuid(), $2, $3, $4, current_account(), current_engagement(), current_instant())
"""
EXCLUDE = """
    insert into exclusion (case_id, id, patient_id, account_id, recorded_by_account_id, recorded_by_engagement_id,
                           recorded_at)
    values ($1, gen_random_uuid(), $2, $3, current_account(), current_engagement(), current_instant())
"""


async def test_who_sees_nothing_of_somebody_knows_nothing_of_who_speaks_for_them(
    own_stock: Stock, connect: Connect
) -> None:
    """The second social worker sits at the table and holds nothing."""
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    mother = await speaks(root, own_stock, "mother")
    seat: UUID = await root.fetchval("select member_id from representation where id = $1", mother)
    case, patient = own_stock.case_id, own_stock.patient_id
    say = (case, patient, seat, BY_KEY["mother"].engagement_id)
    refuse = (case, patient, own_stock.members["district-nurse"], ["medication"])
    for persona, seen, records, withholds, objects in (
        ("gp", 1, "1", "1", "1"),
        ("poh", 1, "refused", "1", "1"),
        ("social-worker", 1, "refused", "1", "1"),
        ("social-worker-2", 0, "refused", "refused", "refused"),
        ("gp-other", 0, "refused", "refused", "refused"),
        ("citizen", 1, "refused", "refused", "1"),
        ("mother", 1, "refused", "refused", "1"),
        ("father", 0, "refused", "refused", "refused"),
    ):
        async with acting(own_stock, root, app, persona):
            assert await app.fetchval("select count(*) from representation") == seen, persona
            assert await verdict(app, REPRESENT, *say) == records, persona
            assert await verdict(app, WITHHOLD, case, mother) == withholds, persona
            assert await verdict(app, OBJECT, *refuse) == objects, persona


async def test_a_representative_says_no_within_the_scope_and_never_to_another_one(
    own_stock: Stock, connect: Connect
) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    mother, _ = [await speaks(root, own_stock, one) for one in ("mother", "father")]
    case, patient = own_stock.case_id, own_stock.patient_id

    def away(persona: str) -> tuple[Any, ...]:
        return case, patient, BY_KEY[persona].account_id

    def no(categories: list[str] | None) -> tuple[Any, ...]:
        return case, patient, own_stock.members["district-nurse"], categories

    async with acting(own_stock, root, app, "mother"):
        assert await verdict(app, EXCLUDE, *away("poh")) == "1"
        assert await verdict(app, EXCLUDE, *away("father")) == "refused"
        assert await verdict(app, EXCLUDE, *away("citizen")) == "refused"
        assert await verdict(app, OBJECT, *no(None)) == "1"
        await app.execute(EXCLUDE, *away("poh"))
        await app.execute(OBJECT, *no(None))
        ended = "update {} set ended_at = current_instant(), ended_by_engagement_id = current_engagement()"
        for table in ("exclusion", "objection"):
            assert await app.fetchval(f"select count(*) from {table}") == 1
            assert await verdict(app, ended.format(table)) == "1", "one's own"
            await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, "father"))
            assert await app.fetchval(f"select count(*) from {table}") == 0
            assert await verdict(app, ended.format(table)) == "0", "and never another's"
            await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, "mother"))
    async with root.transaction():
        await root.execute("update representation set scope = '{medication}' where id = $1", mother)
        await root.execute("update case_head set dirty = false")
    async with acting(own_stock, root, app, "mother"):
        for statement, values, outcome in (
            (EXCLUDE, away("poh"), "refused"),
            (OBJECT, no(None), "refused"),
            (OBJECT, no(["medication", "education"]), "refused"),
            (OBJECT, no(["medication"]), "1"),
        ):
            assert await verdict(app, statement, *values) == outcome, values


TO = """
    insert into consent_recipient (case_id, consent_id, ordinal, type, recipient_id, role)
    values ($1, $2, $3, $4, $5, $6)
"""


NOW = BUNDLES_VERSION


async def put(app: Connection, stock: Stock, persona: str, *recipients: tuple[str, UUID | None, str | None]) -> UUID:
    """Record, as role ``app``, a consent of the persona's own domain to these recipients, and return its id."""
    me = BY_KEY[persona]
    domain = await app.fetchval("select domain from engagement where id = $1", me.engagement_id)
    values = (stock.case_id, stock.patient_id, "lift_secrecy", [domain], me.account_id, me.engagement_id, "0")
    await app.execute(CONSENT, *values)
    found = "select id from consent where recorded_by_engagement_id = $1 and status = 'asked'"
    made: UUID = await app.fetchval(found, me.engagement_id)
    for ordinal, recipient in enumerate(recipients):
        await app.execute(TO, stock.case_id, made, ordinal, *recipient)
    return made


async def test_nobody_records_a_yes_in_their_own_favour_in_whatever_order(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    worker = BY_KEY["social-worker"]
    organisation: UUID = await root.fetchval(
        "select organisation_id from engagement where id = $1", worker.engagement_id
    )
    teams = "select team_id from team_member where engagement_id = $1 limit 1"
    team = await root.fetchval(teams, worker.engagement_id)
    mine: tuple[tuple[str, UUID | None, str | None], ...] = (
        ("member", own_stock.members["social-worker"], None),
        ("organisation", organisation, None),
        ("role", None, "social_team"),
        *((("team", team, None),) if team else ()),
    )
    other = ("member", own_stock.members["poh"], None)
    me = (worker.account_id, worker.engagement_id)
    for recipient, yes, outcome in (
        *((one, True, "refused") for one in mine),
        *((one, False, "1") for one in mine),
        (other, True, "1"),
    ):
        async with acting(own_stock, root, app, "social-worker"):
            made = (
                await put(app, own_stock, "social-worker", other, recipient)
                if recipient != other
                else (await put(app, own_stock, "social-worker", other))
            )
            said = (own_stock.case_id, made, 1, None, yes, *me)
            assert await verdict(app, SAID, *said) == outcome, (recipient, yes)
    async with acting(own_stock, root, app, "social-worker"):
        made = await put(app, own_stock, "social-worker", other)
        await app.execute(SAID, own_stock.case_id, made, 1, None, True, *me)
        assert await verdict(app, TO, own_stock.case_id, made, 1, *mine[0]) == "refused", "nor afterwards"
    async with acting(own_stock, root, app, "social-worker"):
        made = await put(app, own_stock, "social-worker", other)
        at_once = f"with a as ({SAID.strip()}) {TO.replace('$1, $2, $3, $4, $5, $6', '$1, $2, 1, $8, $9, null')}"
        values = (own_stock.case_id, made, 1, None, True, *me, "member", own_stock.members["social-worker"])
        assert await verdict(app, at_once, *values) == "refused", "nor in one statement"


async def test_a_bundle_asks_of_another_domain_what_that_bundle_asks(stock: Stock, connect: Connect) -> None:
    root, app = await connect(stock.urls.superuser), await connect(stock.urls.app)
    ask = """
        insert into consent (case_id, id, patient_id, kind, status, from_domains, categories, both_ways, history,
                             history_from_seq, threads_from_seq, purpose, regime, capacity, recorded_by_account_id,
                             recorded_by_engagement_id, recorded_at, valid_from, bundle, bundle_version,
                             bundle_use_id)
        select $1, gen_random_uuid(), $2, 'lift_secrecy', 'asked', $3, $4, $7, 'from-now', 0, h.seq + 1, 'CAREMGT',
               'wgbo', 'capable', current_account(), current_engagement(), current_instant(), current_instant(), $5,
               $6, gen_random_uuid() from case_head h where h.case_id = $1
    """
    for persona, domains, categories, bundle, version, both, outcome in (
        ("social-worker", ["care"], ["functional_adl"], "langer-thuis", NOW, True, "1"),
        (
            "social-worker",
            ["care"],
            ["functional_adl", "medication"],
            "langer-thuis",
            BUNDLES_VERSION,
            True,
            "refused",
        ),
        ("social-worker", ["youth"], ["functional_adl"], "langer-thuis", NOW, True, "refused"),
        ("social-worker", ["care"], ["functional_adl"], "langer-thuis", "2020-1", True, "refused"),
        ("social-worker", ["care"], ["medication"], "verzonnen", NOW, True, "refused"),
        ("social-worker", ["care"], ["practical_coordination"], "naaste-agenda", NOW, True, "refused"),
        ("social-worker", ["care"], ["practical_coordination"], "naaste-agenda", NOW, False, "1"),
        ("social-worker-2", ["care"], ["functional_adl"], "langer-thuis", NOW, True, "refused"),
        ("gp", ["social"], ["finance_debt"], "rust-in-geld", NOW, True, "1"),
        ("gp", ["social"], ["medication"], "epa-fact", NOW, True, "refused"),
    ):
        async with acting(stock, root, app, persona):
            values = (stock.case_id, stock.patient_id, domains, categories, bundle, version, both)
            assert await verdict(app, ask, *values) == outcome, (persona, domains, categories, bundle)


async def test_the_database_knows_the_bundles_of_the_code(stock: Stock, connect: Connect) -> None:
    app = await connect(stock.urls.app)
    asks = "select bundle_asks($1, $2, $3, array[$4::text], array[$5::text])"
    for bundle in BUNDLES:
        for domain in Domain:
            lines = [line for line in bundle.lines if domain in line.lifts]
            most: set[Category] = set().union(*(line.categories | bundle.ticks for line in lines)) if lines else set()
            if domain is Domain.CARE:
                most = most.union(*(line.care_only for line in lines))
            for category in Category:
                values = (bundle.code, BUNDLES_VERSION, bundle.both_ways, domain, category)
                assert await app.fetchval(asks, *values) == (category in most), values


async def test_a_consent_gives_way_to_a_renewal_that_was_decided_here_and_now_alone(
    own_stock: Stock, connect: Connect
) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    gp, old = BY_KEY["gp"], own_stock.consents["social-worker"]
    renew = """
        insert into consent (case_id, id, patient_id, kind, status, from_domains, categories, both_ways, history,
                             history_from_seq, threads_from_seq, purpose, regime, capacity, recorded_by_account_id,
                             recorded_by_engagement_id, recorded_at, valid_from, refers_to_id, refers_as)
        select case_id, $2, patient_id, kind, 'asked', from_domains, $3, both_ways, history, 0,
               (select h.seq + 1 from case_head h where h.case_id = consent.case_id), purpose, regime, capacity,
               current_account(), current_engagement(), current_instant(), current_instant(), id, $4
          from consent where id = $1
    """
    succeed, settle = "select succeed_consent($1, $2)", "select settle_consent($1, $2, 'active', null, null)"
    status = "select status from consent where id = $1"
    for as_, categories, to, decided, outcome in (
        ("renewal", ["social_participation"], "social-worker", True, "superseded"),
        ("renewal", ["social_participation"], "social-worker", False, "refused"),
        ("renewal", ["social_participation", "medication"], "social-worker", True, "refused"),
        ("renewal", ["social_participation"], "poh", True, "refused"),
        ("addition", ["social_participation"], "social-worker", True, "refused"),
    ):
        new = uuid4()
        async with acting(own_stock, root, app, "gp"):
            await app.execute(renew, old, new, categories, as_)
            await app.execute(TO, own_stock.case_id, new, 0, "member", own_stock.members[to], None)
            if decided:
                await app.execute(SAID, own_stock.case_id, new, 1, None, True, gp.account_id, gp.engagement_id)
                await app.execute(settle, own_stock.case_id, new)
            found = await verdict(app, succeed, own_stock.case_id, new)
            if found != "refused":
                await app.execute(succeed, own_stock.case_id, new)
                found = await app.fetchval(status, old)
            assert found == outcome, (as_, categories, to, decided)
    for persona in ("citizen", "social-worker", "gp-other"):
        async with acting(own_stock, root, app, persona):
            assert await verdict(app, succeed, own_stock.case_id, old) == "refused", persona


async def test_a_reminder_is_moved_by_who_decides_or_by_time(own_stock: Stock, connect: Connect) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    move = "select remind_of($1, $2, 'infinity')"
    moved = "select next_reminder_at = 'infinity' from consent where id = $1"
    consent = own_stock.consents["social-worker"]
    for persona in ("gp", "citizen", "social-worker", "gp-other"):
        async with acting(own_stock, root, app, persona):
            await app.execute(move, own_stock.case_id, consent)
            assert not await app.fetchval(moved, consent), persona
    async with acting(own_stock, root, app, None):
        await app.execute("select set_config('app.instant', clock_timestamp()::text, true)")
        await app.execute(move, own_stock.case_id, consent)
        await app.fetchrow("select * from enter($1, null)", await own_stock.session_of(root, "gp"))
        assert await app.fetchval(moved, consent)
    await asked(root, own_stock)
    gp = BY_KEY["gp"]
    async with acting(own_stock, root, app, "gp"):
        await app.execute(SAID, own_stock.case_id, consent, 1, None, True, gp.account_id, gp.engagement_id)
        await app.execute("select settle_consent($1, $2, 'active', null, null)", own_stock.case_id, consent)
        await app.execute(move, own_stock.case_id, consent)
        assert await app.fetchval(moved, consent), "here and now"


LOOKED = """
    select actor_role, action, category, consent_id
      from who_looked(now() - interval '1 day', now() + interval '1 day', null, null, 1000)
"""


async def test_who_looked_is_told_to_whom_it_is_about_and_who_represents_them(
    own_stock: Stock, connect: Connect
) -> None:
    root, app = await connect(own_stock.urls.superuser), await connect(own_stock.urls.app)
    mother, _ = [await speaks(root, own_stock, one) for one in ("mother", "father")]
    for persona in ("gp", "poh", "social-worker", "gp-other", "auditor", "privacy-officer", "informal-carer"):
        async with acting(own_stock, root, app, persona):
            assert await app.fetch(LOOKED) == [], persona

    async def told(persona: str) -> list[tuple[Any, ...]]:
        async with acting(own_stock, root, app, persona):
            return [tuple(row) for row in await app.fetch(LOOKED)]

    own, hers = await told("citizen"), await told("mother")
    assert {role for role, *_ in own} >= {"gp", "poh", "social_team"}
    assert set(hers) <= set(own)
    assert {category for _, _, category, _ in hers} >= {"medication", "social_participation"}
    async with root.transaction():
        await root.execute("update representation set scope = '{medication}' where id = $1", mother)
        await root.execute("update case_head set dirty = false")
    assert {category for _, _, category, _ in await told("mother")} <= {"medication", None}
    gp = BY_KEY["gp"]
    async with root.transaction():
        withhold = WITHHOLD.replace("current_account(), current_engagement(), current_instant()", "$3, $4, now()")
        await root.execute(withhold, own_stock.case_id, mother, gp.account_id, gp.engagement_id)
        await root.execute("update case_head set dirty = false")
    assert await told("mother") == [], "what is withheld stays withheld"
    async with root.transaction():
        await root.execute("update representation set valid_until = now() where id = $1", mother)
        await root.execute("update case_head set dirty = false")
    assert await told("mother") == []
    assert await told("father")
