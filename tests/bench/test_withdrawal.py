"""G1 in small: two worker processes, sockets on both, load, random withdrawals. Nothing late, everybody told.

How soon is for ``make bench-withdrawal`` to say, on a machine that has nothing else to do.
"""

import asyncio
from pathlib import Path

import pytest

from bench.figures import Report
from bench.service import Service
from bench.withdrawal import Outcome, measure


@pytest.mark.heavy
def test_two_workers_say_nothing_after_a_withdrawal(tmp_path: Path) -> None:
    service = Service.create(workers=2)
    report = Report(tmp_path / "figures.jsonl")

    async def some() -> Outcome:
        return await measure(service, report, sockets=36, withdrawals=9, rate=20)

    try:
        service.start()
        outcome = asyncio.run(some())
    finally:
        service.remove()
    assert (outcome.late, outcome.never_told, outcome.withdrawals) == (0, 0, 9)
    assert len(outcome.latencies) == 9 * 6
    assert len(outcome.workers) == 2, "both workers hold sockets"
    assert outcome.deliveries > outcome.posted > 10
