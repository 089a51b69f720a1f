"""A browser for tests: it keeps its cookie and says what its pages must say."""

from dataclasses import dataclass, field

import httpx

from app.api.cookies import COOKIE
from tests.serving import Caller, Service


@dataclass
class Browser(Caller):
    """Somebody signed in by cookie, calling over HTTP as a page of the service does."""

    cookie: str = field(default="", repr=False)
    csrf: str = field(default="", repr=False)

    async def request(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a request as a page does; a cookie that the answer sets is kept."""
        said = {"Cookie": f"{COOKIE}={self.cookie}", "X-CSRF-Token": self.csrf, "Sec-Fetch-Site": "same-origin"}
        answer = await self.instance.http.request(method, path, json=body, headers=said | (headers or {}))
        given = answer.headers.get("set-cookie")
        if given is not None:
            self.cookie = given.partition("=")[2].partition(";")[0]
        if answer.is_success and answer.content:
            self.csrf = answer.json().get("csrfToken", self.csrf)
        self.instance.http.cookies.clear()  # each browser keeps its own
        return answer

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        """GET."""
        query = str(httpx.QueryParams(params))
        return await self.request("GET", f"{path}?{query}" if query else path)


async def browse(instance: Service, persona: str) -> Browser:
    """Return a browser in which a persona has just signed in."""
    browser = Browser(instance, persona, "")
    answer = await browser.request("POST", "/demo-tokens", {"persona": persona, "delivery": "cookie"})
    assert answer.status_code == 201, answer.text
    return browser
