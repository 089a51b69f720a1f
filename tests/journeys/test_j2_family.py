"""J2: the practice nurse for youth opens a household, each decides for themselves, and the child turns sixteen.

DOMAIN 5, J2, over HTTP, with what must fail. The shared plan, the inventory of involvement and the monitor come with
later issues.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest

from app.consent.deciders import birthday
from app.consent.question import dawn_of
from app.core.settings import Settings
from app.identity.demo import BY_KEY
from tests.api.room import DECIDED, faults_of, problem_of
from tests.people.family import FATHER, MOTHER, born, representation, until, voice
from tests.serving import Caller, Instance, MovableClock, serve
from tests.talking import talking

Json = dict[str, Any]
YOUTH = "youth_development"
QUESTION = "Hoe krijgt dit gezin weer rust?"
PEOPLE = {
    "child": ("Noor", "Dekker", "teenager"),
    "brother": ("Tijn", "Dekker", None),
    "mother": ("Sanne", "Verhoeven", "mother-herself"),
    "father": ("Ruben", "Dekker", "father-himself"),
}


@dataclass
class Household:
    """The case, its people as patients, who sits where, and what was recorded of the parents."""

    instance: Instance
    births: dict[str, date]
    case_id: str = ""
    patients: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)

    @property
    def case(self) -> str:
        """The path of the case."""
        return f"/cases/{self.case_id}"

    async def as_(self, persona: str) -> Caller:
        """Return a caller."""
        return await self.instance.as_(persona)

    async def invited(self, persona: str, case_role: str) -> None:
        """Invite a professional, who accepts."""
        host, guest = await self.as_("poh-youth"), await self.as_(persona)
        body = {"accountId": str(BY_KEY[persona].account_id), "caseRole": case_role, "reasonCode": "youth-family"}
        made = await host.made(f"{self.case}/members", body)
        self.members[persona] = str(made["id"])
        if made["status"] == "invited":
            await guest.made(f"{self.case}/members/{made['id']}/acceptance")

    async def thread(self, who: str, category: str) -> str:
        """Open a thread about one of them."""
        body = {"patientId": self.patients[who], "category": category, "title": f"Over {category}"}
        return str((await (await self.as_("poh-youth")).made(f"{self.case}/threads", body))["id"])

    def terms(self, who: str, *categories: str) -> Json:
        """Return what is asked about one of them: that the municipality's youth consultant reads along."""
        return {
            "patientId": self.patients[who],
            "kind": "lift_secrecy",
            "from": [{"domain": "care"}],
            "recipients": [{"type": "member", "id": self.members["youth-consultant"]}],
            "categories": list(categories),
            "purpose": "CAREMGT",
        }

    async def asked(self, who: str, *categories: str) -> str:
        """Save what is to be asked."""
        nurse = await self.as_("poh-youth")
        return str((await nurse.made(f"{self.case}/consent-requests", self.terms(who, *categories)))["id"])

    async def decides(self, consent: str, persona: str, decision: str = "yes") -> str:
        """Let somebody decide in their own log-in; return where that leaves the consent, as they are shown it."""
        by = {"decidedBy": voice()} if persona in (MOTHER, FATHER) else {}
        body = {**DECIDED, **by, "method": "digital_2fa", "decision": decision}
        return str((await (await self.as_(persona)).made(f"/consents/{consent}/decisions", body))["status"])

    async def status(self, consent: str, persona: str, thread: str) -> int:
        """Return how somebody fares with a thread."""
        return (await (await self.as_(persona)).get(f"/threads/{thread}")).status_code

    async def again(self, *personas: str) -> None:
        """Sign these in anew: tokens live ten minutes."""
        for persona in personas:
            self.instance.tokens[persona] = await self.instance.sign_in(persona)


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    async with serve(settings, clock) as served:
        yield served


