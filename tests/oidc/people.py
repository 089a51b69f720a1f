"""What people do at an instance that knows a provider."""

from dataclasses import dataclass

import httpx

from tests.oidc.provider import Provider, walk
from tests.serving import Instance


@dataclass
class House:
    """An instance and its provider."""

    instance: Instance
    provider: Provider

    def url(self, path: str) -> str:
        """Return an address of the instance."""
        return f"{self.instance.url}/api/v1{path}"

    async def begin(self, client: httpx.AsyncClient, **more: object) -> str:
        """Begin a log-in in a browser and return where to go."""
        answer = await client.post(self.url("/oidc-log-ins"), json={"provider": "werkgever", **more})
        assert answer.status_code == 201, answer.text
        url: str = answer.json()["authorizationUrl"]
        return url

    async def begin_linking(self, client: httpx.AsyncClient, persona: str, **more: object) -> str:
        """Begin linking as a persona and return where to go."""
        token = await self.instance.sign_in(persona)
        answer = await client.post(
            self.url("/external-identities"),
            json={"provider": "werkgever", **more},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 201, answer.text
        url: str = answer.json()["authorizationUrl"]
        return url

    async def link(self, client: httpx.AsyncClient, persona: str, login: str) -> None:
        """Link a provider's person to a persona."""
        answer = await walk(client, await self.begin_linking(client, persona), login=login)
        assert answer.status_code == 303, answer.text
