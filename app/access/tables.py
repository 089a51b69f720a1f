"""The policy as data: who may do what, and which cells a ground opens. Versioned; printed to ``docs/policy.md``.

A cell is (category, domain). ``W`` includes reading. What a table does not name is closed.
Source: DESIGN 5; KNMG richtlijn Omgaan met medische gegevens; Wmo 2015 chapter 5 (DOMAIN R-1, R-2, R-4, R-43).
"""

from collections.abc import Mapping
from types import MappingProxyType

from app.access.vocabulary import (
    PARTICIPANTS,
    PROFESSIONALS,
    Acr,
    Action,
    Category,
    ClientScope,
    Domain,
    Law,
    Power,
    Role,
    Speciality,
)

POLICY_VERSION = "2026-4"

C = Category
READ, WRITE = False, True

_MAY_WRITE_OPENED = frozenset({Role.GP, Role.POH, Role.SPECIALIST})

OPENED_PER_MEMBER: Mapping[Category, frozenset[Role]] = MappingProxyType(
    {
        C.MENTAL_HEALTH: _MAY_WRITE_OPENED,
        C.ADDICTION: _MAY_WRITE_OPENED,
        C.ADVANCE_CARE_PLANNING: _MAY_WRITE_OPENED | {Role.DISTRICT_NURSE},
    }
)
"""What treatment leaves closed until it is opened for one member with a reason; and who then writes there too."""

_NEVER_BY_TREATMENT = {C.FINANCE_DEBT, C.WORK_INCOME, C.SAFETY_MELDCODE}
_PRACTICE = {category: WRITE for category in C if category not in OPENED_PER_MEMBER.keys() | _NEVER_BY_TREATMENT}

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
"""``direct_treatment``: profession to category to may-write, in the engagement's own domain (care, or youth).

Ask :func:`need_to_know`, which narrows it by speciality.
"""

_GROWING_UP = frozenset({C.YOUTH_DEVELOPMENT, C.EDUCATION})

NARROWED: Mapping[Speciality, frozenset[Category]] = MappingProxyType(
    {
        Speciality.OUDEREN: frozenset(),
        Speciality.JEUGD: frozenset(),
        Speciality.SOMATIEK: _GROWING_UP,
        Speciality.GGZ: _GROWING_UP,
    }
)
"""What a practice nurse of this speciality does not see by treatment alone; consent may open it all the same."""


def need_to_know(role: Role, speciality: str | None) -> Mapping[Category, bool]:
    """Return category to may-write of what ``direct_treatment`` opens; empty for whoever treats nobody.

    A speciality that no table knows opens only what every speciality opens.
    """
    table = NEED_TO_KNOW.get(role, {})
    if role is not Role.POH or speciality is None:
        return table
    closed = NARROWED[Speciality(speciality)] if speciality in set(Speciality) else _GROWING_UP
    return {category: may_write for category, may_write in table.items() if category not in closed}


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

OPENERS = frozenset({Role.GP, Role.SPECIALIST})
"""Who opens such a category for a member, themselves included: whoever answers for the treatment."""

EMERGENCY: Mapping[Category, bool] = MappingProxyType(
    {
        C.MEDICAL_SUMMARY: READ,
        C.MEDICATION: READ,
        C.ADVANCE_CARE_PLANNING: READ,
        C.CRISIS_PLAN: READ,
        C.IDENTIFICATION: READ,
        C.CONTACT_NETWORK: READ,
        C.PRACTICAL_COORDINATION: READ,
    }
)
"""``emergency``: what whoever breaks the glass sees, in every domain; nobody writes by it. Source: DESIGN 5, R-16."""

NEVER_BY_CONSENT = frozenset({C.SAFETY_MELDCODE})
"""``consent`` opens what it names but for this, which leaves the author's organisation as a disclosure only."""

IMPLIED = (C.IDENTIFICATION, C.CONTACT_NETWORK)
"""Any other active cell on a subject implies reading these, in every domain."""

TREATING = frozenset(NEED_TO_KNOW)
"""Roles that can be directly involved in treatment; a social engagement never is (R-2)."""

_EVERYONE = frozenset(Role)
_CASE_FOLK = PARTICIPANTS
_PERSONS = frozenset(Role) - {Role.INTEGRATION}
_DECIDERS = PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE}
_REGION = frozenset({Role.REGION_ADMIN})
_OFFICE = frozenset({Role.ORG_ADMIN})
_ADMINS = frozenset({Role.REGION_ADMIN, Role.ORG_ADMIN})
_WATCHERS = frozenset({Role.AUDITOR, Role.PRIVACY_OFFICER})
_OF_EMERGENCIES = PROFESSIONALS | {Role.CITIZEN, Role.PRIVACY_OFFICER}
_RESETTERS = _ADMINS | {Role.PRIVACY_OFFICER, Role.GP}

