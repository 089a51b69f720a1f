"""Who is engaged, by whom, as what; and what nobody can do to another's people."""

from datetime import UTC, datetime, timedelta

import pytest

from app.identity.signing_in import NothingToEnter
from tests.serving import Caller
from tests.staff.people import HERE, THERE, House, Json, code_of, engagement_of, faults_of, poh, staff
from tests.stories import open_table, seat


async def test_whoever_is_new_gets_a_link_once_and_is_on_the_list(house: House) -> None:
    admin = await house.admin()
    body = staff(employeeNumber="HA-1", registrations=[{"kind": "big", "number": "19012345601"}])
    answer = await admin.post(f"{HERE}/engagements", body, idempotency_key="new-gp")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["name"], made["domain"], made["state"]) == ("Sanne van den Bos", "care", "active")
    assert made["enrolment"]["link"].endswith(f"/activeren#{made['enrolment']['code']}")
    until = datetime.fromisoformat(made["confirmedUntil"]) - datetime.now(UTC)
    assert timedelta(days=364) < until <= timedelta(days=365)
    again = await admin.post(f"{HERE}/engagements", body, idempotency_key="new-gp")
    assert (again.headers["idempotent-replayed"], again.json()["id"]) == ("true", made["id"])
    assert again.json()["enrolment"] is None
    listed = (await admin.get(f"{HERE}/engagements", role="gp")).json()["items"]
    (found,) = [one for one in listed if one["id"] == made["id"]]
    assert found["registrations"] == [{"kind": "big", "number": "19012345601"}]
    assert found["enrolment"] is None


async def test_a_fresh_link_is_for_those_alone_who_never_used_one(house: House) -> None:
    admin = await house.admin()
    made = await admin.made(f"{HERE}/engagements", staff())
    path = f"/accounts/{made['accountId']}/enrolment-codes"
    again = await admin.made(path)
    assert again["code"] != made["enrolment"]["code"]  # type: ignore[index]
    await house.signed_in(str(made["id"]))
    assert code_of(await admin.post(path)) == (409, "already-signed-in")
    assert (await (await house.as_("region-admin")).post(path)).status_code == 409


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"role": "poh", "profession": "poh_ggz"}, {"/responsibleEngagementId": "responsible-missing"}),
        ({"responsibleEngagementId": engagement_of("gp")}, {"/responsibleEngagementId": "responsible-not-allowed"}),
        (
            {"role": "poh", "responsibleEngagementId": engagement_of("district-nurse")},
            {"/responsibleEngagementId": "responsible-not-in-force"},
        ),
        ({"domain": "social"}, {"/domain": "domain-of-other-role"}),
        ({"law": "wmo2015"}, {"/law": "law-of-other-role"}),
        ({"role": "auditor"}, {"/role": "not-allowed"}),
        ({"role": "citizen"}, {"/role": "not-allowed"}),
        ({"role": "region_admin"}, {"/role": "not-allowed"}),
        ({"validUntil": "2020-01-01T00:00:00Z"}, {"/validUntil": "ends-early"}),
        ({"registrations": [{"kind": "big", "number": "12345678"}]}, {"/registrations": "big-invalid"}),
        ({"registrations": [{"kind": "uzi", "number": "12345678"}]}, {"/registrations": "uzi-invalid"}),
        ({"accountId": engagement_of("gp")}, {"": "who"}),
    ],
)
async def test_what_does_not_fit_is_named_and_nothing_is_made(house: House, change: Json, faults: Json) -> None:
    admin = await house.admin()
    before = await house.owner.fetchval("select count(*) from account")
    assert faults_of(await admin.post(f"{HERE}/engagements", staff(**change))) == faults
    assert await house.owner.fetchval("select count(*) from account") == before


async def test_a_poh_may_work_under_a_gp_of_another_practice_while_that_one_is_in_force(house: House) -> None:
    admin, region = await house.admin(), await house.as_("region-admin")
    made = await admin.made(f"{HERE}/engagements", poh(engagement_of("gp-other")))
    worker = await house.signed_in(str(made["id"]))
    me = (await worker.get("/me")).json()
    assert me["engagement"]["responsibleAccountId"] is not None
    await region.made(f"/engagements/{engagement_of('gp-other')}/suspension")
    assert code_of(await worker.get("/me")) == (401, "session-ended")
    refused = await admin.post(f"{HERE}/engagements", poh(engagement_of("gp-other"), name=staff()["name"]))
    assert faults_of(refused) == {"/responsibleEngagementId": "responsible-not-in-force"}


async def test_a_district_nurse_of_the_municipality_is_care(house: House) -> None:
    region = await house.as_("region-admin")
    municipality = await house.owner.fetchval("select id from organisation where kind = 'municipality'")
    body = staff(role="district_nurse", profession="wijkverpleegkundige")
    made = await region.made(f"/organisations/{municipality}/engagements", body)
    assert (made["domain"], made["law"]) == ("care", None)


