"""Nothing is forgotten (G9): an operation or frame that declares nothing, or is not expected, fails here.

The OpenAPI document is walked, not the routes: what it does not show is then looked for in the routes themselves.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.routing import BaseRoute

from app.access.tables import ROLE_ACTIONS
from app.access.vocabulary import Action
from app.api.edge import OperationRoute
from app.api.openapi import BASE, operations
from app.api.operations import ACCESS_MEMBER, Content, Operation, Out, Scope, operation
from app.audit.records import ActionCode
from app.core.settings import Settings
from app.main import create_app, document
from app.realtime import frames
from app.realtime.protocol import CLIENT_FRAMES, BadFrame, ClientFrame, read
from tests.api.expectations import CLIENT_FRAMES as CLIENT_EXPECTED
from tests.api.expectations import OPERATIONS, OUTSIDE, PUBLIC
from tests.api.expectations import SERVER_FRAMES as SERVER_EXPECTED

Json = Mapping[str, Any]


def addresses(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, BaseRoute]]:
    """Yield every route under its whole path, those of included routers too."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from addresses(included.routes)
        else:
            yield str(getattr(route, "path", "")), route


def undeclared(app: FastAPI) -> Iterator[str]:
    """Yield everything that answers without having said what it is for."""
    shown = document(app)
    for path, method, found in operations(shown):
        declared = found.get(ACCESS_MEMBER, {})
        words = (
            ("scope", {*Scope}),
            ("action", {*Action}),
            ("content", {*Content}),
            ("audit", {*ActionCode}),
        )
        for name, allowed in words:
            if declared.get(name) not in allowed:
                yield f"{method} {path} declares no {name}"
        if declared.get("scope") != PUBLIC and declared.get("action") not in ROLE_ACTIONS:
            yield f"{method} {path}: no role may {declared.get('action')}"
        if (declared.get("scope") == PUBLIC) != (found.get("security") == []):
            yield f"{method} {path}: the document and the declaration differ on who may call"
    paths = shown["paths"]
    assert isinstance(paths, dict)
    for address, route in addresses(app.routes):
        if address not in OUTSIDE and not isinstance(route, OperationRoute):
            yield f"{address} is no operation and is not expected"
        shown_elsewhere = address in OUTSIDE or address.removeprefix(BASE) in paths
        if isinstance(route, OperationRoute) and not shown_elsewhere:
            yield f"{address} is hidden from the document"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings())


def test_every_operation_declares_scope_action_category_and_audit_class(app: FastAPI) -> None:
    assert list(undeclared(app)) == []


def test_the_document_shows_exactly_the_expected_operations(app: FastAPI) -> None:
    shown = {}
    for path, method, found in operations(document(app)):
        declared = found[ACCESS_MEMBER]
        status = next(int(status) for status in found["responses"] if status.startswith("2"))
        shown[found["operationId"]] = (
            method,
            path,
            *(declared[name] for name in ("scope", "action", "content", "audit")),
            status,
        )
    expected = {
        name: (one.method, one.path, one.scope, one.action, one.content, one.audit, one.status)
        for name, one in OPERATIONS.items()
    }
    assert shown == expected


def test_every_operation_on_a_case_names_the_thing_in_its_path(app: FastAPI) -> None:
    for _, route in addresses(app.routes):
        declared = getattr(getattr(route, "endpoint", None), "operation", None)
        if isinstance(declared, Operation) and declared.scope is Scope.CASE:
            assert declared.entity is not None
            assert declared.entity.kind in {"case", "thread", "message", "consent"}


async def plain() -> dict[str, str]:
    """Answer without a word on rights."""
    return {}


def plant_plain_route(app: FastAPI) -> None:
    app.get("/api/v1/planted", tags=["system"])(plain)


def plant_hidden_route(app: FastAPI) -> None:
    app.get("/api/v1/planted", include_in_schema=False)(plain)


def plant_nested_hidden_route(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter()
    inner.get("/api/v1/planted", include_in_schema=False)(plain)
    outer.include_router(inner)
    app.include_router(outer)


def plant_socket(app: FastAPI) -> None:
    async def planted(websocket: WebSocket) -> None:
        raise NotImplementedError

    app.websocket("/api/v1/planted")(planted)


def plant_hidden_operation(app: FastAPI) -> None:
    router = APIRouter(route_class=OperationRoute)

    @router.get("/api/v1/planted", include_in_schema=False)
    @operation(Scope.SELF, Action.ME_READ, ActionCode.READ, Content.NONE)
    async def planted(ctx: object) -> Out:
        raise NotImplementedError

    app.include_router(router)


def plant_action_for_no_role(app: FastAPI) -> None:
    app.get("/api/v1/planted", tags=["system"], openapi_extra={ACCESS_MEMBER: {**SAID, "action": "case:peek"}})(plain)


def plant_open_door(app: FastAPI) -> None:
    extra = {ACCESS_MEMBER: SAID, "security": []}
    app.get("/api/v1/planted", tags=["system"], openapi_extra=extra)(plain)


SAID = {"scope": "self", "action": "me:read", "content": "none", "audit": "R"}
PLANTS = (
    plant_plain_route,
    plant_hidden_route,
    plant_nested_hidden_route,
    plant_socket,
    plant_hidden_operation,
    plant_action_for_no_role,
    plant_open_door,
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_undeclared_route_is_noticed(plant: Any) -> None:
    app = create_app(Settings())
    plant(app)
    app.openapi_schema = None
    assert [text for text in undeclared(app) if "planted" in text]


def test_an_operation_cannot_be_built_without_a_declaration() -> None:
    router = APIRouter(route_class=OperationRoute)
    with pytest.raises(TypeError, match="declares no action, category and audit class"):
        router.get("/planted")(plain)


def test_an_operation_on_a_case_cannot_leave_out_the_thing_it_is_about() -> None:
    with pytest.raises(TypeError, match="names the thing in its path"):
        operation(Scope.CASE, Action.CASE_READ, ActionCode.READ, Content.CASE)


def test_every_frame_declares_what_is_expected_of_it() -> None:
    sent = {op: (one.scope, one.action, one.category, one.audit) for op, one in CLIENT_FRAMES.items()}
    told = {op: (one.scope, one.action, one.category, one.audit) for op, one in frames.SERVER_FRAMES.items()}
    assert sent == CLIENT_EXPECTED
    assert told == SERVER_EXPECTED


def test_an_undeclared_frame_can_be_neither_read_nor_sent() -> None:
    with pytest.raises(BadFrame):
        read('{"op":"planted"}')
    with pytest.raises(KeyError):
        frames._encode("planted")
    with pytest.raises(TypeError):
        ClientFrame("planted", read=lambda _: frames)  # type: ignore[call-arg,arg-type,return-value]
