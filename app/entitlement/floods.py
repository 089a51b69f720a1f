"""Tokens that are none, by the thousand: the log tells the first of a source one by one, and of the rest how many.

Anybody can send them, so without a bound anybody could fill the log. What is counted and not told yet is written once
its minute is over, or when the service stops; a service that is killed loses that count, and no more.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic

WINDOW_SECONDS = 60
SOURCES_MAX = 10_000
TOLD_PER_MINUTE = 60
FLUSH_SECONDS = 5
ELSEWHERE = "elsewhere"
"""Counts together the sources that there is no room to count apart."""


@dataclass(slots=True)
class _Count:
    began: float
    told: int = 0
    more: int = 0


@dataclass(slots=True)
class Flood:
    """Counts nameless refusals by source; ``now`` counts seconds from any beginning."""

    per_minute: int = TOLD_PER_MINUTE
    now: Callable[[], float] = monotonic
    _counts: OrderedDict[str, _Count] = field(default_factory=OrderedDict)

    def admits(self, source: str | None) -> bool:
        """Whether a refusal is to be told by itself; else it has been counted."""
        name = source or ELSEWHERE
        if name not in self._counts and len(self._counts) >= SOURCES_MAX:
            name = ELSEWHERE
        count = self._counts.setdefault(name, _Count(self.now()))
        if count.more == 0 and self.now() >= count.began + WINDOW_SECONDS:
            count.began, count.told = self.now(), 0
        if count.told < self.per_minute:
            count.told += 1
            return True
        count.more += 1
        return False

    def due(self, *, all_of_them: bool = False) -> Iterator[tuple[str, int]]:
        """Yield each source whose minute is over with how many were not told, and begin anew."""
        for name, count in list(self._counts.items()):
            if all_of_them or self.now() >= count.began + WINDOW_SECONDS:
                del self._counts[name]
                if count.more:
                    yield name, count.more