async def opened(instance: Instance) -> Household:
    """Register the family and open the household, as the practice nurse for youth does."""
    births = {"child": born(13), "brother": born(17), "mother": born(44), "father": born(47)}
    home = Household(instance, births)
    nurse = await home.as_("poh-youth")
    for who, (given, family, persona) in PEOPLE.items():
        known: Json = {"bsn": BY_KEY[persona].test_bsn} if persona else {"noBsnReason": "nog niet getoond"}
        body = {**known, "name": {"given": given, "family": family}, "birthDate": births[who].isoformat()}
        home.patients[who] = str((await nurse.made("/patients", {**body, "neighbourhood": "limmel"}))["id"])
    people = [{"patientId": one, "question": QUESTION} for one in home.patients.values()]
    home.case_id = str((await nurse.made("/cases", {"kind": "household", "patients": people}))["id"])
    for parent in (MOTHER, FATHER):
        made = await nurse.made(f"{home.case}/representations", representation(home.patients["child"], parent))
        home.says[parent] = str(made["id"])
    await home.invited("youth-consultant", "gezinsregisseur")
    return home


async def test_a_family_at_one_table_until_the_child_turns_sixteen(timed: Instance, clock: MovableClock) -> None:
    home = await opened(timed)
    nurse = await home.as_("poh-youth")
    threads = {who: await home.thread(who, YOUTH) for who in PEOPLE}

    await _each_decides_for_themselves(home, threads)
    refused = await _a_father_s_no_keeps_the_municipality_out(home, threads)
    shared = await _what_all_agree_to_works(home)
    await _nobody_speaks_for_another(home, refused)

    await _sixteen(home, clock, threads, shared)
    await home.again("poh-youth")
    nurse = await home.as_("poh-youth")
    assert (await nurse.delete(f"{home.case}/members/{home.members['youth-consultant']}")).status_code == 204
    members = (await nurse.get(f"{home.case}/members")).json()["items"]
    assert "gezinsregisseur" not in {one["caseRole"] for one in members}


async def _each_decides_for_themselves(home: Household, threads: dict[str, str]) -> None:
    """The brother of seventeen alone, in the room; the mother about herself, in her own log-in; files stay apart."""
    nurse = await home.as_("poh-youth")
    given = await nurse.made(f"{home.case}/consents", {**home.terms("brother", YOUTH), **DECIDED})
    assert given["status"] == "active"
    hers = await home.asked("mother", YOUTH)
    assert await home.decides(hers, "mother-herself") == "active"
    for who, expected in {"brother": 200, "mother": 200, "child": 404, "father": 404}.items():
        assert await home.status(hers, "youth-consultant", threads[who]) == expected, who
    for persona, own in (("mother-herself", "mother"), ("father-himself", "father"), ("teenager", "child")):
        seen = (await (await home.as_(persona)).get(home.case)).json()
        assert [one["id"] for one in seen["patients"]] == [home.patients[own]], persona
        for who, thread in threads.items():
            assert await home.status(hers, persona, thread) == (200 if who == own else 404), (persona, who)
    for parent in (MOTHER, FATHER):
        seen = (await (await home.as_(parent)).get(home.case)).json()
        assert [one["id"] for one in seen["patients"]] == [home.patients["child"]]


async def _a_father_s_no_keeps_the_municipality_out(home: Household, threads: dict[str, str]) -> str:
    consent = await home.asked("child", YOUTH)
    assert await home.decides(consent, "teenager") == "proposed"
    assert await home.decides(consent, MOTHER) == "proposed"
    assert await home.decides(consent, FATHER, "no") == "refused"
    assert await home.status(consent, "youth-consultant", threads["child"]) == 404
    nurse, mother = await home.as_("poh-youth"), await home.as_(MOTHER)
    assert (await nurse.get(f"/consents/{consent}")).json()["status"] == "refused"
    shown = (await mother.get(f"/consents/{consent}")).json()
    assert (shown["status"], len(shown["decisions"])) == ("proposed", 1), "whose no it was is not hers to know"
    again = await nurse.post(f"/consents/{consent}/decisions", {**DECIDED, "decision": "yes"})
    assert (again.status_code, problem_of(again)["code"]) == (409, "consent-decided")
    return consent


