"""Every operation of the document, asked by every persona of every organisation, against ``matrix.txt``.

Each is asked with a query parameter that no operation has. A permit comes before the query is read, so a 400 means
that the persona got past every check of who it is, and nothing is changed by asking. Whoever adds an operation or a
persona writes the table again (``WRITE_MATRIX=1``) and reads every line that changed: the table is the expectation.

    x  would be let in        -  its role never may (403)
    !  needs a factor (401)   .  not there for it (404)
"""

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.identity.demo import BY_KEY, PERSONAS, PRACTICE, TEAM_ID
from tests.api.room import ABSENT, Room
from tests.serving import Caller

TABLE = Path(__file__).with_name("matrix.txt")
MARKS = {400: "x", 401: "!", 403: "-", 404: "."}
SIGNED_OUT = "nobody"


def operations(room: Room) -> dict[str, tuple[str, str]]:
    """Return method and path of every operation that the document shows, by its id."""
    document: dict[str, Any] = orjson.loads(room.app.state.document())
    return {
        operation["operationId"]: (method, path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "post", "put", "patch", "delete"}
    }


class PathIds(dict[str, object]):
    """The room's things, the practice's people, and for whatever else there is: an id of nothing."""

    def __missing__(self, name: str) -> str:
        return ABSENT


def ids_of(room: Room) -> PathIds:
    poh = BY_KEY["poh"]
    own: dict[str, UUID] = {
        "organisationId": PRACTICE.id,
        "engagementId": poh.engagement_id,
        "accountId": poh.account_id,
        "teamId": TEAM_ID,
    }
    return PathIds({**room.path_ids(), **own})


async def mark(room: Room, caller: Caller | None, method: str, path: str) -> str:
    """Return how one persona fares with one operation."""
    address = path.removeprefix("/api/v1").format_map(ids_of(room)) + "?noSuchParameter=1"
    if caller is None:
        answer = await room.anonymous(method, address)
    else:
        answer = await caller.request(method, address)
    return MARKS.get(answer.status_code, str(answer.status_code))


Marks = dict[str, dict[str, str]]
"""A mark for each operation and column."""
COLUMNS = [SIGNED_OUT, *(persona.key for persona in PERSONAS)]
FEW = [SIGNED_OUT, "gp", "gp-other", "social-worker", "citizen", "auditor"]


async def marks(room: Room, columns: list[str]) -> Marks:
    """Return how each of them fares with every operation."""
    callers = {name: None if name == SIGNED_OUT else await room.as_(name) for name in columns}
    return {
        operation: {name: await mark(room, caller, method, path) for name, caller in callers.items()}
        for operation, (method, path) in sorted(operations(room).items())
    }


def written(found: Marks) -> str:
    """Return the whole table, a line per operation."""
    width = max(map(len, found))
    lines = [f"{'':{width}}  {number:2}: {column}" for number, column in enumerate(COLUMNS)]
    for name, row in found.items():
        lines.append(f"{name:{width}}  " + " ".join(f"{row[column]:>3}" for column in COLUMNS))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def read() -> Marks:
    """Return the table as it is committed."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    columns = [line.split(":")[1].strip() for line in lines if ":" in line]
    assert columns == COLUMNS
    rows = [line.split() for line in lines if ":" not in line]
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows}


async def test_few_get_from_every_operation_what_the_table_says(room: Room) -> None:
    expected = {operation: {name: row[name] for name in FEW} for operation, row in read().items()}
    assert await marks(room, FEW) == expected


@pytest.mark.heavy
async def test_every_persona_gets_from_every_operation_what_the_table_says(room: Room) -> None:
    found = await marks(room, COLUMNS)
    if os.environ.get("WRITE_MATRIX"):
        TABLE.write_text(written(found), encoding="utf-8")
    assert written(found).splitlines() == TABLE.read_text(encoding="utf-8").splitlines()


def test_the_table_lets_nobody_in_who_is_not_signed_in() -> None:
    """Read from the table alone, so that a table that was written again without being read does not pass."""
    rows = read()
    public = {name for name, row in rows.items() if row[SIGNED_OUT] == "x"}
    assert public <= PUBLIC, public - PUBLIC
    on_cases = {name for name, row in rows.items() if (row["gp"], row["gp-other"]) == ("x", ".")}
    assert {"readCase", "postMessage", "giveConsent", "listMembers"} <= on_cases
    for name in on_cases:
        assert {rows[name][one] for one in ("auditor", "org-admin", "region-admin", "integration")} <= {"-"}, name


PUBLIC = {
    "health",
    "readiness",
    "listDemoPersonas",
    "issueDemoToken",
    "refreshToken",
    "listLogInProviders",
    "beginOidcLogIn",
    "completeOidcLogIn",
    "beginPasskeyLogIn",
    "logIn",
    "enrol",
}
"""Operations for which nobody has to sign in."""
