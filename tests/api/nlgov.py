"""The machine-testable NLGov REST API Design Rules 2.2 as functions over an OpenAPI document.

Written from the published rules (https://gitdocumentatie.logius.nl/publicatie/api/adr/) and from what their linter's
documentation says each of its rules demands; ``source`` names the section. Where the text asks more than their linter
checks (every answer carries ``API-Version``, 422 is never used, all properties are camelCase), the text is held.

An operation such as ``/patients/_search`` is allowed: the last segment may start with an underscore.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
from schemathesis.specs.openapi.definitions import OPENAPI_31

Json = Mapping[str, Any]
Check = Callable[[Json], Iterator[str]]

METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options", "trace"})
PATH_ITEM_KEYS = METHODS | {"$ref", "summary", "description", "servers", "parameters"}
PROBLEM_TYPES = ("application/problem+json", "application/problem+xml")

WORDS = r"[a-z0-9]+(?:-[a-z0-9]+)*"
SEGMENT = re.compile(rf"{WORDS}|\{{[^{{}}]+\}}")
OPERATION = re.compile(r"_[a-z]+")
LOWER_CAMEL = re.compile(r"[a-z][A-Za-z0-9]*")
QUERY_KEY = re.compile(r"\$?[a-z][a-z0-9]*(?:[A-Z][a-z0-9]*)*")
UPPER_CAMEL = re.compile(r"(?:[A-Z][a-z0-9]*)+")
SHOUTING = re.compile(r"[A-Z]{2}[A-Za-z0-9]")
DATE_NAME = re.compile(r"(?:[A-Za-z0-9]D|_[dD])(?:ate|atum)|\A(?:date|datum)\Z")
NUMBER = r"(?:0|[1-9][0-9]*)"
SEMVER = re.compile(rf"{NUMBER}\.{NUMBER}\.{NUMBER}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: ``check`` yields a sentence for each violation."""

    id: str
    source: str
    check: Check


@dataclass(frozen=True, slots=True)
class Violation:
    """Where a document breaks a rule."""

    rule: str
    text: str


RULES: list[Rule] = []


def rule(rule_id: str, source: str) -> Callable[[Check], Check]:
    """Enter a check in ``RULES``; ``source`` is a section of the standard."""

    def enter(check: Check) -> Check:
        RULES.append(Rule(rule_id, source, check))
        return check

    return enter


def violations(doc: Json) -> list[Violation]:
    """Return everything in the document that breaks a rule, in the order of the rules."""
    return [Violation(known.id, text) for known in RULES for text in known.check(doc)]


