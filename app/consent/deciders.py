"""Who must decide: regime x age x capacity to deciders, as a table that a privacy officer can check. Pure.

The age is that on the day of the decision. ``AUTHORITY`` stands for everybody with parental authority, the guardian
included: each of them decides. Source: BW 7:447, 7:450, 7:465 (WGBO); Jeugdwet 7.3.4, 7.3.5; DOMAIN R-7, R-8, R-10.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from app.access.vocabulary import Domain

DECIDERS_VERSION = "2026-1"
BOUNDARIES = (12, 16, 18)
"""Birthdays on which who decides changes."""


class Regime(StrEnum):
    """The law whose rules of consent hold; that of the domain whose secrecy is lifted."""

    WGBO = "wgbo"
    JEUGDWET = "jeugdwet"


class AgeBand(StrEnum):
    """An age, as the law divides it."""

    UNDER_12 = "under-12"
    FROM_12 = "12-15"
    FROM_16 = "16-17"
    ADULT = "18-and-over"


class Capacity(StrEnum):
    """Whether the patient can weigh this decision (*wilsbekwaam*), as whoever records it judged."""

    CAPABLE = "capable"
    INCAPABLE = "incapable"


class Decider(StrEnum):
    """Whose yes is needed."""

    PATIENT = "patient"
    AUTHORITY = "authority"
    REPRESENTATIVE = "representative"


class Departure(StrEnum):
    """Why the table is departed from; always with a reason in the record."""

    SERIOUS_HARM = "serious-harm"
    LASTING_WISH = "lasting-wish"
    COURT_ORDER = "court-order"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who decides in one case of the table, and where that is written."""

    deciders: frozenset[Decider]
    source: str


_PARENTS = frozenset({Decider.AUTHORITY})
_BOTH = frozenset({Decider.PATIENT, Decider.AUTHORITY})
_ALONE = frozenset({Decider.PATIENT})
_REPRESENTED = frozenset({Decider.REPRESENTATIVE})


def _rules(regime: Regime, sources: Mapping[str, str]) -> Mapping[tuple[Regime, AgeBand, Capacity], Rule]:
    capable, incapable = Capacity.CAPABLE, Capacity.INCAPABLE
    return {
        (regime, AgeBand.UNDER_12, capable): Rule(_PARENTS, sources["young"]),
        (regime, AgeBand.UNDER_12, incapable): Rule(_PARENTS, sources["young"]),
        (regime, AgeBand.FROM_12, capable): Rule(_BOTH, sources["both"]),
        (regime, AgeBand.FROM_12, incapable): Rule(_PARENTS, sources["incapable-minor"]),
        (regime, AgeBand.FROM_16, capable): Rule(_ALONE, sources["alone"]),
        (regime, AgeBand.FROM_16, incapable): Rule(_PARENTS, sources["incapable-minor"]),
        (regime, AgeBand.ADULT, capable): Rule(_ALONE, sources["alone"]),
        (regime, AgeBand.ADULT, incapable): Rule(_REPRESENTED, sources["represented"]),
    }


DECIDERS: Mapping[tuple[Regime, AgeBand, Capacity], Rule] = MappingProxyType(
    {
        **_rules(
            Regime.WGBO,
            {
                "young": "BW 7:465 lid 1",
                "both": "BW 7:450 lid 2",
                "incapable-minor": "BW 7:465 lid 2",
                "alone": "BW 7:447 lid 1",
                "represented": "BW 7:465 lid 2 en 3",
            },
        ),
        **_rules(
            Regime.JEUGDWET,
            {
                "young": "Jeugdwet 7.3.4",
                "both": "Jeugdwet 7.3.4 lid 2",
                "incapable-minor": "Jeugdwet 7.3.5",
                "alone": "Jeugdwet 7.3.4",
                "represented": "Jeugdwet 7.3.5",
            },
        ),
    }
)


def regime_of(domains: Collection[Domain]) -> Regime:
    """Return the regime of a consent that lifts the secrecy of these domains.

    Youth care has its own; social work asks as the WGBO does, which is the stricter reading for a capable child.
    """
    return Regime.JEUGDWET if Domain.YOUTH in domains else Regime.WGBO


def age_on(birth: date, day: date) -> int:
    """Return the age in whole years on a day; born on 29 February one turns older on 1 March in other years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def band_on(birth: date, day: date) -> AgeBand:
    """Return the band that an age on a day falls in."""
    age = age_on(birth, day)
    if age < 12:
        return AgeBand.UNDER_12
    if age < 16:
        return AgeBand.FROM_12
    return AgeBand.FROM_16 if age < 18 else AgeBand.ADULT


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose yes is needed: everybody's of ``all_of``, and that of somebody of ``one_of``, if that is not empty."""

    all_of: frozenset[Decider]
    one_of: frozenset[Decider] = frozenset()


def deciders(regime: Regime, birth: date, day: date, capacity: Capacity, departure: Departure | None = None) -> Asked:
    """Return whose yes is needed for a decision on ``day``.

    A child of 12 to 15 decides alone where asking the parents would do it serious harm or where its wish is lasting
    and well considered. A court's order stands in for the parent who refuses, so that one holder of authority is
    enough. Among those who may represent an incapable adult one decides.
    """
    usual = DECIDERS[(regime, band_on(birth, day), capacity)].deciders
    if departure is Departure.COURT_ORDER and Decider.AUTHORITY in usual:
        return Asked(usual - _PARENTS, _PARENTS)
    if departure in (Departure.SERIOUS_HARM, Departure.LASTING_WISH) and usual == _BOTH:
        return Asked(_ALONE)
    return Asked(frozenset(), usual) if usual == _REPRESENTED else Asked(usual)


def next_boundary(birth: date, day: date) -> date | None:
    """Return the next birthday after ``day`` on which who decides changes, or None from 18 on."""
    upcoming = (birthday(birth, years) for years in BOUNDARIES)
    return next((one for one in upcoming if one > day), None)


def birthday(birth: date, years: int) -> date:
    """Return the day on which somebody turns ``years``; 1 March where there is no 29 February."""
    try:
        return birth.replace(year=birth.year + years)
    except ValueError:
        return date(birth.year + years, 3, 1)
