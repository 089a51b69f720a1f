"""The real document: committed and not stale, clean under the NLGov rules, and true of what the service answers."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.api.openapi import operations
from app.cli.openapi import DOCUMENT, document_text
from app.core.settings import Mode, Settings
from app.main import create_app, document
from tests.api.expectations import EXPORTS
from tests.api.nlgov import violations
from tests.api.room import Room, problem_of

Json = dict[str, Any]


@pytest.fixture(scope="module")
def shown() -> Json:
    found: Json = json.loads(json.dumps(document(create_app(Settings()))))
    return found


def test_the_committed_document_is_that_of_the_code() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document_text(), "run: make openapi"


def test_the_document_breaks_no_rule_of_nlgov(shown: Json) -> None:
    assert violations(shown) == []


def test_every_operation_says_what_it_does_and_what_can_go_wrong(shown: Json) -> None:
    for path, method, one in operations(shown):
        assert one["description"], (method, path)
        assert one["tags"], (method, path)
        refused = {status for status in one["responses"] if status[0] in "45"}
        assert {"400", "500", "503"} <= refused
        assert ({"401", "403"} <= refused) == (one.get("security") != [])


def test_what_creates_takes_an_idempotency_key(shown: Json) -> None:
    keyed = {
        one["operationId"]
        for _, _, one in operations(shown)
        for parameter in one.get("parameters", ())
        if parameter["name"] == "Idempotency-Key"
    }
    assert keyed == {
        *("recordMove", "announcePracticeChange"),
        *("acceptPracticeChange", "refusePracticeChange", "withdrawPracticeChange"),
        *("recordDeath", "undoDeath", "decideAfterDeathRequest"),
        *("breakGlass", "confirmBreakGlass", "endBreakGlass", "reviewBreakGlass"),
        *("registerPatient", "openCase", "inviteMember", "acceptInvitation", "recordPublicTask", "giveConsent"),
        "registerClient",
        *("useConsentBundle", "renewConsent", "addConsentRecipient"),
        *(
            "askConsent",
            "decideConsent",
            "withdrawConsent",
            "narrowConsent",
            "openThread",
            "postMessage",
            "correctMessage",
        ),
        *("createOrganisation", "createTeam", "recordSafeContact"),
        *("openSafetyReport", "takeSafetyStep", "recordDisclosure"),
        *("recordRepresentation", "withhold", "addSubject"),
        *("recordExclusion", "recordObjection", "recordOpening", "recordAccessRequest"),
        *("addMessageStatement", "addConsentStatement"),
        *("createEngagement", "startReplacement", "addPasskey", "requestFactorReset"),
    }


def test_every_answer_with_a_body_has_a_schema_and_every_instant_a_format(shown: Json) -> None:
    for path, method, one in operations(shown):
        for status, answer in one["responses"].items():
            if one["operationId"] in EXPORTS and status == "200":
                lines = {"application/x-ndjson"}
                assert (lines if path == "/contribution-exports" else lines | {"application/fhir+ndjson"}) <= set(
                    answer["content"]
                )
            elif status.startswith("2") and status != "204":
                assert "$ref" in answer["content"]["application/json"]["schema"], (method, path, status)
    for name, schema in shown["components"]["schemas"].items():
        for member, found in schema.get("properties", {}).items():
            if member.endswith("At") or member == "at":
                assert found["format"] == "date-time", (name, member)
    assert {"200", "201"} <= shown["paths"]["/patients"]["post"]["responses"].keys()
    assert "404" in shown["paths"]["/demo-tokens"]["post"]["responses"]


CONFORMING = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("examples", [1, pytest.param(8, marks=pytest.mark.heavy)])
async def test_what_the_document_allows_is_answered_as_it_says(room: Room, examples: int) -> None:
    """Schemathesis makes requests of the document, bounded; ``test_bad_input`` makes those that it forbids."""
    tokens = {persona: (await room.as_(persona)).token for persona in ("gp", "auditor")}
    schema = schemathesis.openapi.from_dict(json.loads(room.app.state.document()))
    known = room.path_ids()
    seen = set()

    def ask(one: schemathesis.APIOperation[Any, Any, Any, Any], name: str) -> None:
        token = tokens["auditor" if name in {"searchAuditEvents", "listRegister", "exportRegister"} else "gp"]
        here = {key: value for key, value in known.items() if f"{{{key}}}" in one.path}

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(one.as_strategy(path_parameters=here or None))
        def check(case: schemathesis.Case[Any]) -> None:
            answer = case.call(f"{room.instance.url}/api/v1", headers={"Authorization": f"Bearer {token}"})
            seen.add(answer.status_code)
            case.validate_response(answer, checks=CONFORMING)

        check()

    def run() -> None:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            one = result.ok()
            name = one.definition.raw["operationId"]
            if name not in {"endCurrentSession", "endMember"}:
                ask(one, name)

    await asyncio.to_thread(run)
    assert {200, 201, 400, 404} <= seen


async def test_the_document_is_open_to_all_and_the_same_everywhere(room: Room) -> None:
    answers = [
        await room.anonymous("GET", f"{room.instance.url}{path}", headers={"Origin": "https://elsewhere.example"})
        for path in ("/api/v1/openapi.json", "/openapi.json")
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.json() == json.loads(DOCUMENT.read_text(encoding="utf-8"))


async def test_the_reference_names_no_address_of_others(room: Room) -> None:
    answer = await room.anonymous("GET", f"{room.instance.url}/docs")
    assert answer.status_code == 200
    assert "http://" not in answer.text
    assert "https://" not in answer.text


async def test_tokens_can_be_verified_with_what_is_published(room: Room) -> None:
    keys = (await room.anonymous("GET", f"{room.instance.url}/.well-known/jwks.json")).json()["keys"]
    assert {key["alg"] for key in keys} == {"ES256"}
    assert not any("d" in key for key in keys)
    found = (await room.anonymous("GET", f"{room.instance.url}/.well-known/openid-configuration")).json()
    assert found["jwks_uri"].endswith("/.well-known/jwks.json")


async def test_readiness_says_what_is_missing(room: Room) -> None:
    ready = await room.anonymous("GET", "/readiness")
    assert (ready.status_code, ready.json()) == (200, {"database": "ok", "migrations": "ok", "keys": "ok"})
    services = room.app.state.services
    try:
        room.app.state.services = replace(services, revision="9999")
        unready = await room.anonymous("GET", "/readiness")
    finally:
        room.app.state.services = services
    assert unready.status_code == 503
    assert problem_of(unready)["code"] == "not-ready"
    assert unready.json() | {"database": "ok", "migrations": "another revision", "keys": "ok"} == unready.json()
    assert (await room.anonymous("GET", "/health")).json() == {"status": "ok"}


async def test_personas_exist_in_demo_mode_only(room: Room) -> None:
    personas = {one["persona"]: one for one in (await room.anonymous("GET", "/demo-personas")).json()["items"]}
    assert personas.keys() >= {
        *("gp", "poh", "poh-youth", "gp-other", "gp-locum", "social-worker", "social-worker-2", "district-nurse"),
        *("specialist", "citizen", "informal-carer", "auditor", "privacy-officer", "org-admin", "integration"),
    }
    assert [name for name, one in personas.items() if "testBsn" in one] == [
        *("citizen", "mother-herself", "father-himself", "teenager"),
    ]
    token = (await room.anonymous("POST", "/demo-tokens", json={"persona": "gp"})).json()
    carried_on = {"accessToken", "refreshToken", "expiresIn"}
    assert set(token) == carried_on | {"account", "engagement", "engagements"}
    assert set(token["account"]) == {"id", "name", "role", "organisation"}
    services = room.app.state.services
    try:
        production = services.settings.model_copy(update={"mode": Mode.PRODUCTION})
        room.app.state.services = replace(services, settings=production)
        asked = [
            await room.anonymous("GET", "/demo-personas"),
            await room.anonymous("GET", "/demo-personas?x=1"),
            await room.anonymous("POST", "/demo-tokens", json={"persona": "gp"}),
            await room.anonymous("POST", "/demo-tokens", json={"who": 1}),
            await room.anonymous("POST", "/demo-tokens", content=b"x", headers={"Content-Type": "text/plain"}),
        ]
    finally:
        room.app.state.services = services
    absent = await room.anonymous("GET", "/no-such-thing")
    assert {(one.status_code, one.content) for one in asked} == {(404, absent.content)}


def test_a_hidden_member_is_not_required(shown: Json) -> None:
    """What some viewers do not get cannot be required of an answer."""
    schema = shown["components"]["schemas"]["CaseOut"]
    assert set(schema["required"]) == {"id", "kind", "status", "membership"}
