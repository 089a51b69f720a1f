"""A browser holds a cookie that no script reads, and changes nothing without saying what only our pages know."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from app.api.cookies import COOKIE
from app.cli.postgres import Urls
from app.core.settings import Settings
from app.identity.demo import BY_KEY
from tests.api.room import problem_of
from tests.api.test_sessions import another_engagement
from tests.browsing import Browser, browse
from tests.serving import Instance, MovableClock, Service, serve
from tests.stories import open_table, thread
from tests.talking import attempt, talking

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def owner(database: Urls) -> AsyncIterator[Owner]:
    """The database past every policy."""
    connection = await asyncpg.connect(database.superuser)
    yield connection
    await connection.close()


async def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_connections(instance: Instance) -> None:
    answer = await instance.http.post("/demo-tokens", json={"persona": "gp", "delivery": "cookie"})
    assert answer.status_code == 201
    given, *attributes = answer.headers["set-cookie"].split("; ")
    assert given.partition("=")[0] == "__Host-overlegtafel"
    assert len(given.partition("=")[2]) >= 43
    assert set(attributes) == {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}
    body = answer.json()
    assert {"accessToken", "refreshToken"}.isdisjoint(body)
    assert body["expiresIn"] == 12 * 3600
    assert given.partition("=")[2] not in answer.text


async def test_a_page_that_was_loaded_again_learns_what_to_say(instance: Instance) -> None:
    browser = await browse(instance, "gp")
    said, browser.csrf = browser.csrf, ""
    me = (await browser.get("/me")).json()
    assert me["csrfToken"] == said
    assert "csrfToken" not in (await (await instance.as_("gp")).get("/me")).json()


async def test_a_whole_case_is_worked_on_by_cookie(instance: Instance) -> None:
    browser = await browse(instance, "gp")
    instance.tokens["gp"] = "never used"
    table = await open_table(Cookies(instance, {"gp": browser}))
    made = await browser.made(
        f"/cases/{table.case_id}/threads",
        {"patientId": table.patient_id, "category": "medication", "title": "Titel"},
    )
    posted = await browser.post(f"/threads/{made['id']}/messages", {"text": "Goedemorgen"}, Idempotency_Key="k")
    assert posted.status_code == 201
    async with talking(browser, table.case_id) as talk:
        await talk.say("post", clientId="c", threadId=made["id"], text="Over de lijn")
        await talk.hear("ack")


class Cookies(Service):
    """A service at which everybody signs in with a browser."""

    def __init__(self, service: Service, browsers: dict[str, Browser]) -> None:
        super().__init__(service.url, service.http)
        self.browsers = browsers

    async def as_(self, persona: str) -> Browser:
        """Return the persona's browser."""
        return self.browsers[persona]


UNSAFE = [
    ("POST", "/realtime-tickets"),
    ("POST", "/patients/_search"),
    ("DELETE", "/sessions/current"),
    ("POST", "/threads/{thread}/messages"),
]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "~~~~"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_nothing_is_changed_for_a_page_that_is_not_ours(
    instance: Instance, owner: Owner, headers: dict[str, str]
) -> None:
    table = await open_table(instance)
    thread_id = await thread(table, "medication")
    browser, other = await browse(instance, "gp"), await browse(instance, "gp")
    for method, path in UNSAFE:
        answer = await browser.request(method, path.format(thread=thread_id), {"text": "x"}, headers=headers)
        assert (method, path, answer.status_code) == (method, path, 403)
        assert problem_of(answer)["code"] == "csrf-token-invalid"
        record = await owner.fetchrow(
            "select * from audit_event where trace_id = $1", UUID(answer.headers["x-request-id"])
        )
        assert record is not None
        assert (record["outcome"], record["reason"]) == ("denied", "csrf-token-invalid")
        assert record["actor_account_id"] == BY_KEY["gp"].account_id
    borrowed = await browser.request("POST", "/realtime-tickets", headers={"X-CSRF-Token": other.csrf})
    assert borrowed.status_code == 403
    assert (await browser.get("/me")).status_code == 200
    assert (await browser.request("POST", "/realtime-tickets", headers={"Origin": instance.url})).status_code == 201


async def test_two_csrf_tokens_are_none(instance: Instance) -> None:
    browser = await browse(instance, "gp")
    headers = [("Cookie", f"{COOKIE}={browser.cookie}"), *[("X-CSRF-Token", browser.csrf)] * 2]
    assert (await instance.http.post("/realtime-tickets", headers=headers)).status_code == 403


