"""How an operation spells what goes in and out: the interface's own JSON, or that of a standard beside it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from app.api.limits import JSON_MEDIA
from app.core.errors import DomainError


@dataclass(frozen=True, slots=True)
class Dialect:
    """What bodies are accepted, what answers are called, and what a refusal looks like.

    ``accepts`` matches the whole Content-Type. ``refuse`` renders a refusal from the error and the request's id;
    without it the refusal is problem details, as everywhere.
    """

    accepts: re.Pattern[bytes]
    answers: str
    refuse: Callable[[DomainError, str], Response] | None = None


JSON = Dialect(JSON_MEDIA, "application/json")
"""The interface's own: JSON in UTF-8, refusals as problem details."""
