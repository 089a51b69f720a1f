"""The words that decisions are made of: roles, domains, categories, grounds, actions. Pure.

Source: DOMAIN 4.1 to 4.5 and DESIGN 5.
"""

from enum import StrEnum


class Role(StrEnum):
    """Role class of an engagement, as a token carries it."""

    GP = "gp"
    POH = "poh"
    SOCIAL_TEAM = "social_team"
    DISTRICT_NURSE = "district_nurse"
    SPECIALIST = "specialist"
    CITIZEN = "citizen"
    REPRESENTATIVE = "representative"
    INFORMAL_CARER = "informal_carer"
    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy_officer"
    ORG_ADMIN = "org_admin"
    REGION_ADMIN = "region_admin"
    INTEGRATION = "integration"
    EXPERIENCE_EXPERT = "experience_expert"
    VOLUNTEER = "volunteer"
    SCHOOL = "school"
    HOUSING = "housing"


PROFESSIONALS = frozenset({Role.GP, Role.POH, Role.SOCIAL_TEAM, Role.DISTRICT_NURSE, Role.SPECIALIST})
"""Roles that work with citizens under care or social secrecy."""

OFFICIALS = frozenset({Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ORG_ADMIN, Role.REGION_ADMIN, Role.INTEGRATION})
"""Roles that run and watch over the region, and see no case."""

TABLE_COMPANY = frozenset(
    {Role.INFORMAL_CARER, Role.EXPERIENCE_EXPERT, Role.VOLUNTEER, Role.SCHOOL, Role.HOUSING, Role.REPRESENTATIVE}
)
"""Roles that may sit at a table but hold no cell by default."""

PARTICIPANTS = PROFESSIONALS | TABLE_COMPANY | {Role.CITIZEN}
"""Every role that can be a member of a case."""


class Domain(StrEnum):
    """Whose secrecy or ground stands behind content."""

    CARE = "care"
    YOUTH = "youth"
    SOCIAL = "social"


class Category(StrEnum):
    """What content is about; labels threads, decisions, plan parts and files."""

    MEDICAL_SUMMARY = "medical_summary"
    MEDICATION = "medication"
    MENTAL_HEALTH = "mental_health"
    ADDICTION = "addiction"
    FUNCTIONAL_ADL = "functional_adl"
    ADVANCE_CARE_PLANNING = "advance_care_planning"
    CRISIS_PLAN = "crisis_plan"
    YOUTH_DEVELOPMENT = "youth_development"
    EDUCATION = "education"
    LIVING_SITUATION = "living_situation"
    SOCIAL_PARTICIPATION = "social_participation"
    FINANCE_DEBT = "finance_debt"
    WORK_INCOME = "work_income"
    IDENTIFICATION = "identification"
    CONTACT_NETWORK = "contact_network"
    PRACTICAL_COORDINATION = "practical_coordination"
    PLAN_GOALS_ACTIONS = "plan_goals_actions"
    MDO_REPORT = "mdo_report"
    POSITIVE_HEALTH = "positive_health"
    ZRM = "zrm"
    SAFETY_MELDCODE = "safety_meldcode"


class Ground(StrEnum):
    """Why a cell is open."""

    SUBJECT = "subject"
    DIRECT_TREATMENT = "direct_treatment"
    REPLACEMENT = "replacement"
    PUBLIC_TASK = "public_task"
    CONSENT = "consent"
    EMERGENCY = "emergency"
    AUTHOR = "author"


class Law(StrEnum):
    """Law under which a municipality's engagement carries out a public task."""

    WMO2015 = "wmo2015"
    JEUGDWET = "jeugdwet"
    PARTICIPATIEWET = "participatiewet"
    WGS = "wgs"


class Purpose(StrEnum):
    """Purpose of use; HL7 v3 ActReason, and local codes for social work and audit."""

    TREAT = "TREAT"
    CAREMGT = "CAREMGT"
    SOCSUPPORT = "SOCSUPPORT"
    PATRQT = "PATRQT"
    AUDIT = "AUDIT"
    BTG = "BTG"
    HOPERAT = "HOPERAT"


class ConsentKind(StrEnum):
    """Three different things that never stand in for one another."""

    LIFT_SECRECY = "lift_secrecy"
    GDPR_BASIS = "gdpr_basis"
    AGREE_TO_HELP = "agree_to_help"


