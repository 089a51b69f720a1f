"""Many people from a file: looked at whole, done whole or not at all, and the same file again changes nothing."""

from itertools import pairwise

import httpx
import pytest

from app.identity.roster import CELL_CHARS_MAX, COLUMNS, LINES_MAX, read_roster
from tests.serving import Caller
from tests.staff.people import HERE, House, code_of, engagement_of, faults_of

HEADER = "employeeNumber;given;prefix;family;role;profession;speciality;responsibleEmployeeNumber;validUntil;big"
POH_LINE = "P-1;Tim;;Jansen;poh;poh_ggz;ggz;H-1;;"
GP_LINE = "H-1;Sanne;van den;Bos;gp;huisarts;;;;19012345601"
NURSE_LINE = 'W-1;"Wil ""W.""";;Kok;district_nurse;wijkverpleegkundige;;;;'
FILE = f"{HEADER}\r\n{POH_LINE}\r\n{GP_LINE}\r\n{NURSE_LINE}\r\n"


async def ask(caller: Caller, text: str, *, dry: bool = False) -> httpx.Response:
    return await caller.post(f"{HERE}/staff-imports", {"csv": text, "dryRun": dry})


def outcomes(answer: httpx.Response) -> list[tuple[int, str]]:
    assert "items" in answer.json(), answer.text
    return [(one["line"], one["outcome"]) for one in answer.json()["items"]]


async def test_a_file_is_tried_first_then_done_and_again_changes_nothing(house: House) -> None:
    admin = await house.admin()
    before = await house.owner.fetchval("select count(*) from engagement")
    tried = await ask(admin, FILE, dry=True)
    assert (tried.status_code, outcomes(tried)) == (200, [(2, "create"), (3, "create"), (4, "create")])
    assert await house.owner.fetchval("select count(*) from engagement") == before
    done = await ask(admin, FILE)
    assert (done.status_code, outcomes(done)) == (201, outcomes(tried))
    items = done.json()["items"]
    assert len({one["enrolment"]["code"] for one in items}) == 3
    people = {one["employeeNumber"]: one for one in (await admin.get(f"{HERE}/engagements")).json()["items"]}
    assert people["P-1"]["responsibleEngagementId"] == people["H-1"]["id"] == items[1]["engagementId"]
    assert (people["W-1"]["name"], people["W-1"]["domain"]) == ('Wil "W." Kok', "care")
    again = await ask(admin, FILE)
    assert outcomes(again) == [(2, "unchanged"), (3, "unchanged"), (4, "unchanged")]
    assert [one["enrolment"] for one in again.json()["items"]] == [None] * 3
    assert await house.owner.fetchval("select count(*) from engagement") == before + 3


async def test_what_a_file_changes_is_changed_and_nothing_else(house: House) -> None:
    admin = await house.admin()
    await ask(admin, FILE)
    changed = FILE.replace(";ggz;", ";ouderen;").replace("Tim", "Timo").replace("van den", "van der")
    answer = await ask(admin, changed)
    assert outcomes(answer) == [(2, "change"), (3, "change"), (4, "unchanged")]
    people = {one["employeeNumber"]: one for one in (await admin.get(f"{HERE}/engagements")).json()["items"]}
    assert (people["P-1"]["name"], people["P-1"]["speciality"]) == ("Timo Jansen", "ouderen")
    assert people["H-1"]["name"] == "Sanne van der Bos"
    ending = await ask(admin, changed.replace(";;;;19012345601", ";;;2199-12-31;19012345601"))
    assert faults_of(ending) == {"/csv/3/validUntil": "successor-needed"}, "somebody answers for a POH"
    fixed = await ask(admin, FILE.replace("poh_ggz", "poh_jeugd"), dry=True)
    assert [one["column"] for one in fixed.json()["items"][0]["errors"]] == ["profession"]


async def test_one_person_holds_two_roles_under_one_number(house: House) -> None:
    admin = await house.admin()
    text = FILE + 'W-1;"Wil ""W.""";;Kok;specialist;casemanager_dementie;;;;'
    done = (await ask(admin, text)).json()["items"]
    assert [one["enrolment"] is not None for one in done] == [True, True, True, False]
    accounts = await house.owner.fetch("select account_id from engagement where employee_number = 'W-1'")
    assert len(accounts) == 2
    assert len(set(accounts)) == 1


