"""The conversation over one socket under any input and any order of things."""

import json
from typing import Any
from uuid import UUID

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.core.ids import AccountId
from app.realtime import protocol
from app.realtime.frames import CloseCode
from app.realtime.protocol import (
    CLIENT_FRAMES,
    Authenticate,
    BadFrame,
    Close,
    Dialogue,
    Output,
    Send,
    read,
)

RATE = 5
ACCOUNT = AccountId(UUID("5b0e1c7a-6f0a-4c39-9a51-0d9d3b0f7a11"))
CASE = "0f8fad5b-d9cb-469f-a165-70867728950e"
THREAD = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
AUTHENTICATE = '{"op":"authenticate","ticket":"t"}'
PING = '{"op":"ping"}'
JOIN = f'{{"op":"join","caseId":"{CASE}"}}'
POST = f'{{"op": "post", "clientId": "c-1", "threadId": "{THREAD}", "text": "Dag"}}'


def op_of(output: Send) -> str:
    return str(orjson.loads(output.payload)["op"])


def duplicates(text: str) -> bool:
    """Say, slowly, whether a JSON object names a member twice."""
    found = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len({name for name, _ in members}) != len(members)
        return dict(members)

    json.loads(text, object_pairs_hook=pairs)
    return found


def spelt(value: str, *, escaped: bool) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" for c in value) + '"' if escaped else json.dumps(value)


names = st.sampled_from(["op", "ticket", "caseId", "clientId", "threadId", "text", "kind", "cursor"])
values = st.one_of(
    st.sampled_from([*CLIENT_FRAMES, CASE, THREAD, "c-1", '"', '""', '\\"', "\\", "message"]),
    st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=5),
)
spellings = st.builds(
    lambda name, value, flags: f"{spelt(name, escaped=flags[0])}:{spelt(value, escaped=flags[1])}",
    names,
    values,
    st.tuples(st.booleans(), st.booleans()),
)
objects = st.lists(spellings, max_size=6).map(lambda members: "{" + ", ".join(members) + "}")


@given(objects)
def test_no_spelling_hides_a_member_that_occurs_twice(text: str) -> None:
    try:
        read(text)
    except BadFrame:
        return
    assert not duplicates(text)


scalars = st.none() | st.booleans() | st.floats() | st.text()
frames = st.one_of(
    st.text(st.characters()),
    st.binary(max_size=20),
    objects,
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(names, c)
    ).map(json.dumps),
    st.sampled_from([AUTHENTICATE, PING, POST, JOIN, "", POST + POST, JOIN.upper()]),
)


class Conversation(RuleBasedStateMachine):
    """Anything a client, the clock and our own side can do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.dialogue = Dialogue(0.0, rate=RATE)
        self.outputs: list[Output] = []

    def note(self, outputs: list[Output]) -> None:
        assert all(isinstance(output, Output) for output in outputs)
        self.outputs += outputs

    @rule(frame=frames)
    def receive(self, frame: str | bytes) -> None:
        self.note(self.dialogue.receive(frame, self.now))

    @rule()
    def authenticate(self) -> None:
        self.note(self.dialogue.receive(AUTHENTICATE, self.now))

    @rule(count=st.integers(1, 40))
    def ping_repeatedly(self, count: int) -> None:
        for _ in range(count):
            self.note(self.dialogue.receive(PING, self.now))

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.note(self.dialogue.tick(self.now))

    @precondition(lambda self: any(isinstance(output, Authenticate) for output in self.outputs))
    @rule()
    def ready(self) -> None:
        self.note(self.dialogue.ready(ACCOUNT, 5))

    @rule(code=st.sampled_from(CloseCode))
    def end(self, code: CloseCode) -> None:
        self.note(self.dialogue.end(code))

    @invariant()
    def close_is_last_follows_its_reason_and_comes_once(self) -> None:
        closes = [place for place, output in enumerate(self.outputs) if isinstance(output, Close)]
        assert closes in ([], [len(self.outputs) - 1])
        assert self.dialogue.closing == bool(closes)
        if closes:
            last = self.outputs[-2]
            assert isinstance(last, Send)
            assert op_of(last) in {"error", "bye"}

    @invariant()
    def no_request_comes_before_ready_but_authenticate(self) -> None:
        requests = [output for output in self.outputs if not isinstance(output, Close)]
        ops = [op_of(output) if isinstance(output, Send) else type(output).__name__ for output in requests]
        assert ops.count("Authenticate") <= 1
        assert ops.count("ready") <= ops.count("Authenticate")
        if "ready" not in ops:
            assert set(ops) <= {"Authenticate", "error", "bye"}

    @invariant()
    def no_more_requests_than_the_rate_allows(self) -> None:
        requests = [output for output in self.outputs if not isinstance(output, Close | Send)]
        assert len(requests) <= RATE * protocol.BURST_SECONDS + RATE * self.now + 1


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