class CaseRole(StrEnum):
    """What a member does at this table. Source: DOMAIN 4.2."""

    REGIEBEHANDELAAR = "regiebehandelaar"
    CASEMANAGER = "casemanager"
    GEZINSREGISSEUR = "gezinsregisseur"
    COORDINATOR_KERNTEAM = "coordinator_kernteam"
    VOORZITTER = "voorzitter"
    NOTULIST = "notulist"
    DEELNEMER = "deelnemer"
    CONSULTANT = "consultant"
    INFORMANT = "informant"
    WAARNEMER = "waarnemer"
    PATIENT = "patient"
    WETTELIJK_VERTEGENWOORDIGER = "wettelijk_vertegenwoordiger"
    MANTELZORGER = "mantelzorger"
    CLIENTONDERSTEUNER = "clientondersteuner"


CASE_MANAGERS = frozenset({CaseRole.CASEMANAGER, CaseRole.GEZINSREGISSEUR})
"""Case roles that manage the case; while nobody holds one, the opener does."""


class ReasonCode(StrEnum):
    """Why somebody is invited; coded, so that an invitation says nothing about the citizen."""

    ELDERLY_MDO = "elderly-mdo"
    TREATMENT = "treatment"
    CARE_COORDINATION = "care-coordination"
    SOCIAL_SUPPORT = "social-support"
    MENTAL_HEALTH = "mental-health"
    YOUTH_FAMILY = "youth-family"
    TRANSFER = "transfer"
    CONSULTATION = "consultation"
    INFORMAL_CARE = "informal-care"
    CITIZEN_REQUEST = "citizen-request"


class HoldReason(StrEnum):
    """Why a thread is shown to the citizen later than it was opened; the words beside it are sealed."""

    TALK_FIRST = "talk-first"
    RESULT_PENDING = "result-pending"
    CONSULTATION = "consultation"
    OTHER = "other"


class MessageKind(StrEnum):
    """What a message wants from its readers."""

    MESSAGE = "message"
    QUESTION = "question"
    ANSWER = "answer"
    PHONE_NOTE = "phone-note"
    DECISION_NEEDED = "decision-needed"


class Speciality(StrEnum):
    """What a practice nurse (POH) is trained for. Source: DOMAIN 4.1."""

    OUDEREN = "ouderen"
    JEUGD = "jeugd"
    SOMATIEK = "somatiek"
    GGZ = "ggz"


class Power(StrEnum):
    """What somebody may begin or lead, beside taking part; the role separation says who."""

    OPEN_CASE = "open-case"
    RECORD_CONSENT = "record-consent"
    CHAIR = "chair"
    BREAK_GLASS = "break-glass"


class EmergencyReason(StrEnum):
    """Why somebody breaks the glass. Source: DOMAIN J7."""

    LIFE_THREATENING = "life-threatening"
    ACUTE_UNSAFETY = "acute-unsafety"
    CONFLICT_OF_DUTIES = "conflict-of-duties"


class Acr(StrEnum):
    """How a session was authenticated, as its tokens say (``acr``)."""

    ENROLMENT = "enrolment"
    ONE_FACTOR = "one-factor"
    TWO_FACTOR = "two-factor"
    CLIENT_KEY = "client-key"
    DEMO = "demo"


class ClientScope(StrEnum):
    """What an integration may be registered for. The first two stand open to later parts of the interface."""

    REFERRALS_WRITE = "referrals:write"
    FHIR_READ = "fhir:read"
    AUDIT_READ = "audit:read"
    SCIM_READ = "scim:read"
    SCIM_WRITE = "scim:write"


