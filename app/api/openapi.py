"""The last hand on the OpenAPI document: what holds for every operation is written here once.

The result follows the NLGov REST API Design Rules 2.2 (``tests/api/nlgov.py`` holds it to them): paths relative to a
base address with the major version, every answer with ``API-Version``, every refusal as problem details, no 422.

An operation needs a token unless it says ``openapi_extra={"security": []}``. A route outside the base address does
not belong in the document and says ``include_in_schema=False``.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from fastapi.routing import APIRoute

from app.api.cookies import COOKIE
from app.api.problems import MEDIA_TYPE, STATUSES
from app.core.errors import DomainError
from app.core.version import API_VERSION

Json = dict[str, Any]

BASE: Final = "/api/v1"
CONTACT: Final = {
    "name": "Overlegtafel maintainers",
    "url": "https://overlegtafel.example/contact",
    "email": "api@overlegtafel.example",
}
LICENSE: Final = {"name": "European Union Public Licence 1.2", "identifier": "EUPL-1.2"}
TAGS: Final = {
    "system": "Whether the service is alive and ready, and what a demonstration needs.",
    "identity": "Who is signed in, and with which login sessions.",
    "log-in": "Logging in: one's own factors, passkeys, one-time codes; showing a factor again.",
    "credentials": "One's own ways to log in: password, authenticator, passkeys, the printed sheet.",
    "activation": "Letting others in: citizens by a code after an identity check, and whoever lost a factor.",
    "workplaces": "Computers of an organisation where a factor holds for the working day.",
    "organisations": "Organisations, and the professionals who work for them.",
    "staff": "An organisation's people: engaging, confirming, suspending, from a file too.",
    "teams": "Teams across organisations, where they work and who is in them.",
    "patients": "Registering and finding patients within one's own organisation and cases.",
    "replacements": "Standing in for a colleague: a locum, a deputy, and who may.",
    "cases": "Cases about one person or one household, and who may see what in them.",
    "members": "Inviting to a case, accepting, refusing and leaving.",
    "citizen": "The citizen's side: what is asked of me, who may see what and why, who looked.",
    "consents": "Consent of the patient: recording it, reading it, withdrawing it.",
    "representations": "Who speaks for a patient, on what evidence and until when; what is withheld from a parent.",
    "register": "Which consents there are in the region, for those who watch over them.",
    "per person": "What a citizen says of one person, and what is opened for one.",
    "statements": "What a citizen says beside a message or a consent record.",
    "safety": "Safe contact with somebody whose home is not safe, and reports of unsafety by the meldcode.",
    "disclosures": "What was given to whom outside of a case, and why.",
    "notices": "What one is told: that something happened, never what of whom; letters to citizens.",
    "break-glass": "An emergency: the little that one sees without consent, and who reviews it.",
    "deaths": "When somebody dies: what closes, and what is asked of the file afterwards.",
    "threads": "Sealed conversations about one patient in one category.",
    "messages": "Messages: posting, correcting, retracting, and one's own contributions.",
    "clients": "Integrations: which there are, with which keys and scopes.",
    "audit": "Who did or saw what, on which ground; never content.",
    "realtime": "Tickets for the live socket.",
}
METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
FRAMEWORK_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")

ANSWER_HEADERS: Final = {
    "API-Version": {"$ref": "#/components/headers/ApiVersion"},
    "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
}
HEADERS: Final[Mapping[str, Json]] = {
    "ApiVersion": {
        "description": "The full version of the API.",
        "required": True,
        "schema": {"type": "string", "examples": [API_VERSION]},
    },
    "RequestId": {
        "description": "Our id of this request; quote it when asking for help.",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    },
    "RetryAfter": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}},
    "Challenge": {"description": "How to authenticate.", "schema": {"type": "string", "examples": ["Bearer"]}},
    "Allow": {"description": "The methods this address has.", "schema": {"type": "string"}},
}
REFUSAL_HEADERS: Final = {
    401: {"WWW-Authenticate": {"$ref": "#/components/headers/Challenge"}},
    405: {"Allow": {"$ref": "#/components/headers/Allow"}},
    429: {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
    503: {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
}

PROBLEM_MEMBERS: Final = {
    "type": {"type": "string", "format": "uri-reference", "description": "Where this kind of problem is explained."},
    "title": {"type": "string", "description": "The same for every problem of this type."},
    "status": {"type": "integer", "description": "The HTTP status."},
    "detail": {"type": "string", "description": "What went wrong this time; absent when we failed ourselves."},
    "code": {"type": "string", "description": "The last part of the type, to decide on."},
    "instance": {"type": "string", "format": "uri", "description": "The request id as a URN; absent on a 404."},
}
FAULT_MEMBERS: Final = {
    "pointer": {"type": "string", "description": "A JSON pointer into the body, or ?name for a query parameter."},
    "code": {"type": "string"},
    "detail": {"type": "string"},
}
SCHEMAS: Final[Mapping[str, Json]] = {
    "Problem": {
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "properties": PROBLEM_MEMBERS,
        "required": ["type", "title", "status", "code"],
    },
    "InvalidProblem": {
        "type": "object",
        "description": "Everything that is wrong with the input.",
        "properties": {
            **PROBLEM_MEMBERS,
            "errors": {
                "type": "array",
                "items": {"type": "object", "properties": FAULT_MEMBERS, "required": [*FAULT_MEMBERS]},
            },
        },
        "required": ["type", "title", "status", "detail", "code", "errors"],
    },
}


def operation_id(route: APIRoute) -> str:
    """Return the function's name in lowerCamelCase; hand it to FastAPI as ``generate_unique_id_function``."""
    first, *rest = route.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def finish_document(doc: Mapping[str, Any]) -> Json:
    """Return a copy of the generated document with everything that holds for all operations.

    Raises:
        ValueError: a path outside the base address, a tag without a description, or two schemas of one name.
    """
    done = deepcopy(dict(doc))
    done["info"] |= {"version": API_VERSION, "contact": CONTACT, "license": LICENSE}
    done["servers"] = [{"url": BASE, "description": "This service."}]
    done["security"] = [{"bearer": []}, {"browser": []}]
    done["paths"] = dict(_rebased(done["paths"]))
    for path, method, operation in operations(done):
        _finish_operation(path, method, operation)
    done["tags"] = _described_tags(done)
    done["components"] = _components(done.get("components", {}))
    return dict(_plain(_renamed(done)))


