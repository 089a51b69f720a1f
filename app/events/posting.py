"""A message on its way into the stream: what is posted, on which yes, and under which idempotency key. Pure."""

from dataclasses import dataclass, field

from app.access.actor import Actor
from app.access.policy import Cell, Holding
from app.audit.records import Origin
from app.core.ids import CaseId, EventId, ThreadId, new_id
from app.crypto.digests import Digests


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes, at a version of the case: where the thread is and on what the right rests.

    ``opened_seq`` stands for where the thread was opened: the last position at which that makes a difference.
    ``held_thread_id`` is the thread while it is held back, so that it is told to professionals alone.
    """

    case_id: CaseId
    version: int
    cell: Cell
    opened_seq: int
    holding: Holding
    held_thread_id: ThreadId | None = None


@dataclass(slots=True)
class Post:
    """A message to append. ``key`` and ``digest`` are 32 byte digests of the client's key and of the body."""

    actor: Actor
    thread_id: ThreadId
    text: str
    kind: str
    origin: Origin
    key: bytes | None
    digest: bytes | None
    client_id: str | None = None
    id: EventId = field(default_factory=lambda: EventId(new_id()))


def digests_of(digests: Digests, key: bytes | None, text: str, kind: str) -> tuple[bytes | None, bytes | None]:
    """Return the keyed digests of a client's key and of the body it stands for, 32 bytes each; None without a key.

    The one namespace of a message's idempotency: HTTP's ``Idempotency-Key`` and the socket's ``clientId`` alike.
    """
    if key is None:
        return None, None
    return digests.digest("message-key", key), digests.digest("message-body", text.encode(), kind.encode())
