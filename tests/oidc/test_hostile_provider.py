"""A provider that lies, changes its keys, says too much or nothing at all; what it is asked and what stays of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey

from app.cli.postgres import Urls
from app.core.settings import Settings
from app.identity.oidc import client as speaking
from app.identity.oidc.client import ANSWER_BYTES_MAX
from tests.oidc.hostile import HostileProvider, Visit, hostile, present
from tests.oidc.provider import browser
from tests.serving import Instance, MovableClock, serve

KEPT = ("oidc_log_in", "oidc_completion", "external_identity", "oidc_session")


@dataclass
class Scene:
    """An instance, the provider it trusts, and what lies behind both."""

    instance: Instance
    provider: HostileProvider
    server: asyncio.Server
    owner: "asyncpg.Connection[asyncpg.Record]"
    client: httpx.AsyncClient

    @property
    def visit(self) -> Visit:
        """The browser's way there and back."""
        return Visit(self.instance, self.provider, self.client)

    async def kept(self) -> dict[str, int]:
        """Return how many rows there are of what a log-in leaves."""
        return {table: await self.owner.fetchval(f"select count(*) from {table}") for table in KEPT}

    async def reasons(self) -> list[str]:
        """Return why log-ins and linkings were refused, as the log has it."""
        rows = await self.owner.fetch("select reason from audit_event where outcome = 'denied' order by recorded_at")
        return [row["reason"] for row in rows]


