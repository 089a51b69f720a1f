"""A citizen's statement beside a record: an addition that whoever reads the record reads, in every version."""

from typing import Any

from tests.api.room import ABSENT, faults_of, problem_of
from tests.people.family import FATHER, MOTHER, born, family
from tests.serving import Caller, Instance
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]
MINE = "Ik heb dat zo niet gezegd."
LATER = "Ik was toen in de war."


async def set_table(instance: Instance) -> Table:
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    return table


async def beside(caller: Caller, record: str) -> list[tuple[str, bool]]:
    """Return the texts beside a record and whether each is superseded, as the record shows them."""
    answer = await caller.get(record)
    assert answer.status_code == 200, answer.text
    listed = (await caller.get(f"{record}/statements")).json()["items"]
    assert answer.json().get("statements", []) == listed
    return [(one["text"], one["superseded"]) for one in listed]


async def test_she_says_something_beside_a_message_and_nothing_of_it_changes(people: Instance) -> None:
    table = await set_table(people)
    thread_id = await thread(table, "medication")
    gp, nurse, citizen, worker = [
        await people.as_(one) for one in ("gp", "district-nurse", "citizen", "social-worker")
    ]
    message = str((await gp.made(f"/threads/{thread_id}/messages", {"text": "Zij slikt haar pillen niet."}))["id"])
    record, path = f"/messages/{message}", f"/messages/{message}/statements"
    plain = (await gp.get(record)).json()
    assert "statements" not in plain

    # Must fail: nothing, too much, as a stranger to it, in one's own name, on another's word.
    assert faults_of(await citizen.post(path, {"text": ""})) == {"/text": "too-short"}
    assert faults_of(await citizen.post(path, {"text": "x" * 4001})) == {"/text": "too-long"}
    assert faults_of(await citizen.post(path, {"text": MINE, "onWordOf": "patient"})) == {"/onWordOf": "not-yours"}
    for ask in (await worker.post(path, {"text": MINE}), await worker.get(path)):
        absent = await worker.get(f"/messages/{ABSENT}/statements")
        assert (ask.status_code, ask.content) == (404, absent.content)
    assert (await nurse.post(path, {"text": MINE})).status_code == 403
    assert (await (await people.as_("informal-carer")).post(path, {"text": MINE})).status_code == 403
    assert await beside(gp, record) == []

    async with talking(nurse, table.case_id) as of_nurse, talking(worker, table.case_id) as of_worker:
        made: Json = await citizen.made(path, {"text": MINE}, Idempotency_Key="said-once")
        assert (made["statedBy"], made["method"], made["superseded"]) == ("patient", "digital_2fa", False)
        assert (await citizen.made(path, {"text": MINE}, Idempotency_Key="said-once"))["id"] == made["id"]
        heard = await of_nurse.event("statement.added")
        assert heard["data"]["id"] == made["id"]
        assert heard["data"]["about"] == {"type": "message", "id": message}
        assert heard["data"]["threadId"] == thread_id
        assert MINE not in str(heard)
        await of_worker.settle()
        assert "statement.added" not in {frame["type"] for frame in of_worker.events}
    for one in (gp, nurse, citizen):
        assert await beside(one, record) == [(MINE, False)]
    (shown,) = (await nurse.get(f"/threads/{thread_id}/messages")).json()["items"]
    assert shown.pop("statements")[0]["id"] == made["id"]
    assert shown == plain, "the message itself is as it was"

    # A later one supersedes, whoever wrote it down for her; the earlier stays.
    said: Json = await nurse.made(path, {"text": LATER, "onWordOf": "patient"})
    assert (said["statedBy"], said["method"], said["recordedBy"]["role"]) == (
        *("patient", "oral_recorded"),
        "district_nurse",
    )
    assert await beside(citizen, record) == [(MINE, True), (LATER, False)]
    notices = (await citizen.get("/notices")).json()["items"]
    assert [one["kind"] for one in notices if one["about"] == said["id"]] == ["oral_confirmation"]

    # What was taken back is there for nobody but its author, and nothing is said beside it any more.
    await gp.made(f"{record}/retraction", {"reason": "error"})
    for one in (citizen, nurse):
        assert (await one.get(path)).status_code == 404
        assert (await one.post(path, {"text": MINE})).status_code == 404
    late = await gp.post(path, {"text": MINE, "onWordOf": "patient"})
    assert (late.status_code, problem_of(late)["code"]) == (409, "record-retracted")


async def test_she_says_something_beside_a_consent_to_whoever_reads_that(people: Instance) -> None:
    table = await set_table(people)
    gp, nurse, citizen, worker = [
        await people.as_(one) for one in ("gp", "district-nurse", "citizen", "social-worker")
    ]
    given = await consent(table, "social-worker", "social_participation")
    record, path = f"/consents/{given}", f"/consents/{given}/statements"
    assert (await nurse.post(path, {"text": MINE, "onWordOf": "patient"})).status_code == 404
    async with talking(worker, table.case_id) as of_worker, talking(nurse, table.case_id) as of_nurse:
        await citizen.made(path, {"text": MINE})
        heard = await of_worker.event("statement.added")
        assert heard["data"]["about"] == {"type": "consent", "id": given}
        await of_nurse.settle()
        assert "statement.added" not in {frame["type"] for frame in of_nurse.events}
    for one in (gp, worker, citizen):
        assert await beside(one, record) == [(MINE, False)]
    (listed,) = (await gp.get(f"/cases/{table.case_id}/consents")).json()["items"]
    assert [one["text"] for one in listed["statements"]] == [MINE]


async def test_each_parent_speaks_apart_and_neither_for_the_dead(people: Instance) -> None:
    home = await family(people, born(13))
    gp, mother, father = [await home.as_(one) for one in ("gp", MOTHER, FATHER)]
    for parent in (MOTHER, FATHER):
        await home.recorded(parent)
    record = f"/consents/{await home.asked()}"
    made: Json = await mother.made(f"{record}/statements", {"text": MINE})
    assert (made["statedBy"], made["method"]) == ("representative", "digital_2fa")
    assert await beside(mother, record) == await beside(gp, record) == [(MINE, False)]
    assert await beside(father, record) == []
    await father.made(f"{record}/statements", {"text": LATER})
    assert await beside(father, record) == [(LATER, False)], "and his does not supersede hers"
    assert await beside(gp, record) == [(MINE, False), (LATER, False)]
    await gp.made(f"/cases/{home.case_id}/deaths", {"patientId": home.patient_id, "diedOn": "2026-01-31"})
    assert (await mother.post(f"{record}/statements", {"text": LATER})).status_code == 404
    on_word = {"text": LATER, "onWordOf": "patient"}
    assert "died" in faults_of(await gp.post(f"{record}/statements", on_word)).values()