async def test_another_organisation_s_people_are_not_there(house: House) -> None:
    admin = await house.admin()
    theirs = engagement_of("gp-other")
    account = await house.owner.fetchval("select account_id::text from engagement where id = $1", theirs)
    match = {"If-Match": '"x"'}
    answers = [
        await admin.get(f"{THERE}/engagements"),
        await admin.post(f"{THERE}/engagements", staff()),
        await admin.post(f"{THERE}/confirmations", {"engagementIds": [theirs]}),
        await admin.post(f"{THERE}/staff-imports", {"csv": "x", "dryRun": True}),
        await admin.get(f"/engagements/{theirs}"),
        await admin.request("PATCH", f"/engagements/{theirs}", {"speciality": "x"}, headers=match),
        await admin.post(f"/engagements/{theirs}/suspension"),
        await admin.post(f"/engagements/{theirs}/resumption"),
        await admin.post(f"/engagements/{theirs}/confirmation"),
        await admin.post(f"/accounts/{account}/enrolment-codes"),
        await admin.post(f"{HERE}/engagements", {**staff(), "name": None, "accountId": account}),
    ]
    assert [one.status_code for one in answers] == [404] * len(answers)
    assert len({one.content for one in answers}) == 1
    denied = await house.owner.fetchval("select count(*) from audit_event where outcome = 'denied'")
    assert denied == len(answers)


async def test_a_registration_that_another_account_has_adds_nothing_to_it(house: House) -> None:
    """Whoever entered a public number first would get what another organisation adds."""
    admin, region = await house.admin(), await house.as_("region-admin")
    numbers = [{"kind": "big", "number": "19012345601"}]
    await admin.made(f"{HERE}/engagements", staff(registrations=numbers))
    refused = await region.post(f"{THERE}/engagements", staff(registrations=numbers))
    assert code_of(refused) == (409, "registration-of-another")


async def test_somebody_lets_another_organisation_add_an_engagement_by_a_code_that_works_once(house: House) -> None:
    gp, region = await house.as_("gp"), await house.as_("region-admin")
    code = (await gp.made("/engagement-codes"))["code"]
    body = {**staff(), "name": None, "handoverCode": code}
    made = await region.made(f"{THERE}/engagements", body)
    assert made["accountId"] == (await gp.get("/me")).json()["id"]
    assert (made["name"], made["enrolment"]) == ("Anna de Vries", None)
    other = {**body, "role": "specialist", "profession": "jeugdarts"}
    assert faults_of(await region.post(f"{THERE}/engagements", other)) == {"/handoverCode": "code-not-valid"}
    late = {**other, "handoverCode": (await gp.made("/engagement-codes"))["code"]}
    house.clock.move(timedelta(hours=11))
    house.clock.move(timedelta(hours=13, seconds=1))
    region = await house.signed_in(engagement_of("region-admin"))
    assert faults_of(await region.post(f"{THERE}/engagements", late)) == {"/handoverCode": "code-not-valid"}


async def test_who_works_in_two_places_is_renamed_and_let_in_by_neither(house: House) -> None:
    admin, region = await house.admin(), await house.as_("region-admin")
    made = await admin.made(f"{HERE}/engagements", staff())
    await house.owner.execute(
        "insert into engagement (id, account_id, organisation_id, role, profession, valid_from)"
        " select gen_random_uuid(), $1, organisation_id, 'gp', 'huisarts', now() from engagement where id = $2",
        made["accountId"],
        engagement_of("gp-other"),
    )
    path = f"/accounts/{made['accountId']}/enrolment-codes"
    assert code_of(await admin.post(path)) == (403, "forbidden")
    assert (await region.post(path)).status_code == 201


async def test_a_suspension_ends_grants_sessions_and_tokens_at_once_and_a_resumption_gives_them_back(
    house: House,
) -> None:
    table = await open_table(house.instance)
    await seat(table, "poh", direct=True)
    member, admin = await house.as_("poh"), await house.admin()
    path = f"/engagements/{engagement_of('poh')}"
    grants = "select count(*) from access_grant where engagement_id = $1"
    held = await house.owner.fetchval(grants, engagement_of("poh"))
    assert held > 0
    assert (await admin.made(f"{path}/suspension"))["state"] == "suspended"
    assert code_of(await member.get(f"/cases/{table.case_id}")) == (401, "session-ended")
    assert await house.owner.fetchval(grants, engagement_of("poh")) == 0
    ended = await house.owner.fetchval(
        "select ended_why from login_session where engagement_id = $1", engagement_of("poh")
    )
    assert ended == "engagement-suspended"
    assert code_of(await admin.post(f"{path}/suspension")) == (409, "engagement-state")
    assert (await admin.made(f"{path}/resumption"))["state"] == "active"
    assert code_of(await admin.post(f"{path}/resumption")) == (409, "engagement-state")
    assert await house.owner.fetchval(grants, engagement_of("poh")) == held
    again = await house.signed_in(engagement_of("poh"))
    assert (await again.get(f"/cases/{table.case_id}")).status_code == 200


