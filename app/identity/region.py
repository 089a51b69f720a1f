"""The first start of a real deployment: the region organisation, its first administrator, and a code to enrol with.

Row-level security lets only an administrator write the directory, and at first there is none. No login that serves
gets a right for this one occasion: the tables' owner does it, whose login is used for migrations alone, acting as
``keeper``, which can write rows and change no table.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.vocabulary import Role
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who
from app.core.ids import AccountId, OrganisationId, new_id
from app.crypto.sealing import seal_text
from app.crypto.service import Crypto
from app.identity.directory import NAME_CATEGORY, name_place
from app.identity.enrolment import Purpose, issue_enrolment
from app.identity.founding import CODE_LIFETIME, Founded, Founding, FoundingRefused, Why

ACTION = "region:init"
NAME_CHARS_MAX = 200
CONFIRMED_FOR = timedelta(days=365)


async def found_region(db: AsyncSession, crypto: Crypto, founding: Founding, *, source: str) -> Founded:
    """Make the region, its administrator and a one-time code, in the transaction of the owner's ``db``.

    Raises:
        FoundingRefused: there is an administrator and ``another`` is None, or a name cannot be one.
    """
    for name in (founding.region, founding.name):
        if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable() or name != name.strip():
            raise FoundingRefused(f"A name has 1 to {NAME_CHARS_MAX} printable characters and no space around it.")
    await db.execute(text("set local role keeper"))
    # Two starts at once would both find nobody.
    await db.execute(text("select pg_advisory_xact_lock(hashtext('overlegtafel init'))"))
    there = (await db.execute(text("select count(*) from engagement where role = 'region_admin'"))).scalar_one()
    if there and founding.another is None:
        raise FoundingRefused(
            "This region has an administrator, who makes others. Where nobody can sign in as one any more, say "
            "--another and --reason; that is recorded."
        )
    now: datetime = (await db.execute(text("select transaction_timestamp()"))).scalar_one()
    organisation_id, touches = await _region(db, founding.region, now)
    account_id, engagement_id = AccountId(new_id()), new_id()
    key = await crypto.data_keys.sealing(account_id, NAME_CATEGORY)
    await db.execute(
        text("insert into account (id, name_sealed, created_at) values (:id, :name, :now)"),
        {"id": account_id, "name": seal_text(key, founding.name, name_place(account_id)), "now": now},
    )
    await db.execute(
        text(
            "insert into engagement (id, account_id, organisation_id, role, profession, valid_from, confirmed_until)"
            " values (:id, :account, :organisation, :role, 'beheerder', :now, :until)"
        ),
        {
            "id": engagement_id,
            "account": account_id,
            "organisation": organisation_id,
            "role": Role.REGION_ADMIN,
            "now": now,
            "until": now + CONFIRMED_FOR,
        },
    )
    code = await issue_enrolment(
        db,
        crypto.digests,
        account_id=account_id,
        purpose=Purpose.INIT,
        created_by=None,
        now=now,
        lifetime=CODE_LIFETIME,
    )
    touches += [Touch("account", account_id), Touch("engagement", engagement_id)]
    await _record(db, touches, founding.another, now, source)
    return Founded(organisation_id, account_id, code, now + CODE_LIFETIME)


async def _region(db: AsyncSession, name: str, now: datetime) -> tuple[OrganisationId, list[Touch]]:
    """Return the region organisation of this name, made if there is none, and what making it touched."""
    found: UUID | None = (
        await db.execute(
            text("select id from organisation where kind = 'region' and name = :name and status = 'active' limit 1"),
            {"name": name},
        )
    ).scalar_one_or_none()
    if found is not None:
        return OrganisationId(found), []
    made = OrganisationId(new_id())
    await db.execute(
        text("insert into organisation (id, kind, name, created_at) values (:id, 'region', :name, :now)"),
        {"id": made, "name": name, "now": now},
    )
    return made, [Touch("organisation", made)]


async def _record(db: AsyncSession, touches: Sequence[Touch], why: Why | None, now: datetime, source: str) -> None:
    records = [
        Record(
            action=ACTION,
            action_code=ActionCode.CREATE,
            outcome=Outcome.SUCCESS,
            who=Who(),
            touch=touch,
            origin=Origin("system", None, None),
            reason=None if why is None else why.value,
        )
        for touch in touches
    ]
    await audit.record(db, records, at=now, source=source)
