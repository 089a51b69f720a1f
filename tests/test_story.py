"""The story of issue 1, step by step over HTTP."""

from tests.serving import Instance
from tests.stories import consent, open_table, seat, thread


async def test_only_the_consented_read_and_withdrawal_closes(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    medication = await thread(table, "medication")
    social = await thread(table, "social_participation", by="poh")
    worker = await table.as_("social-worker")
    assert (await worker.get(f"/cases/{table.case_id}/threads")).json() == {"items": [], "nextCursor": None}
    case = (await worker.get(f"/cases/{table.case_id}")).json()
    assert {"patients", "question", "members"}.isdisjoint(case)
    given = await consent(table, "social-worker", "social_participation")
    threads = (await worker.get(f"/cases/{table.case_id}/threads")).json()["items"]
    assert [item["id"] for item in threads] == [social]
    assert (await worker.get(f"/threads/{medication}")).status_code == 404
    posted = await worker.made(f"/threads/{social}/messages", {"text": "Ik ben er dinsdag."}, Idempotency_Key="k1")
    again = await worker.post(f"/threads/{social}/messages", {"text": "Ik ben er dinsdag."}, Idempotency_Key="k1")
    assert again.json()["id"] == posted["id"]
    citizen = await table.as_("citizen")
    assert (await citizen.get(f"/cases/{table.case_id}")).json()["question"]
    await citizen.made(f"/consents/{given}/withdrawal")
    assert (await worker.get(f"/threads/{social}")).status_code == 404
    own = (await worker.get("/contributions")).json()["items"]
    assert [item["text"] for item in own] == ["Ik ben er dinsdag."]
    other = await table.as_("gp-other")
    hidden = await other.get(f"/cases/{table.case_id}")
    absent = await other.get("/cases/00000000-0000-4000-8000-000000000000")
    assert (hidden.status_code, hidden.content) == (404, absent.content)
    auditor = await table.as_("auditor")
    found = (await auditor.get("/audit/events", patientId=table.patient_id, limit=100)).json()["items"]
    assert {"success", "denied"} <= {item["outcome"] for item in found}
