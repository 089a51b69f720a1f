"""Making a decision of the past again: from the inputs kept of it, by the rules of today, against what was open."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.tables import POLICY_VERSION
from app.core.errors import Fault, Invalid, NotFound
from app.entitlement import store
from app.entitlement.derivation import parse_inputs
from app.entitlement.rules import derive

Opened = frozenset[tuple[str | bool | None, ...]]
"""Engagement, patient, category, domain, may write, ground and consent of each cell that was open."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who could see what at one moment, and whether deriving it again comes to the same.

    ``reproduced`` is None where it was decided by another version of the policy than this release knows.
    """

    version: int
    policy_version: str
    derived_at: datetime
    inputs_sha256: str
    grants: int
    reproduced: bool | None


async def replay(db: AsyncSession, permit: RolePermit, case_id: UUID, at: datetime) -> Decision:
    """Derive again what was open in a case at a moment of the past, and compare.

    Raises:
        Invalid: the moment is yet to come.
        NotFound: there is no such case, or nothing was kept of it then.
    """
    if at > permit.now:
        raise Invalid(Fault("?at", "in-future", "What is yet to come was not decided."))
    found = await store.access_decision(db, permit, case_id, at)
    if found is None:
        raise NotFound
    return judge(found, at)


def judge(found: Mapping[str, Any], at: datetime) -> Decision:
    """Return what comes of deriving again from what was kept."""
    opened = frozenset(tuple(row) for row in found["grants"])
    derived_at = datetime.fromisoformat(found["derivedAt"])
    reproduced = None
    if found["policyVersion"] == POLICY_VERSION:
        reproduced = derived(found["inputs"], derived_at, at) == opened
    return Decision(
        version=found["version"],
        policy_version=found["policyVersion"],
        derived_at=derived_at,
        inputs_sha256=sha256(orjson.dumps(found["inputs"], option=orjson.OPT_SORT_KEYS)).hexdigest(),
        grants=len(opened),
        reproduced=reproduced,
    )


def derived(inputs: Mapping[str, Any], derived_at: datetime, at: datetime) -> Opened:
    """Return what the rules open at ``at`` by these inputs, derived when they were."""
    return frozenset(
        (
            str(grant.engagement_id),
            str(grant.patient_id),
            str(grant.category),
            str(grant.domain),
            grant.may_write,
            str(grant.ground),
            str(grant.consent_id) if grant.consent_id else None,
        )
        for grant in derive(parse_inputs(inputs), now=derived_at)
        if grant.period.holds(at)
    )
