"""A provider's word reaches as far as the provider is for, and nobody goes to it for free."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.cli.postgres import Urls
from app.core.settings import Settings
from app.identity.demo import BY_KEY, PRACTICE
from tests.identity.entering import body_of, code_of
from tests.oidc.people import House
from tests.oidc.provider import Provider, browser, walk
from tests.serving import Caller, serve

Json = dict[str, Any]
PASSWORD = "vier paarden op de markt"


@pytest.fixture
async def town_hall(settings: Settings, provider: Provider) -> AsyncIterator[House]:
    """An instance that citizens log in to with a provider."""
    known = provider.configured(audience="citizens")
    async with serve(settings.model_copy(update={"oidc_providers": (known,)})) as instance:
        await provider.register(known.client_id, instance.url)
        yield House(instance, provider)


@pytest.fixture
async def job(database: Urls) -> str:
    """An engagement at the practice that the citizen has, too."""
    owner = await asyncpg.connect(database.superuser)
    engagement_id = uuid4()
    await owner.execute(
        "insert into engagement (id, account_id, organisation_id, role, profession, domain, valid_from)"
        " values ($1, $2, $3, 'gp', 'huisarts', 'care', '2026-02-01')",
        *(engagement_id, BY_KEY["citizen"].account_id, PRACTICE.id),
    )
    await owner.close()
    return str(engagement_id)


async def let_in(house: House, client: httpx.AsyncClient) -> Caller:
    """Link the citizen's identity, and log in with it as a program does."""
    await house.link(client, "citizen", "mia")
    answer = await walk(client, await house.begin(client, delivery="tokens"), login="mia")
    tokens = await client.post(house.url("/oidc-log-ins/completion"), json={"code": answer.json()["code"]})
    assert tokens.status_code == 201, tokens.text
    return Caller(house.instance, "citizen", tokens.json()["accessToken"])


async def test_a_citizens_way_in_leads_to_no_job_and_makes_no_other_way_in(town_hall: House, job: str) -> None:
    async with browser() as client:
        citizen = await let_in(town_hall, client)
    assert (await citizen.get("/me")).json()["role"] == "citizen"
    assert (await citizen.post("/engagement-switches", {"engagementId": job})).status_code == 404
    for path, body in (
        ("/passwords", {"loginName": "mia", "password": PASSWORD}),
        ("/totp", None),
        ("/recovery-codes", None),
        ("/external-identities", {"provider": "werkgever"}),
    ):
        answer = await citizen.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication-needed"), path


async def test_factors_of_ones_own_open_all_that_one_is(town_hall: House, job: str) -> None:
    async with browser() as client:
        citizen = await let_in(town_hall, client)
    shown = {"method": "password", "password": body_of("citizen")["password"], "code": code_of("citizen")}
    assert (await citizen.post("/reauthentications", shown)).status_code == 201
    switched = await citizen.post("/engagement-switches", {"engagementId": job})
    assert switched.status_code == 201, switched.text
    assert switched.json()["account"]["role"] == "gp"


async def test_who_is_one_thing_alone_sets_up_factors_after_a_providers_log_in(town_hall: House) -> None:
    async with browser() as client:
        citizen = await let_in(town_hall, client)
    assert (await citizen.post("/passwords", {"loginName": "mia", "password": PASSWORD})).status_code == 201
