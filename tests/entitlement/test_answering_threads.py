"""What a consent opens both ways in the recipient's own domain is what is opened there from then on."""

from tests.serving import Instance
from tests.stories import consent, open_table, seat, thread
from tests.talking import talking

SHARED = "social_participation"


async def test_a_consent_both_ways_opens_the_answer_and_not_what_was_said_before(instance: Instance) -> None:
    """A social worker lifts her own secrecy for the practice nurse; the older threads stay the practice's."""
    table = await open_table(instance)
    worker_seat = await seat(table, "social-worker")
    await seat(table, "poh", direct=True)
    gp, poh, worker = [await table.as_(key) for key in ("gp", "poh", "social-worker")]
    await gp.made(f"/cases/{table.case_id}/members/{worker_seat}/public-tasks", {"law": "wmo2015"})
    older = await thread(table, SHARED, title="Van voor de toestemming")
    said = await gp.made(f"/threads/{older}/messages", {"text": "vertrouwelijk"})
    own = await thread(table, SHARED, by="social-worker", title="Van het wijkteam")

    await consent(table, "poh", SHARED, by="social-worker", recipients=[{"type": "role", "role": "poh"}])

    # The nurse reads what was lifted, older threads too; the social worker reads nothing that was not lifted.
    assert (await poh.get(f"/threads/{own}")).status_code == 200
    for path in (f"/threads/{older}", f"/threads/{older}/messages", f"/messages/{said['id']}"):
        assert (await worker.get(path)).status_code == 404, path
    assert (await worker.post(f"/threads/{older}/messages", {"text": "Hallo"})).status_code == 404
    listed = (await worker.get(f"/cases/{table.case_id}/threads")).json()["items"]
    assert [one["id"] for one in listed] == [own]

    async with talking(worker, table.case_id) as ear, talking(poh, table.case_id) as other:
        newer = await thread(table, SHARED, by="poh", title="Antwoord")
        await gp.made(f"/threads/{older}/messages", {"text": "nog iets vertrouwelijks"})
        await other.event("message.posted", lambda frame: frame["data"]["threadId"] == older)
        await other.say("typing", threadId=older)
        await other.say("typing", threadId=newer)
        await other.say("post", clientId="m1", threadId=newer, text="Aan het wijkteam")
        await ear.event("message.posted")
        await ear.say("post", clientId="m2", threadId=older, text="Mag niet")
        assert (await ear.hear("error"))["problem"]["code"] == "not-found"
        await ear.say("post", clientId="m3", threadId=newer, text="Dank")
        await ear.hear("ack")
        await ear.settle()
        heard = {frame["data"]["threadId"] for frame in ear.events if frame["type"] == "message.posted"}
        assert heard == {newer}
        assert {frame["threadId"] for frame in ear.all("typing")} <= {newer}
    assert (await worker.get(f"/threads/{newer}/messages")).status_code == 200

    # Whoever comes back with a cursor from before the consent hears no more of it than who was there.
    async with talking(worker, table.case_id) as again:
        await again.settle()
        assert older not in str(again.heard)
