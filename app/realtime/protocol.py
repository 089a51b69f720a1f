"""The conversation over one socket as a state machine: a frame in, typed outputs out; no socket, no clock, no tasks.

    awaiting --authenticate--> pending --ready()--> ready
        any of them --bad frame, deadline, too many frames, refuse(), end()--> closing, which is final and silent

``CLIENT_FRAMES`` declares every frame a client may send together with its reader: an undeclared one cannot be read.
Every close is preceded by one frame that says why: ``error`` when a frame (or its absence) caused it, else ``bye``.
"""

import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final, TypeAlias

import orjson

from app.core.errors import DomainError, Fault, Invalid, NotFound, RateLimited, Unauthenticated
from app.core.ids import AccountId, CaseId, ThreadId, parse_id
from app.realtime import frames
from app.realtime.frames import Audit, Category, CloseCode, Scope

AUTHENTICATE_SECONDS: Final = 5.0
HELD_FRAMES_MAX: Final = 16
FRAMES_PER_SECOND: Final = 50
BURST_SECONDS: Final = 4
OVERFLOW_FRAMES_MAX: Final = 100
OVERFLOW_SECONDS_MAX: Final = 1.0
OPAQUE_LENGTH_MAX: Final = 512
CLIENT_ID_LENGTH_MAX: Final = 128
TEXT_LENGTH_MAX: Final = 8000

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")


class BadFrame(Invalid):
    """The frame cannot be understood, so the frames after it cannot be trusted to mean what they say."""

    code = "bad-frame"
    title = "The frame is not valid"


class NotSupported(Invalid):
    """Binary frames are kept for minutes, which are not open yet."""

    code = "not-supported"
    title = "Binary frames are not supported"


class Kind(StrEnum):
    """What a message is meant as."""

    MESSAGE = "message"
    QUESTION = "question"
    ANSWER = "answer"
    PHONE_NOTE = "phone-note"
    DECISION_NEEDED = "decision-needed"


@dataclass(frozen=True, slots=True)
class Authenticate:
    """The client offers its ticket; ``Dialogue.ready`` or ``Dialogue.refuse`` answers."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Join:
    """The client wants the events of a case, those after its cursor included if it has one."""

    case_id: CaseId
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Leave:
    """The client wants no more events of a case."""

    case_id: CaseId


@dataclass(frozen=True, slots=True)
class Post:
    """The client posts a message; the same ``client_id`` again is the same post."""

    client_id: str
    thread_id: ThreadId
    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Typing:
    """The client's user is typing in a thread."""

    thread_id: ThreadId


@dataclass(frozen=True, slots=True)
class Ping:
    """The client wants a ``pong``."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes as one text frame."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket; nothing follows."""

    code: CloseCode


Request: TypeAlias = Authenticate | Join | Leave | Post | Typing | Ping
Output: TypeAlias = Request | Send | Close
Members: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClientFrame:
    """A frame clients may send: whose right it needs, for which action, its reader and members, category and record.

    All members are strings. ``read`` returns the request, or the error frame that refuses this frame alone.
    """

    op: str
    scope: Scope
    action: str
    read: Callable[[Members], Request | Send]
    required: Set[str] = frozenset()
    optional: Set[str] = frozenset()
    category: Category = Category.NONE
    audit: Audit = Audit.NONE


def _authenticate(members: Members) -> Request:
    return Authenticate(_opaque(members["ticket"]))


def _join(members: Members) -> Request | Send:
    case_id = parse_id(members["caseId"])
    cursor = _opaque(members["cursor"]) if "cursor" in members else None
    return _ABSENT if case_id is None else Join(CaseId(case_id), cursor)


def _leave(members: Members) -> Request | Send:
    case_id = parse_id(members["caseId"])
    return _ABSENT if case_id is None else Leave(CaseId(case_id))


def _typing(members: Members) -> Request | Send:
    thread_id = parse_id(members["threadId"])
    return _ABSENT if thread_id is None else Typing(ThreadId(thread_id))


