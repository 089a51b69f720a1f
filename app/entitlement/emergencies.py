"""Breaking the glass: a look at the emergency subset without consent, for an hour, watched and reviewed.

Found or not costs the same: one row with a sealed reason, one audit record, the same notice to the privacy officers,
and one of the look-ups by BSN that an account has. The answer says in which cases it opened anything; no case may
mean that nobody has this BSN, that nothing is open, or that the citizen excluded whoever asks.
Source: DESIGN G13; DOMAIN R-16, R-17; THREATS 36.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.tables import TREATING, powers_of
from app.access.vocabulary import EmergencyReason, Power, Role
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import CaseId
from app.crypto.bsn import normalise_bsn
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.entitlement import emergency_store, store
from app.entitlement.derivation import rederive
from app.entitlement.model import BreakGlass
from app.events import service as events
from app.events.drafts import Draft, EventType, only
from app.notices import service as notices
from app.notices.kinds import Citizen, Engaged, Managers, NoticeKind, PrivacyOfficers, To

EMERGENCY = timedelta(minutes=60)
"""How long the glass stays broken, and how long a second person has to confirm. Source: DESIGN 5."""

DELAY_MAX = timedelta(days=30)
"""How long telling the citizen may be put off."""

SIX_TESTS = (
    *("consent_tried", "silence_harms", "moral_distress"),
    *("no_other_way", "breach_prevents_harm", "as_small_as_possible"),
)
"""What whoever sets secrecy aside answers for. Source: DOMAIN R-17."""

_SEALED = ("reason_sealed", "six_tests_sealed", "delay_reason_sealed", "remarks_sealed")
_CATEGORY = "break_glass"


class NotWaiting(Conflict):
    """Raised by confirming what waits for nobody: it was confirmed, ended or reviewed, or an hour has gone by."""

    code = "break-glass-not-waiting"
    title = "This waits for no second person"


class NotOpen(Conflict):
    """Raised by ending an emergency that is over."""

    code = "break-glass-not-open"
    title = "This emergency is over"


class AlreadyReviewed(Conflict):
    """Raised by a second review: a verdict is never changed."""

    code = "break-glass-reviewed"
    title = "This was reviewed already"


@dataclass(frozen=True, slots=True)
class Delay:
    """Until when the citizen is not told, and why."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Emergency:
    """What somebody says who breaks the glass; ``six_tests`` by the names of ``SIX_TESTS``, for that reason alone."""

    bsn: str
    reason_code: EmergencyReason
    reason: str
    six_tests: Mapping[str, str] | None = None
    delay: Delay | None = None


def _place(column: str, break_glass_id: UUID, author: UUID) -> Place:
    return Place("break_glass", column, break_glass_id, break_glass_id, _CATEGORY, author)


def _faults(emergency: Emergency, now: datetime) -> list[Fault]:
    wrong = []
    if (emergency.six_tests is None) == (emergency.reason_code is EmergencyReason.CONFLICT_OF_DUTIES):
        wrong.append(Fault("/sixTests", "six-tests", "sixTests is required with conflict-of-duties, and only then."))
    if emergency.delay is not None and not now < emergency.delay.until <= now + DELAY_MAX:
        wrong.append(Fault("/noticeDelay/until", "out-of-range", "Telling may be put off, by at most 30 days."))
    return wrong


async def break_glass(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    emergency: Emergency,
    *,
    break_glass_id: UUID,
    review_days: int,
) -> list[CaseId]:
    """Break the glass, or ask a second person to confirm it where a review of one's own is overdue.

    Returns:
        The cases that it opened, none while it waits.

    Raises:
        Invalid: the six tests are missing or too many, or the delay is too long.
    """
    bsn = normalise_bsn(emergency.bsn)
    if bsn is None:
        raise Invalid(Fault("/bsn", "bsn-invalid", "This is not a valid BSN (11-proef)."))
    if wrong := _faults(emergency, permit.now):
        raise Invalid(*wrong)
    threatened = emergency.reason_code is EmergencyReason.LIFE_THREATENING
    overdue = await emergency_store.overdue(db, permit) > 0
    row = await _row(crypto, permit, emergency, break_glass_id, crypto.bsn.for_link(bsn))
    row.needs_second = overdue and not threatened
    if not row.needs_second:
        row.started_at, row.valid_until = permit.now, permit.now + EMERGENCY
    row.review_due_at = permit.now + timedelta(days=review_days)
    await emergency_store.add(db, permit, row)
    officers = PrivacyOfficers()
    for kind, at in (
        (NoticeKind.BREAK_GLASS_REVIEW, permit.now),
        (NoticeKind.BREAK_GLASS_OVERDUE, row.review_due_at),
        *(((NoticeKind.BREAK_GLASS_ESCALATED, permit.now),) if overdue and threatened else ()),
    ):
        await notices.notify(
            db, case_id=None, to=officers, kind=kind, about=break_glass_id, now=permit.now, not_before=at
        )
    if row.needs_second:
        await _ask_colleagues(db, permit, break_glass_id)
        return []
    return await _open(db, permit, break_glass_id)


