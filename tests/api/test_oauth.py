"""The authorization server, asked by a real client library and by whoever would like to be somebody's client."""

import asyncio
import hmac
import json
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from time import time
from typing import Any

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey, Key

from app.access.vocabulary import Acr
from app.cli.postgres import Urls
from app.identity.demo import BY_KEY
from app.identity.sessions import Method
from app.identity.signing_in import sign_in
from tests.api.room import problem_of
from tests.clients import ASSERTION_TYPE, TestClient, new_key, proof, public, raw_signed, register, signed, with_token
from tests.conftest import TEMPLATE, settings_for
from tests.serving import NO_TLS, Instance, serve

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the library would rather have another HTTP client
    from authlib.integrations.httpx_client import AsyncOAuth2Client
    from authlib.oauth2.rfc7523 import PrivateKeyJWT

Json = dict[str, Any]
INVALID_CLIENT = {"error": "invalid_client", "error_description": "The client could not be authenticated"}


def library_client(client: TestClient) -> Any:
    """Return the library's client, which authenticates at every endpoint alike."""
    session = AsyncOAuth2Client(
        client.id,
        client.key,
        token_endpoint_auth_method="private_key_jwt",
        revocation_endpoint_auth_method="private_key_jwt",
        token_endpoint=f"{client.url}/oauth/token",
    )
    claims = {"exp": int(time()) + 200}
    session.register_client_auth_method(
        PrivateKeyJWT(
            f"{client.url}/oauth/token", claims=claims, headers={"kid": client.key.kid}, alg=client.algorithm
        )
    )
    return session


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS384", "PS256", "Ed25519"])
async def test_a_client_library_gets_a_token_and_uses_it(instance: Instance, algorithm: str) -> None:
    client = await register(instance, algorithm=algorithm, scopes=["audit:read", "fhir:read"], tokenSeconds=120)
    async with library_client(client) as session:
        token = await session.fetch_token(grant_type="client_credentials", scope="audit:read")
        assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 120, "audit:read")
        assert "refresh_token" not in token
        assert (await session.get(f"{client.url}/api/v1/audit/events")).status_code == 200
        me = (await session.get(f"{client.url}/api/v1/me")).json()
        assert (me["id"], me["role"]) == (client.id, "integration")
        assert (await session.get(f"{client.url}/api/v1/cases")).status_code == 403


async def test_a_client_library_introspects_and_revokes(instance: Instance) -> None:
    client = await register(instance)
    token = await client.token()
    async with library_client(client) as session:
        url = f"{client.url}/oauth/introspect"
        found = (await session.introspect_token(url, token=token, token_type_hint="access_token")).json()
    assert {"active": True, "client_id": client.id, "scope": "fhir:read"}.items() <= found.items()
    async with library_client(client) as session:
        ended = await session.revoke_token(f"{client.url}/oauth/revoke", token=token)
        assert (ended.status_code, ended.content) == (200, b"")
    assert (await with_token(instance, token).get("/me")).status_code == 401
    assert (await client.ask("/oauth/introspect", token=token)).json() == {"active": False}


async def test_a_client_library_carries_a_person_s_session_on_and_is_found_out_when_a_token_is_shown_twice(
    instance: Instance,
) -> None:
    services, persona = instance.app.state.services, BY_KEY["gp"]
    async with services.database.session() as db, db.begin():
        given = await sign_in(
            db,
            account_id=persona.account_id,
            engagement_id=persona.engagement_id,
            method=Method.PASSKEY,
            acr=Acr.TWO_FACTOR,
            issuer=services.issuer,
            digests=services.crypto.digests,
            now=None,
        )
    url = f"{instance.url}/oauth/token"
    async with AsyncOAuth2Client(token_endpoint_auth_method="none") as session:
        first = await session.refresh_token(url, refresh_token=given.refresh_token)
        assert first["refresh_token"] != given.refresh_token
        token = first["access_token"]
        assert (await with_token(instance, token).get("/me")).status_code == 200
    async with httpx.AsyncClient(verify=NO_TLS) as http:
        form = {"grant_type": "refresh_token", "refresh_token": given.refresh_token}
        again = await http.post(url, data=form)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        form["refresh_token"] = first["refresh_token"]
        assert (await http.post(url, data=form)).status_code == 400
    assert (await with_token(instance, token).get("/me")).status_code == 401


