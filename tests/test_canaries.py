"""Nothing people write is readable in the data folder, in the write-ahead log or in any log, whatever happened to it.

Canaries are planted through the interface in every free text, with requests and frames that fail as well as those
that do not, and then looked for in every file of a real instance that was run, broken off and stopped.
"""

import asyncio
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from app.cli.folder import DataFolder
from app.cli.postgres import DATABASE, Urls
from app.crypto.bsn import valid_bsn
from app.identity.demo import PERSONAS
from tests.canaries import CONTROL, STEM, Scan, hidden
from tests.cli.test_commands import started
from tests.serving import NO_TLS, Caller, Service
from tests.stories import Table, account_of, citizen_bsn
from tests.talking import dial, socket_url, talking

BORN = "1903-11-23"


def fresh_bsn() -> str:
    """Return a number that passes the 11-proef and stands nowhere else."""
    return next(bsn for bsn in iter(lambda: f"{secrets.randbelow(10**9):09}", "") if valid_bsn(bsn) and bsn[0] != "0")


@dataclass
class Canaries:
    """Texts and numbers that are planted, each once."""

    bsns: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return a new text to plant."""
        return f"{STEM}{secrets.token_hex(6)}"

    def bsn(self) -> str:
        """Return a new number to plant."""
        self.bsns.append(fresh_bsn())
        return self.bsns[-1]


@pytest.mark.parametrize(("texts", "numbers"), [([f"{STEM}0f3b5c2a91d7"], []), ([], ["736160221"])])
def test_the_scan_sees_every_form(texts: list[str], numbers: list[str], tmp_path: Path) -> None:
    for name, content in hidden(*texts, *numbers):
        file = tmp_path / "file"
        file.write_bytes(secrets.token_bytes(5000) + content + secrets.token_bytes(5000))
        assert Scan(texts, numbers).file(file), name
        assert Scan([f"{STEM}ffffffffffff"], ["111222333"]).file(file) == [], name


def test_the_scan_sees_what_lies_across_two_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.canaries.BLOCK", 8192)
    for start in range(8192 - 30, 8192 + 2):
        (tmp_path / "file").write_bytes(b"." * start + f"{STEM}0f3b5c2a91d7".encode() + b"." * 9000)
        assert Scan([STEM]).folder(tmp_path, without="nothing"), start


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the database's own account may pass through."""
    with tempfile.TemporaryDirectory(prefix="ot-canaries-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)
        yield Path(folder)


def urls_of(data: Path) -> Urls:
    """Return the URLs of a running instance, as its operator could."""
    folder = DataFolder(data)
    record = data / "socket-folder"
    socket = Path(record.read_text()) if record.exists() else data / "socket"
    return Urls(socket, DATABASE, folder.passwords())


@pytest.mark.heavy
async def test_nothing_that_was_written_stands_readable_anywhere(place: Path) -> None:
    canaries = Canaries()
    with started(place / "data", OVERLEGTAFEL_LOG_LEVEL="DEBUG") as (process, url):
        root = await asyncpg.connect(urls_of(place / "data").superuser)
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30, verify=NO_TLS) as http:
            service = Service(url, http)
            table = await consult(service, canaries)
            await fail(service, table, canaries)
            await converse(service, table, canaries)
            await break_off(root, urls_of(place / "data"), canaries)
            await carry_on(service, table, canaries)
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait)
    scan = Scan([STEM], [*canaries.bsns, BORN], [one.name for one in PERSONAS if one.key != "integration"])
    assert scan.folder(place / "data", without="programs") == []
    assert scan.bytes > 30 * 2**20, "the whole folder was read"
    assert Scan([STEM], [*canaries.bsns, BORN]).file(place / "output") == []
    found = Scan([CONTROL]).folder(place / "data" / "postgres", without="nothing")
    for where in ("/base/", "/pg_wal/"):
        forms = {find.form for find in found if where in find.file}
        assert {f"{CONTROL} as utf-8", f"{CONTROL} as hex", f"{CONTROL} as kept by a compression"} <= forms, where


