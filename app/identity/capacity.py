"""In what capacity somebody may be engaged: role, domain, law, and the numbers registers give. Pure.

Domain and law follow the engagement, never the employer: a district nurse whom a municipality employs is care.
Source: DESIGN 5 and 9, DOMAIN 4.1 and 4.10.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from app.access.vocabulary import PROFESSIONALS, Domain, Law, Role
from app.core.errors import Fault
from app.core.ids import EngagementId

CONFIRMED_FOR = timedelta(days=365)
WARNED_BEFORE = timedelta(days=30)

STAFF_ROLES = PROFESSIONALS | {
    Role.EXPERIENCE_EXPERT,
    Role.VOLUNTEER,
    Role.SCHOOL,
    Role.HOUSING,
}
"""Roles that an organisation's own list of people may give, by file or by identity system."""

BY_ORGANISATION = STAFF_ROLES | {Role.ORG_ADMIN}
"""Roles that an organisation's admin may give."""

BY_REGION = BY_ORGANISATION | {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.REGION_ADMIN}
"""Roles that a region's admin may give: no organisation makes its own auditor, and nobody makes a citizen."""

DOMAINS: Mapping[Role, tuple[Domain, ...]] = MappingProxyType(
    {
        Role.GP: (Domain.CARE,),
        Role.POH: (Domain.CARE,),
        Role.DISTRICT_NURSE: (Domain.CARE,),
        Role.SPECIALIST: (Domain.CARE, Domain.YOUTH),
        Role.SOCIAL_TEAM: (Domain.SOCIAL, Domain.YOUTH),
    }
)
"""Whose secrecy or ground stands behind a role, the usual one first; a role that is not named has none."""

WORD = r"^[a-z][a-z0-9_]{0,63}$"
EMPLOYEE_NUMBER = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"
REGISTERS: Mapping[str, int] = MappingProxyType({"uzi": 9, "big": 11, "agb": 8})
"""How many digits a register's numbers have."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What somebody is engaged as; ``responsible_id`` is the GP on whose behalf a POH acts."""

    role: Role
    profession: str
    speciality: str | None = None
    domain: Domain | None = None
    law: Law | None = None
    responsible_id: EngagementId | None = None


def domain_of(role: Role, given: Domain | None) -> Domain | None:
    """Return the domain of an engagement: the one given, else the role's usual one."""
    return given or next(iter(DOMAINS.get(role, ())), None)


def capacity_faults(capacity: Capacity, allowed: Iterable[Role]) -> Iterator[Fault]:
    """Yield what is wrong with a capacity in itself; whether the responsible GP is in force is for the database."""
    if capacity.role not in allowed:
        yield Fault("/role", "not-allowed", "This role cannot be given here.")
    if capacity.domain is not None and capacity.domain not in DOMAINS.get(capacity.role, ()):
        yield Fault("/domain", "domain-of-other-role", "This role does not work in that domain.")
    if capacity.law is not None and capacity.role is not Role.SOCIAL_TEAM:
        yield Fault("/law", "law-of-other-role", "Only a social team carries out a public task under a law.")
    if capacity.role is Role.POH and capacity.responsible_id is None:
        yield Fault("/responsibleEngagementId", "responsible-missing", "A POH works under a GP; name the engagement.")
    if capacity.role is not Role.POH and capacity.responsible_id is not None:
        yield Fault("/responsibleEngagementId", "responsible-not-allowed", "Only a POH works under a GP.")


def no_responsible() -> Fault:
    """Return the fault of a responsible professional who is none."""
    return Fault("/responsibleEngagementId", "responsible-not-in-force", "This is not a GP's engagement in force.")


def number_fits(kind: str, number: str) -> bool:
    """Whether a number has the form that a register gives. Source: DOMAIN 4.10."""
    return kind in REGISTERS and re.fullmatch(rf"[0-9]{{{REGISTERS[kind]}}}", number) is not None


def period_faults(start: datetime | None, end: datetime | None, now: datetime) -> Iterator[Fault]:
    """Yield what is wrong with a period to begin; it may have begun, but not have ended."""
    if end is not None and end <= max(start or now, now):
        yield Fault("/validUntil", "ends-early", "This ends before it begins, or has ended already.")


def full_name(given: str, family: str, prefix: str | None = None) -> str:
    """Return a name as it is shown."""
    return " ".join(part for part in (given, prefix, family) if part)
