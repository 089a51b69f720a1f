"""Notices over HTTP: who is told, when, how, and that nothing of a patient is in them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.core.ids import CaseId, EngagementId
from app.core.settings import Settings
from app.entitlement.store import enter_as_time
from app.identity.demo import BY_KEY
from app.notices import service as notices
from app.notices.kinds import Citizen, Engaged, Managers, NoticeKind, PrivacyOfficers
from app.notices.letters import LETTERS
from tests.notices.telling import tell
from tests.serving import Caller, Instance, MovableClock, serve
from tests.stories import NAMES, Table, open_table, seat

Json = dict[str, Any]
K = NoticeKind


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served


async def told(caller: Caller, about: UUID | None = None, **query: str) -> list[Json]:
    """Return what somebody is told, of one thing or of all."""
    found: list[Json] = (await caller.get("/notices", **query)).json()["items"]
    return [one for one in found if about is None or one["about"] == str(about)]


async def keep_contact_safe(table: Table) -> None:
    """Record that nothing goes to the home."""
    body = {"patientId": table.patient_id, "safe": True, "reason": "Thuis leest iemand mee."}
    await (await table.as_("gp")).made(f"/cases/{table.case_id}/safe-contacts", body)


def engaged(persona: str, *, always: bool = False) -> Engaged:
    return Engaged(EngagementId(BY_KEY[persona].engagement_id), always=always)


async def test_each_is_told_what_concerns_them_and_nobody_else_is(timed: Instance, clock: MovableClock) -> None:
    table = await open_table(timed)
    gp, poh, citizen, officer = [await timed.as_(one) for one in ("gp", "poh", "citizen", "privacy-officer")]
    await seat(table, "poh")
    used = await tell(timed.app, table.case_id, Citizen(UUID(table.patient_id)), K.BREAK_GLASS_USED)
    for to in (Managers(), PrivacyOfficers(), engaged("poh")):
        await tell(timed.app, table.case_id, to, K.BREAK_GLASS_REVIEW, about=used)
    seen = {}
    for caller in (gp, poh, citizen, officer):
        (notice,) = await told(caller, used)
        assert (notice["caseId"], notice["readAt"]) == (table.case_id, None)
        seen[caller.persona] = (notice["kind"], notice["channel"], notice["patientId"])
    assert seen == {
        "gp": ("break_glass_review", "account", None),
        "poh": ("break_glass_review", "account", None),
        "citizen": ("break_glass_used", "account", table.patient_id),
        "privacy-officer": ("break_glass_review", "account", None),
    }
    assert await told(await timed.as_("gp-other")) == []
    again = await tell(timed.app, table.case_id, Managers(), K.BREAK_GLASS_REVIEW, about=used)
    assert len(await told(gp, again)) == 1, "the same is told once"

    excluded = {"patientId": table.patient_id, "accountId": str(BY_KEY["gp"].account_id)}
    made = await citizen.made(f"/cases/{table.case_id}/exclusions", excluded)
    for to in (Managers(), Managers(UUID(table.patient_id))):
        silent = await tell(timed.app, table.case_id, to, K.RENEWAL_DUE)
        assert await told(gp, silent) == [], "whom the citizen keeps away is told nothing"
    await citizen.delete(f"/cases/{table.case_id}/exclusions/{made['id']}")

    mine = (await told(citizen, used))[0]["id"]
    for caller in (gp, officer):
        for method, path in (("POST", f"/notices/{mine}/reading"), ("GET", f"/notices/{mine}/letter")):
            assert (await caller.request(method, path)).status_code in {403, 404}
    first = await citizen.made(f"/notices/{mine}/reading")
    clock.move(timedelta(minutes=1))
    assert (await citizen.made(f"/notices/{mine}/reading"))["readAt"] == first["readAt"] is not None
    assert await told(citizen, used, unread="true") == []
    assert len(await told(citizen, used)) == 1


async def test_what_comes_later_is_not_there_before_and_what_is_taken_back_never_is(
    timed: Instance, clock: MovableClock
) -> None:
    table = await open_table(timed)
    citizen, patient = await timed.as_("citizen"), Citizen(UUID(table.patient_id))
    kind, late = K.CONSENT_EXPIRING_7, timedelta(minutes=5)
    later, withdrawn = [await tell(timed.app, table.case_id, patient, kind, late=late) for _ in range(2)]
    services = timed.app.state.services
    async with services.database.session() as db, db.begin():
        await enter_as_time(db, services.clock())
        assert await notices.end_about(db, withdrawn) == 1
    assert await told(citizen) == []
    clock.move(timedelta(minutes=6))
    assert [one["about"] for one in await told(citizen)] == [str(later)]
    async with services.database.session() as db, db.begin():
        await enter_as_time(db, services.clock())
        assert await notices.end_to_citizen(db, CaseId(UUID(table.case_id)), UUID(table.patient_id)) == 1
    assert await told(citizen) == []


async def test_who_left_a_case_is_told_no_more_of_it_but_what_is_always_theirs(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "district-nurse")
    nurse, gp = await instance.as_("district-nurse"), await instance.as_("gp")
    about = await tell(instance.app, table.case_id, engaged("district-nurse"), K.CONSENT_WITHDRAWN)
    await tell(instance.app, table.case_id, engaged("district-nurse", always=True), K.BREAK_GLASS_USED, about=about)
    assert {one["kind"] for one in await told(nurse)} == {"consent_withdrawn", "break_glass_used"}
    assert (await gp.delete(f"/cases/{table.case_id}/members/{table.members['district-nurse']}")).status_code == 204
    assert {one["kind"] for one in await told(nurse)} == {"break_glass_used"}


async def test_a_citizen_without_an_account_gets_a_letter_unless_that_is_not_safe(instance: Instance) -> None:
    gp, other = await instance.as_("gp"), await instance.as_("gp-other")
    body = {"noBsnReason": "onbekend", "name": NAMES, "birthDate": "1941-03-02", "neighbourhood": "limmel"}
    patient = str((await gp.made("/patients", body))["id"])
    case = await gp.made("/cases", {"kind": "individual", "patientIds": [patient], "question": "Hoe nu?"})
    table = Table(instance, str(case["id"]), patient, {})
    about = await tell(instance.app, table.case_id, Citizen(UUID(patient)), K.ORAL_CONFIRMATION)
    (notice,) = await told(gp, about)
    assert (notice["channel"], notice["patientId"]) == ("letter", patient)
    path = f"/notices/{notice['id']}/letter"
    letter = (await gp.get(path)).json()
    assert letter["text"] == LETTERS[K.ORAL_CONFIRMATION]
    assert "ongedaan" in letter["text"], "how to undo it"
    assert (await other.get(path)).status_code == 404
    await seat(table, "poh")
    assert (await (await instance.as_("poh")).get(path)).status_code == 404, "the case manager sends it"

    await keep_contact_safe(table)
    (notice,) = await told(gp, about)
    assert notice["channel"] == "in-person"
    assert (await gp.get(path)).status_code == 404, "nothing goes to the home"
    assert (await gp.made(f"/notices/{notice['id']}/reading"))["readAt"] is not None


async def test_with_safe_contact_an_account_shows_nothing_either(instance: Instance) -> None:
    """A screen may be looked at by whoever it is not safe from; the case manager says it in person."""
    table = await open_table(instance)
    citizen, gp = await instance.as_("citizen"), await instance.as_("gp")
    about = await tell(instance.app, table.case_id, Citizen(UUID(table.patient_id)), K.BREAK_GLASS_USED)
    assert len(await told(citizen, about)) == 1
    assert await told(gp, about) == []
    await keep_contact_safe(table)
    assert await told(citizen, about) == []
    assert [one["channel"] for one in await told(gp, about)] == ["in-person"]


async def test_pages_of_notices_are_whole(instance: Instance) -> None:
    table = await open_table(instance)
    gp = await instance.as_("gp")
    wanted = {str(await tell(instance.app, table.case_id, Managers(), K.RENEWAL_DUE)) for _ in range(5)}
    found, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await gp.get("/notices", **query)).json()
        found += [one["about"] for one in page["items"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert len(found) == 5
    assert set(found) == wanted


async def test_nobody_is_told_what_nobody_is_named_for(instance: Instance) -> None:
    table = await open_table(instance)
    await tell(instance.app, table.case_id, Citizen(uuid4()), K.BREAK_GLASS_USED)
    await tell(instance.app, None, Managers(), K.BREAK_GLASS_USED)
    for persona in ("gp", "citizen", "privacy-officer"):
        assert await told(await instance.as_(persona)) == []


def test_a_letter_says_the_same_to_everybody_and_names_nobody() -> None:
    assert LETTERS.keys() == {kind for kind in K if kind not in FOR_PROFESSIONALS}
    for kind, text in LETTERS.items():
        assert text.startswith("Geachte heer, mevrouw,"), kind
        assert "{" not in text, kind
        assert len(text) < 1500, kind


FOR_PROFESSIONALS = {
    K.BREAK_GLASS_CONFIRMATION,
    K.BREAK_GLASS_REVIEW,
    K.BREAK_GLASS_OVERDUE,
    K.BREAK_GLASS_ESCALATED,
    K.DEATH_RECORDED,
    K.DEATH_UNDONE,
    K.DISCLOSURE_RECORDED,  # told in the citizen's own account alone
}
