"""Who decides and where that is written; and what somebody whose word is not asked reads, sentence by sentence."""

import runpy
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app import consent
from app.access.vocabulary import Category
from app.consent.deciders import Asked, Capacity, Departure, Regime, deciders, next_boundary
from app.consent.decisions import Representation, RepresentationKind, Status, decider_faults, needed, status_of
from app.consent.question import Question, dawn_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TODAY = NOW.date()
MOMENT, DAY = timedelta(microseconds=1), timedelta(days=1)
K = RepresentationKind

LAW = """
wgbo       under-12     capable     authority             BW 7:465 lid 1
wgbo       under-12     incapable   authority             BW 7:465 lid 1
wgbo       12-15        capable     authority patient     BW 7:450 lid 2
wgbo       12-15        incapable   authority             BW 7:465 lid 2
wgbo       16-17        capable     patient               BW 7:447 lid 1
wgbo       16-17        incapable   authority             BW 7:465 lid 2
wgbo       18-and-over  capable     patient               BW 7:447 lid 1
wgbo       18-and-over  incapable   representative        BW 7:465 lid 2 en 3
jeugdwet   under-12     capable     authority             Jeugdwet 7.3.4
jeugdwet   under-12     incapable   authority             Jeugdwet 7.3.4
jeugdwet   12-15        capable     authority patient     Jeugdwet 7.3.4 lid 2
jeugdwet   12-15        incapable   authority             Jeugdwet 7.3.5
jeugdwet   16-17        capable     patient               Jeugdwet 7.3.4
jeugdwet   16-17        incapable   authority             Jeugdwet 7.3.5
jeugdwet   18-and-over  capable     patient               Jeugdwet 7.3.4
jeugdwet   18-and-over  incapable   representative        Jeugdwet 7.3.5
"""


def test_each_row_of_the_table_names_who_decides_and_the_article_that_says_so() -> None:
    # The table is made once, on import; made again here, so that what makes it belongs to this test.
    made = runpy.run_path(str(Path(consent.__path__[0]) / "deciders.py"), run_name="app.consent.deciders")["DECIDERS"]
    rows = [
        f"{regime:<10} {band:<12} {capacity:<11} {' '.join(sorted(rule.deciders)):<21} {rule.source}"
        for (regime, band, capacity), rule in made.items()
    ]
    assert rows == LAW.strip().splitlines()


def test_from_the_eighteenth_birthday_on_no_birthday_changes_who_decides() -> None:
    birth = date(2008, 11, 22)
    assert next_boundary(birth, date(2026, 11, 21)) == date(2026, 11, 22)
    assert next_boundary(birth, date(2026, 11, 22)) is None
    assert next_boundary(birth, date(2020, 11, 22)) == date(2024, 11, 22), "on the twelfth birthday the sixteenth"


# whose word is asked, and what the others are told

PARENT = Representation(UUID(int=1), K.PARENT, None, NOW - 400 * DAY, None)
GUARDIAN = Representation(UUID(int=2), K.GUARDIAN, None, NOW - 400 * DAY, None)
SCHOOL_ONLY = Representation(UUID(int=3), K.PARENT, frozenset({Category.EDUCATION}), NOW - 400 * DAY, None)
FORMER = Representation(UUID(int=4), K.PARENT, None, NOW - 400 * DAY, NOW)
MENTOR = Representation(UUID(int=5), K.MENTOR, None, NOW - 400 * DAY, None)
CURATOR = Representation(UUID(int=6), K.CURATOR, None, NOW - 400 * DAY, None)
PARTNER = Representation(UUID(int=7), K.PARTNER, None, NOW - 400 * DAY, None)
DAUGHTER = Representation(UUID(int=8), K.FAMILY, None, NOW - 400 * DAY, None)
NOT_YET = Representation(UUID(int=9), K.MENTOR, None, NOW + MOMENT, None)
MENTOR_FOR_SCHOOL = Representation(UUID(int=10), K.MENTOR, frozenset({Category.EDUCATION}), NOW - DAY, None)
PEOPLE = (PARENT, SCHOOL_ONLY, FORMER, MENTOR, PARTNER, DAUGHTER, NOT_YET)


def born(age: int) -> date:
    return date(TODAY.year - age, 1, 1)


def asked_of(age: int, capacity: Capacity = Capacity.CAPABLE, departure: Departure | None = None) -> Asked:
    return deciders(Regime.WGBO, born(age), TODAY, capacity, departure)


CHILD, TEEN, SIXTEEN, GROWN = (asked_of(age) for age in (8, 13, 16, 80))
LOST = asked_of(80, Capacity.INCAPABLE)
ALONE = asked_of(13, departure=Departure.LASTING_WISH)
ORDERED = asked_of(13, departure=Departure.COURT_ORDER)