@pytest.fixture
async def scene(database: Urls, settings: Settings, clock: MovableClock) -> AsyncIterator[Scene]:
    async with hostile() as (provider, server), browser() as client:
        provider.now = lambda: clock() or present()
        known = {"oidc_providers": (provider.configured(),), "oidc_timeout_seconds": 60.0}
        owner = await asyncpg.connect(database.superuser)
        try:
            async with serve(settings.model_copy(update=known), clock) as instance:
                yield Scene(instance, provider, server, owner, client)
        finally:
            await owner.close()


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of the page that says no."""
    assert answer.headers["content-type"].startswith("text/html")
    assert not [one for one in answer.headers.get_list("set-cookie") if one.startswith("__Host-overlegtafel=")]
    return answer.status_code, answer.text.partition("Code: ")[2].partition("<")[0]


NOTHING = dict.fromkeys(KEPT, 0)
INVALID = (401, "provider-answer-invalid")


async def test_an_honest_answer_links_and_lets_in(scene: Scene) -> None:
    assert (await scene.visit.back(await scene.visit.leave("gp"))).status_code == 303
    answer = await scene.visit.back(await scene.visit.leave(), iss=scene.provider.issuer)
    assert answer.status_code == 303, answer.text
    assert scene.provider.asked.count("/jwks") == 1, "keys are kept for an hour"
    assert await scene.kept() == {**NOTHING, "external_identity": 1, "oidc_session": 1}


@pytest.mark.parametrize("iss", ["https://evil.example", "", "{issuer}/"])
async def test_an_answer_in_another_provider_s_name_is_not_redeemed(scene: Scene, iss: str) -> None:
    state = await scene.visit.leave("gp")
    answer = await scene.visit.back(state, iss=iss.format(issuer=scene.provider.issuer))
    assert code_of(answer) == INVALID
    assert "/token" not in scene.provider.asked, "a code of one provider is never shown to another"
    assert await scene.kept() == NOTHING
    assert (await scene.visit.back(state, iss=scene.provider.issuer)).status_code == 400, "and the state is used up"


async def test_a_provider_that_names_itself_must(scene: Scene) -> None:
    scene.provider.metadata = {"authorization_response_iss_parameter_supported": True}
    assert code_of(await scene.visit.back(await scene.visit.leave("gp"))) == INVALID
    answer = await scene.visit.back(await scene.visit.leave("gp"), iss=scene.provider.issuer)
    assert answer.status_code == 303


async def test_a_new_key_is_fetched_once_and_a_made_up_one_never_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, visit = scene.provider, scene.visit
    assert (await visit.back(await visit.leave("gp"))).status_code == 303
    with monkeypatch.context() as patch:
        patch.setattr(speaking, "KEYS_AGAIN_SECONDS", 0.0)
        provider.key, provider.kid = ECKey.generate_key("P-256"), "k2"
        provider.publish()
        assert (await visit.back(await visit.leave())).status_code == 303, "the provider rotated"
        assert provider.asked.count("/jwks") == 2
        provider.kid = "k3"
        assert code_of(await visit.back(await visit.leave())) == INVALID
        assert provider.asked.count("/jwks") == 3
    assert code_of(await visit.back(await visit.leave())) == INVALID
    assert provider.asked.count("/jwks") == 3, "within half a minute nobody makes us ask again"
    provider.kid, provider.key = "k2", ECKey.generate_key("P-256")
    assert code_of(await visit.back(await visit.leave())) == INVALID
    assert provider.asked.count("/jwks") == 3, "a known name under another key is no reason to ask"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"nonce": "another"},
        {"exp": 1},
        {"sub": ""},
        {"auth_time": 1},
    ],
    ids=lambda claims: next(iter(claims)),
)
async def test_what_is_signed_and_not_true_of_this_log_in_lets_nobody_in(
    scene: Scene, claims: dict[str, object]
) -> None:
    scene.provider.claims = claims
    assert code_of(await scene.visit.back(await scene.visit.leave("gp"))) == INVALID
    assert await scene.kept() == NOTHING
    assert await scene.reasons() == ["provider-answer-invalid"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
async def test_a_provider_that_says_it_is_another_is_not_gone_to(scene: Scene, metadata: dict[str, object]) -> None:
    scene.provider.metadata = metadata
    for persona in (None, "gp"):
        answer = await scene.visit.begin(persona)
        assert (answer.status_code, answer.json()["code"]) == (503, "provider-unavailable")
        assert answer.headers["retry-after"]
        assert "set-cookie" not in answer.headers
    assert await scene.kept() == NOTHING


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
async def test_an_answer_without_end_is_not_read_to_it(scene: Scene, path: str) -> None:
    scene.provider.padding = {path: ANSWER_BYTES_MAX}
    answer = await scene.visit.begin("gp")
    if path == "/.well-known/openid-configuration":
        assert (answer.status_code, answer.json()["code"]) == (503, "provider-unavailable")
    else:
        page = await scene.visit.back(await scene.visit.leave("gp"))
        assert code_of(page) == (503, "provider-unavailable")
    assert (await scene.kept())["external_identity"] == 0


async def test_while_the_provider_is_down_nothing_begins_and_nothing_is_kept(scene: Scene) -> None:
    state = await scene.visit.leave("gp")
    scene.server.close()
    await scene.server.wait_closed()
    page = await scene.visit.back(state)
    assert code_of(page) == (503, "provider-unavailable")
    assert page.headers["retry-after"]
    assert await scene.kept() == NOTHING
    scene.instance.app.state.services.providers._metadata.clear()  # as after an hour
    for persona in (None, "gp"):
        answer = await scene.visit.begin(persona)
        assert (answer.status_code, answer.json()["code"]) == (503, "provider-unavailable")
        assert answer.headers["retry-after"]
    assert await scene.kept() == NOTHING


async def test_an_answer_that_comes_too_late_is_not_redeemed(scene: Scene, clock: MovableClock) -> None:
    clock.move(timedelta(seconds=1))
    state = await scene.visit.leave("gp")
    clock.move(timedelta(minutes=10, seconds=1))
    assert code_of(await scene.visit.back(state)) == (400, "log-in-not-known")
    assert "/token" not in scene.provider.asked


async def test_no_transaction_waits_for_the_provider(scene: Scene) -> None:
    open_while_asked: list[int] = []

    async def watch() -> None:
        open_while_asked.append(
            await scene.owner.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and state like 'idle in transaction%'"
            )
        )

    scene.provider.watch = watch
    scene.provider.metadata = {"pushed_authorization_request_endpoint": f"{scene.provider.issuer}/par"}
    assert (await scene.visit.begin("gp")).status_code == 201
    assert scene.provider.asked == ["/.well-known/openid-configuration", "/par"]
    assert open_while_asked == [0, 0]


async def test_an_identity_is_unlinked_with_what_rests_on_it_and_never_as_the_last_way_in(scene: Scene) -> None:
    assert (await scene.visit.back(await scene.visit.leave("gp"))).status_code == 303
    assert (await scene.visit.back(await scene.visit.leave())).status_code == 303
    me = f"{scene.instance.url}/api/v1/me"
    assert (await scene.client.get(me)).status_code == 200
    caller = await scene.instance.as_("gp")
    (own,) = (await caller.get("/external-identities")).json()["items"]
    assert (await caller.delete(f"/external-identities/{own['id']}")).status_code == 204
    assert (await scene.client.get(me)).status_code == 401, "the session that rests on it has ended"
    assert (await caller.get("/me")).status_code == 200
    assert (await caller.get("/external-identities")).json()["items"] == []
    assert (await caller.delete(f"/external-identities/{own['id']}")).status_code == 404

    assert (await scene.visit.back(await scene.visit.leave("gp"))).status_code == 303
    (own,) = (await caller.get("/external-identities")).json()["items"]
    kinds = {one["kind"]: one["id"] for one in (await caller.get("/credentials")).json()["items"]}
    assert (await caller.delete(f"/credentials/{kinds['totp']}")).status_code == 204, "the identity is a way in"
    answer = await caller.delete(f"/external-identities/{own['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "last-way-in"), "a password alone is none"
    assert len((await caller.get("/external-identities")).json()["items"]) == 1
    await caller.made("/recovery-codes")
    assert (await caller.delete(f"/external-identities/{own['id']}")).status_code == 204


async def test_a_passkey_is_a_way_in_too_and_two_are_not_taken_at_once(scene: Scene) -> None:
    assert (await scene.visit.back(await scene.visit.leave("gp"))).status_code == 303
    caller = await scene.instance.as_("gp")
    await scene.owner.execute(
        "insert into passkey (id, account_id, credential_id, public_key, sign_count, created_at)"
        " select gen_random_uuid(), account_id, 'x', 'x', 0, now() from external_identity"
    )
    for table in ("totp_factor", "password_factor", "recovery_code"):
        await scene.owner.execute(
            f"delete from {table} where account_id in (select account_id from external_identity)"
        )
    (own,) = (await caller.get("/external-identities")).json()["items"]
    (key,) = (await caller.get("/credentials")).json()["items"]
    answers = await asyncio.gather(
        caller.delete(f"/external-identities/{own['id']}"), caller.delete(f"/credentials/{key['id']}")
    )
    assert sorted(answer.status_code for answer in answers) == [204, 409]
