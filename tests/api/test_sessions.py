"""Refresh tokens work once, switching needs no log-in, and a session that was ended or locked is over everywhere."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.access.vocabulary import Acr
from app.cli.postgres import Urls
from app.core.settings import Settings
from app.identity.demo import BY_KEY, OTHER_PRACTICE
from app.identity.sessions import Method
from app.identity.signing_in import sign_in
from tests.api.room import ABSENT, problem_of
from tests.serving import Caller, Instance, MovableClock, Service, serve
from tests.stories import open_table
from tests.talking import attempt, talking

Json = dict[str, Any]
Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def owner(database: Urls) -> AsyncIterator[Owner]:
    """The database past every policy: for what has no operation of its own in these tests."""
    connection = await asyncpg.connect(database.superuser)
    yield connection
    await connection.close()


async def signed_in(instance: Service, persona: str) -> Json:
    """Return what signing in gives."""
    answer = await instance.http.post("/demo-tokens", json={"persona": persona})
    assert answer.status_code == 201, answer.text
    given: Json = answer.json()
    return given


async def refreshed(instance: Service, token: object) -> httpx.Response:
    return await instance.http.post("/token-refreshes", json={"refreshToken": token})


def caller_of(instance: Service, given: Json) -> Caller:
    return Caller(instance, "", given["accessToken"])


async def another_engagement(owner: Owner, persona: str, *, role: str = "gp") -> str:
    """Give a persona a second engagement, with the other practice."""
    engagement_id = uuid4()
    await owner.execute(
        "insert into engagement (id, account_id, organisation_id, role, profession, domain, valid_from,"
        " responsible_engagement_id) values ($1, $2, $3, $4, 'huisarts', 'care', '2026-02-01', $5)",
        engagement_id,
        BY_KEY[persona].account_id,
        OTHER_PRACTICE.id,
        role,
        BY_KEY["gp-other"].engagement_id if role == "poh" else None,
    )
    return str(engagement_id)


# Refreshing


async def test_a_refresh_token_gives_the_next_tokens_of_the_same_session(instance: Instance) -> None:
    first = await signed_in(instance, "poh")
    second = (await refreshed(instance, first["refreshToken"])).json()
    assert second["refreshToken"] != first["refreshToken"]
    verify, now = instance.app.state.services.verifier.verify, int(time.time())
    before, after = (verify(given["accessToken"], now=now) for given in (first, second))
    same = ("sub", "sid", "eng", "acr", "auth_time", "resp", "role", "spec", "org")
    assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}
    assert before.jti != after.jti
    assert after.resp == BY_KEY["gp"].account_id
    me = (await caller_of(instance, second).get("/me")).json()
    assert me["engagement"]["responsibleAccountId"] == str(after.resp)


async def test_using_a_refresh_token_twice_ends_its_session(instance: Instance, owner: Owner) -> None:
    first = await signed_in(instance, "gp")
    second = (await refreshed(instance, first["refreshToken"])).json()
    async with talking(caller_of(instance, second)) as talk:
        again = await refreshed(instance, first["refreshToken"])
        assert (again.status_code, problem_of(again)["code"]) == (401, "refresh-token-invalid")
        assert await talk.close_code() == 4401
    assert (await caller_of(instance, second).get("/me")).status_code == 401
    assert (await refreshed(instance, second["refreshToken"])).status_code == 401
    records = await owner.fetch(
        "select outcome, reason, actor_account_id from audit_event where action = 'token:refresh' and trace_id = $1",
        UUID(again.headers["x-request-id"]),
    )
    assert [tuple(record) for record in records] == [("denied", "refresh-token-reused", BY_KEY["gp"].account_id)]
    assert await owner.fetchval("select count(*) from login_session where ended_why = 'refresh-reused'") == 1


async def test_of_twenty_at_once_one_is_served_and_then_the_session_is_over(instance: Instance) -> None:
    token = (await signed_in(instance, "gp"))["refreshToken"]
    answers = await asyncio.gather(*(refreshed(instance, token) for _ in range(20)))
    served = [answer for answer in answers if answer.status_code == 201]
    assert sorted(answer.status_code for answer in answers) == [201, *[401] * 19]
    given = served[0].json()
    assert (await caller_of(instance, given).get("/me")).status_code == 401
    assert (await refreshed(instance, given["refreshToken"])).status_code == 401


@pytest.mark.parametrize("token", ["x", "\u0000", "é" * 512, " ", "\ud83d"])
async def test_what_is_no_refresh_token_is_refused(instance: Instance, token: str) -> None:
    body = json.dumps({"refreshToken": token})
    answer = await instance.http.post("/token-refreshes", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 401}


async def test_a_refresh_token_ends_with_its_session(settings: Settings, clock: MovableClock) -> None:
    async with serve(settings, clock) as instance:
        first, other = await signed_in(instance, "gp"), await signed_in(instance, "gp")
        clock.move(timedelta(hours=11, minutes=59))
        second = await refreshed(instance, first["refreshToken"])
        assert second.status_code == 201
        clock.move(timedelta(minutes=2))
        for token in (second.json()["refreshToken"], other["refreshToken"]):
            answer = await refreshed(instance, token)
            assert (answer.status_code, problem_of(answer)["code"]) == (401, "session-ended")


async def test_rights_are_looked_up_again_at_a_refresh(instance: Instance, owner: Owner) -> None:
    given = await signed_in(instance, "poh")
    suspend = "update engagement set suspended_at = $2 where id = $1"
    await owner.execute(suspend, BY_KEY["gp"].engagement_id, datetime.now(UTC))
    assert (await refreshed(instance, given["refreshToken"])).status_code == 401
    await owner.execute(suspend, BY_KEY["gp"].engagement_id, None)
    assert (await refreshed(instance, given["refreshToken"])).status_code == 201, "it was not used up in vain"


# Switching


async def test_one_account_acts_in_each_of_its_engagements_one_per_request(instance: Instance, owner: Owner) -> None:
    second = await another_engagement(owner, "poh", role="poh")
    given = await signed_in(instance, "poh")
    first_window = caller_of(instance, given)
    me = (await first_window.get("/me")).json()
    assert [one["id"] for one in me["engagements"]] == [str(BY_KEY["poh"].engagement_id), second]
    switched = await first_window.made("/engagement-switches", {"engagementId": second})
    second_window = caller_of(instance, switched)
    there = (await second_window.get("/me")).json()
    assert (there["engagement"]["id"], there["organisation"]["name"]) == (second, OTHER_PRACTICE.name)
    assert there["engagement"]["responsibleAccountId"] == str(BY_KEY["gp-other"].account_id)
    assert (await first_window.get("/me")).json()["engagement"]["id"] == me["engagement"]["id"]
    for token, engagement in ((given["refreshToken"], me["engagement"]["id"]), (switched["refreshToken"], second)):
        assert (await refreshed(instance, token)).json()["engagement"]["id"] == engagement
    sessions = (await first_window.get("/sessions")).json()["items"]
    assert len(sessions) == 1
    assert sessions[0]["engagement"]["id"] == second


async def test_nobody_switches_to_what_is_not_theirs_or_not_in_force(instance: Instance, owner: Owner) -> None:
    ended = await another_engagement(owner, "gp")
    await owner.execute("update engagement set valid_until = now() where id = $1", UUID(ended))
    gp = caller_of(instance, await signed_in(instance, "gp"))
    answers = [
        await gp.post("/engagement-switches", {"engagementId": engagement})
        for engagement in (str(BY_KEY["gp-other"].engagement_id), ended, ABSENT)
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert (await gp.post("/engagement-switches", {"engagementId": "no-such-id"})).status_code == 400
    denied = "select count(*) from audit_event where action = 'session:switch' and outcome = 'denied'"
    assert await owner.fetchval(denied) == 3


async def test_signing_in_goes_on_where_one_was_last(instance: Instance, owner: Owner) -> None:
    second = await another_engagement(owner, "gp")
    gp = caller_of(instance, await signed_in(instance, "gp"))
    services = instance.app.state.services

    async def entered() -> str:
        async with services.database.session() as db, db.begin():
            made = await sign_in(
                db,
                account_id=BY_KEY["gp"].account_id,
                engagement_id=None,
                method=Method.PASSKEY,
                acr=Acr.TWO_FACTOR,
                issuer=services.issuer,
                digests=services.crypto.digests,
                now=None,
            )
        return str(made.engagement_id)

    assert await entered() == str(BY_KEY["gp"].engagement_id)
    await gp.made("/engagement-switches", {"engagementId": second})
    await owner.execute(
        "update login_session set created_at = created_at - interval '1 hour' where method = 'passkey'"
    )
    assert await entered() == second


# Sessions of oneself and of others


async def test_a_list_says_how_and_where_each_device_signed_in(instance: Instance) -> None:
    poh = caller_of(instance, await signed_in(instance, "poh"))
    await signed_in(instance, "poh")
    newest, oldest = (await poh.get("/sessions")).json()["items"]
    assert (oldest["current"], newest["current"]) == (True, False)
    assert oldest.keys() == {
        *("id", "method", "acr", "engagement", "workplaceId", "createdAt", "expiresAt", "current"),
    }
    assert (oldest["method"], oldest["acr"], oldest["workplaceId"]) == ("demo", "demo", None)
    assert oldest["engagement"]["role"] == "poh"
    assert oldest["engagement"]["organisation"]["name"] == "Huisartsenpraktijk De Linde"


@pytest.mark.parametrize("admin", ["org-admin", "region-admin", "privacy-officer"])
async def test_whoever_watches_over_somebody_ends_their_session_at_once(
    instance: Instance, owner: Owner, admin: str
) -> None:
    table = await open_table(instance)
    gp = await instance.as_("gp")
    official = await instance.as_(admin)
    path = f"/accounts/{BY_KEY['gp'].account_id}/sessions"
    (session,) = (await official.get(path)).json()["items"]
    assert (session["current"], session["engagement"]["role"]) == (False, "gp")
    version = "select access_version from case_head"
    before = await owner.fetchval(version)
    async with talking(gp, table.case_id) as talk:
        assert (await official.delete(f"{path}/{session['id']}")).status_code == 204
        assert await talk.close_code() == 4401
    assert (await gp.get("/me")).status_code == 401
    assert (await gp.post(f"/cases/{table.case_id}/threads", {})).status_code == 401
    assert (await official.delete(f"{path}/{session['id']}")).status_code == 404
    assert await owner.fetchval(version) > before


async def test_an_organisation_sees_and_ends_the_sessions_of_its_own_people_only(
    instance: Instance, owner: Owner
) -> None:
    admin = await instance.as_("org-admin")
    for persona in ("gp-other", "social-worker", "citizen", "region-admin"):
        await instance.as_(persona)
        account = BY_KEY[persona].account_id
        session = await owner.fetchval("select id from login_session where account_id = $1", account)
        assert (await admin.get(f"/accounts/{account}/sessions")).status_code == 404
        assert (await admin.delete(f"/accounts/{account}/sessions/{session}")).status_code == 404
        assert (await (await instance.as_(persona)).get("/me")).status_code == 200
    own = f"/accounts/{BY_KEY['gp'].account_id}/sessions"
    assert (await admin.delete(f"{own}/{session}")).status_code == 404, "a session of another account"
    assert (await admin.get(own)).status_code == 200
    await owner.execute("update engagement set valid_until = now() where id = $1", BY_KEY["gp"].engagement_id)
    assert (await admin.get(own)).status_code == 404, "no longer its own"


async def test_what_is_nobodys_is_not_there_for_the_region_either(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    for path in (f"/accounts/{ABSENT}/sessions", "/accounts/no-such-id/sessions"):
        assert (await admin.get(path)).status_code == 404
        assert (await admin.delete(f"{path}/{ABSENT}")).status_code == 404


# Locking


async def test_a_locked_screen_only_signs_out(instance: Instance) -> None:
    table = await open_table(instance)
    given = await signed_in(instance, "gp")
    gp = caller_of(instance, given)
    thread = await gp.made(
        f"/cases/{table.case_id}/threads",
        {"patientId": table.patient_id, "category": "medication", "title": "Titel"},
    )
    ticket = await gp.made("/realtime-tickets")
    assert (await gp.post(f"/threads/{thread['id']}/messages", {"text": "Voor de lunch"})).status_code == 201
    async with talking(gp, table.case_id) as talk:
        assert (await gp.post("/sessions/current/lock")).status_code == 204
        assert await talk.close_code() == 4401
    assert (await gp.post("/sessions/current/lock")).status_code == 204, "again changes nothing"
    refusals = [
        await gp.get("/me"),
        await gp.post(f"/threads/{thread['id']}/messages", {"text": "Tijdens de lunch"}),
        await gp.post("/realtime-tickets"),
        await gp.post("/engagement-switches", {"engagementId": str(BY_KEY["gp"].engagement_id)}),
        await refreshed(instance, given["refreshToken"]),
    ]
    assert [(one.status_code, problem_of(one)["code"]) for one in refusals] == [(401, "session-locked")] * 5
    assert await attempt(str(ticket["url"]), str(ticket["ticket"])) == 4401
    other = caller_of(instance, await signed_in(instance, "gp"))
    assert (await other.get("/me")).status_code == 200
    assert (await gp.delete("/sessions/current")).status_code == 204
