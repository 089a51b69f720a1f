"""How tests log in: as a persona with its authenticator, and as somebody new with a one-time code."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pyotp
from fastapi import FastAPI

from app.crypto.digests import Digests
from app.identity.demo import DEMO_PASSWORD, demo_totp_secret
from app.identity.factors.passwords import Passwords
from tests.serving import Caller, Instance, MovableClock

Json = dict[str, Any]


def present(clock: MovableClock | None = None) -> datetime:
    """Return the service's present."""
    return (None if clock is None else clock()) or datetime.now().astimezone()


def code_of(persona: str, clock: MovableClock | None = None, *, steps: int = 0) -> str:
    """Return what a persona's authenticator shows, now or some steps away."""
    at = present(clock) + timedelta(seconds=30 * steps)
    return pyotp.TOTP(demo_totp_secret(persona)).at(at)


def body_of(persona: str, clock: MovableClock | None = None, **more: object) -> Json:
    """Return a good log-in, or one that is changed; a member that is None is left out."""
    body = {
        "method": "password",
        "loginName": persona,
        "password": DEMO_PASSWORD,
        "code": code_of(persona, clock) if "recoveryCode" not in more else None,
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


async def log_in(instance: Instance, body: Json) -> httpx.Response:
    """Log in."""
    return await instance.http.post("/log-ins", json=body)


async def entered(instance: Instance, persona: str, clock: MovableClock | None = None, **more: object) -> Caller:
    """Return a persona that logged in for real."""
    answer = await log_in(instance, body_of(persona, clock, **more))
    assert answer.status_code == 201, answer.text
    return Caller(instance, persona, answer.json()["accessToken"])


def masked(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """Return what a client could tell answers apart by, without what differs in every answer."""
    content = answer.content.replace(answer.headers["x-request-id"].encode(), b"")
    headers = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "date"}}
    return answer.status_code, content, headers


class CountingPasswords(Passwords):
    """Passwords that count how often a hash was compared."""

    def __init__(self, digests: Digests) -> None:
        super().__init__(digests)
        self.compared = 0

    def _matches(self, password: str, known: str | None) -> bool:
        self.compared += 1
        return super()._matches(password, known)


def counting(app: FastAPI) -> CountingPasswords:
    """Put passwords that count into a service and return them."""
    services = app.state.services
    services.means.passwords.close()
    counted = CountingPasswords(services.crypto.digests)
    app.state.services = replace(services, means=replace(services.means, passwords=counted))
    return counted


@dataclass
class Log:
    """The audit log of one instance."""

    owner: "asyncpg.Connection[asyncpg.Record]"

    async def of(self, answer: httpx.Response) -> list[Json]:
        """Return the records of one request."""
        rows = await self.owner.fetch("select * from audit_event where trace_id = $1", answer.headers["x-request-id"])
        return [dict(row) for row in rows]


async def at_once(*requests: Any) -> list[httpx.Response]:
    """Send requests at the same time."""
    return list(await asyncio.gather(*requests))