ROLE_ACTIONS: Mapping[Action, frozenset[Role]] = MappingProxyType(
    {
        Action.ACCESS_REPLAY: _WATCHERS,
        Action.ACCESS_LOG_READ: frozenset({Role.CITIZEN, Role.REPRESENTATIVE}),
        Action.ACCESS_REQUEST_RECORD: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.ACCOUNT_LIST: PROFESSIONALS,
        Action.ACTIVATION_ISSUE: PROFESSIONALS,
        Action.ACTIVATION_USE: frozenset({Role.CITIZEN}),
        **dict.fromkeys((Action.AFTER_DEATH_DECIDE, Action.AFTER_DEATH_LIST), PROFESSIONALS),
        Action.AUDIT_SEARCH: frozenset({Role.AUDITOR, Role.PRIVACY_OFFICER, Role.INTEGRATION}),
        **dict.fromkeys((Action.BREAK_GLASS_CONFIRM, Action.BREAK_GLASS_END, Action.BREAK_GLASS_USE), TREATING),
        Action.BREAK_GLASS_LIST: _OF_EMERGENCIES,
        Action.BREAK_GLASS_READ: _OF_EMERGENCIES,
        Action.BREAK_GLASS_REVIEW: frozenset({Role.PRIVACY_OFFICER}),
        Action.CASE_ACCESS: _CASE_FOLK,
        Action.CASE_LIST: _CASE_FOLK,
        Action.CASE_LISTEN: _CASE_FOLK,
        Action.CASE_OPEN: PROFESSIONALS | {Role.CITIZEN},
        Action.CASE_READ: _CASE_FOLK,
        **dict.fromkeys((Action.CLIENT_CHANGE, Action.CLIENT_LIST), _ADMINS),
        **dict.fromkeys((Action.CLIENT_REGISTER, Action.CLIENT_SUSPEND), _ADMINS),
        Action.CONSENT_ASK: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.CONSENT_BUNDLE_LIST: _EVERYONE,
        Action.CONSENT_BUNDLE_USE: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.CONSENT_DECIDE: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.CONSENT_EXTEND: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.CONSENT_GIVE: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.CONSENT_LIST: _CASE_FOLK,
        Action.CONSENT_NARROW: _CASE_FOLK,
        Action.CONSENT_PREVIEW: _CASE_FOLK,
        Action.CONSENT_READ: _CASE_FOLK,
        Action.CONSENT_RENEW: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.CONSENT_REQUEST_LIST: frozenset({Role.CITIZEN, Role.REPRESENTATIVE}),
        Action.CONSENT_TEXT_LIST: _EVERYONE,
        Action.CONSENT_WITHDRAW: _CASE_FOLK,
        Action.CONTRIBUTION_EXPORT: _CASE_FOLK,
        Action.CONTRIBUTION_LIST: _CASE_FOLK,
        Action.CREDENTIAL_ADD: _PERSONS,
        Action.CREDENTIAL_LIST: _PERSONS,
        Action.CREDENTIAL_REMOVE: _PERSONS,
        Action.DISCLOSURE_LIST: PROFESSIONALS | {Role.CITIZEN},
        Action.DISCLOSURE_RECORD: PROFESSIONALS,
        Action.DISCLOSURE_WATCH: frozenset({Role.PRIVACY_OFFICER}),
        **dict.fromkeys((Action.DEATH_LIST, Action.DEATH_RECORD, Action.DEATH_UNDO), PROFESSIONALS),
        Action.DOSSIER_KEEPER_END: _ADMINS,
        Action.DOSSIER_KEEPER_LIST: PROFESSIONALS | _ADMINS,
        Action.DOSSIER_KEEPER_NAME: _ADMINS,
        Action.DOSSIER_READ: PROFESSIONALS,
        Action.ENGAGEMENT_CHANGE: _ADMINS,
        Action.ENGAGEMENT_CONFIRM: _ADMINS,
        Action.ENGAGEMENT_CREATE: _ADMINS,
        Action.ENGAGEMENT_END: _ADMINS,
        Action.ENGAGEMENT_LIST: _ADMINS,
        Action.ENGAGEMENT_OFFER: _PERSONS,
        Action.ENGAGEMENT_PREVIEW: _ADMINS,
        Action.ENGAGEMENT_SUSPEND: _ADMINS,
        Action.ENROLMENT_ISSUE: _ADMINS,
        Action.ENROLMENT_USE: _EVERYONE,
        Action.EXCLUSION_END: _DECIDERS,
        Action.EXCLUSION_LIST: _CASE_FOLK,
        Action.EXCLUSION_RECORD: _DECIDERS,
        Action.FACTOR_RESET_CONFIRM: _RESETTERS,
        Action.FACTOR_RESET_LIST: _RESETTERS,
        Action.FACTOR_RESET_REQUEST: _RESETTERS,
        Action.INVITATION_ACCEPT: _CASE_FOLK,
        Action.INVITATION_LIST: _CASE_FOLK,
        Action.INVITATION_REFUSE: _CASE_FOLK,
        Action.LOGIN_ENTER: _EVERYONE,
        Action.MEMBER_END: _CASE_FOLK,
        Action.MEMBER_INVITE: _CASE_FOLK,
        Action.MEMBER_LIST: _CASE_FOLK,
        Action.MESSAGE_CORRECT: _CASE_FOLK,
        Action.MESSAGE_LIST: _CASE_FOLK,
        Action.MESSAGE_POST: _CASE_FOLK,
        Action.MESSAGE_READ: _CASE_FOLK | {Role.PRIVACY_OFFICER},
        Action.MESSAGE_RETRACT: _CASE_FOLK,
        Action.ME_READ: _EVERYONE,
        Action.MOVE_RECORD: _CASE_FOLK,
        Action.NOTICE_LIST: _PERSONS,
        Action.NOTICE_PRINT: PROFESSIONALS,
        Action.NOTICE_READ: _PERSONS,
        Action.OBJECTION_END: _DECIDERS,
        Action.OBJECTION_LIST: _CASE_FOLK,
        Action.OBJECTION_RECORD: _DECIDERS,
        Action.OPENING_END: OPENERS,
        Action.OPENING_LIST: _CASE_FOLK,
        Action.OPENING_RECORD: OPENERS,
        Action.ORGANISATION_AGREE: _REGION,
        Action.ORGANISATION_CHANGE: _REGION,
        Action.ORGANISATION_CREATE: _REGION,
        Action.ORGANISATION_LIST: PROFESSIONALS | _ADMINS | {Role.AUDITOR, Role.PRIVACY_OFFICER},
        Action.ORGANISATION_MERGE: _REGION,
        Action.ORGANISATION_READ: _ADMINS,
        Action.ORGANISATION_SUSPEND: _REGION,
        Action.PATIENT_REGISTER: PROFESSIONALS,
        Action.PATIENT_SEARCH: PROFESSIONALS,
        **dict.fromkeys(
            (Action.PRACTICE_CHANGE_ANNOUNCE, Action.PRACTICE_CHANGE_LIST, Action.PRACTICE_CHANGE_WITHDRAW), _DECIDERS
        ),
        **dict.fromkeys(
            (Action.PRACTICE_CHANGE_ACCEPT, Action.PRACTICE_CHANGE_RECEIVE, Action.PRACTICE_CHANGE_REFUSE),
            frozenset({Role.GP}),
        ),
        Action.PUBLIC_TASK_END: _CASE_FOLK,
        Action.PUBLIC_TASK_RECORD: _CASE_FOLK,
        **dict.fromkeys((Action.REGISTER_EXPORT, Action.REGISTER_LIST), _WATCHERS),
        Action.REPLACEMENT_END: PROFESSIONALS,
        Action.REPLACEMENT_LIST: PROFESSIONALS,
        Action.REPLACEMENT_START: PROFESSIONALS,
        Action.SAFETY_REPORT_LIST: PROFESSIONALS,
        Action.SAFETY_REPORT_RECORD: PROFESSIONALS,
        Action.REPRESENTATION_END: PROFESSIONALS,
        Action.REPRESENTATION_LIST: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.REPRESENTATION_RECORD: PROFESSIONALS,
        Action.SAFE_CONTACT_LIST: PROFESSIONALS,
        Action.SAFE_CONTACT_RECORD: PROFESSIONALS,
        Action.SCIM_READ: frozenset({Role.INTEGRATION}),
        Action.SCIM_WRITE: frozenset({Role.INTEGRATION}),
        Action.SESSION_END: _EVERYONE,
        Action.SESSION_END_OTHER: _ADMINS | {Role.PRIVACY_OFFICER},
        Action.SESSION_LIST: _EVERYONE,
        Action.SESSION_LIST_OTHER: _ADMINS | {Role.PRIVACY_OFFICER},
        Action.SESSION_LOCK: _PERSONS,
        Action.SESSION_REAUTHENTICATE: _PERSONS,
        Action.SESSION_SWITCH: _PERSONS,
        Action.STAFF_IMPORT: _ADMINS,
        Action.STATEMENT_ADD: PROFESSIONALS | {Role.CITIZEN, Role.REPRESENTATIVE},
        Action.STATEMENT_LIST: _CASE_FOLK,
        Action.SUBJECT_ADD: PROFESSIONALS,
        Action.SUBSTITUTE_END: _ADMINS,
        Action.SUBSTITUTE_LIST: PROFESSIONALS | _ADMINS,
        Action.SUBSTITUTE_REGISTER: _ADMINS,
        Action.SYSTEM_READ: _EVERYONE,
        **dict.fromkeys((Action.TEAM_CHANGE, Action.TEAM_CREATE), _REGION),
        Action.TEAM_LIST: PROFESSIONALS | _ADMINS,
        **dict.fromkeys((Action.TEAM_MEMBER_ADD, Action.TEAM_MEMBER_END), _ADMINS),
        Action.TEAM_MEMBER_LIST: PROFESSIONALS | _ADMINS,
        Action.TEAM_MERGE: _REGION,
        Action.TEAM_SUSPEND: _REGION,
        Action.THREAD_LIST: _CASE_FOLK,
        Action.THREAD_OPEN: _CASE_FOLK,
        Action.THREAD_READ: _CASE_FOLK,
        Action.THREAD_RELEASE: PROFESSIONALS,
        Action.THREAD_TYPING: _CASE_FOLK,
        Action.TICKET_ISSUE: _CASE_FOLK,
        Action.TOKEN_INTROSPECT: frozenset({Role.INTEGRATION}),
        Action.TOKEN_ISSUE: _EVERYONE,
        Action.TOKEN_REFRESH: _EVERYONE,
        Action.TOKEN_REVOKE: _EVERYONE,
        Action.WITHHOLDING_END: PROFESSIONALS,
        Action.WITHHOLDING_RECORD: PROFESSIONALS,
        Action.WORKPLACE_END: _OFFICE,
        **dict.fromkeys((Action.WORKPLACE_LIST, Action.WORKPLACE_REGISTER), _OFFICE),
    }
)
"""Role x action. A role that is not named for an action is refused with 403, whatever the case says."""

