"""Attacks on resets and codes: nobody keeps a way in that two people took away, and a code lets in whom it is for."""

import asyncio
import json
from base64 import urlsafe_b64decode
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY
from tests.identity.entering import Log, body_of, code_of, counting, entered, log_in
from tests.identity.test_factors import staff_code, stripped
from tests.identity.test_letting_in import coded, confirmed, opened, requested, used
from tests.serving import Caller, Instance

Json = dict[str, Any]
PASSWORD = "vier paarden op de markt"


def session_of(token: str) -> UUID:
    """Return the session that a token names."""
    part = token.split(".")[1]
    return UUID(json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sid"])


async def linked(log: Log, persona: str) -> None:
    """Let a provider's person log in as a persona."""
    await log.owner.execute(
        "insert into external_identity (id, issuer, subject_digest, account_id, linked_at)"
        " values ($1, 'https://idp.example', $2, $3, now())",
        *(uuid4(), uuid4().bytes * 2, BY_KEY[persona].account_id),
    )


async def reset(instance: Instance, persona: str) -> str:
    """Reset a colleague's factors and return the code."""
    reset_id = (await requested(instance, "org-admin", persona)).json()["id"]
    answer = await confirmed(instance, "gp", reset_id)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


async def test_a_reset_takes_linked_identities_and_handed_over_codes_too(instance: Instance, log: Log) -> None:
    await linked(log, "poh")
    await log.owner.execute(
        "insert into account_handover (digest, account_id, expires_at) values ($1, $2, now() + interval '1 day')",
        *(uuid4().bytes * 2, BY_KEY["poh"].account_id),
    )
    await reset(instance, "poh")
    for table in ("external_identity", "account_handover"):
        assert await log.owner.fetchval(f"select count(*) from {table}") == 0, table


async def test_no_factor_that_was_under_way_outlives_a_reset(instance: Instance, log: Log) -> None:
    thief = await entered(instance, "poh")
    passwords = counting(instance.app)
    going, go_on = asyncio.Event(), asyncio.Event()
    hash_of = passwords.hash

    async def slowly(password: str) -> str:
        going.set()
        await go_on.wait()
        return await hash_of(password)

    passwords.hash = slowly  # type: ignore[method-assign]  # a queue that the test holds up
    body = {"loginName": "thief", "password": PASSWORD}
    setting = asyncio.create_task(thief.post("/passwords", body))
    await going.wait()
    await reset(instance, "poh")
    go_on.set()
    assert (await setting).status_code == 401
    left = "select count(*) from password_factor where account_id = $1"
    assert await log.owner.fetchval(left, BY_KEY["poh"].account_id) == 0


async def test_a_password_that_was_replaced_meanwhile_opens_nothing(instance: Instance) -> None:
    passwords = counting(instance.app)
    victim = await entered(instance, "gp")
    going, go_on = asyncio.Event(), asyncio.Event()
    matches = passwords.matches

    async def slowly(password: str, known: str | None) -> bool:
        going.set()
        await go_on.wait()
        return await matches(password, known)

    passwords.matches = slowly  # type: ignore[method-assign]  # a queue that the test holds up
    entering = asyncio.create_task(log_in(instance, body_of("gp", code=code_of("gp", steps=1))))
    await going.wait()
    await victim.made("/passwords", {"loginName": "anna", "password": PASSWORD})
    go_on.set()
    assert (await entering).status_code == 401


async def test_a_newer_code_ends_who_came_in_by_the_one_before(instance: Instance, log: Log) -> None:
    await stripped(log, "poh")
    first = (await used(instance, await staff_code(instance, "poh"), None)).json()
    wrong = Caller(instance, "", first["accessToken"])
    assert (await wrong.get("/me")).status_code == 200
    await staff_code(instance, "poh")
    assert (await wrong.get("/me")).status_code == 401


async def test_whoever_logs_in_for_real_ends_the_session_of_the_code(instance: Instance, log: Log) -> None:
    await stripped(log, "poh")
    answer = await used(instance, await staff_code(instance, "poh"), None)
    enrolled = Caller(instance, "", answer.json()["accessToken"])
    await enrolled.made("/passwords", {"loginName": "poh", "password": PASSWORD})
    sheet: Json = await enrolled.made("/recovery-codes")
    body = {"method": "password", "loginName": "poh", "password": PASSWORD, "recoveryCode": sheet["codes"][0]}
    assert (await log_in(instance, body)).status_code == 201
    left_open = await enrolled.post("/passwords", {"loginName": "thief", "password": PASSWORD})
    assert left_open.status_code == 401


async def test_one_member_elsewhere_never_opens_an_account_that_is_there(instance: Instance) -> None:
    """The birth date is of whoever registered the patient, so it proves nothing about an account made elsewhere."""
    case, other = await opened(instance), await instance.as_("gp-other")
    name = {"given": "Jan", "family": "Smeets"}
    body = {"bsn": "999990019", "name": name, "birthDate": "1960-06-06", "neighbourhood": "limmel"}
    patient = await other.made("/patients", body)
    theirs = await opened(instance, by="gp-other", patient_id=str(patient["id"]))
    code = await coded(instance, theirs, by="gp-other")
    assert (await used(instance, await coded(instance, case))).status_code == 201
    assert (await used(instance, code, "1960-06-06")).status_code == 401


async def test_the_database_makes_no_code_that_nobody_may_ask_for(
    instance: Instance, database: Urls, log: Log
) -> None:
    app = await asyncpg.connect(database.app)
    made = "select add_enrolment($1, $2, null, $3, $4, null, null, null, null, $5, now(), now() + interval '1 hour')"
    for persona, purpose in (
        (None, "init"),
        ("gp", "init"),
        ("gp", "staff"),
        ("gp", "reset"),
        ("org-admin", "reset"),
    ):
        by = None if persona is None else BY_KEY[persona].engagement_id
        values = (uuid4(), b"x" * 32, purpose, BY_KEY["region-admin"].account_id, by)
        session = None if persona is None else session_of((await instance.as_(persona)).token)
        transaction = app.transaction()
        await transaction.start()
        await app.execute("select enter($1, null)", session)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(made, *values)
        await transaction.rollback()
    await app.close()
    assert await log.owner.fetchval("select count(*) from enrolment") == 0