def operations(doc: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in doc.get("paths", {}).items():
        for method in sorted(METHODS & item.keys()):
            yield path, method, item[method]


def walk(node: Any, place: str = "#") -> Iterator[tuple[str, Json]]:
    """Yield every object in the document with its place."""
    if isinstance(node, dict):
        yield place, node
        for key, value in node.items():
            yield from walk(value, f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{place}/{index}")


def target_of(doc: Json, reference: str) -> Any:
    """Return what a local reference points at, or None."""
    node: Any = doc
    for part in reference.removeprefix("#/").split("/"):
        node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node if reference.startswith("#/") else None


def resolved(doc: Json, node: Any) -> Any:
    return target_of(doc, node["$ref"]) if isinstance(node, dict) and "$ref" in node else node


def answers(doc: Json, statuses: str) -> Iterator[tuple[str, Json]]:
    """Yield each answer whose status starts with one of the digits in ``statuses``."""
    for path, method, operation in operations(doc):
        for status, answer in operation.get("responses", {}).items():
            if status[0] in statuses:
                yield f"{method} {path} {status}", resolved(doc, answer) or {}


def properties(doc: Json) -> Iterator[tuple[str, str, Json]]:
    for place, node in walk(doc):
        members = node.get("properties")
        if isinstance(members, dict) and not place.endswith("/properties"):
            for name, schema in members.items():
                if isinstance(schema, dict):
                    yield f"{place}/properties/{name}", name, schema


def parameters(doc: Json) -> Iterator[tuple[str, Json]]:
    for path, item in doc.get("paths", {}).items():
        shared = item.get("parameters", [])
        for method in METHODS & item.keys():
            for parameter in [*shared, *item[method].get("parameters", [])]:
                yield f"{method} {path}", resolved(doc, parameter)


@rule("openapi-3", "/core/doc-openapi")
def is_openapi_3(doc: Json) -> Iterator[str]:
    if not re.fullmatch(r"3(\.[0-9]+){1,2}", str(doc.get("openapi", ""))):
        yield "openapi must be a version 3."


@rule("valid-openapi", "/core/publish-openapi")
def is_valid_openapi(doc: Json) -> Iterator[str]:
    for error in jsonschema_rs.Draft202012Validator(OPENAPI_31).iter_errors(dict(doc)):
        yield f"{'/'.join(map(str, error.instance_path))}: {error.message[:200]}"


@rule("references-resolve", "/core/publish-openapi")
def references_resolve(doc: Json) -> Iterator[str]:
    for place, node in walk(doc):
        if isinstance(node.get("$ref"), str) and target_of(doc, node["$ref"]) is None:
            yield f"{place} refers to {node['$ref']}, which is not there."


@rule("operation-id-unique", "/core/publish-openapi")
def operation_ids_are_unique(doc: Json) -> Iterator[str]:
    counts = Counter(operation.get("operationId", "") for _, _, operation in operations(doc))
    yield from (f"operationId {name!r} is given {count} times." for name, count in counts.items() if count > 1)


@rule("path-parameters", "/core/publish-openapi")
def path_parameters_match(doc: Json) -> Iterator[str]:
    for path, method, operation in operations(doc):
        written = re.findall(r"\{([^{}]+)\}", path)
        declared = [
            found["name"]
            for found in (
                resolved(doc, item)
                for item in [*doc["paths"][path].get("parameters", []), *operation.get("parameters", [])]
            )
            if found["in"] == "path"
        ]
        if sorted(written) != sorted(declared):
            yield f"{method} {path} declares {sorted(declared)}."


@rule("tags-unique", "/core/publish-openapi")
def tags_are_unique(doc: Json) -> Iterator[str]:
    counts = Counter(tag["name"] for tag in doc.get("tags", []))
    yield from (f"Tag {name} is described {count} times." for name, count in counts.items() if count > 1)


@rule("valid-schema-example", "/core/publish-openapi")
def schema_examples_are_valid(doc: Json) -> Iterator[str]:
    for place, node in walk(doc):
        samples = [node[key] for key in ("default", "example") if key in node]
        more = node.get("examples")
        samples += more if isinstance(more, list) else []
        if samples and "type" in node and not place.endswith("/properties"):
            yield from _mismatches(doc, node, samples, place)


@rule("valid-media-example", "/core/publish-openapi")
def media_examples_are_valid(doc: Json) -> Iterator[str]:
    for place, node in walk(doc):
        if "schema" not in node or not isinstance(node["schema"], dict):
            continue
        named = node.get("examples", {})
        samples = [item["value"] for item in named.values() if "value" in item] if isinstance(named, dict) else []
        samples += [node["example"]] if "example" in node else []
        yield from _mismatches(doc, node["schema"], samples, place)


def _mismatches(doc: Json, schema: Json, samples: list[Any], place: str) -> Iterator[str]:
    if samples:
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": doc.get("components", {})})
        yield from (f"{place}: {sample!r} does not fit." for sample in samples if not validator.is_valid(sample))


@rule("server-variables", "/core/publish-openapi")
def server_variables_are_defined(doc: Json) -> Iterator[str]:
    for server in doc.get("servers", []):
        if set(re.findall(r"\{([^{}]+)\}", server["url"])) != set(server.get("variables", {})):
            yield f"Server {server['url']} and its variables differ."


@rule("servers-present", "/core/publish-openapi")
def servers_are_named(doc: Json) -> Iterator[str]:
    if not doc.get("servers"):
        yield "servers is missing or empty."


@rule("servers-use-https", "/core/transport/tls")
def servers_use_https(doc: Json) -> Iterator[str]:
    for place, node in walk(doc):
        for server in node.get("servers", []) if isinstance(node.get("servers"), list) else []:
            if server["url"].startswith("http://"):
                yield f"{place}: {server['url']} is not https."


@rule("major-version-in-uri", "/core/uri-version")
def the_base_address_has_the_major_version(doc: Json) -> Iterator[str]:
    for server in doc.get("servers", []):
        if not re.search(r"/v[0-9]+(?:/|\Z)", server["url"]):
            yield f"Server {server['url']} has no major version."


@rule("no-trailing-slash", "/core/no-trailing-slash")
def no_path_ends_in_a_slash(doc: Json) -> Iterator[str]:
    yield from (f"{path} ends in a slash." for path in doc.get("paths", {}) if path != "/" and path.endswith("/"))


@rule("kebab-case-paths", "/core/path-segments-kebab-case")
def path_segments_are_kebab_case(doc: Json) -> Iterator[str]:
    for path in doc.get("paths", {}):
        if path in {"/", "/openapi.json", "/openapi.yaml"}:
            continue
        *before, last = path.strip("/").split("/")
        wrong = [segment for segment in before if not SEGMENT.fullmatch(segment)]
        if wrong or not (SEGMENT.fullmatch(last) or OPERATION.fullmatch(last)):
            yield f"{path} is not kebab-case."


@rule("camel-case-query-keys", "/core/query-keys-camel-case")
def query_keys_are_camel_case(doc: Json) -> Iterator[str]:
    schemes = doc.get("components", {}).get("securitySchemes", {})
    found = [*parameters(doc), *(("securitySchemes", scheme) for scheme in schemes.values())]
    for place, parameter in found:
        if parameter.get("in") == "query" and not QUERY_KEY.fullmatch(parameter["name"]):
            yield f"{place}: query key {parameter['name']} is not lower camelCase."


@rule("camel-case-schemas", "naming conventions")
def schema_names_are_upper_camel_case(doc: Json) -> Iterator[str]:
    for name in doc.get("components", {}).get("schemas", {}):
        if not UPPER_CAMEL.fullmatch(name) or SHOUTING.search(name):
            yield f"Schema {name} is not UpperCamelCase."


@rule("camel-case-properties", "naming conventions")
def properties_are_lower_camel_case(doc: Json) -> Iterator[str]:
    for place, name, _ in properties(doc):
        if not LOWER_CAMEL.fullmatch(name):
            yield f"{place} is not lowerCamelCase."


@rule("standard-methods", "/core/http-methods")
def only_standard_methods(doc: Json) -> Iterator[str]:
    for path, item in doc.get("paths", {}).items():
        yield from (f"{path} has {key}." for key in item if key not in PATH_ITEM_KEYS and not key.startswith("x-"))


@rule("contact", "/core/doc-openapi-contact")
def there_is_somebody_to_write_to(doc: Json) -> Iterator[str]:
    contact = doc.get("info", {}).get("contact", {})
    yield from (f"info.contact has no {field}." for field in ("name", "email", "url") if not contact.get(field))


@rule("semantic-version", "/core/semver")
def the_version_is_semantic(doc: Json) -> Iterator[str]:
    if not SEMVER.fullmatch(str(doc.get("info", {}).get("version", ""))):
        yield "info.version is not a semantic version."


@rule("version-header", "/core/version-header")
def every_answer_has_the_version(doc: Json) -> Iterator[str]:
    for place, answer in answers(doc, "2345"):
        if "api-version" not in {name.lower() for name in answer.get("headers", {})}:
            yield f"{place} has no API-Version header."


@rule("problem-media-type", "/core/error-handling/problem-details")
def refusals_are_problem_details(doc: Json) -> Iterator[str]:
    for place, answer in answers(doc, "45"):
        if not any(media in answer.get("content", {}) for media in PROBLEM_TYPES):
            yield f"{place} is not problem details."


@rule("problem-members", "/core/error-handling/problem-details")
def problem_details_have_their_members(doc: Json) -> Iterator[str]:
    for place, answer in answers(doc, "45"):
        for media in PROBLEM_TYPES:
            schema = resolved(doc, answer.get("content", {}).get(media, {}).get("schema")) or {}
            missing = {"status", "title", "detail"} - schema.get("properties", {}).keys()
            if media in answer.get("content", {}) and missing:
                yield f"{place} lacks {', '.join(sorted(missing))}."


@rule("invalid-input-400", "/core/error-handling/invalid-input")
def invalid_input_is_400(doc: Json) -> Iterator[str]:
    for path, method, operation in operations(doc):
        taking = method in {"put", "post", "patch"} or operation.get("parameters")
        if taking and "400" not in operation.get("responses", {}):
            yield f"{method} {path} has no 400."
        if "422" in operation.get("responses", {}):
            yield f"{method} {path} has a 422."


@rule("date-time-with-offset", "/core/date-time/timezone")
def instants_have_an_offset(doc: Json) -> Iterator[str]:
    yield from (
        f"{place} is date-time-local." for place, node in walk(doc) if node.get("format") == "date-time-local"
    )


@rule("time-without-offset", "/core/date-time/format")
def times_have_no_offset(doc: Json) -> Iterator[str]:
    yield from (f"{place} is time, not time-local." for place, node in walk(doc) if node.get("format") == "time")


@rule("date-has-format", "/core/date-time/format")
def dates_say_so(doc: Json) -> Iterator[str]:
    for place, name, schema in properties(doc):
        parts = [schema, *schema.get("allOf", [])]
        if DATE_NAME.search(name) and not any("format" in (resolved(doc, part) or {}) for part in parts):
            yield f"{place} has no format."


@rule("date-without-time", "/core/date-time/date-omit-time-portion")
def dates_have_no_time(doc: Json) -> Iterator[str]:
    for place, name, schema in properties(doc):
        formats = {node.get("format") for _, node in walk(schema)}
        if DATE_NAME.search(name) and "date-time" in formats:
            yield f"{place} is a date, yet has a time."
