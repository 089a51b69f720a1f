"""Actions in a case that are decided alike: on the same thing, or by how one stands to the case. Pure."""

from app.access.vocabulary import Action

ON_THREADS = frozenset(
    {Action.THREAD_READ, Action.MESSAGE_LIST, Action.MESSAGE_POST, Action.THREAD_RELEASE, Action.THREAD_TYPING}
)
ON_MESSAGES = frozenset({Action.MESSAGE_READ, Action.MESSAGE_CORRECT, Action.MESSAGE_RETRACT})
WRITING = frozenset({Action.MESSAGE_POST, Action.THREAD_RELEASE, Action.THREAD_TYPING, Action.MESSAGE_CORRECT})
DECIDING = frozenset({Action.CONSENT_DECIDE, Action.CONSENT_EXTEND, Action.CONSENT_RENEW})
BESIDE = frozenset({Action.STATEMENT_ADD, Action.STATEMENT_LIST})
ON_CONSENTS = (
    DECIDING | BESIDE | {Action.CONSENT_NARROW, Action.CONSENT_PREVIEW, Action.CONSENT_READ, Action.CONSENT_WITHDRAW}
)
BY_WHO_ANSWERS = frozenset({Action.REPRESENTATION_RECORD, Action.REPRESENTATION_END, Action.SUBJECT_ADD})
BY_WHO_OVERSEES = frozenset(
    {Action.MEMBER_INVITE, Action.MOVE_RECORD, Action.PUBLIC_TASK_END, Action.PUBLIC_TASK_RECORD}
)
BY_WHO_SITS = frozenset(
    {
        Action.ACTIVATION_ISSUE,
        Action.DISCLOSURE_RECORD,
        Action.OPENING_END,
        Action.OPENING_RECORD,
        Action.REPRESENTATION_LIST,
        Action.SAFETY_REPORT_RECORD,
        Action.SAFE_CONTACT_RECORD,
        Action.WITHHOLDING_END,
        Action.WITHHOLDING_RECORD,
    }
)
ON_THE_CITIZENS_WORD = frozenset(
    {
        Action.ACCESS_REQUEST_RECORD,
        Action.CONSENT_ASK,
        Action.CONSENT_BUNDLE_USE,
        Action.CONSENT_GIVE,
        Action.EXCLUSION_END,
        Action.EXCLUSION_RECORD,
        Action.OBJECTION_END,
        Action.OBJECTION_RECORD,
    }
)
OF_THE_DEAD = frozenset({Action.AFTER_DEATH_DECIDE, Action.AFTER_DEATH_LIST, Action.DEATH_RECORD, Action.DEATH_UNDO})
OF_THE_PRACTICE_LEFT = frozenset(
    {Action.PRACTICE_CHANGE_ANNOUNCE, Action.PRACTICE_CHANGE_LIST, Action.PRACTICE_CHANGE_WITHDRAW}
)
OF_THE_PRACTICE_ASKED = frozenset({Action.PRACTICE_CHANGE_ACCEPT, Action.PRACTICE_CHANGE_REFUSE})
ON_INVITATIONS = frozenset({Action.INVITATION_ACCEPT, Action.INVITATION_REFUSE})
