"""Two at once: whoever comes first in the stream, nothing is half done and nothing outlives a withdrawal."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from itertools import count

import httpx
import pytest

from tests.api.room import CARE, SHARED, Room, another
from tests.serving import Service
from tests.stories import Table, account_of, consent, open_table, seat, thread

ROUNDS = 4
_numbers = count(1)


@pytest.fixture
def instance(room: Room) -> Service:
    """The room's own service."""
    return room.instance


async def statuses(*asked: Awaitable[httpx.Response]) -> Counter[int]:
    return Counter(one.status_code for one in await asyncio.gather(*asked))


async def worked(instance: Service) -> tuple[Table, str, str]:
    """Return a table with a consented social worker, the shared thread and the consent."""
    table = await open_table(instance)
    await seat(table, "social-worker")
    shared = await thread(table, SHARED)
    return table, shared, await consent(table, "social-worker", SHARED)


async def test_no_message_stands_after_the_withdrawal_that_closed_its_thread(room: Room, instance: Service) -> None:
    for _ in range(ROUNDS):
        table, shared, given = await worked(instance)
        worker, citizen = await instance.as_("social-worker"), await instance.as_("citizen")
        body = {"patientId": table.patient_id, "category": SHARED, "title": "Nog snel"}
        asked = [worker.post(f"/threads/{shared}/messages", {"text": str(next(_numbers))}) for _ in range(6)]
        asked.insert(3, citizen.post(f"/consents/{given}/withdrawal"))
        asked.append(worker.post(f"/cases/{table.case_id}/threads", body))
        answers = await asyncio.gather(*asked)
        assert answers[3].status_code == 201
        assert {one.status_code for one in answers} <= {201, 403, 404, 503}
        at = await room.owner.fetchval(
            "select seq from case_event where case_id = $1 and type = 'consent.withdrawn'", table.case_id
        )
        late = "select count(*) from case_event where case_id = $1 and seq > $2 and actor_account_id = $3"
        account = await account_of(instance, "social-worker")
        assert await room.owner.fetchval(late, table.case_id, at, account) == 0
        assert (await worker.post(f"/threads/{shared}/messages", {"text": "Te laat"})).status_code == 404


async def test_no_message_stands_after_the_end_of_its_author_s_membership(room: Room, instance: Service) -> None:
    for _ in range(ROUNDS):
        table, shared, _ = await worked(instance)
        worker, gp = await instance.as_("social-worker"), await instance.as_("gp")
        asked = [worker.post(f"/threads/{shared}/messages", {"text": str(next(_numbers))}) for _ in range(5)]
        asked.insert(2, gp.delete(f"/cases/{table.case_id}/members/{table.members['social-worker']}"))
        answers = await asyncio.gather(*asked)
        assert answers[2].status_code == 204
        assert {one.status_code for one in answers} <= {201, 204, 404}
        at = await room.owner.fetchval(
            "select min(seq) from case_event where case_id = $1 and type = 'member.left'", table.case_id
        )
        late = "select count(*) from case_event where case_id = $1 and seq > $2 and type = 'message.posted'"
        assert await room.owner.fetchval(late, table.case_id, at) == 0


async def test_no_message_is_posted_in_a_session_that_has_ended(room: Room, instance: Service) -> None:
    shared = room.ids["shared"]
    for _ in range(ROUNDS):
        caller = await another(instance, "gp")
        asked = [caller.post(f"/threads/{shared}/messages", {"text": str(next(_numbers))}) for _ in range(5)]
        asked.insert(2, caller.delete("/sessions/current"))
        answers = await asyncio.gather(*asked)
        assert answers[2].status_code == 204
        assert {one.status_code for one in answers} <= {201, 204, 401}
        assert (await caller.post(f"/threads/{shared}/messages", {"text": "Te laat"})).status_code == 401


