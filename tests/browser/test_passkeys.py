"""Passkeys in a real Chromium with an authenticator in software: made, shown, shown again, and refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.browser.chromium import BrowserRefused, Chromium, Json, Page, standard
from tests.identity.authenticator import b64, unb64
from tests.serving import Caller, Instance
from tests.staff.people import HERE, staff

PAGE = "/api/v1/health"
NOT_VERIFIED = {"userVerification": "discouraged"}


def address(instance: Instance, path: str = PAGE) -> str:
    """Return the address of a page as browsers know this machine: no passkey is for a bare number."""
    return f"http://localhost:{instance.url.rpartition(':')[2]}{path}"


async def newcomer(instance: Instance, family: str) -> Caller:
    """Return somebody new who just used the one-time code that the practice's admin handed over."""
    admin = await instance.as_("org-admin")
    made: Json = await admin.made(f"{HERE}/engagements", staff(name={"given": "Noor", "family": family}))
    answer = await instance.http.post("/enrolments", json={"code": made["enrolment"]["code"]})
    assert answer.status_code == 201, answer.text
    return Caller(instance, family, answer.json()["accessToken"])


async def registration(caller: Caller, page: Page, **changes: object) -> Json:
    made: Json = await caller.made("/passkeys/challenges")
    return {
        "challengeId": made["challengeId"],
        "credential": await page.create({**made["publicKey"], **changes}),
    }


async def register(caller: Caller, page: Page) -> None:
    made = await caller.made("/passkeys", await registration(caller, page))
    assert made["kind"] == "passkey"


async def shown(instance: Instance, page: Page, **changes: object) -> Json:
    made = (await instance.http.post("/passkey-challenges", json={})).json()
    credential = await page.get({**made["publicKey"], **changes})
    return {"method": "passkey", "challengeId": made["challengeId"], "credential": credential}


async def log_in(instance: Instance, body: Json) -> httpx.Response:
    return await instance.http.post("/log-ins", json=body)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_somebody_new_makes_a_passkey_logs_in_without_a_name_and_shows_it_again(
    instance: Instance, chromium: Chromium
) -> None:
    caller, page = await newcomer(instance, "Visser"), await chromium.new_page(address(instance, "/docs"))
    assert (await caller.get("/cases")).status_code == 401, "a one-time code is not a way to work"
    await register(caller, page)
    (held,) = await page.passkeys()
    assert (held["rpId"], held["isResidentCredential"]) == ("localhost", True)

    for _ in range(2):  # the authenticator counts, and each count is a new one
        answer = await log_in(instance, await shown(instance, page))
        assert answer.status_code == 201, answer.text
        assert answer.json()["account"]["name"] == "Noor Visser"
    inside = Caller(instance, "Visser", answer.json()["accessToken"])
    assert (await inside.get("/cases")).status_code == 200

    again = await inside.post("/reauthentications", await shown(instance, page))
    assert (again.status_code, again.json()["acr"]) == (201, "two-factor"), again.text
    fresh = Caller(instance, "Visser", again.json()["accessToken"])
    assert (await fresh.get("/cases")).status_code == 200
    await page.close()


async def test_what_the_browser_made_of_a_challenge_is_good_once(instance: Instance, chromium: Chromium) -> None:
    caller, page = await newcomer(instance, "Mulder"), await chromium.new_page(address(instance))
    made = await registration(caller, page)
    assert (await caller.post("/passkeys", made)).status_code == 201
    again = await caller.post("/passkeys", made)
    assert (again.status_code, again.json()["errors"][0]["code"]) == (400, "not-registered")

    body = await shown(instance, page)
    assert (await log_in(instance, body)).status_code == 201
    assert refusal(await log_in(instance, body)) == (401, "log-in-failed")
    other = (await instance.http.post("/passkey-challenges", json={})).json()
    swapped = await log_in(instance, {**body, "challengeId": other["challengeId"]})
    assert refusal(swapped) == (401, "log-in-failed")
    await page.close()


async def test_a_passkey_is_of_the_account_that_made_it(instance: Instance, chromium: Chromium) -> None:
    mine, theirs = await newcomer(instance, "Kuipers"), await newcomer(instance, "Prins")
    page, other = await chromium.new_page(address(instance)), await chromium.new_page(address(instance))
    await register(mine, page)
    await register(theirs, other)
    inside = (await log_in(instance, await shown(instance, page))).json()["accessToken"]
    session = Caller(instance, "Kuipers", inside)
    refused = await session.post("/reauthentications", await shown(instance, other))
    assert refusal(refused) == (401, "log-in-failed")

    foreign = await theirs.post("/passkeys", await registration(session, page, excludeCredentials=[]))
    assert (foreign.status_code, foreign.json()["errors"][0]["code"]) == (400, "not-registered")

    (held,), (known,) = await page.passkeys(), await other.passkeys()
    assert held["userHandle"] != known["userHandle"]
    await other.hold(known, userHandle=held["userHandle"])
    assert refusal(await log_in(instance, await shown(instance, other))) == (401, "log-in-failed")
    await other.hold(known, signCount=90)
    assert (await log_in(instance, await shown(instance, other))).status_code == 201
    await page.close()
    await other.close()


