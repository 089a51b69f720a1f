"""Request bodies: one strict reading of JSON, one base class, and faults that name what is wrong without quoting it.

``read_body`` is what a route calls, after its permit. It raises ``Invalid`` and nothing else; the exceptions of the
libraries hold the input, so none of them is ever the cause or context of what is raised here.
"""

import json
import re
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NoReturn, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from app.core.errors import Fault, Invalid

DEPTH_MAX = 32
COMMAS_MAX = 10_000  # bounds the values of a body, and so the time to read it; a longest message fits
INTEGER_MAX = 2**53 - 1  # RFC 7493, section 2.2: what every reader of JSON keeps exactly
INTEGER_CHARS_MAX = 17
FAULTS_MAX = 100

BodyT = TypeVar("BodyT", bound=BaseModel)

_OWN = "fault:"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
# The database's driver takes the first and the last instant of all for minus and plus infinity.
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_SEQUENCES = (list, tuple, set, frozenset, Sequence)

JSON_FAULTS: Mapping[str, str] = {
    "not-utf-8": "The body is not UTF-8.",
    "byte-order-mark": "The body begins with a byte order mark.",
    "not-json": "The body is not JSON.",
    "duplicate-member": "An object in the body has two members of the same name.",
    "nul-character": "A text in the body has a NUL character.",
    "lone-surrogate": "A text in the body has half of a surrogate pair.",
    "too-deep": f"The body is nested deeper than {DEPTH_MAX} levels.",
    "too-many-values": "The body has too many values.",
    "not-finite": "JSON has no NaN and no Infinity.",
    "number-too-large": "A number in the body is too large.",
}

# Types of pydantic's errors: our code, and a sentence that may quote limits and names we declared, never the input.
_FAULTS: Mapping[str, tuple[str, str]] = {
    "missing": ("missing", "This member is required."),
    "extra_forbidden": ("unknown-member", "An unknown member is present."),
    "string_type": ("not-a-string", "This must be a string."),
    "string_too_short": ("too-short", "The number of characters must be at least {min_length}."),
    "string_too_long": ("too-long", "The number of characters may be at most {max_length}."),
    "string_pattern_mismatch": ("wrong-form", "This string does not have the form that is asked for."),
    "too_short": ("too-few", "The number of items must be at least {min_length}."),
    "too_long": ("too-many", "The number of items may be at most {max_length}."),
    "int_type": ("not-an-integer", "This must be an integer."),
    "int_from_float": ("not-an-integer", "This must be an integer."),
    "float_type": ("not-a-number", "This must be a number."),
    "bool_type": ("not-a-boolean", "This must be true or false."),
    "list_type": ("not-a-list", "This must be a list."),
    "tuple_type": ("not-a-list", "This must be a list."),
    "set_type": ("not-a-list", "This must be a list."),
    "frozen_set_type": ("not-a-list", "This must be a list."),
    "model_type": ("not-an-object", "This must be an object."),
    "dict_type": ("not-an-object", "This must be an object."),
    "enum": ("not-allowed", "Allowed are: {expected}."),
    "literal_error": ("not-allowed", "Allowed are: {expected}."),
    "union_tag_invalid": ("not-allowed", "Allowed are: {expected_tags}."),
    "union_tag_not_found": ("missing", "This member is required."),
    "uuid_type": ("not-a-uuid", "This must be a UUID."),
    "uuid_parsing": ("not-a-uuid", "This must be a UUID."),
    "greater_than": ("out-of-range", "This must be greater than {gt}."),
    "greater_than_equal": ("out-of-range", "This must be at least {ge}."),
    "less_than": ("out-of-range", "This must be less than {lt}."),
    "less_than_equal": ("out-of-range", "This may be at most {le}."),
    "none_required": ("must-be-null", "This must be null."),
}
_OTHER = ("not-valid", "This value is not valid.")
# pydantic names a choice among some members of an enum as Python writes them.
_ENUM = re.compile(r"<[A-Za-z]+\.[A-Z_0-9]+: ('[^']*')>")


