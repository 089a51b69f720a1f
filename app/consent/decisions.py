"""From decisions to a consent's status: who was needed, who said what. Pure. Source: ADR 0011; DOMAIN R-6, R-7, R-10.

``None`` stands for the patient; a representative is known by the id of the recorded representation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.access.vocabulary import Category
from app.consent.deciders import Asked, Decider
from app.core.errors import Fault


class RepresentationKind(StrEnum):
    """On what somebody's say for the patient rests; ``RANK`` gives the legal order among adults'."""

    PARENT = "parent"
    GUARDIAN = "guardian"
    CURATOR = "curator"
    MENTOR = "mentor"
    AUTHORISED = "authorised"
    PARTNER = "partner"
    FAMILY = "family"


AUTHORITY_KINDS = frozenset({RepresentationKind.PARENT, RepresentationKind.GUARDIAN})
RANK: Mapping[RepresentationKind, int] = {
    RepresentationKind.CURATOR: 1,
    RepresentationKind.MENTOR: 1,
    RepresentationKind.AUTHORISED: 2,
    RepresentationKind.PARTNER: 3,
    RepresentationKind.FAMILY: 4,
}
"""Who comes first represents; the next only where nobody before is there. Source: BW 7:465 lid 3."""


@dataclass(frozen=True, slots=True)
class Representation:
    """Somebody's recorded say for the patient, in ``[start, end)``; ``scope`` None means every category."""

    id: UUID
    kind: RepresentationKind
    scope: frozenset[Category] | None
    start: datetime
    end: datetime | None

    def holds(self, at: datetime) -> bool:
        """Whether it is in force."""
        return self.start <= at and (self.end is None or at < self.end)

    def covers(self, categories: Iterable[Category]) -> bool:
        """Whether every one of the categories lies within its scope."""
        return self.scope is None or self.scope.issuperset(categories)


class Status(StrEnum):
    """Where a consent stands; only an active one opens anything."""

    ASKED = "asked"
    PROPOSED = "proposed"
    ACTIVE = "active"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Needed:
    """The persons whose yes is needed: all of some, and one of others."""

    all_of: frozenset[UUID | None]
    one_of: frozenset[UUID | None]

    @property
    def everybody(self) -> frozenset[UUID | None]:
        """Whose word counts at all."""
        return self.all_of | self.one_of


def needed(asked: Asked, representations: Iterable[Representation], at: datetime) -> Needed:
    """Return the persons behind the table's words, at the moment of the decision."""
    in_force = [one for one in representations if one.holds(at)]
    return Needed(_persons(asked.all_of, in_force), _persons(asked.one_of, in_force))


def _persons(words: Iterable[Decider], in_force: list[Representation]) -> frozenset[UUID | None]:
    found: set[UUID | None] = set()
    for word in words:
        match word:
            case Decider.PATIENT:
                found.add(None)
            case Decider.AUTHORITY:
                found |= {one.id for one in in_force if one.kind in AUTHORITY_KINDS}
            case Decider.REPRESENTATIVE:
                ranked = [one for one in in_force if one.kind in RANK]
                first = min((RANK[one.kind] for one in ranked), default=None)
                found |= {one.id for one in ranked if RANK[one.kind] == first}
    return frozenset(found)


def status_of(asked: Asked, who: Needed, decisions: Mapping[UUID | None, bool]) -> Status:
    """Return where a consent stands after these decisions, the last of each person.

    Somebody is always needed: where the table asks for a holder of authority or a representative and none is
    recorded, nothing can become active.
    """
    said = {person: yes for person, yes in decisions.items() if person in who.everybody}
    if any(said.get(person) is False for person in who.all_of):
        return Status.REFUSED
    if who.one_of and all(said.get(person) is False for person in who.one_of):
        return Status.REFUSED
    nobody_there = (asked.all_of - {Decider.PATIENT} and not who.all_of - {None}) or (asked.one_of and not who.one_of)
    all_said = all(said.get(person) for person in who.all_of)
    one_said = not who.one_of or any(said.get(person) for person in who.one_of)
    if all_said and one_said and not nobody_there:
        return Status.ACTIVE
    return Status.PROPOSED if said else Status.ASKED


def decider_faults(
    person: UUID | None,
    asked: Asked,
    who: Needed,
    known: Mapping[UUID, Representation],
    categories: Iterable[Category],
    at: datetime,
) -> Iterator[Fault]:
    """Yield what is wrong with this person deciding about these categories at ``at``."""
    if person is None:
        if None not in who.everybody:
            yield Fault("/decidedBy", "patient-does-not-decide", "At this age or in this state others decide.")
        return
    representation = known.get(person)
    if representation is None:
        yield Fault("/decidedBy/id", "not-a-representative", "No such representative is recorded for this patient.")
        return
    if not representation.holds(at):
        yield Fault("/decidedBy/id", "outside-period", "The representation is not in force at that moment.")
        return
    if not representation.covers(categories):
        yield Fault("/decidedBy/id", "outside-scope", "The representation does not reach these categories.")
    if person in who.everybody:
        return
    if asked.all_of == frozenset({Decider.PATIENT}) and not asked.one_of:
        yield Fault("/decidedBy", "patient-decides", "At this age the patient decides alone.")
    elif representation.kind in RANK and any(one in known for one in who.everybody):
        yield Fault("/decidedBy/id", "another-represents", "Somebody who comes before in the legal order represents.")
    else:
        yield Fault("/decidedBy/id", "no-say", "This representation gives no say in this decision.")
