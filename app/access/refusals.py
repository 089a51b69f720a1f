"""Refusals that another factor mends.

``Unauthenticated``: ``SessionLocked``, ``StepUpNeeded``.
"""

from app.core.errors import Unauthenticated


class SessionLocked(Unauthenticated):
    """Raised while the screen of a session is locked: ``POST /reauthentications`` opens it."""

    code = "session-locked"
    title = "The screen is locked"


class StepUpNeeded(Unauthenticated):
    """Raised when the session shows too few factors, or showed them too long ago.

    ``POST /reauthentications`` with a factor mends it. Source: RFC 9470.
    """

    code = "reauthentication-needed"
    title = "This needs another factor, or a fresh one"
