"""What the doctor found: a level, a sentence, and what to do about it. None holds a secret."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: nothing to do, look at it, or the service does not run safely."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: which part was looked at, what was found, and the remedy where there is something to mend."""

    part: str
    level: Level
    found: str
    remedy: str | None = None

    def as_line(self) -> str:
        """Return it as a line for a terminal."""
        line = f"{self.level:<8}{self.part:<18}{self.found}"
        return line if self.remedy is None else f"{line} {self.remedy}"

    def as_json(self) -> dict[str, str | None]:
        """Return it as a JSON object."""
        return asdict(self)


def ok(part: str, found: str) -> Finding:
    """Return a finding with nothing to do."""
    return Finding(part, Level.OK, found)


def warning(part: str, found: str, remedy: str) -> Finding:
    """Return a finding to look at."""
    return Finding(part, Level.WARNING, found, remedy)


def error(part: str, found: str, remedy: str) -> Finding:
    """Return a finding that must be mended before anybody relies on the service."""
    return Finding(part, Level.ERROR, found, remedy)