def _post(members: Members) -> Request | Send:
    client_id, text = members["clientId"], members["text"]
    if len(client_id) > CLIENT_ID_LENGTH_MAX or not _VISIBLE_ASCII.fullmatch(client_id):
        raise BadFrame(detail="clientId is 1 to 128 visible ASCII characters.")
    thread_id = parse_id(members["threadId"])
    if thread_id is None:
        return Send(frames.error(NotFound(), client_id))
    kind = _KINDS.get(members.get("kind", Kind.MESSAGE))
    if kind is None:
        return _invalid(client_id, "/kind", "unknown-value", "kind is not one of the known kinds.")
    if not 1 <= len(text) <= TEXT_LENGTH_MAX:
        return _invalid(client_id, "/text", "length", "text is 1 to 8000 characters long.")
    if _CONTROL.search(text):
        return _invalid(client_id, "/text", "characters", "text holds no control characters but tab and line feed.")
    return Post(client_id, ThreadId(thread_id), text, kind)


def _invalid(client_id: str, pointer: str, code: str, detail: str) -> Send:
    return Send(frames.error(Invalid(Fault(pointer, code, detail), detail=detail), client_id))


def _opaque(value: str) -> str:
    if len(value) > OPAQUE_LENGTH_MAX:
        raise BadFrame(detail="A ticket or cursor is at most 512 characters long.")
    return value


_ABSENT = Send(frames.error(NotFound()))
_RATE_LIMITED = Send(frames.error(RateLimited(1)))
_PING = Ping()
_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_POST = frozenset({"clientId", "threadId", "text"})

CLIENT_FRAMES: Final[Mapping[str, ClientFrame]] = {
    frame.op: frame
    for frame in (
        ClientFrame(
            "authenticate", Scope.PUBLIC, "socket:authenticate", _authenticate, {"ticket"}, audit=Audit.ACCESS
        ),
        ClientFrame("join", Scope.CASE, "case:listen", _join, {"caseId"}, {"cursor"}, Category.EVENT, Audit.ACCESS),
        ClientFrame("leave", Scope.SELF, "case:leave", _leave, {"caseId"}),
        ClientFrame(
            "post", Scope.CASE, "message:post", _post, _POST, {"kind"}, category=Category.THREAD, audit=Audit.CHANGE
        ),
        ClientFrame("typing", Scope.CASE, "thread:typing", _typing, {"threadId"}, category=Category.THREAD),
        ClientFrame("ping", Scope.SELF, "socket:ping", lambda _: _PING),
    )
}
_ALLOWED = {frame.op: frame.required | frame.optional | {"op"} for frame in CLIENT_FRAMES.values()}


def _unique(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise BadFrame(detail="A member occurs twice.")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique)


def _refuse_shadowed(text: str) -> None:
    try:
        _STRICT.decode(text)
    except (ValueError, RecursionError):  # a shadowed member may nest too deep or spell too long a number
        raise BadFrame(detail="A member occurs twice.") from None


def _members(text: str) -> Members:
    r"""Return the members of a JSON object that holds nothing but strings, each once.

    orjson refuses what is not JSON, lone surrogates included, but keeps the last of two equal members. Quotation
    marks tell: four a member and those inside the values; a shadowed member has more. Only a mark spelt ``\u0022``
    could make up the difference; such a frame is read again by a decoder that sees each member, three times slower.
    """
    try:
        members = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFrame(detail="The frame is not JSON.") from None
    if type(members) is not dict or any(type(value) is not str for value in members.values()):
        raise BadFrame(detail="A frame is an object whose members are strings.")
    if "\\u0022" in text:
        _refuse_shadowed(text)
    elif text.count('"') != 4 * len(members) + "".join(members.values()).count('"'):
        raise BadFrame(detail="A member occurs twice.")
    if "\\u0000" in text and any("\0" in value for name, value in members.items() if name != "text"):
        raise BadFrame(detail="A member holds a NUL character.")
    return members


def read(text: str) -> Request | Send:
    """Return the request a text frame makes, or the error frame that refuses it alone.

    Raises:
        BadFrame: the frame is not a declared one, so the socket is to be closed.
    """
    members = _members(text)
    frame = CLIENT_FRAMES.get(members.get("op", ""))
    if frame is None:
        raise BadFrame(detail="The frame has no known op.")
    if not (frame.required <= members.keys() <= _ALLOWED[frame.op]):
        raise BadFrame(detail="A member is missing or unknown.")
    return frame.read(members)


class _State(Enum):
    AWAITING = auto()
    PENDING = auto()
    READY = auto()
    CLOSING = auto()


