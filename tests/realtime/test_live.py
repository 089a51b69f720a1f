"""The live side of the story: what opens and closes on an open socket."""

from tests.serving import Instance
from tests.stories import consent, open_table, seat, thread
from tests.talking import talking


async def test_consent_opens_and_withdrawal_narrows_an_open_socket(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    await seat(table, "social-worker")
    medication = await thread(table, "medication")
    social = await thread(table, "social_participation", by="poh", title="Meedoen")
    worker, poh, gp = [await table.as_(persona) for persona in ("social-worker", "poh", "gp")]
    async with talking(worker, table.case_id) as hers, talking(poh, table.case_id) as his:
        given = await consent(table, "social-worker", "social_participation")
        changed = await hers.event("access.changed")
        assert "social_participation" in changed["data"]["gained"]
        opened = await hers.event("thread.opened")
        assert (opened["data"]["id"], opened["data"]["title"]) == (social, "Meedoen")
        await hers.say("post", clientId="c1", threadId=social, text="Hallo allemaal")
        ack = await hers.hear("ack")
        heard = await his.event("message.posted")
        assert heard["data"]["text"] == "Hallo allemaal"
        assert heard["data"]["id"] == ack["messageId"]
        assert "clientId" not in heard["data"]
        own = await hers.event("message.posted")
        assert own["data"]["clientId"] == "c1"
        await hers.say("post", clientId="c1", threadId=social, text="Hallo allemaal")
        again = await hers.hear("ack", lambda frame: frame is not ack)
        assert again["messageId"] == ack["messageId"]
        await hers.say("post", clientId="c2", threadId=medication, text="Mag niet")
        refused = await hers.hear("error")
        assert (refused["clientId"], refused["problem"]["code"]) == ("c2", "not-found")
        citizen = await table.as_("citizen")
        await citizen.made(f"/consents/{given}/withdrawal")
        narrowed = await hers.hear("narrowed")
        assert "social_participation" in narrowed["categories"]
        await his.say("post", clientId="p1", threadId=social, text="Na de intrekking")
        await his.hear("ack")
        await gp.made(f"/threads/{medication}/messages", {"text": "Medicatie"})
        await his.event("message.posted", lambda frame: frame["data"]["text"] == "Medicatie")
        await hers.settle()
        texts = [frame["data"].get("text") for frame in hers.heard if frame["op"] == "event"]
        assert "Na de intrekking" not in texts
        assert "Medicatie" not in texts
        await hers.say("post", clientId="c3", threadId=social, text="Te laat")
        late = await hers.hear("error", lambda frame: frame.get("clientId") == "c3")
        assert late["problem"]["code"] == "not-found"


async def test_a_dropped_connection_resumes_with_its_cursor_and_misses_nothing(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    medication = await thread(table, "medication")
    gp, poh = await table.as_("gp"), await table.as_("poh")
    async with talking(poh, table.case_id) as first:
        await gp.made(f"/threads/{medication}/messages", {"text": "een"})
        cursor = (await first.event("message.posted"))["cursor"]
    wrong = await gp.made(f"/threads/{medication}/messages", {"text": "verkeerd"})
    await gp.made(f"/threads/{medication}/messages", {"text": "twee"})
    await gp.made(f"/messages/{wrong['id']}/retraction", {"reason": "wrong-thread"})
    async with talking(poh, table.case_id, cursor=cursor) as second:
        await gp.made(f"/threads/{medication}/messages", {"text": "drie"})
        await second.event("message.posted", lambda frame: frame["data"]["text"] == "drie")
        events = [frame for frame in second.heard if frame["op"] == "event"]
        assert (await second.hear("joined"))["recovered"] is True
        assert [frame["data"].get("text", "-") for frame in events] == ["twee", "-", "drie"]
        assert [frame["n"] for frame in events] == [1, 2, 3]
        assert events[1]["type"] == "message.retracted"
    async with talking(gp, table.case_id, cursor=cursor) as other:
        assert (await other.hear("joined"))["recovered"] is False
