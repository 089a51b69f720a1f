"""A provider that says what a test wants, true or not; it listens on loopback and counts who asked for what."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from app.core.providers import OidcProvider
from tests.serving import Instance

Json = dict[str, Any]


def present() -> datetime:
    """Return the wall's instant."""
    return datetime.now().astimezone()


@dataclass
class HostileProvider:
    """What it says: ``metadata`` and ``claims`` change an honest answer, ``padding`` makes one long."""

    issuer: str
    client_id: str = field(default_factory=lambda: f"overlegtafel-{uuid4().hex}")
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    kid: str = "k1"
    published: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    claims: Json = field(default_factory=dict)
    padding: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    nonce: str = ""
    now: Callable[[], datetime] = present
    watch: Callable[[], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        self.publish()

    def publish(self) -> None:
        """Publish the present key under the present name."""
        self.published = {**self.key.as_dict(private=False), "use": "sig", "kid": self.kid}

    def configured(self) -> OidcProvider:
        """Return how an instance is told about it."""
        given = {"key": "werkgever", "issuer": self.issuer, "client_id": self.client_id, "client_secret": "s" * 43}
        return OidcProvider.model_validate({**given, "acr_values": ("two",), "label": "Werkgever"})

    def said(self, path: str) -> Json:
        """Return what it answers."""
        if path == "/.well-known/openid-configuration":
            places = {"authorization_endpoint": "/auth", "token_endpoint": "/token", "jwks_uri": "/jwks"}
            found = {name: self.issuer + place for name, place in places.items()}
            return {"issuer": self.issuer, **found, **self.metadata}
        if path == "/jwks":
            return {"keys": [self.published]}
        if path == "/par":
            return {"request_uri": "urn:example:request", "expires_in": 60}
        return {"id_token": self.id_token(), "access_token": "a", "token_type": "Bearer"}

    def id_token(self) -> str:
        """Return a signed statement about a person."""
        now = int(self.now().timestamp())
        claims = {"iss": self.issuer, "sub": "person-1", "aud": self.client_id, "exp": now + 300, "iat": now}
        claims |= {"nonce": self.nonce, "auth_time": now, "acr": "two", **self.claims}
        return jwt.encode({"alg": "ES256", "kid": self.kid}, claims, self.key, algorithms=["ES256"])

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and hang up."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        await reader.readexactly(int(length or 0))
        path = urlsplit(head.split(" ")[1]).path
        self.asked.append(path)
        if self.watch is not None:
            await self.watch()
        body = json.dumps(self.said(path)).encode() + b" " * self.padding.get(path, 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
        writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        try:
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass  # it was too long for who asked


@dataclass
class Visit:
    """Somebody's browser on the way to the provider and back."""

    instance: Instance
    provider: HostileProvider
    client: httpx.AsyncClient

    async def begin(self, persona: str | None = None) -> httpx.Response:
        """Begin a log-in, or as a persona the linking of an identity."""
        headers = {"Authorization": f"Bearer {await self.instance.sign_in(persona)}"} if persona else {}
        path = "/external-identities" if persona else "/oidc-log-ins"
        url = f"{self.instance.url}/api/v1{path}"
        return await self.client.post(url, json={"provider": "werkgever"}, headers=headers)

    async def leave(self, persona: str | None = None) -> str:
        """Begin and return the state that comes back; the provider learns the nonce."""
        answer = await self.begin(persona)
        assert answer.status_code == 201, answer.text
        asked = parse_qs(urlsplit(answer.json()["authorizationUrl"]).query)
        self.provider.nonce = asked["nonce"][0]
        state: str = asked["state"][0]
        return state

    async def back(self, state: str, **more: str) -> httpx.Response:
        """Come back with a code."""
        return await self.client.get(
            f"{self.instance.url}/api/v1/oidc-callback", params={"state": state, "code": "c", **more}
        )


@asynccontextmanager
async def hostile() -> AsyncIterator[tuple[HostileProvider, asyncio.Server]]:
    """Run a provider until the block ends."""
    provider: HostileProvider | None = None

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert provider is not None
        await provider.answer(reader, writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        provider = HostileProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield provider, server