class Body(BaseModel):
    """Base of every request body: lowerCamelCase, no unknown members, no coercion.

    Read it with ``read_body``: in pydantic's JSON mode "strict" still takes strings for UUIDs and enums. Dates and
    times are ``Day`` and ``Instant``, free text is ``Annotated[str, Text(min, max)]``.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        str_strip_whitespace=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Refuse, at import, a body that would read ``"0"`` as a day in 1970."""
        super().__pydantic_init_subclass__(**kwargs)
        loose = [name for name, field in cls.model_fields.items() if _is_loose(field.annotation, field.metadata)]
        if loose:
            raise TypeError(f"{cls.__name__}.{loose[0]} must be a Day or an Instant.")


@dataclass(frozen=True, slots=True)
class Text:
    """Metadata for free text: ``text: Annotated[str, Text(1, 8000)]``.

    Between ``min`` and ``max`` code points; of the control characters only line feed and tab. Nothing is stripped.
    """

    min: int
    max: int

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return a strict string of this length, checked for characters afterwards."""
        text = core_schema.str_schema(min_length=self.min, max_length=self.max, strict=True)
        return core_schema.no_info_after_validator_function(_plain, text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say in the schema which characters are refused."""
        return {**handler(schema), "pattern": r"^[^\u0000-\u0008\u000b-\u001f]*$"}


def unfit(code: str, detail: str) -> PydanticCustomError:
    """Return what a validator of a body raises for a fault of its own.

    For example ``raise unfit("ends-early", "This ends before it begins.")``. The code is kebab-case and stable; the
    detail is a sentence of ours that holds nothing of the input.
    """
    return PydanticCustomError(f"{_OWN}{code}", detail)


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise unfit("control-character", "Of the control characters only line feed and tab are allowed.")
    if _SURROGATE.search(text):
        raise unfit("lone-surrogate", "This has half of a surrogate pair.")
    return text


def _instant(value: object) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        with suppress(ValueError, OverflowError):  # no such day, or outside the years 0001 to 9999 in UTC
            instant = datetime.fromisoformat(value).astimezone(UTC)
            if instant not in _INFINITE:
                return instant
    raise unfit("not-an-instant", "This must be a date and time with offset, such as 2026-01-31T09:30:00Z.")


def _day(value: object) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        with suppress(ValueError):  # no such day
            return date.fromisoformat(value)
    raise unfit("not-a-date", "This must be a date such as 2026-01-31.")


