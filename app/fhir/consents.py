"""A consent as FHIR R4 Consent, after IHE Privacy Consent on FHIR (PCF): one provision, who, what for, how long.

No profile is claimed: PCF's value set of security labels is required and knows none of our categories. Ids alone; who
may see names finds them elsewhere. Source: IHE ITI PCF 3:5.8; HL7 FHIR R4 (4.0.1) Consent; DOMAIN 4.13.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

Json = dict[str, Any]

SYSTEM = "https://overlegtafel.example/fhir"
"""Under which our own code systems and identifiers stand."""
HL7 = "http://terminology.hl7.org/CodeSystem"

STATUSES: Mapping[str, str] = {
    "asked": "draft",
    "proposed": "proposed",
    "active": "active",
    "refused": "rejected",
}
"""Ours to FHIR's; whatever has ended is ``inactive``."""

SENSITIVE: Mapping[str, str] = {"mental_health": "PSY", "addiction": "ETH"}
"""Categories that HL7's sensitivity codes know as well."""

PURPOSES = frozenset({"TREAT", "CAREMGT", "PATRQT", "HOPERAT"})
"""Purposes of HL7's own; the others are local."""

KINDS: Mapping[str, str] = {"organisation": "Organization", "team": "CareTeam"}
"""Whose ids are those of resources. A member may be anybody at the table, and is known by an identifier alone."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """To whom: a member, organisation or team by id, or a role within the case."""

    type: str
    id: UUID | None
    role: str | None


@dataclass(frozen=True, slots=True)
class ConsentFacts:
    """What a Consent resource says of a consent; ``decided_at`` and its fellows are those of the first yes.

    ``ended_at`` is when it was withdrawn, or gave way to another; None while it did not.
    """

    id: UUID
    patient_id: UUID
    organisation_id: UUID | None
    status: str
    kind: str
    from_domains: Sequence[str]
    categories: Sequence[str]
    recipients: Sequence[Recipient]
    purpose: str
    decided_by: str | None
    decided_at: datetime | None
    text_version: str | None
    recorded_at: datetime
    valid_from: datetime
    valid_until: datetime | None
    ended_at: datetime | None = None


def consent_resource(facts: ConsentFacts) -> Json:
    """Return the resource as plain values."""
    found: Json = {
        "resourceType": "Consent",
        "id": str(facts.id),
        "status": STATUSES.get(facts.status, "inactive"),
        "scope": _concept(f"{HL7}/consentscope", "patient-privacy"),
        "category": [
            _concept("http://loinc.org", "59284-0"),
            _concept(f"{SYSTEM}/consent-kind", facts.kind),
        ],
        "patient": {"reference": f"Patient/{facts.patient_id}"},
        "dateTime": (facts.decided_at or facts.recorded_at).isoformat(),
        "policy": [_policy(facts)],
        "provision": _provision(facts),
    }
    if facts.decided_by is not None:
        found["performer"] = [_performer(facts)]
    if facts.organisation_id is not None:
        found["organization"] = [{"reference": f"Organization/{facts.organisation_id}"}]
    if facts.text_version is not None:
        identifier = {"system": f"{SYSTEM}/consent-text", "value": facts.text_version}
        found["sourceReference"] = {"type": "DocumentReference", "identifier": identifier}
    return found


def consent_json(facts: ConsentFacts) -> bytes:
    """Return the resource as JSON on one line, after the library of the standard has found it valid.

    Raises:
        ValueError: it is not.
    """
    # Imported here: some hundreds of modules, which whoever makes no FHIR need not wait for at start.
    from fhir.resources.R4B.consent import Consent  # noqa: PLC0415  # R4B changed nothing of this resource

    return Consent.model_validate(consent_resource(facts)).model_dump_json().encode()


def _provision(facts: ConsentFacts) -> Json:
    end = min((at for at in (facts.valid_until, facts.ended_at) if at is not None), default=None)
    # Ended before it began, it was never in force: a period of no length (per-1).
    start = facts.valid_from if facts.ended_at is None else min(facts.valid_from, facts.ended_at)
    period = {"start": start.isoformat()}
    if end is not None:
        period["end"] = end.isoformat()
    return {
        "type": "deny" if facts.status == "refused" else "permit",
        "period": period,
        "actor": [
            {"role": _concept(f"{HL7}/v3-ParticipationType", "IRCP"), "reference": _actor(one)}
            for one in facts.recipients
        ],
        "purpose": [
            {
                "system": f"{HL7}/v3-ActReason" if facts.purpose in PURPOSES else f"{SYSTEM}/purpose",
                "code": facts.purpose,
            }
        ],
        "securityLabel": [
            *({"system": f"{SYSTEM}/category", "code": category} for category in facts.categories),
            *({"system": f"{SYSTEM}/domain", "code": domain} for domain in facts.from_domains),
            *(
                {"system": f"{HL7}/v3-ActCode", "code": SENSITIVE[category]}
                for category in facts.categories
                if category in SENSITIVE
            ),
        ],
    }


def _policy(facts: ConsentFacts) -> Json:
    """Return the text that was agreed to; before anybody agreed, whose policy it is (a Consent has one: ppc-1)."""
    if facts.text_version is None:
        return {"authority": SYSTEM}
    return {"uri": f"{SYSTEM}/consent-text/{facts.text_version}"}


def _actor(one: Recipient) -> Json:
    if one.type == "member":
        return {"identifier": {"system": f"{SYSTEM}/member", "value": str(one.id)}}
    if one.id is not None:
        return {"reference": f"{KINDS[one.type]}/{one.id}"}
    return {"type": "PractitionerRole", "identifier": {"system": f"{SYSTEM}/role", "value": one.role}}


def _performer(facts: ConsentFacts) -> Json:
    if facts.decided_by == "patient":
        return {"reference": f"Patient/{facts.patient_id}"}
    return {"type": "RelatedPerson", "identifier": {"system": f"{SYSTEM}/decider", "value": facts.decided_by}}


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}