async def test_a_passkey_is_made_once_on_one_device(instance: Instance, chromium: Chromium) -> None:
    caller, page = await newcomer(instance, "Vos"), await chromium.new_page(address(instance))
    await register(caller, page)
    asked: Json = (await caller.made("/passkeys/challenges"))["publicKey"]  # type: ignore[assignment]
    (held,) = await page.passkeys()
    assert [standard(one["id"]) for one in asked["excludeCredentials"]] == [held["credentialId"]]
    with pytest.raises(BrowserRefused, match="InvalidStateError"):
        await page.create(asked)
    await page.close()


async def test_whoever_does_not_show_a_finger_or_pin_is_not_let_in(instance: Instance, chromium: Chromium) -> None:
    caller, page = await newcomer(instance, "Smit"), await chromium.new_page(address(instance))
    await register(caller, page)
    await page.verify_user(verified=False)
    with pytest.raises(BrowserRefused, match="NotAllowedError"):
        await shown(instance, page)

    # A page that asks for less than the service did gets an answer, which proves one factor.
    body = await shown(instance, page, **NOT_VERIFIED)
    flags = unb64(body["credential"]["response"]["authenticatorData"])[32]
    assert flags & 0b101 == 0b001, "present, and not verified"
    assert refusal(await log_in(instance, body)) == (401, "log-in-failed")

    await page.verify_user(verified=True)
    inside = (await log_in(instance, await shown(instance, page))).json()["accessToken"]
    await page.verify_user(verified=False)
    session = Caller(instance, "Smit", inside)
    again = await session.post("/reauthentications", await shown(instance, page, **NOT_VERIFIED))
    assert refusal(again) == (401, "log-in-failed")
    await page.close()


async def test_a_passkey_of_a_device_that_verifies_nobody_is_not_taken(
    instance: Instance, chromium: Chromium
) -> None:
    caller = await newcomer(instance, "Dekker")
    page = await chromium.new_page(address(instance), can_verify=False)
    less = {"authenticatorSelection": {"residentKey": "discouraged", **NOT_VERIFIED}}
    refused = await caller.post("/passkeys", await registration(caller, page, **less))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "not-registered")
    with pytest.raises(BrowserRefused, match="NotAllowedError"):
        await registration(caller, page)
    await page.close()


@asynccontextmanager
async def elsewhere() -> AsyncIterator[int]:
    """Serve an empty page on another port of this machine and return the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


async def test_a_page_of_another_origin_gets_nobody_in(instance: Instance, chromium: Chromium) -> None:
    caller, page = await newcomer(instance, "Brouwer"), await chromium.new_page(address(instance))
    await register(caller, page)
    inside = await log_in(instance, await shown(instance, page))
    assert (await caller.get("/credentials")).status_code == 401, "a log-in ends who came in by a code"
    caller = Caller(instance, "Brouwer", inside.json()["accessToken"])
    made = (await instance.http.post("/passkey-challenges", json={})).json()
    async with elsewhere() as port:
        # By number, and beside us under our host: the browser sees that the passkey is not for such a page.
        for url in (f"{instance.url}{PAGE}", f"http://evil.localhost:{port}/"):
            await page.open(url)
            assert url.startswith(await page.origin())
            with pytest.raises(BrowserRefused, match="SecurityError"):
                await page.get(made["publicKey"])
            with pytest.raises(BrowserRefused, match="SecurityError"):
                await registration(caller, page, excludeCredentials=[])

        # It lends the name out to a page under itself, and then that is what the answer is for.
        rp = {"id": "evil.localhost", "name": "Overlegtafel"}
        borrowed = await caller.post("/passkeys", await registration(caller, page, rp=rp, excludeCredentials=[]))
        assert (borrowed.status_code, borrowed.json()["errors"][0]["code"]) == (400, "not-registered")

        # Another service on the same host is the same party to the browser. Only we can see that it is not us.
        await page.open(f"http://localhost:{port}/")
        assert refusal(await log_in(instance, await shown(instance, page))) == (401, "log-in-failed")
        forged = await shown(instance, page)
        response = forged["credential"]["response"]
        said = unb64(response["clientDataJSON"]).decode()
        response["clientDataJSON"] = b64(said.replace(f"localhost:{port}", address(instance, "")[7:]).encode())
        assert refusal(await log_in(instance, forged)) == (401, "log-in-failed")
        foreign = await caller.post("/passkeys", await registration(caller, page, excludeCredentials=[]))
        assert (foreign.status_code, foreign.json()["errors"][0]["code"]) == (400, "not-registered")
    await page.close()
