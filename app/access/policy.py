"""The decision: may this actor do this, here, now? Pure; the only maker of permits.

A permit is proof of a yes. Store functions ask for one by type, so that forgetting to decide is a type error.
Three kinds: ``RolePermit`` (the role suffices), ``SelfPermit`` (one's own lists; row-level security narrows) and
``CasePermit`` (one case). Default is no; missing information is no. Source: DESIGN 5, STYLE 5.
"""

from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from app.access.actor import Actor
from app.access.groups import (
    BESIDE,
    BY_WHO_ANSWERS,
    BY_WHO_OVERSEES,
    BY_WHO_SITS,
    DECIDING,
    OF_THE_DEAD,
    OF_THE_PRACTICE_ASKED,
    OF_THE_PRACTICE_LEFT,
    ON_CONSENTS,
    ON_INVITATIONS,
    ON_MESSAGES,
    ON_THE_CITIZENS_WORD,
    ON_THREADS,
    WRITING,
)
from app.access.refusals import SessionLocked, StepUpNeeded
from app.access.tables import (
    ANY_FACTOR,
    FRESH,
    FRESH_SECONDS,
    POWER_BEHIND,
    RECORDERS,
    ROLE_ACTIONS,
    SCOPE_ACTIONS,
    TWO_FACTORS,
    WHILE_LOCKED,
    powers_of,
)
from app.access.vocabulary import PROFESSIONALS, Action, Category, ClientScope, Domain, Ground, Role
from app.core.errors import DomainError, Forbidden, NotFound
from app.core.ids import AccountId, CaseId, ConsentId, MemberId, PatientId, ThreadId

_MAKER = object()


