"""The table of deciders as a page that a privacy officer can check: ``docs/consent.md``. Pure."""

from collections.abc import Collection, Iterable

from app.access.vocabulary import Category, Role
from app.consent.bundle import DECISIONS_MAX, Line, Term
from app.consent.bundles import BUNDLES, BUNDLES_VERSION
from app.consent.carers import LEVELS, Level
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
from app.consent.decisions import AUTHORITY_KINDS, RANK, RepresentationKind, Status
from app.consent.representations import ACCEPTED, REPRESENTATIONS_VERSION
from app.consent.texts import TEXTS

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
_MINOR, _LOST = "a minor under 16, or under 18 who cannot weigh decisions", "an adult who cannot weigh decisions"
_FOR = {kind: _MINOR if kind in AUTHORITY_KINDS else _LOST for kind in RepresentationKind}
_ENDS = {
    kind: "on the 16th birthday; on the 18th of who cannot weigh decisions"
    if kind in AUTHORITY_KINDS
    else "as recorded, or when somebody before in the legal order is recorded"
    for kind in RepresentationKind
}
_APART = [
    ("members, presence, events of joining and leaving", "not the other representatives"),
    ("representations", "their own alone, without what is withheld and why"),
    ("consents", "of the patient, within their scope; not what a child of 12 to 15 decides without its parents"),
    ("decisions", "their own alone; another's no shows as one that is awaited, another's withdrawal without whose"),
    ("threads", "what the patient sees, less what is withheld from them with a reason (R-9)"),
    ("what is asked", "what waits for their own word; who asked it, unless that is another representative"),
    ("who may see what", "of others than representatives, within their scope, less what is withheld"),
    ("who looked", "professionals and carers, within their scope, less what is withheld; none of the family"),
    ("exclusions, objections", "their own alone; within their scope, and never against another representative"),
]
_CHANGES = [
    ("consent", "categories, recipients, or some categories of some recipients are taken out of it"),
    ("direct_treatment, replacement", "an objection: this member does not see that category by treatment"),
    ("public_task", "an exclusion: this person sees nothing; a task itself is not the citizen's to end"),
    ("subject, emergency", "nothing: it is one's own, or ends by itself"),
]
_CHOSEN = {Level.CHOSEN: ", and those that the citizen chose"}


def _listed(codes: Iterable[str]) -> str:
    return ", ".join(sorted(codes))


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
        f"What carries a representation (version {REPRESENTATIONS_VERSION})",
        "Recorded by whoever answers for the case, with one of these; what else there is to say is sealed. It gives"
        " the representative's seat what the patient sees, within its scope and period, and never `safety_meldcode`."
        " No BSN of a representative is kept.",
        ("kind", "for whom", "evidence", "ends"),
        [(kind, _FOR[kind], _listed(ACCEPTED[kind]), _ENDS[kind]) for kind in RepresentationKind],
    )
    yield from _section(
        "What representatives of the same patient see of each other",
        "Separated parents log in apart. The database narrows each of these as well.",
        ("what", "a representative sees"),
        _APART,
    )
    yield from _section(
        "Informal carers",
        "By consent of the citizen alone, and read only, whatever the consent says of both ways; never a BSN.",
        ("level", "categories"),
        [(level, _listed(LEVELS[level]) + _CHOSEN.get(level, "")) for level in Level],
    )
    yield from _section(
        "Where a consent stands",
        "It follows from the decisions, and changes in the same commit as they are recorded in.",
        ("status", "when"),
        [(status, _STATUSES[status]) for status in Status],
    )
    yield from _section(
        "Changing one cell",
        "What is taken out of a consent closes at once. What is left takes its place, as `narrowing`: the same text,"
        " period and bounds, and everybody's yes; two consents where a corner is taken out. Whoever may withdraw it"
        " may. Nothing is added like this, and taking out everything is a withdrawal. Names and contacts go with any"
        " other cell, and close with the last.",
        ("ground of the cell", "what closes it"),
        _CHANGES,
    )
    ages = ", ".join(str(age) for age in BOUNDARIES[:-1])
    yield ""
    yield "## Birthdays"
    yield ""
    yield f"On turning {ages} or {BOUNDARIES[-1]} others decide. A consent is to be renewed from then on, and"
    yield f"ends at the latest {renewal_days} days after it (setting `OVERLEGTAFEL_CONSENT_RENEWAL_DAYS`)."
    yield "What somebody decided before such a birthday cannot be recorded after it."
    yield ""
    yield "## Ground `wams`"
    yield ""
    yield "It opens nothing and cannot be switched on (`OVERLEGTAFEL_WAMS` is refused): that the act (bill 36 295)"
    yield "is in force is not confirmed, and no table says which cells it would open. It never overrides secrecy."
    yield "Source: DOMAIN R-42."
    yield from _section(
        "Texts",
        "What citizens are shown or read. A privacy officer checks each before it is used; the record names it.",
        ("version", "language", "level", "SHA-256"),
        [(one.version, one.language, one.level, f"`{one.sha256}`") for one in TEXTS],
    )
    yield from _bundles()
    yield ""


