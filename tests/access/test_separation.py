"""The role separation, written here by hand and walked: who opens, records, chairs, breaks the glass, sees what."""

from datetime import UTC, datetime
from itertools import product
from uuid import uuid4

import pytest

from app.access import policy
from app.access.actor import Actor
from app.access.printing import policy_page
from app.access.tables import NEED_TO_KNOW, ROLE_ACTIONS, need_to_know, powers_of
from app.access.vocabulary import Acr, Action, Category, Domain, Power, Role, Speciality
from app.core.errors import Forbidden
from app.core.ids import AccountId, EngagementId, LoginSessionId

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
OPEN, RECORD, CHAIR, BREAK = "open-case", "record-consent", "chair", "break-glass"

EXPECTED: dict[tuple[str, str | None], set[str]] = {
    ("gp", None): {OPEN, RECORD, CHAIR, BREAK},
    ("poh", None): {OPEN, RECORD, CHAIR},
    ("poh", "ouderen"): {OPEN, RECORD, CHAIR},
    ("poh", "jeugd"): {OPEN, RECORD, CHAIR},
    ("poh", "somatiek"): {RECORD},
    ("poh", "ggz"): {OPEN, RECORD, CHAIR, BREAK},
    ("poh", "of-no-table"): {RECORD},
    ("social_team", None): {OPEN, RECORD, CHAIR},
    ("district_nurse", None): {OPEN, RECORD, CHAIR, BREAK},
    ("specialist", None): {OPEN, RECORD, CHAIR, BREAK},
    ("citizen", None): {OPEN, RECORD},
    ("representative", None): {RECORD},
}
SPECIALITIES: tuple[str | None, ...] = (None, *Speciality, "of-no-table")


@pytest.mark.parametrize(("role", "speciality"), list(product(Role, SPECIALITIES)))
def test_who_may_begin_and_lead_is_as_agreed(role: Role, speciality: str | None) -> None:
    """Only a practice nurse is narrowed: whoever else carries a speciality has what the role has."""
    row = (str(role), speciality if role is Role.POH else None)
    assert {str(power) for power in powers_of(role, speciality)} == EXPECTED.get(row, set())


def actor(role: Role, speciality: str | None) -> Actor:
    return Actor(
        account_id=AccountId(uuid4()),
        engagement_id=EngagementId(uuid4()),
        organisation_id=None,
        role=role,
        speciality=speciality,
        domain=Domain.CARE,
        law=None,
        responsible_account_id=None,
        login_session_id=LoginSessionId(uuid4()),
        acr=Acr.TWO_FACTOR,
        authenticated_at=NOW,
    )


@pytest.mark.parametrize(("role", "speciality"), list(product(Role, SPECIALITIES)))
@pytest.mark.parametrize(
    ("action", "power"), [(Action.CASE_OPEN, OPEN), (Action.CONSENT_GIVE, RECORD), (Action.BREAK_GLASS_USE, BREAK)]
)
def test_the_policy_decides_by_the_separation(role: Role, speciality: str | None, action: Action, power: str) -> None:
    row = (str(role), speciality if role is Role.POH else None)
    if power in EXPECTED.get(row, set()):
        assert policy.authorize_role(actor(role, speciality), action, now=NOW).action is action
    else:
        with pytest.raises(Forbidden):
            policy.authorize_role(actor(role, speciality), action, now=NOW)


def test_the_separation_and_the_table_of_roles_agree() -> None:
    for action, power in ((Action.CASE_OPEN, Power.OPEN_CASE), (Action.CONSENT_GIVE, Power.RECORD_CONSENT)):
        assert ROLE_ACTIONS[action] == {role for role in Role if power in powers_of(role, None)}
    breaks = {role for role in Role for one in SPECIALITIES if Power.BREAK_GLASS in powers_of(role, one)}
    assert ROLE_ACTIONS[Action.BREAK_GLASS_USE] == breaks


GROWING_UP = {Category.YOUTH_DEVELOPMENT, Category.EDUCATION}


@pytest.mark.parametrize(
    ("speciality", "closed"),
    [
        (None, set[Category]()),
        ("ouderen", set[Category]()),
        ("jeugd", set[Category]()),
        ("somatiek", GROWING_UP),
        ("ggz", GROWING_UP),
        ("of-no-table", GROWING_UP),
    ],
)
def test_a_speciality_takes_away_from_what_a_practice_nurse_sees_and_never_adds(
    speciality: str | None, closed: set[Category]
) -> None:
    whole = NEED_TO_KNOW[Role.POH]
    assert need_to_know(Role.POH, speciality) == {c: write for c, write in whole.items() if c not in closed}
    for role in set(Role) - {Role.POH}:
        assert need_to_know(role, speciality) == NEED_TO_KNOW.get(role, {})


def test_the_printed_policy_shows_the_separation() -> None:
    page = policy_page()
    assert "| who | open-case | record-consent | chair | break-glass |" in page
    assert "| poh somatiek |  | x |  |  |" in page
    assert "| category | gp | poh | poh ouderen | poh jeugd | poh somatiek | poh ggz | district_nurse |" in page
