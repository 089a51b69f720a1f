"""Passkeys: registered against a challenge, shown against another, and two factors by themselves."""

from datetime import timedelta

import pytest

from app.identity.demo import BY_KEY
from tests.identity.authenticator import Authenticator, Json, b64, unb64
from tests.identity.entering import Log, at_once, body_of, log_in, masked
from tests.serving import Caller, Instance, MovableClock


def origin_of(instance: Instance) -> str:
    """Return the origin of pages on this machine: browsers refuse passkeys for bare addresses."""
    return f"http://localhost:{instance.url.rpartition(':')[2]}"


async def registration(caller: Caller, key: Authenticator) -> Json:
    made: Json = await caller.made("/passkeys/challenges")
    return {"challengeId": made["challengeId"], "credential": key.create(made["publicKey"])}


async def registered(instance: Instance, persona: str = "gp", *, counts: bool = True) -> Authenticator:
    key = Authenticator(origin_of(instance), counts=counts)
    caller = await instance.as_(persona)
    await caller.made("/passkeys", await registration(caller, key))
    return key


async def shown(instance: Instance, key: Authenticator) -> Json:
    made = (await instance.http.post("/passkey-challenges", json={})).json()
    return {"method": "passkey", "challengeId": made["challengeId"], "credential": key.get(made["publicKey"])}


async def test_a_passkey_is_two_factors_and_needs_no_name(instance: Instance, log: Log) -> None:
    key = await registered(instance)
    answer = await log_in(instance, await shown(instance, key))
    assert answer.status_code == 201, answer.text
    assert answer.json()["account"]["id"] == str(BY_KEY["gp"].account_id)
    (record,) = await log.of(answer)
    assert (record["action"], record["outcome"]) == ("login:enter", "success")
    caller = Caller(instance, "gp", answer.json()["accessToken"])
    assert (await caller.get("/cases")).status_code == 200
    kinds = [one["kind"] for one in (await caller.get("/credentials")).json()["items"]]
    assert sorted(kinds) == ["passkey", "password", "totp"]


async def test_what_is_asked_of_the_authenticator(instance: Instance) -> None:
    caller = await instance.as_("gp")
    asked: Json = (await caller.made("/passkeys/challenges"))["publicKey"]  # type: ignore[assignment]
    assert asked["rp"]["id"] == "localhost"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert unb64(asked["user"]["id"]) != BY_KEY["gp"].account_id.bytes
    asked = (await instance.http.post("/passkey-challenges", json={})).json()["publicKey"]
    assert (asked["rpId"], asked["userVerification"]) == ("localhost", "required")
    assert not asked.get("allowCredentials")


async def test_no_passkey_registers_without_its_user_or_against_another_challenge(instance: Instance) -> None:
    caller, other = await instance.as_("gp"), await instance.as_("poh")
    unverified = Authenticator(origin_of(instance), verifies=False)
    elsewhere = Authenticator("https://evil.example")
    bodies = [await registration(caller, unverified), await registration(caller, elsewhere)]
    good = await registration(caller, Authenticator(origin_of(instance)))
    strange = await registration(other, Authenticator(origin_of(instance)))
    bodies += [strange, {**good, "credential": {**good["credential"], "id": b64(b"x")}}]
    for body in bodies:
        answer = await caller.post("/passkeys", body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "not-registered")
    kinds = [one["kind"] for one in (await caller.get("/credentials")).json()["items"]]
    assert "passkey" not in kinds


async def test_a_retry_registers_one_passkey_and_another_account_cannot_have_it(instance: Instance) -> None:
    caller, other = await instance.as_("gp"), await instance.as_("poh")
    key = Authenticator(origin_of(instance))
    body = await registration(caller, key)
    first = await caller.post("/passkeys", body, Idempotency_Key="k")
    again = await caller.post("/passkeys", body, Idempotency_Key="k")
    assert (first.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert first.json()["id"] == again.json()["id"]
    answer = await other.post("/passkeys", await registration(other, key))
    assert (answer.status_code, answer.json()["code"]) == (409, "passkey-refused")


async def test_a_challenge_opens_once_and_not_for_long(timed: Instance, clock: MovableClock) -> None:
    key = await registered(timed)
    body = await shown(timed, key)
    answers = await at_once(*(log_in(timed, body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401]
    late = await shown(timed, key)
    clock.move(timedelta(minutes=5, seconds=1))
    assert (await log_in(timed, late)).status_code == 401
    assert (await log_in(timed, await shown(timed, key))).status_code == 201


async def test_whatever_is_wrong_with_a_passkey_the_answer_is_the_same(instance: Instance, log: Log) -> None:
    key = await registered(instance)
    stranger = Authenticator(origin_of(instance))
    copied = Authenticator(key.origin, id=key.id, handle=key.handle)
    unverified = Authenticator(key.origin, id=key.id, key=key.key, handle=key.handle, verifies=False, count=90)
    elsewhere = Authenticator("https://evil.example", id=key.id, key=key.key, handle=key.handle, count=90)
    handled = Authenticator(key.origin, id=key.id, key=key.key, handle=b"another", count=90)
    bodies = [await shown(instance, one) for one in (stranger, copied, unverified, elsewhere, handled)]
    broken = await shown(instance, key)
    for part in ("clientDataJSON", "authenticatorData", "signature"):
        response = {**broken["credential"]["response"], part: "AAAA"}
        bodies.append({**broken, "credential": {**broken["credential"], "response": response}})
    absent = {name: one for name, one in broken["credential"]["response"].items() if name != "signature"}
    bodies.append({**broken, "credential": {**broken["credential"], "response": absent}})
    answers = [await log_in(instance, body) for body in bodies]
    answers.append(await log_in(instance, body_of("gp", password="wrong-wrong-wrong")))
    assert len({str(masked(answer)) for answer in answers}) == 1
    assert answers[0].status_code == 401
    for answer in answers:
        (record,) = await log.of(answer)
        assert (record["outcome"], record["reason"]) == ("denied", "log-in-failed")
    assert (await log_in(instance, await shown(instance, key))).status_code == 201


async def test_a_counter_that_does_not_grow_is_a_copied_key(instance: Instance) -> None:
    key = await registered(instance)
    assert (await log_in(instance, await shown(instance, key))).status_code == 201
    key.count -= 1
    assert (await log_in(instance, await shown(instance, key))).status_code == 401
    silent = await registered(instance, "poh", counts=False)
    for _ in range(2):
        assert (await log_in(instance, await shown(instance, silent))).status_code == 201


async def test_tries_at_a_password_do_not_stop_a_passkey(instance: Instance) -> None:
    key = await registered(instance)
    for _ in range(6):
        last = await log_in(instance, body_of("gp", password="wrong-wrong-wrong"))
    assert last.status_code == 429
    assert (await log_in(instance, await shown(instance, key))).status_code == 201


@pytest.mark.parametrize("body", [{"clientDataJSON": 1}, {}, {"clientDataJSON": "", "x": 1}])
async def test_a_credential_of_another_form_is_bad_input(instance: Instance, body: Json) -> None:
    credential = {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": body}
    asked = {"method": "passkey", "challengeId": str(BY_KEY["gp"].account_id), "credential": credential}
    assert (await log_in(instance, asked)).status_code == 400
