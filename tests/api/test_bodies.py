"""A body is read in one way or refused; a refusal names what is wrong and never quotes it."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, create_model, field_validator, model_validator

from app.api.bodies import (
    COMMAS_MAX,
    DEPTH_MAX,
    FAULTS_MAX,
    INTEGER_MAX,
    JSON_FAULTS,
    Body,
    Day,
    Instant,
    Text,
    faults_of,
    parse_json,
    read_body,
    unfit,
)
from app.core.errors import Fault, Invalid

CANARY = "canary-7f3a"
SOME_ID = "0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a01"
CaseId = NewType("CaseId", UUID)


class Kind(StrEnum):
    MESSAGE = "message"
    QUESTION = "question"


class MemberIn(Body):
    type: Literal["member"]
    id: UUID


class RoleIn(Body):
    type: Literal["role"]
    role: Annotated[str, Text(1, 20)]


class NameIn(Body):
    family_name: Annotated[str, Text(1, 20)]


RecipientIn = Annotated[MemberIn | RoleIn, Field(discriminator="type")]


class ThingIn(Body):
    """One field of each sort that a route may ask for."""

    case_id: CaseId
    text: Annotated[str, Text(1, 20)]
    kind: Kind = Kind.MESSAGE
    level: Literal["low", "high"] = "low"
    born_on: Day | None = None
    decided_at: Instant | None = None
    both_ways: bool = True
    count: Annotated[int, Field(ge=1, le=9)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    code: Annotated[str, Field(pattern="^[a-z]+$")] = "a"
    name: NameIn | None = None
    recipients: Annotated[list[RecipientIn], Field(max_length=3)] = Field([])
    either: MemberIn | RoleIn | None = None
    names: Annotated[tuple[NameIn, ...], Field(min_length=1)] | None = None
    pair: tuple[int, NameIn] | None = None
    labels: dict[str, int] | None = None
    days: frozenset[Day] | None = None

    @field_validator("code")
    @classmethod
    def _not_z(cls, code: str) -> str:
        if code == "z":
            raise unfit("no-z", "This may not be z.")
        if code == "y":
            raise ValueError(f"{code} {CANARY}")
        return code

    @model_validator(mode="after")
    def _not_both(self) -> "ThingIn":
        if self.count == 9 and self.level == "high":
            raise unfit("too-much", "Nine is too much for a high level.")
        return self


def codes_of(raw: bytes) -> str:
    with pytest.raises(Invalid) as refusal:
        parse_json(raw)
    (fault,) = refusal.value.faults
    assert (fault.pointer, fault.detail) == ("", JSON_FAULTS[fault.code])
    assert refusal.value.__cause__ is refusal.value.__context__ is None
    return fault.code


def faults(**changes: object) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refusal:
        read_thing(**changes)
    assert refusal.value.__cause__ is refusal.value.__context__ is None
    return [(fault.pointer, fault.code) for fault in refusal.value.faults]


def read_thing(**changes: object) -> ThingIn:
    body = {"caseId": SOME_ID, "text": "Hallo"} | changes
    return read_body(json.dumps({k: v for k, v in body.items() if v is not ...}).encode(), ThingIn)


# JSON.


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not-json"),
        (b" ", "not-json"),
        (b"{", "not-json"),
        (b'{"a":1,}', "not-json"),
        (b"{'a':1}", "not-json"),
        (b"{}{}", "not-json"),
        (b"{}x", "not-json"),
        (b"/**/{}", "not-json"),
        (b"\x00", "not-json"),
        (b"{}\x00", "not-json"),
        (b"\xc2\xa0{}", "not-json"),
        (b"\x0b{}", "not-json"),
        (b'"\x01"', "not-json"),
        (b'"\n"', "not-json"),
        (b'"\x00"', "not-json"),
        (b'"\\x41"', "not-json"),
        (b'"\\u12"', "not-json"),
        (b"01", "not-json"),
        (b"+1", "not-json"),
        (b"1.", "not-json"),
        (b".5", "not-json"),
        (b"0x1", "not-json"),
        (b"1_000", "not-json"),
        ("\u0661".encode(), "not-json"),
        (b"True", "not-json"),
        (b"nan", "not-json"),
        (b"\xef\xbb\xbf{}", "byte-order-mark"),
        (b'"\xff"', "not-utf-8"),
        (b'"\xc1\xa1"', "not-utf-8"),
        (b'"\xed\xa0\x80"', "not-utf-8"),
        (b'"\xf4\x90\x80\x80"', "not-utf-8"),
        ("{}".encode("utf-16"), "not-utf-8"),
        ("{}".encode("utf-16-le"), "not-json"),
        ("{}".encode("utf-32-be"), "not-json"),
        (b'{"a":1,"a":1}', "duplicate-member"),
        (b'{"a":1,"\\u0061":2}', "duplicate-member"),
        (b'[{"b":{"":1,"":2}}]', "duplicate-member"),
        (b'"\\u0000"', "nul-character"),
        (b'{"a":["x\\u0000y"]}', "nul-character"),
        (b'{"\\u0000":1}', "nul-character"),
        (b'"\\ud800"', "lone-surrogate"),
        (b'"\\uDFFF"', "lone-surrogate"),
        (b'"\\ude00\\ud83d"', "lone-surrogate"),
        (b'{"\\ud83d":1}', "lone-surrogate"),
        (b'[[{"a":"\\ud83dx"}]]', "lone-surrogate"),
        (b"NaN", "not-finite"),
        (b"[Infinity]", "not-finite"),
        (b'{"a":-Infinity}', "not-finite"),
        (b"1e400", "number-too-large"),
        (b"[-1e400]", "number-too-large"),
        (b"1" + b"0" * 400 + b".5", "number-too-large"),
        (b"9007199254740992", "number-too-large"),
        (b"-9007199254740992", "number-too-large"),
        (b"9" * 5000, "number-too-large"),
        (b"[" * 33 + b"]" * 33, "too-deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "too-deep"),
        (b'{"a":[' * 17 + b"]}" * 17, "too-deep"),
        (b'[{"a":1},' + b"[" * 32 + b"]" * 32 + b"]", "too-deep"),
        (b"[" * 900 + b"]" * 900, "too-deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too-deep"),
        (b"[" * 1_000_000, "too-deep"),
        (b'{"a":' * 150_000, "too-deep"),
        (b"[" + b"1," * 10_001 + b"1]", "too-many-values"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else None,
)
def test_what_is_not_one_plain_json_value_is_refused(raw: bytes, code: str) -> None:
    assert codes_of(raw) == code


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b" {} \r\n\t", {}),
        (b"null", None),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\u0000 \\\\ud800"', "\\u0000 \\ud800"),
        (b'"\\u0001"', "\x01"),
        ('"\U0001f600\ufeff\uffff"'.encode(), "\U0001f600\ufeff\uffff"),
        (b'{"a":{"a":1},"A":2}', {"a": {"a": 1}, "A": 2}),
        (b"9007199254740991", INTEGER_MAX),
        (b"-9007199254740991", -INTEGER_MAX),
        (b"1e3", 1000.0),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
        (b"1e-400", 0.0),
        (b"-0", 0),
        (b'"' + b"[{" * 100 + b'"', "[{" * 100),
        (b'"' + b"," * 8000 + b'"', "," * 8000),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)
def test_plain_json_is_read_as_it_is(raw: bytes, value: object) -> None:
    assert parse_json(raw) == value


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_up_to_the_limit_is_read(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    leaf = b"" if opening == b"[" else b"1"
    parse_json(opening * DEPTH_MAX + leaf + closing * DEPTH_MAX)
    assert codes_of(opening * (DEPTH_MAX + 1) + leaf + closing * (DEPTH_MAX + 1)) == "too-deep"


def test_width_is_not_depth() -> None:
    parse_json(b"[" + b"[" * (DEPTH_MAX - 1) + b"]" * (DEPTH_MAX - 1) + b",[[1]]]")
    parse_json(b"[" + b",".join([b'{"a":[[]]}'] * 1000) + b"]")
    parse_json(b"[" + b"1," * (COMMAS_MAX - 1) + b"1]")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(value=VALUES, escaped=st.booleans(), indent=st.none() | st.integers(0, 2))
def test_every_value_comes_back(value: object, *, escaped: bool, indent: int | None) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=escaped, indent=indent).encode()) == value


@given(raw=st.binary(max_size=200) | st.text('{}[]":,\\u0dD8null 1e-.NaN', max_size=80).map(str.encode))
def test_no_bytes_raise_anything_but_a_refusal(raw: bytes) -> None:
    error = refusal_of(raw)
    assert error is None or [fault.code in JSON_FAULTS for fault in error.faults] == [True]


@given(value=VALUES, end=st.integers(0, 400), insert=st.binary(max_size=3))
def test_a_broken_text_is_refused_without_a_quotation(value: object, end: int, insert: bytes) -> None:
    raw = json.dumps({CANARY: [value, {CANARY: CANARY}]}).encode()
    error = refusal_of(raw[:end] + insert + raw[end + 1 :])
    assert error is None or CANARY not in everything_said(error)


def refusal_of(raw: bytes, model: type[Body] | None = None) -> Invalid | None:
    try:
        parse_json(raw) if model is None else read_body(raw, model)
    except Invalid as error:
        return error
    return None


def everything_said(error: BaseException) -> str:
    """Return all that anybody could print about an exception, its chain included."""
    said = []
    chain: BaseException | None = error
    while chain is not None:
        said += [str(chain), repr(chain), repr(chain.args), repr(vars(chain)), repr(getattr(chain, "faults", ""))]
        chain = chain.__cause__ or chain.__context__
    return " ".join(said)


# Fields.


def test_a_right_body_is_read() -> None:
    thing = read_thing(
        kind="question",
        level="high",
        bornOn="1940-02-29",
        decidedAt="2026-01-31T10:30:00.25+01:00",
        bothWays=False,
        count=3,
        share=0.25,
        name={"familyName": " de Vries\t\n"},
        recipients=[{"type": "member", "id": SOME_ID}, {"type": "role", "role": "gp"}],
        either={"type": "role", "role": "poh"},
        names=[{"familyName": "x"}],
        pair=[1, {"familyName": "y"}],
        days=["2026-01-01"],
    )
    assert thing.case_id == UUID(SOME_ID)
    assert thing.kind is Kind.QUESTION
    assert thing.born_on == date(1940, 2, 29)
    assert thing.decided_at == datetime(2026, 1, 31, 9, 30, 0, 250_000, UTC)
    assert thing.name == NameIn(familyName=" de Vries\t\n")
    assert thing.recipients[1] == thing.either.model_copy(update={"role": "gp"}) if thing.either else False
    assert thing.days == frozenset({date(2026, 1, 1)})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"text": ...}, [("/text", "missing")]),
        ({"text": ..., "caseId": ...}, [("/caseId", "missing"), ("/text", "missing")]),
        ({"text": None}, [("/text", "not-a-string")]),
        ({"text": 5}, [("/text", "not-a-string")]),
        ({"text": ["x"]}, [("/text", "not-a-string")]),
        ({"text": ""}, [("/text", "too-short")]),
        ({"text": "x" * 21}, [("/text", "too-long")]),
        ({"text": "a\rb"}, [("/text", "control-character")]),
        ({"text": "a\x1b[0m"}, [("/text", "control-character")]),
        ({"text": "a\x0bb"}, [("/text", "control-character")]),
        ({"text": "a\x00b"}, [("", "nul-character")]),
        ({"text": "a\ud800b"}, [("", "lone-surrogate")]),
        ({CANARY: 1}, [("", "unknown-member")]),
        ({CANARY: 1, "other": 2, "case_id": SOME_ID}, [("", "unknown-member")]),
        ({"name": {"familyName": "x", CANARY: 1}}, [("/name", "unknown-member")]),
        ({"name": {"family_name": "x"}}, [("/name/familyName", "missing"), ("/name", "unknown-member")]),
        ({"name": []}, [("/name", "not-an-object")]),
        ({"name": CANARY}, [("/name", "not-an-object")]),
        ({"caseId": CANARY}, [("/caseId", "not-a-uuid")]),
        ({"caseId": 5}, [("/caseId", "not-a-uuid")]),
        ({"kind": CANARY}, [("/kind", "not-allowed")]),
        ({"kind": 1}, [("/kind", "not-allowed")]),
        ({"level": "Low"}, [("/level", "not-allowed")]),
        ({"bothWays": 1}, [("/bothWays", "not-a-boolean")]),
        ({"bothWays": "true"}, [("/bothWays", "not-a-boolean")]),
        ({"count": "1"}, [("/count", "not-an-integer")]),
        ({"count": True}, [("/count", "not-an-integer")]),
        ({"count": 1.0}, [("/count", "not-an-integer")]),
        ({"count": 0}, [("/count", "out-of-range")]),
        ({"count": 10}, [("/count", "out-of-range")]),
        ({"share": "0.5"}, [("/share", "not-a-number")]),
        ({"share": 0}, [("/share", "out-of-range")]),
        ({"share": 1}, [("/share", "out-of-range")]),
        ({"code": "A"}, [("/code", "wrong-form")]),
        ({"code": "z"}, [("/code", "no-z")]),
        ({"code": "y"}, [("/code", "not-valid")]),
        ({"count": 9, "level": "high"}, [("", "too-much")]),
        ({"bornOn": "2026-02-30"}, [("/bornOn", "not-a-date")]),
        ({"bornOn": "2026-01-31T00:00:00Z"}, [("/bornOn", "not-a-date")]),
        ({"bornOn": 0}, [("/bornOn", "not-a-date")]),
        ({"bornOn": "0"}, [("/bornOn", "not-a-date")]),
        ({"names": []}, [("/names", "too-few")]),
        ({"names": {}}, [("/names", "not-a-list")]),
        ({"names": [{"familyName": "x"}, {"familyName": 1}]}, [("/names/1/familyName", "not-a-string")]),
        ({"pair": [1, {"familyName": 1}]}, [("/pair/1/familyName", "not-a-string")]),
        ({"pair": ["1", {"familyName": "x"}]}, [("/pair/0", "not-an-integer")]),
        ({"labels": {CANARY: CANARY}}, [("/labels", "not-an-integer")]),
        ({"labels": 1}, [("/labels", "not-an-object")]),
        ({"days": [CANARY]}, [("/days/0", "not-a-date")]),
        ({"days": CANARY}, [("/days", "not-a-list")]),
        ({"recipients": [{"type": "member"}]}, [("/recipients/0/id", "missing")]),
        ({"recipients": [{"type": "role", "role": ""}]}, [("/recipients/0/role", "too-short")]),
        ({"recipients": [{"type": CANARY}]}, [("/recipients/0/type", "not-allowed")]),
        ({"recipients": [{"id": SOME_ID}]}, [("/recipients/0/type", "missing")]),
        ({"recipients": [CANARY]}, [("/recipients/0", "not-an-object")]),
        ({"recipients": [{"type": "member", "id": SOME_ID, CANARY: 1}]}, [("/recipients/0", "unknown-member")]),
        ({"recipients": [{"type": "role", "role": "gp"}] * 4}, [("/recipients", "too-many")]),
        ({"either": {"type": "role", "role": 1}, "text": ""}, "either"),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, dict) else "",
)
def test_each_fault_has_its_place_and_its_code(changes: dict[str, object], expected: object) -> None:
    found = faults(**changes)
    if expected == "either":
        assert ("/either/role", "not-a-string") in found
        assert {pointer for pointer, _ in found} == {"/text", "/either", "/either/type", "/either/id", "/either/role"}
    else:
        assert found == expected


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_a_body_is_an_object(raw: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        read_body(raw, ThingIn)
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("", "not-an-object")]


def test_all_faults_are_told_at_once() -> None:
    assert faults(text="", caseId="x", count=0, name={}) == [
        ("/caseId", "not-a-uuid"),
        ("/text", "too-short"),
        ("/count", "out-of-range"),
        ("/name/familyName", "missing"),
    ]


def test_the_number_of_faults_is_limited() -> None:
    assert len(faults(names=[{}] * 500)) == FAULTS_MAX


def test_details_tell_limits_and_choices() -> None:
    with pytest.raises(Invalid) as refusal:
        read_thing(text="x" * 21, kind="x", count=10, recipients=[{"type": "x"}])
    assert [fault.detail for fault in refusal.value.faults] == [
        "The number of characters may be at most 20.",
        "Allowed are: 'message' or 'question'.",
        "This may be at most 9.",
        "Allowed are: 'member', 'role'.",
    ]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00-00:00", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00.123456789+01:30", datetime(2026, 1, 31, 8, 0, 0, 123_456, UTC)),
        ("0001-01-01T00:00:00.000001Z", datetime(1, 1, 1, microsecond=1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999998Z", datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_as_utc(text: str, instant: datetime) -> None:
    decided_at = read_thing(decidedAt=text).decided_at
    assert decided_at == instant
    assert decided_at.tzinfo is UTC


@given(at=st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))))
def test_every_instant_within_the_years_is_read(at: datetime) -> None:
    try:
        expected = at.astimezone(UTC)
    except OverflowError:
        assert faults(decidedAt=at.isoformat()) == [("/decidedAt", "not-an-instant")]
    else:
        assert read_thing(decidedAt=at.isoformat()).decided_at == expected


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T09:30:00",
        "2026-01-31",
        "2026-01-31T09:30Z",
        "2026-01-31 09:30:00Z",
        "2026-01-31t09:30:00z",
        "2026-01-31T09:30:00,5Z",
        "2026-01-31T09:30:00.Z",
        "2026-01-31T09:30:00+01",
        "2026-01-31T09:30:00+0100",
        "2026-01-31T09:30:00+24:00",
        "2026-01-31T09:30:60Z",
        "2026-01-31T24:00:00Z",
        "2026-02-30T09:30:00Z",
        "2026-W05-6T09:30:00Z",
        "20260131T093000Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "12026-01-31T09:30:00Z",
        "2026-01-31T09:30:00Z\n",
        " 2026-01-31T09:30:00Z",
        "\u0662026-01-31T09:30:00Z",
        "1700000000",
        1_700_000_000,
        1.5,
        True,
        [],
        {},
        "",
        CANARY,
    ],
)
def test_what_is_not_an_instant_is_refused(value: object) -> None:
    assert faults(decidedAt=value) == [("/decidedAt", "not-an-instant")]


@pytest.mark.parametrize(
    "loose",
    [date, datetime, date | None, list[date], dict[str, datetime | None], list[Annotated[date, Field(title="x")]]],
)
def test_a_body_with_a_loose_date_cannot_be_declared(loose: Any) -> None:
    with pytest.raises(TypeError, match=r"LooseIn\.at must be a Day or an Instant"):
        create_model("LooseIn", __base__=Body, at=(loose, ...))


def test_a_loose_date_with_a_limit_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="must be a Day or an Instant"):

        class LooseIn(Body):
            at: Annotated[date, Field(gt=date(2000, 1, 1))]


def test_a_body_cannot_be_changed() -> None:
    thing = read_thing()
    with pytest.raises(ValidationError):
        thing.text = "x"  # type: ignore[misc]  # wrong on purpose


def test_an_uncaught_fault_does_not_quote_the_input_either() -> None:
    with pytest.raises(ValidationError) as caught:
        ThingIn.model_validate_json(json.dumps({"text": [CANARY], "kind": CANARY}).encode())
    assert CANARY not in str(caught.value)


def test_an_alternative_is_known_by_the_tag_that_all_have() -> None:
    class FirstIn(Body):
        type: Literal["first"]
        rank: Literal["second"] = "second"
        only_first: int

    class SecondIn(Body):
        type: Literal["second"]
        only_second: int

    class ListIn(Body):
        item: Annotated[FirstIn | SecondIn, Field(discriminator="type")]

    error = refusal_of(b'{"item":{"type":"second"}}', ListIn)
    assert error
    assert [fault.pointer for fault in error.faults] == ["/item/onlySecond"]


def test_a_fault_without_a_code_of_ours_is_not_valid() -> None:
    class Loose(BaseModel):
        at: datetime

    with pytest.raises(ValidationError) as caught:
        Loose.model_validate_json(json.dumps({"at": CANARY}).encode())
    assert faults_of(caught.value, Loose) == (Fault("/at", "not-valid", "This value is not valid."),)


def test_the_schema_says_what_is_refused() -> None:
    schema = ThingIn.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["text"] | {"title": ""} == {
        "type": "string",
        "minLength": 1,
        "maxLength": 20,
        "pattern": r"^[^\u0000-\u0008\u000b-\u001f]*$",
        "title": "",
    }
    assert schema["properties"]["decidedAt"]["anyOf"][0] == {"type": "string", "format": "date-time"}


# Nothing is echoed.


def bodies_with_canary() -> Iterator[dict[str, object]]:
    """Yield a right body with the canary, in several types, at each place, as a value and as a name."""
    right: dict[str, object] = {
        "caseId": SOME_ID,
        "text": "x",
        "kind": "message",
        "level": "low",
        "bornOn": "2026-01-01",
        "decidedAt": "2026-01-01T00:00:00Z",
        "bothWays": True,
        "count": 1,
        "share": 0.5,
        "code": "a",
        "name": {"familyName": "x"},
        "recipients": [{"type": "member", "id": SOME_ID}],
        "either": {"type": "role", "role": "gp"},
        "names": [{"familyName": "x"}],
        "pair": [1, {"familyName": "x"}],
        "labels": {"a": 1},
        "days": ["2026-01-01"],
    }
    for name, value in right.items():
        for bad in (
            CANARY,
            CANARY * 9,
            [CANARY],
            {CANARY: CANARY},
            [{CANARY: 1}],
            {"type": CANARY},
            [{"type": CANARY}],
        ):
            yield right | {name: bad}
        if isinstance(value, dict):
            yield right | {name: value | {CANARY: 1}}
            yield from (right | {name: value | {inner: CANARY * 9}} for inner in value)
        if isinstance(value, list):
            yield right | {name: [*value, CANARY]}
    yield right | {CANARY: CANARY}


def test_no_fault_quotes_the_input() -> None:
    refused = 0
    for body in bodies_with_canary():
        error = refusal_of(json.dumps(body).encode(), ThingIn)
        if error is not None:
            refused += 1
            assert error.faults
            assert CANARY not in everything_said(error)
    assert refused > 100


@given(
    body=st.dictionaries(
        st.sampled_from([*(field.alias or "" for field in ThingIn.model_fields.values()), CANARY]),
        st.recursive(
            st.sampled_from([CANARY, f"{CANARY}\x00", 1, 1.5, None, True, "member", "role"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["type", "id", "role", "familyName", CANARY]), inner, max_size=4)
            ),
            max_leaves=6,
        ),
    )
)
def test_no_body_raises_anything_but_a_refusal_or_is_quoted(body: dict[str, object]) -> None:
    error = refusal_of(json.dumps(body).encode(), ThingIn)
    if error is not None:
        assert error.faults
        assert CANARY not in everything_said(error)


def test_pointers_hold_only_declared_names_and_positions() -> None:
    declared = {"type", "id", "role", "familyName", *(field.alias for field in ThingIn.model_fields.values())}
    for body in bodies_with_canary():
        error = refusal_of(json.dumps(body).encode(), ThingIn)
        for fault in error.faults if error else ():
            assert all(step in declared or step.isdecimal() for step in fault.pointer.split("/")[1:])


def test_a_fault_is_told_once() -> None:
    with pytest.raises(Invalid) as refusal:
        read_thing(labels={"a": "x", "b": "y"})
    assert refusal.value.faults == (Fault("/labels", "not-an-integer", "This must be an integer."),)
