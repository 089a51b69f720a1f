"""A file of people, read strictly: RFC 4180, one fixed header, and nothing that a spreadsheet would run. Pure.

Cells are separated by ``;`` or ``,``, whichever the header uses. The columns may stand in any order; those of
``REQUIRED`` must be there. Dates are days (``2026-01-31``): ``validFrom`` the first, ``validUntil`` the last.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar

from app.access.vocabulary import Domain, Law, Role
from app.identity.capacity import EMPLOYEE_NUMBER, REGISTERS, WORD, number_fits

REQUIRED = ("employeeNumber", "given", "family", "role", "profession")
OPTIONAL = (
    "prefix",
    "speciality",
    "domain",
    "law",
    "responsibleEmployeeNumber",
    "validFrom",
    "validUntil",
    *REGISTERS,
)
COLUMNS = REQUIRED + OPTIONAL
LINES_MAX = 500
CELL_CHARS_MAX = 200

_RUNS = frozenset("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FORMS: Mapping[str, str] = {
    "employeeNumber": EMPLOYEE_NUMBER,
    "responsibleEmployeeNumber": EMPLOYEE_NUMBER,
    "profession": WORD,
    "speciality": WORD,
}
_LENGTHS: Mapping[str, int] = {"given": 100, "family": 100, "prefix": 40}
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class CellFault:
    """What is wrong in a line; ``column`` is a name of ours, or None for the line as a whole."""

    column: str | None
    code: str
    detail: str


@dataclass(slots=True)
class Line:
    """One line of the file, from ``number`` on; the header is line 1."""

    number: int
    cells: Mapping[str, str]
    faults: list[CellFault] = field(default_factory=list)

    def text(self, column: str) -> str | None:
        """Return a cell, or None when it is empty or the column is absent."""
        return self.cells.get(column) or None

    def member(self, column: str, kind: type[_E]) -> _E | None:
        """Return a cell as a word of a list; a fault when it is none of it."""
        value = self.text(column)
        if value is None:
            return None
        try:
            return kind(value)
        except ValueError:
            self.fault(column, "not-allowed", "This is not one of the words allowed here.")
            return None

    def day(self, column: str) -> date | None:
        """Return a cell as a day; a fault when it is none."""
        value = self.text(column)
        if value is None:
            return None
        if _DAY.fullmatch(value) is not None:
            with suppress(ValueError):  # no such day
                return date.fromisoformat(value)
        self.fault(column, "not-a-date", "This must be a date such as 2026-01-31.")
        return None

    def fault(self, column: str | None, code: str, detail: str) -> None:
        """Say what is wrong; nothing of the input may stand in it."""
        self.faults.append(CellFault(column, code, detail))


@dataclass(slots=True)
class Entry:
    """One line, read: who it is about and what it says, as far as it could be read."""

    line: Line
    employee_number: str
    given: str
    prefix: str | None
    family: str
    role: Role | None
    profession: str
    speciality: str | None
    domain: Domain | None
    law: Law | None
    responsible_number: str | None
    valid_from: datetime | None
    valid_until: datetime | None
    registrations: Mapping[str, str]


def read_roster(text: str) -> list[Entry]:
    """Return the lines of a file, each with what is wrong in it; a wrong header is a fault of line 1 alone."""
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") >= first.count(",") else ","
    lines: list[Line] = []
    header: Sequence[str] | None = None
    for number, cells in _records(text, delimiter):
        if isinstance(cells, str):
            return [*map(_entry, lines), _whole(number, "not-csv", "This is not CSV as RFC 4180 has it.")]
        if header is None:
            faults = list(_header_faults(cells))
            if faults:
                return [_entry(Line(1, {}, faults))]
            header = cells
        elif len(lines) == LINES_MAX:
            return [_whole(number, "too-many-lines", f"A file may have {LINES_MAX} lines.")]
        else:
            lines.append(_line(number, header, cells))
    if not lines:
        return [_whole(1, "empty", "The file holds nobody.")]
    return [_entry(line) for line in lines]


def _records(text: str, delimiter: str) -> Iterator[tuple[int, Sequence[str] | str]]:
    """Yield each record with the line it begins on; the error as a text, once, where it cannot be read on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield begins, "broken"
            return
        if cells:
            yield begins, cells


def _whole(number: int, code: str, detail: str) -> Entry:
    return _entry(Line(number, {}, [CellFault(None, code, detail)]))


def _header_faults(names: Sequence[str]) -> Iterator[CellFault]:
    for index, name in enumerate(names, start=1):
        if name not in COLUMNS:
            yield CellFault(None, "unknown-column", f"Column {index} is none of {', '.join(COLUMNS)}.")
    for name in COLUMNS:
        if names.count(name) > 1:
            yield CellFault(name, "column-twice", "This column stands there twice.")
    for name in REQUIRED:
        if name not in names:
            yield CellFault(name, "column-missing", "This column must be there.")


def _line(number: int, header: Sequence[str], cells: Sequence[str]) -> Line:
    line = Line(number, dict(zip(header, cells, strict=False)))
    if len(cells) != len(header):
        line.fault(None, "cells", "A line has as many cells as the header has columns.")
        return line
    for column, value in line.cells.items():
        if value.lstrip(" \u00a0\u3000")[:1] in _RUNS and value.strip():
            line.fault(column, "formula", "A spreadsheet would run this cell; it may not begin so.")
        elif _CONTROL.search(value):
            line.fault(column, "control-character", "A cell has no control characters.")
        elif len(value) > _LENGTHS.get(column, CELL_CHARS_MAX):
            line.fault(column, "too-long", "This cell is too long.")
        elif value and column in _FORMS and re.fullmatch(_FORMS[column], value) is None:
            line.fault(column, "wrong-form", "This cell does not have the form that is asked for.")
        elif value and column in REGISTERS and not number_fits(column, value):
            line.fault(column, f"{column}-invalid", "This number does not have the form its register gives.")
    for column in REQUIRED:
        if not line.cells[column].strip():
            line.fault(column, "missing", "This cell must be filled.")
    return line


def _entry(line: Line) -> Entry:
    start, last = line.day("validFrom"), line.day("validUntil")
    return Entry(
        line=line,
        employee_number=line.text("employeeNumber") or "",
        given=line.text("given") or "",
        prefix=line.text("prefix"),
        family=line.text("family") or "",
        role=line.member("role", Role),
        profession=line.text("profession") or "",
        speciality=line.text("speciality"),
        domain=line.member("domain", Domain),
        law=line.member("law", Law),
        responsible_number=line.text("responsibleEmployeeNumber"),
        valid_from=_midnight(line, "validFrom", start, 0),
        valid_until=_midnight(line, "validUntil", last, 1),
        registrations={kind: number for kind in REGISTERS if (number := line.text(kind)) is not None},
    )


def _midnight(line: Line, column: str, day: date | None, later: int) -> datetime | None:
    """Return the midnight that a day begins with, or the one after it."""
    if day is None:
        return None
    try:
        return datetime.combine(day + timedelta(days=later), time(), UTC)
    except OverflowError:
        line.fault(column, "not-a-date", "This must be a date such as 2026-01-31.")
        return None
