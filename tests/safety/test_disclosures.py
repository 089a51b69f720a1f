"""Disclosures: who holds something records what they gave of it to whom; it opens nothing, and is no secret."""

from datetime import timedelta
from typing import Any

import asyncpg

from app.cli.postgres import Urls
from app.core.settings import Settings
from tests.api.room import faults_of
from tests.serving import MovableClock, serve
from tests.stories import open_table, seat, thread

Json = dict[str, Any]
ASKED = (
    *("consentTried", "seriousHarm", "moralDistress", "noOtherWay", "almostSurelyHelps"),
    "asSmallAsPossible",
)
TESTS = dict.fromkeys(ASKED, "Ja, want het kon niet anders.")


async def test_a_disclosure_is_of_what_one_holds_and_the_citizen_sees_it_when_a_delay_is_over(
    settings: Settings, database: Urls, clock: MovableClock
) -> None:
    async with serve(settings, clock) as instance:
        clock.move(timedelta(seconds=1))
        table = await open_table(instance)
        await seat(table, "poh", direct=True)
        await seat(table, "district-nurse", direct=True)
        medication, school = await thread(table, "medication"), await thread(table, "education")
        gp, nurse = await table.as_("gp"), await table.as_("district-nurse")
        held = str((await gp.made(f"/threads/{medication}/messages", {"text": "Zij mist doses."}))["id"])
        unheld = str((await gp.made(f"/threads/{school}/messages", {"text": "Zij volgt een cursus."}))["id"])
        path = f"/cases/{table.case_id}/disclosures"
        given: Json = {
            "patientId": table.patient_id,
            "kind": "adviser",
            "messageIds": [held],
            "recipient": "Vertrouwensarts, Veilig Thuis",
            "reason": "Advies over veiligheid.",
        }
        access = (await gp.get(f"/cases/{table.case_id}/access")).content

        # Only what one may read oneself, only with the six tests where they are asked for, only for a time to come.
        wrong = {**given, "messageIds": [held, unheld], "kind": "conflict_of_duties"}
        assert faults_of(await nurse.post(path, wrong)) == {"/messageIds/1": "not-found", "/tests": "six-tests"}
        assert faults_of(await nurse.post(path, {**given, "tests": TESTS})) == {"/tests": "six-tests"}
        some = {name: answer for name, answer in TESTS.items() if name != "seriousHarm"}
        answer = await nurse.post(path, {**given, "kind": "conflict_of_duties", "tests": some})
        assert faults_of(answer) == {"/tests/seriousHarm": "missing"}
        late = {"until": "2020-01-01T00:00:00Z", "reason": "Gevaar."}
        assert faults_of(await nurse.post(path, {**given, "delay": late})) == {"/delay/until": "out-of-range"}

        key = {"Idempotency-Key": "one"}
        first = await nurse.made(path, given, **key)
        assert (await nurse.made(path, given, **key))["id"] == first["id"]
        now = clock()
        assert now is not None
        hidden: Json = {
            **given,
            "kind": "conflict_of_duties",
            "tests": TESTS,
            "delay": {"until": (now + timedelta(days=2)).isoformat(), "reason": "De dader leest mee."},
        }
        second = await gp.made(path, hidden)
        assert second["delayReason"] == "De dader leest mee."
        third = await nurse.made(path, {**given, "kind": "veilig_thuis"})

        async def told(persona: str) -> set[str]:
            found = (await (await table.as_(persona)).get("/notices")).json()["items"]
            return {one["about"] for one in found if one["kind"] == "disclosure_recorded"}

        assert [await told(one) for one in ("citizen", "gp")] == [{first["id"]}, set()]

        # One's own organisation, the privacy officer, and the person it is about: at once, or when the delay is over.
        async def ids(persona: str, where: str = path) -> list[str]:
            answer = await (await table.as_(persona)).get(where)
            assert answer.status_code == 200, answer.text
            return [item["id"] for item in answer.json()["items"]]

        assert await ids("poh") == [second["id"]]
        assert await ids("district-nurse") == [third["id"], first["id"]]
        assert await ids("privacy-officer", "/disclosures") == [third["id"], second["id"], first["id"]]
        assert await ids("citizen") == [third["id"], first["id"]]
        assert (await (await table.as_("auditor")).get("/disclosures")).status_code == 403
        assert (await gp.get(f"/cases/{table.case_id}/access")).content == access
        for persona in ("gp", "citizen", "privacy-officer"):
            instance.tokens.pop(persona, None)
        clock.move(timedelta(days=3))
        assert await ids("citizen") == [third["id"], second["id"], first["id"]]
        assert await told("citizen") == {first["id"], second["id"]}, "never of what Veilig Thuis was given"
        shown = (await (await table.as_("citizen")).get(path)).json()["items"][1]
        assert (shown["delayedUntil"], shown["delayReason"]) == (None, None)
        assert shown["tests"] == TESTS

    root = await asyncpg.connect(database.superuser)
    try:
        rows = await root.fetch("select body_sealed, delay_reason_sealed from disclosure")
        assert not any(b"Veilig" in bytes(row[0]) or b"dader" in bytes(row[1] or b"") for row in rows)
        assert await root.fetchval("select count(*) from case_event where type like '%disclos%'") == 0
    finally:
        await root.close()
