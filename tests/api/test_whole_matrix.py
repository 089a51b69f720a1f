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


async def table(room: Room) -> str:
    """Return the whole table, a line per operation."""
    known = operations(room)
    columns = [SIGNED_OUT, *(persona.key for persona in PERSONAS)]
    callers: list[Caller | None] = [None, *[await room.as_(key) for key in columns[1:]]]
    width = max(map(len, known))
    lines = [f"{'':{width}}  {number:2}: {column}" for number, column in enumerate(columns)]
    for name, (method, path) in sorted(known.items()):
        marks = [await mark(room, caller, method, path) for caller in callers]
        lines.append(f"{name:{width}}  " + " ".join(f"{one:>3}" for one in marks))
    return "\n".join(line.rstrip() for line in lines) + "\n"


async def test_every_persona_gets_from_every_operation_what_the_table_says(room: Room) -> None:
    found = await table(room)
    if os.environ.get("WRITE_MATRIX"):
        TABLE.write_text(found, encoding="utf-8")
    expected = TABLE.read_text(encoding="utf-8").splitlines()
    assert found.splitlines() == expected


def test_the_table_lets_nobody_in_who_is_not_signed_in() -> None:
    """Read from the table alone, so that a table that was written again without being read does not pass."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if ":" not in line}
    columns = [line.split(":")[1].strip() for line in lines if ":" in line]
    assert all(len(row) == len(columns) for row in rows.values())
    public = {name for name, row in rows.items() if row[0] == "x"}
    assert public <= PUBLIC, public - PUBLIC
    outsiders = [columns.index(name) for name in ("auditor", "org-admin", "region-admin", "integration")]
    on_cases = {
        name
        for name, row in rows.items()
        if row[columns.index("gp")] == "x" and row[columns.index("gp-other")] == "."
    }
    assert {"readCase", "postMessage", "giveConsent", "listMembers"} <= on_cases
    for name in on_cases:
        assert {rows[name][one] for one in outsiders} <= {"-"}, name


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