async def _row(crypto: Crypto, permit: RolePermit, emergency: Emergency, row_id: UUID, index: bytes) -> BreakGlass:
    author = permit.actor.account_id
    key = await crypto.data_keys.sealing(row_id, _CATEGORY)
    tests, delay = emergency.six_tests, emergency.delay
    return BreakGlass(
        id=row_id,
        account_id=author,
        engagement_id=permit.actor.engagement_id,
        subject_index=index,
        reason_code=emergency.reason_code,
        reason_sealed=seal_text(key, emergency.reason, _place("reason_sealed", row_id, author)),
        six_tests_sealed=None
        if tests is None
        else seal_text(key, json.dumps(dict(tests)), _place("six_tests_sealed", row_id, author)),
        delay_reason_sealed=None
        if delay is None
        else seal_text(key, delay.reason, _place("delay_reason_sealed", row_id, author)),
        citizen_told_from=permit.now if delay is None else delay.until,
        needs_second=False,
        created_at=permit.now,
        review_due_at=permit.now,
    )


async def _ask_colleagues(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> None:
    for engagement_id, role, speciality in await emergency_store.second_people(db, permit, TREATING):
        if Power.BREAK_GLASS in powers_of(Role(role), speciality):
            await notices.notify(
                db,
                case_id=None,
                to=Engaged(engagement_id, always=True),
                kind=NoticeKind.BREAK_GLASS_CONFIRMATION,
                about=break_glass_id,
                now=permit.now,
            )


async def _open(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> list[CaseId]:
    """Seat whoever broke the glass in each open case, and tell whom it concerns; the citizen only once."""
    row = await find(db, permit, break_glass_id)
    opened: list[CaseId] = []
    for case_id in await emergency_store.cases_to_open(db, permit, break_glass_id):
        await store.lock_case(db, case_id)
        seats = await emergency_store.seat(db, permit, break_glass_id, case_id)
        if not seats:
            continue
        change = await rederive(db, case_id, now=permit.now)
        if drafts := change.drafts("emergency"):
            await events.append(db, case_id, drafts, actor=permit.actor, at=permit.now)
        tellings: list[tuple[To, datetime]] = [
            (Managers(seats[0]["patient_id"]), permit.now),
            (Citizen(seats[0]["patient_id"]), row["citizen_told_from"]),
        ]
        for to, at in tellings[: 1 if opened else 2]:
            kind = NoticeKind.BREAK_GLASS_USED
            await notices.notify(
                db, case_id=case_id, to=to, kind=kind, about=break_glass_id, now=permit.now, not_before=at
            )
        opened.append(case_id)
    return opened


async def confirm(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> list[CaseId]:
    """Confirm, as the second person, a colleague's emergency; its hour begins now.

    Returns:
        The cases that it opened.

    Raises:
        NotFound: there is none that waits for the actor, or that the actor confirmed.
        Forbidden: it is one's own.
        NotWaiting: it waits no longer.
    """
    row = await find(db, permit, break_glass_id)
    if row["account_id"] == permit.actor.account_id:
        raise Forbidden("Somebody else confirms this.")
    if not await emergency_store.confirm(db, permit, break_glass_id):
        raise NotWaiting
    await notices.end_about(db, break_glass_id, [NoticeKind.BREAK_GLASS_CONFIRMATION])
    return await _open(db, permit, break_glass_id)


async def end(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> list[CaseId]:
    """End one's own emergency before its time, or take back what waits; return the cases that this closed.

    Raises:
        NotFound: there is none of the actor's own.
        NotOpen: it is over.
    """
    row = await find(db, permit, break_glass_id)
    if row["account_id"] != permit.actor.account_id:
        raise NotFound
    if not await emergency_store.end(db, permit, break_glass_id):
        raise NotOpen
    await notices.end_about(db, break_glass_id, [NoticeKind.BREAK_GLASS_CONFIRMATION])
    return await _close(db, permit, row)


async def _close(db: AsyncSession, permit: RolePermit, row: RowMapping) -> list[CaseId]:
    case_ids = sorted({CaseId(UUID(case_id)) for case_id, _ in row["cases"]})
    for case_id in case_ids:
        await store.lock_case(db, case_id)
        left = await emergency_store.leave(db, permit, row["id"], case_id)
        change = await rederive(db, case_id, now=permit.now)
        if drafts := [*change.drafts("emergency-ended"), *departures(left)]:
            await events.append(db, case_id, drafts, actor=permit.actor, at=permit.now)
    return case_ids


def departures(left: Sequence[RowMapping], why: str = "emergency-ended") -> list[Draft]:
    """Return what is told to whoever broke the glass when their seat has ended; to nobody else at the table."""
    return [
        Draft(
            type=EventType.MEMBER_LEFT,
            audience=only(one["engagement_id"]),
            refers_to=one["member_id"],
            data={"memberId": str(one["member_id"]), "engagementId": str(one["engagement_id"]), "why": why},
        )
        for one in left
    ]


async def review(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, break_glass_id: UUID, *, justified: bool, remarks: str
) -> list[CaseId]:
    """Say whether breaking the glass was justified; what was not ends at once, and the citizen is told.

    Returns:
        The cases that this closed.

    Raises:
        NotFound: there is no such emergency.
        Forbidden: the actor broke the glass, or confirmed it.
        AlreadyReviewed: somebody reviewed it before.
    """
    row = await find(db, permit, break_glass_id)
    if permit.actor.account_id in (row["account_id"], row["confirmed_by_account_id"]):
        raise Forbidden("Somebody else reviews this.")
    key = await crypto.data_keys.sealing(break_glass_id, _CATEGORY)
    sealed = seal_text(key, remarks, _place("remarks_sealed", break_glass_id, permit.actor.account_id))
    verdict = "justified" if justified else "not-justified"
    if not await emergency_store.review(db, permit, break_glass_id, verdict=verdict, remarks=sealed):
        raise AlreadyReviewed
    over = [NoticeKind.BREAK_GLASS_REVIEW, NoticeKind.BREAK_GLASS_OVERDUE, NoticeKind.BREAK_GLASS_CONFIRMATION]
    await notices.end_about(db, break_glass_id, over)
    if justified:
        return []
    await _tell_of_misuse(db, permit, row)
    ended = (await find(db, permit, break_glass_id))["ended_at"] == permit.now
    return await _close(db, permit, row) if ended else []


async def _tell_of_misuse(db: AsyncSession, permit: RolePermit, row: RowMapping) -> None:
    told = False
    tellings: list[tuple[CaseId | None, To]] = [(None, Engaged(row["engagement_id"], always=True))]
    for case_id, patient_id in row["cases"]:
        tellings.append((CaseId(UUID(case_id)), Managers(UUID(patient_id))))
        if not told:
            tellings.append((CaseId(UUID(case_id)), Citizen(UUID(patient_id))))
        told = True
    for case, to in tellings:
        later = row["citizen_told_from"] if isinstance(to, Citizen) else permit.now
        kind = NoticeKind.BREAK_GLASS_NOT_JUSTIFIED
        await notices.notify(db, case_id=case, to=to, kind=kind, about=row["id"], now=permit.now, not_before=later)


async def find(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> RowMapping:
    """Return one emergency, its texts sealed.

    Raises:
        NotFound: there is none that the actor may know of.
    """
    row = await emergency_store.one(db, permit, break_glass_id)
    if row is None:
        raise NotFound
    return row


async def listed(
    db: AsyncSession, permit: RolePermit, *, to_review: bool, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the emergencies that the actor may know of, newest first, their texts sealed."""
    return await emergency_store.listed(db, permit, to_review=to_review, before=before, limit=limit)


async def open_texts(permit: RolePermit, crypto: Crypto, rows: Sequence[RowMapping]) -> list[dict[str, str | None]]:
    """Return the texts of each emergency by column; all None for whom it only concerns.

    Who broke the glass, whoever may confirm it and the privacy officers read why.
    """
    actor = permit.actor
    opening = [
        row
        if actor.role is Role.PRIVACY_OFFICER
        or actor.account_id in (row["account_id"], row["confirmed_by_account_id"])
        or (actor.role in TREATING and row["needs_second"] and row["started_at"] is None)
        else None
        for row in rows
    ]
    keys = await crypto.data_keys.opening(
        row[column] for row in opening if row is not None for column in _SEALED if row[column] is not None
    )
    texts: list[dict[str, str | None]] = []
    for row in opening:
        found: dict[str, str | None] = dict.fromkeys(_SEALED)
        for column in _SEALED:
            if row is not None and (sealed := row[column]) is not None:
                author = row["reviewed_by_account_id"] if column == "remarks_sealed" else row["account_id"]
                found[column] = open_text(keys[key_id_of(sealed)], sealed, _place(column, row["id"], author))
        texts.append(found)
    return texts
