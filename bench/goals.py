"""The ratios of the issue, and how this run stands against them."""

import statistics
from dataclasses import dataclass

from bench.figures import Report, say, spread


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure of ours divided by another's; ``goal`` is a bound on the median where the issue sets one."""

    title: str
    ours: str
    other: str
    at_least: float | None = None
    at_most: float | None = None

    def row(self, report: Report) -> str | None:
        """Return the row of the table, or None when this run has no such figures."""
        ratios = report.ratios(self.ours, self.other)
        if not ratios:
            return None
        median = statistics.median(ratios)
        if self.at_least is not None:
            goal, reached = f">= {self.at_least:g}", median >= self.at_least
        elif self.at_most is not None:
            goal, reached = f"<= {self.at_most:g}", median <= self.at_most
        else:
            return f"  {self.title:<74} {spread(ratios, 2):>24}"
        return f"  {self.title:<74} {spread(ratios, 2):>24}  {goal:>8}  {'reached' if reached else 'NOT REACHED'}"


def _count(senders: int) -> str:
    return f"{senders} sender{'' if senders == 1 else 's'}"


def _messages(senders: int, goal: float) -> Ratio:
    title = f"messages a second, socket / ejabberd with SQL archive, {_count(senders)}"
    return Ratio(title, f"socket {senders} messages", f"ejabberd {senders} messages", at_least=goal)


def _delivered(percentile: str, senders: int, goal: float | None) -> Ratio:
    what = f"all others have it {percentile}"
    title = f"time until all others have it {percentile} / ejabberd, {_count(senders)}"
    return Ratio(title, f"socket {senders} {what}", f"ejabberd {senders} {what}", at_most=goal)


PEERS = (
    _messages(32, 6),
    _messages(8, 3),
    _messages(1, 1),
    _delivered("p50", 32, 0.2),
    _delivered("p50", 1, 1.0),
    _delivered("p99", 32, 0.25),
    _delivered("p99", 1, None),
    Ratio("messages a second, HTTP / Synapse, 32 senders", "HTTP 32 messages", "Synapse 32 messages", at_least=25),
    Ratio("messages a second, HTTP / Synapse, 8 senders", "HTTP 8 messages", "Synapse 8 messages"),
    Ratio("messages a second, HTTP / Synapse, 1 sender", "HTTP 1 messages", "Synapse 1 messages", at_least=35),
)
FLOORS = (
    Ratio("fan-out to 8 sockets / bare broadcast", "fan-out 8 ours", "fan-out 8 bare"),
    Ratio("fan-out to 100 sockets / bare broadcast", "fan-out 100 ours", "fan-out 100 bare", at_least=0.6),
    Ratio("fan-out to 1,000 sockets / bare broadcast", "fan-out 1000 ours", "fan-out 1000 bare", at_least=0.55),
    Ratio(
        "memory per idle socket, authenticated and joined / bare uvicorn",
        "idle socket ours",
        "idle socket bare",
        at_most=1.3,
    ),
    Ratio("messages a second, socket, 1 sender / bare insert, 1 row a commit", "socket 1 messages", "insert 1"),
    Ratio(
        "messages a second, socket, 32 senders / bare insert, 32 rows a commit", "socket 32 messages", "insert batch"
    ),
    Ratio("messages a second, HTTP, 8 senders / bare POST route, 8 connections", "HTTP 8 messages", "bare POST 8"),
    Ratio("thread pages a second, 8 connections / bare route, same page", "page 8", "bare page 8"),
    Ratio(
        "route that believes a header / the same with our token, 8 clients",
        "route trusted",
        "route token",
        at_most=1.15,
    ),
    Ratio("case traffic in a log-in storm / in calm, 8 clients", "cases in a storm", "cases in calm", at_least=0.8),
)


def show(report: Report) -> None:
    """Print the ratios, repeat by repeat in the same run, with the goals beside them."""
    say(f"\n  {'Ratios, median [min-max] over repeats':<74} {'':>24}  {'goal':>8}")
    for ratio in (*PEERS, *FLOORS):
        row = ratio.row(report)
        if row is not None:
            say(row)