async def consult(service: Service, canaries: Canaries) -> Table:
    """Write everything that can be written, and read it back."""
    gp = await service.as_("gp")
    given, family, prefix = canaries.text(), canaries.text(), canaries.text()
    bsn = canaries.bsn()
    patient = await gp.made(
        "/patients",
        {
            "bsn": bsn,
            "name": {"given": given, "family": family, "prefix": prefix},
            "birthDate": BORN,
            "neighbourhood": "nazareth",
        },
    )
    assert await gp.made("/patients", {**_patient(canaries), "bsn": bsn}), "the same number again"
    await gp.made("/patients", {**_patient(canaries), "noBsnReason": canaries.text()})
    await gp.made("/patients", {**_patient(canaries), "bsn": await citizen_bsn(service)})
    found = await gp.made("/patients/_search", {"bsn": bsn})
    assert found["items"]
    assert (await gp.made("/patients/_search", {"family": family, "birthDate": BORN}))["items"]
    await gp.post("/patients/_search", {"bsn": canaries.bsn()})
    await gp.post("/patients/_search", {"family": canaries.text(), "birthDate": BORN})
    question = canaries.text()
    case = await gp.made("/cases", {"kind": "individual", "patientIds": [patient["id"]], "question": question})
    table = Table(service, str(case["id"]), str(patient["id"]), {})
    for persona in ("poh", "social-worker"):
        member = await gp.made(
            f"/cases/{table.case_id}/members",
            {
                "accountId": await account_of(service, persona),
                "caseRole": "deelnemer",
                "directTreatment": persona == "poh",
                "reasonCode": "elderly-mdo",
            },
        )
        table.members[persona] = str(member["id"])
    worker = await service.as_("social-worker")
    await worker.made(f"/cases/{table.case_id}/members/{table.members['social-worker']}/acceptance")
    title, text, correction = canaries.text(), canaries.text(), canaries.text()
    thread = await gp.made(
        f"/cases/{table.case_id}/threads",
        {"patientId": table.patient_id, "category": "social_participation", "title": title},
    )
    table.members["thread"] = str(thread["id"])
    held = {
        "reasonCode": "other",
        "reason": canaries.text(),
        "at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }
    body = {"patientId": table.patient_id, "category": "medication", "title": canaries.text()}
    await gp.made(f"/cases/{table.case_id}/threads", {**body, "onRelease": held})
    posted = await gp.made(
        f"/threads/{thread['id']}/messages", {"text": text, "kind": "question"}, Idempotency_Key=canaries.text()
    )
    await gp.made(f"/messages/{posted['id']}/corrections", {"text": correction})
    await gp.made(f"/messages/{posted['id']}/statements", {"text": canaries.text(), "onWordOf": "patient"})
    gone = await gp.made(f"/threads/{thread['id']}/messages", {"text": canaries.text() * 300})
    await gp.made(f"/messages/{gone['id']}/retraction", {"reason": "wrong-person"})
    await gp.made(
        f"/cases/{table.case_id}/consents",
        {
            "patientId": table.patient_id,
            "kind": "lift_secrecy",
            "recipients": [{"type": "member", "id": table.members["social-worker"]}],
            "categories": ["social_participation"],
            "purpose": "CAREMGT",
            "decidedBy": {"type": "patient"},
            "method": "oral_recorded",
            "textVersion": "nl-2026-1",
        },
    )
    for persona in ("gp", "poh", "social-worker"):
        caller = await service.as_(persona)
        shown = (await caller.get(f"/cases/{table.case_id}")).text
        shown += (await caller.get(f"/threads/{thread['id']}/messages")).text
        shown += (await caller.get("/contributions")).text
        assert all(one in shown for one in (given, family, prefix, text, correction)), "they are there to be read"
    return table


def _patient(canaries: Canaries) -> dict[str, object]:
    name = {"given": canaries.text(), "family": canaries.text()}
    return {"name": name, "birthDate": "1950-01-02", "neighbourhood": "limmel"}


async def fail(service: Service, table: Table, canaries: Canaries) -> None:
    """Send what is refused, each with something that must not be repeated anywhere."""
    gp, other = await service.as_("gp"), await service.as_("gp-other")
    threads, thread = f"/cases/{table.case_id}/threads", table.members["thread"]
    text = canaries.text
    bad_bsn = next(f"{number:09}" for number in range(777_000_000, 777_000_100) if not valid_bsn(f"{number:09}"))
    canaries.bsns.append(bad_bsn)
    answers = [
        await gp.post("/patients", {**_patient(canaries), "bsn": bad_bsn}),
        await gp.post("/patients", {**_patient(canaries), "bsn": text()}),
        await gp.post("/patients", {**_patient(canaries), "neighbourhood": text(), "bsn": canaries.bsn()}),
        await gp.post("/patients", {**_patient(canaries), "birthDate": text(), "noBsnReason": text()}),
        await gp.post("/patients", {**_patient(canaries), "noBsnReason": f"{text()}\0"}),
        await gp.post("/patients", {text(): text()}),
        await gp.post("/cases", {"kind": text(), "patientIds": [text()], "question": text()}),
        await gp.post("/cases", {"kind": "individual", "patientIds": [str(UUID(int=1))], "question": text()}),
        await gp.post(threads, {"patientId": table.patient_id, "category": text(), "title": text()}),
        await gp.post(threads, {"patientId": table.patient_id, "category": "safety_meldcode", "title": text()}),
        await gp.post(f"/threads/{thread}/messages", {"text": text(), "kind": text()}),
        await gp.post(f"/threads/{thread}/messages", {"text": text() * 500}),
        await gp.post(f"/threads/{thread}/messages", {"text": text()}, Idempotency_Key=f"{text()} spaced"),
        await gp.post(f"/threads/{thread}/messages", {"text": text()}, User_Agent=text(), X_Request_Id=text()),
        await other.post(f"/threads/{thread}/messages", {"text": text()}),
        await other.post(f"/cases/{table.case_id}/members/{text()}/refusal", {"reason": text()}),
        await gp.get(f"/cases/{text()}"),
        await gp.get(f"/threads/{thread}/messages", cursor=text()),
        await gp.get("/cases", status=text()),
        await gp.get(f"/{text()}"),
        await Caller(service, "nobody", text()).get("/me"),
        await Caller(service, "nobody", f"{text()}.{text()}.{text()}").post("/cases", {"question": text()}),
    ]
    assert {answer.status_code for answer in answers} <= {201, 400, 401, 403, 404, 409}, [a.text for a in answers]
    key = text()
    for body in (text(), text()):
        await gp.post(f"/threads/{thread}/messages", {"text": body}, Idempotency_Key=key)
    authorised = {"Authorization": f"Bearer {gp.token}", "Content-Type": "application/json"}
    for raw in (
        f'{{"text": "{text()}"',
        f'{{"text": "{text()}", "text": "{text()}"}}',
        f'["{text()}"]' * 3,
        f'{{"text": "\\ud800{text()}"}}',
        '{"a":' * 40 + f'"{text()}"' + "}" * 40,
        f'{{"text": "{text() * 60_000}"}}',
    ):
        path = f"/threads/{thread}/messages"
        assert (await service.http.post(path, content=raw, headers=authorised)).status_code in {400, 413}
    for media in (f"text/{STEM}", "application/xml", f"multipart/form-data; boundary={text()}"):
        sent = await service.http.post("/cases", content=text(), headers={**authorised, "Content-Type": media})
        assert sent.status_code in {400, 415}
    await service.http.get("/me", headers={"Authorization": f"Basic {text()}", "Host": f"{STEM}.example"})
    await service.http.post("/demo-tokens", json={"persona": text()})


async def converse(service: Service, table: Table, canaries: Canaries) -> None:
    """Say things over sockets, and what no socket should be told."""
    poh, worker = await service.as_("poh"), await service.as_("social-worker")
    thread, text = table.members["thread"], canaries.text
    async with talking(poh, table.case_id) as his, talking(worker, table.case_id) as hers:
        said = text()
        await his.say("post", clientId=text(), threadId=thread, text=said)
        await hers.event("message.posted", lambda frame: frame["data"]["text"] == said)
        await his.say("post", clientId=text(), threadId=str(UUID(int=2)), text=text())
        await his.say("post", clientId=text(), threadId=thread, text=text(), kind=text())
        await his.say("post", clientId=text(), threadId=text(), text=text())
        await his.say("typing", threadId=thread)
        await his.settle()
        await his.say(text(), text=text())
        assert await his.close_code() == 4400
        await hers.say("post", clientId=text(), threadId=thread, text=text() * 5000)
        await hers.close_code()
    for frame in (f'{{"op": "post", "text": "{text()}', text(), f'{{"op": "authenticate", "ticket": "{text()}"}}'):
        async with dial(socket_url(service.url)) as talk:
            await talk.connection.send(frame)
            assert await talk.close_code() in {4400, 4401}
    async with talking(poh, table.case_id) as talk:
        await talk.connection.send(text().encode())
        assert await talk.close_code() in {1003, 4400}


async def break_off(root: "asyncpg.Connection[asyncpg.Record]", urls: Urls, canaries: Canaries) -> None:
    """Plant the controls in plain, let statements fail, and let a server process die in the middle of one."""
    await root.execute("create table control (text text)")
    for text in (f"{CONTROL}-1", f"{CONTROL}-2".encode().hex(), f"{CONTROL}-3 " * 2000):
        await root.execute("insert into control (text) values ($1)", text)
    app = await asyncpg.connect(urls.app)
    for statement in (
        f"select '{canaries.text()}'::uuid",
        f"select {canaries.text()}",
        f"insert into idempotency values ('{canaries.text()}')",
        f'select pg_sleep(0.01) /* {canaries.text()} */ from "{canaries.text()}"',
    ):
        with pytest.raises(asyncpg.PostgresError):
            await app.execute(statement)
    with pytest.raises(asyncpg.DataError):
        await app.fetchval("select $1::text::uuid", canaries.text())
    pid = await app.fetchval("select pg_backend_pid()")
    doomed = asyncio.create_task(app.execute(f"select pg_sleep(60) /* {canaries.text()} */"))
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await doomed
    root.terminate()
    app.terminate()


async def carry_on(service: Service, table: Table, canaries: Canaries) -> None:
    """Write once more after the database recovered."""
    gp = await service.as_("gp")
    async with asyncio.timeout(60):
        while True:
            answer = await gp.post(f"/threads/{table.members['thread']}/messages", {"text": canaries.text()})
            if answer.status_code == 201:
                break
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.2)
