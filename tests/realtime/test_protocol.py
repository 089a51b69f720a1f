"""The conversation over one socket: each line of the contract, any input at all, and any order of things."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.core.ids import AccountId, CaseId, ThreadId
from app.realtime import protocol
from app.realtime.frames import CloseCode, Scope
from app.realtime.protocol import (
    AUTHENTICATE_SECONDS,
    CLIENT_FRAMES,
    FRAMES_PER_SECOND,
    HELD_FRAMES_MAX,
    OVERFLOW_FRAMES_MAX,
    Authenticate,
    BadFrame,
    Close,
    Dialogue,
    Join,
    Kind,
    Leave,
    Output,
    Ping,
    Post,
    Send,
    Typing,
    read,
)

ACCOUNT = AccountId(UUID("5b0e1c7a-6f0a-4c39-9a51-0d9d3b0f7a11"))
CASE = CaseId(UUID("0f8fad5b-d9cb-469f-a165-70867728950e"))
THREAD = ThreadId(UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"))
BURST = FRAMES_PER_SECOND * protocol.BURST_SECONDS
AUTHENTICATE = '{"op":"authenticate","ticket":"t"}'
PING = '{"op":"ping"}'


def text_of(**members: object) -> str:
    return json.dumps(members)


def post_of(**changes: object) -> str:
    return text_of(**{"op": "post", "clientId": "c-1", "threadId": str(THREAD), "text": "Dag", **changes})


def started(*, rate: int = FRAMES_PER_SECOND) -> Dialogue:
    dialogue = Dialogue(0.0, rate=rate)
    assert dialogue.receive(AUTHENTICATE, 0.0) == [Authenticate("t")]
    dialogue.ready(ACCOUNT, 5)
    return dialogue


def told(output: Output) -> dict[str, Any]:
    assert isinstance(output, Send)
    members = orjson.loads(output.payload)
    assert isinstance(members, dict)
    return members


def assert_refused(outputs: list[Output], problem: str, code: CloseCode) -> None:
    first, last = outputs
    assert told(first)["op"] == "error"
    assert told(first)["problem"]["code"] == problem
    assert last == Close(code)


@pytest.mark.parametrize(
    ("frame", "request_"),
    [
        (text_of(op="join", caseId=str(CASE)), Join(CASE, None)),
        (text_of(op="join", caseId=str(CASE), cursor="abc"), Join(CASE, "abc")),
        (text_of(op="leave", caseId=str(CASE)), Leave(CASE)),
        (text_of(op="typing", threadId=str(THREAD)), Typing(THREAD)),
        (PING, Ping()),
        (post_of(), Post("c-1", THREAD, "Dag", Kind.MESSAGE)),
        (post_of(kind="phone-note"), Post("c-1", THREAD, "Dag", Kind.PHONE_NOTE)),
        (post_of(text='a\n\tb "é\\ 🙂'), Post("c-1", THREAD, 'a\n\tb "é\\ 🙂', Kind.MESSAGE)),
        (post_of(text="é" * 8000), Post("c-1", THREAD, "é" * 8000, Kind.MESSAGE)),
        ('{"op":"authenticate","ticket":"\\u0022"}', Authenticate('"')),
    ],
)
def test_each_request_is_read(frame: str, request_: object) -> None:
    assert read(frame) == request_


@pytest.mark.parametrize("kind", ["message", "question", "answer", "phone-note", "decision-needed"])
def test_each_kind_of_message_is_known(kind: str) -> None:
    assert read(post_of(kind=kind)) == Post("c-1", THREAD, "Dag", Kind(kind))


BAD_FRAMES = {
    "not JSON": "ping",
    "empty": "",
    "not finished": '{"op":"ping"',
    "a raw NUL": '{"op":"pi\0ng"}',
    "NaN": '{"op":NaN}',
    "an array": '["ping"]',
    "a string": '"ping"',
    "null": "null",
    "no op": "{}",
    "unknown op": '{"op":"shout"}',
    "an op of the server": '{"op":"ready"}',
    "op is a number": '{"op":1}',
    "op is an object": '{"op":{}}',
    "type for op": '{"type":"ping"}',
    "unknown member": '{"op":"ping","more":"x"}',
    "missing member": '{"op":"join"}',
    "null member": text_of(op="join", caseId=str(CASE), cursor=None),
    "wrong type": text_of(op="join", caseId=1),
    "op twice": '{"op":"ping","op":"ping"}',
    "op twice, once escaped": '{"op":"ping","\\u006fp":"ping"}',
    "op twice, quotation marks hidden": '{"op":"leave","op":"authenticate","ticket":"\\u0022\\u0022\\u0022\\u0022"}',
    "shadowed by another type": '{"op":1,"op":"ping"}',
    "shadowed nesting": '{"op":' + "[" * 900 + "]" * 900 + ',"op":"ping"}',
    "shadowed number": '{"op":' + "9" * 6000 + ',"op":"authenticate","ticket":"\\u0022"}',
    "deep": "[" * 33 + "]" * 33,
    "very deep": "[" * 60_000,
    "deep member": '{"op":' + '{"a":' * 32 + "1" + "}" * 33,
    "lone surrogate, escaped": post_of(text="\ud800"),
    "lone surrogate, raw": '{"op":"authenticate","ticket":"\udcff"}',
    "NUL in a member": '{"op":"authenticate","ticket":"a\\u0000"}',
    "clientId empty": post_of(clientId=""),
    "clientId too long": post_of(clientId="c" * 129),
    "clientId with a space": post_of(clientId="a b"),
    "clientId not ASCII": post_of(clientId="é"),
    "ticket too long": text_of(op="authenticate", ticket="t" * 513),
    "cursor too long": text_of(op="join", caseId=str(CASE), cursor="t" * 513),
    "trailing data": '{"op":"ping"}{"op":"ping"}',
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_is_not_read(frame: str) -> None:
    with pytest.raises(BadFrame):
        read(frame)


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_gets_one_typed_error_and_closes(frame: str) -> None:
    dialogue = started()
    assert dialogue.receive(PING, 0.0) == [Ping()]
    assert_refused(dialogue.receive(frame, 0.0), "bad-frame", CloseCode.BAD_FRAME)
    assert dialogue.receive(PING, 0.0) == []


def test_an_error_never_echoes_the_frame() -> None:
    outputs = started().receive(text_of(op="canary-1", canary_2="canary-3"), 0.0)
    assert b"canary" not in b"".join(output.payload for output in outputs if isinstance(output, Send))


@pytest.mark.parametrize("bad_id", ["", "x", str(CASE).upper(), CASE.hex, f"{{{CASE}}}", str(CASE) + "\n", "é" * 36])
def test_an_id_that_cannot_be_one_is_not_there(bad_id: str) -> None:
    dialogue = started()
    for frame in (
        text_of(op="join", caseId=bad_id),
        text_of(op="leave", caseId=bad_id),
        text_of(op="typing", threadId=bad_id),
    ):
        (output,) = dialogue.receive(frame, 0.0)
        assert told(output) == {
            "op": "error",
            "problem": {"type": "/problems/not-found", "title": "Not found", "code": "not-found"},
        }
    (output,) = dialogue.receive(post_of(threadId=bad_id), 0.0)
    assert (told(output)["clientId"], told(output)["problem"]["code"]) == ("c-1", "not-found")
    assert not dialogue.closing


@pytest.mark.parametrize(
    "changes",
    [{"text": ""}, {"text": "x" * 8001}, {"text": "\0"}, {"text": "a\rb"}, {"text": "\x1b[2J"}, {"kind": "shout"}],
)
def test_an_invalid_post_is_refused_alone(changes: Mapping[str, object]) -> None:
    dialogue = started()
    (output,) = dialogue.receive(post_of(**changes), 0.0)
    assert (told(output)["clientId"], told(output)["problem"]["code"]) == ("c-1", "invalid-input")
    assert dialogue.receive(post_of(), 0.0) == [Post("c-1", THREAD, "Dag", Kind.MESSAGE)]


def test_binary_frames_are_not_open_yet() -> None:
    assert_refused(started().receive(b"\0", 0.0), "not-supported", CloseCode.BAD_FRAME)


def test_authenticate_comes_within_five_seconds() -> None:
    dialogue = Dialogue(100.0)
    assert dialogue.deadline == 100.0 + AUTHENTICATE_SECONDS == 105.0
    assert dialogue.tick(104.9) == []
    assert_refused(dialogue.tick(105.0), "unauthenticated", CloseCode.NOT_AUTHENTICATED)
    assert dialogue.tick(105.0) == []
    late = Dialogue(100.0)
    assert_refused(late.receive(AUTHENTICATE, 105.0), "unauthenticated", CloseCode.NOT_AUTHENTICATED)


def test_the_deadline_is_gone_once_authenticate_came() -> None:
    dialogue = Dialogue(0.0)
    dialogue.receive(AUTHENTICATE, 4.9)
    assert dialogue.deadline is None
    assert dialogue.tick(60.0) == []


def test_nothing_comes_before_authenticate() -> None:
    dialogue = Dialogue(0.0)
    assert_refused(dialogue.receive(PING, 0.0), "unauthenticated", CloseCode.NOT_AUTHENTICATED)
    assert dialogue.receive(AUTHENTICATE, 0.0) == []


def test_a_socket_is_authenticated_once() -> None:
    pending = Dialogue(0.0)
    pending.receive(AUTHENTICATE, 0.0)
    for dialogue in (pending, started()):
        assert_refused(dialogue.receive(AUTHENTICATE, 0.0), "bad-frame", CloseCode.BAD_FRAME)


def test_a_bad_ticket_closes_and_ready_comes_too_late() -> None:
    dialogue = Dialogue(0.0)
    dialogue.receive(AUTHENTICATE, 0.0)
    assert_refused(dialogue.refuse(), "unauthenticated", CloseCode.NOT_AUTHENTICATED)
    assert dialogue.ready(ACCOUNT, 5) == []


def test_frames_sent_before_ready_wait_for_it_in_order() -> None:
    dialogue = Dialogue(0.0)
    dialogue.receive(AUTHENTICATE, 0.0)
    early = [post_of(clientId=f"c-{number}") for number in range(HELD_FRAMES_MAX - 1)]
    assert [dialogue.receive(frame, 0.0) for frame in [*early, post_of(text="")]] == [[]] * HELD_FRAMES_MAX
    first, *others, last = dialogue.ready(ACCOUNT, 5)
    assert told(first) == {"op": "ready", "account": {"id": str(ACCOUNT)}, "leaseSeconds": 5}
    assert others == [read(frame) for frame in early]
    assert told(last)["problem"]["code"] == "invalid-input"
    assert dialogue.ready(ACCOUNT, 5) == []


def test_the_seventeenth_frame_before_ready_closes() -> None:
    dialogue = Dialogue(0.0)
    dialogue.receive(AUTHENTICATE, 0.0)
    for _ in range(16):
        assert dialogue.receive(PING, 0.0) == []
    assert_refused(dialogue.receive(PING, 0.0), "rate-limited", CloseCode.RATE)
    assert dialogue.ready(ACCOUNT, 5) == []


def test_a_burst_passes_and_a_thousand_frames_at_once_end_in_4429() -> None:
    dialogue = started()
    outputs = [output for _ in range(1000) for output in dialogue.receive(PING, 0.0)]
    passed = BURST - 1  # authenticate was a frame too
    assert outputs[:passed] == [Ping()] * passed
    refusal, farewell, end = outputs[passed:]
    assert told(refusal)["problem"]["code"] == "rate-limited"
    assert told(farewell) == {"op": "bye", "code": 4429}
    assert end == Close(CloseCode.RATE)


def test_no_refused_post_stays_without_an_answer() -> None:
    dialogue = started()
    frames = [post_of(clientId=f"c-{number}") for number in range(BURST - 1 + OVERFLOW_FRAMES_MAX)]
    outputs = [output for frame in frames for output in dialogue.receive(frame, 0.0)]
    named = [output.client_id if isinstance(output, Post) else told(output)["clientId"] for output in outputs]
    assert named == [f"c-{number}" for number in range(len(frames))]
    assert not dialogue.closing


def test_a_client_that_pauses_is_forgiven() -> None:
    dialogue = started()
    for now in (0.0, 10.0, 20.0):
        for _ in range(BURST + OVERFLOW_FRAMES_MAX - 10):
            dialogue.receive(PING, now)
    assert not dialogue.closing


def test_a_client_slightly_over_the_rate_is_told_and_a_second_later_closed() -> None:
    dialogue = started()
    told_at = closed_at = 0.0
    for tick in range(6000):
        now = tick / 60
        for output in dialogue.receive(PING, now):
            if isinstance(output, Send) and told(output)["op"] == "error":
                assert told(output)["problem"]["code"] == "rate-limited"
                assert told_at == 0.0
                told_at = now
            if isinstance(output, Close):
                closed_at = now
    assert told_at > 19
    assert told_at + protocol.OVERFLOW_SECONDS_MAX < closed_at < told_at + 1.2


def test_fifty_frames_a_second_go_on_for_ever() -> None:
    dialogue = started()
    assert all(dialogue.receive(PING, tick / 50) == [Ping()] for tick in range(5000))


def test_the_rate_is_a_setting_and_the_burst_follows() -> None:
    dialogue = started(rate=1000)
    assert all(dialogue.receive(PING, 0.0) == [Ping()] for _ in range(3999))
    assert dialogue.receive(PING, 0.0) != [Ping()]


@pytest.mark.parametrize("code", CloseCode)
def test_we_say_bye_before_we_close_and_only_once(code: CloseCode) -> None:
    dialogue = started()
    farewell, end = dialogue.end(code)
    assert told(farewell) == {"op": "bye", "code": int(code)}
    assert end == Close(code)
    assert dialogue.end(code) == []


def test_an_undeclared_frame_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(CLIENT_FRAMES) == {"authenticate", "join", "leave", "post", "typing", "ping"}
    assert {op for op, frame in CLIENT_FRAMES.items() if frame.scope is Scope.PUBLIC} == {"authenticate"}
    monkeypatch.setattr(protocol, "CLIENT_FRAMES", {op: f for op, f in CLIENT_FRAMES.items() if op != "ping"})
    with pytest.raises(BadFrame):
        read(PING)