def _bundles() -> Iterable[str]:
    yield ""
    yield f"## Bundles (version {BUNDLES_VERSION})"
    yield ""
    yield "Written by the code from `app/consent/bundles.py`. Each line can be switched off, each may be narrowed and"
    yield f"none widened; one use asks at most {DECISIONS_MAX} decisions. All lift secrecy and nothing else."
    yield "*Lifts* is whose secrecy is lifted for a line, where somebody of that domain is at the table."
    for bundle in BUNDLES:
        yield ""
        yield f"### {bundle.number}. {bundle.name} (`{bundle.code}`)"
        yield ""
        yield f"- {bundle.purpose}, {_term(bundle.term)}, history `{bundle.history}`, " + (
            "both ways" if bundle.both_ways else "recipients read only"
        )
        if bundle.review_months:
            yield f"- Reminder every {bundle.review_months} months."
        if bundle.ticks:
            yield f"- Own tick, closed without it: {_categories(bundle.ticks)}."
        if bundle.chosen:
            yield "- The categories are chosen one by one."
        yield f"- *{bundle.note}*"
        yield ""
        for row in (("line", "to", "who that is", "lifts", "opens"), ("---",) * 5, *map(_line, bundle.lines)):
            yield f"| {' | '.join(row)} |"


def _line(line: Line) -> tuple[str, ...]:
    """Return a line's row."""
    described = [
        ", ".join(sorted(line.roles)) if len(line.roles) < len(Role) else "any role",
        *(
            f"{name} {', '.join(sorted(codes))}"
            for name, codes in (
                ("profession", line.professions),
                ("speciality", line.specialities),
                ("organisation", line.organisation_kinds),
                ("law", line.laws),
                ("case role", line.case_roles),
            )
            if codes
        ),
    ]
    opens = _categories(line.categories)
    if line.care_only:
        opens += f"; from care alone {_categories(line.care_only)}"
    reach = f"{' or '.join(line.reach)}{', named' if line.named else ''}"
    return f"`{line.key}` {line.label}", reach, "; ".join(described), ", ".join(line.lifts), opens


def _categories(categories: Collection[Category]) -> str:
    every = {one for one in Category if one is not Category.SAFETY_MELDCODE}
    if set(categories) == every:
        return "any category but safety_meldcode"
    return ", ".join(one for one in Category if one in categories)


def _term(term: Term) -> str:
    if term.until:
        return "until 31 July" if term.until == (7, 31) else f"until {term.until[1]}-{term.until[0]}"
    if term.days_at_most:
        return f"until a day that is named, at most {term.days_at_most} days"
    if term.months or term.weeks:
        return f"{term.months} months" if term.months else f"{term.weeks} weeks"
    return "until withdrawn"


def _section(title: str, text: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    yield from ("", f"## {title}", "", text, "")
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"
