"""Birthdays and decisions: who is asked at which instant, until when a yes holds; and the page printed of it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from app.consent.deciders import Capacity, Departure, Regime, band_on
from app.consent.decisions import Representation, RepresentationKind, Status
from app.consent.printing import consent_page
from app.consent.question import Question, dawn_of, day_of
from app.core.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "consent.md"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TERM = timedelta(days=90)
PARENT = Representation(uuid4(), RepresentationKind.PARENT, None, NOW - timedelta(days=4000), None)


def question(birth: date, *people: Representation, departure: Departure | None = None) -> Question:
    return Question(Regime.WGBO, birth, Capacity.CAPABLE, departure, frozenset(), people)


def codes(asked: Question, decided_at: datetime, now: datetime) -> list[str]:
    return [fault.code for fault in asked.faults(None, decided_at, now)]


def test_a_day_begins_at_midnight_here() -> None:
    assert day_of(datetime(2026, 11, 21, 23, 0, tzinfo=UTC)) == date(2026, 11, 22)
    assert day_of(datetime(2026, 11, 21, 22, 59, tzinfo=UTC)) == date(2026, 11, 21)
    assert dawn_of(date(2026, 7, 1)) == datetime(2026, 6, 30, 22, tzinfo=UTC)


def test_from_the_sixteenth_birthday_on_one_decides_alone() -> None:
    asked = question(date(2010, 11, 22), PARENT)
    dawn = dawn_of(date(2026, 11, 22))
    assert asked.status({None: True}, dawn - timedelta(microseconds=1)) is Status.PROPOSED
    assert asked.status({None: True}, dawn) is Status.ACTIVE


def test_what_was_decided_before_a_birthday_is_not_recorded_after_it() -> None:
    asked = question(date(2010, 11, 22), PARENT)
    assert codes(asked, NOW, NOW) == []
    assert codes(asked, NOW - timedelta(days=2), NOW) == ["before-birthday"]
    assert codes(question(date(1941, 3, 2)), NOW - timedelta(days=2), NOW) == []
    assert codes(question(date(2018, 1, 1), PARENT), NOW, NOW) == ["patient-does-not-decide"]


def test_an_adult_s_consent_ends_when_it_was_agreed_to_end() -> None:
    grown = question(date(1941, 3, 2))
    assert grown.end(None, NOW, TERM) == (None, None)
    assert grown.end(NOW + timedelta(days=9), NOW, TERM) == (NOW + timedelta(days=9), None)


def test_a_minor_s_consent_outlives_the_next_birthday_by_the_term_at_most() -> None:
    teen = question(date(2010, 12, 1), PARENT)
    latest = dawn_of(date(2026, 12, 1)) + TERM
    assert teen.end(None, NOW, TERM) == (latest, date(2026, 12, 1))
    assert teen.end(latest - timedelta(days=1), NOW, TERM) == (latest - timedelta(days=1), date(2026, 12, 1))
    assert teen.end(latest + timedelta(days=1), NOW, TERM) == (latest, date(2026, 12, 1))
    assert teen.end(NOW + timedelta(days=1), NOW, TERM) == (NOW + timedelta(days=1), None)


@given(birth=st.dates(date(2008, 1, 1), date(2026, 11, 1)), days=st.integers(0, 9000) | st.none())
def test_no_consent_runs_on_past_a_birthday_unless_it_is_to_be_renewed(birth: date, days: int | None) -> None:
    agreed = None if days is None else NOW + timedelta(days=days + 1)
    until, renew_on = question(birth).end(agreed, NOW, TERM)
    assert agreed is None or (until is not None and until <= agreed)
    last = NOW + timedelta(days=20_000) if until is None else until - timedelta(microseconds=1)
    if band_on(birth, day_of(last)) is not band_on(birth, day_of(NOW)):
        assert renew_on is not None
        assert until is not None
        assert day_of(NOW) < renew_on
        assert until <= dawn_of(renew_on) + TERM


def test_the_printed_page_is_that_of_the_code() -> None:
    default = Settings.model_fields["consent_renewal_days"].default
    assert PAGE.read_text(encoding="utf-8") == consent_page(default), "write docs/consent.md again"