def operations(doc: Mapping[str, Any]) -> Iterator[tuple[str, str, Json]]:
    """Yield path, method in lower case, and operation, in the order of the document."""
    for path, item in doc["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _rebased(paths: Json) -> Iterator[tuple[str, Json]]:
    for path, item in paths.items():
        if not path.startswith(BASE + "/"):
            raise ValueError(f"{path} lies outside {BASE}; say include_in_schema=False.")
        yield path.removeprefix(BASE), item


def _finish_operation(path: str, method: str, operation: Json) -> None:
    if "description" in operation:
        # Sections for those who read the code (Raises, Source) say nothing to those who call it.
        operation["description"] = re.split(r"\n\s*(?:Raises|Source|Returns|Args):", operation["description"])[
            0
        ].strip()
    responses = operation["responses"]
    responses.pop("422", None)
    declared = {int(status) for status in responses if status.startswith(("4", "5"))}
    for status, answer in responses.items():
        if status.startswith(("2", "3")):
            answer["headers"] = {**ANSWER_HEADERS, **answer.get("headers", {})}
    for status in sorted(declared | set(_refused_with(path, method, operation))):
        responses[str(status)] = {"$ref": f"#/components/responses/{_kind_with(status).__name__}"}


def _refused_with(path: str, method: str, operation: Json) -> Iterator[int]:
    """Yield the statuses that follow from what kind of operation it is; routes declare others themselves."""
    yield from (400, 429, 500, 503)
    if operation.get("security") != []:
        yield from (401, 403)
        if method != "get" and not path.endswith("/_search"):
            yield 409
    if "{" in path:
        yield 404
    if method in {"post", "put", "patch"}:
        yield from (408, 413, 415)
    if method in {"put", "patch"}:
        yield from (412, 428)


def _kind_with(status: int) -> type[DomainError]:
    kind = next((kind for kind, listed in STATUSES.items() if listed == status), None)
    if kind is None:
        raise ValueError(f"No refusal has status {status}.")
    return kind


def _described_tags(doc: Json) -> list[Json]:
    used = {tag for _, _, operation in operations(doc) for tag in operation.get("tags", ())}
    if unknown := used - TAGS.keys():
        raise ValueError(f"No description for tag {', '.join(sorted(unknown))}.")
    return [{"name": name, "description": text} for name, text in TAGS.items() if name in used]


def _components(generated: Json) -> Json:
    schemas = {name: schema for name, schema in generated.get("schemas", {}).items() if name not in FRAMEWORK_SCHEMAS}
    if taken := schemas.keys() & SCHEMAS.keys():
        raise ValueError(f"{', '.join(sorted(taken))} is a schema of the edge.")
    return {
        "schemas": dict(sorted({**schemas, **SCHEMAS}.items())),
        "responses": {kind.__name__: _refusal(kind, status) for kind, status in STATUSES.items()},
        "headers": HEADERS,
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A short-lived access token; it says who, and rights are looked up at each use.",
            },
            "browser": {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIE,
                "description": "The session of a browser. Whatever is not read only needs X-CSRF-Token as well: the "
                "csrfToken that signing in, switching and reading /me gave. A token, if there is one, wins.",
            },
        },
    }


def _refusal(kind: type[DomainError], status: int) -> Json:
    schema = "InvalidProblem" if status == 400 else "Problem"
    return {
        "description": f"{kind.title}.",
        "headers": {**ANSWER_HEADERS, **REFUSAL_HEADERS.get(status, {})},
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _renamed(doc: Json) -> Json:
    """Return the document with schema names in UpperCamelCase: generic models are called ``Page_CaseOut_``."""
    schemas = doc["components"]["schemas"]
    names = {
        name: "".join(part[0].upper() + part[1:] for part in re.findall(r"[A-Za-z0-9]+", name)) for name in schemas
    }
    if len(set(names.values())) < len(names):
        raise ValueError("Two schemas would have one name.")
    doc["components"]["schemas"] = {names[name]: schema for name, schema in schemas.items()}
    prefix = "#/components/schemas/"

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        walked = {key: walk(value) for key, value in node.items()}
        target = node.get("$ref")
        if isinstance(target, str) and target.startswith(prefix):
            walked["$ref"] = prefix + names[target.removeprefix(prefix)]
        return walked

    return dict(walk(doc))


def _plain(node: Any) -> Any:
    """Return the schema with ``anyOf`` of one type and null as a list of types: ``format`` then stands beside it."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _plain(value) for key, value in node.items()}
    match plain.get("anyOf"):
        case [{"type": str(name), **rest}, {"type": "null"}] if "const" not in rest:
            first = plain.pop("anyOf")[0]
            if "enum" in first:
                rest["enum"] = [*first["enum"], None]
            return {"type": [name, "null"], **rest, **plain}
    return plain