NOT_TOLD_TO_SUBJECTS = frozenset(
    action for action in Action if action.startswith(("disclosure:", "safe-contact:", "safety-report:"))
)
"""What no view of the log shows to those whom a case is about: who reads along at home would learn of it."""

P = Power
_LEADS = frozenset({P.OPEN_CASE, P.RECORD_CONSENT, P.CHAIR})
_NURSE_OF_PRACTICE: Mapping[Speciality | None, frozenset[Power]] = {
    None: _LEADS,
    Speciality.OUDEREN: _LEADS,
    Speciality.JEUGD: _LEADS,
    # Works by the protocols of chronic disease: takes part, and leaves opening and leading to the GP.
    Speciality.SOMATIEK: frozenset({P.RECORD_CONSENT}),
    # Meets crises first: the only practice nurse that breaks the glass.
    Speciality.GGZ: _LEADS | {P.BREAK_GLASS},
}

SEPARATION: Mapping[tuple[Role, Speciality | None], frozenset[Power]] = MappingProxyType(
    {
        (Role.GP, None): _LEADS | {P.BREAK_GLASS},
        **{(Role.POH, speciality): powers for speciality, powers in _NURSE_OF_PRACTICE.items()},
        (Role.SOCIAL_TEAM, None): _LEADS,
        (Role.DISTRICT_NURSE, None): _LEADS | {P.BREAK_GLASS},
        (Role.SPECIALIST, None): _LEADS | {P.BREAK_GLASS},
        (Role.CITIZEN, None): frozenset({P.OPEN_CASE, P.RECORD_CONSENT}),
        (Role.REPRESENTATIVE, None): frozenset({P.RECORD_CONSENT}),
    }
)
"""The role separation: who may open a case, record consent, chair, break the glass. Who is not named may none of it.

Ask :func:`powers_of`. A citizen records consent about herself alone, a representative for whom it represents.
"""