OTHERS_DECIDE = ("/decidedBy", "patient-does-not-decide", "At this age or in this state others decide.")
UNKNOWN = ("/decidedBy/id", "not-a-representative", "No such representative is recorded for this patient.")
OVER = ("/decidedBy/id", "outside-period", "The representation is not in force at that moment.")
TOO_NARROW = ("/decidedBy/id", "outside-scope", "The representation does not reach these categories.")
PATIENT_DECIDES = ("/decidedBy", "patient-decides", "At this age the patient decides alone.")
ANOTHER = ("/decidedBy/id", "another-represents", "Somebody who comes before in the legal order represents.")
NO_SAY = ("/decidedBy/id", "no-say", "This representation gives no say in this decision.")

Row = tuple[str, UUID | None, Asked, tuple[Representation, ...], list[tuple[str, str, str]]]
ROWS: list[Row] = [
    ("an adult decides", None, GROWN, (), []),
    ("a child of eight does not", None, CHILD, (PARENT,), [OTHERS_DECIDE]),
    ("who cannot weigh it does not", None, LOST, (MENTOR,), [OTHERS_DECIDE]),
    ("a child of thirteen does, beside the parents", None, TEEN, (PARENT,), []),
    ("the parent of a child does", PARENT.id, CHILD, (PARENT,), []),
    ("the guardian does", GUARDIAN.id, CHILD, (GUARDIAN,), []),
    ("a parent by a court's order", PARENT.id, ORDERED, (PARENT, GUARDIAN), []),
    ("who is nobody here does not", UUID(int=99), CHILD, (PARENT,), [UNKNOWN]),
    ("a parent for school decides about school alone", SCHOOL_ONLY.id, CHILD, (SCHOOL_ONLY,), [TOO_NARROW]),
    ("a former parent no longer does", FORMER.id, CHILD, (PARENT, FORMER), [OVER]),
    ("a mentor to be does not yet", NOT_YET.id, LOST, (NOT_YET,), [OVER]),
    ("the parent of somebody of sixteen does not", PARENT.id, SIXTEEN, (PARENT,), [PATIENT_DECIDES]),
    ("nor of a child that decides alone for once", PARENT.id, ALONE, (PARENT,), [PATIENT_DECIDES]),
    ("an adult's mentor does not while the adult can", MENTOR.id, GROWN, (MENTOR,), [PATIENT_DECIDES]),
    ("a mentor goes before a partner", PARTNER.id, LOST, (MENTOR, PARTNER), [ANOTHER]),
    ("a partner goes before a daughter", DAUGHTER.id, LOST, (PARTNER, DAUGHTER), [ANOTHER]),
    ("a daughter does where there is nobody before", DAUGHTER.id, LOST, (DAUGHTER,), []),
    ("a mentor and a curator stand equal", MENTOR.id, LOST, (MENTOR, CURATOR), []),
    ("a parent has no say about a grown child", PARENT.id, LOST, (PARENT, MENTOR), [NO_SAY]),
    ("nor by a parent's say alone", PARENT.id, LOST, (PARENT,), [NO_SAY]),
    ("nor a partner about a minor without parents", PARTNER.id, CHILD, (PARTNER,), [NO_SAY]),
    (
        "a mentor for school is told both that and who comes before",
        MENTOR_FOR_SCHOOL.id,
        SIXTEEN,
        (MENTOR_FOR_SCHOOL,),
        [TOO_NARROW, PATIENT_DECIDES],
    ),
]


@pytest.mark.parametrize(("said", "person", "asked", "people", "expected"), ROWS)
def test_who_records_a_decision_hears_why_somebody_has_no_say(
    said: str,
    person: UUID | None,
    asked: Asked,
    people: tuple[Representation, ...],
    expected: list[tuple[str, str, str]],
) -> None:
    known = {one.id: one for one in people}
    who = needed(asked, people, NOW)
    found = decider_faults(person, asked, who, known, [Category.MEDICATION], NOW)
    assert [(fault.pointer, fault.code, fault.detail) for fault in found] == expected, said


def test_a_parent_for_school_decides_about_school() -> None:
    who = needed(CHILD, [SCHOOL_ONLY], NOW)
    known = {SCHOOL_ONLY.id: SCHOOL_ONLY}
    assert not list(decider_faults(SCHOOL_ONLY.id, CHILD, who, known, [Category.EDUCATION], NOW))
    both = [Category.EDUCATION, Category.MEDICATION]
    assert [fault.code for fault in decider_faults(SCHOOL_ONLY.id, CHILD, who, known, both, NOW)] == ["outside-scope"]


def test_a_representation_holds_from_its_first_moment_until_just_before_its_last() -> None:
    bounded = Representation(UUID(int=1), K.MENTOR, None, NOW, NOW + DAY)
    moments = {NOW - MOMENT: False, NOW: True, NOW + DAY - MOMENT: True, NOW + DAY: False}
    assert {at: bounded.holds(at) for at in moments} == moments
    assert MENTOR.holds(NOW + 9000 * DAY), "without an end it goes on"


