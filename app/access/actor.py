"""Who acts: one person, in one engagement, for the length of one transaction."""

from dataclasses import dataclass
from datetime import datetime

from app.access.vocabulary import Acr, ClientScope, Domain, Law, Purpose, Role
from app.core.ids import AccountId, EngagementId, LoginSessionId, OrganisationId


@dataclass(frozen=True, slots=True)
class Actor:
    """The person and engagement that entered a transaction, as the database knows them, and where they came from.

    ``responsible_account_id`` is the professional on whose behalf a POH acts (DOMAIN R-29). ``scopes`` are those of
    the session of an integration; ``locked`` means that the screen waits for a factor.
    """

    account_id: AccountId
    engagement_id: EngagementId
    organisation_id: OrganisationId | None
    role: Role
    speciality: str | None
    domain: Domain | None
    law: Law | None
    responsible_account_id: AccountId | None
    login_session_id: LoginSessionId
    acr: Acr
    authenticated_at: datetime
    scopes: frozenset[ClientScope] = frozenset()
    locked: bool = False

    @property
    def purpose(self) -> Purpose:
        """The purpose of use this role acts for (DOMAIN 4.5)."""
        if self.role in (Role.AUDITOR, Role.PRIVACY_OFFICER):
            return Purpose.AUDIT
        if self.role in (Role.CITIZEN, Role.REPRESENTATIVE):
            return Purpose.PATRQT
        if self.role is Role.SOCIAL_TEAM:
            return Purpose.SOCSUPPORT
        if self.role in (Role.ORG_ADMIN, Role.REGION_ADMIN, Role.INTEGRATION):
            return Purpose.HOPERAT
        return Purpose.CAREMGT if self.role is Role.INFORMAL_CARER else Purpose.TREAT
