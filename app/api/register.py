"""The register of consents, for privacy officers and auditors: which there are in the region, without names.

A list to look through, and an export to take along: lines of JSON, a table, or FHIR, page after page.
"""

import csv
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from io import StringIO
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Action, Category, ConsentKind, Domain, Purpose, Role
from app.api.bodies import Instant
from app.api.consent_bodies import FromOut, RecipientOut, WithdrawalOut
from app.api.deps import Page, RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Query, Scope, operation
from app.api.schemas import At, PageQuery, before, next_cursor
from app.audit.records import ActionCode, Touch
from app.consent.decisions import Status
from app.consent.register import service as register
from app.consent.rules import LATE_AFTER
from app.core.clock import utc
from app.core.ids import CaseId, ConsentId, PatientId
from app.entitlement.replay import replay
from app.fhir.consents import ConsentFacts, Recipient, consent_json

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["register"])

EXPORT_PAGE = 500
"""How many consents one transaction of an export reads, and records as read."""

MEDIA = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
    "fhir": "application/fhir+ndjson",
}
NAMES = {"ndjson": "consents.ndjson", "csv": "consents.csv", "fhir": "consents.fhir.ndjson"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what a spreadsheet takes a cell for a formula. Source: OWASP, CSV Injection."""


class Wanted(Query):
    """Which consents. ``organisationId`` is whose people recorded it, or to whom it is; ``recordedTo`` is exclusive.

    ``expiringBefore`` means active, and ending before then.
    """

    status: Status | None = None
    kind: ConsentKind | None = None
    domain: Domain | None = None
    category: Category | None = None
    case_id: UUID | None = None
    patient_id: UUID | None = None
    organisation_id: UUID | None = None
    recorded_from: Instant | None = None
    recorded_to: Instant | None = None
    expiring_before: Instant | None = None

    def wanted(self) -> register.Wanted:
        """Return what the register is asked."""
        return register.Wanted(**{name: getattr(self, name) for name in Wanted.model_fields})


class RegisterQuery(Wanted, PageQuery):
    """Which consents, and which part of the list."""


class ExportQuery(Wanted):
    """Which consents, and how they are written: lines of JSON, a table for spreadsheets, or lines of FHIR R4."""

    format: Literal["ndjson", "csv", "fhir"] = "ndjson"


class RecorderOut(Out):
    """Who recorded something, by id: names are not part of the register."""

    id: UUID
    role: Role
    organisation_id: UUID | None


class RegisteredDecisionOut(Out):
    """One person's yes or no; ``late`` when it was recorded more than seven days after it was made."""

    decider: str
    decision: Literal["yes", "no"]
    decided_at: At
    method: str
    text_version: str
    language: str
    interpreter: str | None
    recorded_at: At
    late: bool


class RegisteredConsentOut(Out):
    """A consent as the register shows it: everything of R-3, nobody's name, and no reason that somebody wrote.

    ``recordedBy`` and ``recordedAt`` are of the terms: who asked, and when. ``decisionRecordedBy`` and
    ``decisionRecordedAt`` are of the decision by which it was given or refused; null while it is open.
    """

    id: UUID
    case_id: UUID
    patient_id: UUID
    kind: ConsentKind
    status: Status
    from_: list[FromOut] = Field(alias="from")
    categories: list[Category]
    both_ways: bool
    history: str
    recipients: list[RecipientOut]
    purpose: Purpose
    regime: str
    capacity: str
    departure: str | None
    decisions: list[RegisteredDecisionOut]
    recorded_by: RecorderOut
    recorded_at: At
    decision_recorded_by: RecorderOut | None
    decision_recorded_at: At | None
    valid_from: At
    valid_until: At | None
    renew_on: str | None
    withdrawal: WithdrawalOut | None
    superseded_at: At | None
    bundle: str | None
    bundle_version: str | None


class RegisterOut(Out):
    """Consents of the region, newest first."""

    items: list[RegisteredConsentOut]
    next_cursor: str | None


def _out(row: RowMapping) -> RegisteredConsentOut:
    withdrawal = None
    if row["withdrawn_at"] is not None:
        withdrawal = WithdrawalOut(
            withdrawn_at=row["withdrawn_at"],
            decided_by=row["withdrawal_decided_by"],
            decided_at=row["withdrawal_decided_at"],
            method=row["withdrawal_method"],
        )
    return RegisteredConsentOut(
        **{name: row[name] for name in _SAME},
        from_=[FromOut(domain=domain) for domain in row["from_domains"]],
        recipients=[RecipientOut(**one) for one in row["recipients"]],
        decisions=[_decision(one) for one in row["decisions"]],
        recorded_by=_recorder(row, "recorded_by"),
        decision_recorded_by=_recorder(row, "decision_recorded_by") if row["decision_recorded_at"] else None,
        renew_on=row["renew_on"].isoformat() if row["renew_on"] else None,
        withdrawal=withdrawal,
    )


def _recorder(row: RowMapping, name: str) -> RecorderOut:
    return RecorderOut(
        id=row[f"{name}_account_id"], role=row[f"{name}_role"], organisation_id=row[f"{name}_organisation_id"]
    )


_SAME = (
    *("id", "case_id", "patient_id", "kind", "status", "categories", "both_ways", "history", "purpose", "regime"),
    *("capacity", "departure", "recorded_at", "decision_recorded_at", "valid_from", "valid_until"),
    *("superseded_at", "bundle", "bundle_version"),
)


def _decision(one: dict[str, Any]) -> RegisteredDecisionOut:
    decided_at, recorded_at = (datetime.fromisoformat(one[name]) for name in ("decided_at", "recorded_at"))
    return RegisteredDecisionOut(
        **{name: one[name] for name in ("decider", "method", "text_version", "language", "interpreter")},
        decision="yes" if one["yes"] else "no",
        decided_at=decided_at,
        recorded_at=recorded_at,
        late=recorded_at - decided_at > LATE_AFTER,
    )


def _touches(rows: Sequence[RowMapping]) -> list[Touch]:
    """Return what a page showed of whom; a page without any is still one that was read."""
    return [
        Touch(
            "consent",
            row["id"],
            CaseId(row["case_id"]),
            PatientId(row["patient_id"]),
            consent_id=ConsentId(row["id"]),
        )
        for row in rows
    ] or [Touch("register")]


class DecisionQuery(Query):
    """Of which case, and at which moment of the past."""

    case_id: UUID
    at: Instant


class AccessDecisionOut(Out):
    """Which version of the policy decided who could see what then, from which inputs, and whether it holds.

    ``reproduced`` is null where this release does not know that version of the policy.
    """

    version: int
    policy_version: str
    derived_at: At
    inputs_sha256: str = Field(alias="inputsSha256")
    grants: int
    reproduced: bool | None


@router.get("/access-decisions")
@operation(Scope.ROLE, Action.ACCESS_REPLAY, ActionCode.READ, Content.LOG)
async def read_access_decision(ctx: RoleContext, query: DecisionQuery) -> AccessDecisionOut:
    """Derive again who could see what in a case at a moment of the past, and say whether it comes to the same."""
    found = await replay(ctx.db, ctx.permit, query.case_id, query.at)
    ctx.touch(Touch("access-decision", None, CaseId(query.case_id), access_version=found.version))
    return AccessDecisionOut(**asdict(found))


@router.get("/consents")
@operation(Scope.ROLE, Action.REGISTER_LIST, ActionCode.READ, Content.LOG)
async def list_register(ctx: RoleContext, query: RegisterQuery) -> RegisterOut:
    """List the consents of the region, newest first. Reading the register is logged."""
    wanted = query.wanted()
    label = f"register:{wanted}"
    rows = await register.register(
        ctx.db, ctx.permit, wanted, before=before(ctx, query.cursor, label), limit=query.limit + 1
    )
    shown = rows[: query.limit]
    ctx.touch(*_touches(shown))
    cursor = next_cursor(ctx, shown[-1]["recorded_at"], shown[-1]["id"], label) if len(rows) > query.limit else None
    return RegisterOut(items=[_out(row) for row in shown], next_cursor=cursor)


@router.get(
    "/consent-exports",
    response_class=Response,
    responses={200: {"content": {media: {"schema": {"type": "string"}} for media in MEDIA.values()}}},
)
@operation(Scope.ROLE, Action.REGISTER_EXPORT, ActionCode.READ, Content.LOG, exports=True)
async def export_register(ctx: RoleContext, query: ExportQuery) -> None:
    """Export the consents of the region, newest first.

    The file comes in pages. Each is read under the rights of that moment and recorded before it leaves: whoever loses
    the right in between gets a file that breaks off.
    """
    position: tuple[datetime, UUID] | None = ctx.position
    rows = await register.register(ctx.db, ctx.permit, query.wanted(), before=position, limit=EXPORT_PAGE + 1)
    shown = rows[:EXPORT_PAGE]
    ctx.touch(*_touches(shown))
    after = (shown[-1]["recorded_at"], shown[-1]["id"]) if len(rows) > EXPORT_PAGE else None
    # Apart: what is written takes a while, the first FHIR most of all, and sockets are not to wait for it.
    content = await to_thread(_written, query.format, shown, first=position is None)
    ctx.page = Page(content, MEDIA[query.format], NAMES[query.format], after)


def _written(format_: str, rows: Sequence[RowMapping], *, first: bool) -> bytes:
    if format_ == "csv":
        return _table([_line(row) for row in rows], first=first)
    if format_ == "fhir":
        return b"".join(consent_json(_facts(row)) + b"\n" for row in rows)
    return b"".join(_out(row).model_dump_json(by_alias=True).encode() + b"\n" for row in rows)


def _facts(row: RowMapping) -> ConsentFacts:
    return ConsentFacts(
        **{name: row[name] for name in ("id", "patient_id", "status", "kind", "from_domains", "categories")},
        **{name: row[name] for name in ("purpose", "decided_by", "decided_at", "text_version", "recorded_at")},
        organisation_id=row["recorded_by_organisation_id"],
        recipients=[
            Recipient(one["type"], UUID(one["id"]) if one["id"] else None, one["role"]) for one in row["recipients"]
        ],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        ended_at=row["withdrawn_at"] or row["superseded_at"],
    )


COLUMNS = (
    *("id", "caseId", "patientId", "kind", "status", "from", "categories", "bothWays", "history", "recipients"),
    *("purpose", "regime", "capacity", "departure", "decidedBy", "decidedAt", "method", "textVersion", "recordedBy"),
    *("recordedByRole", "recordedByOrganisationId", "recordedAt", "validFrom", "validUntil", "renewOn"),
    *("withdrawnAt", "withdrawalDecidedBy", "withdrawalMethod", "supersededAt", "bundle", "bundleVersion"),
    *("decisionRecordedBy", "decisionRecordedAt"),
)
"""The table's heads. ``recordedBy`` and what follows it are of the terms, the last two of the decision."""


def _line(row: RowMapping) -> list[object]:
    recipients = [f"{one['type']}:{one['id'] or one['role']}" for one in row["recipients"]]
    return [
        *(row[name] for name in ("id", "case_id", "patient_id", "kind", "status")),
        *(row[name] for name in ("from_domains", "categories", "both_ways", "history")),
        recipients,
        *(row[name] for name in ("purpose", "regime", "capacity", "departure", "decided_by", "decided_at", "method")),
        *(row[name] for name in ("text_version", "recorded_by_account_id", "recorded_by_role")),
        *(row[name] for name in ("recorded_by_organisation_id", "recorded_at", "valid_from", "valid_until")),
        *(row[name] for name in ("renew_on", "withdrawn_at", "withdrawal_decided_by", "withdrawal_method")),
        *(row[name] for name in ("superseded_at", "bundle", "bundle_version")),
        *(row[name] for name in ("decision_recorded_by_account_id", "decision_recorded_at")),
    ]


def _table(lines: Sequence[Sequence[object]], *, first: bool) -> bytes:
    """Return lines as CSV (RFC 4180), with their heads on the first page."""
    written = StringIO()
    writer = csv.writer(written)
    if first:
        writer.writerow(COLUMNS)
    writer.writerows([[cell(value) for value in line] for line in lines])
    return written.getvalue().encode()


def cell(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return utc(value)
    shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
