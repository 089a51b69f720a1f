"""What every answer has in common: one form of refusal, one set of headers, one spelling of an address."""

import gc
import tomllib
from pathlib import Path
from uuid import UUID

import httpx
import orjson
import pytest
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.headers import CSP_DATA, CSP_REFERENCE, Conventions, request_id_of
from app.api.limits import Guard
from app.api.problems import (
    NOT_FOUND,
    HostNotAllowed,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
    body_bytes,
    problem_index,
    problem_of,
    problem_page,
    problem_types,
    refusal_of,
    render,
)
from app.core.errors import (
    Conflict,
    DomainError,
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from app.core.version import API_VERSION

CANARY = "Aleida-Canarie"
REQUEST_ID = "5b0f7f0e-0d7c-4a3e-9a53-0d1d0c2b7a11"

KINDS: list[tuple[DomainError, int, dict[str, str]]] = [
    (Invalid(Fault("/bsn", "bsn-invalid", "Fails the eleven test.")), 400, {}),
    (HostNotAllowed(), 400, {}),
    (MalformedRequest(), 400, {"Connection": "close"}),
    (Unauthenticated(), 401, {"WWW-Authenticate": "Bearer"}),
    (Forbidden(), 403, {}),
    (NotFound(), 404, {}),
    (MethodNotAllowed({"POST", "GET"}), 405, {"Allow": "GET, POST"}),
    (RequestTimeout(), 408, {"Connection": "close"}),
    (Conflict(), 409, {}),
    (PreconditionFailed(), 412, {}),
    (PayloadTooLarge(), 413, {}),
    (PayloadTooLarge(closes=True), 413, {"Connection": "close"}),
    (UnsupportedMediaType(), 415, {}),
    (PreconditionRequired(), 428, {}),
    (RateLimited(7), 429, {"Retry-After": "7"}),
    (InternalError(CANARY), 500, {}),
    (Unavailable(), 503, {"Retry-After": "5"}),
]


@pytest.mark.parametrize(("error", "status", "headers"), KINDS, ids=lambda value: type(value).__name__)
def test_each_kind_of_refusal_has_its_status_and_headers(
    error: DomainError, status: int, headers: dict[str, str]
) -> None:
    response = render(problem_of(error), REQUEST_ID)
    body = orjson.loads(response.body)

    assert response.status_code == body["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"/problems/{error.code}"
    assert (body["code"], body["title"]) == (error.code, error.title)
    assert {name: response.headers[name] for name in headers} == headers
    assert ("instance" in body) == (status != 404)
    assert ("errors" in body) == (status == 400)
    assert ("detail" in body) == (status != 500)


def test_invalid_input_lists_every_fault_in_order() -> None:
    faults = [Fault("/bsn", "bsn-invalid", "Fails the eleven test."), Fault("?limit", "out-of-range", "1 to 100.")]
    body = orjson.loads(body_bytes(problem_of(Invalid(*faults)), REQUEST_ID))
    assert body["errors"] == [
        {"pointer": "/bsn", "code": "bsn-invalid", "detail": "Fails the eleven test."},
        {"pointer": "?limit", "code": "out-of-range", "detail": "1 to 100."},
    ]
    assert body["instance"] == f"urn:uuid:{REQUEST_ID}"


def test_every_not_found_is_the_same_bytes() -> None:
    class NoSuchConsent(NotFound):
        code = "no-such-consent"

    bodies = {body_bytes(problem_of(error), new) for error in (NotFound(), NoSuchConsent(CANARY)) for new in "ab"}
    assert bodies == {orjson.dumps(NOT_FOUND.body)}
    assert "no-such-consent" not in problem_types()


def test_the_framework_s_own_refusals_become_ours() -> None:
    error = refusal_of(HTTPException(405, headers={"Allow": "POST, GET"}))
    assert isinstance(error, MethodNotAllowed)
    assert error.allowed == ("GET", "POST")
    assert isinstance(refusal_of(HTTPException(404)), NotFound)
    assert isinstance(refusal_of(HTTPException(418)), InternalError)


def test_every_problem_is_documented() -> None:
    index = problem_index()
    for known in problem_types().values():
        page = problem_page(known.code)
        assert page is not None
        assert known.title in page
        assert f"HTTP status {known.status}" in page
        assert f"/problems/{known.code}" in index
    assert problem_page("no-such-code") is None


def test_two_refusals_never_share_a_code() -> None:
    planted = type("Planted", (Conflict,), {"code": "forbidden"})
    with pytest.raises(ValueError, match="forbidden"):
        problem_types()
    del planted
    gc.collect()
    assert "forbidden" in problem_types()


def test_the_api_version_is_that_of_the_project() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert project["version"] == API_VERSION
    assert f'softwareVersion: "{API_VERSION}"' in Path("publiccode.yml").read_text()


async def answer(request: Request) -> Response:
    return JSONResponse({"id": request_id_of(request.scope)})


async def refuse(request: Request) -> Response:
    raise Forbidden


async def fail(request: Request) -> Response:
    raise KeyError(CANARY)


ROUTES = [
    Route("/api/v1/me", answer),
    Route("/api/v1/openapi.json", answer),
    Route("/docs", answer),
    Route("/refusal", refuse),
    Route("/failure", fail),
]


def make_client(public_url: str = "http://127.0.0.1:8000") -> httpx.AsyncClient:
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(Conventions, public_url=public_url),
            Middleware(Guard, hosts={"127.0.0.1"}),
        ],
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


FIXED = {
    "api-version": API_VERSION,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/me", 200), ("/docs", 200), ("/refusal", 403), ("/failure", 500), ("/none", 404), ("/api/v1/me/", 404)],
)
async def test_every_answer_carries_the_same_headers_once(path: str, status: int) -> None:
    async with make_client() as client:
        response = await client.get(path)
    assert response.status_code == status
    for name, value in FIXED.items():
        assert response.headers.get_list(name) == [value]
    assert response.headers.get_list("content-security-policy") == [CSP_REFERENCE if path == "/docs" else CSP_DATA]
    assert UUID(response.headers["x-request-id"]).version == 4
    assert "server" not in response.headers
    assert "strict-transport-security" not in response.headers


async def test_a_foreign_host_gets_the_headers_too() -> None:
    async with make_client() as client:
        response = await client.get("/api/v1/me", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert response.json()["code"] == "host-not-allowed"
    assert response.headers["api-version"] == API_VERSION


async def test_transport_security_is_demanded_behind_tls() -> None:
    async with make_client("https://overleg.example") as client:
        response = await client.get("/api/v1/me")
    assert response.headers["strict-transport-security"] == "max-age=31536000"


async def test_only_the_openapi_document_is_open_to_other_origins() -> None:
    async with make_client() as client:
        document = await client.get("/api/v1/openapi.json", headers={"Origin": "https://other.example"})
        other = await client.get("/api/v1/me", headers={"Origin": "https://other.example"})
    assert document.headers["access-control-allow-origin"] == "*"
    assert not [name for name in other.headers if name.startswith("access-control")]


async def test_the_request_id_is_never_the_client_s() -> None:
    async with make_client() as client:
        first = await client.get("/api/v1/me", headers={"X-Request-Id": REQUEST_ID})
        second = await client.get("/refusal", headers={"X-Request-Id": REQUEST_ID})
    assert first.json()["id"] == first.headers["x-request-id"] != REQUEST_ID
    assert second.json()["instance"] == f"urn:uuid:{second.headers['x-request-id']}"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_an_unexpected_failure_tells_its_type_to_the_log_and_nothing_to_the_client() -> None:
    with structlog.testing.capture_logs() as logs:
        async with make_client() as client:
            response = await client.get("/failure")
    assert response.status_code == 500
    assert set(response.json()) == {"type", "title", "status", "code", "instance"}
    assert [(entry["event"], entry["error"]) for entry in logs] == [("request.failed", "KeyError")]
    assert logs[0]["at"].startswith("test_conventions.py:")
    assert logs[0]["request_id"] == response.headers["x-request-id"]
    assert CANARY not in repr(logs) + response.text


async def run_bare(app: ASGIApp) -> list[Message]:
    """Return what the outermost layer sends when ``app`` is all that lies below it."""
    sent: list[Message] = []
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await Conventions(app, public_url="")(scope, receive, send)
    return sent


async def test_a_failure_halfway_ends_the_answer_without_a_second_one() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError(CANARY)

    with structlog.testing.capture_logs() as logs:
        sent = await run_bare(app)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert [entry["error"] for entry in logs] == ["ValueError"]
    assert CANARY not in repr(logs)


async def test_nobody_is_answered_who_left() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    assert await run_bare(app) == []


async def test_a_socket_that_names_a_foreign_host_is_refused_with_a_problem() -> None:
    sent: list[Message] = []
    scope = {"type": "websocket", "path": "/api/v1/realtime", "headers": [(b"host", b"evil.example")]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await Conventions(Guard(app, hosts={"127.0.0.1"}), public_url="")(scope, receive, send)
    start, body = sent
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 400)
    assert (b"api-version", API_VERSION.encode()) in start["headers"]
    assert orjson.loads(body["body"])["code"] == "host-not-allowed"
