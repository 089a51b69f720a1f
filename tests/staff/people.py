"""What tests about staff say again and again."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from app.access.vocabulary import Acr, ClientScope
from app.core.ids import AccountId, EngagementId, new_id
from app.crypto.sealing import seal_text
from app.identity.demo import BY_KEY, OTHER_PRACTICE, PRACTICE
from app.identity.directory import NAME_CATEGORY, name_place
from app.identity.sessions import Method
from app.identity.signing_in import sign_in
from tests.serving import Caller, Instance, MovableClock

Json = dict[str, Any]
HERE = f"/organisations/{PRACTICE.id}"
THERE = f"/organisations/{OTHER_PRACTICE.id}"
GP = {"name": {"given": "Sanne", "family": "Bos", "prefix": "van den"}, "role": "gp", "profession": "huisarts"}


@dataclass
class House:
    """A service, and what lies behind it."""

    instance: Instance
    owner: "asyncpg.Connection[asyncpg.Record]"
    clock: MovableClock

    async def as_(self, persona: str) -> Caller:
        """Return somebody signed in for the demo."""
        return await self.instance.as_(persona)

    async def admin(self) -> Caller:
        """Return the practice's admin."""
        return await self.as_("org-admin")

    async def signed_in(self, engagement_id: str, *scopes: ClientScope, acr: Acr = Acr.TWO_FACTOR) -> Caller:
        """Return somebody in an engagement, as if they had shown their factors; with scopes, an integration."""
        services = self.instance.app.state.services
        row = await self.owner.fetchrow("select * from engagement where id = $1", UUID(engagement_id))
        assert row is not None
        async with services.database.session() as db, db.begin():
            signed_in = await sign_in(
                db,
                account_id=AccountId(row["account_id"]),
                engagement_id=EngagementId(row["id"]),
                method=Method.CLIENT if scopes else Method.PASSWORD,
                acr=Acr.CLIENT_KEY if scopes else acr,
                issuer=services.issuer,
                digests=services.crypto.digests,
                now=services.clock(),
                scopes=scopes,
            )
        assert signed_in.access_token is not None
        return Caller(self.instance, row["role"], signed_in.access_token)

    async def integration(self, *scopes: ClientScope, organisation: UUID = PRACTICE.id) -> Caller:
        """Return an identity system of an organisation."""
        account, engagement = new_id(), new_id()
        key = await self.instance.app.state.services.crypto.data_keys.sealing(account, NAME_CATEGORY)
        name = seal_text(key, "A system", name_place(AccountId(account)))
        await self.owner.execute(
            "insert into account (id, name_sealed, created_at) values ($1, $2, now())", account, name
        )
        await self.owner.execute(
            "insert into engagement (id, account_id, organisation_id, role, profession, valid_from)"
            " values ($1, $2, $3, 'integration', 'systeem', now() - interval '1 day')",
            engagement,
            account,
            organisation,
        )
        return await self.signed_in(str(engagement), *scopes)


def staff(**more: object) -> Json:
    """Return the body that engages a GP."""
    return {**GP, **more}


def poh(responsible: str, **more: object) -> Json:
    """Return the body that engages a POH."""
    return {
        "name": {"given": "Tim", "family": "Jansen"},
        "role": "poh",
        "profession": "poh_ggz",
        "speciality": "ggz",
        "responsibleEngagementId": responsible,
        **more,
    }


def engagement_of(persona: str) -> str:
    """Return a persona's engagement."""
    return str(BY_KEY[persona].engagement_id)


def faults_of(answer: httpx.Response) -> dict[str, str]:
    """Return pointer and code of each fault of a 400."""
    assert answer.status_code == 400, answer.text
    return {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["code"]
