"""One case with everything in it, and the questions that tests ask over HTTP about it."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
from fastapi import FastAPI

from app.consent.bundles import BUNDLES_VERSION
from app.identity.demo import BY_KEY, PRACTICE, TEAM_ID
from tests.serving import Caller, Instance, Service
from tests.stories import Table, account_of, consent, open_table, seat, thread

Json = dict[str, Any]
ABSENT = "00000000-0000-4000-8000-000000000000"
NAME = {"given": "Jan", "family": "Smeets", "prefix": "de"}
CARE = "medication"
SHARED = "social_participation"
DECIDED: Json = {"decidedBy": {"type": "patient"}, "method": "oral_recorded", "textVersion": "nl-2026-1"}


@dataclass
class Room(Table):
    """A case of the GP's: POH and nurse treat, the social worker holds one consent, the specialist is invited."""

    app: FastAPI = field(kw_only=True)
    owner: "asyncpg.Connection[asyncpg.Record]" = field(kw_only=True)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def case(self) -> str:
        """The path of the case."""
        return f"/cases/{self.case_id}"

    async def records(self, answer: httpx.Response) -> list[Json]:
        """Return the audit records that one request left, by its id."""
        rows = await self.owner.fetch("select * from audit_event where trace_id = $1", answer.headers["x-request-id"])
        return [dict(row) for row in rows]

    async def member_body(self, persona: str, **more: object) -> Json:
        """Return the body of an invitation."""
        body: Json = {
            "accountId": await account_of(self.instance, persona),
            "caseRole": "deelnemer",
            "reasonCode": "consultation",
        }
        return {**body, **more}

    async def invited(self, persona: str, *, by: str = "gp", **more: object) -> str:
        """Invite somebody and return the member id."""
        host = await self.as_(by)
        made = await host.made(f"{self.case}/members", await self.member_body(persona, **more))
        return str(made["id"])

    def terms_body(self, **more: object) -> Json:
        """Return the body of a consent from care to the social worker that is yet to be asked."""
        body: Json = {
            "patientId": self.patient_id,
            "kind": "lift_secrecy",
            "recipients": [{"type": "member", "id": self.members["social-worker"]}],
            "categories": [SHARED],
            "purpose": "CAREMGT",
        }
        return {**body, **more}

    def decision_body(self, decision: str = "yes", **more: object) -> Json:
        """Return the body of the patient's decision."""
        return {"decision": decision, **DECIDED, **more}

    def bundle_body(self, *lines: Json, **more: object) -> Json:
        """Return the body of a bundle that is recorded with the patient's yes."""
        body: Json = {
            "patientId": self.patient_id,
            "bundle": "langer-thuis",
            "version": BUNDLES_VERSION,
            "lines": list(lines) or [{"line": "sociaal-team"}],
            "decision": DECIDED,
        }
        return {**body, **more}

    def consent_body(self, **more: object) -> Json:
        """Return the body of a consent from care to the social worker."""
        return {**self.terms_body(), **DECIDED, **more}

    async def asked(self, *, by: str = "gp", **more: object) -> str:
        """Save a consent that is to be asked, and return its id."""
        caller = await self.as_(by)
        return str((await caller.made(f"{self.case}/consent-requests", self.terms_body(**more)))["id"])

    async def consented(self, *, by: str = "gp", **more: object) -> str:
        """Record a consent and return its id."""
        caller = await self.as_(by)
        return str((await caller.made(f"{self.case}/consents", self.consent_body(**more)))["id"])

    async def posted(self, thread_id: str, text: str = "Bericht", *, by: str = "gp") -> str:
        """Post a message and return its id."""
        caller = await self.as_(by)
        return str((await caller.made(f"/threads/{thread_id}/messages", {"text": text}))["id"])

    def exclusion_body(self) -> Json:
        """Return a body that excludes somebody who is not at the table."""
        return {"patientId": self.patient_id, "accountId": str(BY_KEY["gp-other"].account_id)}

    def objection_body(self) -> Json:
        """Return a body that objects to one category for the district nurse."""
        return {
            "patientId": self.patient_id,
            "memberId": self.members["district-nurse"],
            "categories": ["crisis_plan"],
        }

    def opening_body(self) -> Json:
        """Return a body that opens a category for the district nurse."""
        return {
            "patientId": self.patient_id,
            "memberId": self.members["district-nurse"],
            "category": "advance_care_planning",
            "reason": "Wensen rond het levenseinde.",
        }

    def path_ids(self, **ids: str) -> dict[str, str]:
        """Return what stands in paths: the room's own things, or those given."""
        return {
            "caseId": self.case_id,
            "memberId": self.members["district-nurse"],
            "taskId": ABSENT,
            "representationId": ABSENT,
            "withholdingId": ABSENT,
            "threadId": self.ids["thread"],
            "messageId": self.ids["message"],
            "consentId": self.ids["consent"],
            "sessionId": ABSENT,
            "credentialId": ABSENT,
            "resetId": ABSENT,
            "workplaceId": ABSENT,
            "organisationId": str(PRACTICE.id),
            "engagementId": str(BY_KEY["poh"].engagement_id),
            "accountId": str(BY_KEY["poh"].account_id),
            "teamId": str(TEAM_ID),
            "replacementId": ABSENT,
            "clientId": ABSENT,
            "noticeId": ABSENT,
            "deathId": ABSENT,
            "changeId": ABSENT,
            "breakGlassId": ABSENT,
            "identityId": ABSENT,
            "reportId": ABSENT,
            **dict.fromkeys(("exclusionId", "objectionId", "openingId"), ABSENT),
            **ids,
        }

    async def anonymous(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask without a token."""
        return await self.instance.http.request(method, path, **options)


async def furnish(instance: Instance, owner: "asyncpg.Connection[asyncpg.Record]") -> Room:
    """Open the case and put everything into it."""
    table = await open_table(instance)
    room = Room(instance, table.case_id, table.patient_id, table.members, app=instance.app, owner=owner)
    await seat(room, "poh", direct=True)
    await seat(room, "district-nurse", direct=True)
    await seat(room, "social-worker")
    room.ids["invitation"] = await room.invited("specialist")
    room.ids["thread"] = await thread(room, CARE)
    room.ids["shared"] = await thread(room, SHARED, by="poh")
    room.ids["message"] = await room.posted(room.ids["thread"])
    room.ids["consent"] = await consent(room, "social-worker", SHARED)
    return room


def problem_of(answer: httpx.Response) -> Json:
    """Return a refusal's body, checked for what every refusal has."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: Json = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"/problems/{body['code']}"
    if answer.status_code == 404:
        assert set(body) == {"type", "title", "status", "detail", "code"}
    else:
        assert body["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
    return body


def faults_of(answer: httpx.Response) -> dict[str, str]:
    """Return pointer and code of each fault of a 400."""
    assert answer.status_code == 400, answer.text
    return {fault["pointer"]: fault["code"] for fault in problem_of(answer)["errors"]}


async def another(instance: Service, persona: str) -> Caller:
    """Return a caller in a log-in session of its own."""
    return Caller(instance, persona, await instance.sign_in(persona))


def fresh_key() -> str:
    """Return an idempotency key that nobody used."""
    return uuid4().hex