@pytest.mark.parametrize(
    ("first", "there"),
    [
        ({MENTOR, CURATOR}, (MENTOR, CURATOR, PARTNER)),
        ({CURATOR}, (CURATOR, DAUGHTER)),
        ({PARTNER}, (PARTNER, DAUGHTER, PARENT)),
        ({DAUGHTER}, (DAUGHTER, NOT_YET)),
        (set[Representation](), (PARENT, GUARDIAN)),
    ],
)
def test_for_an_incapable_adult_speaks_whoever_comes_first_of_those_who_are_there_by_then(
    first: set[Representation], there: tuple[Representation, ...]
) -> None:
    for order in (there, there[::-1]):
        assert needed(LOST, order, NOW).everybody == {one.id for one in first}


def test_a_court_s_order_leaves_the_child_its_own_word() -> None:
    who = needed(ORDERED, [PARENT, GUARDIAN], NOW)
    assert who.all_of == {None}
    assert who.one_of == {PARENT.id, GUARDIAN.id}
    assert status_of(ORDERED, who, {PARENT.id: True}) is Status.PROPOSED
    assert status_of(ORDERED, who, {PARENT.id: True, None: True}) is Status.ACTIVE
    assert status_of(ORDERED, who, {PARENT.id: True, None: False}) is Status.REFUSED
    assert status_of(ORDERED, needed(ORDERED, [], NOW), {None: True}) is Status.PROPOSED, "somebody must be there"


# the same on a day


def question(birth: date, *people: Representation, **more: object) -> Question:
    fields: dict[str, object] = {"regime": Regime.WGBO, "capacity": Capacity.CAPABLE, "departure": None, **more}
    return Question(birth=birth, categories=frozenset({Category.MEDICATION}), representations=people, **fields)  # type: ignore[arg-type]


def test_the_day_and_what_is_recorded_decide_whom_to_ask() -> None:
    birth = date(2010, 11, 22)
    dawn = dawn_of(TODAY)
    assert question(birth).asked(dawn - MOMENT) == TEEN
    assert question(birth).asked(dawn) == SIXTEEN
    assert question(birth, capacity=Capacity.INCAPABLE).asked(dawn) == CHILD, "of an incapable minor the parents"
    assert question(birth, departure=Departure.COURT_ORDER).asked(dawn - MOMENT) == ORDERED
    assert question(born(80), capacity=Capacity.INCAPABLE).asked(NOW) == LOST


@pytest.mark.parametrize(
    ("said", "asked", "person", "decided_at", "expected"),
    [
        ("a parent decides about a child", question(born(8), PARENT), PARENT.id, NOW, []),
        (
            "a parent for school not about medication",
            question(born(8), SCHOOL_ONLY),
            SCHOOL_ONLY.id,
            NOW,
            [TOO_NARROW],
        ),
        ("a former parent not now", question(born(8), FORMER), FORMER.id, NOW - DAY, [OVER]),
        ("nobody unknown decides", question(born(8), PARENT), GUARDIAN.id, NOW, [UNKNOWN]),
        ("a child of eight does not", question(born(8), PARENT), None, NOW, [OTHERS_DECIDE]),
        (
            "what a parent decided before the sixteenth birthday lapsed on it",
            question(TODAY.replace(year=TODAY.year - 16), PARENT),
            PARENT.id,
            dawn_of(TODAY) - MOMENT,
            [PATIENT_DECIDES, ("/decidedAt", "before-birthday", "Since that day others decide; ask again.")],
        ),
        (
            "what was decided on the birthday stands",
            question(TODAY.replace(year=TODAY.year - 16), PARENT),
            None,
            dawn_of(TODAY),
            [],
        ),
        (
            "what lies in the future is told so elsewhere, and nothing of birthdays",
            question((TODAY + DAY).replace(year=TODAY.year - 16)),
            None,
            NOW + DAY,
            [],
        ),
    ],
)
def test_who_records_a_decision_hears_what_is_wrong_on_this_day(
    said: str, asked: Question, person: UUID | None, decided_at: datetime, expected: list[tuple[str, str, str]]
) -> None:
    found = asked.faults(person, decided_at, NOW)
    assert [(fault.pointer, fault.code, fault.detail) for fault in found] == expected, said


def test_a_consent_that_ends_as_the_birthday_dawns_needs_no_renewal() -> None:
    asked, term = question((TODAY + 9 * DAY).replace(year=TODAY.year - 16), PARENT), 90 * DAY
    dawn = dawn_of(TODAY + 9 * DAY)
    assert asked.end(dawn, NOW, term) == (dawn, None)
    assert asked.end(dawn + MOMENT, NOW, term) == (dawn + MOMENT, TODAY + 9 * DAY)