async def test_a_token_wins_over_a_cookie_and_two_cookies_are_none(instance: Instance) -> None:
    gp, citizen = await browse(instance, "gp"), await browse(instance, "citizen")
    token = await instance.sign_in("poh")
    both = {"Cookie": f"{COOKIE}={gp.cookie}", "Authorization": f"Bearer {token}"}
    assert (await instance.http.get("/me", headers=both)).json()["role"] == "poh"
    assert (await instance.http.post("/realtime-tickets", headers=both)).status_code == 201, "no CSRF token needed"
    bad = {**both, "Authorization": "Bearer x"}
    assert (await instance.http.get("/me", headers=bad)).status_code == 401
    one, two = f"{COOKIE}={gp.cookie}", f"{COOKIE}={citizen.cookie}"
    for cookies in ([f"{one}; {two}"], [one, two], [f"{one}; {COOKIE}="], [f"{one}; {one}"]):
        answer = await instance.http.get("/me", headers=[("Cookie", cookie) for cookie in cookies])
        assert answer.status_code == 401
    for cookie in (f"a=b; {one}; c=d", f"a;{one};", f"{one} ;b=c"):
        assert (await instance.http.get("/me", headers={"Cookie": cookie})).status_code == 200


@pytest.mark.parametrize("secret", ["", "x", "x" * 43, "x" * 5000, "é", '"quoted"', "a,b"])
async def test_what_is_no_cookie_of_ours_is_refused(instance: Instance, secret: str) -> None:
    for method, path in (("GET", "/me"), *UNSAFE[:3]):
        headers = {b"Cookie": f"{COOKIE}={secret}".encode()}
        assert (await instance.http.request(method, path, headers=headers)).status_code == 401


async def test_signing_out_ends_the_cookie_and_clears_it(instance: Instance) -> None:
    browser = await browse(instance, "gp")
    secret = browser.cookie
    ticket = await browser.made("/realtime-tickets")
    answer = await browser.delete("/sessions/current")
    assert answer.status_code == 204
    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=; Max-Age=0; ")
    assert browser.cookie == ""
    browser.cookie = secret
    assert (await browser.get("/me")).status_code == 401
    assert await attempt(str(ticket["url"]), str(ticket["ticket"])) == 4401


async def test_switching_gives_another_cookie_and_the_old_one_is_dead(instance: Instance, owner: Owner) -> None:
    table = await open_table(instance)
    thread_id = await thread(table, "medication")
    second = await another_engagement(owner, "gp")
    browser = await browse(instance, "gp")
    assert (await browser.post(f"/threads/{thread_id}/messages", {"text": "Als de een"})).status_code == 201
    left = Browser(instance, "gp", "", browser.cookie, browser.csrf)
    ticket = await browser.made("/realtime-tickets")
    async with talking(browser, table.case_id) as talk:
        switched = await browser.made("/engagement-switches", {"engagementId": second})
        assert await talk.close_code() == 4401
    assert {"accessToken", "refreshToken"}.isdisjoint(switched)
    assert 0 < int(str(switched["expiresIn"])) <= 12 * 3600
    assert browser.cookie != left.cookie
    me = (await browser.get("/me")).json()
    assert (me["engagement"]["id"], me["csrfToken"]) == (second, browser.csrf)
    assert (await browser.get(f"/cases/{table.case_id}")).status_code == 404
    assert (await left.get("/me")).status_code == 401
    assert (await left.post(f"/threads/{thread_id}/messages", {"text": "Als de ander"})).status_code == 401
    assert await attempt(str(ticket["url"]), str(ticket["ticket"])) == 4401


async def test_a_browser_left_alone_for_half_an_hour_is_signed_out(settings: Settings, clock: MovableClock) -> None:
    async with serve(settings, clock) as instance:
        browser, idle = await browse(instance, "gp"), await browse(instance, "gp")
        for _ in range(3):
            clock.move(timedelta(minutes=14))
            assert (await browser.get("/me")).status_code == 200
        assert (await idle.get("/me")).status_code == 401
        assert (await browser.get("/sessions")).json()["items"][0]["current"]
        assert len((await browser.get("/sessions")).json()["items"]) == 1
        clock.move(timedelta(minutes=31))
        assert (await browser.get("/me")).status_code == 401


async def test_twelve_hours_are_the_end_however_busy(settings: Settings, clock: MovableClock) -> None:
    async with serve(settings, clock) as instance:
        browser = await browse(instance, "gp")
        for _ in range(12 * 3 - 1):
            clock.move(timedelta(minutes=20))
            assert (await browser.get("/me")).status_code == 200
        clock.move(timedelta(minutes=21))
        assert (await browser.get("/me")).status_code == 401


async def test_talking_over_a_socket_is_use_and_listening_is_not(settings: Settings, clock: MovableClock) -> None:
    async with serve(settings, clock) as instance:
        table = await open_table(instance)
        thread_id = await thread(table, "medication")
        browser = await browse(instance, "gp")
        leases = instance.app.state.live.leases
        async with talking(browser, table.case_id) as talk:
            await leases.renew()
            clock.move(timedelta(minutes=20))
            await talk.say("post", clientId="c", threadId=thread_id, text="Ik ben er nog")
            await talk.hear("ack")
            await leases.renew()
            clock.move(timedelta(minutes=20))
            await leases.renew()
            assert talk.closed is None
            assert (await browser.get("/me")).status_code == 200
            clock.move(timedelta(minutes=31))
            await leases.renew()
            assert await talk.close_code() == 4401
