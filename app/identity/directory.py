"""Who is who: names, roles and organisations of engagements, opened once and kept at hand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from app.access.vocabulary import Role
from app.core.db import Pool
from app.core.ids import AccountId, EngagementId, OrganisationId
from app.crypto.sealing import Place, key_id_of, open_text
from app.crypto.service import DataKeys

NAME_CATEGORY = "identification"
PEOPLE_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Person:
    """An engagement as others see it."""

    engagement_id: EngagementId
    account_id: AccountId
    name: str
    role: Role
    organisation_id: OrganisationId | None
    organisation: str | None


def name_place(account_id: UUID) -> Place:
    """Return where an account's sealed name belongs; its key is the account's own."""
    return Place("account", "name_sealed", account_id, account_id, NAME_CATEGORY, None)


class Directory:
    """People by engagement. What is asked for again is answered from memory."""

    def __init__(self, pool: Pool, keys: DataKeys) -> None:
        self._pool = pool
        self._keys = keys
        self._people: dict[UUID, Person] = {}

    def at_hand(self, engagement_id: UUID | None) -> Person | None:
        """Return a person that was looked up before."""
        return None if engagement_id is None else self._people.get(engagement_id)

    async def people(self, engagement_ids: Iterable[UUID | None]) -> Mapping[UUID, Person]:
        """Return the people behind these engagements; ids that do not exist are absent."""
        wanted = {i for i in engagement_ids if i is not None}
        missing = wanted - self._people.keys()
        if missing:
            await self._load(missing)
        return {i: self._people[i] for i in wanted if i in self._people}

    async def _load(self, ids: Iterable[UUID]) -> None:
        if len(self._people) > PEOPLE_MAX:
            self._people.clear()
        rows = await self._pool.fetch(
            """
            select e.id, e.account_id, e.role, e.organisation_id, o.name as organisation, a.name_sealed
              from engagement e
              join account a on a.id = e.account_id
              left join organisation o on o.id = e.organisation_id
             where e.id = any($1)
            """,
            list(ids),
        )
        keys = await self._keys.opening(row["name_sealed"] for row in rows)
        for row in rows:
            sealed = row["name_sealed"]
            self._people[row["id"]] = Person(
                engagement_id=EngagementId(_plain(row["id"])),
                account_id=AccountId(_plain(row["account_id"])),
                name=open_text(keys[key_id_of(sealed)], sealed, name_place(row["account_id"])),
                role=Role(row["role"]),
                organisation_id=OrganisationId(_plain(row["organisation_id"])) if row["organisation_id"] else None,
                organisation=row["organisation"],
            )


def _plain(value: UUID) -> UUID:
    """Return the standard library's kind of UUID, which the serialiser of frames knows, for the driver's own."""
    return UUID(int=value.int)
