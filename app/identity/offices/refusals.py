"""Why something about an organisation or a team is refused; no detail says whose number it was."""

from app.core.errors import Conflict


class RegistrationTaken(Conflict):
    """Raised when a number is registered already; it does not say whose it is."""

    code = "registration-taken"
    title = "One of these registrations is in use already"


class NotActive(Conflict):
    """Raised when something is asked of an organisation or team that only an active one can do.

    A suspended one is resumed first; what merged is not changed any more: ask the one it merged into.
    """

    code = "office-not-active"
    title = "This organisation or team is not active"


class NotSuspended(Conflict):
    """Raised when an organisation or team that is not suspended would be resumed."""

    code = "office-not-suspended"
    title = "This organisation or team is not suspended"


class NoMerger(Conflict):
    """Raised when two organisations, or two teams, cannot merge: with itself, or into one that is not active."""

    code = "no-merger"
    title = "These cannot merge"


class AgreementRecorded(Conflict):
    """Raised when an agreement as recent as this one is recorded already; a newer one replaces it."""

    code = "agreement-recorded"
    title = "An agreement of this day or later is recorded already"


class NoCooperationAgreement(Conflict):
    """Raised when people of several organisations would meet of which one has no recorded cooperation agreement.

    Such an organisation works on its own cases only: it neither invites others nor is invited, and stands in for
    nobody elsewhere. Source: issue 3; ADR 0010.
    """

    code = "no-cooperation-agreement"
    title = "No cooperation agreement is recorded for this"


class AlreadyInTeam(Conflict):
    """Raised when a membership would overlap one of the same engagement in the same team."""

    code = "already-in-team"
    title = "This period overlaps another membership of the same team"
