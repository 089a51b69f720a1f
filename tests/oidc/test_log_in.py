"""Log-in through a real provider, from the first click to the end of the session."""

import httpx
import pytest

from tests.oidc.people import House
from tests.oidc.provider import arrive, browser, walk


async def test_somebody_links_logs_in_and_goes_on_where_they_wanted(house: House) -> None:
    async with browser() as client:
        await house.link(client, "gp", "anna")
    async with browser() as client:
        answer = await walk(client, await house.begin(client, returnTo="/zaken?open=1"), login="anna")
        assert (answer.status_code, answer.headers["location"]) == (303, "/zaken?open=1"), answer.text
        (session,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith("__Host-overlegtafel=")]
        assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(session.split("; "))
        assert (await client.get(house.url("/me"))).json()["name"] == "Anna de Vries"


async def test_a_program_fetches_its_tokens_once_and_works_with_them(house: House) -> None:
    async with browser() as client:
        await house.link(client, "gp", "anna")
    async with browser() as client:
        answer = await walk(client, await house.begin(client, delivery="tokens"), login="anna")
        code = answer.json()["code"]
        async with browser() as other:
            stolen = await other.post(house.url("/oidc-log-ins/completion"), json={"code": code})
            assert (stolen.status_code, stolen.json()["code"]) == (400, "log-in-not-known")
        first = await client.post(house.url("/oidc-log-ins/completion"), json={"code": code})
        assert first.status_code == 201, first.text
        again = await client.post(house.url("/oidc-log-ins/completion"), json={"code": code})
        assert (again.status_code, again.json()["code"]) == (400, "log-in-not-known")
        token = {"Authorization": f"Bearer {first.json()['accessToken']}"}
        assert (await client.get(house.url("/me"), headers=token)).json()["name"] == "Anna de Vries"
        ticket = await client.post(house.url("/realtime-tickets"), headers=token)
        assert ticket.status_code == 201
        assert (await client.delete(house.url("/sessions/current"), headers=token)).status_code == 204
        assert (await client.get(house.url("/me"), headers=token)).status_code == 401


async def refused(house: House, client: httpx.AsyncClient, url: str, **how: str) -> str:
    """Walk to a refusal and return its code, as the page shows it."""
    answer = await walk(client, url, **how)
    assert answer.headers["content-type"].startswith("text/html")
    assert 400 <= answer.status_code < 500
    assert not [one for one in answer.headers.get_list("set-cookie") if one.startswith("__Host-overlegtafel=")]
    return answer.text.partition("Code: ")[2].partition("<")[0]


async def test_one_factor_a_stranger_and_somebody_who_stops_are_refused_with_a_reason(house: House) -> None:
    async with browser() as client:
        await house.link(client, "gp", "anna")
    async with browser() as client:
        assert await refused(house, client, await house.begin(client), login="anna", factors="one") == (
            "second-factor-needed"
        )
    async with browser() as client:
        assert await refused(house, client, await house.begin(client), login="nobody") == "identity-not-linked"
    async with browser() as client:
        assert await refused(house, client, await house.begin(client)) == "log-in-refused"


async def test_an_answer_is_good_once_and_in_the_browser_that_asked(house: House) -> None:
    async with browser() as client:
        await house.link(client, "gp", "anna")
    async with browser() as client, browser() as other:
        back = await arrive(client, await house.begin(client), login="anna")
        elsewhere = await house.begin(other)
        assert await refused(house, other, back) == "log-in-not-known", "a foreign state"
        assert (await client.get(back)).status_code == 303
        assert await refused(house, client, back) == "log-in-not-known", "a replayed answer"
        assert (await walk(other, elsewhere, login="anna")).status_code == 303, "the other's own is untouched"


async def test_an_identity_is_of_one_account_and_linked_with_a_fresh_factor(house: House) -> None:
    async with browser() as client:
        await house.link(client, "gp", "anna")
        await house.link(client, "gp", "anna")
    async with browser() as client:
        assert (
            await refused(house, client, await house.begin_linking(client, "poh"), login="anna") == "identity-taken"
        )
    caller = await house.instance.as_("gp")
    (own,) = (await caller.get("/external-identities")).json()["items"]
    assert (own["provider"], own["issuer"]) == ("werkgever", house.provider.issuer)
    other = await house.instance.as_("poh")
    assert (await other.get("/external-identities")).json()["items"] == []
    assert (await other.delete(f"/external-identities/{own['id']}")).status_code == 404


async def test_a_provider_for_professionals_is_not_for_a_citizen(house: House) -> None:
    token = await house.instance.sign_in("citizen")
    answer = await house.instance.http.post(
        "/external-identities", json={"provider": "werkgever"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "provider-not-for-you")


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "zaken", "/%2f/evil", "/a\n/b", "/" + "a" * 600],
)
async def test_nobody_is_sent_on_to_another_site(house: House, path: str) -> None:
    answer = await house.instance.http.post("/oidc-log-ins", json={"provider": "werkgever", "returnTo": path})
    assert answer.status_code == 400
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/returnTo"}
