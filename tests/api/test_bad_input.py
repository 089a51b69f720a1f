"""Bad input is refused clearly: a problem that names what is wrong without quoting it, and nothing half done.

First the list of the issue by name, then whatever Hypothesis makes of the document's own schemas: never a failure of
ours, never a status that the document does not name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.api.openapi import operations
from tests.api.expectations import OPERATIONS
from tests.api.room import ABSENT, CARE, NAME, SHARED, Room, faults_of, problem_of
from tests.serving import Caller

Json = dict[str, Any]
CANARY = "Kanarie-van-Aleida"
MEBIBYTE = 1024 * 1024


@asynccontextmanager
async def unwritable_log(room: Room) -> AsyncIterator[None]:
    """Take the right to write audit records away, from all three roles that have it."""
    await room.owner.execute("revoke insert on audit_event from app, appender, stream")
    try:
        yield
    finally:
        await room.owner.execute("grant insert on audit_event to app, appender, stream")


TABLES = ("patient", "care_case", "member", "consent", "consent_recipient", "thread", "case_event", "idempotency")


@asynccontextmanager
async def nothing_done(room: Room) -> AsyncIterator[None]:
    """Check that no row of any kind came or went, and that every failure of ours would have been noticed."""

    async def state() -> list[int]:
        counts = [await room.owner.fetchval(f"select count(*) from {table}") for table in TABLES]
        return [*counts, await room.owner.fetchval("select coalesce(sum(access_version + seq), 0) from case_head")]

    before = await state()
    yield
    assert await state() == before


async def send(caller: Caller, path: str, content: bytes, media: str = "application/json") -> httpx.Response:
    headers = {"Authorization": f"Bearer {caller.token}", "Content-Type": media}
    return await caller.instance.http.post(path, content=content, headers=headers)


async def test_a_log_that_cannot_be_written_stops_reads_writes_and_refusals_alike(room: Room) -> None:
    gp, stranger, auditor = [await room.as_(persona) for persona in ("gp", "gp-other", "auditor")]
    async with nothing_done(room):
        async with unwritable_log(room):
            answers = [
                await gp.get(room.case),
                await gp.post(f"/threads/{room.ids['thread']}/messages", {"text": "Komt niet aan"}),
                await gp.post(f"{room.case}/threads", {}),
                await gp.post(f"{room.case}/threads", {"patientId": room.patient_id, "category": CARE, "title": "x"}),
                await gp.post(f"/consents/{room.ids['consent']}/withdrawal"),
                await stranger.get(room.case),
                await auditor.get("/cases"),
                await room.anonymous("GET", "/me", headers={"Authorization": "Bearer a.b.c"}),
            ]
        for answer in answers:
            assert answer.status_code == 503, answer.text
            assert problem_of(answer)["code"] == "unavailable"
            assert int(answer.headers["retry-after"]) > 0
        assert (await gp.get(room.case)).status_code == 200


@pytest.mark.parametrize("bsn", ["123456789", "000000000", "12345678"])
async def test_a_search_for_a_number_that_cannot_exist_finds_nobody(room: Room, bsn: str) -> None:
    gp = await room.as_("gp")
    answer = await gp.post("/patients/_search", {"bsn": bsn})
    assert (answer.status_code, answer.json()) == (200, {"items": [], "nextCursor": None})


PATIENT: Json = {"bsn": "999990068", "name": NAME, "birthDate": "1950-01-31", "neighbourhood": "limmel"}
POINTED = [
    ({"bsn": "123456789"}, "/bsn", "bsn-invalid"),
    ({"bsn": "11111111"}, "/bsn", "bsn-invalid"),
    ({"bsn": "99999 0068"}, "/bsn", "wrong-form"),
    ({"bsn": "\uff19" * 9}, "/bsn", "wrong-form"),
    ({"bsn": 999990068}, "/bsn", "not-a-string"),
    ({"bsn": "9" * 1000}, "/bsn", "wrong-form"),
    ({"birthDate": "1950-02-30"}, "/birthDate", "not-a-date"),
    ({"birthDate": "1950-01-31T00:00:00Z"}, "/birthDate", "not-a-date"),
    ({"birthDate": 0}, "/birthDate", "not-a-date"),
    ({"birthDate": "0"}, "/birthDate", "not-a-date"),
    ({"neighbourhood": "Nazareth"}, "/neighbourhood", "wrong-form"),
    ({"neighbourhood": "nazareth\n"}, "/neighbourhood", "wrong-form"),
    ({"neighbourhood": "n" * 65}, "/neighbourhood", "wrong-form"),
    ({"neighbourhood": ""}, "/neighbourhood", "wrong-form"),
    ({"name": None}, "/name", "not-an-object"),
    ({"name": {"given": "a"}}, "/name/family", "missing"),
    ({"name": {"given": "a", "family": "b" * 101}}, "/name/family", "too-long"),
    ({"name": {"given": "a\u0007", "family": "b"}}, "/name/given", "control-character"),
    ({"name": {"given": "a\u001fb", "family": "b"}}, "/name/given", "control-character"),
    ({"organisationId": ABSENT}, "", "unknown-member"),
    ({"id": ABSENT}, "", "unknown-member"),
    ({"linked": True, "accountId": ABSENT}, "", "unknown-member"),
    ({"birth_date": "1950-01-31"}, "", "unknown-member"),
]


@pytest.mark.parametrize(("more", "pointer", "code"), POINTED)
async def test_what_is_wrong_is_pointed_at_and_not_quoted(room: Room, more: Json, pointer: str, code: str) -> None:
    gp = await room.as_("gp")
    async with nothing_done(room):
        answer = await gp.post("/patients", {**PATIENT, **more})
        assert faults_of(answer) == {pointer: code}
    for value in (*more, *more.values()):
        if isinstance(value, str) and len(value) > 8 and value not in {"birthDate", "neighbourhood"}:
            assert value not in answer.text


UNREADABLE: list[tuple[str, bytes]] = [
    ("not-json", b""),
    ("not-json", b"x"),
    ("not-json", b"{"),
    ("not-json", b'{"bsn":1}x'),
    ("not-json", b"{'bsn':1}"),
    ("not-json", b'{"bsn":1,}'),
    ("not-json", b'{"bsn":"\x00"}'),
    ("not-json", b'{"a":01}'),
    ("not-utf-8", b'{"bsn":"\xff"}'),
    ("not-utf-8", b'{"bsn":"\xed\xa0\x80"}'),
    ("not-utf-8", '{"bsn":1}'.encode("utf-16")),
    ("byte-order-mark", b"\xef\xbb\xbf{}"),
    ("duplicate-member", b'{"bsn":"1","bsn":"2"}'),
    ("duplicate-member", b'{"bsn":"1","\\u0062sn":"2"}'),
    ("duplicate-member", b'{"name":{"given":"a","given":"b"}}'),
    ("nul-character", b'{"bsn":"\\u0000"}'),
    ("nul-character", b'{"\\u0000":1}'),
    ("lone-surrogate", b'{"bsn":"\\ud800"}'),
    ("lone-surrogate", b'{"\\udfff":1}'),
    ("too-deep", b'{"a":' * 33 + b"1" + b"}" * 33),
    ("too-deep", b"[" * 400_000 + b"]" * 400_000),
    ("too-deep", b"[" * 900_000),
    ("too-many-values", b"[" + b"1," * 20_000 + b"1]"),
    ("not-finite", b'{"a":NaN}'),
    ("not-finite", b'{"a":-Infinity}'),
    ("number-too-large", b'{"a":1e400}'),
    ("number-too-large", b'{"a":' + b"9" * 5000 + b"}"),
    ("number-too-large", b'{"a":9007199254740993}'),
]


@pytest.mark.parametrize(("code", "content"), UNREADABLE, ids=range(len(UNREADABLE)))
async def test_a_body_that_can_be_read_in_two_ways_is_not_read(room: Room, code: str, content: bytes) -> None:
    gp = await room.as_("gp")
    async with nothing_done(room):
        for path in (
            "/patients",
            f"/threads/{room.ids['thread']}/messages",
            f"/consents/{room.ids['consent']}/withdrawal",
        ):
            if not content and "withdrawal" in path:
                continue  # a body that may be left out
            (fault,) = problem_of(await send(gp, path, content))["errors"]
            found = {"too-deep", "not-json"} if code == "too-deep" else {code}
            assert fault["code"] in found


@pytest.mark.parametrize("content", [b"[]", b"null", b"1", b'"x"', b"true", b"[{}]"])
async def test_a_body_is_an_object(room: Room, content: bytes) -> None:
    gp = await room.as_("gp")
    for path in ("/patients", f"{room.case}/consents", f"/messages/{room.ids['message']}/retraction"):
        assert faults_of(await send(gp, path, content)) == {"": "not-an-object"}


@pytest.mark.parametrize(
    "media",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"),
        *("application/json; charset=utf-16", "application/problem+json", "application/json, text/plain", "json"),
    ],
)
async def test_only_plain_json_is_taken(room: Room, media: str) -> None:
    gp = await room.as_("gp")
    assert (await send(gp, "/patients", b"{}", media)).status_code == 415


@pytest.mark.parametrize(
    "media", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_spellings_of_json_are_taken(room: Room, media: str) -> None:
    assert (await send(await room.as_("gp"), "/patients", b"{}", media)).status_code == 400


async def test_a_compressed_body_is_not_unpacked(room: Room) -> None:
    gp = await room.as_("gp")
    headers = {"Authorization": f"Bearer {gp.token}", "Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await room.anonymous("POST", "/patients", content=b"\x1f\x8b", headers=headers)).status_code == 415


async def test_ten_mebibytes_are_refused_declared_or_in_chunks(room: Room) -> None:
    gp = await room.as_("gp")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * MEBIBYTE

    headers = {"Authorization": f"Bearer {gp.token}", "Content-Type": "application/json"}
    async with nothing_done(room):
        declared = await send(gp, "/patients", b" " * (10 * MEBIBYTE))
        assert (declared.status_code, problem_of(declared)["code"]) == (413, "payload-too-large")
        assert "connection" not in declared.headers
        streamed = await room.anonymous("POST", "/patients", content=chunks(), headers=headers)
        assert (streamed.status_code, problem_of(streamed)["code"]) == (413, "payload-too-large")
        assert streamed.headers["connection"] == "close"
    largest = b'{"bsn":"' + b"1" * (MEBIBYTE - 10) + b'"}'
    assert len(largest) == MEBIBYTE
    assert faults_of(await send(gp, "/patients", largest))["/bsn"] == "wrong-form"


@pytest.mark.parametrize(
    "instant",
    [
        *("2026-01-31T09:30:00", "2026-01-31", "2026-01-31T09:30Z", "2026-01-31 09:30:00Z", "20260131T093000Z"),
        *("2026-02-30T09:30:00Z", "2026-01-31T25:30:00Z", "2026-01-31T09:30:00+2:00", "2026-01-31T09:30:00+25:00"),
        *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T01:00:00+01:00"),
        *("0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
        *("now", "", 0, 1769851800, None, True, "2026-01-31T09:30:00Z\n", "٢٠٢٦-01-31T09:30:00Z"),
    ],
)
async def test_an_instant_has_an_offset_and_exists(room: Room, instant: object) -> None:
    gp = await room.as_("gp")
    if instant is None:
        assert faults_of(await gp.post(f"{room.case}/consents", {**room.consent_body(decidedAt=7)}))
        return
    faults = faults_of(await gp.post(f"{room.case}/consents", room.consent_body(decidedAt=instant)))
    assert faults == {"/decidedAt": "not-an-instant"}
    if isinstance(instant, str):
        assert faults_of(await gp.get(f"{room.case}/access", at=instant)) == {"?at": "not-an-instant"}


@pytest.mark.parametrize(
    "identifier",
    [
        *("x", "0", "null", "..", "%2e%2e", "%00", "%ff", "a" * 5000, "{caseId}", "'", "*", "-1", "1e9"),
        *("00000000000040008000000000000000", "urn:uuid:00000000-0000-4000-8000-000000000000"),
        *("{00000000-0000-4000-8000-000000000000}", "00000000-0000-4000-8000-00000000000G"),
    ],
)
async def test_what_is_no_id_is_not_there(room: Room, identifier: str) -> None:
    gp = await room.as_("gp")
    absent = await gp.get(f"/cases/{ABSENT}")
    for path in ("/cases/{}", "/cases/{}/threads", "/threads/{}/messages", "/messages/{}", "/consents/{}"):
        answer = await gp.request("GET", path.replace("{}", identifier))
        assert (path, answer.status_code, answer.content) == (path, 404, absent.content)
    for path in ("/threads/{}/messages", "/consents/{}/withdrawal", "/cases/{}/members"):
        answer = await gp.post(path.replace("{}", identifier), {})
        assert (path, answer.status_code, answer.content) == (path, 404, absent.content)


async def test_ids_of_the_same_case_in_another_s_place_are_not_there(room: Room) -> None:
    gp = await room.as_("gp")
    ids = {"case": room.case_id, "patient": room.patient_id, "member": room.members["poh"], **room.ids}
    kinds = {"/cases/{}": {"case"}, "/threads/{}": {"thread", "shared"}, "/messages/{}": {"message"}}
    for path, right in (kinds | {"/consents/{}": {"consent"}}).items():
        for kind, value in ids.items():
            status = (await gp.get(path.replace("{}", value))).status_code
            assert (path, kind, status) == (path, kind, 200 if kind in right else 404)


@pytest.mark.parametrize(
    "query", ["cursor=%00", "cursor=%ff", "limit=%00", "%ff=1", "cursor=" + "x" * 600, "=", "&&=&"]
)
async def test_a_query_that_cannot_be_read_is_refused(room: Room, query: str) -> None:
    gp = await room.as_("gp")
    assert faults_of(await gp.request("GET", f"/cases?{query}"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "too-short"),
        ("x" * 8001, "too-long"),
        ("x\u0000", None),
        ("x\u0008", "control-character"),
        ("x\r\n", "control-character"),
        (7, "not-a-string"),
        (None, "not-a-string"),
        (["x"], "not-a-string"),
    ],
)
async def test_a_message_is_text_of_1_to_8000_characters(room: Room, text: object, code: str | None) -> None:
    gp = await room.as_("gp")
    async with nothing_done(room):
        answer = await gp.post(f"/threads/{room.ids['thread']}/messages", {"text": text})
        assert faults_of(answer) == ({"/text": code} if code else {"": "nul-character"})


async def test_text_comes_back_as_it_was_sent(room: Room) -> None:
    gp = await room.as_("gp")
    texts = [
        "x" * 8000,
        "\U0001f9d3\U0001f3fd" * 4000,
        " \t\n ",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "\u202eachterstevoren\u2066",
        "'; drop table case_event; --",
        "e\u0301\u200d\ufeff",
    ]
    for text in texts:
        made = await gp.post(f"/threads/{room.ids['thread']}/messages", {"text": text})
        assert made.status_code == 201
        assert (await gp.get(f"/messages/{made.json()['id']}")).json()["text"] == text


async def test_a_request_of_two_lengths_is_not_smuggled(room: Room) -> None:
    """What cannot be delimited in one way is refused, and what follows it is not taken for a request."""
    gp = await room.as_("gp")
    port = int(room.instance.url.rpartition(":")[2])
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {gp.token}\r\nContent-Type: application/json\r\n"
    hidden = f"DELETE /api/v1/sessions/current HTTP/1.1\r\n{head}\r\n"
    for lengths in (
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        f"Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 1_0\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /api/v1/patients HTTP/1.1\r\n{head}{lengths}\r\n0\r\n\r\n{hidden}".encode())
        async with asyncio.timeout(10):
            status = await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert b" 400 " in status or b" 413 " in status, (lengths, status)
        assert (await gp.get("/me")).status_code == 200


async def test_what_is_extreme_but_right_is_taken(room: Room) -> None:
    gp, auditor = await room.as_("gp"), await room.as_("auditor")
    first, last = "0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999998Z"
    grown = "1959-03-02T00:00:00.000001Z"
    given_at = await gp.post(f"{room.case}/consents", room.consent_body(decidedAt=grown, validUntil=last))
    assert given_at.status_code == 201, given_at.text
    assert (given_at.json()["decidedAt"], given_at.json()["validUntil"][:4]) == ("1959-03-02T00:00:00.000Z", "9999")
    before = await gp.post(f"{room.case}/consents", room.consent_body(decidedAt=first))
    assert (before.status_code, before.json()["errors"][0]["code"]) == (400, "before-birthday")
    long = {"given": "\U0001f9d3" * 100, "family": "\U0001f9d3" * 100, "prefix": "\U0001f9d3" * 40}
    for day in ("0001-01-01", "9999-12-31", "1948-02-29"):
        made = await gp.post(
            "/patients", {"noBsnReason": "x" * 200, "name": long, "birthDate": day, "neighbourhood": "-"}
        )
        assert (made.status_code, made.json()["birthDate"], made.json()["name"]) == (201, day, long)
    body = {"kind": "individual", "patientIds": [made.json()["id"]], "question": "\U0001f9d3" * 2000}
    case = await gp.made("/cases", body)
    assert case["question"] == body["question"]
    body = {"patientId": made.json()["id"], "category": CARE, "title": "\U0001f9d3" * 200}
    assert (await gp.post(f"/cases/{case['id']}/threads", body)).status_code == 201
    for at in (first, last):
        assert (await gp.get(f"{room.case}/access", at=at)).status_code == 200
        assert (await auditor.get("/audit/events", **{"from": at, "to": at})).status_code == 200


# Fuzzing


def described(room: Room) -> Json:
    found: Json = orjson.loads(room.app.state.document())
    return found


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(
        [ABSENT, "2026-01-31T09:30:00Z", "2026-01-31", "care", CARE, SHARED, "gp", "member", "patient"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def members_of(document: Json, operation: Json) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = content.get("$ref", "").rpartition("/")[2]
    if not name:
        name = next((one["$ref"].rpartition("/")[2] for one in content.get("anyOf", ()) if "$ref" in one), "")
    return sorted(document["components"]["schemas"].get(name, {}).get("properties", {}))


FUZZED = sorted({name for name in OPERATIONS if name not in {"endCurrentSession", "endMember", "lockCurrentSession"}})


@pytest.mark.parametrize("examples", [2, pytest.param(20, marks=pytest.mark.heavy)])
async def test_no_body_and_no_query_makes_the_service_fail(room: Room, examples: int) -> None:
    """Every operation, by somebody who may, with members that exist and values that should not."""
    document = described(room)
    callers = {persona: await room.as_(persona) for persona in ("gp", "auditor", "privacy-officer")}
    shown = {one["operationId"]: (path, method, one) for path, method, one in operations(document)}
    loop = asyncio.get_running_loop()
    seen: set[int] = set()

    async def ask(name: str, body: object, query: dict[str, str]) -> None:
        path, method, one = shown[name]
        caller = callers["auditor" if name == "searchAuditEvents" else "gp"]
        answer = await caller.instance.http.request(
            method,
            path.format_map(room.path_ids()),
            params=query,
            content=None if method == "get" else orjson.dumps(body),
            headers={"Authorization": f"Bearer {caller.token}", "Content-Type": "application/json"},
        )
        seen.add(answer.status_code)
        assert str(answer.status_code) in one["responses"], (name, answer.status_code, answer.text)
        assert answer.status_code < 500, (name, answer.text)
        if answer.status_code == 400:
            problem_of(answer)

    def strategy(name: str) -> st.SearchStrategy[tuple[object, dict[str, str]]]:
        _, _, one = shown[name]
        keys = [parameter["name"] for parameter in one.get("parameters", ()) if parameter["in"] == "query"]
        members = members_of(document, one)
        bodies = st.dictionaries(st.sampled_from(members), VALUES, max_size=8) if members else st.just({})
        queries = st.dictionaries(st.sampled_from(keys), st.text(max_size=40), max_size=3) if keys else st.just({})
        return st.tuples(bodies | VALUES, queries)

    def run(name: str) -> None:
        @settings(
            max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=CHECKS
        )
        @given(strategy(name))
        def fuzz(drawn: tuple[object, dict[str, str]]) -> None:
            asyncio.run_coroutine_threadsafe(ask(name, *drawn), loop).result(30)

        fuzz()

    async with nothing_lost(room):
        for name in FUZZED:
            await asyncio.to_thread(run, name)
    assert {200, 400} <= seen


CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]


@asynccontextmanager
async def nothing_lost(room: Room) -> AsyncIterator[None]:
    """Check that the case is as readable after as before."""
    gp = await room.as_("gp")
    before = (await gp.get(room.case)).json()
    yield
    after = (await gp.get(room.case)).json()
    assert {key: after[key] for key in ("id", "question", "patients")} == {
        key: before[key] for key in ("id", "question", "patients")
    }
