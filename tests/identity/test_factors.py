"""One's own factors: set up after a one-time code, replaced, taken away but for the last; and showing one again."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pyotp

from app.identity.demo import BY_KEY, DEMO_PASSWORD
from app.identity.enrolment import Purpose, issue_enrolment
from tests.identity.authenticator import unb64
from tests.identity.entering import Log, at_once, body_of, code_of, entered, log_in, masked, present
from tests.serving import Caller, Instance, MovableClock

Json = dict[str, Any]
PASSWORD = "vier paarden op de markt"
ADMIN = BY_KEY["org-admin"]


async def stripped(log: Log, persona: str) -> None:
    """Take every factor of a persona away, as if nobody had ever enrolled."""
    account = BY_KEY[persona].account_id
    for table in ("password_factor", "totp_factor", "passkey", "recovery_code"):
        await log.owner.execute(f"delete from {table} where account_id = $1", account)


async def staff_code(instance: Instance, persona: str, lifetime: timedelta = timedelta(days=7)) -> str:
    """Issue a code for a persona as the organisation's admin does."""
    services = instance.app.state.services
    async with services.database.session() as db, db.begin():
        from app.identity import service as identity  # noqa: PLC0415

        admin = Caller(instance, "org-admin", await instance.sign_in("org-admin"))
        session = (await admin.get("/sessions")).json()["items"][0]["id"]
        entering = await identity.enter(db, session, services.clock())
        return await issue_enrolment(
            db,
            services.crypto.digests,
            account_id=BY_KEY[persona].account_id,
            purpose=Purpose.STAFF,
            created_by=entering.actor.engagement_id,
            now=entering.now,
            lifetime=lifetime,
        )


async def enrolled(instance: Instance, code: str) -> Caller:
    answer = await instance.http.post("/enrolments", json={"code": code})
    assert answer.status_code == 201, answer.text
    assert "refreshToken" not in answer.json()
    return Caller(instance, "poh", answer.json()["accessToken"])


async def test_a_code_lets_somebody_set_up_factors_and_nothing_else(instance: Instance, log: Log) -> None:
    await stripped(log, "poh")
    caller = await enrolled(instance, await staff_code(instance, "poh"))
    for path in ("/cases", "/invitations"):
        answer = await caller.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication-needed")
    assert (await caller.get("/me")).status_code == 200
    await caller.made("/passwords", {"loginName": "Bram.Peters", "password": PASSWORD})
    body = {"method": "password", "loginName": "bram.peters", "password": PASSWORD}
    assert (await log_in(instance, body)).status_code == 401
    made = await caller.made("/totp")
    code = pyotp.TOTP(str(made["secret"]))
    assert str(made["secret"]) in str(made["address"])
    assert (await log_in(instance, {**body, "code": code.now()})).status_code == 401
    wrong = await caller.post("/totp/confirmation", {"code": "000000"})
    assert wrong.json()["errors"][0]["code"] == "wrong-code"
    first = code.now()
    confirmed = await caller.made("/totp/confirmation", {"code": first})
    assert confirmed["confirmed"] is True
    used = await log_in(instance, {**body, "code": first})
    assert used.status_code == 401, "the code that confirmed it is used up"
    reauthentication = await caller.post("/reauthentications", {"method": "password", "password": PASSWORD})
    assert reauthentication.status_code == 403
    later = code.at(present() + timedelta(seconds=30))
    assert (await log_in(instance, {**body, "code": later})).status_code == 201


