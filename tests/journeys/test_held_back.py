"""A thread that waits: professionals work in it, nobody near the citizen learns of it, then it is there for good."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.settings import Settings
from tests.api.room import faults_of
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import Table, account_of, consent, open_table, seat
from tests.talking import Talk, talking

Json = dict[str, Any]
HOUR = timedelta(hours=1)


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def set_table(instance: Instance) -> Table:
    """Seat the nurse, who treats, and a carer and the social worker with a consent each."""
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    gp, carer = await table.as_("gp"), await table.as_("informal-carer")
    account = await account_of(instance, "informal-carer")
    body = {"accountId": account, "caseRole": "mantelzorger", "reasonCode": "informal-care"}
    made = await gp.made(f"/cases/{table.case_id}/members", body)
    await carer.made(f"/cases/{table.case_id}/members/{made['id']}/acceptance")
    table.members["informal-carer"] = str(made["id"])
    plan = ["practical_coordination", "plan_goals_actions", "contact_network", "mdo_report"]
    await consent(table, "informal-carer", *plan, "medication", carerLevel="chosen")
    await consent(table, "social-worker", "social_participation")
    return table


def held(table: Table, clock: MovableClock, later: timedelta, **more: object) -> Json:
    """Return the body of a thread that waits."""
    at = (clock() or datetime.now(UTC)) + later
    why = {"at": at.isoformat(), "reasonCode": "talk-first", "reason": "Eerst zelf met haar bespreken."}
    body = {"patientId": table.patient_id, "category": "medication", "title": "Uitslag", "onRelease": why}
    return {**body, **more}


async def listed(caller: Caller, case: str) -> list[str]:
    return [one["id"] for one in (await caller.get(f"{case}/threads")).json()["items"]]


async def looked(citizen: Caller) -> list[tuple[str, str | None, int]]:
    items = (await citizen.get("/me/accesses", limit=100)).json()["items"]
    assert len(items) < 100
    return sorted((one["action"], one["category"] or "", one["times"]) for one in items)


def told(talk: Talk, thread_id: str) -> list[str]:
    """Return what a socket heard that names a thread."""
    return [frame["type"] for frame in talk.events if thread_id in str(frame["data"])]


async def test_what_is_held_back_is_there_for_professionals_alone_until_its_release(
    timed: Instance, clock: MovableClock
) -> None:
    table = await set_table(timed)
    case = f"/cases/{table.case_id}"
    gp, nurse, citizen, carer = [
        await table.as_(one) for one in ("gp", "district-nurse", "citizen", "informal-carer")
    ]
    near = (citizen, carer)

    # Must fail: too late, in the past, without a reason, with an unknown one, and by who is no professional.
    for later, code in ((timedelta(days=14, minutes=1), "too-late"), (-HOUR, "past")):
        refused = await gp.post(f"{case}/threads", held(table, clock, later))
        assert faults_of(refused) == {"/onRelease/at": code}
    wrong = held(table, clock, HOUR, onRelease={"at": "2030-01-01", "reasonCode": "because", "reason": ""})
    assert set(faults_of(await gp.post(f"{case}/threads", wrong))) == {
        *("/onRelease/at", "/onRelease/reasonCode", "/onRelease/reason"),
    }
    assert (await citizen.post(f"{case}/threads", held(table, clock, HOUR))).status_code == 403

    async with AsyncExitStack() as sockets:
        talks = [await sockets.enter_async_context(talking(one, table.case_id)) for one in (nurse, citizen, carer)]
        of_nurse, of_citizen, of_carer = talks
        start = of_citizen.all("joined")[0]["cursor"]
        before = await looked(citizen), await listed(citizen, case)

        # Professionals work in it: over HTTP, over sockets, with corrections and what is taken back.
        made: Json = await gp.made(f"{case}/threads", held(table, clock, HOUR))
        thread_id = str(made["id"])
        assert made["onRelease"] | {"at": ""} == {
            "at": "",
            "released": False,
            "reasonCode": "talk-first",
            "reason": "Eerst zelf met haar bespreken.",
        }
        first = str((await gp.made(f"/threads/{thread_id}/messages", {"text": "Zij schrikt snel."}))["id"])
        second = str((await nurse.made(f"/threads/{thread_id}/messages", {"text": "Ik bel haar."}))["id"])
        await gp.made(f"/messages/{first}/corrections", {"text": "Zij schrikt niet snel."})
        await nurse.made(f"/messages/{second}/retraction", {"reason": "error"})
        await of_nurse.say("post", clientId="1", threadId=thread_id, text="Morgen gebeld.")
        await of_nurse.hear("ack")
        await of_nurse.event("message.posted", lambda frame: frame["data"]["text"] == "Morgen gebeld.")
        assert told(of_nurse, thread_id)[0] == "thread.opened"
        assert (await nurse.get(f"/threads/{thread_id}")).json()["onRelease"]["reasonCode"] == "talk-first"
        assert {"message.posted", "message.corrected", "message.retracted"} <= set(told(of_nurse, thread_id))

        # What fails there, or before there is anything, tells as little.
        worker = await table.as_("social-worker")
        tried = [
            await gp.post(f"{case}/threads", held(table, clock, timedelta(days=15))),
            await gp.post(f"/threads/{thread_id}/messages", {"text": ""}),
            await nurse.post(f"/messages/{first}/corrections", {"text": "Niet van mij."}),
            await nurse.post(f"/threads/{thread_id}/release", {"now": True}),
            await nurse.get(f"/threads/{thread_id}/messages", cursor="x"),
            await worker.get(f"/threads/{thread_id}"),
            await worker.post(f"/threads/{thread_id}/messages", {"text": "Mag ik?"}),
            await worker.get(f"/messages/{second}"),
        ]
        assert [one.status_code for one in tried] == [400, 400, 403, 400, 400, 404, 404, 404]

        given = {"patientId": table.patient_id, "kind": "veilig_thuis", "messageIds": [first]}
        await gp.made(f"{case}/disclosures", {**given, "recipient": "Veilig Thuis", "reason": "Melding."})

        # Nobody near the citizen learns of it, by any way.
        assert (await citizen.get(f"{case}/disclosures")).json()["items"] == []
        for one, talk in zip(near, (of_citizen, of_carer), strict=True):
            assert thread_id not in await listed(one, case)
            absent = await one.get("/threads/00000000-0000-4000-8000-000000000000")
            for path in (f"/threads/{thread_id}", f"/threads/{thread_id}/messages", f"/messages/{first}"):
                answer = await one.get(path)
                assert (answer.status_code, answer.content) == (404, absent.content), path
            assert (await one.post(f"/threads/{thread_id}/messages", {"text": "x"})).status_code == 404
            assert (await one.post(f"/messages/{first}/corrections", {"text": "x"})).status_code == 404
            assert (await one.post(f"/threads/{thread_id}/release")).status_code == 403, "that tells nothing"
            await of_nurse.say("typing", threadId=thread_id)
            await of_nurse.settle()
            await talk.say("post", clientId="1", threadId=thread_id, text="x")
            assert (await talk.hear("error"))["problem"]["code"] == "not-found"
            await talk.settle()
            assert told(talk, thread_id) == []
            assert talk.all("typing") == []
            async with talking(one, table.case_id, cursor=start if one is citizen else None) as again:
                await again.settle()
                assert told(again, thread_id) == []
        stranger = await table.as_("social-worker")
        assert (await stranger.post(f"/threads/{thread_id}/release")).status_code == 404
        seen = [one for one in await looked(citizen) if one[0] != "thread:list"]  # the carer's own lists
        assert (seen, await listed(citizen, case)) == before

        # Its moment comes: there it is, with why it waited; on sockets by itself.
        clock.move(HOUR)
        for one, talk in zip(near, (of_citizen, of_carer), strict=True):
            fresh = Caller(timed, one.persona, await timed.sign_in(one.persona))
            timed.tokens[one.persona] = fresh.token
            shown = (await fresh.get(f"/threads/{thread_id}")).json()
            assert (shown["title"], shown["onRelease"]["released"]) == ("Uitslag", True)
            assert shown["onRelease"]["reason"] == "Eerst zelf met haar bespreken."
            texts = [m["text"] for m in (await fresh.get(f"/threads/{thread_id}/messages")).json()["items"]]
            assert texts == ["Zij schrikt snel.", "Zij schrikt niet snel.", "Morgen gebeld."]
            opened = await talk.event("thread.opened", lambda frame: frame["data"]["id"] == thread_id)
            assert opened["data"]["title"] == "Uitslag"
            assert told(talk, thread_id) == ["thread.opened"], "its history is fetched"
        await of_nurse.event("thread.released", lambda frame: frame["data"]["id"] == thread_id)
        citizen, gp, nurse = [
            Caller(timed, key, await timed.sign_in(key)) for key in ("citizen", "gp", "district-nurse")
        ]
        timed.tokens |= {one.persona: one.token for one in (citizen, gp, nurse)}
        assert any(
            action == "message:post" for action, category, _ in await looked(citizen) if category == "medication"
        )
        assert len((await citizen.get(f"{case}/disclosures")).json()["items"]) == 1
        assert (await gp.post(f"/threads/{thread_id}/release")).status_code == 409, "what is shown stays shown"
        await gp.made(f"/threads/{thread_id}/messages", {"text": "En nu met u erbij."})
        await of_citizen.event("message.posted", lambda frame: frame["data"]["text"] == "En nu met u erbij.")

        # Earlier, by a professional who may write there.
        fortnight = timedelta(days=14)
        sooner = str((await gp.made(f"{case}/threads", held(table, clock, fortnight)))["id"])
        assert (await citizen.get(f"/threads/{sooner}")).status_code == 404
        released: Json = await nurse.made(f"/threads/{sooner}/release")
        assert released["onRelease"]["released"] is True
        assert (await citizen.get(f"/threads/{sooner}")).status_code == 200
        await of_citizen.event("thread.opened", lambda frame: frame["data"]["id"] == sooner)
        assert (await nurse.post(f"/threads/{sooner}/release")).status_code == 409

        # A request for access is answered in full: her own, and on her word, which is confirmed to her.
        waiting = [str((await gp.made(f"{case}/threads", held(table, clock, fortnight)))["id"]) for _ in range(2)]
        finance = held(table, clock, fortnight, category="social_participation")
        poh = await table.as_("gp")
        waiting.append(str((await poh.made(f"{case}/threads", finance))["id"]))
        other = {"patientId": "00000000-0000-4000-8000-000000000000"}
        assert faults_of(await citizen.post(f"{case}/access-requests", other)) == {"/patientId": "not-a-subject"}
        outsider = await table.as_("gp-other")
        assert (await outsider.post(f"{case}/access-requests", other)).status_code == 404
        assert (await carer.post(f"{case}/access-requests", other)).status_code in (401, 403)
        key = {"Idempotency_Key": "asked-once"}
        asked: Json = await citizen.made(f"{case}/access-requests", {"patientId": table.patient_id}, **key)
        assert (asked["askedBy"], asked["method"]) == ("patient", "digital_2fa")
        again_ = await citizen.made(f"{case}/access-requests", {"patientId": table.patient_id}, **key)
        assert again_["id"] == asked["id"]
        assert set(waiting) <= set(await listed(citizen, case))
        for one_id in waiting:
            await of_citizen.event("thread.opened", lambda frame, one_id=one_id: frame["data"]["id"] == one_id)  # type: ignore[misc]
        last = str((await gp.made(f"{case}/threads", held(table, clock, fortnight)))["id"])
        said: Json = await gp.made(f"{case}/access-requests", {"patientId": table.patient_id})
        assert (said["askedBy"], said["method"]) == ("patient", "oral_recorded")
        assert (await citizen.get(f"/threads/{last}")).status_code == 200
        notices = (await citizen.get("/notices")).json()["items"]
        assert [one["kind"] for one in notices if one["about"] == said["id"]] == ["oral_confirmation"]

        # Who was away hears each once, and none of what was said while it waited.
        every = [thread_id, sooner, *waiting, last]
        async with talking(citizen, table.case_id, cursor=start) as resumed:
            await resumed.until(lambda: bool(told(resumed, last)), "the last")
            await resumed.settle()
            heard = [frame["type"] for frame in resumed.events if frame["type"].startswith(("thread.", "message."))]
            assert sorted(heard) == ["message.posted"] + ["thread.opened"] * len(every)
