"""An identity system keeps its own organisation's people by SCIM 2.0, and reaches nobody else's."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.access.vocabulary import ClientScope
from app.api.scim_messages import STAFF
from app.core.settings import Settings
from app.identity.demo import OTHER_PRACTICE
from app.main import create_app
from tests.api.expectations import SCIM
from tests.api.test_tripwires import addresses
from tests.serving import Caller
from tests.staff.people import HERE, House, engagement_of
from tests.stories import open_table, seat
from tests.talking import talking

Json = dict[str, Any]
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def user(**more: object) -> Json:
    return {
        "schemas": [CORE, ENTERPRISE, STAFF],
        "userName": "S.Bos@linde.example",
        "externalId": "ext-1",
        "name": {"givenName": "Sanne", "middleName": "van den", "familyName": "Bos"},
        "emails": [{"value": "s.bos@linde.example", "primary": True}],
        ENTERPRISE: {"employeeNumber": "H-1"},
        STAFF: {"role": "gp", "profession": "huisarts", "big": "19012345601"},
        **more,
    }


async def ask(caller: Caller, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
    url = f"{caller.instance.url}/scim/v2{path}"
    given = {"Authorization": f"Bearer {caller.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    if body is not None:
        given.setdefault("Content-Type", "application/scim+json")
    answer = await caller.instance.http.request(method, url, json=body, headers=given)
    if answer.content:
        assert answer.headers["content-type"] == "application/scim+json"
    return answer


async def made(caller: Caller, **more: object) -> Json:
    answer = await ask(caller, "POST", "/Users", user(**more))
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    assert answer.headers["location"] == found["meta"]["location"]
    assert answer.headers["etag"] == found["meta"]["version"]
    return found


def patch(*operations: Json) -> Json:
    return {"schemas": [PATCH], "Operations": list(operations)}


def error_of(answer: httpx.Response) -> tuple[int, str | None]:
    body = answer.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(answer.status_code)
    return answer.status_code, body.get("scimType")


async def client(house: House) -> Caller:
    return await house.integration(ClientScope.SCIM_WRITE)


async def test_a_user_comes_is_found_changed_and_gone(house: House) -> None:
    scim = await client(house)
    one = await made(scim)
    assert (one["active"], one["name"]["familyName"], "emails" in one) == (True, "Bos", False)
    assert one[STAFF]["domain"] == "care"
    for text in ('userName eq "s.bos@LINDE.example"', 'externalId eq "ext-1"', f'id eq "{one["id"]}"'):
        found = (await ask(scim, "GET", f"/Users?filter={text}")).json()
        assert (found["totalResults"], found["Resources"][0]["id"]) == (1, one["id"])
    assert (await ask(scim, "GET", '/Users?filter=externalId eq "EXT-1"')).json()["totalResults"] == 0
    path = f"/Users/{one['id']}"
    named = {"op": "replace", "path": "name.givenName", "value": "Sara"}
    changed = await ask(
        scim, "PATCH", path, patch(named, {"op": "add", "path": f"{STAFF}:speciality", "value": "hart"})
    )
    assert changed.status_code == 200, changed.text
    listed = (await (await house.admin()).get(f"{HERE}/engagements", role="gp")).json()["items"]
    assert {"Sara van den Bos"} <= {item["name"] for item in listed}
    put = user(name={"givenName": "Sanne", "familyName": "Bos"}, userName="sanne")
    replaced = await ask(scim, "PUT", path, put)
    assert replaced.status_code == 200, replaced.text
    assert (replaced.json()["userName"], STAFF in replaced.json()) == ("sanne", True)
    assert "speciality" not in replaced.json()[STAFF]
    gone = await ask(scim, "DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert error_of(await ask(scim, "GET", path)) == (404, None)
    assert (await ask(scim, "GET", '/Users?filter=userName eq "sanne"')).json()["totalResults"] == 0
    again = await ask(
        scim, "POST", "/Users", user(userName="sanne", **{STAFF: {"role": "gp", "profession": "huisarts"}})
    )
    assert again.status_code == 201, again.text


async def test_inactive_is_suspended_at_once_sessions_sockets_and_all(house: House) -> None:
    table = await open_table(house.instance)
    await seat(table, "poh", direct=True)
    scim, poh = await client(house), await house.as_("poh")
    path = f"/Users/{engagement_of('poh')}"
    async with talking(poh, table.case_id) as talk:
        off = patch({"op": "Replace", "value": {"active": False}})
        answer = await ask(scim, "PATCH", path, off)
        assert (answer.status_code, answer.json()["active"]) == (200, False)
        await talk.hear("bye")
    assert (await poh.get(f"/cases/{table.case_id}")).status_code == 401
    assert (await ask(scim, "PATCH", path, off)).status_code == 200
    on = await ask(scim, "PATCH", path, patch({"op": "replace", "path": "active", "value": True}))
    assert on.json()["active"] is True
    back = await house.signed_in(engagement_of("poh"))
    assert (await back.get(f"/cases/{table.case_id}")).status_code == 200


async def test_who_runs_a_case_is_not_deleted(house: House) -> None:
    await open_table(house.instance)
    scim = await client(house)
    refused = await ask(scim, "DELETE", f"/Users/{engagement_of('gp')}")
    assert error_of(refused) == (409, None)
    assert (await (await house.as_("gp")).get("/me")).status_code == 200


async def test_a_client_reaches_its_own_organisation_and_no_office(house: House) -> None:
    scim = await client(house)
    listed = (await ask(scim, "GET", "/Users")).json()
    ids = {one["id"] for one in listed["Resources"]}
    assert {engagement_of("gp"), engagement_of("poh")} <= ids
    assert ids.isdisjoint({engagement_of("gp-other"), engagement_of("org-admin")})
    strange = patch({"op": "replace", "path": "active", "value": False})
    answers = []
    for unknown in (engagement_of("gp-other"), engagement_of("org-admin"), str(uuid4()), "no-such-id"):
        for method, body in (("GET", None), ("PUT", user()), ("PATCH", strange), ("DELETE", None)):
            answers.append(await ask(scim, method, f"/Users/{unknown}", body))
    assert {error_of(one) for one in answers} == {(404, None)}
    assert len({one.content for one in answers}) == 1
    other = await house.integration(ClientScope.SCIM_WRITE, organisation=OTHER_PRACTICE.id)
    assert {one["id"] for one in (await ask(other, "GET", "/Users")).json()["Resources"]} == {
        engagement_of("gp-other")
    }
    admins = user(**{STAFF: {"role": "org_admin", "profession": "beheerder"}})
    assert error_of(await ask(scim, "POST", "/Users", admins)) == (400, "invalidValue")


async def test_the_scope_decides(house: House) -> None:
    reading = await house.integration(ClientScope.SCIM_READ)
    assert (await ask(reading, "GET", "/Users")).status_code == 200
    assert error_of(await ask(reading, "POST", "/Users", user())) == (403, None)
    without = await house.integration(ClientScope.FHIR_READ)
    assert error_of(await ask(without, "GET", "/Users")) == (403, None)
    assert error_of(await ask(await house.admin(), "GET", "/Users")) == (403, None)
    nobody = await house.instance.http.get(f"{house.instance.url}/scim/v2/Users")
    assert error_of(nobody) == (401, None)
    assert nobody.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"schemas": [CORE]}, (400, "invalidValue")),
        ([], (400, "invalidSyntax")),
        (user(userName=7), (400, "invalidValue")),
        (user(userName=""), (400, "invalidValue")),
        (user(**{STAFF: {"role": "king", "profession": "x"}}), (400, "invalidValue")),
        (user(**{STAFF: {"role": "poh", "profession": "poh_ggz"}}), (400, "invalidValue")),
        (user(**{STAFF: {"role": "poh", "profession": "poh_ggz", "responsible": "x"}}), (400, "invalidValue")),
        (user(**{STAFF: {"role": "gp", "profession": "huisarts", "big": "1"}}), (400, "invalidValue")),
        (user(**{ENTERPRISE: {"employeeNumber": "=1+1"}}), (400, "invalidValue")),
    ],
)
async def test_a_bad_user_is_refused_without_echo(house: House, body: object, expected: tuple[int, str]) -> None:
    scim = await client(house)
    before = await house.owner.fetchval("select count(*) from account")
    answer = await ask(scim, "POST", "/Users", body)
    assert error_of(answer) == expected
    assert "king" not in answer.text
    assert await house.owner.fetchval("select count(*) from account") == before


async def test_what_cannot_change_or_be_twice_is_refused(house: House) -> None:
    scim = await client(house)
    one = await made(scim)
    path = f"/Users/{one['id']}"
    role = patch({"op": "replace", "path": f"{STAFF}:role", "value": "specialist"})
    assert error_of(await ask(scim, "PATCH", path, role)) == (400, "mutability")
    other = user(**{STAFF: {"role": "specialist", "profession": "jeugdarts"}})
    assert error_of(await ask(scim, "PUT", path, other)) == (400, "mutability")
    assert error_of(await ask(scim, "POST", "/Users", user())) == (409, "uniqueness")
    renamed = user(**{ENTERPRISE: {"employeeNumber": "H-2"}, STAFF: {"role": "gp", "profession": "huisarts"}})
    assert error_of(await ask(scim, "POST", "/Users", renamed)) == (409, "uniqueness")
    assert error_of(await ask(scim, "GET", '/Users?filter=userName co "b"')) == (400, "invalidFilter")
    assert error_of(await ask(scim, "PATCH", path, patch({"op": "jump", "path": "active"}))) == (400, "invalidValue")
    nowhere = patch({"op": "replace", "path": "a b c", "value": 1})
    assert error_of(await ask(scim, "PATCH", path, nowhere))[0] == 400
    text = await ask(scim, "POST", "/Users", user(), Content_Type="text/plain")
    assert error_of(text) == (415, None)


async def test_of_two_systems_that_write_at_once_the_second_is_told(house: House) -> None:
    scim = await client(house)
    one = await made(scim)
    path, tag = f"/Users/{one['id']}", one["meta"]["version"]
    name = patch({"op": "replace", "path": "displayName", "value": "S. Bos"})
    first = await ask(scim, "PATCH", path, name, If_Match=tag)
    assert first.status_code == 200
    assert error_of(await ask(scim, "PATCH", path, name, If_Match=tag)) == (412, None)
    assert (await ask(scim, "PATCH", path, name, If_Match=first.headers["etag"])).status_code == 200


async def test_a_list_comes_in_pages_and_parts(house: House) -> None:
    scim = await client(house)
    whole = (await ask(scim, "GET", "/Users")).json()
    assert whole["totalResults"] == len(whole["Resources"]) == 3
    page = (await ask(scim, "GET", "/Users?startIndex=2&count=1&attributes=userName")).json()
    assert (page["startIndex"], page["itemsPerPage"], page["totalResults"]) == (2, 1, 3)
    assert page["Resources"][0].keys() == {"schemas", "id", "userName"}
    assert (await ask(scim, "GET", "/Users?count=0")).json().get("Resources", []) == []


async def test_the_service_describes_itself(house: House) -> None:
    scim = await house.integration(ClientScope.SCIM_READ)
    config = (await ask(scim, "GET", "/ServiceProviderConfig")).json()
    assert (config["patch"]["supported"], config["bulk"]["supported"]) == (True, False)
    for kind in ("ResourceTypes", "Schemas"):
        listed = (await ask(scim, "GET", f"/{kind}")).json()
        for one in listed["Resources"]:
            assert (await ask(scim, "GET", f"/{kind}/{one['id']}")).json()["id"] == one["id"]
    assert STAFF in {one["id"] for one in listed["Resources"]}


async def test_no_name_of_the_identity_system_is_kept_in_the_clear(house: House) -> None:
    await made(await client(house))
    rows = await house.owner.fetch("select t::text from scim_user t")
    assert rows
    for word in ("linde", "Sanne", "ext-1"):
        assert word not in str(rows)
        assert word.encode().hex() not in str(rows)


def test_every_address_declares_what_is_expected_of_it() -> None:
    found: dict[str, dict[str, str]] = {}
    for address, route in addresses(create_app(Settings()).routes):
        if address.startswith("/scim/"):
            declared = route.endpoint.operation  # type: ignore[attr-defined]
            for method in route.methods:  # type: ignore[attr-defined]
                found.setdefault(address, {})[method] = declared.action
    assert found == SCIM
