"""A real Chromium, driven over its DevTools protocol: pages, and an authenticator in software behind each.

Source: https://chromedevtools.github.io/devtools-protocol/ (domains Target, Page, Runtime, WebAuthn).
"""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

Json = dict[str, Any]

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 60
CALL_SECONDS = 60
END_SECONDS = 10
LISTENS = b"DevTools listening on "
SWITCHES = (
    "--headless",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
)

# The page gets the options as the service gives them and hands back what goes to the service: both are the
# browser's own JSON. What it refuses comes back by its name.
ASK = """
(async (kind, options) => {
    const parse = kind === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
    try {
        const made = await navigator.credentials[kind]({publicKey: PublicKeyCredential[parse](options)});
        return {credential: made.toJSON()};
    } catch (error) {
        return {refusal: error.name};
    }
})
"""


class BrowserRefused(Exception):
    """The browser itself refused to ask the authenticator, or this would not answer; named as the standard does."""


def find() -> str | None:
    """Return where the browser is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """A running browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[Json]] = {}
        self._events: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def listen(self) -> None:
        """Hand out what the browser says, until it hangs up."""
        async for raw in self._connection:
            said = json.loads(raw)
            waiting = self._answers.pop(said.get("id", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)
            event = self._events.pop((said.get("sessionId", ""), said.get("method", "")), None)
            if event is not None and not event.done():
                event.set_result(None)

    async def call(self, method: str, params: Json | None = None, *, session: str = "") -> Json:
        """Return what a command answers."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params or {}}
        await self._connection.send(json.dumps(message | ({"sessionId": session} if session else {})))
        said = await asyncio.wait_for(answer, CALL_SECONDS)
        assert "error" not in said, f"{method}: {said['error']}"
        result: Json = said["result"]
        return result

    def event(self, session: str, method: str) -> "asyncio.Future[None]":
        """Return what is done when something next happens in a page."""
        self._events[session, method] = asyncio.get_running_loop().create_future()
        return self._events[session, method]

    async def new_page(self, url: str, *, can_verify: bool = True) -> "Page":
        """Open a page with cookies and an authenticator of its own; its user is there and consents by itself.

        ``can_verify`` says whether the authenticator can ask for a PIN or a finger; whoever it asks then shows it.
        """
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        made = {"url": "about:blank", "browserContextId": context}
        target = (await self.call("Target.createTarget", made))["targetId"]
        attached = await self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(self, attached["sessionId"], context)
        await page.call("Page.enable")
        await page.call("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": can_verify,
            "isUserVerified": can_verify,
            "automaticPresenceSimulation": True,
        }
        page.authenticator = (await page.call("WebAuthn.addVirtualAuthenticator", {"options": options}))[
            "authenticatorId"
        ]
        await page.open(url)
        return page


@dataclass
class Page:
    """A page, and the authenticator of the machine that it is open on."""

    browser: Chromium
    session: str
    context: str
    authenticator: str = ""

    async def call(self, method: str, params: Json | None = None) -> Json:
        """Return what a command to this page answers."""
        return await self.browser.call(method, params, session=self.session)

    async def open(self, url: str) -> None:
        """Go to an address and wait until the page is there."""
        loaded = self.browser.event(self.session, "Page.loadEventFired")
        gone = await self.call("Page.navigate", {"url": url})
        assert "errorText" not in gone, gone
        await asyncio.wait_for(loaded, CALL_SECONDS)

    async def origin(self) -> str:
        """Return the origin that the page has by the browser's lights."""
        answer = await self.call("Runtime.evaluate", {"expression": "window.origin", "returnByValue": True})
        found: str = answer["result"]["value"]
        return found

    async def create(self, options: Json) -> Json:
        """Return what ``navigator.credentials.create`` makes of options.

        Raises:
            BrowserRefused: nothing.
        """
        return await self._ask("create", options)

    async def get(self, options: Json) -> Json:
        """Return what ``navigator.credentials.get`` makes of options.

        Raises:
            BrowserRefused: nothing.
        """
        return await self._ask("get", options)

    async def _ask(self, kind: str, options: Json) -> Json:
        asked = {
            "expression": f"({ASK.strip()})({json.dumps(kind)}, {json.dumps(options)})",
            "awaitPromise": True,
            "returnByValue": True,
            "userGesture": True,
        }
        answer = await self.call("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer
        made: Json = answer["result"]["value"]
        if "refusal" in made:
            raise BrowserRefused(made["refusal"])
        credential: Json = made["credential"]
        return credential

    async def verify_user(self, *, verified: bool) -> None:
        """Say whether the authenticator recognises its user from now on."""
        said = {"authenticatorId": self.authenticator, "isUserVerified": verified}
        await self.call("WebAuthn.setUserVerified", said)

    async def passkeys(self) -> list[Json]:
        """Return what the authenticator holds, private keys included."""
        held = await self.call("WebAuthn.getCredentials", {"authenticatorId": self.authenticator})
        found: list[Json] = held["credentials"]
        return found

    async def hold(self, passkey: Json, **changes: object) -> None:
        """Put a passkey into the authenticator in place of the one with its id, as no honest one would."""
        which = {"authenticatorId": self.authenticator}
        if passkey["credentialId"] in {one["credentialId"] for one in await self.passkeys()}:
            await self.call("WebAuthn.removeCredential", {**which, "credentialId": passkey["credentialId"]})
        await self.call("WebAuthn.addCredential", {**which, "credential": {**passkey, **changes}})

    async def close(self) -> None:
        """Close the page and forget what was in it."""
        await self.browser.call("Target.disposeBrowserContext", {"browserContextId": self.context})


def standard(text: str) -> str:
    """Return as the protocol writes it what the service writes in base64url."""
    return b64encode(b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")).decode()


@asynccontextmanager
async def running(path: str, profile: Path) -> AsyncIterator[Chromium]:
    """Run a browser with a profile of its own until the block ends."""
    switches = [*SWITCHES, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    process = await asyncio.create_subprocess_exec(
        path,
        *switches,
        f"--user-data-dir={profile}",
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env={**os.environ, "HOME": str(profile)},
    )
    tasks: list[asyncio.Task[None]] = []
    try:
        address = await asyncio.wait_for(_address(process), START_SECONDS)
        tasks.append(asyncio.create_task(_drain(process)))
        async with connect(address, proxy=None, compression=None, max_size=None, open_timeout=START_SECONDS) as wire:
            browser = Chromium(wire)
            tasks.append(asyncio.create_task(browser.listen()))
            yield browser
            await browser.call("Browser.close")
    finally:
        await _end(process)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _address(process: Process) -> str:
    """Return where the browser listens: it says so itself once it does."""
    assert process.stderr is not None
    async for line in process.stderr:
        if line.startswith(LISTENS):
            return line.removeprefix(LISTENS).decode().strip()
    raise AssertionError("the browser did not start")


async def _drain(process: Process) -> None:
    """Read what it complains of, so that it never waits for us."""
    assert process.stderr is not None
    async for _line in process.stderr:
        pass


async def _end(process: Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
