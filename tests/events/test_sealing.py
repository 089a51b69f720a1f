"""What people wrote opens in its own row alone; moved, relabelled or attributed to somebody else it opens nowhere."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.cli.postgres import Urls
from app.core.ids import AccountId, CaseId, EventId
from app.crypto.errors import SealBroken
from app.crypto.sealing import DataKey
from app.events.bodies import open_body, seal_with
from app.identity.demo import BY_KEY
from tests.serving import Caller, Instance
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import talking

EVENT = EventId(UUID("0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a01"))
CASE = CaseId(UUID("0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a02"))
AUTHOR = AccountId(UUID("0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a03"))
KEY = DataKey(UUID("0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a04"), CASE, "medication", 1, bytes(range(32)))
SAID = "Mevrouw neemt de tabletten niet meer in."
KNOWN = (
    "01010b9e7d3c5a354c559f0e3f1f3f1b2a04000102030405060708090a0b0a67a069aa90b53be324f2e6c5c91c08"
    "a3a2e6569c1e2b085d09c5eb740c74926c75cb8e8fa87cb678245004c3a9d6274a34a85075f9d7d4"
)


def prefixed(*parts: bytes) -> bytes:
    """Return the parts, each behind its length in four bytes, as the page on sealing says."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def test_an_event_s_text_is_sealed_to_a_known_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed here again from the page: format, algorithm, key id, nonce, ciphertext, tag; bound to its place."""
    with monkeypatch.context() as fixed:
        fixed.setattr(os, "urandom", lambda count: bytes(range(count)))
        sealed = seal_with(KEY, SAID, EVENT, CASE, "medication", AUTHOR)
    place = prefixed(
        *(b"\x01", b"\x01", b"case_event", b"body_sealed", EVENT.bytes, CASE.bytes, b"medication"),
        *(AUTHOR.bytes, KEY.id.bytes),
    )
    nonce = bytes(range(12))
    expected = b"\x01\x01" + KEY.id.bytes + nonce + AESGCM(bytes(range(32))).encrypt(nonce, SAID.encode(), place)
    assert sealed == expected
    assert sealed.hex() == KNOWN


OTHER = UUID("0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2aff")


@pytest.mark.parametrize(
    "change",
    [
        *({"id": OTHER}, {"case_id": OTHER}, {"category": "zrm"}, {"category": None}),
        *({"actor_account_id": OTHER}, {"actor_account_id": None}),
    ],
    ids=str,
)
def test_a_text_opens_in_its_own_row_alone(change: dict[str, object]) -> None:
    row = {"id": EVENT, "case_id": CASE, "category": "medication", "actor_account_id": AUTHOR}
    row["body_sealed"] = seal_with(KEY, SAID, EVENT, CASE, "medication", AUTHOR)
    assert open_body({KEY.id: KEY}, SimpleNamespace(**row)) == SAID
    with pytest.raises(SealBroken) as broken:
        open_body({KEY.id: KEY}, SimpleNamespace(**{**row, **change}))
    assert "tabletten" not in f"{broken.value!r} {broken.value.__cause__!r} {broken.value.__context__!r}"


@dataclass
class Cabinet:
    """Two cases with what was said in them, and the hands of a database administrator."""

    table: Table
    other: Table
    root: "asyncpg.Connection[asyncpg.Record]"
    threads: dict[str, str]
    texts: dict[str, str]
    ids: dict[str, UUID]

    async def as_(self, persona: str) -> Caller:
        """Return a caller."""
        return await self.table.as_(persona)


@pytest.fixture
async def cabinet(instance: Instance, database: Urls) -> AsyncIterator[Cabinet]:
    table = await open_table(instance, question="Vraagje kanarie-vraag?")
    other = await open_table(instance, question="Andere kanarie-vraag?")
    await seat(table, "poh", direct=True)
    await seat(table, "social-worker")
    threads = {
        "medication": await thread(table, "medication", title="Titel kanarie-een"),
        "social": await thread(table, "social_participation", title="Titel kanarie-twee"),
        "other": await thread(other, "medication", title="Titel kanarie-drie"),
    }
    await consent(table, "social-worker", "social_participation")
    texts, ids = {}, {}
    for name, persona, where in (
        ("gp 1", "gp", "medication"),
        ("gp 2", "gp", "medication"),
        ("poh", "poh", "medication"),
        ("gp social", "gp", "social"),
        ("gp other", "gp", "other"),
    ):
        texts[name] = f"Kanarie van {name}: hij zingt."
        caller = await table.as_(persona)
        ids[name] = UUID(str((await caller.made(f"/threads/{threads[where]}/messages", {"text": texts[name]}))["id"]))
    root = await asyncpg.connect(database.superuser)
    yield Cabinet(table, other, root, threads, texts, ids)
    await root.close()


BODY = "(select body_sealed from case_event where id = '{}')"

