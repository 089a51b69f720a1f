"""How one consent is asked: in Dutch that somebody who reads at B1 understands. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.consent.question import day_of

_MONTHS = (
    *("januari", "februari", "maart", "april", "mei", "juni"),
    *("juli", "augustus", "september", "oktober", "november", "december"),
)


def asked_in_words(
    *, to: Sequence[str], whose: str, about: Sequence[str], purpose: str, for_another: bool, both_ways: bool | None
) -> str:
    """Return the question itself: who may know what of whose, what for, and whether it works both ways.

    ``both_ways`` is None for what opens nothing by itself; ``for_another`` is how a representative is asked.
    """
    whom = " over degene voor wie u beslist" if for_another else ""
    named = ", ".join(f"“{one}”" for one in about)
    question = f"Mag {' en '.join(to)} van {whose} weten{whom}: {named}? Dat is {purpose}."
    if both_ways is None:
        return question
    if both_ways:
        return (
            f"{question} Het werkt twee kanten op: wie dit mag weten, mag er ook over schrijven,"
            f" en de hulpverleners van {whose} mogen dat lezen."
        )
    return f"{question} Het werkt één kant op: wie dit mag weten, leest alleen mee."


def until_in_words(until: datetime | None) -> str:
    """Return until when a yes holds; ``until`` is exclusive, so that the last day named is one on which it holds."""
    if until is None:
        return "Uw ja geldt tot u het stopt. Dat kan altijd."
    last = day_of(until - timedelta(microseconds=1))
    return f"Uw ja geldt tot en met {last.day} {_MONTHS[last.month - 1]} {last.year}. U kunt altijd eerder stoppen."
