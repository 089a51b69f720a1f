"""What we say on a socket: the members of the contract, and nothing undeclared."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.core.errors import Conflict, NotFound
from app.core.ids import AccountId, CaseId, EventId, ThreadId
from app.realtime import frames
from app.realtime.frames import SERVER_FRAMES, CloseCode

ACCOUNT = AccountId(UUID("5b0e1c7a-6f0a-4c39-9a51-0d9d3b0f7a11"))
CASE = CaseId(UUID("0f8fad5b-d9cb-469f-a165-70867728950e"))
THREAD = ThreadId(UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"))
MESSAGE = EventId(UUID("16fd2706-8baf-433b-82eb-8c7fada847da"))
ANA = {"id": ACCOUNT, "name": "Ana"}
ACTOR = {**ANA, "role": "gp", "organisationId": ACCOUNT}
BODY = frames.event_body(CASE, "message.posted", "2026-03-01T10:00:00.000Z", actor=ACTOR, data={"text": 'Dag "é"'})

EXPECTED: list[tuple[bytes, Mapping[str, object]]] = [
    (frames.ready(ACCOUNT, 5), {"op": "ready", "account": {"id": str(ACCOUNT)}, "leaseSeconds": 5}),
    (
        frames.joined(CASE, "abc", recovered=True, members=[ANA]),
        {
            "op": "joined",
            "caseId": str(CASE),
            "cursor": "abc",
            "recovered": True,
            "members": [{"id": str(ACCOUNT), "name": "Ana"}],
        },
    ),
    (
        frames.joined(CASE, "abc", recovered=False, members=None),
        {"op": "joined", "caseId": str(CASE), "cursor": "abc", "recovered": False},
    ),
    (frames.left(CASE), {"op": "left", "caseId": str(CASE)}),
    (
        frames.ack("c-1", MESSAGE, THREAD, "abc"),
        {"op": "ack", "clientId": "c-1", "messageId": str(MESSAGE), "threadId": str(THREAD), "cursor": "abc"},
    ),
    (
        frames.error(NotFound(), "c-1"),
        {
            "op": "error",
            "clientId": "c-1",
            "problem": {"type": "/problems/not-found", "title": "Not found", "code": "not-found"},
        },
    ),
    (
        frames.error(Conflict("It ended.")),
        {
            "op": "error",
            "problem": {
                "type": "/problems/conflict",
                "title": "The present state does not allow this",
                "code": "conflict",
                "detail": "It ended.",
            },
        },
    ),
    (
        frames.presence(CASE, [ANA]),
        {"op": "presence", "caseId": str(CASE), "members": [{"id": str(ACCOUNT), "name": "Ana"}]},
    ),
    (
        frames.typing(CASE, THREAD, ANA),
        {
            "op": "typing",
            "caseId": str(CASE),
            "threadId": str(THREAD),
            "account": {"id": str(ACCOUNT), "name": "Ana"},
        },
    ),
    (
        frames.event_frame(7, "A-_z", BODY),
        {
            "op": "event",
            "n": 7,
            "cursor": "A-_z",
            "caseId": str(CASE),
            "type": "message.posted",
            "at": "2026-03-01T10:00:00.000Z",
            "actor": {"id": str(ACCOUNT), "name": "Ana", "role": "gp", "organisationId": str(ACCOUNT)},
            "data": {"text": 'Dag "é"'},
        },
    ),
    (
        frames.narrowed(CASE, ["medication"], "consent-withdrawn"),
        {"op": "narrowed", "caseId": str(CASE), "categories": ["medication"], "why": "consent-withdrawn"},
    ),
    (frames.ended(CASE, "membership-ended"), {"op": "ended", "caseId": str(CASE), "why": "membership-ended"}),
    (frames.paused("lease"), {"op": "paused", "why": "lease"}),
    (frames.resumed(), {"op": "resumed"}),
    (frames.bye(CloseCode.DRAINING), {"op": "bye", "code": 1012}),
    (frames.pong(), {"op": "pong"}),
]


@pytest.mark.parametrize(("payload", "members"), EXPECTED)
def test_each_frame_has_the_members_of_the_contract(payload: bytes, members: Mapping[str, Any]) -> None:
    assert orjson.loads(payload) == members


def test_every_declared_frame_is_said_and_nothing_else() -> None:
    assert {members["op"] for _, members in EXPECTED} == set(SERVER_FRAMES)


def test_an_undeclared_frame_cannot_be_encoded() -> None:
    with pytest.raises(KeyError):
        frames._encode("whisper", text="psst")


def test_close_codes_are_those_of_the_contract() -> None:
    assert sorted(CloseCode) == [1009, 1011, 1012, 4400, 4401, 4403, 4408, 4429]
