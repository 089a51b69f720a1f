"""Consent records: terms that are never edited, decisions that are only added, one end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import Category
from app.consent import store
from app.consent.deciders import regime_of
from app.consent.decisions import Status
from app.consent.model import Consent, ConsentDecision, ConsentRecipient
from app.consent.narrowing import Cut
from app.consent.question import Question
from app.consent.reminders import next_reminder
from app.consent.rules import Decision, Succession, Terms
from app.consent.texts import BY_VERSION
from app.core.errors import Conflict, NotFound
from app.core.ids import ConsentId
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto


class AlreadyWithdrawn(Conflict):
    """Raised by a second withdrawal: the first is final, so its instant is never rewritten."""

    code = "consent-already-withdrawn"
    title = "Consent was already withdrawn"


class AlreadyExpired(Conflict):
    """Raised by withdrawing what has run out: there is nothing left to withdraw."""

    code = "consent-expired"
    title = "Consent has run out"


class NotActive(Conflict):
    """Raised by withdrawing what was never given: who is asked says no."""

    code = "consent-not-active"
    title = "Consent was not given"


class AlreadySuperseded(Conflict):
    """Raised by ending or renewing what a later consent took the place of: that one is to be ended or renewed."""

    code = "consent-superseded"
    title = "A later consent took its place"


class AlreadyDecided(Conflict):
    """Raised by deciding about a consent that was given, refused or ended: it takes a new one."""

    code = "consent-decided"
    title = "This consent was decided already"


def _reason_place(case_id: UUID, consent_id: UUID, author: UUID) -> Place:
    return Place("consent", "departure_reason_sealed", consent_id, case_id, Category.PLAN_GOALS_ACTIONS, author)


async def open_reason(crypto: Crypto, row: RowMapping) -> str | None:
    """Return why the table of deciders was departed from, if it was."""
    sealed = row["departure_reason_sealed"]
    if sealed is None:
        return None
    keys = await crypto.data_keys.opening([sealed])
    place = _reason_place(row["case_id"], row["id"], row["recorded_by_account_id"])
    return open_text(keys[key_id_of(sealed)], sealed, place)


async def _sealed_reason(permit: CasePermit, crypto: Crypto, consent_id: UUID, reason: str | None) -> bytes | None:
    if reason is None:
        return None
    place = _reason_place(permit.case_id, consent_id, permit.actor.account_id)
    key = await crypto.data_keys.sealing(permit.case_id, place.category)
    return seal_text(key, reason, place)


async def record(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, consent_id: ConsentId, terms: Terms, *, position: int
) -> None:
    """Insert a consent that is to be asked, with its recipients; it opens nothing until it is decided.

    ``position`` is the stream's last, held by the caller.
    """
    actor = permit.actor
    sealed = await _sealed_reason(permit, crypto, consent_id, terms.departure.reason if terms.departure else None)
    row = Consent(
        case_id=permit.case_id,
        id=consent_id,
        patient_id=terms.patient_id,
        kind=terms.kind,
        status=Status.ASKED,
        from_domains=list(terms.from_domains),
        categories=list(terms.categories),
        both_ways=terms.both_ways,
        history=terms.history,
        history_from_seq=position + 1 if terms.history == "from-now" else 0,
        threads_from_seq=position + 1,
        purpose=terms.purpose,
        regime=regime_of(terms.from_domains),
        capacity=terms.capacity,
        departure=terms.departure.code if terms.departure else None,
        departure_reason_sealed=sealed,
        recorded_by_account_id=actor.account_id,
        recorded_by_engagement_id=actor.engagement_id,
        recorded_at=permit.now,
        valid_from=max(terms.valid_from, permit.now),
        valid_until=terms.valid_until,
        bundle=terms.origin.bundle,
        bundle_version=terms.origin.bundle_version,
        bundle_use_id=terms.origin.bundle_use_id,
        refers_to_id=terms.origin.refers_to_id,
        refers_as=terms.origin.refers_as,
        review_months=terms.origin.review_months,
    )
    recipients = [
        ConsentRecipient(
            case_id=permit.case_id,
            consent_id=consent_id,
            ordinal=index,
            type=recipient.type,
            recipient_id=recipient.id,
            role=recipient.role,
        )
        for index, recipient in enumerate(terms.recipients)
    ]
    await store.add(db, permit, row, recipients)


class NotNarrowable(Conflict):
    """Raised by taking a part out of a consent that opens no cell: it is given or taken back as a whole."""

    code = "consent-not-narrowable"
    title = "This consent opens no cell"


async def narrow(
    db: AsyncSession,
    permit: CasePermit,
    crypto: Crypto,
    row: RowMapping,
    cut: Cut,
    ids: Sequence[ConsentId],
    *,
    representation_id: UUID | None,
    decided_at: datetime,
    method: str,
) -> None:
    """Let a consent give way to what is left of it, by these ids; the database copies it and takes the cut out.

    The caller holds the case's lock, found no fault, and derives the grants afterwards.
    """
    reason = await open_reason(crypto, row)
    named = [(one["type"], one["id"], one["role"]) for one in row["recipients"]]
    places = None
    if cut.recipients is not None:
        meant = {(one.type, str(one.id) if one.id else None, one.role) for one in cut.recipients}
        places = [place for place, one in enumerate(named) if one in meant]
    values = {
        "ids": list(ids),
        "reasons": [await _sealed_reason(permit, crypto, one, reason) for one in ids],
        "categories": None if cut.categories is None else [str(one) for one in cut.categories],
        "recipients": places,
        "representation": representation_id,
        "decided_at": decided_at,
        "method": method,
    }
    await store.narrow(db, permit, row["id"], values)


async def left_of(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> Sequence[RowMapping]:
    """Return what a consent gave way to when it was narrowed, as far as the actor may read it."""
    return await store.that_narrow(db, permit, consent_id)


def undecided(row: RowMapping) -> None:
    """Let through a consent that is still to be decided.

    Raises:
        AlreadyDecided: it was given, refused or ended.
    """
    if row["status"] not in (Status.ASKED, Status.PROPOSED):
        raise AlreadyDecided


async def decide(
    db: AsyncSession,
    permit: CasePermit,
    row: RowMapping,
    question: Question,
    decision: Decision,
    *,
    term: timedelta,
) -> Status:
    """Append a decision, and return where that leaves the consent; active, it takes effect from ``permit.now`` on.

    What it renews is superseded with it.

    The caller holds the case's lock, found no fault, and derives the grants afterwards.
    """
    before = await store.said(db, permit, row["id"])
    said = {one["representation_id"]: one["yes"] for one in before} | {decision.representation_id: decision.yes}
    entry = ConsentDecision(
        case_id=permit.case_id,
        consent_id=row["id"],
        ordinal=len(before) + 1,
        decider=decision.decider,
        representation_id=decision.representation_id,
        yes=decision.yes,
        decided_at=decision.decided_at,
        method=decision.method,
        text_version=decision.text_version,
        text_sha256=BY_VERSION[decision.text_version].sha256,
        language=decision.language,
        interpreter=decision.interpreter,
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await store.add_decision(db, permit, entry)
    status = question.status(said, permit.now)
    until, renew_on = question.end(row["valid_until"], permit.now, term)
    await store.settle(db, permit, row["id"], status=status, until=until, renew_on=renew_on)
    if status is Status.ACTIVE:
        ends = min((end for end in (until, row["valid_until"]) if end is not None), default=None)
        start = max(row["valid_from"], permit.now)
        first = next_reminder(start, ends, row["review_months"], permit.now)
        await store.remind(db, permit, row["id"], at=first)
        if row["refers_as"] == Succession.RENEWAL:
            await store.succeed(db, permit, row["id"])
    return status


async def last_words(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> dict[UUID | None, bool]:
    """Return the last yes or no of each person; None is the patient. For deciding, and shown to nobody."""
    return {one["representation_id"]: one["yes"] for one in await store.said(db, permit, consent_id)}


async def consents(
    db: AsyncSession, permit: CasePermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the consents the actor may read, newest first."""
    return await store.listed(db, permit, before=before, limit=limit)