async def test_of_two_who_decide_an_invitation_one_does(instance: Service) -> None:
    for _ in range(ROUNDS):
        table = await open_table(instance)
        gp, worker = await instance.as_("gp"), await instance.as_("social-worker")
        body = {
            "accountId": await account_of(instance, "social-worker"),
            "caseRole": "deelnemer",
            "reasonCode": "transfer",
        }
        path = f"/cases/{table.case_id}/members"
        assert await statuses(*(gp.post(path, body) for _ in range(3))) == {201: 1, 409: 2}
        (mine,) = [
            one for one in (await worker.get("/invitations")).json()["items"] if one["caseId"] == table.case_id
        ]
        found = await statuses(
            worker.post(f"{path}/{mine['memberId']}/acceptance"),
            worker.post(f"{path}/{mine['memberId']}/refusal", {"reason": "no-time"}),
            worker.post(f"{path}/{mine['memberId']}/acceptance"),
        )
        assert (found[201], found[201] + found[404] + found[409]) == (1, 3)


async def test_an_invitation_is_taken_back_or_accepted_not_both(room: Room, instance: Service) -> None:
    for _ in range(ROUNDS):
        table = await open_table(instance)
        gp, nurse = await instance.as_("gp"), await instance.as_("district-nurse")
        body = {
            "accountId": await account_of(instance, "district-nurse"),
            "caseRole": "deelnemer",
            "reasonCode": "treatment",
            "directTreatment": True,
        }
        path = f"/cases/{table.case_id}/members"
        member = (await gp.made(path, body))["id"]
        await asyncio.gather(nurse.post(f"{path}/{member}/acceptance"), gp.delete(f"{path}/{member}"))
        status = await room.owner.fetchval("select status from member where id = $1", member)
        grants = await room.owner.fetchval("select count(*) from access_grant where member_id = $1", member)
        assert (status == "accepted") == (grants > 0)
        assert (await nurse.get(f"/cases/{table.case_id}")).status_code == (200 if status == "accepted" else 404)


async def test_a_message_is_retracted_once(room: Room) -> None:
    gp = await room.as_("gp")
    for _ in range(ROUNDS):
        message = await room.posted(room.ids["thread"])
        path = f"/messages/{message}"
        found = await statuses(
            *(gp.post(f"{path}/retraction", {"reason": "error"}) for _ in range(3)),
            gp.post(f"{path}/corrections", {"text": "Verbeterd"}),
        )
        assert set(found) <= {201, 409}
        tombstones = "select count(*) from case_event where type = 'message.retracted' and refers_to = $1"
        assert await room.owner.fetchval(tombstones, message) == 1
        shown = (await (await room.as_("poh")).get(f"/threads/{room.ids['thread']}/messages", limit=100)).json()
        assert not [one for one in shown["items"] if message in (one["id"], one.get("corrects"))]


async def test_consents_and_withdrawals_at_once_leave_what_the_last_ones_say(room: Room, instance: Service) -> None:
    table = await open_table(instance)
    await seat(table, "social-worker")
    gp, worker = await instance.as_("gp"), await instance.as_("social-worker")
    body = room.consent_body(
        patientId=table.patient_id, recipients=[{"type": "member", "id": table.members["social-worker"]}]
    )
    path = f"/cases/{table.case_id}/consents"
    made = await asyncio.gather(*(gp.post(path, {**body, "categories": [CARE]}) for _ in range(6)))
    assert {one.status_code for one in made} == {201}
    ids = [one.json()["id"] for one in made]
    found = await statuses(*(gp.post(f"/consents/{one}/withdrawal") for one in ids[:5]))
    assert found == {201: 5}
    held = (await worker.get(f"/cases/{table.case_id}/access")).json()["items"]
    assert {one["consentId"] for one in held} == {ids[5]}
    await gp.made(f"/consents/{ids[5]}/withdrawal")
    assert (await worker.get(f"/cases/{table.case_id}/access")).json()["items"] == []
