"""Time's own use case: what lapsed or began since somebody last looked becomes an event. Reads were closed already.

One worker at a time holds an advisory lock; each case is a transaction of its own, so a stop in between loses
nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid5

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.vocabulary import Action
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who
from app.consent.reminders import Reminder, due_reminder, next_reminder
from app.core.clock import Clock
from app.core.db import FAILURES, Database
from app.core.ids import CaseId, ConsentId, EngagementId, PatientId
from app.entitlement import store
from app.entitlement.derivation import rederive
from app.entitlement.emergencies import departures
from app.events import service as events
from app.events.drafts import Draft, EventType, only
from app.notices import service as notices
from app.notices.kinds import Citizen, Managers, NoticeKind

SWEEP_SECONDS = 1.0
OnSwept = Callable[[CaseId], Awaitable[None]]
log = structlog.get_logger()


async def sweep(database: Database, clock: Clock, on_swept: OnSwept, *, source: str) -> None:
    """Derive every case in which time changed something; ``on_swept`` hears of each once that is committed.

    A case that cannot be derived now is left for the next time, and does not hold up the others.
    """
    async with database.session() as db, db.begin():
        if not await store.sweeping(db):
            return
        now = await store.enter_as_time(db, clock())
        await store.brief_privacy_officers(db)
        due = [*await store.lapsed(db, now), *await store.due_reminders(db, now), *await store.due_releases(db, now)]
        for case_id in dict.fromkeys(due):
            try:
                changed = await _sweep_case(database, clock, case_id, source=source)
            except FAILURES as error:
                log.warning("sweeper.case-failed", error=type(error).__name__, case_id=str(case_id))
                continue
            if changed:
                await on_swept(case_id)


async def _sweep_case(database: Database, clock: Clock, case_id: CaseId, *, source: str) -> bool:
    async with database.session() as db, db.begin():
        now = await store.enter_as_time(db, clock())
        await store.lock_case(db, case_id)
        expired = await store.expire_consents(db, case_id)
        left = await store.end_lapsed_seats(db, case_id)
        drafts = []
        for row in expired:
            consent_id = ConsentId(row["consent_id"])
            concerned = await store.consent_audience(db, case_id, consent_id)
            drafts.append(
                Draft(
                    type=EventType.CONSENT_EXPIRED,
                    audience=only(*(EngagementId(engagement) for engagement in concerned)),
                    patient_id=PatientId(row["patient_id"]),
                    refers_to=consent_id,
                    data={"id": str(consent_id), "patientId": str(row["patient_id"])},
                )
            )
        reminded = await _remind(db, case_id, now)
        change = await rederive(db, case_id, now=now)
        drafts += [_by_time(draft) for draft in change.drafts("expired")] + departures(left, "expired")
        released = await store.release_due(db, case_id)
        if not drafts and not released:
            return reminded
        records = [
            _by_nobody(
                "access:lapse", Touch("case", case_id, case_id, draft.patient_id, access_version=change.version)
            )
            for draft in drafts
        ]
        records += [
            _by_nobody(
                Action.THREAD_RELEASE,
                Touch(
                    *("thread", row["thread_id"], case_id, PatientId(row["patient_id"]), row["category"]),
                    domain=row["domain"],
                    access_version=change.version,
                ),
            )
            for row in released
        ]
        await audit.record(db, records, at=now, source=source)
        if drafts:
            await events.append(db, case_id, drafts, actor=None, at=now)
        return True


def _by_nobody(action: str, touch: Touch) -> Record:
    return Record(action, ActionCode.UPDATE, Outcome.SUCCESS, Who(), touch, Origin("system", None, None))


_TOLD = {
    Reminder.MONTH_LEFT: NoticeKind.CONSENT_EXPIRING_30,
    Reminder.WEEK_LEFT: NoticeKind.CONSENT_EXPIRING_7,
    Reminder.REVIEW: NoticeKind.CONSENT_REVIEW,
}


async def _remind(db: AsyncSession, case_id: CaseId, now: datetime) -> bool:
    """Remind citizens of consents that end soon or are to be reviewed: once each, in the commit that notes it."""
    rows = await store.reminders_of(db, case_id)
    for row in rows:
        terms = row["valid_from"], row["valid_until"], row["review_months"]
        kind = due_reminder(*terms, row["next_reminder_at"], now)
        if kind is not None:
            # A notice is told once of a thing, so a yearly review is a thing of its own.
            about = row["consent_id"]
            if kind is Reminder.REVIEW:
                about = uuid5(about, row["next_reminder_at"].astimezone(UTC).isoformat())
            for to in (Citizen(row["patient_id"]), Managers(row["patient_id"])):
                await notices.notify(db, case_id=case_id, to=to, kind=_TOLD[kind], about=about, now=now)
        await store.remind_of(db, case_id, row["consent_id"], next_reminder(*terms, now))
    return bool(rows)


def _by_time(draft: Draft) -> Draft:
    """Return an ``access.changed`` that says whether time closed something or only opened it."""
    data = draft.data or {}
    return draft if data["lost"] else replace(draft, data={**data, "why": "begun"})


async def run_sweeper(database: Database, clock: Clock, on_swept: OnSwept, *, source: str) -> None:
    """Sweep every second until cancelled; a failure is logged and tried again."""
    while True:
        try:
            await sweep(database, clock, on_swept, source=source)
        except FAILURES as error:
            log.warning("sweeper.failed", error=type(error).__name__)
        except Exception:
            log.exception("sweeper.broken")
        await asyncio.sleep(SWEEP_SECONDS)
