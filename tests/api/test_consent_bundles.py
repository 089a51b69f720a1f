"""Ready bundles over HTTP: one request asks all of it; renewal takes the older one's place; one recipient more."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.consent.bundles import BUNDLES
from app.core.settings import Settings
from app.identity.demo import NURSING, PRACTICE, TEAM_ID
from tests.api.room import DECIDED, Room, another, faults_of, problem_of
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import Table, open_table, seat, thread

Json = dict[str, Any]


def recipients(consent: Json) -> set[str]:
    return {one["id"] for one in consent["recipients"]}


async def used(caller: Caller, room: Room, *lines: Json, **more: object) -> list[Json]:
    """Use a bundle and return the consents it asked."""
    made: Json = await caller.made(f"{room.case}/consent-bundles", room.bundle_body(*lines, **more))
    return list(made["items"])


async def test_every_bundle_is_listed_with_its_lines(room: Room) -> None:
    listed = (await (await room.as_("citizen")).get("/consent-bundles")).json()["items"]
    assert [one["bundle"] for one in listed] == [one.code for one in BUNDLES]
    first = listed[0]
    assert (first["name"], first["purpose"], first["term"]["months"]) == ("Zorgteam rond mij", "TREAT", 12)
    assert (first["ticks"], first["bothWays"], first["history"]) == (["advance_care_planning"], True, "from-now")
    assert first["lines"][0]["organisationKinds"] == ["gp_practice"]


async def test_one_request_opens_to_the_team_and_to_whoever_joins_it(room: Room) -> None:
    gp, worker, colleague = [await room.as_(persona) for persona in ("gp", "social-worker", "social-worker-2")]
    home = await thread(room, "living_situation")
    assert (await worker.get(f"/threads/{home}")).status_code == 404
    body = room.bundle_body()
    made = await gp.post(f"{room.case}/consent-bundles", body, Idempotency_Key="bundle-once-1")
    again = await gp.post(f"{room.case}/consent-bundles", body, Idempotency_Key="bundle-once-1")
    assert (made.status_code, again.headers["idempotent-replayed"], again.json()) == (201, "true", made.json())
    (consent,) = made.json()["items"]
    assert (consent["status"], consent["kind"], consent["history"]) == ("active", "lift_secrecy", "from-now")
    assert (recipients(consent), consent["from"]) == ({str(TEAM_ID)}, [{"domain": "care"}])
    assert consent["bundle"] == {"bundle": "langer-thuis", "version": "2026-1", "useId": made.json()["id"]}
    assert {"medication", "medical_summary"}.isdisjoint(consent["categories"])
    later = await thread(room, "living_situation")
    await room.posted(later)
    assert (await worker.get(f"/threads/{later}")).status_code == 200
    await seat(room, "social-worker-2")
    assert (await colleague.get(f"/threads/{later}")).status_code == 200, "somebody of the team: nothing is asked"


async def test_what_the_recorder_may_not_record_is_saved_to_be_asked(room: Room) -> None:
    """The GP lifts care alone and opens nothing to the own practice; the social worker records what is social."""
    gp, citizen, worker, nurse = [await room.as_(one) for one in ("gp", "citizen", "social-worker", "district-nurse")]
    lines = [{"line": "wijkverpleging"}, {"line": "sociaal-team"}]
    items = await used(gp, room, *lines, bundle="naar-huis")
    standing = {(one["from"][0]["domain"], "medication" in one["categories"]): one for one in items}
    assert {key: one["status"] for key, one in standing.items()} == {
        ("care", True): "active",
        ("care", False): "active",
        ("social", False): "asked",
    }
    asked = standing["social", False]["id"]
    assert (await worker.get(f"/consents/{asked}")).json()["status"] == "asked", "it is theirs to record"
    assert (await nurse.get(f"/consents/{asked}")).status_code == 404, "who is to receive does not learn of it"
    assert (await gp.post(f"/consents/{asked}/decisions", room.decision_body())).status_code == 403
    assert (await worker.made(f"/consents/{asked}/decisions", room.decision_body()))["status"] == "active"
    team = [{"line": "huisartsenpraktijk"}, {"line": "wijkverpleging"}]
    items = await used(gp, room, *team, bundle="zorgteam-rond-mij")
    found = {one["status"]: recipients(one) for one in items}
    assert found == {"active": {str(NURSING.id)}, "asked": {str(PRACTICE.id)}}
    (own,) = [one["id"] for one in items if one["status"] == "asked"]
    assert (await gp.post(f"/consents/{own}/decisions", room.decision_body())).status_code == 403
    assert (await worker.get(f"/consents/{own}")).status_code == 404
    yes = room.decision_body(method="digital_2fa")
    assert (await citizen.made(f"/consents/{own}/decisions", yes))["status"] == "active"


async def test_to_be_asked_opens_nothing_and_each_line_is_off_until_it_is_on(room: Room) -> None:
    gp, citizen, nurse = [await room.as_(one) for one in ("gp", "citizen", "district-nurse")]
    wishes = await thread(room, "advance_care_planning", by="citizen")
    (saved,) = await used(
        gp,
        room,
        {"line": "wijkverpleging", "ticks": ["advance_care_planning"]},
        bundle="zorgteam-rond-mij",
        decision=None,
    )
    assert (saved["status"], saved["decisions"], recipients(saved)) == ("asked", [], {str(NURSING.id)})
    assert "advance_care_planning" in saved["categories"]
    before = (await nurse.get(f"{room.case}/access")).json()["items"]
    assert "advance_care_planning" not in {one["category"] for one in before}
    yes = room.decision_body(method="digital_2fa")
    assert (await citizen.made(f"/consents/{saved['id']}/decisions", yes))["status"] == "active"
    after = (await nurse.get(f"{room.case}/access")).json()["items"]
    assert "advance_care_planning" in {one["category"] for one in after}
    (without,) = await used(gp, room, {"line": "wijkverpleging"}, bundle="zorgteam-rond-mij")
    assert "advance_care_planning" not in without["categories"], "its own tick"
    assert (await gp.get(f"/threads/{wishes}")).status_code == 404


@pytest.mark.parametrize(
    ("lines", "more", "faults"),
    [
        ([], {"bundle": "alles"}, {"/bundle": "unknown"}),
        ([], {"version": "2019-1"}, {"/version": "superseded"}),
        ([{"line": "sociaal-team", "categories": ["medication"]}], {}, {"/lines/0/categories": "not-in-bundle"}),
        (
            [{"line": "apotheker"}, {"line": "specialist"}],
            {"bundle": "zorgteam-rond-mij"},
            {"/lines/0/recipients": "not-at-the-table", "/lines/1/recipients": "not-at-the-table"},
        ),
        ([{"line": "naaste"}], {"bundle": "naaste-agenda"}, {"/lines/0/recipients": "unnamed"}),
        ([], {"validUntil": "2127-01-01T00:00:00Z"}, {"/validUntil": "too-late"}),
        ([], {"decision": {**DECIDED, "textVersion": "en-2026-1", "language": "nl"}}, None),
        ([], {"decision": {**DECIDED, "decidedAt": "2127-01-01T00:00:00Z"}}, {"/decision/decidedAt": "in-future"}),
        ([], {"decision": {}}, None),
    ],
)
async def test_a_bundle_with_anything_wrong_asks_nothing(
    room: Room, lines: list[Json], more: Json, faults: dict[str, str] | None
) -> None:
    gp = await room.as_("gp")
    before = len((await gp.get(f"{room.case}/consents", limit=100)).json()["items"])
    answer = await gp.post(f"{room.case}/consent-bundles", room.bundle_body(*lines, **more))
    found = faults_of(answer)
    assert found == faults if faults is not None else all(one.startswith("/decision/") for one in found)
    assert len((await gp.get(f"{room.case}/consents", limit=100)).json()["items"]) == before


async def test_nobody_uses_a_bundle_about_whom_they_see_nothing_of(room: Room) -> None:
    stranger = await room.as_("gp-other")
    assert (await stranger.post(f"{room.case}/consent-bundles", room.bundle_body())).status_code == 404
    carer = await room.as_("informal-carer")
    assert (await carer.post(f"{room.case}/consent-bundles", room.bundle_body())).status_code == 403


async def test_one_recipient_more_is_one_line_that_refers_to_the_first(room: Room) -> None:
    gp, worker = await room.as_("gp"), await room.as_("social-worker")
    first = await room.consented(categories=["education"], history="from-now")
    await seat(room, "gp-locum")
    more = {"recipient": {"type": "member", "id": room.members["gp-locum"]}, **DECIDED}
    added: Json = await gp.made(f"/consents/{first}/additions", more)
    assert (added["status"], added["refersTo"]) == ("active", {"id": first, "as": "addition"})
    assert (recipients(added), added["categories"]) == ({room.members["gp-locum"]}, ["education"])
    assert (await gp.get(f"/consents/{first}")).json()["status"] == "active"
    assert (await worker.post(f"/consents/{first}/additions", more)).status_code == 403, "not their secrecy"
    own = {"recipient": {"type": "organisation", "id": str(PRACTICE.id)}, **DECIDED}
    assert (await gp.post(f"/consents/{first}/additions", own)).status_code == 403
    (team,) = await used(gp, room)
    wider = await gp.post(f"/consents/{team['id']}/additions", more)
    assert faults_of(wider) == {"/recipient": "not-in-bundle"}, "the bundle has no such line"
    await gp.made(f"/consents/{first}/withdrawal")
    ended = await gp.post(f"/consents/{first}/additions", more)
    assert problem_of(ended)["code"] == "consent-already-withdrawn"


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def test_a_renewal_takes_the_place_of_what_it_renews_and_nothing_closes(
    timed: Instance, clock: MovableClock
) -> None:
    table: Table = await open_table(timed)
    await seat(table, "social-worker")
    gp, worker = await timed.as_("gp"), await timed.as_("social-worker")
    body = {
        "patientId": table.patient_id,
        "bundle": "langer-thuis",
        "version": "2026-1",
        "lines": [{"line": "sociaal-team"}],
        "decision": DECIDED,
    }
    used = await gp.made(f"/cases/{table.case_id}/consent-bundles", body)
    items: Any = used["items"]
    first = items[0]
    opened = await thread(table, "living_situation")
    await gp.made(f"/threads/{opened}/messages", {"text": "Hoe gaat het thuis?"})
    clock.move(timedelta(days=300))
    gp, worker = await another(timed, "gp"), await another(timed, "social-worker")
    assert (await worker.post(f"/consents/{first['id']}/renewal", DECIDED)).status_code == 403
    early: Json = await gp.made(f"/consents/{first['id']}/renewal", DECIDED, Idempotency_Key="renew-once-1")
    twice: Json = await gp.made(f"/consents/{first['id']}/renewal", DECIDED, Idempotency_Key="renew-once-1")
    assert twice == early
    assert (early["status"], early["refersTo"]) == ("active", {"id": first["id"], "as": "renewal"})
    assert [early[name] for name in ("recipients", "categories", "from")] == [
        first[name] for name in ("recipients", "categories", "from")
    ]
    assert early["validUntil"] > first["validUntil"]
    old = (await gp.get(f"/consents/{first['id']}")).json()
    assert (old["status"], old["supersededAt"]) == ("superseded", early["validFrom"])
    for path in ("withdrawal", "renewal"):
        answer = await gp.post(f"/consents/{first['id']}/{path}", None if path == "withdrawal" else DECIDED)
        assert problem_of(answer)["code"] == "consent-superseded"
    shown = (await worker.get(f"/threads/{opened}/messages")).json()["items"]
    assert [one["text"] for one in shown] == ["Hoe gaat het thuis?"], "what was open before stays open"
    clock.move(timedelta(days=200))
    worker = await another(timed, "social-worker")
    assert (await worker.get(f"/threads/{opened}")).status_code == 200, "past the first one's end"
    clock.move(timedelta(days=200))
    gp, worker = await another(timed, "gp"), await another(timed, "social-worker")
    assert (await worker.get(f"/threads/{opened}")).status_code == 404
    late: Json = await gp.made(f"/consents/{early['id']}/renewal", DECIDED)
    assert late["status"] == "active", "what ran out may be asked again"
    assert (await gp.get(f"/consents/{early['id']}")).json()["status"] == "expired"
    await gp.delete(f"/cases/{table.case_id}/members/{table.members['social-worker']}")
    assert problem_of(await gp.post(f"/consents/{late['id']}/renewal", DECIDED))["code"] == "no-recipient-left"