ONE = "H-9;Sanne;;Bos;gp;huisarts;;;;"
WRONG = {
    "formula": ("H-9;=cmd();;Bos;gp;huisarts;;;;", "/csv/2/given", "formula"),
    "formula behind a space": ("H-9; @x;;Bos;gp;huisarts;;;;", "/csv/2/given", "formula"),
    "plus": ("+9;Sanne;;Bos;gp;huisarts;;;;", "/csv/2/employeeNumber", "formula"),
    "minus": ("H-9;Sanne;;-Bos;gp;huisarts;;;;", "/csv/2/family", "formula"),
    "tab": ("H-9;\tSanne;;Bos;gp;huisarts;;;;", "/csv/2/given", "formula"),
    "carriage return": ('H-9;"\rSanne";;Bos;gp;huisarts;;;;', "/csv/2/given", "formula"),
    "full-width": ("H-9;Sanne;\uff1d1;Bos;gp;huisarts;;;;", "/csv/2/prefix", "formula"),
    "line feed": ('H-9;"San\nne";;Bos;gp;huisarts;;;;', "/csv/2/given", "control-character"),
    "number twice": (f"{ONE}\n{ONE}", "/csv/3/employeeNumber", "number-twice"),
    "number of another": (
        f"{ONE}\nH-9;Wim;;Kok;specialist;jeugdarts;;;;",
        "/csv/3/employeeNumber",
        "number-of-another",
    ),
    "POH without GP": (
        "P-9;Tim;;Jansen;poh;poh_ggz;;;;",
        "/csv/2/responsibleEmployeeNumber",
        "responsible-missing",
    ),
    "POH of no GP": (
        "P-9;Tim;;Jansen;poh;poh_ggz;;H-0;;",
        "/csv/2/responsibleEmployeeNumber",
        "responsible-not-in-force",
    ),
    "role": ("H-9;Sanne;;Bos;koning;huisarts;;;;", "/csv/2/role", "not-allowed"),
    "role of others": ("H-9;Sanne;;Bos;auditor;auditor;;;;", "/csv/2/role", "not-allowed"),
    "day": ("H-9;Sanne;;Bos;gp;huisarts;;;31-12-2030;", "/csv/2/validUntil", "not-a-date"),
    "past": ("H-9;Sanne;;Bos;gp;huisarts;;;2020-12-31;", "/csv/2/validUntil", "ends-early"),
    "number of no register": ("H-9;Sanne;;Bos;gp;huisarts;;;;123", "/csv/2/big", "big-invalid"),
    "empty": (";Sanne;;Bos;gp;huisarts;;;;", "/csv/2/employeeNumber", "missing"),
    "too few cells": ("H-9;Sanne", "/csv/2", "cells"),
    "too long": (f"H-9;Sanne;;{'x' * (CELL_CHARS_MAX + 1)};gp;huisarts;;;;", "/csv/2/family", "too-long"),
    "quote": ('H-9;"Sanne;;Bos', "/csv/2", "not-csv"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_line_is_named_by_line_and_column_and_stops_the_whole_file(house: House, name: str) -> None:
    admin = await house.admin()
    wrong, pointer, code = WRONG[name]
    before = await house.owner.fetchval("select count(*) from engagement")
    text = f"{HEADER}\n{wrong}\nH-8;Ans;;Smit;gp;huisarts;;;;\n"
    tried = await ask(admin, text, dry=True)
    assert tried.status_code == 200
    line = int(pointer.split("/")[2])
    (found,) = [one for one in tried.json()["items"] if one["line"] == line]
    assert (found["outcome"], code in {one["code"] for one in found["errors"]}) == ("error", True)
    refused = await ask(admin, text)
    assert faults_of(refused)[pointer] == code
    assert "Sanne" not in refused.text
    assert await house.owner.fetchval("select count(*) from engagement") == before


async def test_a_number_that_another_account_has_is_refused(house: House) -> None:
    admin = await house.admin()
    await house.owner.execute(
        "insert into account_registration (account_id, kind, number)"
        " select account_id, 'big', '19012345601' from engagement where id = $1",
        engagement_of("gp-other"),
    )
    assert faults_of(await ask(admin, FILE)) == {"/csv/3/big": "registration-taken"}
    twice = FILE.replace("345601", "345602").replace("wijkverpleegkundige;;;;", "wijkverpleegkundige;;;;19012345602")
    assert faults_of(await ask(admin, twice)) == {"/csv/4/big": "registration-taken"}


async def test_a_file_is_for_those_who_showed_a_factor_just_now(house: House) -> None:
    admin = await house.signed_in(engagement_of("gp"))
    assert code_of(await ask(admin, FILE)) == (403, "forbidden")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("employeeNumber,given,family,role,profession,salary", "unknown-column"),
        ("employeeNumber,given,family,role", "column-missing"),
        ("employeeNumber,given,family,role,profession,given", "column-twice"),
        ("employeeNumber,given,family,role,profession", "empty"),
        ("", "empty"),
    ],
)
def test_a_header_is_one_of_ours_or_nothing_is_read(header: str, code: str) -> None:
    (entry,) = read_roster(header)
    assert (entry.line.number, [one.code for one in entry.line.faults]) == (1, [code])
    assert "salary" not in str(entry.line.faults)


def test_a_file_has_at_most_five_hundred_lines() -> None:
    lines = [f"H-{number},Sanne,Bos,gp,huisarts" for number in range(LINES_MAX + 1)]
    head = "employeeNumber,given,family,role,profession"
    assert len(read_roster("\n".join([head, *lines[:-1]]))) == LINES_MAX
    assert [one.code for one in read_roster("\n".join([head, *lines]))[0].line.faults] == ["too-many-lines"]


def test_columns_stand_in_any_order_behind_a_byte_order_mark() -> None:
    head = ",".join(reversed(COLUMNS))
    cells = {"employeeNumber": "H-1", "given": "A, b", "family": "B", "role": "gp", "profession": "huisarts"}
    line = ",".join(f'"{cells.get(name, "")}"' for name in reversed(COLUMNS))
    (entry,) = read_roster(f"\ufeff{head}\r\n{line}")
    assert (entry.given, entry.role, entry.line.faults) == ("A, b", "gp", [])


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    head = "employeeNumber,given,family,role,profession"
    entries = read_roster(f'{head}\n"1","a\nb","c","gp","d"\n\n"2","a","c","gp","d"\n')
    assert [one.line.number for one in entries] == [2, 5]
    assert all(a.line.number < b.line.number for a, b in pairwise(entries))
