"""What somebody tries who wants more than is theirs, or whose change of one thing should not stop another's."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.access.vocabulary import ClientScope
from app.identity.demo import BY_KEY, LOCUMS, PRACTICE
from tests.staff.people import HERE, House, code_of, engagement_of, faults_of, poh, staff
from tests.stories import consent, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]


def stands_in(substitute: str = "gp-locum", **more: object) -> Json:
    return {
        "kind": "locum",
        "substituteEngagementId": engagement_of(substitute),
        "validUntil": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        **more,
    }


async def engaged(
    house: House, account: UUID, like: str, *, role: str | None = None, organisation: UUID | None = None
) -> str:
    """Write an engagement past every rule, as the owner, and return it."""
    return str(
        await house.owner.fetchval(
            "insert into engagement (id, account_id, organisation_id, role, profession, domain, valid_from)"
            " select gen_random_uuid(), $1, coalesce($4, organisation_id), coalesce($3, role), profession,"
            " case when $3 is null then domain end, valid_from from engagement where id = $2 returning id",
            account,
            UUID(engagement_of(like)),
            role,
            organisation,
        )
    )


# What one admin changes bears on cases in which nobody of theirs sits


@pytest.mark.parametrize("act", ["suspension", "ending"])
async def test_the_substitute_s_own_admin_suspends_or_ends_them_while_they_stand_in_elsewhere(
    house: House, act: str
) -> None:
    table = await open_table(house.instance)
    medication = await thread(table, "medication")
    gp, locum = await house.as_("gp"), await house.as_("gp-locum")
    await gp.made("/replacements", stands_in())
    admin = await house.signed_in(
        await engaged(house, BY_KEY["org-admin-other"].account_id, "org-admin-other", organisation=LOCUMS.id)
    )
    async with talking(locum, table.case_id) as line:
        await admin.made(f"/engagements/{engagement_of('gp-locum')}/{act}", {} if act == "ending" else None)
        assert await line.close_code() == 4401
    left = await house.owner.fetchval("select count(*) from access_grant where ground = 'replacement'")
    assert left == 0
    assert (await gp.get(f"/threads/{medication}")).status_code == 200


async def _under_a_gp_elsewhere(house: House) -> None:
    """Seat the practice's nurse, who works under the GP of another practice from now on."""
    await seat(await open_table(house.instance), "poh", direct=True)
    own, path = await house.admin(), f"/engagements/{engagement_of('poh')}"
    tag = (await own.get(path)).headers["etag"]
    body = {"responsibleEngagementId": engagement_of("gp-other")}
    assert (await own.request("PATCH", path, body, headers={"If-Match": tag})).status_code == 200


async def test_a_gp_answers_for_a_nurse_elsewhere_and_is_suspended_by_the_own_admin(house: House) -> None:
    await _under_a_gp_elsewhere(house)
    admin = await house.as_("org-admin-other")
    await admin.made(f"/engagements/{engagement_of('gp-other')}/suspension")
    assert (await (await house.as_("poh")).get("/me")).status_code == 401


async def test_a_gp_who_answers_for_a_nurse_elsewhere_leaves_without_touching_that_organisation(house: House) -> None:
    await _under_a_gp_elsewhere(house)
    admin = await house.as_("org-admin-other")
    path = f"/engagements/{engagement_of('gp-other')}"
    assert (await admin.get(f"{path}/ending-preview")).json()["responsibleFor"] == []
    await admin.made(f"{path}/ending", {})
    assert (await (await house.as_("poh")).get("/me")).status_code == 401


# Agreements


async def test_nobody_stands_in_at_an_organisation_without_a_cooperation_agreement(house: House) -> None:
    gp, admin = await house.as_("gp"), await house.as_("org-admin")
    await house.owner.execute(
        "update organisation set agreement_reference = null, agreement_on = null where id = $1", LOCUMS.id
    )
    assert code_of(await gp.post("/replacements", stands_in())) == (409, "no-cooperation-agreement")
    path = f"{HERE}/substitutes"
    await house.owner.execute("delete from substitute")
    refused = await admin.post(path, {"engagementId": engagement_of("gp-locum")})
    assert code_of(refused) == (409, "no-cooperation-agreement")