async def _what_all_agree_to_works(home: Household) -> str:
    consent = await home.asked("child", "education", "plan_goals_actions")
    for persona in ("teenager", MOTHER):
        assert await home.decides(consent, persona) == "proposed"
    assert await home.decides(consent, FATHER) == "active"
    plan = await home.thread("child", "plan_goals_actions")
    assert await home.status(consent, "youth-consultant", plan) == 200
    return consent


async def _nobody_speaks_for_another(home: Household, refused: str) -> None:
    """What must fail."""
    nurse, mother, father = [await home.as_(one) for one in ("poh-youth", MOTHER, FATHER)]
    late = representation(home.patients["brother"], MOTHER)
    assert faults_of(await nurse.post(f"{home.case}/representations", late)) == {"/kind": "patient-decides"}
    ours = {**DECIDED, "decidedBy": voice(), "method": "digital_2fa"}
    for caller, who in ((mother, "brother"), (father, "mother"), (mother, "mother")):
        answer = await caller.post(f"{home.case}/consents", {**home.terms(who, YOUTH), **ours})
        assert answer.status_code == 403, who
    herself = await home.as_("mother-herself")
    hers = {**DECIDED, "method": "digital_2fa"}
    for who in ("child", "father", "brother"):
        answer = await herself.post(f"{home.case}/consents", {**home.terms(who, YOUTH), **hers})
        assert answer.status_code == 403, "a consent of one member is not another's"
    posed = {**home.terms("brother", "education"), **DECIDED, "decidedBy": voice(home.says[MOTHER])}
    assert faults_of(await nurse.post(f"{home.case}/consents", posed)) == {"/decidedBy/id": "not-a-representative"}
    meldcode = await nurse.post(f"{home.case}/consent-requests", home.terms("child", "safety_meldcode"))
    assert faults_of(meldcode) == {"/categories": "not-shareable"}
    for persona in ("mother-herself", "father-himself"):
        assert (await (await home.as_(persona)).get(f"/consents/{refused}")).status_code == 404


async def _told(home: Household, about: str) -> set[str]:
    found = (await (await home.as_("teenager")).get("/notices")).json()["items"]
    return {one["kind"] for one in found if one["about"] == about}


async def _sixteen(home: Household, clock: MovableClock, threads: dict[str, str], shared: str) -> None:
    sixteen = birthday(home.births["child"], 16)
    shown = (await (await home.as_("poh-youth")).get(f"/consents/{shared}")).json()
    assert (shown["renewOn"], shown["toBeRenewed"]) == (sixteen.isoformat(), False)
    until(clock, dawn_of(sixteen) - timedelta(hours=1))
    await home.again(FATHER, "teenager")
    assert "renewal_due" not in await _told(home, shared)
    async with talking(await home.as_(FATHER), home.case_id) as father:
        until(clock, dawn_of(sixteen) + timedelta(hours=1))
        narrowed = await father.hear("narrowed")
        assert YOUTH in narrowed["categories"]
    everybody = ("poh-youth", "teenager", "youth-consultant", MOTHER, FATHER, "mother-herself")
    await home.again(*everybody)
    for parent in (MOTHER, FATHER):
        caller = await home.as_(parent)
        assert await home.status(shared, parent, threads["child"]) == 404
        assert (await caller.get(f"/consents/{shared}")).status_code == 404
        assert "patients" not in (await caller.get(home.case)).json()
    assert await home.status(shared, "mother-herself", threads["mother"]) == 200, "her own file stays hers"
    nurse = await home.as_("poh-youth")
    assert "renewal_due" in await _told(home, shared)
    flagged = (await nurse.get(f"/consents/{shared}")).json()
    assert (flagged["status"], flagged["toBeRenewed"]) == ("active", True)
    parents = {**home.terms("child", YOUTH), **DECIDED, "decidedBy": voice(home.says[FATHER])}
    assert faults_of(await nurse.post(f"{home.case}/consents", parents)) == {"/decidedBy/id": "outside-period"}
    alone = await home.asked("child", YOUTH)
    assert await home.decides(alone, "teenager") == "active"
    assert await home.status(alone, "youth-consultant", threads["child"]) == 200
