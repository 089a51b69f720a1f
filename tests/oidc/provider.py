"""A certified OpenID provider as a process on loopback, and a browser that walks through its pages."""

import fcntl
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from uuid import uuid4

import httpx

from app.core.providers import OidcProvider
from tests.serving import NO_TLS

FOLDER = Path(__file__).resolve().parent.parent / "provider"
INSTALL_SECONDS = 180
START_SECONDS = 60
STEPS_MAX = 20
TWO, ONE = "urn:overlegtafel:test:two", "urn:overlegtafel:test:one"

_FORM = re.compile(r'<form method="post" action="([^"]+)">')


def install() -> None:
    """Install what the provider needs, once for however many test processes there are."""
    with (FOLDER / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = FOLDER / "node_modules" / ".installed"
        wanted = (FOLDER / "package-lock.json").read_bytes()
        if not marker.exists() or marker.read_bytes() != wanted:
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund"],
                cwd=FOLDER,
                check=True,
                capture_output=True,
                timeout=INSTALL_SECONDS,
            )
            marker.write_bytes(wanted)


def is_missing() -> bool:
    """Whether there is nothing to run the provider with."""
    return shutil.which("node") is None or shutil.which("npm") is None


@dataclass(frozen=True)
class Provider:
    """The running provider."""

    issuer: str

    def configured(self, **more: object) -> OidcProvider:
        """Return how an instance is told about it, under a client id that nobody has."""
        client_id = str(more.pop("client_id", None) or f"overlegtafel-{uuid4().hex}")
        given: dict[str, object] = {
            "key": "werkgever",
            "issuer": self.issuer,
            "client_id": client_id,
            "client_secret": f"{client_id}-{'s' * 43}",
            "acr_values": (TWO,),
            "label": "Inloggen via uw werkgever",
        }
        return OidcProvider.model_validate({**given, **more})

    async def register(self, client_id: str, base_url: str, **more: object) -> None:
        """Register an instance as a client."""
        wanted = {
            "software_id": client_id,
            "redirect_uris": [f"{base_url}/api/v1/oidc-callback"],
            "backchannel_logout_uri": f"{base_url}/api/v1/oidc-logout",
            "backchannel_logout_session_required": True,
            "id_token_signed_response_alg": "ES256",
            **more,
        }
        async with httpx.AsyncClient(verify=NO_TLS) as http:
            answer = await http.post(f"{self.issuer}/reg", json=wanted)
            assert answer.status_code == 201, answer.text


@contextmanager
def running() -> Iterator[Provider]:
    """Run the provider until the block ends; closing its standard input is how it is told."""
    process = subprocess.Popen(
        ["node", "provider.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert said, "the provider did not start"
        yield Provider(json.loads(said)["issuer"])
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@asynccontextmanager
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """A browser with a cookie jar that, as browsers do, takes this very machine for a safe place."""
    async with httpx.AsyncClient(headers={"Accept": "text/html"}, timeout=30, verify=NO_TLS) as client:

        async def trust(_answer: httpx.Response) -> None:
            for cookie in client.cookies.jar:
                cookie.secure = False

        client.event_hooks = {"response": [trust]}
        yield client


async def arrive(client: httpx.AsyncClient, url: str, *, login: str = "", factors: str = "two") -> str:
    """Follow redirects and fill in forms, from ``url`` to where the provider sends the browser back to."""
    for _ in range(STEPS_MAX):
        if httpx.URL(url).path.startswith("/api/v1/"):
            return url
        answer = await client.get(url)
        while answer.status_code == 200 and (form := _FORM.search(answer.text)):
            fields = {"choice": "go" if login else "abort"}
            if 'name="login"' in answer.text:
                fields |= {"login": login, "factors": factors}
            answer = await client.post(answer.url.join(unescape(form[1])), data=fields)
        assert answer.status_code in {302, 303}, answer.text
        url = str(answer.url.join(answer.headers["location"]))
    raise AssertionError("the walk does not end")


async def walk(client: httpx.AsyncClient, url: str, *, login: str = "", factors: str = "two") -> httpx.Response:
    """Return what the instance answers when the provider has sent the browser back."""
    return await client.get(await arrive(client, url, login=login, factors=factors))
