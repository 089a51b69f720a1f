"""Percentiles, medians with spread, and the JSON lines every run leaves behind."""

import json
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
NAME_WIDTH = 58


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; not a number when there are no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share / 100 * (len(ordered) - 1))))]


def spread(values: Sequence[float], digits: int | None = None) -> str:
    """Return ``median [min-max]``; digits follow the size of the median unless given."""
    known = [value for value in values if value == value]  # drops NaN
    if not known:
        return "n/a"
    median = statistics.median(known)
    places = digits if digits is not None else (2 if abs(median) < 100 else 0)
    return f"{median:,.{places}f} [{min(known):,.{places}f}-{max(known):,.{places}f}]"


@dataclass
class Report:
    """Figures by name, one value per repeat, printed as they are complete and kept as JSON lines."""

    path: Path
    runs: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def create(cls) -> "Report":
        """Return an empty report that writes to a new file in ``bench/results``."""
        RESULTS.mkdir(exist_ok=True)
        return cls(RESULTS / time.strftime("%Y%m%d-%H%M%S.jsonl"))

    def add(self, name: str, value: float, unit: str) -> None:
        """Keep one repeat of a figure."""
        self.runs.setdefault(name, []).append(value)
        self.units[name] = unit
        self._write({"name": name, "value": value, "unit": unit})

    def note(self, sentence: str) -> None:
        """Print and keep a sentence without which the figures would mislead."""
        self.notes.append(sentence)
        self._write({"note": sentence})
        say(f"  note: {sentence}")

    def show(self, names: Iterable[str]) -> None:
        """Print the median and spread of the named figures; unknown names are passed over."""
        for name in names:
            if name in self.runs:
                say(f"  {name:<{NAME_WIDTH}} {spread(self.runs[name]):>32} {self.units[name]}")

    def ratios(self, name: str, other: str) -> list[float]:
        """Return the first figure divided by the second, repeat by repeat."""
        pairs = zip(self.runs.get(name, ()), self.runs.get(other, ()), strict=False)
        return [mine / theirs for mine, theirs in pairs if theirs]

    def _write(self, record: dict[str, object]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def say(line: str = "") -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
