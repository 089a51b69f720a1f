"""The policy's tables, compared with what DESIGN 5 says, written here by hand; and the page printed of them."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from app.access import policy
from app.access.actor import Actor
from app.access.policy import RolePermit, SelfPermit
from app.access.printing import policy_page
from app.access.tables import (
    DOMAIN_OF_TREATMENT,
    IMPLIED,
    NEED_TO_KNOW,
    NEVER_BY_CONSENT,
    PUBLIC_TASK,
    RECORDERS,
    ROLE_ACTIONS,
    SUBJECT,
    TREATING,
)
from app.access.vocabulary import PARTICIPANTS, PROFESSIONALS, Action, Category, Domain, Law, Role
from app.core.errors import Forbidden
from app.core.ids import AccountId, EngagementId, LoginSessionId

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
EVERYTHING = set(map(str, Category))
CLOSED_TO_PRACTICE = {
    *("mental_health", "addiction", "advance_care_planning"),
    *("finance_debt", "work_income", "safety_meldcode"),
}
NURSE_WRITES = {
    *("medication", "functional_adl", "living_situation", "practical_coordination", "plan_goals_actions"),
    "positive_health",
}
NURSE_READS = {"medical_summary", "social_participation", "crisis_plan", "mdo_report"}
SPECIALIST_WRITES = {"medical_summary", "medication"}
SPECIALIST_READS = {"functional_adl", "plan_goals_actions", "practical_coordination", "mdo_report"}


def split(table: dict[Category, bool]) -> tuple[set[str], set[str]]:
    """Return what is written and what is only read."""
    return {str(c) for c, write in table.items() if write}, {str(c) for c, write in table.items() if not write}


def test_direct_treatment_opens_what_a_profession_needs_to_know() -> None:
    found = {str(role): split(dict(table)) for role, table in NEED_TO_KNOW.items()}
    practice = (EVERYTHING - CLOSED_TO_PRACTICE, set[str]())
    assert found == {
        "gp": practice,
        "poh": practice,
        "district_nurse": (NURSE_WRITES, NURSE_READS),
        "specialist": (SPECIALIST_WRITES, SPECIALIST_READS),
    }


def test_treatment_never_opens_anything_to_a_social_engagement() -> None:
    assert Role.SOCIAL_TEAM not in TREATING
    assert Domain.SOCIAL not in DOMAIN_OF_TREATMENT


def test_a_public_task_opens_its_law_s_categories_and_never_debts_or_income() -> None:
    plan = {"plan_goals_actions", "practical_coordination"}
    assert {str(law): split(dict(table)) for law, table in PUBLIC_TASK.items()} == {
        "wmo2015": (
            plan | {"functional_adl", "living_situation", "social_participation", "positive_health", "zrm"},
            set[str](),
        ),
        "jeugdwet": (plan | {"youth_development", "education", "living_situation"}, set[str]()),
        "participatiewet": (plan | {"social_participation"}, set[str]()),
        "wgs": (plan, set[str]()),
    }
    assert set(PUBLIC_TASK) == set(Law)


def test_the_citizen_sees_everything_about_herself_but_reports_of_abuse() -> None:
    assert split(dict(SUBJECT)) == (EVERYTHING - {"safety_meldcode"}, set())
    assert {*NEVER_BY_CONSENT} == {Category.SAFETY_MELDCODE}
    assert set(IMPLIED) == {Category.IDENTIFICATION, Category.CONTACT_NETWORK}


def test_consent_is_recorded_by_professionals_alone() -> None:
    assert {str(role) for role in RECORDERS} == {"gp", "poh", "district_nurse", "specialist", "social_team"}


OFFICE = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ORG_ADMIN, Role.REGION_ADMIN, Role.INTEGRATION}
PERSONAL = {Action.ME_READ, Action.SESSION_LIST, Action.SESSION_END, Action.CONSENT_TEXT_LIST}
OPEN_TO_ALL = PERSONAL | {Action.SYSTEM_READ, Action.TOKEN_ISSUE}


def test_every_action_is_somebody_s_and_every_role_is_known() -> None:
    assert ROLE_ACTIONS.keys() == set(Action)
    assert all(roles for roles in ROLE_ACTIONS.values())


def test_who_manages_or_audits_never_touches_a_case() -> None:
    may = {role: {action for action, roles in ROLE_ACTIONS.items() if role in roles} - OPEN_TO_ALL for role in OFFICE}
    assert may == {
        Role.AUDITOR: {Action.AUDIT_SEARCH, Action.ORGANISATION_LIST},
        Role.PRIVACY_OFFICER: {Action.AUDIT_SEARCH, Action.ORGANISATION_LIST, Action.MESSAGE_READ},
        Role.ORG_ADMIN: {Action.ORGANISATION_LIST},
        Role.REGION_ADMIN: set(),
        Role.INTEGRATION: set(),
    }


def test_who_sits_at_a_table_never_reads_the_log() -> None:
    assert not ROLE_ACTIONS[Action.AUDIT_SEARCH] & PARTICIPANTS


def test_only_professionals_register_search_and_list_people() -> None:
    for action in (Action.PATIENT_REGISTER, Action.PATIENT_SEARCH, Action.ACCOUNT_LIST):
        assert ROLE_ACTIONS[action] == PROFESSIONALS


def actor(role: Role) -> Actor:
    return Actor(
        account_id=AccountId(uuid4()),
        engagement_id=EngagementId(uuid4()),
        organisation_id=None,
        role=role,
        speciality=None,
        domain=None,
        law=None,
        responsible_account_id=None,
        login_session_id=LoginSessionId(uuid4()),
        acr="demo",
        authenticated_at=NOW,
    )


@pytest.mark.parametrize("role", Role)
def test_the_policy_says_what_the_table_says(role: Role) -> None:
    someone = actor(role)
    for action in Action:
        for authorize in (policy.authorize_role, policy.authorize_self):
            if role in ROLE_ACTIONS[action]:
                assert authorize(someone, action, now=NOW).action is action
            else:
                with pytest.raises(Forbidden):
                    authorize(someone, action, now=NOW)


@pytest.mark.parametrize("kind", [RolePermit, SelfPermit])
def test_nobody_but_the_policy_makes_a_permit(kind: type[RolePermit] | type[SelfPermit]) -> None:
    with pytest.raises(TypeError, match="made by"):
        kind(actor(Role.GP), Action.ME_READ, NOW, object())


def test_the_printed_policy_is_that_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == policy_page(), "write docs/policy.md again from app.access.printing"


def test_the_printed_policy_shows_every_word_it_decides_by() -> None:
    page = policy_page()
    for word in (*Action, *Role, *Category, *Law):
        assert f"| {word} |" in page, word