async def test_the_metadata_says_what_there_is(instance: Instance) -> None:
    async with httpx.AsyncClient(verify=NO_TLS) as http:
        told = (await http.get(f"{instance.url}/.well-known/oauth-authorization-server")).json()
        openid = (await http.get(f"{instance.url}/.well-known/openid-configuration")).json()
        assert openid | told == openid
        assert told["issuer"] == instance.url
        for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
            assert (await http.get(told[name])).status_code == 405
            assert (await http.post(told[name], data={"grant_type": "client_credentials"})).status_code == 401
        assert (await http.get(told["jwks_uri"])).status_code == 200
    assert "none" not in told["token_endpoint_auth_signing_alg_values_supported"]


FOREIGN = new_key("ES256", "k1")


def _hs(client: TestClient) -> str:
    """Sign with the client's public key as if it were a secret."""
    parts = [json.dumps(one).encode() for one in (client.header(alg="HS256"), client.claims())]
    text = ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    assert isinstance(client.key, ECKey)
    signature = hmac.digest(client.key.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _none(client: TestClient) -> str:
    parts = [json.dumps(one).encode() for one in ({"alg": "none", "kid": client.key.kid}, client.claims())]
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def _with(**claims: object) -> Callable[[TestClient], str]:
    return lambda client: client.assertion(**claims)


def _header(key: Key | None = None, **header: object) -> Callable[[TestClient], str]:
    return lambda client: signed(key or client.key, client.header(**header), client.claims())


def _duplicate(client: TestClient) -> str:
    head, _, _ = client.assertion().split(".")
    claims = json.dumps(client.claims())[:-1] + f', "sub": "{client.id}"}}'
    body = urlsafe_b64encode(claims.encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{client.assertion().rpartition('.')[2]}"


REFUSED: dict[str, Callable[[TestClient], str]] = {
    "another audience": _with(aud="https://elsewhere.example/oauth/token"),
    "no audience": _with(aud=None),
    "two audiences": lambda client: client.assertion(
        aud=[f"{client.url}/oauth/token", "https://elsewhere.example/oauth/token"]
    ),
    "the resource as audience": lambda client: client.assertion(aud=f"{client.url}/api/v1"),
    "expired": lambda client: client.assertion(exp=int(time()) - 1),
    "valid for an hour": lambda client: client.assertion(exp=int(time()) + 3600),
    "valid for ever": _with(exp=None),
    "an end that is text": lambda client: client.assertion(exp=str(int(time()) + 60)),
    "an end that is a float": lambda client: client.assertion(exp=time() + 60),
    "an infinite end": lambda client: client.assertion(exp=10**400),
    "issued tomorrow": lambda client: client.assertion(iat=int(time()) + 86_400),
    "issued yesterday": lambda client: client.assertion(iat=int(time()) - 86_400),
    "never issued": _with(iat=None),
    "not yet valid": lambda client: client.assertion(nbf=int(time()) + 3600),
    "no jti": _with(jti=None),
    "an empty jti": _with(jti=""),
    "a jti that is a number": _with(jti=7),
    "another issuer": _with(iss="00000000-0000-4000-8000-000000000000"),
    "another subject": _with(sub="00000000-0000-4000-8000-000000000000"),
    "no subject": _with(sub=None),
    "another client's key": _header(FOREIGN),
    "no signature": _none,
    "the public key as a secret": _hs,
    "an embedded key": lambda client: signed(
        FOREIGN, client.header(jwk=FOREIGN.as_dict(private=False)), client.claims()
    ),
    "a key at an address": _header(FOREIGN, jku="https://elsewhere.example/jwks"),
    "a certificate at an address": _header(FOREIGN, x5u="https://elsewhere.example/cert"),
    "a certificate": _header(FOREIGN, x5c=["AAAA"]),
    "a critical extension": lambda client: raw_signed(client.key, client.header(crit=["exp"]), client.claims()),
    "a critical extension that is nested": lambda client: raw_signed(
        client.key, client.header(b64=False, crit=["b64"]), client.claims()
    ),
    "a key id that is unknown": _header(kid="k2"),
    "a key id that is a path": _header(kid="../../etc/passwd"),
    "a key id that is SQL": _header(kid="k1' or '1'='1"),
    "another kind of statement": _header(typ="at+jwt"),
    "a proof of possession": _header(typ="dpop+jwt"),
    "a member twice": _duplicate,
    "padding": lambda client: client.assertion() + "=",
    "truncated": lambda client: client.assertion()[:-4],
    "two parts": lambda client: client.assertion().rpartition(".")[0],
    "five parts": lambda client: client.assertion() + ".AAAA.AAAA",
    "not JSON": lambda client: "AAAA.AAAA.AAAA",
    "empty": lambda client: "",
    "oversized": lambda client: client.assertion(more="x" * 9000),
}


@pytest.fixture(scope="module")
async def shared(cluster: Urls, scratch: Any) -> Any:
    """An instance and a client for the tests that change nothing."""
    maintenance = await asyncpg.connect(cluster.for_database("postgres").superuser)
    await maintenance.execute(f"create database oauth_shared template {TEMPLATE} strategy file_copy")
    async with serve(settings_for(cluster.for_database("oauth_shared"), scratch / "keys")) as instance:
        yield instance, await register(instance)
    await maintenance.execute("drop database oauth_shared with (force)")
    await maintenance.close()


@pytest.mark.parametrize("name", REFUSED)
async def test_an_assertion_that_is_not_exactly_right_proves_nothing(
    shared: tuple[Instance, TestClient], name: str
) -> None:
    _, client = shared
    answer = await client.ask(assertion=REFUSED[name](client), grant_type="client_credentials")
    assert (answer.status_code, answer.json()) == (401, INVALID_CLIENT)
    assert answer.headers["cache-control"] == "no-store"
    assert (await client.ask(grant_type="client_credentials")).status_code == 200


async def test_every_client_that_is_not_in_force_looks_alike(shared: tuple[Instance, TestClient]) -> None:
    instance, client = shared
    suspended = await register(instance)
    admin = await instance.as_("region-admin")
    await admin.made(f"/clients/{suspended.id}/suspension")
    unknown = TestClient(client.url, "6f1c1b0e-8a44-4d7c-9e0f-3f8a1d1b2c3d", client.key)
    persona = TestClient(client.url, str((await (await instance.as_("integration")).get("/me")).json()["id"]))
    nobody = TestClient(client.url, "not-an-id", client.key)
    asked = [suspended, unknown, persona, nobody]
    answers = [await one.ask(grant_type="client_credentials") for one in asked]
    answers.append(await client.ask(grant_type="client_credentials", client_id=suspended.id))
    answers.append(await client.ask(grant_type="client_credentials", client_secret="x"))
    async with httpx.AsyncClient(verify=NO_TLS) as http:
        answers.append(await http.post(f"{client.url}/oauth/token", data={"grant_type": "client_credentials"}))
    assert [(one.status_code, one.json()) for one in answers] == [(401, INVALID_CLIENT)] * len(answers)
    told = [{key for key in one.headers if key != "x-request-id"} for one in answers]
    assert all(one == told[0] for one in told)


async def test_an_assertion_serves_once(shared: tuple[Instance, TestClient]) -> None:
    _, client = shared
    one = client.assertion()
    answers = await asyncio.gather(*(client.ask(assertion=one, grant_type="client_credentials") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    # It is used up whatever it was shown for, and although nothing came of it.
    for more in ({"grant_type": "client_credentials", "scope": "scim:write"}, {"grant_type": "client_credentials"}):
        two = client.assertion()
        first = await client.ask(assertion=two, **more)
        again = await client.ask("/oauth/introspect", assertion=two, token="x")
        assert (first.status_code in {200, 400}, again.status_code) == (True, 401)


async def test_an_assertion_serves_once_over_all_workers(settings: Any) -> None:
    async with serve(settings) as one, serve(settings) as other:
        client = await register(one)
        shown = client.assertion()
        there = TestClient(other.url, client.id, client.key)
        first = await client.ask(assertion=shown, grant_type="client_credentials")
        assert first.status_code == 200
        # The same statement again, at a worker that takes the same audience.
        replayed = there.assertion(aud=f"{other.url}/oauth/token", jti="fixed-for-both")
        assert (await there.ask(assertion=replayed, grant_type="client_credentials")).status_code == 200
        same = client.assertion(jti="fixed-for-both")
        assert (await client.ask(assertion=same, grant_type="client_credentials")).status_code == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "scope": "scim:write"}, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "fhir:read audit:read"}, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "fhir:read  fhir:read"}, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "\u00e9"}, "invalid_scope"),
    ],
)
async def test_a_wrong_request_is_refused_in_the_words_of_the_standard(
    shared: tuple[Instance, TestClient], form: dict[str, str], error: str
) -> None:
    answer = await shared[1].ask(**form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert not any(value in answer.text for value in form.values() if value in {"password", "scim:write"})


@pytest.mark.parametrize(
    ("content", "media"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"grant_type=%00", "application/x-www-form-urlencoded"),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(100)), "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_no_form_is_an_invalid_request(
    shared: tuple[Instance, TestClient], content: bytes, media: str
) -> None:
    async with httpx.AsyncClient(verify=NO_TLS) as http:
        url = f"{shared[1].url}/oauth/token"
        answer = await http.post(url, content=content, headers={"Content-Type": media})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        large = await http.post(url, data={"grant_type": "x" * 40_000})
        assert large.status_code == 413