async def test_a_code_works_once_for_an_hour_and_a_newer_one_voids_it(
    timed: Instance, clock: MovableClock, log: Log
) -> None:
    await stripped(log, "poh")
    older, newer = await staff_code(timed, "poh"), await staff_code(timed, "poh")
    typed = newer.replace("-", " ").lower().replace("0", "o").replace("1", "l")
    answers = await at_once(*(timed.http.post("/enrolments", json={"code": typed}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401]
    token = next(answer for answer in answers if answer.status_code == 201).json()["accessToken"]
    caller = Caller(timed, "poh", token)
    refused = [await timed.http.post("/enrolments", json={"code": code}) for code in (older, newer, "0", "é")]
    refused += [answer for answer in answers if answer.status_code == 401]
    assert len({str(masked(answer)) for answer in refused}) == 1
    assert refused[0].json()["code"] == "enrolment-failed"
    for answer in refused:
        (record,) = await log.of(answer)
        assert (record["action"], record["outcome"]) == ("enrolment:use", "denied")
    assert (await caller.get("/credentials")).status_code == 200
    clock.move(timedelta(hours=1, seconds=1))
    assert (await caller.get("/credentials")).status_code == 401
    late = await staff_code(timed, "poh")
    clock.move(timedelta(days=7))
    assert (await timed.http.post("/enrolments", json={"code": late})).status_code == 401


async def test_wrong_codes_are_counted_by_where_they_come_from(instance: Instance) -> None:
    asked = [await instance.http.post("/enrolments", json={"code": f"{n:020}"}) for n in range(21)]
    assert [answer.status_code for answer in asked] == [401] * 20 + [429]


async def test_who_can_log_in_gets_no_code(instance: Instance) -> None:
    admin = await instance.as_("org-admin")
    answer = await admin.post(f"/accounts/{BY_KEY['poh'].account_id}/enrolment-codes")
    assert (answer.status_code, answer.json()["code"]) == (409, "already-enrolled")


# Changing them


async def test_a_password_is_long_and_not_what_others_would_think_of(instance: Instance) -> None:
    caller = await instance.as_("gp")
    for password, code in (
        ("te kort", "too-short"),
        ("Wachtwoord1234", "too-common"),
        ("anna-de-vries-1", "too-common"),
        ("aaaaaaaaaaaaaaa", "too-common"),
    ):
        answer = await caller.post("/passwords", {"loginName": "anna-de-vries", "password": password})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code), password
        assert password not in answer.text
    taken = await caller.post("/passwords", {"loginName": "POH", "password": PASSWORD})
    assert (taken.status_code, taken.json()["code"]) == (409, "login-name-taken")


async def test_a_new_password_ends_the_other_sessions(instance: Instance, log: Log) -> None:
    other, caller = await entered(instance, "gp"), await instance.as_("gp")
    await caller.made("/passwords", {"loginName": "anna", "password": PASSWORD})
    assert (await other.get("/me")).status_code == 401
    assert (await caller.get("/me")).status_code == 200
    assert (await log_in(instance, body_of("gp", code=code_of("gp", steps=1)))).status_code == 401
    body = body_of("gp", loginName="anna", password=PASSWORD, code=code_of("gp", steps=1))
    assert (await log_in(instance, body)).status_code == 201
    row = await log.owner.fetchrow(
        "select hash, to_jsonb(p)::text as row from password_factor p where account_id = $1", BY_KEY["gp"].account_id
    )
    assert row is not None
    assert row["hash"].startswith("$argon2id$v=19$")
    assert "anna" not in row["row"]


async def test_each_printed_code_works_once_beside_the_password(instance: Instance) -> None:
    caller = await instance.as_("citizen")
    sheet: Json = await caller.made("/recovery-codes")
    first, second = sheet["codes"][:2]
    assert len(set(sheet["codes"])) == 10
    answers = await at_once(*(log_in(instance, body_of("citizen", recoveryCode=first)) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401]
    assert (await log_in(instance, body_of("citizen", recoveryCode=first))).status_code == 401
    typed = second.replace("-", "").lower()
    assert (await log_in(instance, body_of("citizen", recoveryCode=typed))).status_code == 201
    (listed,) = [one for one in (await caller.get("/credentials")).json()["items"] if one["kind"] == "recovery-codes"]
    assert listed["remaining"] == 8
    await caller.made("/recovery-codes")
    third = await log_in(instance, body_of("citizen", recoveryCode=sheet["codes"][2]))
    assert third.status_code == 401, "the sheet before it is void"


async def test_the_last_way_in_stays_also_when_two_are_taken_at_once(instance: Instance) -> None:
    caller = await instance.as_("gp")
    items = {one["kind"]: one["id"] for one in (await caller.get("/credentials")).json()["items"]}
    for kind in ("password", "totp"):
        answer = await caller.delete(f"/credentials/{items[kind]}")
        assert (answer.status_code, answer.json()["code"]) == (409, "last-way-in")
    sheet = await caller.made("/recovery-codes")
    answers = await at_once(
        caller.delete(f"/credentials/{items['totp']}"), caller.delete(f"/credentials/{sheet['id']}")
    )
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    other = await instance.as_("poh")
    assert (await other.delete(f"/credentials/{items['password']}")).status_code == 404


async def test_factors_are_added_fresh_alone(timed: Instance, clock: MovableClock) -> None:
    clock.move(timedelta(seconds=1))
    caller = await entered(timed, "gp", clock)
    clock.move(timedelta(minutes=9))
    assert (await caller.post("/recovery-codes")).status_code == 201
    clock.move(timedelta(minutes=6, seconds=1))
    caller = await refreshed(timed, clock, caller)
    for path, body in (("/recovery-codes", None), ("/totp", None), ("/passkeys/challenges", None)):
        answer = await caller.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication-needed")


async def refreshed(instance: Instance, clock: MovableClock, caller: Caller) -> Caller:
    """Return the same session with a token of now, as the issuer would give it."""
    from app.identity import service as identity  # noqa: PLC0415
    from app.identity.signing_in import access_token  # noqa: PLC0415

    services = instance.app.state.services
    claims = json.loads(unb64(caller.token.split(".")[1]))
    async with services.database.session() as db, db.begin():
        entering = await identity.enter(db, UUID(claims["sid"]), clock(), engagement_id=UUID(claims["eng"]))
        return Caller(instance, caller.persona, access_token(services.issuer, entering))


# Showing one again


async def again(caller: Caller, **body: object) -> Any:
    shown = {"method": "password", "password": DEMO_PASSWORD, **body}
    return await caller.post("/reauthentications", shown)


async def test_showing_both_again_makes_a_session_fresh(timed: Instance, clock: MovableClock, log: Log) -> None:
    clock.move(timedelta(seconds=1))
    caller = await entered(timed, "gp", clock)
    clock.move(timedelta(minutes=16))
    caller = await refreshed(timed, clock, caller)
    assert (await caller.post("/recovery-codes")).status_code == 401
    for body in ({}, {"code": "000000"}, {"password": "wrong-wrong-wrong", "code": code_of("gp", clock)}):
        answer = await again(caller, **body)
        assert (answer.status_code, answer.json()["code"]) == (401, "log-in-failed")
        (record,) = await log.of(answer)
        assert (record["action"], record["outcome"]) == ("session:reauthenticate", "denied")
    shown = await again(caller, code=code_of("gp", clock))
    assert shown.status_code == 201, shown.text
    assert shown.json()["acr"] == "two-factor"
    fresh = Caller(timed, "gp", shown.json()["accessToken"])
    assert (await fresh.post("/recovery-codes")).status_code == 201
    assert (await again(fresh, code=code_of("gp", clock))).status_code == 401, "a code works once"


async def test_tries_in_one_session_stop_that_session_alone(instance: Instance) -> None:
    caller, other = await instance.as_("gp"), await entered(instance, "gp")
    tries = [(await again(caller, password="wrong-wrong-wrong", code="000000")).status_code for _ in range(6)]
    assert tries == [401] * 5 + [429]
    assert (await again(other, code=code_of("gp", steps=1))).status_code == 201


async def test_on_a_registered_workplace_the_screen_locks_and_a_password_opens_it(
    timed: Instance, clock: MovableClock
) -> None:
    clock.move(timedelta(seconds=1))
    admin = await timed.as_("org-admin")
    place: Json = await admin.made("/workplaces", {"name": "Balie"})
    assert [one["name"] for one in (await admin.get("/workplaces")).json()["items"]] == ["Balie"]
    assert "key" not in (await admin.get("/workplaces")).json()["items"][0]
    caller = await entered(timed, "gp", clock, workplaceKey=place["key"])
    clock.move(timedelta(minutes=10, seconds=1))
    caller = await refreshed(timed, clock, caller)
    locked = await caller.get("/cases")
    assert (locked.status_code, locked.json()["code"]) == (401, "session-locked")
    shown = await again(caller)
    assert shown.status_code == 201, shown.text
    caller = Caller(timed, "gp", shown.json()["accessToken"])
    assert (await caller.get("/cases")).status_code == 200
    elsewhere = await entered(timed, "poh", clock)
    assert (await again(elsewhere)).status_code == 401
    admin = Caller(timed, "org-admin", await timed.sign_in("org-admin"))
    assert (await admin.delete(f"/workplaces/{place['id']}")).status_code == 204
    assert (await caller.get("/cases")).status_code == 401
    assert (await admin.delete(f"/workplaces/{place['id']}")).status_code == 404
    clock.move(timedelta(seconds=61))
    gone = await log_in(timed, body_of("gp", clock, workplaceKey=place["key"]))
    assert (gone.status_code, gone.json()["code"]) == (401, "log-in-failed")
