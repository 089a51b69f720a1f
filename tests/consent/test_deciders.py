"""Who must decide, compared with the law as written here by hand; and what birthdays do to it."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.vocabulary import Domain
from app.consent.deciders import (
    DECIDERS,
    AgeBand,
    Capacity,
    Decider,
    Departure,
    Regime,
    age_on,
    band_on,
    birthday,
    deciders,
    next_boundary,
    regime_of,
)

BIRTHS = st.dates(date(1920, 1, 1), date(2026, 1, 1))
PATIENT, AUTHORITY, REPRESENTATIVE = Decider.PATIENT, Decider.AUTHORITY, Decider.REPRESENTATIVE


def test_the_table_names_every_case_and_a_source_for_each() -> None:
    assert set(DECIDERS) == {(r, b, c) for r in Regime for b in AgeBand for c in Capacity}
    assert all(rule.source and rule.deciders for rule in DECIDERS.values())


@pytest.mark.parametrize("regime", Regime)
@pytest.mark.parametrize(
    ("age", "capable", "incapable"),
    [
        (0, {AUTHORITY}, {AUTHORITY}),
        (11, {AUTHORITY}, {AUTHORITY}),
        (12, {PATIENT, AUTHORITY}, {AUTHORITY}),
        (15, {PATIENT, AUTHORITY}, {AUTHORITY}),
        (16, {PATIENT}, {AUTHORITY}),
        (17, {PATIENT}, {AUTHORITY}),
        (18, {PATIENT}, {REPRESENTATIVE}),
        (90, {PATIENT}, {REPRESENTATIVE}),
    ],
)
def test_who_decides_is_what_the_law_says(
    regime: Regime, age: int, capable: set[Decider], incapable: set[Decider]
) -> None:
    day = date(2026, 11, 22)
    birth = date(day.year - age, 11, 22)
    assert deciders(regime, birth, day, Capacity.CAPABLE).all_of == capable
    asked = deciders(regime, birth, day, Capacity.INCAPABLE)
    assert asked.all_of | asked.one_of == incapable
    assert bool(asked.one_of) is (age >= 18), "one of those who may represent an adult decides"


@pytest.mark.parametrize(
    ("age", "departure", "all_of", "one_of"),
    [
        (13, Departure.SERIOUS_HARM, {PATIENT}, set()),
        (13, Departure.LASTING_WISH, {PATIENT}, set()),
        (13, Departure.COURT_ORDER, {PATIENT}, {AUTHORITY}),
        (9, Departure.COURT_ORDER, set(), {AUTHORITY}),
        (9, Departure.SERIOUS_HARM, {AUTHORITY}, set()),
        (17, Departure.LASTING_WISH, {PATIENT}, set()),
        (17, Departure.COURT_ORDER, {PATIENT}, set()),
    ],
)
def test_a_departure_takes_away_only_what_the_law_lets_it(
    age: int, departure: Departure, all_of: set[Decider], one_of: set[Decider]
) -> None:
    day = date(2026, 11, 22)
    birth = date(day.year - age, 1, 1)
    asked = deciders(Regime.WGBO, birth, day, Capacity.CAPABLE, departure)
    assert (set(asked.all_of), set(asked.one_of)) == (all_of, one_of)


def test_an_incapable_child_cannot_be_made_to_decide_alone() -> None:
    birth, day = date(2012, 1, 1), date(2026, 1, 1)
    for departure in (Departure.SERIOUS_HARM, Departure.LASTING_WISH):
        assert deciders(Regime.WGBO, birth, day, Capacity.INCAPABLE, departure).all_of == {AUTHORITY}


def test_youth_care_has_a_regime_of_its_own() -> None:
    assert regime_of({Domain.YOUTH, Domain.CARE}) is Regime.JEUGDWET
    assert regime_of({Domain.CARE}) is regime_of({Domain.SOCIAL}) is Regime.WGBO


@given(birth=BIRTHS, after=st.integers(0, 40_000))
def test_who_decides_changes_on_the_next_boundary_and_on_no_day_before(birth: date, after: int) -> None:
    day = birth + timedelta(days=after % 9000)
    boundary = next_boundary(birth, day)
    if boundary is None:
        assert band_on(birth, day) is AgeBand.ADULT
        return
    assert boundary > day
    assert band_on(birth, boundary - timedelta(days=1)) is band_on(birth, day)
    assert band_on(birth, boundary) is not band_on(birth, day)


@given(birth=BIRTHS, years=st.sampled_from([1, 12, 16, 18]))
def test_one_is_older_from_the_birthday_on(birth: date, years: int) -> None:
    day = birthday(birth, years)
    assert age_on(birth, day) == years
    assert age_on(birth, day - timedelta(days=1)) == years - 1


def test_born_on_a_leap_day_one_turns_older_on_the_first_of_march() -> None:
    assert birthday(date(2012, 2, 29), 18) == date(2030, 3, 1)
    assert age_on(date(2012, 2, 29), date(2030, 2, 28)) == 17
