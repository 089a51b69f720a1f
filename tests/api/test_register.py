"""The register: auditors and privacy officers see which consents there are, and nothing that was said or named."""

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import asyncpg
import httpx
import pytest
from fhir.resources.R4B.consent import Consent

from app.access.tables import POLICY_VERSION
from app.api import edge, register
from app.api.register import cell
from app.cli.postgres import Urls
from app.entitlement import replay
from tests.api.room import DECIDED, faults_of
from tests.serving import Caller, Instance
from tests.stories import Table, consent, open_table, seat, thread

Json = dict[str, Any]


async def some_consents(instance: Instance) -> tuple[Table, list[str]]:
    """Return a table with four consents, in the order they were recorded."""
    table = await open_table(instance)
    for persona in ("social-worker", "specialist"):
        await seat(table, persona)
    await thread(table, "medication", title="Te hoge dosis")
    first = await consent(table, "social-worker", "medication", "functional_adl")
    until = (datetime.now(UTC) + timedelta(days=20)).isoformat()
    second = await consent(table, "specialist", "medication", validUntil=until)
    third = await consent(table, "social-worker", "living_situation", kind="gdpr_basis")
    gp = await table.as_("gp")
    terms: Json = {
        "patientId": table.patient_id,
        "kind": "lift_secrecy",
        "recipients": [{"type": "role", "role": "social_team"}],
        "categories": ["zrm"],
        "purpose": "CAREMGT",
    }
    asked = await gp.made(f"/cases/{table.case_id}/consent-requests", terms)
    await (await table.as_("citizen")).made(f"/consents/{first}/withdrawal")
    return table, [first, second, third, str(asked["id"])]