def powers_of(role: Role, speciality: str | None) -> frozenset[Power]:
    """Return what this role may begin or lead.

    Only a practice nurse is narrowed by speciality; one that no table knows has what every speciality has.
    """
    if role is not Role.POH or speciality is None:
        return SEPARATION.get((role, None), frozenset())
    if speciality not in set(Speciality):
        return frozenset.intersection(*_NURSE_OF_PRACTICE.values())
    return SEPARATION[role, Speciality(speciality)]


POWER_BEHIND: Mapping[Action, Power] = MappingProxyType(
    {
        Action.BREAK_GLASS_CONFIRM: P.BREAK_GLASS,
        Action.BREAK_GLASS_USE: P.BREAK_GLASS,
        Action.CASE_OPEN: P.OPEN_CASE,
        Action.CONSENT_ASK: P.RECORD_CONSENT,
        Action.CONSENT_BUNDLE_USE: P.RECORD_CONSENT,
        Action.CONSENT_DECIDE: P.RECORD_CONSENT,
        Action.CONSENT_EXTEND: P.RECORD_CONSENT,
        Action.CONSENT_GIVE: P.RECORD_CONSENT,
        Action.EXCLUSION_END: P.RECORD_CONSENT,
        Action.EXCLUSION_RECORD: P.RECORD_CONSENT,
        Action.OBJECTION_END: P.RECORD_CONSENT,
        Action.OBJECTION_RECORD: P.RECORD_CONSENT,
        Action.CONSENT_RENEW: P.RECORD_CONSENT,
    }
)
"""Actions that the role alone does not suffice for: the speciality must leave the power as well."""

