"""The finished document obeys every NLGov rule, and every rule notices when it does not."""

from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.api.openapi import TAGS, finish_document, operation_id, operations
from app.api.problems import STATUSES
from tests.api.nlgov import RULES, violations

Json = dict[str, Any]
Item = TypeVar("Item")


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Kind(StrEnum):
    INDIVIDUAL = "individual"


class CaseOut(Shape):
    id: UUID
    kind: Kind
    birth_date: date | None = None
    opened_at: datetime
    word: str | None = Field(default=None, examples=["tafel", None])


class Page(Shape, Generic[Item]):
    items: list[Item]
    next_cursor: str | None


class CaseIn(Shape):
    kind: Kind = Kind.INDIVIDUAL
    birth_date: date | None


def make_app() -> FastAPI:
    app = FastAPI(title="Sample", version="9", generate_unique_id_function=operation_id)

    @app.get("/api/v1/health", tags=["system"], openapi_extra={"security": []})
    async def get_health() -> dict[str, str]:
        """Say that the process is alive."""
        return {}

    @app.get("/api/v1/cases", tags=["cases"])
    async def list_cases(nextCursor: str | None = None, limit: int = 50) -> Page[CaseOut]:  # noqa: N803
        raise NotImplementedError

    @app.post("/api/v1/cases", tags=["cases"], status_code=201, responses={429: {"description": "Too fast."}})
    async def open_case(body: CaseIn) -> CaseOut:
        """Open a case.

        Raises:
            Forbidden: not by this role.
        """
        raise NotImplementedError

    @app.post("/api/v1/patients/_search", tags=["patients"])
    async def search_patients(body: CaseIn) -> Page[CaseOut]:
        raise NotImplementedError

    @app.delete("/api/v1/cases/{caseId}/members/{memberId}", tags=["members"], status_code=204)
    async def end_membership(caseId: UUID, memberId: UUID) -> None:  # noqa: N803
        raise NotImplementedError

    return app


@pytest.fixture(scope="module")
def generated() -> Json:
    return make_app().openapi()


@pytest.fixture(scope="module")
def finished(generated: Json) -> Json:
    return finish_document(generated)


def test_a_finished_document_breaks_no_rule(finished: Json) -> None:
    assert violations(finished) == []


def test_a_generated_document_does_break_rules(generated: Json) -> None:
    assert {found.rule for found in violations(generated)} >= {"servers-present", "contact", "invalid-input-400"}


def test_finishing_leaves_what_it_was_given_alone(generated: Json) -> None:
    before = deepcopy(generated)
    assert finish_document(generated) == finish_document(generated)
    assert generated == before


def test_paths_are_relative_to_the_base_and_operations_have_plain_names(finished: Json) -> None:
    named = {(path, method): operation["operationId"] for path, method, operation in operations(finished)}
    assert finished["servers"][0]["url"] == "/api/v1"
    assert named["/patients/_search", "post"] == "searchPatients"
    assert named["/cases/{caseId}/members/{memberId}", "delete"] == "endMembership"


def test_refusals_follow_from_the_operation(finished: Json) -> None:
    refused = {
        operation["operationId"]: {int(status) for status in operation["responses"] if status[0] in "45"}
        for _, _, operation in operations(finished)
    }
    assert refused["getHealth"] == {400, 429, 500, 503}
    assert refused["listCases"] == {400, 401, 403, 429, 500, 503}
    assert refused["searchPatients"] == {400, 401, 403, 408, 413, 415, 429, 500, 503}
    assert refused["openCase"] == refused["searchPatients"] | {409}
    assert refused["endMembership"] == {400, 401, 403, 404, 409, 429, 500, 503}
    assert set(finished["components"]["responses"]) == {kind.__name__ for kind in STATUSES}


def test_a_token_is_needed_unless_an_operation_says_otherwise(finished: Json) -> None:
    assert finished["security"] == [{"bearer": []}, {"browser": []}]
    assert [o["operationId"] for _, _, o in operations(finished) if "security" in o] == ["getHealth"]


def test_names_descriptions_and_nullable_types_read_well(finished: Json) -> None:
    schemas = finished["components"]["schemas"]
    assert {"PageCaseOut", "Problem", "InvalidProblem"} <= schemas.keys()
    assert not schemas.keys() & {"HTTPValidationError", "ValidationError"}
    assert schemas["CaseOut"]["properties"]["birthDate"]["type"] == ["string", "null"]
    assert schemas["CaseOut"]["properties"]["birthDate"]["format"] == "date"
    assert finished["paths"]["/cases"]["post"]["description"] == "Open a case."
    assert finished["tags"] == [{"name": name, "description": TAGS[name]} for name in TAGS if name in USED_TAGS]


USED_TAGS = {"system", "patients", "cases", "members"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda doc: doc["paths"].update({"/loose": {}}), "lies outside"),
        (lambda doc: doc["paths"]["/api/v1/cases"]["get"].update(tags=["odd"]), "No description for tag odd"),
        (lambda doc: doc["paths"]["/api/v1/cases"]["get"]["responses"].update({"418": {}}), "No refusal has status"),
        (lambda doc: doc["components"]["schemas"].update(Problem={}), "Problem is a schema of the edge"),
        (lambda doc: doc["components"]["schemas"].update(Case_Out={}), "Two schemas would have one name"),
    ],
)
def test_what_cannot_be_finished_is_refused(generated: Json, change: Callable[[Json], None], message: str) -> None:
    doc = deepcopy(generated)
    change(doc)
    with pytest.raises(ValueError, match=message):
        finish_document(doc)