async def test_a_client_sees_and_ends_nothing_of_others(instance: Instance) -> None:
    own = await register(instance, "org-admin")
    region = await register(instance)
    colleague = await instance.sign_in("gp")
    stranger = await instance.sign_in("gp-other")
    seen = {}
    tokens = {"own": await own.token(), "region": await region.token(), "colleague": colleague, "stranger": stranger}
    for name, token in {**tokens, "none": "x.y.z"}.items():
        seen[name] = (await own.ask("/oauth/introspect", token=token)).json()
    assert {name for name, said in seen.items() if said["active"]} == {"own", "colleague"}
    assert seen["region"] == seen["stranger"] == seen["none"] == {"active": False}
    assert "client_id" not in seen["colleague"]
    for token in tokens.values():
        assert (await own.ask("/oauth/revoke", token=token)).status_code == 200
    asked = {name: await with_token(instance, token).get("/me") for name, token in tokens.items()}
    alive = {name for name, answer in asked.items() if answer.status_code == 200}
    assert alive == {"region", "colleague", "stranger"}


async def test_a_suspended_client_s_tokens_fail_at_the_next_request_and_stay_dead(instance: Instance) -> None:
    client = await register(instance)
    token = await client.token()
    admin = await instance.as_("region-admin")
    assert (await with_token(instance, token).get("/me")).status_code == 200
    await admin.made(f"/clients/{client.id}/suspension")
    assert (await with_token(instance, token).get("/me")).status_code == 401
    assert (await client.ask(grant_type="client_credentials")).status_code == 401
    await admin.made(f"/clients/{client.id}/resumption")
    assert (await with_token(instance, token).get("/me")).status_code == 401
    assert (await with_token(instance, await client.token()).get("/me")).status_code == 200


