"""What a proven log-in with a provider amounts to here. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from app.access.vocabulary import Role
from app.core.providers import Audience, OidcProvider

PRIVATE = frozenset({Role.CITIZEN, Role.REPRESENTATIVE, Role.INFORMAL_CARER, Role.EXPERIENCE_EXPERT, Role.VOLUNTEER})
"""Roles of persons who act for no organisation that employs them."""

RETURN_TO_MAX = 512
# A path of our own and nothing that a browser would take for another host or for a way up: no //, \ or percent sign.
_LOCAL = re.compile(
    r"/(?:[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*/?)?(?:\?[A-Za-z0-9._~=&-]*)?(?:#[A-Za-z0-9._~=&/-]*)?"
)


@dataclass(frozen=True, slots=True)
class Proof:
    """A person as a provider proved them, now: who by its lights, whether by two factors, and since when."""

    issuer: str
    subject: str
    two_factors: bool
    authenticated_at: datetime
    provider_session: str | None


def is_local_path(path: str) -> bool:
    """Whether a redirect to ``path`` stays with us."""
    return len(path) <= RETURN_TO_MAX and _LOCAL.fullmatch(path) is not None


def shows_two_factors(provider: OidcProvider, claims: Mapping[str, object]) -> bool:
    """Whether ``acr`` or ``amr`` says two factors in the words that the operator accepts from this provider."""
    acr, amr = claims.get("acr"), claims.get("amr")
    if isinstance(acr, str) and acr in provider.acr_values:
        return True
    return isinstance(amr, list) and any(isinstance(one, str) and one in provider.amr_values for one in amr)


def roles_for(audience: Audience) -> Collection[Role]:
    """Return the roles that a provider's people may act in."""
    return PRIVATE if audience is Audience.CITIZENS else frozenset(Role) - PRIVATE - {Role.INTEGRATION}