async def test_nobody_works_under_a_gp_of_another_practice_without_an_agreement(house: House) -> None:
    admin = await house.admin()
    await house.owner.execute(
        "update organisation set agreement_reference = null, agreement_on = null where name like '%Maas'"
    )
    refused = await admin.post(f"{HERE}/engagements", poh(engagement_of("gp-other")))
    assert code_of(refused) == (409, "no-cooperation-agreement")
    path = f"/engagements/{engagement_of('poh')}"
    tag = (await admin.get(path)).headers["etag"]
    body = {"responsibleEngagementId": engagement_of("gp-other")}
    answer = await admin.request("PATCH", path, body, headers={"If-Match": tag})
    assert code_of(answer) == (409, "no-cooperation-agreement")


# Oneself


async def test_an_admin_gives_nothing_to_themselves(house: House) -> None:
    admin = await house.admin()
    own = str(BY_KEY["org-admin"].account_id)
    body: Json = {"accountId": own, "role": "gp", "profession": "huisarts"}
    assert code_of(await admin.post(f"{HERE}/engagements", body)) == (403, "own-engagement")
    code = (await admin.made("/engagement-codes"))["code"]
    body = {"handoverCode": code, "role": "gp", "profession": "huisarts"}
    assert code_of(await admin.post(f"{HERE}/engagements", body)) == (403, "own-engagement")


async def test_an_admin_by_file_gives_nothing_to_themselves(house: House) -> None:
    admin, region = await house.admin(), await house.as_("region-admin")
    path = f"/engagements/{engagement_of('org-admin')}"
    tag = (await region.get(path)).headers["etag"]
    await region.request("PATCH", path, {"employeeNumber": "A-1"}, headers={"If-Match": tag})
    text = "employeeNumber;given;family;role;profession\nA-1;Nienke;Vos;gp;huisarts\n"
    refused = await admin.post(f"{HERE}/staff-imports", {"csv": text, "dryRun": False})
    assert faults_of(refused) == {"/csv/2/employeeNumber": "own-engagement"}


@pytest.mark.parametrize("act", ["suspension", "resumption", "confirmation", "ending", "change"])
async def test_an_admin_decides_nothing_about_another_engagement_of_their_own(house: House, act: str) -> None:
    admin = await house.admin()
    other = await engaged(house, BY_KEY["org-admin"].account_id, "gp")
    if act == "resumption":
        await house.owner.execute("update engagement set suspended_at = now() where id = $1", UUID(other))
    path = f"/engagements/{other}"
    if act == "change":
        tag = (await admin.get(path)).headers["etag"]
        answer = await admin.request("PATCH", path, {"speciality": "ggz"}, headers={"If-Match": tag})
    else:
        answer = await admin.post(f"{path}/{act}", {} if act == "ending" else None)
    assert code_of(answer) == (403, "own-engagement")


async def test_no_gp_makes_themselves_the_substitute_of_a_colleague(house: House) -> None:
    table = await open_table(house.instance)
    colleague = await house.signed_in(await engaged(house, BY_KEY["gp-other"].account_id, "gp"))
    me = (await colleague.get("/me")).json()["engagement"]["id"]
    body = stands_in(replacedEngagementId=engagement_of("gp"), substituteEngagementId=me)
    answer = await colleague.post("/replacements", body)
    assert answer.status_code == 403, answer.text
    assert (await colleague.get(f"/cases/{table.case_id}")).status_code == 404


# A substitute reads and posts


async def test_a_substitute_lets_no_citizen_in(house: House) -> None:
    table = await open_table(house.instance)
    gp, locum = await house.as_("gp"), await house.as_("gp-locum")
    await gp.made("/replacements", stands_in())
    assert (await locum.get(f"/cases/{table.case_id}")).status_code == 200
    body = {"patientId": table.patient_id, "identityCheck": {"document": "passport"}, "delivery": "handed-over"}
    answer = await locum.post(f"/cases/{table.case_id}/activation-codes", body)
    assert answer.status_code == 403, answer.text