RECORDERS = PROFESSIONALS
"""Roles that may record a citizen's consent, for the domain of their own engagement only."""

DOMAIN_OF_TREATMENT = frozenset({Domain.CARE, Domain.YOUTH})
"""Domains in which direct treatment opens cells."""

TWO_FACTORS = frozenset({Acr.TWO_FACTOR, Acr.CLIENT_KEY, Acr.DEMO})
"""Ways to log in that count as two factors (R-37). A client proves possession of its key; the demo has no factors."""

ANY_FACTOR = frozenset(
    {
        Action.CONSENT_TEXT_LIST,
        Action.CREDENTIAL_ADD,
        Action.CREDENTIAL_LIST,
        Action.ENROLMENT_USE,
        Action.LOGIN_ENTER,
        Action.ME_READ,
        Action.SESSION_END,
        Action.SESSION_LIST,
        Action.SESSION_LOCK,
        Action.SESSION_REAUTHENTICATE,
        Action.SYSTEM_READ,
        Action.TOKEN_ISSUE,
        Action.TOKEN_REFRESH,
        Action.TOKEN_REVOKE,
    }
)
"""What a session may do before its second factor: say who one is, set up a factor, leave. All else needs two."""

WHILE_LOCKED = frozenset({Action.SESSION_REAUTHENTICATE, Action.SESSION_END, Action.SESSION_LOCK})
"""What a locked screen may do."""

FRESH = frozenset(
    {
        Action.BREAK_GLASS_CONFIRM,
        Action.BREAK_GLASS_USE,
        Action.CLIENT_CHANGE,
        Action.CLIENT_REGISTER,
        Action.CREDENTIAL_REMOVE,
        Action.ENGAGEMENT_CHANGE,
        Action.ENGAGEMENT_CREATE,
        Action.ENGAGEMENT_END,
        Action.ENGAGEMENT_OFFER,
        Action.ENROLMENT_ISSUE,
        Action.FACTOR_RESET_CONFIRM,
        Action.FACTOR_RESET_REQUEST,
        Action.ORGANISATION_MERGE,
        Action.STAFF_IMPORT,
        Action.WORKPLACE_REGISTER,
    }
)
"""What needs a factor shown within ``FRESH_SECONDS``: who can get in, with what, and breaking the glass (R-16)."""

FRESH_SECONDS = 900

SCOPE_ACTIONS: Mapping[ClientScope, frozenset[Action]] = MappingProxyType(
    {
        ClientScope.REFERRALS_WRITE: frozenset(),
        ClientScope.FHIR_READ: frozenset(),
        ClientScope.AUDIT_READ: frozenset({Action.AUDIT_SEARCH}),
        ClientScope.SCIM_READ: frozenset({Action.SCIM_READ}),
        ClientScope.SCIM_WRITE: frozenset({Action.SCIM_READ, Action.SCIM_WRITE}),
    }
)
"""What a scope of an integration opens; without the scope the role alone opens none of it."""
