"""What people wrote, sealed into the events of the stream: bound to case, event, category and author."""

from collections.abc import Iterable, Mapping
from typing import Protocol
from uuid import UUID

from app.core.ids import AccountId, CaseId, EventId
from app.crypto.sealing import DataKey, Place, key_id_of, open_text, seal_text
from app.crypto.service import DataKeys


class Sealed(Protocol):
    """A row of the stream with a body."""

    @property
    def id(self) -> UUID:
        """The event."""

    @property
    def case_id(self) -> UUID:
        """The case."""

    @property
    def category(self) -> str | None:
        """The category it is labelled with."""

    @property
    def actor_account_id(self) -> UUID | None:
        """The author."""

    @property
    def body_sealed(self) -> bytes | None:
        """The ciphertext."""


def place(event_id: UUID, case_id: UUID, category: str, author: UUID | None) -> Place:
    """Return where a body belongs; sealed for one place it opens at no other."""
    return Place("case_event", "body_sealed", event_id, case_id, category, author)


def seal_with(key: DataKey, text: str, event_id: EventId, case_id: CaseId, category: str, author: AccountId) -> bytes:
    """Return the text sealed into the place of its event."""
    return seal_text(key, text, place(event_id, case_id, category, author))


async def seal_body(
    keys: DataKeys, text: str, *, event_id: EventId, case_id: CaseId, category: str, author: AccountId
) -> bytes:
    """Return the text sealed into the place of its event, under the case's key for the category.

    Raises:
        KeyDestroyed: the case or this category of it was erased.
    """
    return seal_with(await keys.sealing(case_id, category), text, event_id, case_id, category, author)


async def open_bodies(keys: DataKeys, rows: Iterable[Sealed]) -> Mapping[UUID, str]:
    """Return the texts by event id, for the rows that have one.

    Raises:
        SealBroken: a row was changed, moved, relabelled or attributed to somebody else.
        KeyDestroyed: a row's key was erased.
    """
    sealed = [row for row in rows if row.body_sealed is not None]
    found = await keys.opening(row.body_sealed for row in sealed)
    return {row.id: open_body(found, row) for row in sealed}


def open_body(keys: Mapping[UUID, DataKey], row: Sealed) -> str:
    """Return one row's text, with the keys at hand.

    Raises:
        SealBroken: as for :func:`open_bodies`.
    """
    sealed = row.body_sealed or b""
    return open_text(
        keys[key_id_of(sealed)], sealed, place(row.id, row.case_id, row.category or "", row.actor_account_id)
    )
