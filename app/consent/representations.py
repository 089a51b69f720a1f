"""When somebody may be recorded as speaking for a patient, on what evidence, and until when. Pure.

Parental authority ends on the sixteenth birthday, or on the eighteenth of a child that cannot weigh its decisions.
Adults are represented only who cannot. Source: BW 1:245, 7:457, 7:465; DOMAIN R-7 to R-10; ADR 0011.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from app.access.vocabulary import Category
from app.consent.deciders import age_on, birthday
from app.consent.decisions import AUTHORITY_KINDS, RANK, Representation, RepresentationKind
from app.consent.question import dawn_of, day_of
from app.core.errors import Fault

REPRESENTATIONS_VERSION = "2026-1"
HOLDERS_MAX = 2
"""Parental authority, or guardianship, is held by two at most. Source: BW 1:245, 1:280."""


class Evidence(StrEnum):
    """By what it was seen that somebody may speak for the patient."""

    AUTHORITY_REGISTER = "authority-register"
    BIRTH_CERTIFICATE = "birth-certificate"
    CIVIL_REGISTRY = "civil-registry"
    COURT_DECISION = "court-decision"
    DECLARATION = "declaration"
    GUARDIANSHIP_REGISTER = "guardianship-register"
    WRITTEN_MANDATE = "written-mandate"


E, K = Evidence, RepresentationKind

ACCEPTED: Mapping[RepresentationKind, frozenset[Evidence]] = MappingProxyType(
    {
        K.PARENT: frozenset({E.AUTHORITY_REGISTER, E.BIRTH_CERTIFICATE, E.COURT_DECISION}),
        K.GUARDIAN: frozenset({E.AUTHORITY_REGISTER, E.COURT_DECISION}),
        K.CURATOR: frozenset({E.GUARDIANSHIP_REGISTER, E.COURT_DECISION}),
        K.MENTOR: frozenset({E.GUARDIANSHIP_REGISTER, E.COURT_DECISION}),
        K.AUTHORISED: frozenset({E.WRITTEN_MANDATE}),
        K.PARTNER: frozenset({E.CIVIL_REGISTRY, E.DECLARATION}),
        K.FAMILY: frozenset({E.CIVIL_REGISTRY, E.DECLARATION}),
    }
)
"""Which evidence carries which representation."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be recorded; ``evidence_text`` is sealed. ``[valid_from, valid_until)`` is half-open, aware."""

    patient_id: UUID
    kind: RepresentationKind
    evidence: Evidence
    evidence_text: str | None
    scope: frozenset[Category] | None
    capacity_lost: bool
    valid_from: datetime
    valid_until: datetime | None


def end_of(claim: Claim, birth: date) -> datetime | None:
    """Return when the representation ends: as recorded, and a parent's on the birthday at the latest."""
    if claim.kind not in AUTHORITY_KINDS:
        return claim.valid_until
    latest = dawn_of(birthday(birth, 18 if claim.capacity_lost else 16))
    return latest if claim.valid_until is None else min(claim.valid_until, latest)


def claim_faults(claim: Claim, birth: date, known: Iterable[Representation], now: datetime) -> Iterator[Fault]:
    """Yield everything that is wrong with recording this now, beside those who are recorded."""
    in_force = [one for one in known if one.holds(now)]
    yield from _kind_faults(claim, age_on(birth, day_of(now)), in_force)
    if claim.evidence not in ACCEPTED[claim.kind]:
        yield Fault("/evidence", "not-enough", "This evidence does not carry this kind of representation.")
    if claim.scope is not None and Category.SAFETY_MELDCODE in claim.scope:
        yield Fault("/scope", "not-shareable", "No representation reaches safety_meldcode.")
    if claim.valid_from > now:
        yield Fault("/validFrom", "in-future", "A representation is recorded once it is in force.")
    if claim.valid_until is not None and claim.valid_until <= now:
        yield Fault("/validUntil", "past", "The end must lie in the future.")


def _kind_faults(claim: Claim, age: int, in_force: list[Representation]) -> Iterator[Fault]:
    if claim.kind in AUTHORITY_KINDS:
        if age >= 18:
            yield Fault("/kind", "of-age", "Parental authority ends at eighteen.")
        elif age >= 16 and not claim.capacity_lost:
            yield Fault("/kind", "patient-decides", "From sixteen on the patient decides alone.")
        if sum(one.kind in AUTHORITY_KINDS for one in in_force) >= HOLDERS_MAX:
            yield Fault("/kind", "too-many", "Two hold parental authority already.")
        return
    if age < 18:
        yield Fault("/kind", "under-age", "A minor is represented by whoever has parental authority.")
    if not claim.capacity_lost:
        yield Fault("/capacityLost", "patient-decides", "An adult who can weigh this decides alone.")
    if any(one.kind in RANK and RANK[one.kind] < RANK[claim.kind] for one in in_force):
        yield Fault("/kind", "another-represents", "Somebody who comes before in the legal order represents.")


def displaced(claim: Claim, known: Iterable[Representation], now: datetime) -> list[UUID]:
    """Return those who speak for the patient no longer, because somebody comes who is before them in the order."""
    if claim.kind not in RANK:
        return []
    return [one.id for one in known if one.holds(now) and one.kind in RANK and RANK[one.kind] > RANK[claim.kind]]