# What somebody with the database's own hands does; {names} are messages, and the first one named is then read.
TAMPERING = {
    "the author's own other text": "update case_event set body_sealed = {gp 2} where id = {id:gp 1}",
    "another author's text": "update case_event set body_sealed = {poh} where id = {id:gp 1}",
    "the text of another category": "update case_event set body_sealed = {gp social} where id = {id:gp 1}",
    "the text of another case": "update case_event set body_sealed = {gp other} where id = {id:gp 1}",
    "somebody else as its author": "update case_event set actor_account_id = '{account:poh}',"
    " actor_engagement_id = '{engagement:poh}' where id = {id:gp 1}",
    "another label": "with relabelled as (update thread set category = 'social_participation' where id ="
    " (select thread_id from case_event where id = {id:gp 1})) update case_event"
    " set category = 'social_participation' where id = {id:gp 1}",
    "another case": "update case_event set case_id = '{case:other}', seq = 900, thread_id = '{thread:other}',"
    " patient_id = (select patient_id from thread where id = '{thread:other}') where id = {id:gp 1}",
    "a flipped bit": "update case_event set body_sealed = set_bit(body_sealed, 400, 1 - get_bit(body_sealed, 400))"
    " where id = {id:gp 1}",
    "a cut end": "update case_event set body_sealed = substr(body_sealed, 1, length(body_sealed) - 1)"
    " where id = {id:gp 1}",
    "next to nothing": "update case_event set body_sealed = '\\x0101' where id = {id:gp 1}",
    "nothing": "update case_event set body_sealed = '' where id = {id:gp 1}",
    "plain text": "update case_event set body_sealed = 'Kanarie in het wild: hij zingt.' where id = {id:gp 1}",
    "another format": "update case_event set body_sealed = set_byte(body_sealed, 0, 2) where id = {id:gp 1}",
    "another key's name": "update case_event set body_sealed = overlay(body_sealed placing"
    " substr({gp social}, 3, 16) from 3) where id = {id:gp 1}",
    "the name of no key": "update case_event set body_sealed = overlay(body_sealed placing"
    " '\\x00112233445566778899aabbccddeeff'::bytea from 3) where id = {id:gp 1}",
}


def spelled(cabinet: Cabinet, statement: str) -> str:
    """Return a statement with the names in it replaced."""
    for name, message in cabinet.ids.items():
        statement = statement.replace(f"{{{name}}}", BODY.format(message)).replace(f"{{id:{name}}}", f"'{message}'")
    for name, value in (
        ("case:other", cabinet.other.case_id),
        ("thread:other", cabinet.threads["other"]),
        ("account:poh", BY_KEY["poh"].account_id),
        ("engagement:poh", BY_KEY["poh"].engagement_id),
    ):
        statement = statement.replace(f"{{{name}}}", str(value))
    return statement


def readers(cabinet: Cabinet) -> list[tuple[str, str]]:
    """Return every way to the first message, as persona and path."""
    message, case = cabinet.ids["gp 1"], cabinet.table.case_id
    paths = [
        f"/messages/{message}",
        f"/threads/{cabinet.threads['medication']}/messages",
        f"/threads/{cabinet.threads['social']}/messages",
        f"/threads/{cabinet.threads['other']}/messages",
        "/contributions",
        f"/contributions?caseId={case}",
        f"/cases/{case}/threads",
        f"/cases/{case}",
    ]
    return [(persona, path) for persona in ("gp", "poh", "social-worker") for path in paths]


async def test_a_tampered_row_opens_for_nobody(cabinet: Cabinet, capsys: pytest.CaptureFixture[str]) -> None:
    """One row is changed in each way in turn, read by everybody in every way, and put back as it was."""
    first = cabinet.ids["gp 1"]
    row = await cabinet.root.fetchrow("select * from case_event where id = $1", first)
    assert row is not None
    ways = readers(cabinet)
    before = {way: (await (await cabinet.as_(way[0])).get(way[1])).status_code for way in ways}
    assert before[("gp", f"/messages/{first}")] == before[("poh", f"/messages/{first}")] == 200
    capsys.readouterr()
    for what, statement in TAMPERING.items():
        assert await cabinet.root.execute(spelled(cabinet, statement)) == "UPDATE 1", what
        failed = 0
        for persona, path in ways:
            answer = await (await cabinet.as_(persona)).get(path)
            failed += answer.status_code == 500
            if answer.status_code >= 500:
                assert answer.json()["code"] == "internal-error", what
                assert "anarie" not in answer.text, what
            # Whatever still opens shows the moved text at most where it was written, and what was planted nowhere.
            assert cabinet.texts["gp 1"] not in answer.text, (what, persona, path)
            assert "in het wild" not in answer.text, (what, persona, path)
        assert failed, f"{what}: somebody may read the row, and is told that it does not open"
        await cabinet.root.execute("delete from case_event where id = $1", first)
        await cabinet.root.execute("insert into case_event select ($1::case_event).*", row)
        await cabinet.root.execute(
            "update thread set category = 'medication' where id = $1", UUID(cabinet.threads["medication"])
        )
        answer = await (await cabinet.as_("gp")).get(f"/messages/{first}")
        assert answer.json()["text"] == cabinet.texts["gp 1"], what
    assert "anarie" not in capsys.readouterr().out


