"""Birthdays need nobody's doing: at twelve and sixteen others decide, and at sixteen a parent sees no more."""

from datetime import timedelta
from typing import Any

from app.consent.deciders import birthday
from app.consent.question import dawn_of
from app.identity.demo import BY_KEY
from tests.api.room import DECIDED, SHARED, faults_of
from tests.people.family import FATHER, MOTHER, again, born, family, representation, until, voice
from tests.serving import Instance, MovableClock
from tests.stories import thread
from tests.talking import talking

Json = dict[str, Any]
TEENAGER = BY_KEY["teenager"].test_bsn


async def test_on_the_sixteenth_birthday_a_parent_sees_and_decides_no_more(
    timed: Instance, clock: MovableClock
) -> None:
    birth = born(16, days=-20)
    home = await family(timed, birth, bsn=TEENAGER)
    shared, plan = await thread(home, SHARED), await thread(home, "plan_goals_actions")
    for parent in (MOTHER, FATHER):
        await home.recorded(parent)
    (item,) = (await (await home.as_(MOTHER)).get(f"/cases/{home.case_id}/representations")).json()["items"]
    assert item["validUntil"] is not None, "a parent's say ends by itself"
    consent, waiting = await home.asked(), await home.asked(categories=["education"])
    for person in ("teenager", MOTHER, FATHER):
        given = await home.says_so(consent, person)
    assert given.json()["status"] == "active"
    assert (await home.says_so(waiting, "teenager")).json()["status"] == "proposed"
    shown = (await (await home.as_("gp")).get(f"/consents/{consent}")).json()
    assert (shown["renewOn"], shown["toBeRenewed"]) == (birthday(birth, 16).isoformat(), False)
    until(clock, dawn_of(birthday(birth, 16)) - timedelta(hours=1))
    async with talking(await again(home, MOTHER), home.case_id) as mother:
        until(clock, dawn_of(birthday(birth, 16)) + timedelta(hours=1))
        narrowed = await mother.hear("narrowed")
        assert {"plan_goals_actions", "identification", "contact_network"} <= set(narrowed["categories"])
        gp = await again(home, "gp")
        await gp.made(f"/threads/{plan}/messages", {"text": "Nu zonder ouders."})
        await mother.settle()
        assert not [one for one in mother.events if one["type"] == "message.posted"]
    mother_now = await again(home, MOTHER)
    assert await home.cells(MOTHER) == set()
    for path in (f"/threads/{plan}", f"/consents/{consent}", f"/consents/{waiting}"):
        assert (await mother_now.get(path)).status_code == 404, path
    assert (await mother_now.post(f"/consents/{consent}/withdrawal")).status_code == 404
    for path in (f"/cases/{home.case_id}/consents", f"/cases/{home.case_id}/matrix", "/me/accesses"):
        assert (await mother_now.get(path)).json()["items"] == [], path
    assert (await mother_now.get("/me/consent-requests")).json()["items"] == []
    away = {"patientId": home.patient_id, "accountId": str(BY_KEY["poh"].account_id)}
    assert (await mother_now.post(f"/cases/{home.case_id}/exclusions", away)).status_code in (403, 404)

    # a parent does not decide for a sixteen-year-old, by whosever hand
    outside = {"/decidedBy/id": "outside-period"}
    assert faults_of(await home.says_so(waiting, "gp", decidedBy=voice(home.says[FATHER]))) == outside
    assert faults_of(await gp.post(f"/consents/{consent}/withdrawal", {"decidedBy": voice(home.says[FATHER])}))
    path = f"/cases/{home.case_id}/representations"
    refused = await gp.post(path, representation(home.patient_id, MOTHER))
    assert faults_of(refused) == {"/kind": "patient-decides"}
    assert (await gp.get(f"/consents/{consent}")).json()["toBeRenewed"] is True
    await again(home, "social-worker")
    assert (await (await home.as_("social-worker")).get(f"/threads/{shared}")).status_code == 200
    child = await again(home, "teenager")
    alone = await child.made(
        f"/consents/{waiting}/decisions", {**DECIDED, "decision": "yes", "method": "digital_2fa"}
    )
    assert alone["status"] == "active"
    clock.move(timedelta(days=90))
    gp = await again(home, "gp")
    assert (await gp.get(f"/consents/{consent}")).json()["status"] == "expired"
    worker = await again(home, "social-worker")
    assert (await worker.get(f"/threads/{shared}")).status_code == 404, "the term is over"


async def test_on_the_twelfth_birthday_a_child_is_asked_too(timed: Instance, clock: MovableClock) -> None:
    birth = born(12, days=-5)
    home = await family(timed, birth)
    await home.recorded(MOTHER)
    consent, waiting = await home.asked(), await home.asked(categories=["education"])
    active = await home.says_so(consent, MOTHER)
    assert (active.json()["status"], active.json()["renewOn"]) == ("active", birthday(birth, 12).isoformat())
    clock.move(timedelta(days=7))
    for persona in ("gp", MOTHER):
        await again(home, persona)
    assert (await home.says_so(waiting, MOTHER)).json()["status"] == "proposed"
    child = await home.says_so(waiting, "gp")
    assert (child.status_code, child.json()["status"]) == (201, "active")
    assert (await (await home.as_("gp")).get(f"/consents/{consent}")).json()["toBeRenewed"] is True
    assert await home.cells(MOTHER), "until sixteen the parent sees the file"


async def test_of_a_child_that_cannot_weigh_it_parents_decide_until_eighteen(
    timed: Instance, clock: MovableClock
) -> None:
    home = await family(timed, born(18, days=-5))
    await home.recorded(FATHER, capacityLost=True)
    consent = await home.asked(capacity="incapable")
    assert (await home.says_so(consent, FATHER)).json()["status"] == "active"
    weighed = await home.asked(categories=["education"])
    assert faults_of(await home.says_so(weighed, FATHER)) == {"/decidedBy": "patient-decides"}
    clock.move(timedelta(days=7))
    father = await again(home, FATHER)
    assert await home.cells(FATHER) == set()
    assert (await father.get(f"/consents/{consent}")).status_code == 404
