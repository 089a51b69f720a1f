"""The time of a transaction: the database's, unless a test injects its own."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Gives the instant to enter transactions with, or None to let the database take its own."""

    def __call__(self) -> datetime | None:
        """Return an aware UTC instant, or None for the database's clock."""
        ...


def database_clock() -> datetime | None:
    """Leave the time to PostgreSQL: the only clock in production."""
    return None


def utc(instant: datetime) -> str:
    """Return an aware instant as RFC 3339 in UTC with milliseconds and ``Z``."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