@dataclass(frozen=True, slots=True)
class Cell:
    """What a label says: about whom, about what, behind whose secrecy."""

    patient_id: PatientId
    category: Category
    domain: Domain
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Cells are looked up once a delivery; hashing a UUID each time would cost as much as the delivery.
        object.__setattr__(self, "_hash", hash((self.patient_id, self.category, self.domain)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Holding:
    """A cell the actor holds: what it opens, why, from which position of the stream and in which period.

    ``threads_from_seq`` is the first position at which a thread may have been opened to be shown; ``on_behalf_of`` is
    whom the actor replaces.
    """

    cell: Cell
    may_write: bool
    ground: Ground
    consent_id: ConsentId | None
    visible_from_seq: int
    threads_from_seq: int
    valid_from: datetime
    valid_until: datetime | None
    on_behalf_of: AccountId | None = None

    def active(self, now: datetime) -> bool:
        """Whether the holding is in force at ``now``."""
        return self.valid_from <= now and (self.valid_until is None or now < self.valid_until)


class MemberStatus(StrEnum):
    """How a member stands to the case."""

    INVITED = "invited"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Entity:
    """The thing inside the case that a request is about: a thread, message or consent.

    ``opened_seq`` is where the thread that it is, or stands in, was opened; ``held_until`` until when that thread is
    held back, None for one that is not.
    """

    cell: Cell | None = None
    seq: int | None = None
    opened_seq: int = 0
    author_id: AccountId | None = None
    retracted: bool = False
    readable: bool = False
    thread_id: ThreadId | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an actor stands to one case: everything a decision about the case needs, loaded in one statement.

    Whoever ``receives`` is a GP of a practice that is, or was, asked to take the case over.
    """

    case_id: CaseId
    kind: str
    status: str
    domain: Domain
    seq: int
    version: int
    opened_by_me: bool
    manages: bool
    stands_in: bool
    member_id: MemberId | None
    member_status: MemberStatus | None
    subject_of: frozenset[PatientId]
    subjects: tuple[PatientId, ...]
    holdings: tuple[Holding, ...]
    entity: Entity = field(default_factory=Entity)
    emergency: bool = False
    represents: frozenset[PatientId] = frozenset()
    receives: bool = False

    @property
    def speaks_for(self) -> frozenset[PatientId]:
        """Whom the actor is, or represents: those for whom it decides itself."""
        return self.subject_of | self.represents

    @property
    def seated(self) -> bool:
        """Whether the actor is an accepted member, in an emergency too, or stands in for one."""
        return self.member_status is MemberStatus.ACCEPTED or self.stands_in

    @property
    def sits(self) -> bool:
        """Whether the actor is an accepted member; whoever stands in, or is there in emergency, decides nothing."""
        return self.member_status is MemberStatus.ACCEPTED and not self.emergency

    @property
    def oversees(self) -> bool:
        """Whether the actor is the subject, the case manager or the seated opener."""
        return self.manages or bool(self.subject_of) or (self.opened_by_me and self.sits)

    @property
    def speaks_for_all(self) -> bool:
        """Whether the actor may decide for every subject: manager, seated opener, or the only person it is about."""
        alone = bool(self.subject_of) and self.subject_of == frozenset(self.subjects)
        return self.manages or alone or (self.opened_by_me and self.sits)

    def holding(
        self, cell: Cell, now: datetime, *, opened_seq: int | None, seq: int | None = None, write: bool = False
    ) -> Holding | None:
        """Return an active holding of the cell that shows position ``seq``, the one that may write first, or None.

        ``opened_seq`` is where the thread was opened; None for one that is yet to be opened.
        """
        fitting = [
            h
            for h in self.holdings
            if h.cell == cell
            and h.active(now)
            and (h.may_write or not write)
            and (seq is None or h.visible_from_seq <= seq)
            and (opened_seq is None or h.threads_from_seq <= opened_seq)
        ]
        return max(fitting, key=lambda h: (h.may_write, _own_right(h)), default=None)

    def holds_any(self, now: datetime, patient_id: PatientId) -> bool:
        """Whether the actor holds any cell of a patient, and so may know whom the case is about."""
        return any(h.cell.patient_id == patient_id and h.active(now) for h in self.holdings)

    def holds_category(self, category: Category, now: datetime, patient_id: PatientId | None = None) -> bool:
        """Whether the actor reads the category in any domain, of the patient or of any subject."""
        return any(
            h.cell.category is category and h.active(now) and patient_id in (None, h.cell.patient_id)
            for h in self.holdings
        )


def _own_right(holding: Holding) -> int:
    """Return how much a right is one's own: the log names it before a consent, a replacement and an emergency."""
    return {Ground.EMERGENCY: 0, Ground.REPLACEMENT: 1, Ground.CONSENT: 2}.get(holding.ground, 3)


class Permit:
    """Proof that the policy said yes. Only :func:`authorize` and its kin can make one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RolePermit(Permit):
    """The actor's role suffices for the action."""

    actor: Actor
    action: Action
    now: datetime
    maker: InitVar[object]  # not kept, so that a permit cannot be copied into another

    def __post_init__(self, maker: object) -> None:
        _require_maker(maker)


@dataclass(frozen=True, slots=True)
class SelfPermit(Permit):
    """The actor may see lists of its own; the database narrows them."""

    actor: Actor
    action: Action
    now: datetime
    maker: InitVar[object]  # not kept, so that a permit cannot be copied into another

    def __post_init__(self, maker: object) -> None:
        _require_maker(maker)


@dataclass(frozen=True, slots=True)
class CasePermit(Permit):
    """The actor may do the action in this case; ``standing`` says on what that rests."""

    actor: Actor
    action: Action
    now: datetime
    standing: Standing
    holding: Holding | None
    maker: InitVar[object]  # not kept, so that a permit cannot be copied into another

    def __post_init__(self, maker: object) -> None:
        _require_maker(maker)

    @property
    def case_id(self) -> CaseId:
        """The one case this permit is for."""
        return self.standing.case_id


def _require_maker(maker: object) -> None:
    if maker is not _MAKER:
        raise TypeError("permits are made by app.access.policy alone")


def authorize_role(actor: Actor, action: Action, *, now: datetime) -> RolePermit:
    """Return a permit that rests on the role alone.

    Raises:
        Forbidden: the role may not do this.
    """
    _require_role(actor, action, now)
    return RolePermit(actor, action, now, _MAKER)


def authorize_self(actor: Actor, action: Action, *, now: datetime) -> SelfPermit:
    """Return a permit for the actor's own lists.

    Raises:
        Forbidden: the role has no such lists.
    """
    _require_role(actor, action, now)
    return SelfPermit(actor, action, now, _MAKER)


def _require_role(actor: Actor, action: Action, now: datetime) -> None:
    """Refuse what the role, the integration's scope or the shown factors do not reach.

    Raises:
        Forbidden: the role, speciality or scope never may.
        SessionLocked, StepUpNeeded: it may, once a factor is shown.
    """
    if actor.role not in ROLE_ACTIONS.get(action, frozenset()):
        raise Forbidden
    if actor.role is Role.INTEGRATION and action in _SCOPED and action not in _opened_by(actor.scopes):
        raise Forbidden("The client has no scope for this.")
    if action in POWER_BEHIND and POWER_BEHIND[action] not in powers_of(actor.role, actor.speciality):
        raise Forbidden("This is not for your speciality.")
    if actor.locked and action not in WHILE_LOCKED:
        raise SessionLocked
    if action not in ANY_FACTOR and actor.acr not in TWO_FACTORS:
        raise StepUpNeeded
    if action in FRESH and now >= actor.authenticated_at + timedelta(seconds=FRESH_SECONDS):
        raise StepUpNeeded


def _opened_by(scopes: Iterable[ClientScope]) -> frozenset[Action]:
    return frozenset(action for scope in scopes for action in SCOPE_ACTIONS[scope])


_SCOPED = _opened_by(ClientScope)


def authorize(actor: Actor, action: Action, standing: Standing | None, *, now: datetime) -> CasePermit:
    """Return a permit for one case.

    Raises:
        SessionLocked, StepUpNeeded: another factor is needed first.
        Forbidden: the role never may, or the actor sees the thing but may not do this to it.
        NotFound: there is no such thing for this actor.
    """
    _require_role(actor, action, now)
    if standing is None:
        raise NotFound
    denial = _denial(actor, action, standing, now)
    if denial is not None:
        raise denial
    return CasePermit(actor, action, now, standing, _resting_on(action, standing, now), _MAKER)


def _denial(actor: Actor, action: Action, standing: Standing, now: datetime) -> DomainError | None:
    """Return why not, or None. What the actor may not see is not there; what it sees but may not do is forbidden."""
    if action in ON_INVITATIONS:
        # A decided invitation is still there for whom it was for: deciding again is a conflict.
        return NotFound() if standing.member_status in (None, MemberStatus.ENDED) else None
    if action is Action.MESSAGE_READ and actor.role is Role.PRIVACY_OFFICER:
        return None if standing.entity.retracted else NotFound()
    if not standing.seated and not (standing.receives and action in OF_THE_PRACTICE_ASKED):
        return NotFound()
    if action in ON_THREADS or action in ON_MESSAGES or (action in BESIDE and standing.entity.cell is not None):
        return _message_denial(actor, action, standing, now)
    if action in DECIDING and standing.entity.readable:
        return None if _records_consent(actor, standing) else Forbidden()
    if action in ON_CONSENTS:
        return None if standing.entity.readable else NotFound()
    if action is Action.MEMBER_LIST:
        return None if standing.holds_category(Category.CONTACT_NETWORK, now) else NotFound()
    suffices = _suffices(actor, action, standing)
    return Forbidden() if suffices is False else None


def _suffices(actor: Actor, action: Action, standing: Standing) -> bool | None:
    """Whether how somebody stands to the case is enough for what rests on that alone; None for anything else."""
    found: bool | None = None
    if action in OF_THE_PRACTICE_ASKED:
        found = standing.receives
    elif action in OF_THE_PRACTICE_LEFT:
        found = standing.oversees or (standing.sits and actor.role is Role.GP)
    elif action in BY_WHO_OVERSEES:
        found = standing.oversees
    elif action in BY_WHO_SITS:
        found = standing.sits
    elif action in BY_WHO_ANSWERS:
        found = standing.sits and (standing.manages or standing.opened_by_me)
    elif action in OF_THE_DEAD:
        treats = actor.role is Role.GP and action in (Action.DEATH_RECORD, Action.DEATH_UNDO)
        found = standing.sits and (standing.manages or treats)
    elif action in ON_THE_CITIZENS_WORD:
        found = _records_consent(actor, standing)
    return found


def _records_consent(actor: Actor, standing: Standing) -> bool:
    return standing.sits and (actor.role in RECORDERS or bool(standing.speaks_for))


def _message_denial(actor: Actor, action: Action, standing: Standing, now: datetime) -> DomainError | None:
    entity = standing.entity
    mine = entity.author_id == actor.account_id
    opened = entity.opened_seq
    if is_held_from(actor.role, entity.held_until, now):
        return NotFound()
    if entity.cell is None or standing.holding(entity.cell, now, seq=entity.seq, opened_seq=opened) is None:
        return NotFound()
    if entity.retracted and not mine:
        return NotFound()
    if action in WRITING and standing.holding(entity.cell, now, write=True, opened_seq=opened) is None:
        return Forbidden("You may read here, but not write.")
    if action in (Action.MESSAGE_CORRECT, Action.MESSAGE_RETRACT) and not mine:
        return Forbidden("Only the author may do this.")
    return None


def _resting_on(action: Action, standing: Standing, now: datetime) -> Holding | None:
    """Return the holding the yes rests on, for the record."""
    entity = standing.entity
    if entity.cell is not None:
        # What is written is new, so that a right which began after the message it corrects is one to write by.
        seq = None if action in WRITING else entity.seq
        return standing.holding(entity.cell, now, seq=seq, opened_seq=entity.opened_seq)
    grounds = [h for h in standing.holdings if h.active(now)]
    return min(grounds, key=lambda h: list(Ground).index(h.ground), default=None)


def is_held_from(role: Role, held_until: datetime | None, now: datetime) -> bool:
    """Whether a thread that is held back until an instant (None: not at all) is not there yet for a role.

    Professionals see it from the start; everybody else from its release. Source: DESIGN 5, ground ``subject``.
    """
    return held_until is not None and now < held_until and role not in PROFESSIONALS


def authorize_post(
    actor: Actor, cell: Cell, holdings: Iterable[Holding], *, opened_seq: int, now: datetime
) -> Holding:
    """Return the holding that lets the actor write in a thread; for the appender, which decides many at once.

    Raises:
        NotFound: the actor may not read there.
        Forbidden: the actor may read there, but not write, or its role never may.
    """
    _require_role(actor, Action.MESSAGE_POST, now)
    fitting = [
        holding
        for holding in holdings
        if holding.cell == cell and holding.threads_from_seq <= opened_seq and holding.active(now)
    ]
    if not fitting:
        raise NotFound
    writing = [holding for holding in fitting if holding.may_write]
    if not writing:
        raise Forbidden("You may read here, but not write.")
    return max(writing, key=_own_right)


def require_domain(actor: Actor, domains: Iterable[Domain], standing: Standing) -> None:
    """Refuse recording a consent that lifts another domain's secrecy than the recorder's own.

    Raises:
        Forbidden: the actor is no subject, represents none, and names another domain.
    """
    if not standing.speaks_for and any(domain is not actor.domain for domain in domains):
        raise Forbidden("You may record consent for the domain of your own engagement only.")
