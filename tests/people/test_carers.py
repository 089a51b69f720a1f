"""Informal carers read along by consent, in three levels, and write nothing."""

from typing import Any

from tests.api.room import DECIDED, faults_of
from tests.people.family import born, family
from tests.serving import Instance
from tests.stories import account_of, thread

Json = dict[str, Any]
PLAN = ["practical_coordination", "plan_goals_actions", "contact_network", "mdo_report"]


async def test_a_carer_reads_what_the_citizen_chose_and_writes_nothing(people: Instance) -> None:
    home = await family(people, born(80))
    gp, carer = await home.as_("gp"), await home.as_("informal-carer")
    account = await account_of(people, "informal-carer")
    invitation = {"accountId": account, "caseRole": "mantelzorger", "reasonCode": "informal-care"}
    made = await gp.made(f"/cases/{home.case_id}/members", invitation)
    await carer.made(f"/cases/{home.case_id}/members/{made['id']}/acceptance")
    agenda, medication = await thread(home, "practical_coordination"), await thread(home, "medication")
    assert await home.cells("informal-carer") == set()

    def asked(level: str, *categories: str, **more: object) -> Json:
        to = [{"type": "member", "id": made["id"]}]
        return {**home.terms(recipients=to, categories=list(categories), carerLevel=level, **more), **DECIDED}

    path = f"/cases/{home.case_id}/consents"
    for wrong in (("agenda", "medication"), ("plan", *PLAN[:2]), ("chosen", *PLAN), ("chosen", "medication")):
        assert faults_of(await gp.post(path, asked(*wrong))) == {"/categories": "other-level"}
    worker = [{"type": "member", "id": home.members["social-worker"]}]
    elsewhere = {**asked("agenda", PLAN[0]), "recipients": worker}
    assert faults_of(await gp.post(path, elsewhere)) == {"/recipients/0": "not-a-carer"}
    given: Json = await gp.made(path, asked("agenda", PLAN[0]))
    assert (given["status"], given["bothWays"]) == ("active", False)
    assert (await carer.get(f"/threads/{agenda}")).status_code == 200
    assert (await carer.post(f"/threads/{agenda}/messages", {"text": "Ik kom morgen."})).status_code == 403
    assert (await carer.get(f"/threads/{medication}")).status_code == 404
    assert {one for one, _ in await home.cells("informal-carer")} == {
        *("practical_coordination", "identification", "contact_network"),
    }
    seen = (await carer.get(f"/cases/{home.case_id}")).text
    assert "bsn" not in seen.lower()
    await gp.made(path, asked("chosen", *PLAN, "medication"))
    assert (await carer.get(f"/threads/{medication}")).status_code == 200

    # whatever a consent says of both ways, somebody near to the citizen reads along only
    loose = {
        **home.terms(recipients=[{"type": "member", "id": made["id"]}], categories=["living_situation"]),
        **DECIDED,
    }
    await gp.made(path, loose)
    living = await thread(home, "living_situation")
    assert (await carer.get(f"/threads/{living}")).status_code == 200
    assert (await carer.post(f"/threads/{living}/messages", {"text": "x"})).status_code == 403
    opened = {"patientId": home.patient_id, "category": "living_situation", "title": "Titel"}
    assert (await carer.post(f"/cases/{home.case_id}/threads", opened)).status_code in (403, 404)
