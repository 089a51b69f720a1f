"""Logging in with a name, a password and a second factor; nothing tells what was wrong."""

from datetime import timedelta

import pytest

from app.identity.demo import BY_KEY
from tests.identity.entering import Log, at_once, body_of, code_of, counting, entered, log_in, masked
from tests.serving import Instance, MovableClock


async def test_somebody_with_both_factors_is_in(instance: Instance, log: Log) -> None:
    answer = await log_in(instance, body_of("gp"))
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["account"]["name"] == "Anna de Vries"
    assert told["deviceToken"]
    (record,) = await log.of(answer)
    assert (record["action"], record["outcome"]) == ("login:enter", "success")
    assert record["actor_account_id"] == BY_KEY["gp"].account_id
    caller = await entered(instance, "poh", loginName=" POH ")
    assert (await caller.get("/cases")).status_code == 200


TRIED = ("gp", "poh", "specialist", "gp", "poh", "auditor", "citizen")
WRONG: dict[str, dict[str, str | None]] = {
    "another password": {"password": "another-password-altogether"},
    "another code": {"code": "000000"},
    "no code": {"code": None},
    "nobody's name": {"loginName": "nobody-at-all"},
    "nobody's name without a code": {"loginName": "nobody-at-all", "code": None},
    "a printed code that is none": {"recoveryCode": "0000-0000-0000-0000-0000", "code": None},
    "a workplace that is none": {"workplaceKey": "x" * 43},
}


async def test_whatever_is_wrong_the_answer_and_the_work_are_the_same(instance: Instance, log: Log) -> None:
    passwords = counting(instance.app)
    answers = []
    for persona, more in zip(
        ("gp", "poh", "specialist", "gp", "poh", "auditor", "citizen"), WRONG.values(), strict=True
    ):
        before = passwords.compared
        answers.append(await log_in(instance, body_of(persona, None, **more)))
        assert passwords.compared == before + 1
    assert len({str(masked(answer)) for answer in answers}) == 1
    assert answers[0].status_code == 401
    assert answers[0].json()["code"] == "log-in-failed"
    for answer in answers:
        (record,) = await log.of(answer)
        assert (record["action"], record["outcome"], record["reason"]) == ("login:enter", "denied", "log-in-failed")
    known = [(await log.of(answer))[0]["actor_account_id"] for answer in answers]
    assert known[0] == BY_KEY["gp"].account_id
    assert known[3] is None


async def test_what_was_typed_is_in_no_record(instance: Instance, log: Log) -> None:
    await log_in(instance, body_of("gp", loginName="my-secret-name", password="my-secret-password"))
    for table in ("audit_event", "attempt", "password_factor"):
        rows = await log.owner.fetch(f"select to_jsonb(t)::text as row from {table} t")
        assert rows
        assert not [row for row in rows if "my-secret" in row["row"] or "6d792d736563726574" in row["row"]]


async def test_a_code_works_once_and_not_in_the_step_before_it(instance: Instance) -> None:
    before, body = body_of("gp", code=code_of("gp", steps=-1)), body_of("gp")
    assert (await log_in(instance, body)).status_code == 201
    assert (await log_in(instance, body)).status_code == 401
    assert (await log_in(instance, before)).status_code == 401
    assert (await log_in(instance, body_of("gp", code=code_of("gp", steps=1)))).status_code == 201


async def test_a_code_of_long_ago_or_of_later_does_not_work(instance: Instance) -> None:
    for steps in (-3, 3):
        assert (await log_in(instance, body_of("gp", code=code_of("gp", steps=steps)))).status_code == 401


async def test_of_five_who_use_one_code_at_once_one_is_in(instance: Instance) -> None:
    body = body_of("gp")
    answers = await at_once(*(log_in(instance, body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401]


@pytest.mark.parametrize(
    "body",
    [
        {"method": "password", "loginName": "gp"},
        {"method": "password", "loginName": "gp", "password": "x", "code": "000000", "recoveryCode": "0"},
        {"method": "passkey", "loginName": "gp"},
        {"method": "password", "password": "x"},
        {"method": "magic", "loginName": "gp"},
        {"method": "password", "loginName": "gp", "password": "x", "code": "12345x"},
    ],
)
async def test_a_body_that_is_none_is_bad_input_and_not_counted(instance: Instance, log: Log, body: object) -> None:
    answer = await instance.http.post("/log-ins", json=body)
    assert answer.status_code == 400
    assert await log.owner.fetchval("select count(*) from attempt") == 0


# How often


async def wrong(instance: Instance, persona: str, **more: str) -> int:
    return (await log_in(instance, {**body_of(persona, password="wrong-wrong-wrong"), **more})).status_code


async def test_the_sixth_try_from_one_place_waits_and_so_do_names_that_nobody_has(
    timed: Instance, clock: MovableClock
) -> None:
    for name in ("gp", "nobody-at-all"):
        assert [await wrong(timed, name) for _ in range(6)] == [401] * 5 + [429]
        refused = await log_in(timed, body_of(name if name == "gp" else "poh", clock, loginName=name))
        assert refused.status_code == 429
        assert refused.json()["code"] == "too-many-attempts"
        assert 0 < int(refused.headers["retry-after"]) <= 900
    assert (await log_in(timed, body_of("poh", clock))).status_code == 201
    clock.move(timedelta(minutes=16))
    assert (await log_in(timed, body_of("gp", clock))).status_code == 201


async def test_who_tries_at_a_name_does_not_lock_out_the_device_that_is_known(
    timed: Instance, clock: MovableClock
) -> None:
    device = (await log_in(timed, body_of("gp", clock))).json()["deviceToken"]
    assert [await wrong(timed, "gp") for _ in range(6)][-1] == 429
    clock.move(timedelta(seconds=31))
    refused = await log_in(timed, body_of("gp", clock))
    assert refused.status_code == 429
    known = await log_in(timed, body_of("gp", clock, deviceToken=device))
    assert known.status_code == 201
    clock.move(timedelta(seconds=31))
    for other in (device[:-1] + ("0" if device[-1] != "0" else "1"), "x", device.partition(".")[0]):
        assert (await log_in(timed, body_of("gp", clock, deviceToken=other))).status_code == 429


async def test_a_known_device_has_a_limit_of_its_own_and_is_known_under_one_name_alone(
    timed: Instance, clock: MovableClock
) -> None:
    device = (await log_in(timed, body_of("gp", clock))).json()["deviceToken"]
    assert [await wrong(timed, "gp", deviceToken=device) for _ in range(11)] == [401] * 10 + [429]
    clock.move(timedelta(seconds=31))
    assert (await log_in(timed, body_of("gp", clock))).status_code == 201
    assert [await wrong(timed, "poh", deviceToken=device) for _ in range(6)] == [401] * 5 + [429]


async def test_tries_are_counted_although_they_are_refused_and_at_once(instance: Instance) -> None:
    answers = await at_once(*(log_in(instance, body_of("gp", password="wrong-wrong-wrong")) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 7


async def test_a_success_begins_anew(timed: Instance, clock: MovableClock) -> None:
    for _ in range(3):
        assert [await wrong(timed, "gp") for _ in range(4)] == [401] * 4
        clock.move(timedelta(seconds=31))
        assert (await log_in(timed, body_of("gp", clock))).status_code == 201
