"""Use cases that change consent: ask, decide, give, withdraw, and look ahead at a withdrawal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, require_domain
from app.access.vocabulary import PROFESSIONALS, ConsentKind, Domain, Role
from app.consent import service as consent
from app.consent.decisions import Status
from app.consent.question import dawn_of
from app.consent.rules import (
    Chair,
    Decision,
    NamedRecipient,
    RecipientType,
    Succession,
    Terms,
    decision_faults,
    faults,
    reaches,
)
from app.consent.texts import LANGUAGE_OF
from app.core.errors import Fault, Forbidden, Invalid
from app.core.ids import ConsentId, EngagementId, MemberId, PatientId, new_id
from app.crypto.service import Crypto
from app.entitlement import store, telling
from app.entitlement.deaths import require_alive
from app.entitlement.derivation import Change, parse_inputs, rederive
from app.entitlement.grants import Seat
from app.entitlement.representing import says
from app.entitlement.voices import Voice, judgement_faults, question_of, voice_of, withdrawal_faults
from app.events import service as events
from app.events.drafts import Draft, EventType, contacts, only
from app.notices import service as notices
from app.notices.kinds import Citizen, NoticeKind


@dataclass(frozen=True, slots=True)
class Means:
    """What deciding needs besides the database; ``term`` is how long a consent outlives a birthday that ends it."""

    crypto: Crypto
    term: timedelta


async def give_consent(
    db: AsyncSession, permit: CasePermit, means: Means, consent_id: ConsentId, terms: Terms, decision: Decision
) -> Status:
    """Record a consent with a first decision; what it opens is open from this commit on, and never before.

    Where others must say yes too it is proposed, and opens nothing.

    Raises:
        Forbidden: the recorder would lift another domain's secrecy than its own, or be its own recipient.
        Invalid: anything of R-3 is missing or wrong, or this is not who decides; every fault is named.
    """
    position = await store.lock_case(db, permit.case_id)
    seats = parse_inputs(await store.grant_inputs(db, permit.case_id)).seats
    _require_recorder(permit, terms.patient_id, terms.kind, terms.from_domains)
    if terms.kind is ConsentKind.LIFT_SECRECY:
        _refuse_own_recipient(permit, terms.recipients, _own_chairs(seats, permit))
    wrong = [*await _term_faults(db, permit, terms, seats), *_decision_faults(permit, decision)]
    if wrong:
        raise Invalid(*wrong)
    voice = await _heard(db, permit, terms.patient_id, decision)
    if wrong := list(judgement_faults(permit, terms, voice.says)):
        raise Invalid(*wrong)
    row = await _recorded(db, permit, means, consent_id, terms, position)
    return await _decided(db, permit, means, row, decision, voice)


async def ask_consent(
    db: AsyncSession,
    permit: CasePermit,
    means: Means,
    consent_id: ConsentId,
    terms: Terms,
    *,
    for_others: bool = False,
) -> None:
    """Save a consent that is to be asked; it opens nothing, and its recipients do not learn of it.

    ``for_others`` means that it lifts the secrecy of another domain, for somebody of that domain to record.

    Raises:
        Forbidden: it is about another person than oneself, or another domain's secrecy than the recorder's own.
        Invalid: anything of the terms is missing or wrong; every fault is named.
    """
    position = await store.lock_case(db, permit.case_id)
    seats = parse_inputs(await store.grant_inputs(db, permit.case_id)).seats
    lifted = [permit.actor.domain] if for_others and permit.actor.domain else terms.from_domains
    _require_recorder(permit, terms.patient_id, terms.kind, lifted)
    wrong = await _term_faults(db, permit, terms, seats)
    if not wrong:
        wrong = list(judgement_faults(permit, terms, await says(db, permit, terms.patient_id)))
    if wrong:
        raise Invalid(*wrong)
    await _recorded(db, permit, means, consent_id, terms, position)
    await rederive(db, permit.case_id, now=permit.now)
    await telling.tell_asked(db, permit, means.crypto, consent_id, terms)


async def ask_to_join(
    db: AsyncSession,
    permit: CasePermit,
    means: Means,
    consent_id: ConsentId,
    terms: Terms,
    decision: Decision | None,
    position: int,
) -> Status:
    """Ask somebody who was just named to take part, and record what they said, if they did.

    Raises:
        Invalid: anything of the terms or the decision is missing or wrong; every fault is named.
    """
    seats = parse_inputs(await store.grant_inputs(db, permit.case_id)).seats
    wrong = list(faults(terms, [_chair(seat, permit.now) for seat in seats], now=permit.now))
    if decision is not None:
        wrong += _decision_faults(permit, decision)
    if wrong:
        raise Invalid(*wrong)
    row = await _recorded(db, permit, means, consent_id, terms, position)
    if decision is not None:
        voice = await _heard(db, permit, terms.patient_id, decision)
        return await _decided(db, permit, means, row, decision, voice)
    await rederive(db, permit.case_id, now=permit.now)
    await telling.tell_asked(db, permit, means.crypto, consent_id, terms)
    return Status.ASKED


async def about(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> tuple[UUID, str]:
    """Return whom a consent is about, and where it stands.

    Raises:
        NotFound: there is none that the actor may read.
    """
    row = await consent.find(db, permit, consent_id)
    return row["patient_id"], row["status"]


async def decide_consent(
    db: AsyncSession, permit: CasePermit, means: Means, consent_id: ConsentId, decision: Decision
) -> Status:
    """Record somebody's yes or no about a consent that is asked or proposed.

    Raises:
        NotFound: there is no such consent that the actor may read.
        AlreadyDecided: it was given, refused or ended.
        Forbidden: as for :func:`give_consent`; a no may be recorded by whoever may read what is asked.
        Invalid: this is not who decides, or anything of the decision is missing or wrong.
    """
    await store.lock_case(db, permit.case_id)
    row = await consent.find(db, permit, consent_id)
    consent.undecided(row)
    seats = parse_inputs(await store.grant_inputs(db, permit.case_id)).seats
    if decision.yes:
        kind, domains = ConsentKind(row["kind"]), [Domain(one) for one in row["from_domains"]]
        _require_recorder(permit, row["patient_id"], kind, domains)
        if kind is ConsentKind.LIFT_SECRECY:
            if not _sees(permit, row["patient_id"]):
                raise Forbidden("Whoever sees nothing of a patient records no consent for them.")
            _refuse_own_recipient(permit, recipients_of(row), _own_chairs(seats, permit))
    elif permit.standing.speaks_for or permit.actor.role is Role.REPRESENTATIVE:
        _require_own(permit, row["patient_id"])
    wrong = list(_decision_faults(permit, decision))
    own_word = decision.decider == "patient" and decision.method == "digital_2fa"
    if own_word and row["patient_id"] not in permit.standing.subject_of:
        wrong.append(Fault("/method", "not-own-login", "One decides digitally in one's own log-in."))
    if decision.yes and row["valid_until"] is not None and row["valid_until"] <= permit.now:
        wrong.append(Fault("/decision", "past", "What was asked has run out; ask again."))
    if wrong:
        raise Invalid(*wrong)
    voice = await _heard(db, permit, row["patient_id"], decision)
    return await _decided(db, permit, means, row, decision, voice)


async def _heard(db: AsyncSession, permit: CasePermit, patient_id: UUID, decision: Decision) -> Voice:
    return await voice_of(db, permit, patient_id, decision.decider, decision.representation_id, decision.method)


def _require_recorder(permit: CasePermit, patient_id: UUID, kind: ConsentKind, domains: Sequence[Domain]) -> None:
    standing = permit.standing
    if standing.speaks_for and patient_id in standing.subjects:
        _require_own(permit, patient_id)
    if kind is ConsentKind.LIFT_SECRECY:
        if not any(_sees(permit, one) for one in standing.subjects):
            raise Forbidden("Whoever sees nothing of a patient records no consent for them.")
        require_domain(permit.actor, domains, standing)


def _require_own(permit: CasePermit, patient_id: UUID) -> None:
    if patient_id not in permit.standing.speaks_for:
        raise Forbidden("Each person decides for themselves, and for whom they represent.")


def _sees(permit: CasePermit, patient_id: UUID) -> bool:
    standing = permit.standing
    return (
        bool(standing.subject_of)
        or patient_id in standing.represents
        or standing.holds_any(permit.now, PatientId(patient_id))
    )


async def _term_faults(db: AsyncSession, permit: CasePermit, terms: Terms, seats: Sequence[Seat]) -> list[Fault]:
    wrong = list(faults(terms, [_chair(seat, permit.now) for seat in seats], now=permit.now))
    known = terms.kind is not ConsentKind.LIFT_SECRECY or _sees(permit, terms.patient_id)
    if known:
        # what is about somebody who keeps the actor away is to them as what is about nobody
        known = not await store.kept_away(db, permit, terms.patient_id)
    if not known or terms.patient_id not in permit.standing.subjects:
        wrong.insert(0, Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    return wrong


def _decision_faults(permit: CasePermit, decision: Decision) -> Iterable[Fault]:
    return decision_faults(decision, texts=LANGUAGE_OF, now=permit.now)


async def _recorded(
    db: AsyncSession, permit: CasePermit, means: Means, consent_id: ConsentId, terms: Terms, position: int
) -> RowMapping:
    await require_alive(db, permit, terms.patient_id)
    await consent.record(db, permit, means.crypto, consent_id, terms, position=position)
    return await consent.find(db, permit, consent_id)


async def _decided(
    db: AsyncSession, permit: CasePermit, means: Means, row: RowMapping, decision: Decision, voice: Voice
) -> Status:
    """Append the decision, derive, and tell whom it concerns; only what became active is told of."""
    await require_alive(db, permit, row["patient_id"])
    question = await question_of(db, permit, means.crypto, row, voice.says)
    wrong = list(question.faults(voice.person, decision.decided_at, permit.now))
    until, renew_on = question.end(row["valid_until"], permit.now, means.term)
    if decision.yes and until is not None and until <= row["valid_from"]:
        wrong.append(Fault("/validFrom", "after-birthday", "By then others decide; ask again when they do."))
    # Of two who decide here and now, the one who comes last has the last word.
    earlier = decision.yes and decision.decided_at < permit.now
    if earlier and await store.overtaken(db, permit.case_id, row["id"], decision.decided_at):
        wrong.append(Fault("/decidedAt", "overtaken", "Since then a no or a withdrawal was recorded; ask again."))
    if wrong:
        raise Invalid(*wrong)
    decision = replace(decision, decider=voice.decider, representation_id=voice.person)
    status = await consent.decide(db, permit, row, question, decision, term=means.term)
    joined = []
    if status is Status.ACTIVE and row["kind"] == ConsentKind.AGREE_TO_HELP:
        joined = await _sit_down(db, permit, row["patient_id"])
    change = await rederive(db, permit.case_id, now=permit.now)
    if decision.method == "oral_recorded":
        await telling.tell_citizen(db, permit, row, NoticeKind.ORAL_CONFIRMATION)
    await telling.tell_decided(db, permit, row, status, question, voice.says)
    if status is Status.ACTIVE:
        await _flag(db, permit, row, renew_on)
        await _append(db, permit, EventType.CONSENT_GIVEN, row["id"], row["patient_id"], change, first=joined)
    return status


TO_COME = (NoticeKind.RENEWAL_DUE, NoticeKind.CONSENT_EXPIRING_30, NoticeKind.CONSENT_EXPIRING_7)
"""What is still to be told of a consent, and no longer when it ended or gave way to another."""


async def _flag(db: AsyncSession, permit: CasePermit, row: RowMapping, renew_on: date | None) -> None:
    """Tell the citizen of this from the birthday on that changes who decides; and no more of what it renews."""
    if row["refers_as"] == Succession.RENEWAL:
        await notices.end_about(db, row["refers_to_id"], TO_COME)
    await flag_renewal(db, permit, row["id"], row["patient_id"], renew_on)


async def flag_renewal(
    db: AsyncSession, permit: CasePermit, consent_id: UUID, patient_id: UUID, renew_on: date | None
) -> None:
    """Tell the citizen that a consent is to be renewed, from the birthday on that changes who decides."""
    if renew_on is not None:
        await notices.notify(
            db,
            case_id=permit.case_id,
            to=Citizen(patient_id),
            kind=NoticeKind.RENEWAL_DUE,
            about=consent_id,
            now=permit.now,
            not_before=dawn_of(renew_on),
        )


async def _sit_down(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> list[Draft]:
    """Seat a citizen with an account who just joined; nobody, when there is no account, or a seat already."""
    member_id = MemberId(new_id())
    engagement_id = await store.seat_joined(db, permit.case_id, patient_id, member_id)
    if engagement_id is None:
        return []
    data = {"memberId": str(member_id), "engagementId": str(engagement_id)}
    audience = contacts(permit.standing.domain)
    return [Draft(type=EventType.MEMBER_ACCEPTED, audience=audience, refers_to=member_id, data=data)]


def _own_chairs(seats: Sequence[Seat], permit: CasePermit) -> list[Chair]:
    return [_chair(seat, permit.now) for seat in seats if seat.account_id == permit.actor.account_id]


def recipients_of(row: RowMapping) -> list[NamedRecipient]:
    """Return to whom a recorded consent is, in its order."""
    return [
        NamedRecipient(
            RecipientType(one["type"]),
            UUID(one["id"]) if one["id"] else None,
            Role(one["role"]) if one["role"] else None,
        )
        for one in row["recipients"]
    ]


def _refuse_own_recipient(permit: CasePermit, recipients: Sequence[NamedRecipient], own: Sequence[Chair]) -> None:
    """Refuse who would open to oneself, directly or through organisation, team or role, in whichever engagement."""
    if not permit.standing.subject_of and any(reaches(one, chair) for one in recipients for chair in own):
        raise Forbidden("Nobody records consent in their own favour; ask the citizen or a colleague.")


def _chair(seat: Seat, now: datetime) -> Chair:
    return Chair(
        member_id=seat.member_id,
        engagement_id=seat.engagement_id,
        organisation_id=seat.organisation_id,
        role=seat.role,
        team_ids=frozenset(team for team, period in seat.teams if period.holds(now)),
    )


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """Who takes a consent back (oneself, when None), when (now, when None) and how."""

    decider: str | None
    representation_id: UUID | None
    decided_at: datetime | None
    method: str


async def taking_back(
    db: AsyncSession, permit: CasePermit, means: Means, row: RowMapping, wish: Withdrawing
) -> tuple[Voice, list[Fault]]:
    """Return whose word it is that takes a consent back, or a part of it, and what is wrong with that word.

    Raises:
        Forbidden: somebody of a household, or a carer whom it names, would do so for another.
        Invalid: the decision would lie in the future or before the consent, or the actor may not say this word.
    """
    if wish.decided_at is not None and wish.decided_at > permit.now:
        raise Invalid(Fault("/decidedAt", "in-future", "A decision cannot lie in the future."))
    if permit.actor.role not in PROFESSIONALS:
        _require_own(permit, row["patient_id"])
    own_word = "representative" if permit.actor.role is Role.REPRESENTATIVE else "patient"
    voice = await voice_of(
        db, permit, row["patient_id"], wish.decider or own_word, wish.representation_id, wish.method
    )
    if row["status"] != Status.ACTIVE:
        return voice, []
    if wish.decided_at is not None and wish.decided_at < row["decided_at"]:
        raise Invalid(Fault("/decidedAt", "before-consent", "Nothing is taken back before it was given."))
    question = await question_of(db, permit, means.crypto, row, voice.says)
    words = await consent.last_words(db, permit, row["id"])
    return voice, list(withdrawal_faults(question, voice.person, words, permit.now))


async def withdraw_consent(
    db: AsyncSession, permit: CasePermit, means: Means, consent_id: ConsentId, wish: Withdrawing
) -> None:
    """Withdraw one consent of the permitted case and everything that rested on it, in the caller's transaction.

    Any one of those who decide may.

    Raises:
        NotFound: the permitted case has no such consent that the actor may read.
        AlreadyWithdrawn: a withdrawal is never moved or undone.
        Forbidden: somebody of a household, or a carer whom it names, would withdraw for another.
        Invalid: the decision would lie in the future, or this is not who decides.
    """
    await store.lock_case(db, permit.case_id)
    row = await consent.find(db, permit, consent_id)
    voice, wrong = await taking_back(db, permit, means, row, wish)
    if wrong:
        raise Invalid(*wrong)
    concerned = await store.consent_audience(db, permit.case_id, consent_id)
    await consent.withdraw(
        db,
        permit,
        consent_id,
        decided_by=voice.decider,
        representation_id=voice.person,
        decided_at=wish.decided_at or permit.now,
        method=wish.method,
    )
    await notices.end_about(db, consent_id, TO_COME)
    await telling.tell_withdrawn(db, permit, row, concerned)
    change = await rederive(db, permit.case_id, now=permit.now)
    await _append(db, permit, EventType.CONSENT_WITHDRAWN, consent_id, row["patient_id"], change, concerned)


def told_of(kind: EventType, consent_id: UUID, patient_id: UUID, concerned: Iterable[EngagementId]) -> Draft:
    """Return the event by which those whom it concerns hear of a consent."""
    return Draft(
        type=kind,
        audience=only(*concerned),
        patient_id=PatientId(patient_id),
        refers_to=consent_id,
        data={"id": str(consent_id), "patientId": str(patient_id)},
    )


async def _append(
    db: AsyncSession,
    permit: CasePermit,
    kind: EventType,
    consent_id: ConsentId,
    patient_id: UUID,
    change: Change,
    concerned: Sequence[EngagementId] | None = None,
    first: Sequence[Draft] = (),
) -> None:
    if concerned is None:
        concerned = await store.consent_audience(db, permit.case_id, consent_id)
    told = told_of(kind, consent_id, patient_id, concerned)
    why = "consent-given" if kind is EventType.CONSENT_GIVEN else "consent-withdrawn"
    await events.append(db, permit.case_id, [*first, told, *change.drafts(why)], actor=permit.actor, at=permit.now)
