"""From a bundle and the people at the table to the terms that are asked: one consent per domain and opening. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.access.vocabulary import CaseRole, Category, Domain, Law, Role
from app.consent.bundle import DECISIONS_MAX, Bundle, Line
from app.consent.bundles import BUNDLES_VERSION
from app.consent.rules import NamedRecipient, RecipientType
from app.core.errors import Fault


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody seated, as far as a bundle's lines describe people."""

    member_id: UUID
    role: Role
    profession: str
    speciality: str | None
    domain: Domain | None
    law: Law | None
    case_role: CaseRole
    organisation_id: UUID | None
    organisation_kind: str | None
    team_ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Choice:
    """One line that is switched on: for whom, where not for everybody it fits, narrowed to what, with which ticks."""

    line: str
    recipients: tuple[NamedRecipient, ...] | None = None
    categories: frozenset[Category] | None = None
    ticks: frozenset[Category] = frozenset()


@dataclass(frozen=True, slots=True)
class Opening:
    """One consent to ask: whose secrecy is lifted, of what, towards whom."""

    domain: Domain
    categories: tuple[Category, ...]
    recipients: tuple[NamedRecipient, ...]


def fits(line: Line, guest: Guest) -> bool:
    """Whether a line's description is of this person."""
    return (
        guest.role in line.roles
        and (not line.professions or guest.profession in line.professions)
        and (not line.specialities or guest.speciality in line.specialities)
        and (not line.organisation_kinds or guest.organisation_kind in line.organisation_kinds)
        and (not line.laws or guest.law in line.laws)
        and (not line.case_roles or guest.case_role in line.case_roles)
    )


def recipients_of(line: Line, guests: Iterable[Guest]) -> tuple[NamedRecipient, ...]:
    """Return the recipients that a line stands for at this table, each as the first of its reach that it has.

    A named line stands for nobody until somebody is named.
    """
    if line.named:
        return ()
    found = [next(_as_recipients(line, guest), None) for guest in guests if fits(line, guest)]
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _as_recipients(line: Line, guest: Guest) -> Iterator[NamedRecipient]:
    for kind in line.reach:
        if kind is RecipientType.MEMBER:
            yield NamedRecipient(kind, guest.member_id)
        elif kind is RecipientType.ORGANISATION and guest.organisation_id is not None:
            yield NamedRecipient(kind, guest.organisation_id)
        elif kind is RecipientType.TEAM:
            yield from (NamedRecipient(kind, team) for team in sorted(guest.team_ids))


def choice_faults(
    bundle: Bundle,
    version: str,
    choices: Sequence[Choice],
    guests: Sequence[Guest],
    valid_until: datetime | None,
    *,
    now: datetime,
) -> Iterator[Fault]:
    """Yield everything that would widen the bundle, or that nobody at the table stands for."""
    if version != BUNDLES_VERSION:
        yield Fault("/version", "superseded", "The bundles have changed since they were shown.")
    for index, choice in enumerate(choices):
        pointer, line = f"/lines/{index}", bundle.line(choice.line)
        if line is None or any(choice.line == earlier.line for earlier in choices[:index]):
            yield Fault(f"{pointer}/line", "not-in-bundle", "The bundle has no such line, or it is named twice.")
        else:
            yield from _line_faults(bundle, line, choice, guests, pointer)
    latest = bundle.term.end(now)
    if valid_until is not None and latest is not None and valid_until > latest:
        yield Fault("/validUntil", "too-late", "A bundle may be shortened, not lengthened.")
    if valid_until is None and bundle.term.days_at_most:
        yield Fault("/validUntil", "missing", "This bundle ends on a day that is named.")


def _line_faults(
    bundle: Bundle, line: Line, choice: Choice, guests: Sequence[Guest], pointer: str
) -> Iterator[Fault]:
    if choice.recipients is None:
        if not recipients_of(line, guests):
            code = "unnamed" if line.named else "not-at-the-table"
            yield Fault(f"{pointer}/recipients", code, "Nobody at this table is whom this line is for.")
    else:
        allowed = {one for guest in guests if fits(line, guest) for one in _as_recipients(line, guest)}
        for place, one in enumerate(choice.recipients):
            if one not in allowed:
                detail = "This recipient is not at the table, or not whom this line is for."
                yield Fault(f"{pointer}/recipients/{place}", "not-of-this-line", detail)
    if choice.categories is None and bundle.chosen:
        yield Fault(f"{pointer}/categories", "missing", "Name the categories of the items that are discussed.")
    if choice.categories is not None and not choice.categories <= line.categories | line.care_only:
        yield Fault(f"{pointer}/categories", "not-in-bundle", "A bundle may be narrowed, not widened.")
    if not choice.ticks <= bundle.ticks:
        yield Fault(f"{pointer}/ticks", "not-in-bundle", "This bundle has no such tick.")


def openings(bundle: Bundle, choices: Sequence[Choice], guests: Sequence[Guest]) -> tuple[Opening, ...]:
    """Return the consents to ask: whoever gets the same of a domain stands in one.

    Nothing is asked of a domain that nobody at the table works in. The choices have no fault.
    """
    there = {guest.domain for guest in guests}
    found: dict[tuple[Domain, tuple[Category, ...]], dict[NamedRecipient, None]] = {}
    for choice in choices:
        line = bundle.line(choice.line)
        assert line is not None
        named = recipients_of(line, guests) if choice.recipients is None else choice.recipients
        for domain in line.lifts:
            opened = line.categories | (line.care_only if domain is Domain.CARE else frozenset())
            if choice.categories is not None:
                opened &= choice.categories
            opened |= choice.ticks
            if domain in there and opened:
                key = domain, tuple(one for one in Category if one in opened)
                found.setdefault(key, {}).update(dict.fromkeys(named))
    return tuple(Opening(*key, tuple(recipients)) for key, recipients in found.items())


def opening_faults(found: Sequence[Opening]) -> Iterator[Fault]:
    """Yield what is wrong with the whole: it asks nothing, or more than can be asked in a consult."""
    if not found:
        yield Fault("/lines", "nothing-to-ask", "Nobody at this table has anything to lift the secrecy of.")
    if len(found) > DECISIONS_MAX:
        detail = f"This would ask more than {DECISIONS_MAX} decisions; narrow the lines alike."
        yield Fault("/lines", "too-many-decisions", detail)


def may_be_added(
    bundle: Bundle, recipient: NamedRecipient, domain: Domain, opened: frozenset[Category], guests: Sequence[Guest]
) -> bool:
    """Whether a bundle has a line that gives somebody at the table at least what is open already, of this domain."""
    for line in bundle.lines:
        most = line.categories | bundle.ticks | (line.care_only if domain is Domain.CARE else frozenset())
        if domain in line.lifts and opened <= most:
            fitting = (guest for guest in guests if fits(line, guest))
            if any(recipient in set(_as_recipients(line, guest)) for guest in fitting):
                return True
    return False
