"""Safe contact: the professionals of the case know that nothing goes to somebody's home, and nobody else does."""

import asyncpg

from app.cli.postgres import Urls
from tests.api.room import faults_of
from tests.serving import Caller, Instance
from tests.stories import consent, open_table, seat, thread

REASON = "De partner leest de post."


async def seen_by(caller: Caller, case_id: str) -> list[bytes]:
    """Return everything that a person is shown of a case."""
    paths = ("", "/members", "/consents", "/threads", "/access")
    return [(await caller.get(f"/cases/{case_id}{path}")).content for path in paths]


async def kept_safe(urls: Urls, case_id: str, patient_id: str) -> bool:
    root = await asyncpg.connect(urls.superuser)
    try:
        flag = await root.fetchval("select safe_contact from subject where case_id = $1", case_id)
        assert flag == await root.fetchval("select contact_kept_safe($1, $2)", case_id, patient_id)
        return bool(flag)
    finally:
        await root.close()


async def test_safe_contact_is_known_to_the_professionals_and_to_nobody_at_home(
    instance: Instance, database: Urls
) -> None:
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    await seat(table, "informal-carer")
    await thread(table, "medication")
    path = f"/cases/{table.case_id}/safe-contacts"
    gp, nurse, worker = [await table.as_(one) for one in ("gp", "district-nurse", "social-worker")]
    at_home = [await table.as_(one) for one in ("citizen", "informal-carer")]
    before = [await seen_by(one, table.case_id) for one in at_home]
    assert not await kept_safe(database, table.case_id, table.patient_id)

    on = {"patientId": table.patient_id, "safe": True, "reason": REASON}
    again = {"Idempotency-Key": "one"}
    made = await nurse.made(path, on, **again)
    assert (await nurse.post(path, on, **again)).json() == made
    assert made["reason"] == REASON
    assert await kept_safe(database, table.case_id, table.patient_id)
    # The reason stays with the recorder's organisation; that it is so does not.
    (seen,) = (await gp.get(path)).json()["items"]
    assert (seen["safe"], seen["reason"], seen["recordedBy"]["role"]) == (True, None, "district_nurse")

    # Whoever sees nothing of the person sees nothing of this, and can record nothing.
    assert (await worker.get(path)).json()["items"] == []
    assert faults_of(await worker.post(path, on)) == {"/patientId": "not-a-subject"}
    await consent(table, "social-worker", "functional_adl")
    assert len((await worker.get(path)).json()["items"]) == 1

    for one in at_home:
        assert (await one.get(path)).status_code == (await one.post(path, on)).status_code == 403
    assert before[1] == await seen_by(at_home[1], table.case_id)
    assert b"safe" not in b"".join(await seen_by(at_home[0], table.case_id)).lower()

    await gp.made(path, {**on, "safe": False, "reason": "Zij woont nu alleen."})
    assert not await kept_safe(database, table.case_id, table.patient_id)
    first = (await nurse.get(path, limit=1)).json()
    rest = (await nurse.get(path, cursor=first["nextCursor"])).json()
    assert [(one["safe"], one["reason"]) for one in first["items"] + rest["items"]] == [(False, None), (True, REASON)]


async def test_the_database_shows_it_to_nobody_else_and_lets_nobody_else_write_it(
    instance: Instance, database: Urls
) -> None:
    table = await open_table(instance)
    body = {"patientId": table.patient_id, "safe": True, "reason": REASON}
    await (await table.as_("gp")).made(f"/cases/{table.case_id}/safe-contacts", body)
    root, app = await asyncpg.connect(database.superuser), await asyncpg.connect(database.app)
    try:
        for role, rows in (("gp", 1), ("citizen", 0)):
            session = await root.fetchval(
                "select s.id from login_session s join engagement e on e.id = s.engagement_id"
                " join member m on m.engagement_id = e.id where e.role = $1 limit 1",
                role,
            )
            if session is None:
                await instance.as_("citizen")
                session = await root.fetchval(
                    "select s.id from login_session s join engagement e on e.id = s.engagement_id where e.role = $1",
                    role,
                )
            async with app.transaction():
                await app.fetch("select * from enter($1, null)", session)
                assert len(await app.fetch("select * from safe_contact")) == rows, role
    finally:
        await root.close()
        await app.close()
