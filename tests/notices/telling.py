"""Telling somebody something without what would lead to it."""

from datetime import timedelta
from uuid import UUID, uuid4

from fastapi import FastAPI

from app.api.deps import Services
from app.core.ids import CaseId
from app.entitlement.store import enter_as_time
from app.notices import service as notices
from app.notices.kinds import NoticeKind, To


async def tell(
    app: FastAPI,
    case_id: str | None,
    to: To,
    kind: NoticeKind,
    *,
    about: UUID | None = None,
    late: timedelta | None = None,
) -> UUID:
    """Make a notice, to be read at once or later, and return what it is about."""
    services: Services = app.state.services
    thing = about or uuid4()
    async with services.database.session() as db, db.begin():
        now = await enter_as_time(db, services.clock())
        await notices.notify(
            db,
            case_id=None if case_id is None else CaseId(UUID(case_id)),
            to=to,
            kind=kind,
            about=thing,
            now=now,
            not_before=None if late is None else now + late,
        )
    return thing
