"""Why a log-in with another provider was refused. What is said of each is safe to show: nothing of the input."""

from app.core.errors import Conflict, Forbidden, Invalid, Unauthenticated, Unavailable


class LogInNotKnown(Invalid):
    """The answer belongs to no log-in that this browser began, or it was used before, or it came too late."""

    code = "log-in-not-known"
    title = "This log-in was not begun here, was used already, or is too old"


class LogInRefused(Unauthenticated):
    """The provider did not let the person in, or the person stopped."""

    code = "log-in-refused"
    title = "The provider did not confirm who you are"


class ProviderAnswerInvalid(Unauthenticated):
    """What the provider sent does not prove anything: another issuer, audience, nonce, signature or time."""

    code = "provider-answer-invalid"
    title = "The answer of the provider is not valid"

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault


class SecondFactorNeeded(Unauthenticated):
    """The person logged in with the provider, but not with two factors: log in again, with both."""

    code = "second-factor-needed"
    title = "Log in with two factors"


class IdentityNotLinked(Unauthenticated):
    """Nobody here is known by this identity, and none is made from it.

    A professional gets a code from the organisation's administrator, a citizen from the practice; with it, the
    identity is linked once.
    """

    code = "identity-not-linked"
    title = "This identity is not linked to an account"


class IdentityTaken(Conflict):
    """The identity is linked to another account."""

    code = "identity-taken"
    title = "This identity is linked to another account"


class NotForThisRole(Forbidden):
    """The provider is for citizens and their relatives, or for professionals; the account is not of that kind."""

    code = "provider-not-for-you"
    title = "This provider is not for this account"


class ProviderUnavailable(Unavailable):
    """The provider cannot be reached, or does not answer as a provider should; another way to log in may work."""

    code = "provider-unavailable"
    title = "The provider cannot be reached"
