"""A family at one table: a child, separated parents with a log-in each, and those who work with them."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx

from app.consent.deciders import birthday
from app.identity.demo import BY_KEY
from tests.api.room import DECIDED, SHARED
from tests.serving import Caller, MovableClock, Service
from tests.stories import Table, account_of, seat

Json = dict[str, Any]
SINCE = "2015-04-01T00:00:00Z"
PATIENT: Json = {"type": "patient"}
MOTHER, FATHER = "mother", "father"


def born(years: int, *, days: int = 40, now: datetime | None = None) -> date:
    """Return the birth date of somebody who turned ``years`` some days ago; negative days are still to come."""
    return birthday((now or datetime.now(UTC)).date() - timedelta(days=days), -years)


def representation(patient_id: str, persona: str, **more: object) -> Json:
    """Return the body that records a persona as a parent."""
    return {
        "patientId": patient_id,
        "representative": {"accountId": str(BY_KEY[persona].account_id)},
        "kind": "parent",
        "evidence": {"code": "authority-register"},
        "validFrom": SINCE,
        **more,
    }


def voice(representation_id: str | None = None) -> Json:
    """Return who decides: a representative, oneself when unnamed."""
    return {"type": "representative", **({"id": representation_id} if representation_id else {})}


@dataclass
class Family(Table):
    """A table about a child, with what was recorded of its parents."""

    says: dict[str, str] = field(default_factory=dict)

    async def recorded(self, persona: str, *, by: str = "gp", **more: object) -> str:
        """Record a persona as a parent and return the representation's id."""
        caller = await self.as_(by)
        body = representation(self.patient_id, persona, **more)
        made = await caller.made(f"/cases/{self.case_id}/representations", body)
        self.says[persona] = str(made["id"])
        return self.says[persona]

    def terms(self, **more: object) -> Json:
        """Return what is asked: care opens social participation to the social worker."""
        return {
            "patientId": self.patient_id,
            "kind": "lift_secrecy",
            "recipients": [{"type": "member", "id": self.members["social-worker"]}],
            "categories": [SHARED],
            "purpose": "CAREMGT",
            **more,
        }

    async def asked(self, *, by: str = "gp", **more: object) -> str:
        """Save a consent that is to be asked, and return its id."""
        caller = await self.as_(by)
        return str((await caller.made(f"/cases/{self.case_id}/consent-requests", self.terms(**more)))["id"])

    async def says_so(self, consent_id: str, persona: str, decision: str = "yes", **more: object) -> httpx.Response:
        """Let a persona decide in their own log-in, or a professional record somebody's word."""
        body = {**DECIDED, "decision": decision, **more}
        if persona in (MOTHER, FATHER):
            body = {**body, "decidedBy": voice(), "method": "digital_2fa", **more}
        elif persona == "teenager":
            body = {**body, "method": "digital_2fa", **more}
        return await (await self.as_(persona)).post(f"/consents/{consent_id}/decisions", body)

    async def status(self, consent_id: str, persona: str = "gp") -> str:
        """Return where a consent stands, as somebody is shown it."""
        caller = await self.as_(persona)
        return str((await caller.get(f"/consents/{consent_id}")).json()["status"])

    async def cells(self, persona: str) -> set[tuple[str, str]]:
        """Return category and domain of every cell that somebody holds of the child now."""
        caller = await self.as_(persona)
        items = (await caller.get(f"/cases/{self.case_id}/access")).json()["items"]
        return {(one["category"], one["domain"]) for one in items if one["patientId"] == self.patient_id}


async def family(instance: Service, birth: date, *, bsn: str | None = None) -> Family:
    """Open a case of the GP's about a child born then, with a social worker at the table."""
    gp = await instance.as_("gp")
    known: Json = {"bsn": bsn} if bsn else {"noBsnReason": "onbekend"}
    name = {"given": "Noor", "family": "Dekker"}
    body = {**known, "name": name, "birthDate": birth.isoformat(), "neighbourhood": "limmel"}
    patient = str((await gp.made("/patients", body))["id"])
    case = await gp.made("/cases", {"kind": "individual", "patientIds": [patient], "question": "Hoe nu?"})
    table = Family(instance, str(case["id"]), patient, {})
    await seat(table, "social-worker")
    return table


def until(clock: MovableClock, instant: datetime) -> None:
    """Move the clock on to an instant."""
    clock.move(instant - (clock() or datetime.now(UTC)))


async def again(table: Table, persona: str) -> Caller:
    """Return a persona signed in anew, which the table uses from now on: tokens live ten minutes."""
    table.instance.tokens[persona] = await table.instance.sign_in(persona)
    return await table.as_(persona)


async def person_account(table: Table, persona: str) -> str:
    """Return a persona's account id."""
    return await account_of(table.instance, persona)