class Bucket:
    """Admits ``rate`` frames a second, and ``BURST_SECONDS`` worth of them at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._burst = float(rate * BURST_SECONDS)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token, if there is one."""
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def calm(self) -> bool:
        """Whether a second's worth of tokens was saved up: an overflow is then over."""
        return self._tokens >= self._rate


class Dialogue:
    """The state of one conversation. Times are monotonic seconds; every method returns what is to be done, in order.

    Too many frames: every refused post gets an ``error rate-limited`` of its own, other frames share one. An overflow
    lasts until a second's worth of tokens was saved up; the socket is closed when it has cost more than
    ``OVERFLOW_FRAMES_MAX`` frames, or when a frame is refused more than ``OVERFLOW_SECONDS_MAX`` after its start.
    """

    __slots__ = ("_bucket", "_deadline", "_held", "_overflow_at", "_refused", "_state")

    def __init__(self, now: float, *, rate: int = FRAMES_PER_SECOND) -> None:
        self._state = _State.AWAITING
        self._deadline = now + AUTHENTICATE_SECONDS
        self._bucket = Bucket(rate, now)
        self._held: list[Output] = []
        self._refused = 0
        self._overflow_at = now

    @property
    def deadline(self) -> float | None:
        """When to call ``tick``, or None when nothing is due any more."""
        return self._deadline if self._state is _State.AWAITING else None

    @property
    def closing(self) -> bool:
        """Whether the conversation is over."""
        return self._state is _State.CLOSING

    def receive(self, frame: str | bytes, now: float) -> list[Output]:
        """Take a frame: text as ``str``, binary as ``bytes``."""
        if self._state is _State.CLOSING:
            return []
        if self._state is _State.AWAITING and now >= self._deadline:
            return self.refuse()
        if isinstance(frame, bytes):
            return self._fail(NotSupported(), CloseCode.BAD_FRAME)
        admitted = self._bucket.take(now)
        if self._refused and self._bucket.calm:
            self._refused = 0
        try:
            output = read(frame)
        except BadFrame as refusal:
            return self._fail(refusal, CloseCode.BAD_FRAME)
        return self._accept(output) if admitted else self._overflow(output, now)

    def _accept(self, output: Request | Send) -> list[Output]:
        if self._state is _State.AWAITING:
            if not isinstance(output, Authenticate):
                return self.refuse()
            self._state = _State.PENDING
            return [output]
        if isinstance(output, Authenticate):
            return self._fail(BadFrame(detail="A socket is authenticated once."), CloseCode.BAD_FRAME)
        if self._state is _State.READY:
            return [output]
        if len(self._held) == HELD_FRAMES_MAX:
            return self._fail(RateLimited(1, "Too many frames before ready."), CloseCode.RATE)
        self._held.append(output)
        return []

    def _overflow(self, output: Request | Send, now: float) -> list[Output]:
        if self._refused == 0:
            self._overflow_at = now
        self._refused += 1
        if self._refused > OVERFLOW_FRAMES_MAX or now - self._overflow_at > OVERFLOW_SECONDS_MAX:
            return self.end(CloseCode.RATE)
        if isinstance(output, Post):
            return [Send(frames.error(RateLimited(1), output.client_id))]
        told: list[Output] = [_RATE_LIMITED] if self._refused == 1 else []
        return [*told, output] if isinstance(output, Send) else told

    def tick(self, now: float) -> list[Output]:
        """Notice that the client did not authenticate in time."""
        return self.refuse() if self._state is _State.AWAITING and now >= self._deadline else []

    def ready(self, account_id: AccountId, lease_seconds: int) -> list[Output]:
        """The ticket was good: say so, and then handle the frames that waited."""
        if self._state is not _State.PENDING:
            return []
        self._state = _State.READY
        held, self._held = self._held, []
        return [Send(frames.ready(account_id, lease_seconds)), *held]

    def refuse(self) -> list[Output]:
        """There is no good ticket."""
        return self._fail(Unauthenticated(), CloseCode.NOT_AUTHENTICATED)

    def end(self, code: CloseCode) -> list[Output]:
        """End the conversation from our side."""
        return self._close(frames.bye(code), code)

    def _fail(self, refusal: DomainError, code: CloseCode) -> list[Output]:
        return self._close(frames.error(refusal), code)

    def _close(self, last: bytes, code: CloseCode) -> list[Output]:
        if self._state is _State.CLOSING:
            return []
        self._state = _State.CLOSING
        self._held = []
        return [Send(last), Close(code)]
