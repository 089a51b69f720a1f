"""Mutation testing of what decides who sees what: ``make mutate`` runs it and says what nothing noticed.

mutmut changes one thing at a time in the modules that ``[tool.mutmut]`` in ``pyproject.toml`` names, and runs the
tests that reach it. What survives is either missed by the tests or changes nothing; ``docs/mutation.md`` says which.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "mutation.md"
WORK = ROOT / "mutants"
FLOOR = 95
"""Of a hundred mutants of a module, so many must be noticed. Source: issue 3 of 11, part 12."""

NOTICED = frozenset({"killed", "timeout"})
"""A mutant that never ends is noticed by whoever waits for it."""

Results = Mapping[str, Mapping[str, str]]


def mutmut(*arguments: str) -> str:
    """Return what mutmut prints."""
    return subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def read(printed: str) -> Results:
    """Return the outcome of each mutant of each module, of ``mutmut results``: ``app.x.y.x_f__mutmut_1: killed``."""
    found: dict[str, dict[str, str]] = {}
    for line in printed.splitlines():
        name, separator, outcome = line.strip().partition(": ")
        if separator:
            found.setdefault(name.rpartition(".")[0], {})[name] = outcome
    return found


def share(outcomes: Iterable[str]) -> float:
    """Return how many of a hundred were noticed."""
    counted = Counter(outcome in NOTICED for outcome in outcomes)
    return 100 * counted[True] / counted.total()


def table(results: Results) -> Iterable[str]:
    """Yield a line a module, in Markdown."""
    yield "| module | mutants | noticed | share |"
    yield "| --- | --- | --- | --- |"
    for module, mutants in sorted(results.items()):
        noticed = sum(outcome in NOTICED for outcome in mutants.values())
        yield f"| `{module}` | {len(mutants)} | {noticed} | {share(mutants.values()):.1f} % |"


def change(diff: str) -> str:
    """Return the line that a mutant puts in the place of another, of what ``mutmut show`` prints."""
    added = (line[1:].strip() for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++"))
    return next(added, "")


def main() -> int:
    """Run every mutant, print what came of them, and return 1 if too many of one module went unnoticed."""
    shutil.rmtree(WORK, ignore_errors=True)
    children = str(max(1, (os.cpu_count() or 2) - 1))
    subprocess.run([sys.executable, "-m", "mutmut", "run", "--max-children", children], cwd=ROOT, check=True)
    results = read(mutmut("results", "--all", "1"))
    print("\n".join(["", *table(results), ""]))
    explained = PAGE.read_text(encoding="utf-8")
    for name in (name for mutants in results.values() for name, outcome in mutants.items() if outcome not in NOTICED):
        changed = change(mutmut("show", name))
        known = "explained" if f"`{changed}`" in explained else "NOT EXPLAINED in docs/mutation.md"
        print(f"{name}: {known}\n    {changed}")
    low = [module for module, mutants in results.items() if share(mutants.values()) < FLOOR]
    print(f"Below {FLOOR} %: {', '.join(low)}" if low or not results else f"Every module is at {FLOOR} % or above.")
    return 1 if low or not results else 0


if __name__ == "__main__":
    sys.exit(main())