class Action(StrEnum):
    """Everything an actor can do; the audit log stores the same strings."""

    ACCESS_REPLAY = "access:replay"
    ACCESS_LOG_READ = "access-log:read"
    ACCESS_REQUEST_RECORD = "access-request:record"
    ACCOUNT_LIST = "account:list"
    ACTIVATION_ISSUE = "activation:issue"
    ACTIVATION_USE = "activation:use"
    AFTER_DEATH_DECIDE = "after-death:decide"
    AFTER_DEATH_LIST = "after-death:list"
    AUDIT_SEARCH = "audit:search"
    BREAK_GLASS_CONFIRM = "break-glass:confirm"
    BREAK_GLASS_END = "break-glass:end"
    BREAK_GLASS_LIST = "break-glass:list"
    BREAK_GLASS_READ = "break-glass:read"
    BREAK_GLASS_REVIEW = "break-glass:review"
    BREAK_GLASS_USE = "break-glass:use"
    CASE_ACCESS = "case:access"
    CASE_LIST = "case:list"
    CASE_LISTEN = "case:listen"
    CASE_OPEN = "case:open"
    CASE_READ = "case:read"
    CLIENT_CHANGE = "client:change"
    CLIENT_LIST = "client:list"
    CLIENT_REGISTER = "client:register"
    CLIENT_SUSPEND = "client:suspend"
    CONSENT_ASK = "consent:ask"
    CONSENT_BUNDLE_LIST = "consent-bundle:list"
    CONSENT_BUNDLE_USE = "consent-bundle:use"
    CONSENT_DECIDE = "consent:decide"
    CONSENT_EXTEND = "consent:extend"
    CONSENT_GIVE = "consent:give"
    CONSENT_LIST = "consent:list"
    CONSENT_NARROW = "consent:narrow"
    CONSENT_PREVIEW = "consent:preview"
    CONSENT_READ = "consent:read"
    CONSENT_RENEW = "consent:renew"
    CONSENT_REQUEST_LIST = "consent-request:list"
    CONSENT_TEXT_LIST = "consent-text:list"
    CONSENT_WITHDRAW = "consent:withdraw"
    CONTRIBUTION_EXPORT = "contribution:export"
    CONTRIBUTION_LIST = "contribution:list"
    CREDENTIAL_ADD = "credential:add"
    CREDENTIAL_LIST = "credential:list"
    CREDENTIAL_REMOVE = "credential:remove"
    DISCLOSURE_LIST = "disclosure:list"
    DISCLOSURE_RECORD = "disclosure:record"
    DISCLOSURE_WATCH = "disclosure:watch"
    DEATH_LIST = "death:list"
    DEATH_RECORD = "death:record"
    DEATH_UNDO = "death:undo"
    DOSSIER_KEEPER_END = "dossier-keeper:end"
    DOSSIER_KEEPER_LIST = "dossier-keeper:list"
    DOSSIER_KEEPER_NAME = "dossier-keeper:name"
    DOSSIER_READ = "dossier:read"
    ENGAGEMENT_CHANGE = "engagement:change"
    ENGAGEMENT_CONFIRM = "engagement:confirm"
    ENGAGEMENT_CREATE = "engagement:create"
    ENGAGEMENT_END = "engagement:end"
    ENGAGEMENT_LIST = "engagement:list"
    ENGAGEMENT_OFFER = "engagement:offer"
    ENGAGEMENT_PREVIEW = "engagement:preview"
    ENGAGEMENT_SUSPEND = "engagement:suspend"
    ENROLMENT_ISSUE = "enrolment:issue"
    ENROLMENT_USE = "enrolment:use"
    EXCLUSION_END = "exclusion:end"
    EXCLUSION_LIST = "exclusion:list"
    EXCLUSION_RECORD = "exclusion:record"
    FACTOR_RESET_CONFIRM = "factor-reset:confirm"
    FACTOR_RESET_LIST = "factor-reset:list"
    FACTOR_RESET_REQUEST = "factor-reset:request"
    INVITATION_ACCEPT = "invitation:accept"
    INVITATION_LIST = "invitation:list"
    INVITATION_REFUSE = "invitation:refuse"
    LOGIN_ENTER = "login:enter"
    MEMBER_END = "member:end"
    MEMBER_INVITE = "member:invite"
    MEMBER_LIST = "member:list"
    MESSAGE_CORRECT = "message:correct"
    MESSAGE_LIST = "message:list"
    MESSAGE_POST = "message:post"
    MESSAGE_READ = "message:read"
    MESSAGE_RETRACT = "message:retract"
    ME_READ = "me:read"
    MOVE_RECORD = "move:record"
    NOTICE_LIST = "notice:list"
    NOTICE_PRINT = "notice:print"
    NOTICE_READ = "notice:read"
    OBJECTION_END = "objection:end"
    OBJECTION_LIST = "objection:list"
    OBJECTION_RECORD = "objection:record"
    OPENING_END = "opening:end"
    OPENING_LIST = "opening:list"
    OPENING_RECORD = "opening:record"
    ORGANISATION_AGREE = "organisation:agree"
    ORGANISATION_CHANGE = "organisation:change"
    ORGANISATION_CREATE = "organisation:create"
    ORGANISATION_LIST = "organisation:list"
    ORGANISATION_MERGE = "organisation:merge"
    ORGANISATION_READ = "organisation:read"
    ORGANISATION_SUSPEND = "organisation:suspend"
    PATIENT_REGISTER = "patient:register"
    PATIENT_SEARCH = "patient:search"
    PRACTICE_CHANGE_ACCEPT = "practice-change:accept"
    PRACTICE_CHANGE_ANNOUNCE = "practice-change:announce"
    PRACTICE_CHANGE_LIST = "practice-change:list"
    PRACTICE_CHANGE_RECEIVE = "practice-change:receive"
    PRACTICE_CHANGE_REFUSE = "practice-change:refuse"
    PRACTICE_CHANGE_WITHDRAW = "practice-change:withdraw"
    PUBLIC_TASK_END = "public-task:end"
    PUBLIC_TASK_RECORD = "public-task:record"
    REGISTER_EXPORT = "register:export"
    REGISTER_LIST = "register:list"
    REPLACEMENT_END = "replacement:end"
    REPLACEMENT_LIST = "replacement:list"
    REPLACEMENT_START = "replacement:start"
    SAFETY_REPORT_LIST = "safety-report:list"
    SAFETY_REPORT_RECORD = "safety-report:record"
    REPRESENTATION_END = "representation:end"
    REPRESENTATION_LIST = "representation:list"
    REPRESENTATION_RECORD = "representation:record"
    SAFE_CONTACT_LIST = "safe-contact:list"
    SAFE_CONTACT_RECORD = "safe-contact:record"
    SCIM_READ = "scim:read"
    SCIM_WRITE = "scim:write"
    SESSION_END = "session:end"
    SESSION_END_OTHER = "session:end-other"
    SESSION_LIST = "session:list"
    SESSION_LIST_OTHER = "session:list-other"
    SESSION_LOCK = "session:lock"
    SESSION_REAUTHENTICATE = "session:reauthenticate"
    SESSION_SWITCH = "session:switch"
    STAFF_IMPORT = "staff:import"
    STATEMENT_ADD = "statement:add"
    STATEMENT_LIST = "statement:list"
    SUBJECT_ADD = "subject:add"
    SUBSTITUTE_END = "substitute:end"
    SUBSTITUTE_LIST = "substitute:list"
    SUBSTITUTE_REGISTER = "substitute:register"
    SYSTEM_READ = "system:read"
    TEAM_CHANGE = "team:change"
    TEAM_CREATE = "team:create"
    TEAM_LIST = "team:list"
    TEAM_MEMBER_ADD = "team-member:add"
    TEAM_MEMBER_END = "team-member:end"
    TEAM_MEMBER_LIST = "team-member:list"
    TEAM_MERGE = "team:merge"
    TEAM_SUSPEND = "team:suspend"
    THREAD_LIST = "thread:list"
    THREAD_OPEN = "thread:open"
    THREAD_READ = "thread:read"
    THREAD_RELEASE = "thread:release"
    THREAD_TYPING = "thread:typing"
    TICKET_ISSUE = "realtime-ticket:issue"
    TOKEN_INTROSPECT = "token:introspect"  # noqa: S105  # an action's name, not a secret
    TOKEN_ISSUE = "token:issue"  # noqa: S105  # an action's name, not a secret
    TOKEN_REFRESH = "token:refresh"  # noqa: S105  # an action's name, not a secret
    TOKEN_REVOKE = "token:revoke"  # noqa: S105  # an action's name, not a secret
    WITHHOLDING_END = "withholding:end"
    WITHHOLDING_RECORD = "withholding:record"
    WORKPLACE_END = "workplace:end"
    WORKPLACE_LIST = "workplace:list"
    WORKPLACE_REGISTER = "workplace:register"
