"""What many stories begin with: a registered citizen, an open case, people at the table."""

from dataclasses import dataclass
from typing import Any

from tests.serving import Caller, Service

NAMES = {"given": "Mia", "family": "Lemmens"}


@dataclass
class Table:
    """A case with its people."""

    instance: Service
    case_id: str
    patient_id: str
    members: dict[str, str]

    async def as_(self, persona: str) -> Caller:
        """Return a caller."""
        return await self.instance.as_(persona)


async def citizen_bsn(instance: Service) -> str:
    """Return the demo citizen's BSN."""
    personas = (await instance.http.get("/demo-personas")).json()["items"]
    return next(str(item["testBsn"]) for item in personas if item["persona"] == "citizen")


async def account_of(instance: Service, persona: str) -> str:
    """Return a persona's account id."""
    caller = await instance.as_(persona)
    return str((await caller.get("/me")).json()["id"])


async def open_table(
    instance: Service, *, opener: str = "gp", question: str = "Hoe blijft zij veilig thuis?"
) -> Table:
    """Register the demo citizen and open a case."""
    caller = await instance.as_(opener)
    patient = await caller.made(
        "/patients",
        {
            "bsn": await citizen_bsn(instance),
            "name": NAMES,
            "birthDate": "1941-03-02",
            "neighbourhood": "nazareth",
        },
    )
    case = await caller.made("/cases", {"kind": "individual", "patientIds": [patient["id"]], "question": question})
    return Table(instance, str(case["id"]), str(patient["id"]), {})


async def seat(table: Table, persona: str, *, by: str = "gp", direct: bool = False, **more: Any) -> str:
    """Invite a persona and accept for them; return the member id."""
    host, guest = await table.as_(by), await table.as_(persona)
    made = await host.made(
        f"/cases/{table.case_id}/members",
        {
            "accountId": await account_of(table.instance, persona),
            "caseRole": "deelnemer",
            "directTreatment": direct,
            "reasonCode": "elderly-mdo",
            **more,
        },
    )
    if made["status"] == "invited":
        await guest.made(f"/cases/{table.case_id}/members/{made['id']}/acceptance")
    table.members[persona] = str(made["id"])
    return str(made["id"])


async def thread(table: Table, category: str, *, by: str = "gp", title: str = "Titel") -> str:
    """Open a thread and return its id."""
    caller = await table.as_(by)
    made = await caller.made(
        f"/cases/{table.case_id}/threads",
        {"patientId": table.patient_id, "category": category, "title": title},
    )
    return str(made["id"])


async def consent(table: Table, persona: str, *categories: str, by: str = "gp", **more: Any) -> str:
    """Record the citizen's oral consent to a member and return its id."""
    caller = await table.as_(by)
    made = await caller.made(
        f"/cases/{table.case_id}/consents",
        {
            "patientId": table.patient_id,
            "kind": "lift_secrecy",
            "recipients": [{"type": "member", "id": table.members[persona]}],
            "categories": list(categories),
            "purpose": "CAREMGT",
            "decidedBy": {"type": "patient"},
            "method": "oral_recorded",
            "textVersion": "nl-2026-1",
            **more,
        },
    )
    return str(made["id"])