# Everything that grants rest on is derived again


async def test_who_is_engaged_where_a_function_sits_at_a_table_holds_it_at_once(house: House) -> None:
    table = await open_table(house.instance)
    async with house.owner.transaction():
        await _seat_the_function(house, table.case_id)
    admin = await house.admin()
    made = await admin.made(f"{HERE}/engagements", staff())
    held = await house.owner.fetchval("select count(*) from access_grant where engagement_id = $1", made["id"])
    assert held > 0


async def _seat_the_function(house: House, case_id: str) -> None:
    """Seat the practice's GPs as a function, past every rule, as if it had been derived while there were none."""
    await house.owner.execute(
        "insert into member (case_id, id, kind, organisation_id, function_role, case_role, direct_treatment, history,"
        " history_from_seq, status, invited_by_engagement_id, invited_at, decided_at)"
        " values ($1, $2, 'function', $3, 'gp', 'deelnemer', true, 'all', 0, 'accepted', $4, now(), now())",
        UUID(case_id),
        uuid4(),
        PRACTICE.id,
        UUID(engagement_of("gp")),
    )
    await house.owner.execute("update case_head set dirty = false")


# Leaving


async def test_no_identity_system_ends_whoever_took_a_case_over(house: House) -> None:
    table = await open_table(house.instance)
    admin = await house.admin()
    successor = await engaged(house, BY_KEY["gp-other"].account_id, "gp")
    nurses = [engagement_of(key) for key in ("poh", "poh-youth")]
    await admin.made(
        f"/engagements/{engagement_of('gp')}/ending",
        {
            "successors": [{"caseId": table.case_id, "engagementId": successor}],
            "responsibles": [{"engagementId": n, "responsibleEngagementId": successor} for n in nurses],
        },
    )
    client = await house.integration(ClientScope.SCIM_WRITE)
    url = f"{house.instance.url}/scim/v2/Users/{successor}"
    answer = await house.instance.http.delete(url, headers={"Authorization": f"Bearer {client.token}"})
    assert answer.status_code == 409, answer.text


async def test_no_end_is_brought_forward_past_what_would_be_left_to_nobody(house: House) -> None:
    await open_table(house.instance)
    admin = await house.admin()
    path = f"/engagements/{engagement_of('gp')}"
    tag = (await admin.get(path)).headers["etag"]
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    answer = await admin.request("PATCH", path, {"validUntil": soon}, headers={"If-Match": tag})
    assert answer.status_code == 409, answer.text


# Two at once


async def test_admins_and_members_at_once_hinder_nobody_and_leave_no_stale_grant(house: House) -> None:
    table = await open_table(house.instance)
    await seat(table, "poh", direct=True)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    region, gp = await house.as_("region-admin"), await house.as_("gp")
    path = f"/engagements/{engagement_of('district-nurse')}"
    nursing = f"/organisations/{BY_KEY['district-nurse'].organisation.id}"  # type: ignore[union-attr]

    async def swing(down: str, up: str, times: int) -> list[httpx.Response]:
        return [await region.post(step) for _ in range(times) for step in (down, up)]

    async def consenting(times: int) -> list[httpx.Response]:
        answers = []
        for _ in range(times):
            given = await consent(table, "social-worker", "social_participation")
            answers.append(await gp.post(f"/consents/{given}/withdrawal", {}))
        return answers

    done = await asyncio.gather(
        swing(f"{path}/suspension", f"{path}/resumption", 6),
        swing(f"{nursing}/suspension", f"{nursing}/resumption", 6),
        consenting(8),
        consenting(8),
        return_exceptions=True,
    )
    for answers in done:
        assert not isinstance(answers, BaseException), answers
        assert {answer.status_code for answer in answers} <= {200, 201, 204, 409}, [a.text for a in answers]
