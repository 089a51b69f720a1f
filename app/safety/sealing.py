"""Sealing of what is written about safety: JSON under the case's key of its own category, bound to row and author."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Category
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto

CATEGORY = Category.SAFETY_MELDCODE


async def seal_json(crypto: Crypto, value: object, place: Place) -> bytes:
    """Return the value sealed for its place."""
    return seal_text(await crypto.data_keys.sealing(place.scope, place.category), orjson.dumps(value).decode(), place)


def place_of(table: str, column: str, row: UUID, case_id: UUID, author: UUID) -> Place:
    """Return where a sealed column of a row belongs."""
    return Place(table, column, row, case_id, CATEGORY, author)


async def open_json(crypto: Crypto, table: str, column: str, rows: Sequence[RowMapping], row_id: str) -> list[Any]:
    """Return the sealed values of rows in their order, None where there is none; ``row_id`` names the id's column."""
    keys = await crypto.data_keys.opening(row[column] for row in rows if row[column] is not None)

    def opened(row: RowMapping) -> Any:
        sealed = row[column]
        if sealed is None:
            return None
        place = place_of(table, column, row[row_id], row["case_id"], row["recorded_by_account_id"])
        return orjson.loads(open_text(keys[key_id_of(sealed)], sealed, place))

    return [opened(row) for row in rows]
