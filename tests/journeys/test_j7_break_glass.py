"""J7, breaking the glass, as DOMAIN tells it: from a locked case to the reviewer's verdict, and what must fail."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.api.deps import Services
from app.cli.postgres import Urls
from app.core.settings import Settings
from app.entitlement.sweeper import sweep
from app.identity.demo import BY_KEY
from tests.api.room import faults_of, problem_of
from tests.identity.entering import code_of, entered
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import NAMES, Table, citizen_bsn, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]
NOBODY = "999990019"
THREATENED: Json = {"reasonCode": "life-threatening", "reason": "Bewusteloos gevonden, medicatie onbekend."}
UNSAFE: Json = {"reasonCode": "acute-unsafety", "reason": "Melding van geweld achter de voordeur."}
CONFLICT: Json = {"reasonCode": "conflict-of-duties", "reason": "Zwijgen brengt een ander in gevaar."}
SIX_TESTS = {
    "consentTried": "Gevraagd, niet bereikt.",
    "silenceHarms": "Ernstig letsel dreigt.",
    "moralDistress": "Ja.",
    "noOtherWay": "Geen.",
    "breachPreventsHarm": "Vrijwel zeker.",
    "asSmallAsPossible": "Alleen het crisisplan.",
}
SUBSET = {
    *("medical_summary", "medication", "advance_care_planning", "crisis_plan"),
    *("identification", "contact_network", "practical_coordination"),
}


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


@pytest.fixture
async def root(database: Urls) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The database as nobody of the service sees it."""
    connection = await asyncpg.connect(database.superuser)
    yield connection
    await connection.close()


async def broken(caller: Caller, bsn: str, **more: object) -> Json:
    """Break the glass and return what that opened."""
    made: Json = await caller.made("/break-glass", {"bsn": bsn, **THREATENED, **more})
    return made


async def told(caller: Caller, about: object) -> list[str]:
    """Return the kinds of what somebody is told about one thing."""
    items: list[Json] = (await caller.get("/notices", limit=100)).json()["items"]
    return sorted(one["kind"] for one in items if one["about"] == str(about))


async def locked_case(instance: Instance) -> tuple[Table, dict[str, str]]:
    """A case with threads inside and outside the emergency subset."""
    table = await open_table(instance)
    threads = {one: await thread(table, one) for one in ("medication", "crisis_plan", "functional_adl")}
    for one in threads.values():
        await (await instance.as_("gp")).made(f"/threads/{one}/messages", {"text": f"Over {one}"})
    return table, threads


async def status(caller: Caller, path: str) -> int:
    return (await caller.get(path)).status_code


