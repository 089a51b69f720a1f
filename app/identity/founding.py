"""What founding a region takes and gives: plain values, which the command line loads before anything else."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.core.ids import AccountId, OrganisationId

CODE_LIFETIME = timedelta(hours=24)


class Why(StrEnum):
    """Why a region that has or had an administrator gets one from the command line; a code, so no name is logged."""

    LOST_ACCESS = "lost-access"
    LEFT = "left"
    SECOND_PERSON = "second-person"


class FoundingRefused(Exception):
    """The region is not founded; the message is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Founding:
    """What the operator asks for: the region's name, the administrator's, and why another where there was one."""

    region: str
    name: str
    another: Why | None = None


@dataclass(frozen=True, slots=True)
class Founded:
    """The administrator made, and the code that enrols once until ``expires_at``. It is shown once and never kept."""

    organisation_id: OrganisationId
    account_id: AccountId
    code: str
    expires_at: datetime
