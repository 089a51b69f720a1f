"""Joining a household that is open: nothing opens before somebody agreed, nothing stays once they do not."""

from typing import Any

from app.identity.demo import BY_KEY
from tests.api.room import DECIDED, faults_of, problem_of
from tests.people.family import MOTHER, born, representation, voice
from tests.serving import Instance

Json = dict[str, Any]


async def household(instance: Instance) -> tuple[str, str]:
    """Open a household about one adult, and return the case and that person."""
    gp = await instance.as_("gp")
    patient = await registered(instance, 50)
    body = {"kind": "household", "patients": [{"patientId": patient, "question": "Hoe gaat het thuis?"}]}
    return str((await gp.made("/cases", body))["id"]), patient


async def registered(instance: Instance, years: int, **known: str) -> str:
    """Register somebody of that age."""
    gp = await instance.as_("gp")
    name = {"given": "Cor", "family": "Lemmens"}
    body = {**(known or {"noBsnReason": "onbekend"}), "name": name, "birthDate": born(years).isoformat()}
    return str((await gp.made("/patients", {**body, "neighbourhood": "limmel"}))["id"])


def joining(patient: str, **more: object) -> Json:
    """Return the body that asks somebody to join."""
    return {
        "patientId": patient,
        "question": "Wat heeft Cor nodig?",
        "recipients": [{"type": "role", "role": "gp"}],
        "categories": ["plan_goals_actions"],
        **more,
    }


async def test_whoever_joins_takes_part_from_their_yes_until_they_take_it_back(people: Instance) -> None:
    case, first = await household(people)
    gp, path = await people.as_("gp"), f"/cases/{case}/subjects"
    partner = await registered(people, 48, bsn=str(BY_KEY["father-himself"].test_bsn))
    asked: Json = await gp.made(path, joining(partner), Idempotency_Key="join-1")
    assert (asked["takesPart"], asked["status"]) == (False, "asked")
    assert await gp.made(path, joining(partner), Idempotency_Key="join-1") == asked
    himself = await people.as_("father-himself")
    assert (await himself.get(f"/cases/{case}")).status_code == 404

    async def about() -> set[str]:
        return {one["id"] for one in (await gp.get(f"/cases/{case}")).json()["patients"]}

    assert await about() == {first}
    closed = {"patientId": partner, "category": "medication", "title": "Titel"}
    assert (await gp.post(f"/cases/{case}/threads", closed)).status_code in (403, 404)
    lift = {"kind": "lift_secrecy", "recipients": [{"type": "role", "role": "gp"}], "categories": ["education"]}
    early = {**DECIDED, **lift, "patientId": partner, "purpose": "CAREMGT"}
    assert (await gp.post(f"/cases/{case}/consents", early)).status_code in (400, 403)
    yes = await gp.made(f"/consents/{asked['consentId']}/decisions", {**DECIDED, "decision": "yes"})
    assert yes["status"] == "active"
    assert await about() == {first, partner}
    seen = (await himself.get(f"/cases/{case}")).json()
    assert [one["id"] for one in seen["patients"]] == [partner], "each sees themselves alone"
    thread = str((await gp.made(f"/cases/{case}/threads", closed))["id"])
    assert (await himself.get(f"/threads/{thread}")).status_code == 200
    assert (await himself.post(f"/consents/{asked['consentId']}/withdrawal")).status_code == 201
    assert await about() == {first}
    for caller in (gp, himself):
        assert (await caller.get(f"/threads/{thread}")).status_code == 404
    assert problem_of(await gp.post(path, joining(partner)))["code"] == "already-subject"


async def test_a_child_joins_when_whoever_has_authority_says_so(people: Instance) -> None:
    case, first = await household(people)
    gp, path = await people.as_("gp"), f"/cases/{case}/subjects"
    child = await registered(people, 8)
    agreed = {**DECIDED, "decision": "yes"}
    assert faults_of(await gp.post(path, joining(child, agreed=agreed))) == {"/decidedBy": "patient-does-not-decide"}
    asked: Json = await gp.made(path, joining(child))
    parent = await gp.made(f"/cases/{case}/representations", representation(child, MOTHER))
    mother = await people.as_(MOTHER)
    assert "patients" not in (await mother.get(f"/cases/{case}")).json()
    yes = {**agreed, "decidedBy": voice(), "method": "digital_2fa"}
    joined = await mother.post(f"/consents/{asked['consentId']}/decisions", yes)
    assert (joined.status_code, joined.json()["status"]) == (201, "active")
    assert [one["id"] for one in (await mother.get(f"/cases/{case}")).json()["patients"]] == [child]
    assert parent["patientId"] == child
    adult: Json = await gp.made(path, joining(await registered(people, 30), agreed=agreed))
    assert (adult["takesPart"], adult["status"]) == (True, "active")
    assert first not in {child, adult["patientId"]}


async def test_only_into_a_household_and_only_one_s_own_patients(people: Instance) -> None:
    case, first = await household(people)
    gp, other = await people.as_("gp"), await people.as_("gp-other")
    name = {"given": "Wil", "family": "Bos"}
    theirs = {"noBsnReason": "onbekend", "name": name, "birthDate": "1990-01-31", "neighbourhood": "limmel"}
    foreign = str((await other.made("/patients", theirs))["id"])
    path = f"/cases/{case}/subjects"
    assert faults_of(await gp.post(path, joining(foreign))) == {"/patientId": "not-found"}
    assert problem_of(await gp.post(path, joining(first)))["code"] == "already-subject"
    assert (await other.post(path, joining(foreign))).status_code == 404
    own = await registered(people, 40)
    assert "/recipients/0" in faults_of(
        await gp.post(path, joining(own, recipients=[{"type": "role", "role": "specialist"}]))
    )
    single = await gp.made("/cases", {"kind": "individual", "patientIds": [first], "question": "Hoe nu?"})
    refused = await gp.post(f"/cases/{single['id']}/subjects", joining(own))
    assert problem_of(refused)["code"] == "not-a-household"
