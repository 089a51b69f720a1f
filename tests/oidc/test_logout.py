"""A provider says that somebody left: their sessions end at once, and nobody else's."""

import re

import httpx

from tests.oidc.people import House
from tests.oidc.provider import browser, walk


async def leave(client: httpx.AsyncClient, issuer: str) -> None:
    """Log out at the provider, as its own page does it; it tells the instance before it answers."""
    asked = await client.get(f"{issuer}/session/end")
    (secret,) = re.findall(r'name="xsrf" value="([^"]+)"', asked.text)
    answer = await client.post(f"{issuer}/session/end/confirm", data={"xsrf": secret, "logout": "yes"})
    assert answer.status_code in {200, 303}, answer.text


async def test_leaving_the_provider_ends_the_session_that_rests_on_it(house: House) -> None:
    async with browser() as client:
        await house.link(client, "gp", "anna")
    async with browser() as home, browser() as work:
        for client in (home, work):
            assert (await walk(client, await house.begin(client), login="anna")).status_code == 303
            assert (await client.get(house.url("/me"))).status_code == 200
        await leave(work, house.provider.issuer)
        assert (await work.get(house.url("/me"))).status_code == 401
        assert (await home.get(house.url("/me"))).status_code == 200, "another session of the provider's"
    demo = await house.instance.as_("gp")
    assert (await demo.get("/me")).status_code == 200, "a session that rests on nothing there"


async def test_a_notice_that_no_provider_signed_ends_nothing(house: House) -> None:
    for form in ({}, {"logout_token": "x"}, {"logout_token": "a.b.c"}, {"logout_token": "e30.e30."}):
        answer = await house.instance.http.post("/oidc-logout", data=form or {"other": "1"})
        assert answer.status_code == 400, answer.text
    answer = await house.instance.http.post("/oidc-logout", json={"logout_token": "x"})
    assert answer.status_code == 415
