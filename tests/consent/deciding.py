"""A decision that is good, for tests of what is not."""

from datetime import UTC, datetime
from typing import Any

from app.consent.rules import Decision


def decision(**more: Any) -> Decision:
    """Return the patient's yes, with what is given instead."""
    fields: dict[str, Any] = {
        "decider": "patient",
        "yes": True,
        "decided_at": datetime(2026, 11, 1, tzinfo=UTC),
        "method": "oral_recorded",
        "text_version": "nl-2026-1",
        "language": "nl",
        **more,
    }
    return Decision(**fields)
