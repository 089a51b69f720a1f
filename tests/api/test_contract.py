"""CONTRACT over HTTP, line by line: what every answer has, in which order a request is checked, what is kept."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core.version import API_VERSION
from tests.api.room import ABSENT, CARE, NAME, Room, another, faults_of, fresh_key, problem_of
from tests.serving import Caller

Json = dict[str, Any]
BIG = 1024 * 1024 + 1
FIXED = {
    "api-version": API_VERSION,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


def bearer(caller: Caller, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {caller.token}", **more}


async def raw(caller: Caller, path: str, content: bytes, media: str = "application/json") -> httpx.Response:
    """POST bytes."""
    headers = bearer(caller) | {"Content-Type": media}
    return await caller.instance.http.post(path, content=content, headers=headers)


async def items(caller: Caller, path: str, **params: str | int) -> list[Json]:
    """Return a whole list, page by page."""
    found: list[Json] = []
    cursor: Json = {}
    while True:
        answer = await caller.get(path, **params, **cursor)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert set(page) == {"items", "nextCursor"}
        found += page["items"]
        if page["nextCursor"] is None:
            return found
        cursor = {"cursor": page["nextCursor"]}


# General: headers, order of checks, errors


async def test_every_answer_carries_the_headers_once(room: Room) -> None:
    gp = await room.as_("gp")
    answers = [
        await gp.get("/me"),
        await gp.post("/patients", {}),
        await room.anonymous("GET", "/me"),
        await gp.get("/audit/events"),
        await gp.get(f"/cases/{ABSENT}"),
        await gp.request("PUT", "/me"),
        await gp.get("/no-such-thing"),
        await raw(gp, "/patients", b" " * BIG),
        await raw(gp, "/patients", b"{}", "text/plain"),
        await room.anonymous("GET", "/health", headers={"Host": "elsewhere.example"}),
    ]
    assert [one.status_code for one in answers] == [200, 400, 401, 403, 404, 405, 404, 413, 415, 400]
    for answer in answers:
        for name, value in FIXED.items():
            assert answer.headers.get_list(name) == [value]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert UUID(answer.headers["x-request-id"]).version == 4
        assert "server" not in answer.headers
    assert len({one.headers["x-request-id"] for one in answers}) == len(answers)


async def test_the_request_id_is_ours(room: Room) -> None:
    answer = await room.anonymous("GET", "/health", headers={"X-Request-Id": ABSENT})
    assert answer.headers["x-request-id"] != ABSENT


async def test_the_credential_comes_before_size_and_media_type(room: Room) -> None:
    ended = await another(room.instance, "gp")
    await ended.delete("/sessions/current")
    for headers in ({}, {"Authorization": "Bearer x.y.z"}, bearer(ended)):
        for content, media in ((b" " * BIG, "application/json"), (b"x", "text/plain")):
            answer = await room.anonymous(
                "POST", f"{room.case}/threads", content=content, headers={**headers, "Content-Type": media}
            )
            assert answer.status_code == 401
            problem_of(answer)


async def test_size_and_media_type_come_before_the_permit(room: Room) -> None:
    stranger, auditor = await room.as_("gp-other"), await room.as_("auditor")
    for caller in (stranger, auditor):
        assert (await raw(caller, f"{room.case}/threads", b" " * BIG)).status_code == 413
        assert (await raw(caller, f"{room.case}/threads", b"x", "text/plain")).status_code == 415
    assert (await raw(stranger, f"{room.case}/threads", b"not json")).status_code == 404
    assert (await raw(auditor, f"{room.case}/threads", b"not json")).status_code == 403


async def test_an_address_comes_before_the_credential(room: Room) -> None:
    for path in ("/no-such-thing", f"{room.case}/", "/me/", "/cases//members", f"{room.case}/%61ccess"):
        answer = await room.anonymous("GET", path)
        assert answer.status_code == 404
        problem_of(answer)
    for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "DELETE"):
        assert (await room.anonymous(method, "/me")).status_code == 405


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/cases", "GET, POST"),
        ("/me", "GET"),
        ("/patients/_search", "POST"),
        (f"/cases/{ABSENT}/members", "GET, POST"),
        (f"/cases/{ABSENT}/consents", "GET, POST"),
        (f"/threads/{ABSENT}/messages", "GET, POST"),
        ("/sessions/current", "DELETE"),
    ],
)
async def test_405_names_every_method_of_the_address(room: Room, path: str, allowed: str) -> None:
    answer = await room.anonymous("PATCH", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert problem_of(answer)["code"] == "method-not-allowed"


async def test_a_body_of_declared_length_is_refused_and_the_connection_stays(room: Room) -> None:
    gp = await room.as_("gp")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(room.instance.url.rpartition(":")[2]))
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {gp.token}\r\nContent-Type: application/json\r\n"
    writer.write(f"POST /api/v1/patients HTTP/1.1\r\n{head}Content-Length: {BIG}\r\n\r\n".encode() + b" " * BIG)
    writer.write(f"GET /api/v1/me HTTP/1.1\r\n{head}\r\n".encode())
    async with asyncio.timeout(10):
        first = await reader.readuntil(b"\r\n\r\n")
        second = b""
        while b"HTTP/1.1 200" not in second:
            second += await reader.read(65536)
    writer.close()
    await writer.wait_closed()
    assert first.startswith(b"HTTP/1.1 413")
    assert b"connection: close" not in first.lower()


async def test_all_errors_are_told_at_once_and_none_quotes_the_input(room: Room) -> None:
    gp = await room.as_("gp")
    body = {
        "bsn": "123456789",
        "name": {"given": "", "family": 7, "canarie": "Kanarie"},
        "birthDate": "31-01-1950",
        "neighbourhood": "Nazareth!",
        "kanarie-lid": "Kanarie-waarde",
    }
    answer = await gp.request("POST", "/patients?kanarie=Kanarie", body, headers={"Idempotency-Key": "a b"})
    told = {(fault["pointer"], fault["code"]) for fault in problem_of(answer)["errors"]}
    assert told == {
        ("?", "unknown-parameter"),
        ("/bsn", "bsn-invalid"),
        ("/name/given", "too-short"),
        ("/name/family", "not-a-string"),
        ("/name", "unknown-member"),
        ("/birthDate", "not-a-date"),
        ("/neighbourhood", "wrong-form"),
        ("", "unknown-member"),
        ("", "idempotency-key-invalid"),
    }
    assert "anarie" not in answer.text
    assert "123456789" not in answer.text


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_operations_without_a_body_take_none_or_an_empty_object(room: Room, method: str) -> None:
    gp = await room.as_("gp")
    path = {"GET": "/me", "DELETE": f"/sessions/{ABSENT}", "POST": "/realtime-tickets"}[method]
    good = {"GET": 200, "DELETE": 404, "POST": 201}[method]
    for content, status in ((b"", good), (b"{}", good), (b'{"x":1}', 400), (b"[]", 400), (b"x", 400)):
        answer = await room.anonymous(
            method, path, content=content, headers=bearer(gp) | {"Content-Type": "application/json"}
        )
        assert (content, answer.status_code) == (content, status)


# Idempotency


async def test_a_retry_with_the_same_key_has_one_effect_and_says_so(room: Room) -> None:
    gp = await room.as_("gp")
    body = {"patientId": room.patient_id, "category": CARE, "title": "Eenmaal"}
    key = fresh_key()
    first = await gp.post(f"{room.case}/threads", body, Idempotency_Key=key)
    again = await gp.post(f"{room.case}/threads", body, Idempotency_Key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    titles = [one["title"] for one in await items(gp, f"{room.case}/threads")]
    assert titles.count("Eenmaal") == 1
    assert [record["action_code"] for record in await room.records(again)] == ["R"]
    other = await gp.post(f"{room.case}/threads", {**body, "title": "Anders"}, Idempotency_Key=key)
    assert (other.status_code, problem_of(other)["code"]) == (409, "idempotency-key-reused")


async def creations(room: Room) -> list[tuple[str, str, Json | None]]:
    """Return every POST that makes something and takes a key: who, where, what."""
    thread, message = room.ids["shared"], await room.posted(room.ids["shared"])
    worker = room.members["social-worker"]
    invitation = await room.invited("gp-locum")
    return [
        ("gp", "/patients", {"bsn": "999990020", "name": NAME, "birthDate": "1950-01-31", "neighbourhood": "limmel"}),
        ("gp", "/cases", {"kind": "individual", "patientIds": [room.patient_id], "question": "Vraag?"}),
        ("gp", f"{room.case}/members", await room.member_body("poh-youth")),
        ("gp-locum", f"{room.case}/members/{invitation}/acceptance", None),
        ("gp", f"{room.case}/members/{worker}/public-tasks", {"law": "wmo2015"}),
        ("gp", f"{room.case}/consents", room.consent_body()),
        ("gp", f"/consents/{await room.consented()}/withdrawal", {}),
        ("gp", f"{room.case}/threads", {"patientId": room.patient_id, "category": CARE, "title": "Titel"}),
        ("gp", f"/threads/{thread}/messages", {"text": "Hallo"}),
        ("gp", f"/messages/{message}/corrections", {"text": "Hallo!"}),
    ]


async def test_every_creating_operation_honours_its_key_and_twins_wait(room: Room) -> None:
    for persona, path, body in await creations(room):
        caller = await room.as_(persona)
        key = fresh_key()
        twins = await asyncio.gather(*(caller.post(path, body, Idempotency_Key=key) for _ in range(3)))
        assert [one.status_code for one in twins] == [201, 201, 201], (path, [one.text for one in twins])
        assert len({one.json()["id"] for one in twins}) == 1, path
        assert sum("idempotent-replayed" in one.headers for one in twins) == 2, path


async def test_a_key_belongs_to_one_account_and_one_operation(room: Room) -> None:
    gp, poh = await room.as_("gp"), await room.as_("poh")
    key, body = fresh_key(), {"patientId": room.patient_id, "category": CARE, "title": "Titel"}
    mine = await gp.made(f"{room.case}/threads", body, Idempotency_Key=key)
    theirs = await poh.post(f"{room.case}/threads", {**body, "title": "Van de POH"}, Idempotency_Key=key)
    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine["id"]
    posted = await gp.post(f"/threads/{mine['id']}/messages", {"text": "Met dezelfde sleutel"}, Idempotency_Key=key)
    assert (posted.status_code, "idempotent-replayed" in posted.headers) == (201, False)


async def test_a_replay_is_rendered_under_present_rights(room: Room) -> None:
    worker, gp = await room.as_("social-worker"), await room.as_("gp")
    given = await room.consented(categories=["mental_health"])
    body, key = {"patientId": room.patient_id, "category": "mental_health", "title": "Zorgen"}, fresh_key()
    made = await worker.post(f"{room.case}/threads", body, Idempotency_Key=key)
    assert made.status_code == 201, made.text
    message_key = fresh_key()
    path = f"/threads/{made.json()['id']}/messages"
    assert (await worker.post(path, {"text": "Zorg"}, Idempotency_Key=message_key)).status_code == 201
    await gp.made(f"/consents/{given}/withdrawal")
    assert (await worker.post(f"{room.case}/threads", body, Idempotency_Key=key)).status_code == 404
    assert (await worker.post(path, {"text": "Zorg"}, Idempotency_Key=message_key)).status_code == 404


async def test_a_message_key_and_a_client_id_are_one_namespace_and_the_text_counts(room: Room) -> None:
    gp, key = await room.as_("gp"), fresh_key()
    path = f"/threads/{room.ids['thread']}/messages"
    first = await gp.post(path, {"text": "Een"}, Idempotency_Key=key)
    again = await gp.post(path, {"text": "Een", "kind": "message"}, Idempotency_Key=key)
    other = await gp.post(path, {"text": "Twee"}, Idempotency_Key=key)
    assert again.json()["id"] == first.json()["id"]
    assert (other.status_code, problem_of(other)["code"]) == (409, "idempotency-key-reused")


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 129])
async def test_a_key_is_1_to_128_visible_ascii(room: Room, key: str) -> None:
    gp = await room.as_("gp")
    headers = [(b"authorization", f"Bearer {gp.token}".encode()), (b"idempotency-key", key.encode("utf-8"))]
    for path in ("/cases", f"/threads/{room.ids['thread']}/messages"):
        answer = await room.instance.http.post(path, json={}, headers=headers)
        assert "idempotency-key-invalid" in faults_of(answer).values()


async def test_two_keys_are_none(room: Room) -> None:
    gp = await room.as_("gp")
    headers = [("Authorization", f"Bearer {gp.token}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    answer = await room.instance.http.post("/cases", json={}, headers=headers)
    assert "idempotency-key-invalid" in faults_of(answer).values()


# Cursors


async def test_pages_follow_one_another_without_gap_or_repeat(room: Room) -> None:
    gp = await room.as_("gp")
    made = [await room.posted(room.ids["shared"], f"bericht {number}") for number in range(5)]
    listed = [one["id"] for one in await items(gp, f"/threads/{room.ids['shared']}/messages", limit=2)]
    assert [one for one in listed if one in made] == made
    assert len(set(listed)) == len(listed)
    own = [one["id"] for one in await items(gp, "/contributions", limit=3)]
    assert [one for one in own if one in made] == made[::-1]
    newest = [one["openedAt"] for one in await items(gp, f"{room.case}/threads", limit=1)]
    assert newest == sorted(newest, reverse=True)


async def test_a_cursor_is_bound_to_account_and_query(room: Room) -> None:
    gp, poh, auditor = await room.as_("gp"), await room.as_("poh"), await room.as_("auditor")
    await room.posted(room.ids["shared"])
    await room.posted(room.ids["shared"])
    path = f"/threads/{room.ids['shared']}/messages"
    cursor = (await gp.get(path, limit=1)).json()["nextCursor"]
    for _ in range(2):
        await gp.get(room.case)
    logged = (await auditor.get("/audit/events", limit=1, action="case:read")).json()["nextCursor"]
    assert (await gp.get(path, cursor=cursor)).status_code == 200
    assert (await gp.get(path, cursor=cursor, limit=100)).status_code == 200
    refused = [
        await poh.get(path, cursor=cursor),
        await gp.get(f"/threads/{room.ids['thread']}/messages", cursor=cursor),
        await gp.get("/contributions", cursor=cursor),
        await gp.get(path, cursor=cursor[:-1] + ("A" if cursor[-1] != "A" else "B")),
        await gp.get(path, cursor=cursor.swapcase()),
        await gp.get(path, cursor=cursor[:-4]),
        await gp.get(path, cursor="x"),
        await gp.get(path, cursor="é" * 220),
        await auditor.get("/audit/events", limit=1, action="me:read", cursor=logged),
        await (await room.as_("privacy-officer")).get("/audit/events", limit=1, action="case:read", cursor=logged),
    ]
    for answer in refused:
        assert problem_of(answer)["code"] == "cursor-invalid"
        assert faults_of(answer) == {"?cursor": "cursor-invalid"}
    assert (await auditor.get("/audit/events", action="case:read", cursor=logged)).status_code == 200


async def test_a_cursor_has_one_length_whatever_it_holds(room: Room) -> None:
    gp = await room.as_("gp")
    pages = [
        (await gp.get(path, limit=1)).json()["nextCursor"]
        for path in ("/contributions", f"/threads/{room.ids['shared']}/messages", f"{room.case}/threads")
    ]
    assert {len(cursor) for cursor in pages} == {220}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1e9", "9" * 40])
async def test_a_limit_is_1_to_100(room: Room, limit: str) -> None:
    gp = await room.as_("gp")
    for path in ("/cases", f"{room.case}/threads", f"/threads/{room.ids['thread']}/messages", "/contributions"):
        assert faults_of(await gp.get(path, limit=limit)).keys() == {"?limit"}


async def test_an_unknown_or_repeated_parameter_is_refused(room: Room) -> None:
    gp = await room.as_("gp")
    assert faults_of(await gp.request("GET", "/cases?patientId=1")) == {"?": "unknown-member"}
    assert faults_of(await gp.request("GET", "/cases?limit=1&limit=2")) == {"?": "repeated-parameter"}
    assert faults_of(await gp.request("GET", "/me?x=1")) == {"?": "unknown-parameter"}
    assert faults_of(await gp.get("/cases", status="lost")) == {"?status": "not-allowed"}


async def test_a_token_of_an_ended_session_fails_on_the_next_request(room: Room) -> None:
    caller = await another(room.instance, "gp")
    assert (await caller.post(f"/threads/{room.ids['thread']}/messages", {"text": "Nog net"})).status_code == 201
    sessions = (await caller.get("/sessions")).json()["items"]
    current = next(one["id"] for one in sessions if one["current"])
    other = await another(room.instance, "gp")
    assert (await other.delete(f"/sessions/{current}")).status_code == 204
    for answer in (
        await caller.get("/me"),
        await caller.post(f"/threads/{room.ids['thread']}/messages", {"text": "Te laat"}),
        await caller.post("/realtime-tickets"),
        await caller.get(f"/cases/{ABSENT}"),
    ):
        assert answer.status_code == 401
        (record,) = await room.records(answer)
        assert (record["outcome"], str(record["login_session_id"])) == ("denied", current)
    assert (await other.delete(f"/sessions/{current}")).status_code == 404
    foreign = await room.as_("poh")
    mine = next(one["id"] for one in (await other.get("/sessions")).json()["items"] if one["current"])
    assert (await foreign.delete(f"/sessions/{mine}")).status_code == 404
    assert (await other.get("/me")).status_code == 200


async def test_every_list_takes_a_cursor_and_a_limit(room: Room) -> None:
    gp, locum = await room.as_("gp"), await room.as_("social-worker-2")
    await room.invited("social-worker-2")
    await another(room.instance, "gp")
    lists = [
        (gp, "/sessions"),
        (gp, "/organisations"),
        (gp, "/accounts"),
        (gp, "/cases"),
        (gp, "/consent-texts"),
        (gp, f"{room.case}/members"),
        (gp, f"{room.case}/consents"),
        (gp, f"{room.case}/access"),
        (locum, "/invitations"),
    ]
    for caller, path in lists:
        whole = await items(caller, path)
        assert await items(caller, path, limit=max(1, len(whole) // 3)) == whole, path
        assert faults_of(await caller.get(path, limit=0)).keys() == {"?limit"}
        assert problem_of(await caller.get(path, cursor="x"))["code"] == "cursor-invalid"


async def test_lists_are_newest_first(room: Room) -> None:
    gp = await room.as_("gp")
    for path, at in (("/sessions", "createdAt"), ("/cases", "openedAt"), (f"{room.case}/members", "invitedAt")):
        instants = [one[at] for one in await items(gp, path)]
        assert instants == sorted(instants, reverse=True), path


async def test_accounts_lists_professionals_by_organisation_and_role(room: Room) -> None:
    gp = await room.as_("gp")
    everybody = await items(gp, "/accounts")
    assert {one["role"] for one in everybody} == {"gp", "poh", "social_team", "district_nurse", "specialist"}
    practice = next(one["organisation"]["id"] for one in everybody if one["role"] == "poh")
    assert {one["role"] for one in await items(gp, "/accounts", organisationId=practice)} == {"gp", "poh"}
    assert {one["organisation"]["id"] for one in await items(gp, "/accounts", role="poh")} == {practice}
    assert set(everybody[0]) == {"id", "name", "role", "organisation"}
    citizen = await room.as_("citizen")
    for path in ("/accounts", "/organisations"):
        assert (await citizen.get(path)).status_code == 403


async def test_an_etag_tells_whether_what_one_sees_changed(room: Room) -> None:
    gp, poh = await room.as_("gp"), await room.as_("poh")
    await room.posted(room.ids["shared"])
    await room.posted(room.ids["shared"])
    for path in (room.case, f"/threads/{room.ids['shared']}/messages?limit=1", f"/consents/{room.ids['consent']}"):
        first, again = await gp.request("GET", path), await gp.request("GET", path)
        assert first.headers["etag"] == again.headers["etag"] != ""
        other = await poh.request("GET", path)
        if other.status_code == 200:
            assert other.headers["etag"] != first.headers["etag"]
    path = f"/threads/{room.ids['thread']}/messages"
    before = (await gp.get(path)).headers["etag"]
    await room.posted(room.ids["thread"])
    assert (await gp.get(path)).headers["etag"] != before
