"""Reports of unsafety by the five steps of the meldcode: one's own organisation's, and for nobody else there.

Nothing of them is told in the stream, counted or granted: who is suspected may be the one who reads along.
Source: Besluit verplichte meldcode huiselijk geweld en kindermishandeling; DOMAIN R-18.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.core.errors import Conflict, Forbidden, NotFound
from app.core.ids import EngagementId, PatientId
from app.crypto.service import Crypto
from app.safety.model import SafetyReport, SafetyStep
from app.safety.reports import store
from app.safety.sealing import open_json, place_of, seal_json
from app.safety.service import require_subject

STEPS = ("signals", "consultation", "talk", "weighing", "decision")
"""In the order in which they are taken."""


class StepOutOfOrder(Conflict):
    """Raised by a step that is not the next one: none is left out, and none is taken twice."""

    code = "safety-step-out-of-order"
    title = "Another step of the meldcode is next"


@dataclass(frozen=True, slots=True)
class StepInfo:
    """One step as it was taken."""

    step: str
    body: Mapping[str, Any]
    recorded_by: EngagementId
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class ReportInfo:
    """A report with the steps taken so far."""

    id: UUID
    patient_id: PatientId
    recorded_by: EngagementId
    recorded_at: datetime
    steps: tuple[StepInfo, ...]


async def open_report(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, *, report_id: UUID, patient_id: UUID, signals: str
) -> None:
    """Record that unsafety is suspected, with the first step: the signals.

    Raises:
        Forbidden: the actor works for no organisation.
        Invalid: the case is not about that patient, as far as the actor may know.
    """
    require_subject(permit, patient_id)
    organisation = permit.actor.organisation_id
    if organisation is None:
        raise Forbidden
    report = SafetyReport(
        case_id=permit.case_id,
        id=report_id,
        patient_id=patient_id,
        organisation_id=organisation,
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await store.add(db, permit, report)
    await _add_step(db, permit, crypto, report_id, 1, {"text": signals})


async def take_step(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, report_id: UUID, *, step: str, body: Mapping[str, Any]
) -> None:
    """Record the next step of a report.

    Raises:
        NotFound: there is no such report of the actor's organisation.
        StepOutOfOrder: another step is next, or all are taken.
    """
    taken = (await report(db, permit, crypto, report_id)).steps
    if len(taken) >= len(STEPS) or STEPS[len(taken)] != step:
        raise StepOutOfOrder
    try:
        await _add_step(db, permit, crypto, report_id, len(taken) + 1, body)
    except IntegrityError as error:
        raise StepOutOfOrder from error  # a colleague took it a moment ago


async def _add_step(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, report_id: UUID, ordinal: int, body: Mapping[str, Any]
) -> None:
    author = permit.actor.account_id
    place = place_of("safety_step", "body_sealed", report_id, permit.case_id, author)
    step = SafetyStep(
        case_id=permit.case_id,
        report_id=report_id,
        ordinal=ordinal,
        step=STEPS[ordinal - 1],
        # With its number: two steps of one author stand in the same place, and must not be exchanged.
        body_sealed=await seal_json(crypto, {**body, "ordinal": ordinal}, place),
        recorded_by_account_id=author,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await store.add_step(db, permit, step)


async def reports(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[ReportInfo]:
    """Return the reports of the actor's organisation in the permitted case, newest first."""
    return await _infos(db, permit, crypto, await store.reports(db, permit, before=before, limit=limit))


async def report(db: AsyncSession, permit: CasePermit, crypto: Crypto, report_id: UUID) -> ReportInfo:
    """Return one report.

    Raises:
        NotFound: there is none that the actor may see.
    """
    rows = await store.reports(db, permit, report_id=report_id)
    if not rows:
        raise NotFound
    return (await _infos(db, permit, crypto, rows))[0]


async def _infos(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, rows: Sequence[RowMapping]
) -> list[ReportInfo]:
    found = await store.steps(db, permit, [row["id"] for row in rows])
    bodies = await open_json(crypto, "safety_step", "body_sealed", found, "report_id")
    steps: dict[UUID, list[StepInfo]] = defaultdict(list)
    for row, body in zip(found, bodies, strict=True):
        if body.pop("ordinal") != row["ordinal"]:
            raise ValueError("A step stands in another's place.")
        steps[row["report_id"]].append(
            StepInfo(row["step"], body, row["recorded_by_engagement_id"], row["recorded_at"])
        )
    return [
        ReportInfo(
            id=row["id"],
            patient_id=row["patient_id"],
            recorded_by=row["recorded_by_engagement_id"],
            recorded_at=row["recorded_at"],
            steps=tuple(steps[row["id"]]),
        )
        for row in rows
    ]
