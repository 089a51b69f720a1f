"""What people wrote stays with their organisation: a few named keepers read it, and nobody else."""

from app.identity.demo import BY_KEY, PRACTICE
from tests.api.room import Room, faults_of, problem_of
from tests.serving import Caller

KEEPERS = f"/organisations/{PRACTICE.id}/dossier-keepers"


def of(persona: str) -> dict[str, str]:
    return {"engagementId": str(BY_KEY[persona].engagement_id)}


async def written(room: Room) -> None:
    """The GP, its POH and a nurse of elsewhere each write something."""
    for persona in ("gp", "poh", "district-nurse"):
        await room.posted(room.ids["thread"], f"Van {persona}", by=persona)


async def seen(keeper: Caller) -> set[str]:
    answer = await keeper.get("/dossier-contributions")
    assert answer.status_code == 200, answer.text
    return {item["text"] for item in answer.json()["items"]}


async def test_a_keeper_reads_what_the_organisation_s_people_wrote_and_no_thread_until_it_keeps_no_longer(
    room: Room,
) -> None:
    await written(room)
    admin, keeper = await room.as_("org-admin"), await room.as_("poh-youth")
    assert (await keeper.get("/dossier-contributions")).status_code == 403
    await admin.made(KEEPERS, of("poh-youth"))
    assert {"Van gp", "Van poh"} <= await seen(keeper)
    assert "Van district-nurse" not in await seen(keeper)
    assert (await keeper.get(f"/threads/{room.ids['thread']}")).status_code == 404
    answer = await keeper.get("/dossier-contributions")
    records = await room.records(answer)
    assert {record["ground"] for record in records} == {"author"}
    assert {record["action"] for record in records} == {"dossier:read"}
    named = f"{KEEPERS}/{of('poh-youth')['engagementId']}"
    assert (await admin.request("DELETE", named)).status_code == 204
    assert (await keeper.get("/dossier-contributions")).status_code == 403
    assert (await admin.request("DELETE", named)).status_code == 404


async def test_only_one_s_own_professionals_are_named_each_once_and_what_they_wrote_outlasts_them(room: Room) -> None:
    await written(room)
    admin, other, keeper = [await room.as_(one) for one in ("org-admin", "org-admin-other", "gp")]
    for persona in ("district-nurse", "org-admin"):
        assert faults_of(await admin.post(KEEPERS, of(persona))) == {"/engagementId": "not-found"}
    assert (await other.post(KEEPERS, of("gp"))).status_code == 404
    await admin.made(KEEPERS, of("gp"))
    again = await admin.post(KEEPERS, of("gp"))
    assert (again.status_code, problem_of(again)["code"]) == (409, "already-dossier-keeper")
    assert (await other.get(KEEPERS)).json()["items"] == []
    ended = await admin.post(f"/engagements/{BY_KEY['poh'].engagement_id}/ending", {"successors": []})
    assert ended.status_code in {200, 201, 204}, ended.text
    assert "Van poh" in await seen(keeper)