def at(doc: Json, *keys: str) -> Json:
    for key in keys:
        doc = doc[key]
    return doc


def plant_property(name: str, **schema: object) -> Callable[[Json], None]:
    return lambda doc: at(doc, "components", "schemas", "CaseOut", "properties").update({name: schema})


def plant_refusal(answer: Json) -> Callable[[Json], None]:
    return lambda doc: at(doc, "components", "responses").update(Invalid=answer)


def plant_path(path: str, *, method: str = "get") -> Callable[[Json], None]:
    def plant(doc: Json) -> None:
        doc["paths"][path] = {method: {**deepcopy(doc["paths"]["/cases"]["get"]), "operationId": "planted"}}

    return plant


def plant_same_operation_id(doc: Json) -> None:
    doc["paths"]["/health"]["get"]["operationId"] = "listCases"


def plant_bare_answer(doc: Json) -> None:
    del doc["paths"]["/health"]["get"]["responses"]["200"]["headers"]


def plant_422(doc: Json) -> None:
    responses = doc["paths"]["/cases"]["post"]["responses"]
    responses["422"] = responses.pop("400")


def plant_media_example(doc: Json) -> None:
    doc["paths"]["/cases"]["post"]["requestBody"]["content"]["application/json"]["example"] = {"kind": "other"}


def plant_query_key(doc: Json) -> None:
    doc["paths"]["/cases"]["get"]["parameters"][0]["name"] = "next_cursor"


VERSION = {"$ref": "#/components/headers/ApiVersion"}
BARE_PROBLEM = {"schema": {"type": "object", "properties": {"status": {"type": "integer"}}}}

PLANTS: list[tuple[str, Callable[[Json], None]]] = [
    ("openapi-3", lambda doc: doc.update(openapi="2.0")),
    ("openapi-3", lambda doc: doc.pop("openapi")),
    ("valid-openapi", lambda doc: doc["info"].pop("title")),
    ("references-resolve", plant_property("other", **{"$ref": "#/components/schemas/Missing"})),
    ("references-resolve", plant_property("other", **{"$ref": "https://example.org/schema"})),
    ("operation-id-unique", plant_same_operation_id),
    ("path-parameters", plant_path("/cases/{caseId}")),
    ("tags-unique", lambda doc: doc["tags"].append(doc["tags"][0])),
    ("valid-schema-example", plant_property("size", type="integer", examples=["ten"])),
    ("valid-schema-example", plant_property("size", type="integer", default="ten")),
    ("valid-media-example", plant_media_example),
    ("server-variables", lambda doc: doc["servers"][0].update(url="https://{region}.example/v1")),
    ("servers-present", lambda doc: doc.update(servers=[])),
    ("servers-present", lambda doc: doc.pop("servers")),
    ("servers-use-https", lambda doc: doc["servers"][0].update(url="http://api.example/v1")),
    ("servers-use-https", lambda doc: at(doc, "paths", "/cases").update(servers=[{"url": "http://api.example/v1"}])),
    ("major-version-in-uri", lambda doc: doc["servers"][0].update(url="/api")),
    ("major-version-in-uri", lambda doc: doc["servers"][0].update(url="/api/v1.2")),
    ("no-trailing-slash", plant_path("/cases/")),
    *(
        ("kebab-case-paths", plant_path(path))
        for path in ("/openCases", "/open_cases", "/-cases", "/cases-", "/cases.json", "/_search/cases", "/cäses")
    ),
    ("camel-case-query-keys", plant_query_key),
    ("camel-case-schemas", lambda doc: at(doc, "components", "schemas").update(caseOut={})),
    ("camel-case-schemas", lambda doc: at(doc, "components", "schemas").update(HTTPError={})),
    ("camel-case-properties", plant_property("opened_at", type="string")),
    ("standard-methods", plant_path("/copies", method="copy")),
    *(("contact", lambda doc, field=field: doc["info"]["contact"].pop(field)) for field in ("name", "url", "email")),
    ("contact", lambda doc: doc["info"].pop("contact")),
    *(("semantic-version", lambda doc, v=v: doc["info"].update(version=v)) for v in ("1", "1.0", "v1.0.0", "1.02.0")),
    ("version-header", plant_bare_answer),
    ("version-header", plant_refusal({"description": "", "content": {"application/problem+json": {}}})),
    ("problem-media-type", plant_refusal({"description": "", "headers": {}, "content": {"application/json": {}}})),
    ("problem-media-type", plant_refusal({"description": "", "headers": {"API-Version": VERSION}})),
    ("problem-members", plant_refusal({"description": "", "content": {"application/problem+json": BARE_PROBLEM}})),
    ("invalid-input-400", plant_422),
    ("date-time-with-offset", plant_property("openedAt", type="string", format="date-time-local")),
    ("time-without-offset", plant_property("openedAt", type="string", format="time")),
    *(("date-has-format", plant_property(name, type="string")) for name in ("date", "birthDate", "geboorteDatum")),
    ("date-without-time", plant_property("birthDate", type="string", format="date-time")),
]


@pytest.mark.parametrize(("rule", "plant"), PLANTS, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(PLANTS)])
def test_each_rule_notices_a_planted_violation(finished: Json, rule: str, plant: Callable[[Json], None]) -> None:
    doc = deepcopy(finished)
    plant(doc)
    assert rule in {found.rule for found in violations(doc)}


def test_no_rule_is_without_a_planted_violation() -> None:
    ids = [known.id for known in RULES]
    assert len(ids) == len(set(ids))
    assert set(ids) == {rule for rule, _ in PLANTS}
    assert all(known.source for known in RULES)
