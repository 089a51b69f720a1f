"""People, labels and rights for the tables of decisions: what one needs to say who asks what, and from where."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.access.actor import Actor
from app.access.policy import Cell, Entity, Holding, MemberStatus, Standing
from app.access.vocabulary import Acr, Category, ClientScope, Domain, Ground, Role
from app.core.ids import AccountId, CaseId, EngagementId, LoginSessionId, MemberId, PatientId

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
HOUR, MOMENT = timedelta(hours=1), timedelta(microseconds=1)
MARIE, PIET = PatientId(UUID(int=1)), PatientId(UUID(int=2))
ME, SOMEBODY_ELSE = AccountId(UUID(int=31)), AccountId(UUID(int=32))
PILLS = Cell(MARIE, Category.MEDICATION, Domain.CARE)


def actor(role: Role, **more: Any) -> Actor:
    """Return me, in one role, logged in with two factors a moment ago."""
    plain = Actor(
        account_id=ME,
        engagement_id=EngagementId(UUID(int=41)),
        organisation_id=None,
        role=role,
        speciality=None,
        domain=Domain.CARE,
        law=None,
        responsible_account_id=None,
        login_session_id=LoginSessionId(UUID(int=51)),
        acr=Acr.TWO_FACTOR,
        authenticated_at=NOW,
        scopes=frozenset(ClientScope),
    )
    return replace(plain, **more)


def right(cell: Cell = PILLS, **more: Any) -> Holding:
    """Return that I write about Marie's medication because I treat her, from the beginning and without end."""
    plain = Holding(
        cell=cell,
        may_write=True,
        ground=Ground.DIRECT_TREATMENT,
        consent_id=None,
        visible_from_seq=0,
        threads_from_seq=0,
        valid_from=NOW - HOUR,
        valid_until=None,
    )
    return replace(plain, **more)


def message(**more: Any) -> Entity:
    """Return somebody else's message about Marie's medication: the ninth of the case, in a thread opened as fifth."""
    return replace(Entity(cell=PILLS, seq=9, opened_seq=5, author_id=SOMEBODY_ELSE), **more)


def seated(*rights: Holding, **more: Any) -> Standing:
    """Return that I am an accepted member of Marie's case and hold these rights."""
    plain = Standing(
        case_id=CaseId(UUID(int=61)),
        kind="person",
        status="open",
        domain=Domain.CARE,
        seq=20,
        version=3,
        opened_by_me=False,
        manages=False,
        stands_in=False,
        member_id=MemberId(UUID(int=71)),
        member_status=MemberStatus.ACCEPTED,
        subject_of=frozenset(),
        subjects=(MARIE,),
        holdings=rights,
    )
    return replace(plain, **more)


def outside(*rights: Holding, **more: Any) -> Standing:
    """Return that I am no member of Marie's case."""
    return seated(*rights, **{"member_id": None, "member_status": None, **more})
