"""J5: a citizen sees who may see what and why, who looked, takes consent back; and the same through a member."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.api.deps import Services
from app.core.settings import Settings
from app.entitlement.sweeper import sweep
from tests.api.room import DECIDED, another
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import Table, consent, open_table, seat, thread

Json = dict[str, Any]


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def items(caller: Caller, path: str, **params: str | int) -> list[Json]:
    answer = await caller.get(path, **params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def held_as(cell: Json) -> tuple[str, str]:
    return cell["category"], cell["domain"]


async def kinds_about(caller: Caller, about: str) -> set[str]:
    return {one["kind"] for one in await items(caller, "/notices") if one["about"] == about}


async def set_table(instance: Instance) -> Table:
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    return table


async def test_she_sees_who_may_see_what_and_takes_it_back(instance: Instance) -> None:
    table = await set_table(instance)
    case = f"/cases/{table.case_id}"
    citizen, worker, gp = [await instance.as_(one) for one in ("citizen", "social-worker", "gp")]
    given = await consent(table, "social-worker", "social_participation", "mental_health")
    shared = await thread(table, "social_participation")

    # 2: members and what each may see, in everyday words, with why.
    rows = {row["person"]["role"]: row for row in await items(citizen, f"{case}/matrix")}
    seen = {cell["category"]: cell for cell in rows["social_team"]["cells"] if cell["domain"] == "care"}
    assert (seen["mental_health"]["label"], seen["mental_health"]["why"]) == (
        "Psychische klachten",
        "omdat u daar toestemming voor gaf",
    )
    assert "medication" not in seen
    assert {cell["why"] for cell in rows["district_nurse"]["cells"]} >= {"omdat deze persoon u behandelt"}
    # Each category is there once, with the widest right and all that it rests on.
    await consent(table, "district-nurse", "contact_network")
    for row in await items(citizen, f"{case}/matrix"):
        assert row["onBehalfOf"] is None
        held = [(cell["category"], cell["domain"]) for cell in row["cells"]]
        assert len(held) == len(set(held)), row["person"]
        if row["person"]["role"] == "district_nurse":
            (known,) = [cell for cell in row["cells"] if held_as(cell) == ("contact_network", "care")]
            assert (known["ground"], known["mayWrite"]) == ("consent", True)
            assert [one["ground"] for one in known["alsoBecause"]] == ["direct_treatment", "consent"]
    assert {row["person"]["role"] for row in await items(worker, f"{case}/matrix")} == {"social_team"}

    # 2: who looked, by organisation and role, no employee named; not what she did herself.
    for _ in range(3):
        assert (await worker.get(f"/threads/{shared}")).status_code == 200
    looked = await items(citizen, "/me/accesses", limit=100)
    reads = [one for one in looked if one["action"] == "thread:read"]
    assert [(one["organisation"]["name"], one["role"], one["times"]) for one in reads] == [
        ("Gemeente Heuvelstad", "social_team", 3)
    ]
    assert (reads[0]["label"], reads[0]["actionLabel"], reads[0]["why"], reads[0]["emergency"]) == (
        "Meedoen",
        "Een gesprek bekijken",
        "omdat u daar toestemming voor gaf",
        False,
    )
    assert "citizen" not in {one["role"] for one in looked}
    text = str(looked)
    assert not any(name in text for name in ("Fatima", "Anna", "Ingrid"))
    pages, cursor = [], None
    while True:
        answer = await citizen.get("/me/accesses", limit=2, **({"cursor": cursor} if cursor else {}))
        pages += answer.json()["items"]
        cursor = answer.json()["nextCursor"]
        if cursor is None:
            break
    assert len(pages) >= len(looked)
    before = (datetime.now(UTC) - timedelta(days=20)).isoformat()
    earlier = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    assert await items(citizen, "/me/accesses", **{"from": before, "to": earlier}) == []
    assert (await citizen.get("/me/accesses", **{"from": earlier, "to": before})).status_code == 400
    assert (await worker.get("/me/accesses")).status_code == 403, "one's own log is for whom it is about"

    # 3: who loses what, then it closes at once; the others learn that something changed, not why.
    preview = (await citizen.get(f"/consents/{given}/withdrawal-preview")).json()["losses"]
    (loss,) = [one for one in preview if one["person"]["role"] == "social_team"]
    assert {"Psychische klachten", "Meedoen"} <= {cell["label"] for cell in loss["cells"]}
    ended = await citizen.made(f"/consents/{given}/withdrawal", {"method": "digital_2fa"})
    assert ended["status"] == "withdrawn"
    assert (await worker.get(f"/threads/{shared}")).status_code == 404
    roles = {row["person"]["role"] for row in await items(citizen, f"{case}/matrix")}
    assert "social_team" not in roles
    told = {one["kind"] for one in await items(citizen, "/notices")}
    assert "consent_withdrawn" not in told, "she did it herself"
    assert await kinds_about(gp, given) == {"consent_withdrawn"}, "who recorded it and manages the case is told"
    assert await kinds_about(worker, given) == set()

    # Must fail: taking back another's, twice, or as somebody who sees nothing of it.
    assert (await worker.post(f"/consents/{given}/withdrawal")).status_code in (404, 409)
    assert (await citizen.post(f"/consents/{given}/withdrawal")).status_code == 409
    stranger = await instance.as_("gp-other")
    assert (await stranger.get(f"{case}/matrix")).status_code == 404

    # 5: without digital skill the same through a member, confirmed to her.
    again = await consent(table, "social-worker", "social_participation")
    await gp.made(f"/consents/{again}/withdrawal", {"method": "oral_recorded"})
    assert await kinds_about(citizen, again) == {"oral_confirmation", "consent_withdrawn"}
    assert await kinds_about(gp, again) == set(), "he did it himself"


async def test_she_is_reminded_once_a_month_and_once_a_week_before_it_ends(
    timed: Instance, clock: MovableClock
) -> None:
    table = await set_table(timed)
    ends = (datetime.now(UTC) + timedelta(days=100)).isoformat()
    given = await consent(table, "social-worker", "social_participation", validUntil=ends)
    parts: Services = timed.app.state.services

    async def told() -> list[str]:
        async def nobody(_: object) -> None:
            return None

        for _ in range(2):  # a second worker, a restart: nothing is told twice
            await sweep(parts.database, parts.clock, nobody, source="test")
        citizen = await another(timed, "citizen")
        found = await items(citizen, "/notices")
        return sorted(one["kind"] for one in found if one["about"] == given and "expiring" in one["kind"])

    assert await told() == []
    clock.move(timedelta(days=71))
    assert await told() == ["consent_expiring_30"]
    assert await told() == ["consent_expiring_30"]
    clock.move(timedelta(days=23))
    assert await told() == ["consent_expiring_30", "consent_expiring_7"]
    gp = await another(timed, "gp")
    renewed: Json = await gp.made(f"/consents/{given}/renewal", DECIDED)
    assert renewed["status"] == "active"
    clock.move(timedelta(days=10))
    assert await told() == [], "what was renewed reminds of nothing"
    worker = await another(timed, "social-worker")
    assert (await worker.get(f"/consents/{given}")).json()["status"] == "superseded"
