"""The policy as data: who may do what, and which cells a ground opens. Versioned; printed to ``docs/policy.md``.

A cell is (category, domain). ``W`` includes reading. What a table does not name is closed.
Source: DESIGN 5; KNMG richtlijn Omgaan met medische gegevens; Wmo 2015 chapter 5 (DOMAIN R-1, R-2, R-4, R-43).
"""

from collections.abc import Mapping
from types import MappingProxyType

from app.access.vocabulary import PARTICIPANTS, PROFESSIONALS, Action, Category, Domain, Law, Role

POLICY_VERSION = "2026-1"

C = Category
READ, WRITE = False, True

_OPENED_PER_MEMBER = {C.MENTAL_HEALTH, C.ADDICTION, C.ADVANCE_CARE_PLANNING}
_NEVER_BY_TREATMENT = {C.FINANCE_DEBT, C.WORK_INCOME, C.SAFETY_MELDCODE}
_PRACTICE = {category: WRITE for category in C if category not in _OPENED_PER_MEMBER | _NEVER_BY_TREATMENT}

NEED_TO_KNOW: Mapping[Role, Mapping[Category, bool]] = MappingProxyType(
    {
        Role.GP: _PRACTICE,
        Role.POH: _PRACTICE,
        Role.DISTRICT_NURSE: {
            C.MEDICATION: WRITE,
            C.FUNCTIONAL_ADL: WRITE,
            C.LIVING_SITUATION: WRITE,
            C.PRACTICAL_COORDINATION: WRITE,
            C.PLAN_GOALS_ACTIONS: WRITE,
            C.POSITIVE_HEALTH: WRITE,
            C.MEDICAL_SUMMARY: READ,
            C.SOCIAL_PARTICIPATION: READ,
            C.CRISIS_PLAN: READ,
            C.MDO_REPORT: READ,
        },
        Role.SPECIALIST: {
            C.MEDICAL_SUMMARY: WRITE,
            C.MEDICATION: WRITE,
            C.FUNCTIONAL_ADL: READ,
            C.PLAN_GOALS_ACTIONS: READ,
            C.PRACTICAL_COORDINATION: READ,
            C.MDO_REPORT: READ,
        },
    }
)
"""``direct_treatment``: profession to category to may-write, in the engagement's own domain (care, or youth)."""

_PLAN = {C.PLAN_GOALS_ACTIONS: WRITE, C.PRACTICAL_COORDINATION: WRITE}

PUBLIC_TASK: Mapping[Law, Mapping[Category, bool]] = MappingProxyType(
    {
        Law.WMO2015: {
            **_PLAN,
            C.FUNCTIONAL_ADL: WRITE,
            C.LIVING_SITUATION: WRITE,
            C.SOCIAL_PARTICIPATION: WRITE,
            C.POSITIVE_HEALTH: WRITE,
            C.ZRM: WRITE,
        },
        Law.JEUGDWET: {
            **_PLAN,
            C.YOUTH_DEVELOPMENT: WRITE,
            C.EDUCATION: WRITE,
            C.LIVING_SITUATION: WRITE,
        },
        Law.PARTICIPATIEWET: {**_PLAN, C.SOCIAL_PARTICIPATION: WRITE},
        Law.WGS: _PLAN,
    }
)
"""``public_task``: law to category to may-write, in domain ``social``. Debts and income are never implied (R-43)."""

SUBJECT: Mapping[Category, bool] = MappingProxyType(
    {category: WRITE for category in C if category is not C.SAFETY_MELDCODE}
)
"""``subject``: everything about oneself, in every domain."""

NEVER_BY_CONSENT = frozenset({C.SAFETY_MELDCODE})
"""``consent`` opens what it names but for this, which leaves the author's organisation as a disclosure only."""

IMPLIED = (C.IDENTIFICATION, C.CONTACT_NETWORK)
"""Any other active cell on a subject implies reading these, in every domain."""

_EVERYONE = frozenset(Role)
_CASE_FOLK = PARTICIPANTS

ROLE_ACTIONS: Mapping[Action, frozenset[Role]] = MappingProxyType(
    {
        Action.ACCOUNT_LIST: PROFESSIONALS,
        Action.AUDIT_SEARCH: frozenset({Role.AUDITOR, Role.PRIVACY_OFFICER}),
        Action.CASE_ACCESS: _CASE_FOLK,
        Action.CASE_LIST: _CASE_FOLK,
        Action.CASE_LISTEN: _CASE_FOLK,
        Action.CASE_OPEN: PROFESSIONALS | {Role.CITIZEN},
        Action.CASE_READ: _CASE_FOLK,
        Action.CONSENT_GIVE: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.CONSENT_LIST: _CASE_FOLK,
        Action.CONSENT_PREVIEW: _CASE_FOLK,
        Action.CONSENT_READ: _CASE_FOLK,
        Action.CONSENT_TEXT_LIST: _EVERYONE,
        Action.CONSENT_WITHDRAW: _CASE_FOLK,
        Action.CONTRIBUTION_LIST: _CASE_FOLK,
        Action.INVITATION_ACCEPT: _CASE_FOLK,
        Action.INVITATION_LIST: _CASE_FOLK,
        Action.INVITATION_REFUSE: _CASE_FOLK,
        Action.ME_READ: _EVERYONE,
        Action.MEMBER_END: _CASE_FOLK,
        Action.MEMBER_INVITE: _CASE_FOLK,
        Action.MEMBER_LIST: _CASE_FOLK,
        Action.MESSAGE_CORRECT: _CASE_FOLK,
        Action.MESSAGE_LIST: _CASE_FOLK,
        Action.MESSAGE_POST: _CASE_FOLK,
        Action.MESSAGE_READ: _CASE_FOLK | {Role.PRIVACY_OFFICER},
        Action.MESSAGE_RETRACT: _CASE_FOLK,
        Action.ORGANISATION_LIST: PROFESSIONALS | {Role.ORG_ADMIN, Role.AUDITOR, Role.PRIVACY_OFFICER},
        Action.PATIENT_REGISTER: PROFESSIONALS,
        Action.PATIENT_SEARCH: PROFESSIONALS,
        Action.PUBLIC_TASK_RECORD: _CASE_FOLK,
        Action.PUBLIC_TASK_END: _CASE_FOLK,
        Action.SESSION_END: _EVERYONE,
        Action.SESSION_LIST: _EVERYONE,
        Action.SYSTEM_READ: _EVERYONE,
        Action.THREAD_LIST: _CASE_FOLK,
        Action.THREAD_OPEN: _CASE_FOLK,
        Action.THREAD_READ: _CASE_FOLK,
        Action.THREAD_TYPING: _CASE_FOLK,
        Action.TICKET_ISSUE: _CASE_FOLK,
        Action.TOKEN_ISSUE: _EVERYONE,
    }
)
"""Role x action. A role that is not named for an action is refused with 403, whatever the case says."""

RECORDERS = PROFESSIONALS
"""Roles that may record a citizen's consent, for the domain of their own engagement only."""

TREATING = frozenset(NEED_TO_KNOW)
"""Roles that can be directly involved in treatment; a social engagement never is (R-2)."""

DOMAIN_OF_TREATMENT = frozenset({Domain.CARE, Domain.YOUTH})
"""Domains in which direct treatment opens cells."""