async def test_j7_from_a_locked_case_to_the_verdict(
    timed: Instance, clock: MovableClock, root: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    clock.move(timedelta(seconds=1))
    table, threads = await locked_case(timed)
    bsn = await citizen_bsn(timed)
    case = f"/cases/{table.case_id}"
    gp, citizen, officer = [await timed.as_(one) for one in ("gp", "citizen", "privacy-officer")]
    duty = await entered(timed, "gp-other", clock)

    # 1 The case is locked, and nothing leads in from there.
    assert await status(duty, case) == 404
    assert (await duty.post(f"{case}/break-glass", THREATENED)).status_code == 404
    assert faults_of(await duty.post("/break-glass", {"bsn": bsn, "caseId": table.case_id, **THREATENED})) == {
        "": "unknown-member"
    }

    # 2 A reason, and a fresh factor.
    assert faults_of(await duty.post("/break-glass", {"bsn": bsn})) == {
        "/reasonCode": "missing",
        "/reason": "missing",
    }
    clock.move(timedelta(minutes=16))
    duty = await refreshed(duty, timed, clock)
    stale = await duty.post("/break-glass", {"bsn": bsn, **THREATENED})
    assert (stale.status_code, problem_of(stale)["code"]) == (401, "reauthentication-needed")
    assert await status(duty, case) == 404, "nothing changed"
    assert await root.fetchval("select count(*) from break_glass") == 0
    duty = await entered(timed, "gp-other", clock, code=code_of("gp-other", clock))
    gp, citizen, officer = [await timed_caller(timed, one) for one in ("gp", "citizen", "privacy-officer")]

    # 3 The emergency subset, read only, for an hour.
    made = await broken(duty, bsn)
    assert (made["state"], [one["caseId"] for one in made["cases"]]) == ("open", [table.case_id])
    assert {one: await status(duty, f"/threads/{threads[one]}/messages") for one in threads} == {
        "medication": 200,
        "crisis_plan": 200,
        "functional_adl": 404,
    }
    shown = (await duty.get(case)).json()
    assert "question" not in str(shown["patients"]), "why the case is there is not of the subset"
    access = (await duty.get(f"{case}/access")).json()["items"]
    assert {one["category"] for one in access} == SUBSET
    assert {(one["ground"], one["mayWrite"]) for one in access} == {("emergency", False)}
    for path, body in (
        (f"/threads/{threads['medication']}/messages", {"text": "Ik was hier"}),
        (f"{case}/threads", {"patientId": table.patient_id, "category": "medication", "title": "Nieuw"}),
        (
            f"{case}/members",
            {"accountId": str(BY_KEY["poh"].account_id), "caseRole": "deelnemer", "reasonCode": "transfer"},
        ),
        (f"{case}/safe-contacts", {"patientId": table.patient_id, "safe": True, "reason": "x"}),
    ):
        assert (path, (await duty.post(path, body)).status_code) in {(path, 403), (path, 404)}

    # 4 Everybody concerned is told at once, without a word about whom or why.
    assert await told(citizen, made["id"]) == ["break_glass_used"]
    assert await told(gp, made["id"]) == ["break_glass_used"]
    assert await told(officer, made["id"]) == ["break_glass_review"]
    mine = (await citizen.get(f"/break-glass/{made['id']}")).json()
    assert (mine["by"]["name"], mine["reasonCode"], mine["reason"]) == ("Daan Willems", "life-threatening", None)
    assert await status(await timed_caller(timed, "specialist"), f"/break-glass/{made['id']}") == 404

    # 5 Everything that is read is marked.
    reads = await root.fetch(
        "select action, ground, purpose from audit_event where actor_account_id = $1 and case_id = $2"
        " and outcome = 'success'",
        BY_KEY["gp-other"].account_id,
        table.case_id,
    )
    assert {(row["ground"], row["purpose"]) for row in reads} == {("emergency", "BTG")}
    assert {"message:list", "case:read", "break-glass:use"} <= {row["action"] for row in reads}

    # The hour ends by itself, on an open socket too.
    async with talking(duty, table.case_id) as socket:
        clock.move(timedelta(minutes=61))
        ended = await socket.hear("ended")
        assert (ended["caseId"], ended["why"]) == (table.case_id, "expired")
    duty = await timed_caller(timed, "gp-other")
    assert await status(duty, f"/threads/{threads['medication']}/messages") == 404
    assert await status(duty, case) == 404
    over = (await duty.get(f"/break-glass/{made['id']}")).json()
    assert over["state"] == "ended"

    # 6 Somebody else judges it.
    judged: Json = {"verdict": "not-justified", "remarks": "De melding was oud."}
    path = f"/break-glass/{made['id']}/review"
    assert (await duty.post(path, judged)).status_code == 403
    officer, citizen, gp = [await timed_caller(timed, one) for one in ("privacy-officer", "citizen", "gp")]
    queue = (await officer.get("/break-glass", toReview="true")).json()["items"]
    assert [(one["id"], one["reason"]) for one in queue] == [(made["id"], THREATENED["reason"])]
    verdict: Json = await officer.made(path, judged, Idempotency_Key="review-1")
    assert verdict["review"]["verdict"] == "not-justified"
    assert (await officer.post(path, judged, Idempotency_Key="review-1")).headers["idempotent-replayed"] == "true"
    twice = await officer.post(path, judged)
    assert (twice.status_code, problem_of(twice)["code"]) == (409, "break-glass-reviewed")
    assert (await officer.get("/break-glass", toReview="true")).json()["items"] == []
    for caller in (citizen, gp, duty):
        assert "break_glass_not_justified" in await told(caller, made["id"])
    mine = (await citizen.get(f"/break-glass/{made['id']}")).json()
    assert (mine["review"]["verdict"], mine["review"]["remarks"]) == ("not-justified", None)

    # She sees who looked; what was done in the emergency is told apart from what was done about it.
    looked = (await citizen.get("/me/accesses", limit=100)).json()["items"]
    marked = {one["action"]: (one["emergency"], one["why"]) for one in looked if "break-glass" in one["action"]}
    about = ("break-glass:list", "break-glass:read", "break-glass:review")
    assert marked == {"break-glass:use": (True, "omdat het een noodgeval was"), **dict.fromkeys(about, (False, None))}
    assert {(one["organisation"]["name"], one["role"]) for one in looked if one["emergency"]} == {
        (made["by"]["organisation"]["name"], "gp")
    }


async def timed_caller(instance: Instance, persona: str) -> Caller:
    """Return a persona in a session of now."""
    return Caller(instance, persona, await instance.sign_in(persona))


async def refreshed(caller: Caller, instance: Instance, clock: MovableClock) -> Caller:
    """Return the same session with a token of now."""
    from tests.identity.test_factors import refreshed as again  # noqa: PLC0415

    return await again(instance, clock, caller)


async def test_found_or_not_costs_the_same_and_nobody_may_who_does_not_treat(
    timed: Instance, clock: MovableClock, root: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    table = await open_table(timed)
    duty, officer = await timed.as_("gp-other"), await timed.as_("privacy-officer")
    for persona in ("social-worker", "poh", "informal-carer", "citizen", "auditor", "privacy-officer"):
        caller = await timed.as_(persona)
        assert (persona, (await caller.post("/break-glass", {"bsn": NOBODY, **THREATENED})).status_code) == (
            persona,
            403,
        )
    answers = {}
    for name, bsn in (("found", await citizen_bsn(timed)), ("nobody", NOBODY)):
        answer = await duty.post("/break-glass", {"bsn": bsn, **THREATENED})
        made = answer.json()
        answers[name] = made
        (first, *others) = await root.fetch(
            "select action, entity_type, ground, purpose, case_id from audit_event where trace_id = $1"
            " order by case_id nulls first",
            answer.headers["x-request-id"],
        )
        assert tuple(first) == ("break-glass:use", "break-glass", "emergency", "BTG", None)
        assert [str(row["case_id"]) for row in others] == [one["caseId"] for one in made["cases"]]
        assert await told(officer, made["id"]) == ["break_glass_review"]
    assert answers["nobody"]["cases"] == []
    assert {**answers["found"], "cases": [], "id": "", "at": ""}.keys() == answers["nobody"].keys()
    assert len((await officer.get("/break-glass", toReview="true")).json()["items"]) == 2
    sealed = await root.fetch("select reason_sealed, subject_index from break_glass")
    assert all(THREATENED["reason"].encode() not in row["reason_sealed"] for row in sealed)
    assert len(await root.fetch("select 1 from data_key where category = 'break_glass'")) == 2
    assert faults_of(await duty.post("/break-glass", {"bsn": "123456789", **THREATENED})) == {"/bsn": "bsn-invalid"}
    assert table.case_id == answers["found"]["cases"][0]["caseId"]


async def test_the_throttle_of_look_ups_bounds_asking_who_is_known(settings: Settings) -> None:
    async with serve(settings.model_copy(update={"bsn_look_ups": 2})) as instance:
        duty = await instance.as_("gp-other")
        codes = [(await duty.post("/break-glass", {"bsn": NOBODY, **THREATENED})).status_code for _ in range(3)]
    assert codes == [201, 201, 429]


async def test_retried_or_twice_at_once_it_is_one_seat_and_ended_early_it_is_gone(instance: Instance) -> None:
    table, threads = await locked_case(instance)
    bsn = await citizen_bsn(instance)
    duty, gp = await instance.as_("gp-other"), await instance.as_("gp")
    body = {"bsn": bsn, **THREATENED}
    retried = await asyncio.gather(*(duty.post("/break-glass", body, Idempotency_Key="same") for _ in range(3)))
    assert len({answer.json()["id"] for answer in retried}) == 1
    other = await duty.post("/break-glass", {**body, "bsn": NOBODY}, Idempotency_Key="same")
    assert (other.status_code, problem_of(other)["code"]) == (409, "idempotency-key-reused")
    twice = await asyncio.gather(*(duty.post("/break-glass", body) for _ in range(2)))
    assert [answer.status_code for answer in twice] == [201, 201]
    members = (await gp.get(f"/cases/{table.case_id}/members")).json()["items"]
    assert sum(one["person"]["id"] == str(BY_KEY["gp-other"].account_id) for one in members) == 1

    ids = [retried[0].json()["id"], *(answer.json()["id"] for answer in twice)]
    async with talking(duty, table.case_id) as socket:
        for one in ids:
            assert await status(duty, f"/threads/{threads['medication']}") == 200
            assert (await gp.post(f"/break-glass/{one}/ending")).status_code in {403, 404}, "not another's"
            assert (await duty.made(f"/break-glass/{one}/ending"))["state"] == "ended"
        assert (await socket.hear("ended"))["why"] == "emergency-ended"
    assert await status(duty, f"/threads/{threads['medication']}") == 404
    again = await duty.post(f"/break-glass/{ids[0]}/ending")
    assert (again.status_code, problem_of(again)["code"]) == (409, "break-glass-not-open")


async def test_telling_the_citizen_can_wait_for_a_reason_and_then_nothing_else_tells(
    timed: Instance, clock: MovableClock
) -> None:
    clock.move(timedelta(seconds=1))
    table, _ = await locked_case(timed)
    await seat(table, "poh", direct=True)
    bsn = await citizen_bsn(timed)
    duty, gp, poh, citizen = [await timed.as_(one) for one in ("gp-other", "gp", "poh", "citizen")]
    elsewhere = {"bsn": bsn, "name": NAMES, "birthDate": "1941-03-02", "neighbourhood": "limmel"}
    nurse = await timed.as_("district-nurse")
    twice = await nurse.made("/patients", elsewhere)
    await nurse.made("/cases", {"kind": "individual", "patientIds": [twice["id"]], "question": "Hoe gaat het thuis?"})
    now = clock()
    assert now is not None
    for delay, faults in (
        ({"until": (now + timedelta(days=31)).isoformat(), "reason": "x"}, {"/noticeDelay/until": "out-of-range"}),
        ({"until": (now - timedelta(days=1)).isoformat(), "reason": "x"}, {"/noticeDelay/until": "out-of-range"}),
        ({"until": (now + timedelta(days=1)).isoformat()}, {"/noticeDelay/reason": "missing"}),
    ):
        assert faults_of(await duty.post("/break-glass", {"bsn": bsn, **UNSAFE, "noticeDelay": delay})) == faults
    delay = {"until": (now + timedelta(days=2)).isoformat(), "reason": "De partner leest mee."}
    async with talking(citizen, table.case_id) as socket:
        made = await broken(duty, bsn, **UNSAFE, noticeDelay=delay)
        async with talking(duty, table.case_id) as theirs:
            await theirs.settle()
            await socket.settle()
        assert str(BY_KEY["gp-other"].account_id) not in str(socket.heard)
    who = str(BY_KEY["gp-other"].account_id)
    for caller, sees in ((gp, True), (citizen, False), (poh, False)):
        people = (await caller.get(f"/cases/{table.case_id}/members")).json()["items"]
        assert (caller.persona, any(one["person"]["id"] == who for one in people)) == (caller.persona, sees)
    access = (await citizen.get(f"/cases/{table.case_id}/access")).json()["items"]
    assert "emergency" not in {one["ground"] for one in access}
    assert "emergency" in {one["ground"] for one in (await gp.get(f"/cases/{table.case_id}/access")).json()["items"]}
    assert await told(gp, made["id"]) == ["break_glass_used"]
    assert await told(citizen, made["id"]) == []
    assert await status(citizen, f"/break-glass/{made['id']}") == 404
    looked = (await citizen.get("/me/accesses", limit=100)).json()["items"]
    assert looked, "others looked"
    assert "break-glass" not in str(looked), "at either organisation that knows her"
    assert made["noticeDelayReason"] == delay["reason"]
    clock.move(timedelta(days=2, minutes=1))
    citizen = await timed_caller(timed, "citizen")
    assert await told(citizen, made["id"]) == ["break_glass_used"]
    assert "break-glass" in str((await citizen.get("/me/accesses", limit=100)).json()["items"])
    assert (await citizen.get(f"/break-glass/{made['id']}")).json()["noticeDelayReason"] is None


async def test_a_conflict_of_duties_answers_the_six_tests(instance: Instance) -> None:
    duty, officer = await instance.as_("gp-other"), await instance.as_("privacy-officer")
    assert faults_of(await duty.post("/break-glass", {"bsn": NOBODY, **CONFLICT})) == {"/sixTests": "six-tests"}
    extra = await duty.post("/break-glass", {"bsn": NOBODY, **THREATENED, "sixTests": SIX_TESTS})
    assert faults_of(extra) == {"/sixTests": "six-tests"}
    made = await broken(duty, NOBODY, **CONFLICT, sixTests=SIX_TESTS)
    assert made["sixTests"] == SIX_TESTS
    assert (await officer.get(f"/break-glass/{made['id']}")).json()["sixTests"] == SIX_TESTS


async def test_an_exclusion_gives_way_to_a_threatened_life_alone_and_stays_unknown(
    instance: Instance, root: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    table, threads = await locked_case(instance)
    await root.execute("set session_replication_role = replica")
    await root.execute(
        "insert into exclusion (case_id, id, patient_id, account_id, recorded_by_account_id,"
        " recorded_by_engagement_id, recorded_at) values ($1, gen_random_uuid(), $2, $3, $4, $5, now())",
        *(table.case_id, table.patient_id, BY_KEY["gp-other"].account_id),
        *(BY_KEY["gp"].account_id, BY_KEY["gp"].engagement_id),
    )
    duty, bsn = await instance.as_("gp-other"), await citizen_bsn(instance)
    unknown = await broken(duty, bsn, **UNSAFE)
    nobody = await broken(duty, NOBODY, **UNSAFE)
    assert unknown["cases"] == nobody["cases"] == []
    assert await status(duty, f"/threads/{threads['medication']}") == 404
    assert len((await broken(duty, bsn))["cases"]) == 1
    assert await status(duty, f"/threads/{threads['medication']}") == 200


async def overdue(instance: Instance, clock: MovableClock, bsn: str) -> None:
    """Break the glass, and let the time for its review go by."""
    await broken(await timed_caller(instance, "gp"), bsn)
    clock.move(timedelta(days=8))


async def _nobody(_: object) -> None:
    return None


async def test_an_overdue_review_asks_for_a_second_person_but_never_for_a_threatened_life(
    timed: Instance, clock: MovableClock, root: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    parts: Services = timed.app.state.services
    table = Table(timed, "", "", {})
    other = await timed.as_("gp-other")
    body = {"bsn": await citizen_bsn(timed), "name": NAMES, "birthDate": "1941-03-02", "neighbourhood": "limmel"}
    table.patient_id = str((await other.made("/patients", body))["id"])
    question = {"kind": "individual", "patientIds": [table.patient_id], "question": "Hoe nu?"}
    table.case_id = str((await other.made("/cases", question))["id"])
    bsn = await citizen_bsn(timed)
    case = f"/cases/{table.case_id}"
    await overdue(timed, clock, NOBODY)
    gp, locum, poh, officer = [await timed_caller(timed, one) for one in ("gp", "gp-locum", "poh", "privacy-officer")]
    assert "break_glass_overdue" in str((await officer.get("/notices")).json())
    await root.execute("delete from notice")  # as for who became privacy officer only now
    await sweep(parts.database, parts.clock, _nobody, source="test")
    kinds = [one["kind"] for one in (await officer.get("/notices")).json()["items"]]
    assert sorted(kinds) == ["break_glass_overdue", "break_glass_review"]

    waiting = await broken(gp, bsn, **UNSAFE)
    assert (waiting["state"], waiting["needsSecondPerson"], waiting["cases"]) == ("waiting", True, [])
    assert await status(gp, case) == 404
    path = f"/break-glass/{waiting['id']}/confirmation"
    for caller, code in ((gp, 403), (poh, 403), (await timed_caller(timed, "specialist"), 404)):
        assert (caller.persona, (await caller.post(path)).status_code) == (caller.persona, code)
    seen = (await locum.get("/break-glass")).json()["items"]
    assert [(one["id"], one["reason"]) for one in seen] == [(waiting["id"], UNSAFE["reason"])]
    opened: Json = await locum.made(path)
    assert (opened["state"], opened["confirmedBy"]["name"]) == ("open", "Eva Janssen")
    assert [one["caseId"] for one in opened["cases"]] == [table.case_id]
    assert await status(gp, case) == 200
    assert await status(locum, case) == 404, "who confirms sees nothing"
    assert problem_of(await locum.post(path))["code"] == "break-glass-not-waiting"

    late = await broken(gp, bsn, **UNSAFE)
    clock.move(timedelta(minutes=61))
    gp, locum, officer = [await timed_caller(timed, one) for one in ("gp", "gp-locum", "privacy-officer")]
    assert (await gp.get(f"/break-glass/{late['id']}")).json()["state"] == "lapsed"
    answer = await locum.post(f"/break-glass/{late['id']}/confirmation")
    assert (answer.status_code, problem_of(answer)["code"]) == (409, "break-glass-not-waiting")
    threatened = await broken(gp, bsn)
    assert (threatened["state"], threatened["needsSecondPerson"]) == ("open", False)
    assert "break_glass_escalated" in await told(officer, threatened["id"])

    # Not justified while it is open: it closes with the verdict.
    assert await status(gp, case) == 200
    judged = {"verdict": "not-justified", "remarks": "Niemand was in gevaar."}
    await officer.made(f"/break-glass/{threatened['id']}/review", judged)
    assert await status(gp, case) == 404


async def test_a_member_breaks_the_glass_for_more_and_loses_only_that(instance: Instance) -> None:
    table, threads = await locked_case(instance)
    await seat(table, "district-nurse")
    nurse, gp = await instance.as_("district-nurse"), await instance.as_("gp")
    assert await status(nurse, f"/threads/{threads['crisis_plan']}") == 404
    made = await broken(nurse, await citizen_bsn(instance))
    assert await status(nurse, f"/threads/{threads['crisis_plan']}") == 200
    await nurse.made(f"/break-glass/{made['id']}/ending")
    assert await status(nurse, f"/threads/{threads['crisis_plan']}") == 404
    members = (await gp.get(f"/cases/{table.case_id}/members")).json()["items"]
    assert table.members["district-nurse"] in {one["id"] for one in members}


async def test_nobody_is_put_out_or_invited_by_who_is_there_in_an_emergency(instance: Instance) -> None:
    """Not even by somebody who opened the case, and left it."""
    table = await open_table(instance)
    await seat(table, "poh", direct=True, caseRole="casemanager")
    gp, poh, bsn = await instance.as_("gp"), await instance.as_("poh"), await citizen_bsn(instance)
    people = (await gp.get(f"/cases/{table.case_id}/members")).json()["items"]
    own = next(one["id"] for one in people if one["person"]["id"] == str(BY_KEY["gp"].account_id))
    assert (await gp.delete(f"/cases/{table.case_id}/members/{own}")).status_code == 204
    await broken(gp, bsn)
    seats = (await poh.get(f"/cases/{table.case_id}/members")).json()["items"]
    (emergency,) = [one["id"] for one in seats if one["person"]["id"] == str(BY_KEY["gp"].account_id)]
    answers: list[httpx.Response] = [
        await gp.delete(f"/cases/{table.case_id}/members/{table.members['poh']}"),
        await gp.delete(f"/cases/{table.case_id}/members/{emergency}"),
        await gp.post(
            f"/cases/{table.case_id}/members",
            {"accountId": str(BY_KEY["gp-other"].account_id), "caseRole": "deelnemer", "reasonCode": "transfer"},
        ),
        await gp.post(
            f"/cases/{table.case_id}/consents",
            {
                "patientId": table.patient_id,
                "kind": "lift_secrecy",
                "recipients": [{"type": "member", "id": table.members["poh"]}],
                "categories": ["medication"],
                "purpose": "TREAT",
                "decidedBy": {"type": "patient"},
                "method": "oral_recorded",
                "textVersion": "nl-2026-1",
            },
        ),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 403]