async def listed(caller: Caller, **query: str | int) -> list[str]:
    """Return the ids that the register lists."""
    answer = await caller.get("/consents", **query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_the_register_lists_and_exports_without_names_and_leaves_a_record_of_each_page(
    instance: Instance, database: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, (withdrawn, ending, basis, asked) = await some_consents(instance)
    auditor = await instance.as_("auditor")
    newest_first = [asked, basis, ending, withdrawn]
    assert await listed(auditor) == await listed(await instance.as_("privacy-officer")) == newest_first

    soon = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    practice = (await (await table.as_("gp")).get("/me")).json()["engagement"]["organisation"]["id"]
    narrowed: list[tuple[dict[str, str | int], list[str]]] = [
        ({"status": "withdrawn"}, [withdrawn]),
        ({"status": "asked"}, [asked]),
        ({"kind": "gdpr_basis"}, [basis]),
        ({"category": "medication"}, [ending, withdrawn]),
        ({"domain": "social"}, []),
        ({"caseId": table.case_id, "patientId": table.patient_id}, newest_first),
        ({"patientId": table.case_id}, []),
        ({"organisationId": practice}, newest_first),
        ({"expiringBefore": soon}, [ending]),
        ({"recordedTo": "2020-01-01T00:00:00Z"}, []),
        ({"recordedFrom": "2020-01-01T00:00:00Z"}, newest_first),
    ]
    for query, expected in narrowed:
        assert await listed(auditor, **query) == expected, query

    # Page after page; a cursor belongs to its own question.
    first = (await auditor.get("/consents", limit=3)).json()
    rest = (await auditor.get("/consents", limit=3, cursor=first["nextCursor"])).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == newest_first
    assert rest["nextCursor"] is None
    answer = await auditor.get("/consents", status="active", cursor=first["nextCursor"])
    assert faults_of(answer) == {"?cursor": "cursor-invalid"}
    assert faults_of(await auditor.get("/consent-exports", format="xlsx")) == {"?format": "not-allowed"}

    monkeypatch.setattr(register, "EXPORT_PAGE", 3)
    answers = {name: await auditor.get("/consent-exports", format=name) for name in ("ndjson", "csv", "fhir")}
    assert [one.headers["content-type"] for one in answers.values()] == list(register.MEDIA.values())
    assert answers["csv"].headers["content-disposition"] == 'attachment; filename="consents.csv"'
    assert answers["csv"].headers["cache-control"] == "no-store"
    lines = [json.loads(line) for line in answers["ndjson"].text.splitlines()]
    assert [line["id"] for line in lines] == newest_first
    assert lines[:3] == first["items"]
    rows = list(csv.DictReader(StringIO(answers["csv"].text)))
    assert [row["id"] for row in rows] == newest_first
    assert [row["status"] for row in rows] == ["asked", "active", "active", "withdrawn"]
    assert rows[3]["categories"] == "medication functional_adl"
    assert all(None not in row and None not in row.values() for row in rows), "a cell for each head"
    resources = [Consent.model_validate_json(line) for line in answers["fhir"].text.splitlines()]
    assert [(one.id, one.status) for one in resources] == list(
        zip(newest_first, ["draft", "active", "active", "inactive"], strict=True)
    )
    taken_back = lines[3]["withdrawal"]["withdrawnAt"]
    fhir = [json.loads(line) for line in answers["fhir"].text.splitlines()]
    assert fhir[3]["provision"]["period"]["end"].startswith(taken_back.rstrip("Z")), "to the millisecond"
    assert "uri" not in fhir[0]["policy"][0]
    assert "PractitionerRole/" not in answers["fhir"].text
    everything = "".join([answer.text for answer in answers.values()])
    for word in ("Mia", "Lemmens", "dosis", "veilig thuis", "Jansen"):
        assert word not in everything

    # Who asked is not who recorded the yes.
    mine = {"decision": "yes", **DECIDED, "method": "digital_2fa"}
    citizen, gp = await table.as_("citizen"), await table.as_("gp")
    assert (lines[0]["decisionRecordedBy"], rows[0]["decisionRecordedAt"]) == (None, "")
    given = await citizen.made(f"/consents/{asked}/decisions", mine)
    assert given["status"] == "active"
    (line,) = [one for one in (await auditor.get("/consents")).json()["items"] if one["id"] == asked]
    (row,) = [
        one
        for one in csv.DictReader(StringIO((await auditor.get("/consent-exports", format="csv")).text))
        if one["id"] == asked
    ]
    accounts = [(await one.get("/me")).json()["id"] for one in (gp, citizen)]
    assert [line["recordedBy"]["id"], line["decisionRecordedBy"]["id"]] == accounts
    assert [row["recordedBy"], row["decisionRecordedBy"]] == accounts
    assert line["decisionRecordedBy"]["role"] == "citizen"
    assert line["recordedAt"] < row["decidedAt"] <= line["decisionRecordedAt"] == row["decisionRecordedAt"]

    root = await asyncpg.connect(database.superuser)
    try:
        for answer in answers.values():
            records = await root.fetch(
                "select action, outcome, recorded_at, consent_id, patient_id, case_id from audit_event"
                " where trace_id = $1 order by recorded_at, consent_id",
                answer.headers["x-request-id"],
            )
            assert {str(one["consent_id"]) for one in records} == set(newest_first)
            assert {(one["action"], one["outcome"]) for one in records} == {("register:export", "success")}
            assert len({one["recorded_at"] for one in records}) == 2, "a transaction for each page"
    finally:
        await root.close()


async def test_a_decision_of_the_past_is_derived_again_under_its_own_policy(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _ = await some_consents(instance)
    auditor = await instance.as_("auditor")
    asked: dict[str, str | int] = {"caseId": table.case_id, "at": datetime.now(UTC).isoformat()}
    found = (await auditor.get("/access-decisions", **asked)).json()
    assert (found["reproduced"], found["policyVersion"]) == (True, POLICY_VERSION)
    assert found["grants"] > 0
    monkeypatch.setattr(replay, "POLICY_VERSION", "another")
    assert (await auditor.get("/access-decisions", **asked)).json()["reproduced"] is None
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert faults_of(await auditor.get("/access-decisions", **{**asked, "at": soon})) == {"?at": "in-future"}
    for absent in ({**asked, "caseId": table.patient_id}, {**asked, "at": "2020-01-01T00:00:00Z"}):
        assert (await auditor.get("/access-decisions", **absent)).status_code == 404


async def test_an_export_breaks_off_when_the_right_ends_and_says_so_in_the_log(
    instance: Instance, database: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_consents(instance)
    auditor = await instance.as_("auditor")
    root = await asyncpg.connect(database.superuser)
    monkeypatch.setattr(register, "EXPORT_PAGE", 2)
    original = edge._page

    async def page(incoming: edge.Incoming, endpoint: edge.Endpoint, inputs: edge.Inputs, position: object) -> Any:
        if position is not None:
            await root.execute("update login_session set ended_at = now()")
        return await original(incoming, endpoint, inputs, position)

    monkeypatch.setattr(edge, "_page", page)
    try:
        with pytest.raises(httpx.RemoteProtocolError):
            await auditor.get("/consent-exports")
        outcomes = await root.fetch(
            "select outcome from audit_event where action = 'register:export' order by recorded_at"
        )
        assert [one["outcome"] for one in outcomes] == ["success", "success", "denied"]
    finally:
        await root.close()


async def test_the_door_of_the_register_opens_consents_to_two_roles_and_nothing_else(
    instance: Instance, database: Urls
) -> None:
    await some_consents(instance)
    root, app = await asyncpg.connect(database.superuser), await asyncpg.connect(database.app)
    closed = ("patient", "care_case", "subject", "member", "thread", "case_event", "access_grant", "safe_contact")

    async def counts(role: str, door: str) -> tuple[int, int, int, set[str]]:
        session = await root.fetchval(
            "select s.id from login_session s join engagement e on e.id = s.engagement_id where e.role = $1 limit 1",
            role,
        )
        async with app.transaction():
            assert await app.fetch("select * from enter($1, null)", session)
            await app.execute("select set_config('app.door', $1, true)", door)
            found = [
                await app.fetchval(f"select count(*) from {table}")
                for table in ("consent", "consent_recipient", "consent_decision")
            ]
            seen = {table for table in closed if await app.fetchval(f"select count(*) from {table}")}
        return found[0], found[1], found[2], seen

    try:
        # The door first: what looks through the case costs a function's call for each row.
        plan = "".join(row[0] for row in await app.fetch("explain select id from consent"))
        assert 0 < plan.index("app.door") < plan.index("reads_consent")
        for persona in ("auditor", "privacy-officer", "org-admin", "region-admin", "specialist"):
            await instance.as_(persona)
        for role in ("auditor", "privacy_officer"):
            assert await counts(role, "register") == (4, 4, 3, set())
            assert await counts(role, "") == (0, 0, 0, set())
        for role in ("org_admin", "region_admin"):
            assert await counts(role, "register") == (0, 0, 0, set())
        assert await counts("specialist", "register") == await counts("specialist", "")
    finally:
        await root.close()
        await app.close()


@pytest.mark.parametrize("value", ["=1+1", "+31", "-1", "@SUM(A1)", "\tx", "\r=1"])
def test_no_cell_is_a_formula(value: str) -> None:
    assert cell(value) == f"'{value}"
    assert cell([value]) == f"'{value}"