async def test_nobody_suspends_or_confirms_themselves(house: House) -> None:
    admin = await house.admin()
    own = f"/engagements/{engagement_of('org-admin')}"
    for path in ("suspension", "confirmation"):
        assert code_of(await admin.post(f"{own}/{path}")) == (403, "own-engagement")
    assert (await (await house.as_("region-admin")).post(f"{own}/confirmation")).status_code == 201


async def test_of_two_admins_who_edit_at_once_the_second_is_told(house: House) -> None:
    admin, region = await house.admin(), await house.as_("region-admin")
    path = f"/engagements/{engagement_of('poh')}"
    tag = (await admin.get(path)).headers["etag"]
    assert (await region.get(path)).headers["etag"] == tag

    async def patch(caller: Caller, body: Json, match: str | None) -> tuple[int, str]:
        headers = {} if match is None else {"If-Match": match}
        answer = await caller.request("PATCH", path, body, headers=headers)
        return answer.status_code, answer.json().get("code", answer.headers.get("etag"))

    assert await patch(admin, {"speciality": "ggz"}, None) == (428, "precondition-required")
    status, new = await patch(admin, {"speciality": "ggz", "employeeNumber": "P-7"}, tag)
    assert (status, new != tag) == (200, True)
    assert await patch(region, {"speciality": "jeugd"}, tag) == (412, "precondition-failed")
    assert (await region.get(path)).json()["speciality"] == "ggz"
    assert (await patch(region, {"speciality": None}, new))[0] == 200
    found = (await region.get(path)).json()
    assert (found["speciality"], found["employeeNumber"]) == (None, "P-7")


async def test_an_employee_number_is_given_once_in_a_role(house: House) -> None:
    admin = await house.admin()
    await admin.made(f"{HERE}/engagements", staff(employeeNumber="HA-1"))
    refused = await admin.post(f"{HERE}/engagements", staff(employeeNumber="HA-1"))
    assert code_of(refused) == (409, "engagement-exists")
    tag = (await admin.get(path := f"/engagements/{engagement_of('gp')}")).headers["etag"]
    answer = await admin.request("PATCH", path, {"employeeNumber": "HA-1"}, headers={"If-Match": tag})
    assert code_of(answer) == (409, "engagement-exists")


async def test_an_organisation_that_is_suspended_takes_on_nobody(house: House) -> None:
    region = await house.as_("region-admin")
    await house.owner.execute("update organisation set status = 'suspended' where name like '%Maas'")
    assert code_of(await region.post(f"{THERE}/engagements", staff())) == (409, "organisation-inactive")


# Re-certification


async def test_an_engagement_that_nobody_confirms_for_a_year_is_worth_nothing(house: House) -> None:
    admin = await house.admin()
    made = await admin.made(f"{HERE}/engagements", staff())
    house.clock.move(timedelta(days=364, hours=23, minutes=58))
    admin = await house.signed_in(engagement_of("org-admin"))
    soon = (datetime.now(UTC) + timedelta(days=394)).isoformat().replace("+00:00", "Z")
    warned = (await admin.get(f"{HERE}/engagements", confirmBefore=soon)).json()["items"]
    assert [one["id"] for one in warned] == [made["id"]]
    worker = await house.signed_in(str(made["id"]))
    assert (await worker.get("/me")).status_code == 200
    house.clock.move(timedelta(minutes=2, seconds=1))
    with pytest.raises(NothingToEnter):
        await house.signed_in(str(made["id"]))
    assert code_of(await worker.get("/me")) == (401, "session-ended")
    admin = await house.signed_in(engagement_of("org-admin"))
    lapsed = (await admin.get(f"{HERE}/engagements", state="lapsed")).json()["items"]
    assert [one["id"] for one in lapsed] == [made["id"]]
    confirmed = await admin.made(f"{HERE}/confirmations", {"engagementIds": [made["id"]]})
    assert [one["state"] for one in confirmed["items"]] == ["active"]  # type: ignore[attr-defined]
    assert (await worker.get("/me")).status_code == 200


async def test_many_are_confirmed_together_or_not_at_all(house: House) -> None:
    admin = await house.admin()
    ids = [engagement_of("gp"), engagement_of("gp-other")]
    refused = await admin.post(f"{HERE}/confirmations", {"engagementIds": ids})
    assert faults_of(refused) == {"/engagementIds/1": "not-confirmable"}
    assert await house.owner.fetchval("select count(*) from engagement where confirmed_until is not null") == 0
    own = await admin.post(f"{HERE}/confirmations", {"engagementIds": [engagement_of("org-admin")]})
    assert code_of(own) == (403, "own-engagement")