async def test_a_token_cannot_come_up_behind_a_suspension(instance: Instance) -> None:
    client = await register(instance)
    admin = await instance.as_("region-admin")
    for _ in range(5):
        answers, _ = await asyncio.gather(
            asyncio.gather(*(client.ask(grant_type="client_credentials") for _ in range(6))),
            admin.made(f"/clients/{client.id}/suspension"),
        )
        await admin.made(f"/clients/{client.id}/resumption")
        for answer in answers:
            if answer.status_code == 200:
                bearer = with_token(instance, answer.json()["access_token"])
                assert (await bearer.get("/me")).status_code == 401


async def test_a_bound_token_is_worth_nothing_without_its_key(instance: Instance) -> None:
    client = await register(instance, dpopRequired=True, scopes=["audit:read"])
    key, other = new_key(), new_key()
    url = f"{instance.url}/oauth/token"
    answer = await client.ask(grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
    bad = await client.ask(grant_type="client_credentials", proof=proof(key, "GET", url))
    assert bad.json()["error"] == "invalid_dpop_proof"
    shown = proof(key, "POST", url)
    answer = await client.ask(grant_type="client_credentials", proof=shown)
    assert answer.json()["token_type"] == "DPoP"
    again = await client.ask(grant_type="client_credentials", proof=shown)
    assert again.json()["error"] == "invalid_dpop_proof"
    token = answer.json()["access_token"]
    ath = urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()
    events = f"{instance.url}/api/v1/audit/events"

    async def get(shown: str | None, scheme: str = "DPoP", query: str = "") -> int:
        headers = {"Authorization": f"{scheme} {token}", **({"DPoP": shown} if shown else {})}
        return (await instance.http.get(f"/audit/events{query}", headers=headers)).status_code

    good = proof(key, "GET", events, ath=ath)
    assert await get(good) == 200
    assert await get(good) == 401, "a proof serves once"
    assert await get(proof(key, "GET", events, ath=ath), query="?limit=1") == 200
    assert await get(None) == 401
    assert await get(None, "Bearer") == 401
    assert await get(proof(key, "GET", events, ath=ath), "Bearer") == 401
    assert await get(proof(other, "GET", events, ath=ath)) == 401
    assert await get(proof(key, "POST", events, ath=ath)) == 401
    assert await get(proof(key, "GET", f"{instance.url}/api/v1/me", ath=ath)) == 401
    assert await get(proof(key, "GET", events)) == 401
    assert await get(proof(key, "GET", events, ath=ath[::-1])) == 401
    assert await get(proof(key, "GET", events, ath=ath, iat=int(time()) - 600)) == 401
    assert await get(proof(key, "GET", events, ath=ath, jti=None)) == 401
    told = (await client.ask("/oauth/introspect", token=token)).json()
    assert (told["token_type"], told["cnf"]["jkt"]) == ("DPoP", key.thumbprint())


async def test_a_bearer_token_is_no_bound_token(instance: Instance) -> None:
    client = await register(instance)
    token = await client.token()
    headers = {"Authorization": f"DPoP {token}"}
    assert (await instance.http.get("/me", headers=headers)).status_code == 401
    assert (await instance.http.get("/me", headers={"Authorization": f"Bearer {token}"})).status_code == 200


async def test_a_client_reads_the_log_of_its_own_organisation_or_of_its_region(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    organisations = (await admin.get("/organisations")).json()["items"]
    practice = next(one["id"] for one in organisations if one["name"] == "Huisartsenpraktijk De Linde")
    for persona in ("gp", "gp-other", "social-worker"):
        await (await instance.as_(persona)).get("/me")
    ours = await register(instance, scopes=["audit:read"], organisationId=practice)
    regional = await register(instance, scopes=["audit:read"])
    blind = await register(instance, scopes=["fhir:read"], organisationId=practice)

    async def seen(client: TestClient) -> set[str | None]:
        events = (await with_token(instance, await client.token()).get("/audit/events", limit=100)).json()["items"]
        return {one["actor"]["organisationId"] for one in events}

    assert await seen(ours) == {practice}
    assert len(await seen(regional)) > 2
    assert (await with_token(instance, await blind.token()).get("/audit/events")).status_code == 403
    assert (await (await instance.as_("integration")).get("/audit/events")).status_code == 403


async def test_what_a_client_is_refused_is_recorded_without_a_name_that_anybody_could_use(
    instance: Instance,
) -> None:
    client = await register(instance)
    await client.ask(assertion="a.b.c", grant_type="client_credentials")
    await client.ask(grant_type="client_credentials", scope="scim:write")
    await client.token()
    auditor = await instance.as_("auditor")
    events = (await auditor.get("/audit/events", action="token:issue")).json()["items"]
    told = [(one["outcome"], one["reason"], one["actor"]["id"]) for one in events]
    assert [one for one in told if one[2] in {client.id, None}] == [
        ("success", None, client.id),
        ("failure", "scope-not-registered", client.id),
        ("denied", "client-not-authenticated", None),
    ]


async def test_a_key_set_at_an_address_is_followed_when_keys_roll(settings: Any) -> None:
    keys = [new_key(kid="old")]
    asked: list[str] = []

    async def publish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = json.dumps(public(*keys)).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/jwk-set+json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(publish, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, serve(settings.model_copy(update={"fetch_loopback": True})) as instance:
        client = await register(instance, key=keys[0], jwks=None, jwksUrl=f"http://127.0.0.1:{port}/jwks")
        await client.token()
        await client.token()
        assert len(asked) == 1, "a key set is kept"
        assert "authorization" not in asked[0].lower()
        rolled = TestClient(instance.url, client.id, new_key(kid="new"))
        assert (await rolled.ask(grant_type="client_credentials")).status_code == 401
        assert len(asked) == 1, "asked afresh at most once a minute"
        keys.append(rolled.key)
        key_sets = instance.app.state.services.oauth.key_sets
        key_sets._now = lambda: 10**9
        await rolled.token()
        await client.token()
        assert len(asked) == 2


async def test_a_library_s_form_works_with_the_issuer_as_audience(shared: tuple[Instance, TestClient]) -> None:
    _, client = shared
    answer = await client.ask(
        assertion=client.assertion(aud=[client.url]), grant_type="client_credentials", client_id=client.id
    )
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}


async def test_who_asks_without_a_name_too_often_is_told_when_to_come_back(settings: Any) -> None:
    tight = settings.model_copy(update={"public_rate": 1, "public_burst": 3})
    async with serve(tight) as instance, httpx.AsyncClient(verify=NO_TLS) as http:
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": "x", "grant_type": "client_credentials"}
        answers = [await http.post(f"{instance.url}/oauth/token", data=form) for _ in range(5)]
        assert [one.status_code for one in answers][:3] == [401] * 3
        assert answers[-1].status_code == 429
        assert problem_of(answers[-1])["code"] == "rate-limited"
        assert int(answers[-1].headers["retry-after"]) >= 1
