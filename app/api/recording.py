"""Refusals are recorded in a transaction of their own: the one they happened in is rolled back."""

from uuid import UUID

import structlog

from app.api.deps import Services
from app.api.operations import Operation
from app.audit import service as audit
from app.audit.records import Origin, Outcome, Record, Touch, Who, who
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
from app.identity.service import Entered
from app.identity.tokens import Claims, TokenInvalid

log = structlog.get_logger()


async def record_refusal(
    services: Services,
    operation: Operation,
    refusal: DomainError,
    *,
    origin: Origin,
    claims: Claims | None,
    entered: Entered | None,
    entity: tuple[str, UUID] | None,
) -> None:
    """Record a refusal, with the case and patient of what was asked for, which the actor is never shown.

    A request without any credential is counted, not recorded; so is what fails because the log cannot be written.

    Raises:
        Unavailable: the record could not be written, so the refusal is not told either.
    """
    if isinstance(refusal, Unavailable | RateLimited):
        return
    if claims is None and not isinstance(refusal, TokenInvalid):
        log.info("request.anonymous", code=refusal.code)
        return
    denied = isinstance(refusal, Unauthenticated | Forbidden | NotFound)
    async with services.database.session() as db, db.begin():
        now = await permits.enter_as_time(db, services.clock())
        place = await permits.place_of(db, *entity) if entity else None
        touch = Touch(
            entity_type=entity[0] if entity else operation.action.partition(":")[0],
            entity_id=entity[1] if entity else None,
            case_id=CaseId(place[0]) if place else None,
            patient_id=PatientId(place[1]) if place and place[1] else None,
        )
        record = Record(
            action=operation.action,
            action_code=operation.audit,
            outcome=Outcome.DENIED if denied else Outcome.FAILURE,
            who=_who(claims, entered),
            touch=touch,
            origin=origin,
            reason=refusal.code,
        )
        await audit.record(db, [record], at=now, source=services.settings.audit_source)


def _who(claims: Claims | None, entered: Entered | None) -> Who:
    if entered is not None:
        return who(entered.actor)
    if claims is not None:
        return Who(account_id=claims.sub, engagement_id=claims.eng, login_session_id=claims.sid)
    return Who()
