"""The policy's tables, compared with what DESIGN 5 says, written here by hand; and the page printed of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.access import policy
from app.access.action_labels import ACTIONS, OTHER, RECEIVED, action_label
from app.access.actor import Actor
from app.access.policy import RolePermit, SelfPermit
from app.access.printing import policy_page
from app.access.refusals import SessionLocked, StepUpNeeded
from app.access.tables import (
    ANY_FACTOR,
    DOMAIN_OF_TREATMENT,
    FRESH,
    FRESH_SECONDS,
    IMPLIED,
    NEED_TO_KNOW,
    NEVER_BY_CONSENT,
    NOT_TOLD_TO_SUBJECTS,
    PUBLIC_TASK,
    RECORDERS,
    ROLE_ACTIONS,
    SCOPE_ACTIONS,
    SUBJECT,
    TREATING,
    WHILE_LOCKED,
)
from app.access.vocabulary import PARTICIPANTS, PROFESSIONALS, Acr, Action, Category, ClientScope, Domain, Law, Role
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
OPEN_TO_ALL = PERSONAL | {
    Action.CONSENT_BUNDLE_LIST,
    Action.SYSTEM_READ,
    Action.TOKEN_ISSUE,
    Action.TOKEN_REFRESH,
    Action.TOKEN_REVOKE,
    Action.LOGIN_ENTER,
    Action.ENROLMENT_USE,
}
OF_A_PERSON = {
    Action.CREDENTIAL_ADD,
    Action.CREDENTIAL_LIST,
    Action.CREDENTIAL_REMOVE,
    Action.ENGAGEMENT_OFFER,
    Action.NOTICE_LIST,
    Action.NOTICE_READ,
    Action.SESSION_LOCK,
    Action.SESSION_REAUTHENTICATE,
    Action.SESSION_SWITCH,
}
OF_THE_REGISTER = {Action.ACCESS_REPLAY, Action.REGISTER_EXPORT, Action.REGISTER_LIST}
RESETS = {Action.FACTOR_RESET_CONFIRM, Action.FACTOR_RESET_LIST, Action.FACTOR_RESET_REQUEST}
OF_OTHERS = {Action.SESSION_END_OTHER, Action.SESSION_LIST_OTHER}
OF_STAFF = (
    {
        action
        for action in Action
        if action.partition(":")[0] in {"client", "dossier-keeper", "engagement", "substitute", "team-member"}
    }
    | {
        Action.ENROLMENT_ISSUE,
        Action.ORGANISATION_LIST,
        Action.ORGANISATION_READ,
        Action.STAFF_IMPORT,
        Action.TEAM_LIST,
    }
    | RESETS
    | OF_OTHERS
)
OF_THE_REGION = {action for action in Action if action.partition(":")[0] in {"organisation", "team"}}


def test_every_action_is_somebody_s_and_every_role_is_known() -> None:
    assert ROLE_ACTIONS.keys() == set(Action)
    assert all(roles for roles in ROLE_ACTIONS.values())


def test_who_manages_or_audits_never_touches_a_case() -> None:
    may = {role: {action for action, roles in ROLE_ACTIONS.items() if role in roles} - OPEN_TO_ALL for role in OFFICE}
    assert may == {
        Role.AUDITOR: {Action.AUDIT_SEARCH, Action.ORGANISATION_LIST} | OF_THE_REGISTER | OF_A_PERSON,
        Role.PRIVACY_OFFICER: {Action.AUDIT_SEARCH, Action.ORGANISATION_LIST, Action.MESSAGE_READ}
        | OF_THE_REGISTER
        | {Action.DISCLOSURE_WATCH, Action.BREAK_GLASS_LIST, Action.BREAK_GLASS_READ, Action.BREAK_GLASS_REVIEW}
        | OF_A_PERSON
        | RESETS
        | OF_OTHERS,
        Role.ORG_ADMIN: OF_STAFF
        | OF_A_PERSON
        | {Action.WORKPLACE_END, Action.WORKPLACE_LIST, Action.WORKPLACE_REGISTER},
        Role.REGION_ADMIN: OF_STAFF | OF_THE_REGION | OF_A_PERSON,
        Role.INTEGRATION: {Action.AUDIT_SEARCH, Action.SCIM_READ, Action.SCIM_WRITE, Action.TOKEN_INTROSPECT},
    }


def test_what_manages_people_and_clients_opens_no_case() -> None:
    on_cases = {"case", "thread", "message", "consent", "member", "invitation", "contribution", "patient"}
    for role in (Role.ORG_ADMIN, Role.REGION_ADMIN, Role.INTEGRATION, Role.AUDITOR):
        assert not [a for a, roles in ROLE_ACTIONS.items() if role in roles and a.partition(":")[0] in on_cases]


def test_who_sits_at_a_table_never_reads_the_log() -> None:
    assert not ROLE_ACTIONS[Action.AUDIT_SEARCH] & PARTICIPANTS


def test_who_reads_along_at_home_learns_nothing_of_safety_from_a_log() -> None:
    about = {"safe-contact", "safety-report", "disclosure"}
    assert {action for action in Action if action.partition(":")[0] in about} == NOT_TOLD_TO_SUBJECTS


def test_only_professionals_register_search_and_list_people() -> None:
    for action in (Action.PATIENT_REGISTER, Action.PATIENT_SEARCH, Action.ACCOUNT_LIST):
        assert ROLE_ACTIONS[action] == PROFESSIONALS


def actor(role: Role, **more: Any) -> Actor:
    known: dict[str, Any] = {"acr": Acr.DEMO, "authenticated_at": NOW}
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
        **{**known, **more},
    )


def test_an_integration_does_nothing_beyond_its_scopes() -> None:
    for scope in (None, *ClientScope):
        client = actor(Role.INTEGRATION, scopes=frozenset({scope} if scope else ()))
        opened = SCOPE_ACTIONS[scope] if scope else frozenset()
        for action in frozenset().union(*SCOPE_ACTIONS.values()):
            if action in opened:
                assert policy.authorize_role(client, action, now=NOW).action is action
            else:
                with pytest.raises(Forbidden):
                    policy.authorize_role(client, action, now=NOW)


def able(role: Role, action: Action) -> bool:
    """Whether a role without speciality may; breaking the glass is of practice nurses for one speciality alone."""
    return role in ROLE_ACTIONS[action] and (role, action) not in {
        (Role.POH, Action.BREAK_GLASS_USE),
        (Role.POH, Action.BREAK_GLASS_CONFIRM),
    }


@pytest.mark.parametrize("acr", [Acr.ENROLMENT, Acr.ONE_FACTOR])
def test_one_factor_does_no_more_than_set_up_another_and_leave(acr: Acr) -> None:
    for role, action in [(role, action) for action, roles in ROLE_ACTIONS.items() for role in roles]:
        if not able(role, action):
            continue
        someone = actor(role, acr=acr, scopes=frozenset(ClientScope))
        if action in ANY_FACTOR:
            policy.authorize_self(someone, action, now=NOW)
        else:
            with pytest.raises(StepUpNeeded):
                policy.authorize_self(someone, action, now=NOW)


def test_what_decides_who_gets_in_needs_a_fresh_factor() -> None:
    admin = actor(Role.ORG_ADMIN, acr=Acr.TWO_FACTOR)
    last = NOW + timedelta(seconds=FRESH_SECONDS) - timedelta(microseconds=1)
    assert policy.authorize_role(admin, Action.STAFF_IMPORT, now=last)
    for action in (action for action in FRESH if Role.ORG_ADMIN in ROLE_ACTIONS[action]):
        with pytest.raises(StepUpNeeded):
            policy.authorize_role(admin, action, now=NOW + timedelta(seconds=FRESH_SECONDS))


def test_a_locked_screen_opens_to_a_factor_and_to_leaving_alone() -> None:
    gp = actor(Role.GP, acr=Acr.TWO_FACTOR, locked=True)
    for action in (action for action, roles in ROLE_ACTIONS.items() if Role.GP in roles):
        if action in WHILE_LOCKED:
            policy.authorize_self(gp, action, now=NOW)
        else:
            with pytest.raises(SessionLocked):
                policy.authorize_self(gp, action, now=NOW)


def test_a_permit_cannot_be_copied_into_another() -> None:
    permit = policy.authorize_role(actor(Role.GP), Action.CASE_OPEN, now=NOW)
    with pytest.raises((TypeError, ValueError)):
        replace(permit, action=Action.AUDIT_SEARCH)  # type: ignore[call-arg]  # that is the point


@pytest.mark.parametrize("role", Role)
def test_the_policy_says_what_the_table_says(role: Role) -> None:
    someone = actor(role, scopes=frozenset(ClientScope))
    for action in Action:
        for authorize in (policy.authorize_role, policy.authorize_self):
            if able(role, action):
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


def test_a_citizen_reads_of_every_action_what_it_is() -> None:
    assert set(ACTIONS) == {*map(str, Action), RECEIVED}
    assert len(set(ACTIONS.values())) == len(ACTIONS)
    for action in ACTIONS:
        label = action_label(action)
        assert label[0].isupper()
        assert ":" not in label
    assert action_label("of-a-former-vocabulary") == OTHER