# RFC 3339 full-date, and date-time with an offset, read as aware UTC; digits beyond microseconds are cut.
Day = Annotated[date, BeforeValidator(_day)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


def _is_loose(annotation: object, metadata: Sequence[object] = ()) -> bool:
    """Return whether there is a ``date`` or ``datetime`` that pydantic would read in its own way, "0" included."""
    if get_origin(annotation) is Annotated:
        bare, *more = get_args(annotation)
        return _is_loose(bare, more)
    if annotation in (date, datetime):
        return not any(isinstance(item, BeforeValidator) and item.func in {_day, _instant} for item in metadata)
    return any(_is_loose(arg) for arg in get_args(annotation))


def read_body(raw: bytes, model: type[BodyT]) -> BodyT:
    """Return the body as ``model``.

    Raises:
        Invalid: the bytes are not JSON as we read it (one fault), or do not fit the model (up to ``FAULTS_MAX``).
    """
    parse_json(raw)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        faults = faults_of(error, model)
    raise Invalid(*faults)


class _Refused(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parse_json(raw: bytes) -> object:
    """Return the value of a JSON text that can be read in one way only.

    Raises:
        Invalid: with one fault, pointing at the whole body; its code is a key of ``JSON_FAULTS``.
    """
    try:
        return _parse(raw)
    except _Refused as error:
        code = error.code
    except UnicodeDecodeError:
        code = "not-utf-8"
    except RecursionError:
        code = "too-deep"
    except ValueError:
        code = "not-json"
    raise Invalid(Fault("", code, JSON_FAULTS[code]))


def _parse(raw: bytes) -> object:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _Refused("byte-order-mark")
    text = raw.decode("utf-8")
    if raw.count(b",") > COMMAS_MAX:
        raise _Refused("too-many-values")
    value: object = _DECODER.decode(text)
    # NUL and surrogates get past UTF-8 and JSON only as escapes; without enough brackets there is no depth.
    if b"\\u" in raw or raw.count(b"[") + raw.count(b"{") > DEPTH_MAX:
        _inspect(value)
    return value


def _inspect(value: object) -> None:
    """Walk the value without recursion."""
    level, depth = [value], 0
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                _inspect_text(item)
        level = below
        depth += any(isinstance(item, dict | list) for item in level)
        if depth >= DEPTH_MAX:
            raise _Refused("too-deep")


def _inspect_text(text: str) -> None:
    if "\x00" in text:
        raise _Refused("nul-character")
    if _SURROGATE.search(text):
        raise _Refused("lone-surrogate")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("duplicate-member")
    return members


def _integer(text: str) -> int:
    if len(text) > INTEGER_CHARS_MAX or abs(number := int(text)) > INTEGER_MAX:
        raise _Refused("number-too-large")
    return number


def _float(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise _Refused("number-too-large")
    return number


def _constant(_text: str) -> NoReturn:
    raise _Refused("not-finite")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def faults_of(error: ValidationError, model: type[BaseModel]) -> tuple[Fault, ...]:
    """Return what is wrong with an input of ``model``, at most ``FAULTS_MAX``, each once.

    Pointers consist of names that the model declares and of positions. Where the path goes on by a name that the
    client chose, the pointer ends at its parent.
    """
    faults: dict[Fault, None] = {}
    for item in error.errors(include_url=False, include_input=False):
        pointer = _pointer(model, item["loc"])
        kind, context = item["type"], item.get("ctx", {})
        if kind.startswith(_OWN):
            faults[Fault(pointer, kind.removeprefix(_OWN), item["msg"])] = None
        else:
            if kind.startswith("union_tag_"):
                pointer += _tag(context)
            code, detail = _FAULTS.get(kind, _OTHER)
            faults[Fault(pointer, code, _ENUM.sub(r"\1", detail.format_map(context)))] = None
        if len(faults) == FAULTS_MAX:
            break
    return tuple(faults)


def _tag(context: Mapping[str, object]) -> str:
    """Return the step to the member that tells the alternatives apart, if it has a name."""
    name = str(context.get("discriminator", ""))
    return f"/{name.strip(chr(39))}" if name.startswith("'") else ""


def _pointer(model: object, path: Sequence[int | str]) -> str:
    pointer, at = "", _bare(model)
    for step in path:
        if _alternatives(at):
            at = _bare(_chosen(at, step))  # pydantic names the alternative it tried; the document has no such step
            continue
        inner = _inner(at, step)
        if inner is None:
            break
        pointer += f"/{step}"
        at = _bare(inner)
    return pointer


def _bare(annotation: object) -> object:
    """Take away metadata and ``None``."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, types.UnionType}:
            others = [arg for arg in get_args(annotation) if arg is not type(None)]
            if len(others) != 1:
                return annotation
            annotation = others[0]
        else:
            return annotation


def _alternatives(at: object) -> tuple[object, ...]:
    return get_args(at) if get_origin(at) in {Union, types.UnionType} else ()


def _chosen(at: object, label: int | str) -> object:
    """Return the alternative that pydantic calls ``label``: by the tag they have in common, else by its name."""
    models = [model for model in map(_bare, _alternatives(at)) if _is_model(model)]
    tags = set.intersection(*(set(_tags(model)) for model in models)) if models else set()
    for model in models:
        if label in {model.__name__, *(value for name in tags for value in _tags(model)[name])}:
            return model
    return None


def _tags(model: type[BaseModel]) -> dict[str, tuple[object, ...]]:
    fields = model.model_fields.items()
    return {name: get_args(field.annotation) for name, field in fields if get_origin(field.annotation) is Literal}


def _is_model(at: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(at, type) and issubclass(at, BaseModel)


def _inner(at: object, step: int | str) -> object:
    """Return what the model declares one step down, or None if it declares no such step."""
    if isinstance(step, int):
        args = get_args(at) if get_origin(at) in _SEQUENCES else ()
        return args[min(step, len(args) - 1)] if args and args[-1] is not Ellipsis else next(iter(args), None)
    if _is_model(at):
        for name, field in at.model_fields.items():
            if step == (field.alias or name):
                return field.annotation
    return None