async def used_together(db: AsyncSession, permit: CasePermit, use_id: UUID) -> Sequence[RowMapping]:
    """Return the consents that one use of a bundle asked, as far as the actor may read them."""
    return await store.of_use(db, permit, use_id)


async def find(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> RowMapping:
    """Return one consent.

    Raises:
        NotFound: there is none that the actor may read.
    """
    row = await store.one(db, permit, consent_id)
    if row is None:
        raise NotFound
    return row


async def withdraw(
    db: AsyncSession,
    permit: CasePermit,
    consent_id: UUID,
    *,
    decided_by: str,
    representation_id: UUID | None = None,
    decided_at: datetime,
    method: str,
) -> None:
    """Withdraw a consent, for good.

    Raises:
        NotFound: there is none that the actor may read.
        AlreadyWithdrawn: a withdrawal is never moved or undone.
        AlreadyExpired: it ran out before.
        AlreadySuperseded: a later consent took its place.
        NotActive: it was never given.
    """
    changed = await store.withdraw(
        db,
        permit,
        consent_id,
        decided_by=decided_by,
        representation_id=representation_id,
        decided_at=decided_at,
        method=method,
    )
    if not changed:
        row = await find(db, permit, consent_id)
        raise _UNWITHDRAWABLE.get(row["status"], NotActive)


_UNWITHDRAWABLE = {
    Status.WITHDRAWN: AlreadyWithdrawn,
    Status.EXPIRED: AlreadyExpired,
    Status.SUPERSEDED: AlreadySuperseded,
}


def renewable(row: RowMapping) -> None:
    """Let through a consent that was given and not taken back; also one that ran out.

    Raises:
        AlreadyWithdrawn: taken back; a new consent may be asked.
        AlreadySuperseded: a later consent took its place.
        NotActive: it was never given.
    """
    if row["status"] not in (Status.ACTIVE, Status.EXPIRED):
        raise _UNWITHDRAWABLE.get(row["status"], NotActive)


def require_active(row: RowMapping, now: datetime) -> None:
    """Let through a consent that is in force.

    Raises:
        AlreadyWithdrawn, AlreadyExpired, AlreadySuperseded: it ended.
        NotActive: it was never given.
    """
    if row["status"] != Status.ACTIVE:
        raise _UNWITHDRAWABLE.get(row["status"], NotActive)
    if row["valid_until"] is not None and row["valid_until"] <= now:
        raise AlreadyExpired
