"""The policy as a page that a clinician can read: ``docs/policy.md``. Pure; a test fails when the page is stale."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from app.access.tables import (
    ANY_FACTOR,
    DOMAIN_OF_TREATMENT,
    EMERGENCY,
    FRESH,
    FRESH_SECONDS,
    IMPLIED,
    NEED_TO_KNOW,
    NEVER_BY_CONSENT,
    OPENED_PER_MEMBER,
    POLICY_VERSION,
    PUBLIC_TASK,
    RECORDERS,
    ROLE_ACTIONS,
    SCOPE_ACTIONS,
    SEPARATION,
    SUBJECT,
    WHILE_LOCKED,
    need_to_know,
    powers_of,
)
from app.access.vocabulary import Action, Category, Domain, Ground, Power, Role, Speciality

Code = TypeVar("Code", bound=str)
_ALL = ", ".join(Domain)
_GROUNDS: Mapping[Ground, tuple[str, str, str]] = {
    Ground.SUBJECT: ("the citizen, about herself", _ALL, "the table *Oneself*"),
    Ground.DIRECT_TREATMENT: (
        "professionals marked as directly involved",
        ", ".join(sorted(DOMAIN_OF_TREATMENT)),
        "the table *Directly involved*, in the domain of their own engagement",
    ),
    Ground.REPLACEMENT: (
        "a registered locum or a named deputy of the same profession, within the recorded period",
        "as the one replaced",
        "exactly the cells of the one replaced; it manages nothing",
    ),
    Ground.PUBLIC_TASK: (
        "the one engagement for which the task is recorded",
        Domain.SOCIAL,
        "the table *Public task*, by law",
    ),
    Ground.CONSENT: (
        "whom the citizen named",
        "those whose secrecy is lifted; with both ways also the recipient's own",
        "the categories that the citizen named",
    ),
    Ground.EMERGENCY: (
        "whoever broke the glass, for an hour",
        _ALL,
        "the table *Emergency*; nobody writes by it",
    ),
    Ground.AUTHOR: ("who wrote it", _ALL, "what one wrote oneself, under one's contributions only"),
}


def policy_page() -> str:
    """Return the whole policy as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterable[str]:
    yield f"# Who may do what, and who may see what (version {POLICY_VERSION})"
    yield ""
    yield "Written by the code from `app/access/tables.py`; do not edit. What a table does not name is closed."
    yield from _section(
        "Grounds",
        "Why something is open, to whom, and in which domain. A cell is a category in a domain, about one person.",
        ("ground", "opens to", "domain", "what"),
        [(ground, *_GROUNDS[ground]) for ground in Ground],
    )
    implied = " and ".join(f"`{category}`" for category in IMPLIED)
    yield ""
    yield f"Whoever holds any cell of a person also reads {implied} of that person, in every domain."
    yield from _cells(
        "Directly involved",
        "What `direct_treatment` opens by profession, and to a practice nurse by speciality. W is read and write, "
        "R is read.",
        {_capacity(*one): need_to_know(*one) for one in _capacities() if one[0] in NEED_TO_KNOW},
    )
    yield from _section(
        "Opened for one member",
        "What treatment leaves closed until it is opened for one member with a reason, and who then writes too.",
        ("category", "who writes"),
        [(category, _named(roles)) for category, roles in OPENED_PER_MEMBER.items()],
    )
    yield from _cells("Emergency", "What breaking the glass opens, in every domain.", {Ground.EMERGENCY: EMERGENCY})
    yield from _cells("Public task", "What `public_task` opens by law, in domain `social`.", PUBLIC_TASK)
    yield from _cells("Oneself", "What `subject` opens to the citizen, in every domain.", {Role.CITIZEN: SUBJECT})
    yield ""
    yield "## Consent"
    yield ""
    yield f"Recorded by: the citizen, for any domain; {_named(RECORDERS)}, for their own engagement's domain only."
    yield f"Never opened by consent: {_named(NEVER_BY_CONSENT)}."
    yield from _section(
        "Factors",
        "What somebody must have shown. Two factors are needed for whatever is not named here.",
        ("need", "actions"),
        [
            ("any factor, or a one-time code", _named(ANY_FACTOR)),
            (f"two factors, one within {FRESH_SECONDS // 60} minutes", _named(FRESH)),
            ("also while the screen is locked", _named(WHILE_LOCKED)),
        ],
    )
    yield from _section(
        "Scopes",
        "What a scope of an integration opens; its role alone opens none of it.",
        ("scope", "actions"),
        [(scope, _named(actions)) for scope, actions in SCOPE_ACTIONS.items()],
    )
    yield from _section(
        "Role separation",
        "Who may begin or lead what. Citizens and representatives record consent of the citizen alone.",
        ("who", *Power),
        [(_capacity(*one), *("x" if power in powers_of(*one) else "" for power in Power)) for one in _capacities()],
    )
    yield from _section(
        "Roles",
        "A role without x is refused whatever the case says; one with x still needs a seat, a grant or a ground.",
        ("action", *Role),
        [(action, *("x" if role in ROLE_ACTIONS.get(action, ()) else "" for role in Role)) for action in Action],
    )
    yield ""


def _capacities() -> Iterable[tuple[Role, Speciality | None]]:
    """Yield every role, and a role that is narrowed by speciality once more for each."""
    for role in Role:
        yield role, None
        yield from ((role, speciality) for speciality in Speciality if (role, speciality) in SEPARATION)


def _capacity(role: Role, speciality: Speciality | None) -> str:
    return f"{role} {speciality}" if speciality else role


def _cells(title: str, text: str, table: Mapping[Code, Mapping[Category, bool]]) -> Iterable[str]:
    marks = {None: "", False: "R", True: "W"}
    rows = [(category, *(marks[column.get(category)] for column in table.values())) for category in Category]
    return _section(title, text, ("category", *table), rows)


def _section(title: str, text: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield from ("", f"## {title}", "", text, "")
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from (_row(row) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _named(codes: Iterable[str]) -> str:
    return ", ".join(f"`{code}`" for code in sorted(codes))
