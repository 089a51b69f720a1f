"""What we say on a socket: close codes, every frame declared once, and its bytes.

A frame that ``SERVER_FRAMES`` does not declare cannot be encoded. The content of an event is encoded once, by
``event_body``; ``event_frame`` puts the few members of one socket before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, TypeAlias
from uuid import UUID

import orjson

from app.core.errors import DomainError
from app.core.ids import AccountId, CaseId, EventId, ThreadId

Object: TypeAlias = Mapping[str, object]


class CloseCode(IntEnum):
    """Why we close a socket."""

    FRAME_TOO_BIG = 1009
    OUR_FAULT = 1011
    DRAINING = 1012
    BAD_FRAME = 4400
    NOT_AUTHENTICATED = 4401
    POLICY = 4403
    TOO_SLOW = 4408
    RATE = 4429


class Scope(StrEnum):
    """Whose right a frame rests on."""

    PUBLIC = "public"
    SELF = "self"
    ROLE = "role"
    CASE = "case"


class Category(StrEnum):
    """Which category the content of a frame has."""

    NONE = "none"
    THREAD = "thread"
    EVENT = "event"
    CONTACT_NETWORK = "contact_network"


class Audit(StrEnum):
    """What a frame leaves in the audit log when it succeeds."""

    NONE = "none"
    ACCESS = "access"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class ServerFrame:
    """A frame we may send: whose right it needs, for which action, the category it tells of, the record it leaves."""

    op: str
    scope: Scope
    action: str
    category: Category = Category.NONE
    audit: Audit = Audit.NONE


SERVER_FRAMES: Final[Mapping[str, ServerFrame]] = {
    frame.op: frame
    for frame in (
        ServerFrame("ready", Scope.SELF, "socket:authenticate", audit=Audit.ACCESS),
        ServerFrame("joined", Scope.CASE, "case:listen", Category.CONTACT_NETWORK, Audit.ACCESS),
        ServerFrame("left", Scope.SELF, "case:leave"),
        ServerFrame("ack", Scope.CASE, "message:post", audit=Audit.CHANGE),
        ServerFrame("error", Scope.PUBLIC, "socket:refuse"),
        ServerFrame("presence", Scope.CASE, "case:listen", Category.CONTACT_NETWORK),
        ServerFrame("typing", Scope.CASE, "thread:typing", Category.THREAD),
        ServerFrame("event", Scope.CASE, "case:listen", Category.EVENT, Audit.ACCESS),
        ServerFrame("narrowed", Scope.SELF, "case:listen"),
        ServerFrame("ended", Scope.SELF, "case:listen"),
        ServerFrame("paused", Scope.SELF, "case:listen"),
        ServerFrame("resumed", Scope.SELF, "case:listen"),
        ServerFrame("bye", Scope.PUBLIC, "socket:close"),
        ServerFrame("pong", Scope.SELF, "socket:ping"),
    )
}


def _encode(op: str, **members: object) -> bytes:
    """Return the bytes of a declared frame; an undeclared one is a KeyError."""
    return orjson.dumps({"op": SERVER_FRAMES[op].op, **members}, default=_plain)


def _plain(value: object) -> str:
    """Spell out the database driver's own kind of UUID, which the serialiser does not know; nothing else."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


def ready(account_id: AccountId, lease_seconds: int) -> bytes:
    """The ticket was good; the socket speaks under leases of at most ``lease_seconds``."""
    return _encode("ready", account={"id": account_id}, leaseSeconds=lease_seconds)


def joined(case_id: CaseId, cursor: str, *, recovered: bool, members: Sequence[Object] | None) -> bytes:
    """The socket hears the case from ``cursor`` on; ``members`` is None for who may not read ``contact_network``."""
    present = {} if members is None else {"members": members}
    return _encode("joined", caseId=case_id, cursor=cursor, recovered=recovered, **present)


def left(case_id: CaseId) -> bytes:
    """The socket hears the case no longer, as it asked."""
    return _encode("left", caseId=case_id)


def ack(client_id: str, message_id: EventId, thread_id: ThreadId, cursor: str) -> bytes:
    """The post is durable; a retry with the same ``client_id`` gets the same answer."""
    return _encode("ack", clientId=client_id, messageId=message_id, threadId=thread_id, cursor=cursor)


def error(refusal: DomainError, client_id: str | None = None) -> bytes:
    """A refusal; ``client_id`` names the post that was refused."""
    problem = {"type": f"/problems/{refusal.code}", "title": refusal.title, "code": refusal.code}
    if refusal.detail != refusal.title:
        problem["detail"] = refusal.detail
    if client_id is None:
        return _encode("error", problem=problem)
    return _encode("error", clientId=client_id, problem=problem)


def presence(case_id: CaseId, members: Sequence[Object]) -> bytes:
    """Who of the case is here now."""
    return _encode("presence", caseId=case_id, members=members)


def typing(case_id: CaseId, thread_id: ThreadId, account: Object) -> bytes:
    """Somebody is typing in a thread; only for those who may read it."""
    return _encode("typing", caseId=case_id, threadId=thread_id, account=account)


def event_body(case_id: CaseId, type: str, at: str, *, actor: Object | None, data: Object) -> bytes:
    """Return what all readers of one event share; ``at`` is RFC 3339. Encode it once an event, not once a socket."""
    return orjson.dumps({"caseId": case_id, "type": type, "at": at, "actor": actor, "data": data}, default=_plain)[1:]


_EVENT = orjson.dumps({"op": SERVER_FRAMES["event"].op})[:-1] + b',"n":%d,"cursor":"%b",%b'


def event_frame(n: int, cursor: str, body: bytes) -> bytes:
    """Return one socket's frame of an event: its own ``n`` and ``cursor`` (base64url) before the shared body."""
    return _EVENT % (n, cursor.encode("ascii"), body)


def narrowed(case_id: CaseId, categories: Sequence[str], why: str) -> bytes:
    """The reader lost these categories of the case; the membership goes on."""
    return _encode("narrowed", caseId=case_id, categories=categories, why=why)


def ended(case_id: CaseId, why: str) -> bytes:
    """The membership or the case ended; nothing of the case follows."""
    return _encode("ended", caseId=case_id, why=why)


def paused(why: str) -> bytes:
    """Rights cannot be checked now, so nothing is said until ``resumed``."""
    return _encode("paused", why=why)


def resumed() -> bytes:
    """Rights are checked again."""
    return _encode("resumed")


def bye(code: CloseCode) -> bytes:
    """The socket is about to be closed with this code."""
    return _encode("bye", code=int(code))


def pong() -> bytes:
    """The answer to ``ping``."""
    return _encode("pong")