async def test_titles_and_questions_do_not_change_places(cabinet: Cabinet) -> None:
    gp = await cabinet.as_("gp")
    case, other = cabinet.table.case_id, cabinet.other.case_id
    title, question = "type = 'thread.opened' and thread_id = '{}'", "type = 'case.opened' and case_id = '{}'"
    swap = "update case_event set body_sealed = (select body_sealed from case_event where {}) where {}"
    threads = cabinet.threads
    for statement, path in (
        (swap.format(title.format(threads["social"]), title.format(threads["medication"])), f"/cases/{case}/threads"),
        (swap.format(question.format(other), question.format(case)), f"/cases/{case}"),
    ):
        assert (await gp.get(path)).status_code == 200
        assert await cabinet.root.execute(statement) == "UPDATE 1"
        answer = await gp.get(path)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
        assert "anarie" not in answer.text


async def test_a_patient_s_fields_do_not_change_places(cabinet: Cabinet) -> None:
    gp = await cabinet.as_("gp")
    mine = cabinet.table.patient_id
    second = await gp.made(
        "/patients",
        {
            "noBsnReason": "geen document bij zich",
            "name": {"given": "Kanarie", "family": "Vogel"},
            "birthDate": "1950-01-02",
            "neighbourhood": "limmel",
        },
    )
    kept = await cabinet.root.fetchrow("select * from patient where id = $1", UUID(mine))
    assert kept is not None
    for column, source, row in (
        ("name_sealed", "name_sealed", second["id"]),
        ("birth_date_sealed", "birth_date_sealed", second["id"]),
        ("name_sealed", "birth_date_sealed", mine),
        ("birth_date_sealed", "name_sealed", mine),
        ("name_sealed", "no_bsn_reason_sealed", second["id"]),
    ):
        await cabinet.root.execute(
            f"update patient set {column} = (select {source} from patient where id = $2) where id = $1",
            *(UUID(mine), UUID(str(row))),
        )
        answer = await gp.get(f"/cases/{cabinet.table.case_id}")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal-error"), (column, source)
        assert "anarie" not in answer.text
        await cabinet.root.execute(f"update patient set {column} = $2 where id = $1", UUID(mine), kept[column])
        assert (await gp.get(f"/cases/{cabinet.table.case_id}")).status_code == 200


async def test_a_name_of_another_account_does_not_open(instance: Instance, database: Urls) -> None:
    root = await asyncpg.connect(database.superuser)
    await root.execute(
        "update account set name_sealed = (select name_sealed from account where id = $2) where id = $1",
        *(BY_KEY["gp-other"].account_id, BY_KEY["gp"].account_id),
    )
    await root.close()
    answer = await instance.http.post("/demo-tokens", json={"persona": "gp-other"})
    assert answer.status_code == 500
    assert BY_KEY["gp"].name not in answer.text


async def test_a_tampered_row_is_not_delivered_and_does_not_silence_the_rest(
    cabinet: Cabinet, capsys: pytest.CaptureFixture[str]
) -> None:
    gp, poh, case = await cabinet.as_("gp"), await cabinet.as_("poh"), cabinet.table.case_id
    async with talking(poh, case) as talk:
        cursor = (await talk.hear("joined"))["cursor"]
    posts = f"/threads/{cabinet.threads['medication']}/messages"
    said = [str((await gp.made(posts, {"text": f"Kanarie nummer {n}."}))["id"]) for n in range(3)]
    await cabinet.root.execute(
        "update case_event set body_sealed = (select body_sealed from case_event where id = $2) where id = $1",
        *(UUID(said[1]), UUID(said[0])),
    )
    async with talking(poh, case, cursor=cursor) as talk:
        await talk.event("message.posted", lambda frame: frame["data"]["id"] == said[2])
        told = [frame["data"]["id"] for frame in talk.heard if frame.get("type") == "message.posted"]
    assert told == [said[0], said[2]]
    out = capsys.readouterr().out
    assert "seal.broken" in out
    assert "anarie" not in out


async def test_the_log_names_the_row_and_not_what_stood_in_it(
    cabinet: Cabinet, capsys: pytest.CaptureFixture[str]
) -> None:
    gp = await cabinet.as_("gp")
    await cabinet.root.execute(spelled(cabinet, TAMPERING["another author's text"]))
    capsys.readouterr()
    answer = await gp.get(f"/messages/{cabinet.ids['gp 1']}")
    assert answer.status_code == 500
    assert answer.json()["instance"].startswith("urn:uuid:")
    out = capsys.readouterr().out
    assert "anarie" not in out
