"""Refusals are recorded in a transaction of their own: the one they happened in is rolled back."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who
from app.core.clock import Clock
from app.core.db import FAILURES, Database
from app.core.errors import (
    DomainError,
    Forbidden,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from app.core.ids import CaseId, PatientId
from app.entitlement import permits
from app.entitlement.floods import FLUSH_SECONDS, Flood

REFUSED = "token:refuse"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Refusals:
    """Where refusals are recorded; ``flood`` bounds those that anybody can cause."""

    database: Database
    clock: Clock
    source: str
    flood: Flood = field(default_factory=Flood)


async def record_refusal(
    refusals: Refusals,
    action: str,
    action_code: ActionCode,
    refusal: DomainError,
    *,
    origin: Origin,
    actor: Who | None,
    entity: tuple[str, UUID] | None,
) -> None:
    """Record a refusal, with the case and patient of what was asked for, which the actor is never shown.

    ``actor`` is as much as the credential told, None when there was none at all: that is counted, not recorded; so is
    what fails because the log cannot be written. Of credentials that name nobody, a source's first are recorded, and
    the rest as a number: see ``tell_the_rest``.

    Raises:
        Unavailable: the record could not be written, so the refusal is not told either.
    """
    if isinstance(refusal, Unavailable) or (isinstance(refusal, RateLimited) and not refusal.recorded):
        return
    if actor is None:
        log.info("request.anonymous", code=refusal.code)
        return
    if actor == Who() and not refusals.flood.admits(origin.access_point):
        return
    try:
        await _write(refusals, action, action_code, refusal, origin=origin, actor=actor, entity=entity)
    except FAILURES as error:
        log.warning("database.unavailable", error=type(error).__name__)
        raise Unavailable from None


async def _write(
    refusals: Refusals,
    action: str,
    action_code: ActionCode,
    refusal: DomainError,
    *,
    origin: Origin,
    actor: Who,
    entity: tuple[str, UUID] | None,
) -> None:
    denied = isinstance(refusal, Unauthenticated | Forbidden | NotFound | RateLimited)
    async with refusals.database.session() as db, db.begin():
        now = await permits.enter_as_time(db, refusals.clock())
        place = await permits.place_of(db, *entity) if entity else None
        touch = Touch(
            entity_type=entity[0] if entity else action.partition(":")[0],
            entity_id=entity[1] if entity else None,
            case_id=CaseId(place[0]) if place else None,
            patient_id=PatientId(place[1]) if place and place[1] else None,
        )
        record = Record(
            action=action,
            action_code=action_code,
            outcome=Outcome.DENIED if denied else Outcome.FAILURE,
            who=actor,
            touch=touch,
            origin=origin,
            reason=refusal.code,
        )
        await audit.record(db, [record], at=now, source=refusals.source)


async def tell_the_rest(refusals: Refusals, *, all_of_them: bool = False) -> None:
    """Record how many refusals of each source were counted and not recorded one by one."""
    due = list(refusals.flood.due(all_of_them=all_of_them))
    if not due:
        return
    records = [
        Record(
            action=REFUSED,
            action_code=ActionCode.EXECUTE,
            outcome=Outcome.DENIED,
            who=Who(),
            touch=Touch("token"),
            origin=Origin("http", source, None),
            reason=f"and-{more}-more",
        )
        for source, more in due
    ]
    try:
        async with refusals.database.session() as db, db.begin():
            now = await permits.enter_as_time(db, refusals.clock())
            await audit.record(db, records, at=now, source=refusals.source)
    except FAILURES as error:
        log.warning("database.unavailable", error=type(error).__name__)


async def run_tellings(refusals: Refusals) -> None:
    """Tell the rest every few seconds, until cancelled."""
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        await tell_the_rest(refusals)
