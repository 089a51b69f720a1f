"""Registering integrations: who may, with which keys and scopes, and two admins at once."""

import asyncio
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from tests.api.room import faults_of, problem_of
from tests.clients import new_key, public, register
from tests.serving import Instance

Json = dict[str, Any]


def body(**more: object) -> Json:
    good: Json = {"name": "Verwijsportaal", "scopes": ["referrals:write"], "jwks": public(new_key())}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


async def test_a_client_is_registered_read_and_listed_without_any_secret(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    key = new_key()
    made = await admin.post("/clients", body(jwks=public(key)), Idempotency_Key="once")
    again = await admin.post("/clients", body(jwks=public(key)), Idempotency_Key="once")
    assert (made.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    shown = made.json()
    assert again.json() == shown
    assert (shown["status"], shown["rate"], shown["tokenSeconds"], shown["jwksUrl"]) == ("active", 20, 600, None)
    assert shown["jwks"]["keys"][0].items() >= {"kty": "EC", "crv": "P-256", "kid": "k1"}.items()
    read = await admin.get(f"/clients/{shown['id']}")
    assert (read.json(), read.headers["etag"]) == (shown, made.headers["etag"])
    listed = (await admin.get("/clients")).json()["items"]
    assert listed == [shown]
    private = {name for item in key.as_dict(private=True) if item == "d" for name in (item,)}
    assert private
    assert '"d"' not in made.text + read.text


async def test_an_organisation_manages_its_own_clients_and_sees_no_others(instance: Instance) -> None:
    ours = await register(instance, "org-admin")
    regional = await register(instance)
    own, region = await instance.as_("org-admin"), await instance.as_("region-admin")
    assert {one["id"] for one in (await own.get("/clients")).json()["items"]} == {ours.id}
    assert {one["id"] for one in (await region.get("/clients")).json()["items"]} == {ours.id, regional.id}
    absent = await own.get("/clients/6f1c1b0e-8a44-4d7c-9e0f-3f8a1d1b2c3d")
    for answer in (
        await own.get(f"/clients/{regional.id}"),
        await own.request("PATCH", f"/clients/{regional.id}", {"rate": 1}, headers={"If-Match": '"x"'}),
        await own.post(f"/clients/{regional.id}/suspension"),
        await own.post(f"/clients/{regional.id}/resumption"),
    ):
        assert (answer.status_code, answer.content) == (404, absent.content)
    organisations = (await own.get("/organisations")).json()["items"]
    other = next(one["id"] for one in organisations if one["name"] == "Ziekenhuis Heuvelland")
    assert (await own.post("/clients", body(organisationId=other))).status_code == 403
    assert (await region.post("/clients", body(organisationId=other))).status_code == 201


async def test_only_the_region_lets_a_client_read_the_log(instance: Instance) -> None:
    own, region = await instance.as_("org-admin"), await instance.as_("region-admin")
    assert (await own.post("/clients", body(scopes=["audit:read"]))).status_code == 403
    mine = await own.made("/clients", body())
    tag = (await own.get(f"/clients/{mine['id']}")).headers["etag"]
    change = {"scopes": ["audit:read"]}
    refused = await own.request("PATCH", f"/clients/{mine['id']}", change, headers={"If-Match": tag})
    assert refused.status_code == 403
    given = await region.request("PATCH", f"/clients/{mine['id']}", change, headers={"If-Match": tag})
    assert given.status_code == 200
    # From then on its keys are not the organisation's to change, or it would read the log with one of its own.
    tag = given.headers["etag"]
    stolen = {"jwks": public(new_key())}
    refused = await own.request("PATCH", f"/clients/{mine['id']}", stolen, headers={"If-Match": tag})
    assert refused.status_code == 403
    assert (await own.post(f"/clients/{mine['id']}/suspension")).status_code == 201


async def test_of_two_admins_who_edit_at_once_one_is_told(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    made = await admin.post("/clients", body())
    path, tag = f"/clients/{made.json()['id']}", made.headers["etag"]
    assert (await admin.request("PATCH", path, {"rate": 2})).status_code == 428
    changes = [admin.request("PATCH", path, {"rate": n}, headers={"If-Match": tag}) for n in range(3, 9)]
    answers = await asyncio.gather(*changes)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5
    (won,) = [answer for answer in answers if answer.status_code == 200]
    assert (await admin.get(path)).json() == won.json()


async def test_a_change_leaves_the_rest_and_ends_what_stood_on_it(instance: Instance) -> None:
    client = await register(instance)
    admin = await instance.as_("region-admin")
    token = await client.token()
    path = f"/clients/{client.id}"
    before = await admin.get(path)
    changed = await admin.request(
        "PATCH", path, {"scopes": ["scim:read"]}, headers={"If-Match": before.headers["etag"]}
    )
    assert changed.json() == {**before.json(), "scopes": ["scim:read"]}
    headers = {"Authorization": f"Bearer {token}"}
    assert (await instance.http.get("/me", headers=headers)).status_code == 401
    refused = await client.ask(grant_type="client_credentials", scope="fhir:read")
    assert refused.json()["error"] == "invalid_scope"
    rolled = new_key(kid="k2")
    tag = changed.headers["etag"]
    done = await admin.request("PATCH", path, {"jwks": public(rolled)}, headers={"If-Match": tag})
    assert done.status_code == 200
    assert (await client.ask(grant_type="client_credentials")).status_code == 401
    client.key = rolled
    await client.token()


async def test_a_status_changes_once(instance: Instance) -> None:
    client = await register(instance)
    admin = await instance.as_("region-admin")
    suspended = await admin.post(f"/clients/{client.id}/suspension")
    assert (suspended.status_code, suspended.json()["status"]) == (201, "suspended")
    again = await admin.post(f"/clients/{client.id}/suspension")
    assert (again.status_code, problem_of(again)["code"]) == (409, "client-status-unchanged")
    assert (await admin.post(f"/clients/{client.id}/resumption")).json()["status"] == "active"
    assert (await admin.post(f"/clients/{client.id}/resumption")).status_code == 409


KEY = new_key().as_dict(private=False)
BAD: list[tuple[Json, str, str]] = [
    ({"jwks": None}, "", "jwks-or-url"),
    ({"jwksUrl": "https://keys.example/jwks"}, "", "jwks-or-url"),
    ({"jwks": {"keys": []}}, "/jwks/keys", "too-few"),
    ({"jwks": {"keys": [new_key().as_dict(private=True)]}}, "/jwks", "private-key"),
    ({"jwks": {"keys": [OctKey.generate_key(256).as_dict(private=True)]}}, "/jwks", "private-key"),
    ({"jwks": {"keys": [{"kty": "oct"}]}}, "/jwks", "key-type-unknown"),
    ({"jwks": {"keys": [{**KEY, "x": "AAAA"}]}}, "/jwks", "key-malformed"),
    ({"jwks": {"keys": [{**KEY, "y": KEY["x"]}]}}, "/jwks", "key-malformed"),
    ({"jwks": {"keys": [{**KEY, "kid": "a b"}]}}, "/jwks", "key-malformed"),
    ({"jwks": {"keys": [{**KEY, "use": "enc"}]}}, "/jwks", "key-not-for-this"),
    ({"jwks": {"keys": [{**KEY, "alg": "RS256"}]}}, "/jwks", "key-not-for-this"),
    ({"jwks": {"keys": [KEY, KEY]}}, "/jwks", "key-without-its-own-name"),
    ({"scopes": []}, "/scopes", "too-few"),
    ({"scopes": ["everything"]}, "/scopes/0", "not-allowed"),
    ({"tokenSeconds": 601}, "/tokenSeconds", "out-of-range"),
    ({"tokenSeconds": 59}, "/tokenSeconds", "out-of-range"),
    ({"rate": 0}, "/rate", "out-of-range"),
    ({"name": ""}, "/name", "too-short"),
    ({"organisationId": "6f1c1b0e-8a44-4d7c-9e0f-3f8a1d1b2c3d"}, "/organisationId", "unknown-value"),
    ({"secret": "x"}, "", "unknown-member"),
    *(
        ({"jwks": None, "jwksUrl": url}, "/jwksUrl", "jwks-url-refused")
        for url in (
            "http://keys.example/jwks",
            "https://127.0.0.1/jwks",
            "https://[::ffff:10.0.0.1]/jwks",
            "https://2130706433/jwks",
            "https://169.254.169.254/latest/meta-data/",
            "https://user:pw@keys.example/jwks",
            "https://localhost/jwks",
        )
    ),
]


async def test_what_is_wrong_with_a_client_is_pointed_at_and_nothing_is_made(instance: Instance) -> None:
    admin = await instance.as_("region-admin")
    weak = {**RSAKey.generate_key(2048, auto_kid=True).as_dict(private=False), "n": "A" * 170}
    for more, pointer, code in [*BAD, ({"jwks": {"keys": [weak]}}, "/jwks", "key-strength")]:
        answer = await admin.post("/clients", body(**more))
        found = faults_of(answer)
        assert found.get(pointer) == code, (more, found)
        assert "169.254" not in answer.text
    assert (await admin.get("/clients")).json()["items"] == []


@pytest.mark.parametrize("persona", ["gp", "citizen", "auditor", "integration"])
async def test_nobody_else_registers_clients(instance: Instance, persona: str) -> None:
    caller = await instance.as_(persona)
    assert (await caller.post("/clients", body())).status_code == 403
    assert (await caller.get("/clients")).status_code == 403
