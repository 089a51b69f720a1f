"""Every attack token, over HTTP and with the service's own keys: 401, never 500, and a record of the denial.

And a ticket abused on the socket: used twice, twice at once, too late, invented, after its session's end.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

import httpx
import orjson
import pytest

from app.core.settings import Settings
from tests.api.room import Room, another
from tests.identity.forge import Forge, is_sendable
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import account_of
from tests.talking import attempt

Json = dict[str, Any]
AT_ONCE = 4


@pytest.fixture(scope="module")
async def forge(room: Room) -> Forge:
    """A forge with the key that this very service signs with."""
    token = await room.instance.sign_in("gp")
    return Forge.of(token, room.app.state.services.crypto.signing.current().pem)


async def ask(room: Room, token: str, path: str = "/me") -> httpx.Response:
    return await room.anonymous("GET", path, headers={"Authorization": f"Bearer {token}"})


async def test_the_control_is_let_in(room: Room, forge: Forge) -> None:
    assert (await ask(room, forge.control())).status_code == 200


DOORS = {"me:read": "GET /api/v1/me", "realtime-ticket:issue": "POST /api/v1/realtime-tickets"}
"""Over HTTP, and where a socket's ticket comes from: a socket itself takes no token."""


async def asked_raw(url: str, door: str, tokens: Sequence[str]) -> list[tuple[int, str, Json]]:
    """Ask with each token over one connection; return status, request id and body of each answer.

    Bare bytes, because a client library takes longer for a request than the service does, and there are many.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    found = []
    for token in tokens:
        writer.write(f"{door} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
        body = orjson.loads(await reader.readexactly(int(headers["content-length"])))
        found.append((int(head.split(" ", 2)[1]), headers["x-request-id"], body))
    writer.close()
    await writer.wait_closed()
    return found


@pytest.mark.parametrize("action", DOORS)
async def test_every_attack_token_is_refused_and_recorded(room: Room, forge: Forge, action: str) -> None:
    attacks = [attack for attack in forge.attacks() if is_sendable(attack.token)]
    shares = [attacks[start::AT_ONCE] for start in range(AT_ONCE)]
    answers = await asyncio.gather(
        *(asked_raw(room.instance.url, DOORS[action], [attack.token for attack in share]) for share in shares)
    )
    asked = {}
    for attack, (status, request_id, body) in zip(chain(*shares), chain(*answers), strict=True):
        assert (attack.name, status, body["code"]) == (attack.name, 401, "token-invalid")
        assert body["detail"] == "The access token is not valid"
        asked[request_id] = attack.name
    assert len(asked) == len(attacks) > 250
    records = await room.owner.fetch("select * from audit_event where trace_id = any($1::uuid[])", list(asked))
    assert sorted(asked[str(record["trace_id"])] for record in records) == sorted(asked.values())
    told = {(one["action"], one["outcome"], one["reason"], one["actor_account_id"]) for one in records}
    assert told == {(action, "denied", "token-invalid", None)}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/threads/{thread}/messages"),
        ("POST", "/patients"),
        ("DELETE", "/sessions/current"),
        ("GET", "/audit/events"),
        ("POST", "/realtime-tickets"),
    ],
)
async def test_attack_tokens_are_refused_by_every_kind_of_operation(
    room: Room, forge: Forge, method: str, path: str
) -> None:
    attacks = [forge.with_claims(aud="elsewhere"), forge._moved(-3600), forge.with_header(alg="none"), "a.b.c"]
    for token in attacks:
        answer = await room.anonymous(method, path.format_map(room.ids), headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


async def test_a_token_says_who_and_never_what_one_may(room: Room, forge: Forge) -> None:
    """Rightly signed, but not true: the session decides, so a stolen key's claims open nothing by themselves."""
    other = await account_of(room.instance, "poh")
    for untrue in ({"sub": other}, {"sid": other}, {"sub": other, "sid": other}):
        token = forge.with_claims(**untrue)
        for path in ("/me", room.case):
            assert (await ask(room, token, path)).status_code == 401
        posted = await room.anonymous(
            "POST",
            f"/threads/{room.ids['thread']}/messages",
            headers={"Authorization": f"Bearer {token}"},
            json={"text": "Namens een ander"},
        )
        assert posted.status_code == 401
    claimed: list[dict[str, object]] = [
        {"role": "auditor"},
        {"org": None},
        {"scope": "audit:search"},
        {"acr": "other"},
    ]
    for more in claimed:
        token = forge.with_claims(**more)
        assert (await ask(room, token, "/audit/events")).status_code == 403
        assert (await ask(room, token)).json()["role"] == "gp"


