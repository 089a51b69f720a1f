"""What the append statement takes and answers: a batch as arrays, and what became of each item. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from app.access.policy import Cell
from app.access.tables import POLICY_VERSION
from app.core.ids import CaseId, EngagementId, EventId, ThreadId, new_id
from app.events.posting import Decision, Post

PARAMETERS = 42
STATEMENT = f"select * from append_messages({', '.join(f'${n}' for n in range(1, PARAMETERS + 1))})"  # noqa: S608


class Item(Protocol):
    """One message that was decided and sealed."""

    @property
    def post(self) -> Post:
        """What to append."""
        ...

    @property
    def decision(self) -> Decision:
        """The yes it rests on."""
        ...

    @property
    def body(self) -> bytes:
        """The sealed text."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item: ``new``, ``replay``, ``key-reused``, ``busy``, ``stale`` or ``session-ended``.

    Unless every item of a batch is new nothing was written, and those called new are to be sent again.
    """

    kind: str
    seq: int | None
    event_id: EventId | None
    at: datetime


Label = tuple[CaseId, Cell, int, ThreadId | None]
"""Whom a message concerns: a case, a cell, from where on threads there are alike, and a thread that is held back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the statement answered: an outcome for each item, and who of the listeners may hear each cell."""

    outcomes: Sequence[Outcome]
    audiences: Mapping[Label, frozenset[EngagementId]]

    @property
    def written(self) -> bool:
        """Whether the batch was written."""
        return all(outcome.kind == "new" for outcome in self.outcomes)


def labels(batch: Iterable[Item]) -> list[Label]:
    """Return the distinct labels of a batch, in order of appearance."""
    return list(dict.fromkeys(label_of(item.decision) for item in batch))


def label_of(decision: Decision) -> Label:
    """Return what a message is labelled with."""
    return decision.case_id, decision.cell, decision.opened_seq, decision.held_thread_id


def arguments(
    batch: Sequence[Item],
    listeners: Mapping[CaseId, frozenset[EngagementId]],
    *,
    now: datetime | None,
    wait: bool,
    source: str,
) -> list[Any]:
    """Return the arguments of ``append_messages``, in its order."""
    counts: dict[CaseId, int] = {}
    rows = []
    for item in batch:
        case_id = item.decision.case_id
        counts[case_id] = counts.get(case_id, 0) + 1
        rows.append(_row(item, counts[case_id]))
    cells = labels(batch)
    heard = [(case_id, engagement) for case_id, present in listeners.items() for engagement in present]
    return [
        now,
        wait,
        source,
        POLICY_VERSION,
        list(counts),
        list(counts.values()),
        *(list(column) for column in zip(*rows, strict=True)),
        [case_id for case_id, _, _, _ in cells],
        [cell.patient_id for _, cell, _, _ in cells],
        [cell.category for _, cell, _, _ in cells],
        [cell.domain for _, cell, _, _ in cells],
        [opened_seq for _, _, opened_seq, _ in cells],
        [held for _, _, _, held in cells],
        [new_id() for _ in cells],
        [case_id for case_id, _ in heard],
        [engagement for _, engagement in heard],
    ]


def _row(item: Item, position: int) -> tuple[object, ...]:
    post, decision = item.post, item.decision
    actor, cell, holding = post.actor, decision.cell, decision.holding
    return (
        decision.case_id,
        position,
        decision.version,
        post.thread_id,
        cell.patient_id,
        cell.category,
        cell.domain,
        decision.held_thread_id is not None,
        post.id,
        actor.account_id,
        actor.engagement_id,
        actor.login_session_id,
        post.kind,
        item.body,
        f"thread:{post.thread_id}",
        post.key,
        post.digest,
        new_id(),
        actor.role,
        actor.organisation_id,
        holding.on_behalf_of or actor.responsible_account_id,
        actor.purpose,
        holding.ground,
        holding.consent_id,
        post.origin.channel,
        post.origin.access_point,
        post.origin.trace_id,
    )


def answer(batch: Sequence[Item], rows: Iterable[Mapping[str, Any]]) -> Answer:
    """Return what the rows of the statement say about a batch."""
    cells = labels(batch)
    outcomes: list[Outcome | None] = [None] * len(batch)
    audiences: dict[Label, frozenset[EngagementId]] = {}
    for row in rows:
        if row["outcome"] == "cell":
            audiences[cells[row["ord"] - 1]] = frozenset(row["audience"] or ())
        else:
            event_id: UUID | None = row["event_id"]
            outcomes[row["ord"] - 1] = Outcome(
                row["outcome"], row["seq"], None if event_id is None else EventId(event_id), row["at"]
            )
    return Answer([outcome for outcome in outcomes if outcome is not None], audiences)
