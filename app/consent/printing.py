"""The table of deciders as a page that a privacy officer can check: ``docs/consent.md``. Pure."""

from collections.abc import Iterable

from app.consent.deciders import (
    BOUNDARIES,
    DECIDERS,
    DECIDERS_VERSION,
    AgeBand,
    Capacity,
    Decider,
    Departure,
    Regime,
)
from app.consent.decisions import RANK, Status

_WHO = {
    frozenset({Decider.PATIENT}): "the patient alone",
    frozenset({Decider.AUTHORITY}): "everybody with parental authority, the guardian included",
    frozenset({Decider.PATIENT, Decider.AUTHORITY}): "the patient and everybody with parental authority",
    frozenset({Decider.REPRESENTATIVE}): "one of those who come first in the legal order of representatives",
}
_REGIMES = {
    Regime.WGBO: "the secrecy of care, and of social work, is lifted",
    Regime.JEUGDWET: "the secrecy of youth care is lifted, alone or among others",
}
_DEPARTURES = {
    Departure.SERIOUS_HARM: ("from 12 to 15, capable", "the patient alone: asking the parents would do serious harm"),
    Departure.LASTING_WISH: ("from 12 to 15, capable", "the patient alone, who keeps wanting it after consideration"),
    Departure.COURT_ORDER: (
        "wherever parental authority decides",
        "one holder of authority is enough: the court's order stands in for the other",
    ),
}
_STATUSES = {
    Status.ASKED: "saved to be asked; nobody decided",
    Status.PROPOSED: "somebody decided, and another's decision is still needed",
    Status.ACTIVE: "everybody whose decision is needed said yes",
    Status.REFUSED: "somebody whose decision is needed said no; final, a new consent may be asked",
    Status.WITHDRAWN: "taken back, by any of those who decide",
    Status.EXPIRED: "its period ended",
    Status.SUPERSEDED: "a later consent took its place",
}


def consent_page(renewal_days: int) -> str:
    """Return who decides, and where a consent can stand, as Markdown; ``renewal_days`` is the setting's default."""
    return "\n".join(_lines(renewal_days))


def _lines(renewal_days: int) -> Iterable[str]:
    yield f"# Who decides about consent (version {DECIDERS_VERSION})"
    yield ""
    yield "Written by the code from `app/consent/deciders.py`; do not edit. Only an active consent opens anything."
    for regime in Regime:
        rows = [
            (band, capacity, _WHO[DECIDERS[regime, band, capacity].deciders], DECIDERS[regime, band, capacity].source)
            for band in AgeBand
            for capacity in Capacity
        ]
        text = f"Where {_REGIMES[regime]}. The age is that on the day on which the decision is recorded."
        yield from _section(f"Regime `{regime}`", text, ("age", "capacity", "who decides", "source"), rows)
    yield from _section(
        "Departures",
        "Each is recorded with a reason, which is sealed; subject, recorder and case manager read it.",
        ("code", "where", "who decides then"),
        [(code, *_DEPARTURES[code]) for code in Departure],
    )
    yield from _section(
        "Legal order of representatives of adults",
        "Who comes first represents; the next only where nobody before is recorded. Source: BW 7:465 lid 3.",
        ("order", "kind"),
        [(str(rank), kind) for kind, rank in RANK.items()],
    )
    yield from _section(
        "Where a consent stands",
        "It follows from the decisions, and changes in the same commit as they are recorded in.",
        ("status", "when"),
        [(status, _STATUSES[status]) for status in Status],
    )
    ages = ", ".join(str(age) for age in BOUNDARIES[:-1])
    yield ""
    yield "## Birthdays"
    yield ""
    yield f"On turning {ages} or {BOUNDARIES[-1]} others decide. A consent is to be renewed from then on, and"
    yield f"ends at the latest {renewal_days} days after it (setting `OVERLEGTAFEL_CONSENT_RENEWAL_DAYS`)."
    yield "What somebody decided before such a birthday cannot be recorded after it."
    yield ""


def _section(title: str, text: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    yield from ("", f"## {title}", "", text, "")
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"