async def test_a_token_is_taken_from_one_authorization_header_only(room: Room, forge: Forge) -> None:
    good = f"Bearer {forge.control()}"
    for headers in (
        [("Authorization", good), ("Authorization", good)],
        [("Authorization", good), ("Authorization", "Bearer x")],
        [("Authorization", f"{good}, {good}")],
        [("Authorization", good.replace("Bearer ", "Bearer\t"))],
        [("X-Authorization", good)],
        [("Cookie", f"access_token={forge.control()}")],
    ):
        assert (await room.instance.http.get("/me", headers=headers)).status_code == 401
    assert (await room.instance.http.get("/me", params={"access_token": forge.control()})).status_code == 401
    assert (
        await room.instance.http.get("/me", headers={"Authorization": good.replace("Bearer", "bEARER")})
    ).is_success


# Tickets


async def ticket_of(caller: Caller) -> tuple[str, str]:
    """Return a fresh ticket and the address it is for."""
    made = await caller.made("/realtime-tickets")
    assert set(made) == {"ticket", "url", "expiresAt"}
    return str(made["ticket"]), str(made["url"])


async def test_a_ticket_works_once_even_for_two_at_once(room: Room) -> None:
    gp = await room.as_("gp")
    ticket, url = await ticket_of(gp)
    assert url.startswith("ws://")
    assert url.endswith("/api/v1/realtime")
    outcomes = await asyncio.gather(*(attempt(url, ticket) for _ in range(4)))
    assert sorted(outcomes, key=str) == [4401, 4401, 4401, None]
    assert await attempt(url, ticket) == 4401


async def test_what_is_no_ticket_is_refused_and_recorded(room: Room, forge: Forge) -> None:
    gp = await room.as_("gp")
    ticket, url = await ticket_of(gp)
    count = "select count(*) from audit_event where action = 'socket:authenticate' and outcome = 'denied'"
    before = await room.owner.fetchval(count)
    tried = ["", "x", ticket[:-1], ticket + "x", ticket.swapcase(), forge.control()[:512], "\u0000", "é" * 100]
    codes = [await attempt(url, one) for one in tried]
    assert set(codes) <= {4401, 4400}
    assert codes.count(4401) >= 6
    assert await room.owner.fetchval(count) == before + codes.count(4401)
    assert await attempt(f"{url}?ticket={ticket}", "x") == 4401
    assert await attempt(url, ticket) is None


async def test_a_ticket_dies_with_its_session(room: Room) -> None:
    caller = await another(room.instance, "gp")
    ticket, url = await ticket_of(caller)
    assert (await caller.delete("/sessions/current")).status_code == 204
    assert await attempt(url, ticket) == 4401


async def test_a_ticket_lives_thirty_seconds(settings: Settings, clock: MovableClock) -> None:
    instance: Instance
    async with serve(settings, clock) as instance:
        gp = await instance.as_("gp")
        young, url = await ticket_of(gp)
        clock.move(timedelta(seconds=25))
        assert await attempt(url, young) is None
        old, url = await ticket_of(gp)
        clock.move(timedelta(seconds=31))
        assert await attempt(url, old) == 4401
        clock.move(timedelta(minutes=10))
        assert (await gp.get("/me")).status_code == 401
