"""J5: a citizen changes one cell of what she allowed, and leaves the rest as it is; and the same through a member."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.consent.bundles import BUNDLES_VERSION
from tests.api.room import DECIDED, faults_of
from tests.serving import Caller, Instance
from tests.stories import Table, account_of, consent, open_table, seat, thread
from tests.talking import talking

Json = dict[str, Any]
TWO = ("social_participation", "living_situation")


async def cells(table: Table, persona: str, category: str) -> list[Json]:
    """Return what the citizen's matrix says of one category of somebody, but for what any other cell implies."""
    rows = (await (await table.as_("citizen")).get(f"/cases/{table.case_id}/matrix")).json()["items"]
    member = table.members[persona]
    return [
        cell for row in rows if row["memberId"] == member for cell in row["cells"] if cell["category"] == category
    ]


async def reads(table: Table, persona: str, thread_id: str) -> int:
    return (await (await table.as_(persona)).get(f"/threads/{thread_id}")).status_code


async def narrowed(caller: Caller, consent_id: str, **cut: Any) -> Json:
    made: Json = await caller.made(f"/consents/{consent_id}/narrowing", cut)
    assert made["superseded"] == consent_id
    return made


async def test_she_takes_one_category_out_and_leaves_the_rest(instance: Instance) -> None:
    table = await open_table(instance)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    citizen, worker, gp = [await table.as_(one) for one in ("citizen", "social-worker", "gp")]
    ends = (datetime.now(UTC) + timedelta(days=300)).isoformat(timespec="seconds")
    given = await consent(table, "social-worker", *TWO, validUntil=ends)
    social, living = [await thread(table, one) for one in TWO]

    # Each cell says by which door it is changed.
    (cell,) = [one for one in await cells(table, "social-worker", TWO[0]) if one["domain"] == "care"]
    recipient = {"type": "member", "id": table.members["social-worker"], "role": None}
    assert cell["change"] == {"by": "consent", "consentId": given, "recipients": [recipient]}
    (treated,) = await cells(table, "district-nurse", "medication")
    assert treated["change"] == {"by": "objection", "consentId": None, "recipients": []}
    assert {one["change"] for one in await cells(table, "district-nurse", "identification")} == {None}

    # A preview says who loses what, and changes nothing.
    preview = f"/consents/{given}/narrowing-preview"
    answer = await citizen.post(preview, {"categories": [TWO[1]]})
    assert answer.status_code == 200, answer.text
    (loss,) = [one for one in answer.json()["losses"] if one["person"]["role"] == "social_team"]
    assert {one["category"] for one in loss["cells"]} == {TWO[1]}
    assert await reads(table, "social-worker", living) == 200

    # Must fail: widening, everything, nothing, who it does not name, what is not a cell, and who is not asked.
    path, other = f"/consents/{given}/narrowing", {"type": "member", "id": table.members["district-nurse"]}
    for body, fault in (
        ({"categories": ["medication"]}, {"/categories/0": "not-in-consent"}),
        ({"categories": list(TWO)}, {"/categories": "nothing-left"}),
        ({"recipients": [recipient_body(table)]}, {"/recipients": "nothing-left"}),
        ({"recipients": [other]}, {"/recipients/0": "not-in-consent"}),
        ({}, {"/categories": "missing"}),
        ({"categories": [TWO[1]], "decidedAt": ends}, {"/decidedAt": "in-future"}),
        ({"categories": [TWO[1]], "validUntil": ends}, {"/validUntil": "unknown-field"}),
    ):
        wrong = await citizen.post(path, body)
        assert faults_of(wrong).items() >= fault.items() or "/validUntil" in fault, (body, wrong.text)
    for stranger in ("gp-other", "district-nurse", "specialist"):
        assert (await (await table.as_(stranger)).post(path, {"categories": [TWO[1]]})).status_code == 404
    agreed = await citizen.made(f"/cases/{table.case_id}/consents", gdpr(table))
    assert (await citizen.post(f"/consents/{agreed['id']}/narrowing", {"categories": [TWO[1]]})).status_code == 409
    assert await reads(table, "social-worker", living) == 200, "nothing of that changed anything"

    # It closes at once, on the open socket too, and the rest stays as it was.
    async with talking(worker, table.case_id) as ear:
        made = await narrowed(citizen, given, categories=[TWO[1]], method="digital_2fa")
        told = await ear.hear("narrowed")
        assert told["categories"] == [TWO[1]]
        assert told["why"] == "consent-narrowed"
        await gp.made(f"/threads/{living}/messages", {"text": "Dit hoort zij niet."})
        await gp.made(f"/threads/{social}/messages", {"text": "Dit wel."})
        heard = await ear.event("message.posted")
        assert heard["data"]["threadId"] == social
    (left,) = made["items"]
    assert left["categories"] == [TWO[0]]
    assert (left["status"], left["refersTo"]) == ("active", {"id": given, "as": "narrowing"})
    old = (await citizen.get(f"/consents/{given}")).json()
    assert old["status"] == "superseded"
    for same in ("validUntil", "textVersion", "textSha256", "recipients", "purpose", "from", "decidedAt"):
        assert left[same] == old[same], same
    assert [one["decision"] for one in left["decisions"]] == ["yes", "yes"]
    assert (await reads(table, "social-worker", living), await reads(table, "social-worker", social)) == (404, 200)
    assert await cells(table, "social-worker", TWO[1]) == []
    kinds = {one["kind"] for one in (await citizen.get("/notices")).json()["items"] if one["about"] == left["id"]}
    assert not kinds & {"consent_withdrawn"}, "she did it herself"

    # Must fail: a second time, and a yes from before that would open it again.
    again = await citizen.post(path, {"categories": [TWO[1]]})
    assert (again.status_code, again.json()["code"]) == (409, "consent-superseded")
    earlier = {**DECIDED, "decidedAt": left["decidedAt"]}
    late = await gp.post(f"/cases/{table.case_id}/consents", {**terms(table, [TWO[1]]), **earlier})
    assert faults_of(late) == {"/decidedAt": "overtaken"}
    kept = await gp.post(f"/cases/{table.case_id}/consents", {**terms(table, [TWO[0]]), **earlier})
    assert kept.status_code == 201, "what she left is not overtaken"
    taken = await citizen.made(f"/consents/{left['id']}/withdrawal", {"method": "digital_2fa"})
    assert taken["status"] == "withdrawn"


async def test_she_takes_a_recipient_or_a_corner_out_and_so_does_a_member_on_her_word(instance: Instance) -> None:
    table = await open_table(instance)
    for persona in ("social-worker", "social-worker-2", "informal-carer"):
        await seat(table, persona)
    citizen, gp = await table.as_("citizen"), await table.as_("gp")
    to = [recipient_body(table, one) for one in ("social-worker", "social-worker-2")]
    given = await consent(table, "social-worker", *TWO, recipients=to)
    social, living = [await thread(table, one) for one in TWO]

    # A corner: one category of one recipient. What is left is in two parts; the same key has one effect.
    key = {"Idempotency_Key": "een-hoekje"}
    cut = {"categories": [TWO[1]], "recipients": to[1:], "method": "digital_2fa"}
    first = await citizen.post(f"/consents/{given}/narrowing", cut, **key)
    assert first.status_code == 201, first.text
    replayed = await citizen.post(f"/consents/{given}/narrowing", cut, **key)
    assert (replayed.status_code, replayed.json()) == (201, first.json())
    parts = {one["recipients"][0]["id"]: one["categories"] for one in first.json()["items"]}
    assert parts == {to[0]["id"]: list(TWO), to[1]["id"]: [TWO[0]]}
    found = {
        (persona, one): await reads(table, persona, one)
        for persona in ("social-worker", "social-worker-2")
        for one in (social, living)
    }
    assert found == {
        ("social-worker", social): 200,
        ("social-worker", living): 200,
        ("social-worker-2", social): 200,
        ("social-worker-2", living): 404,
    }

    # Orally through a member, confirmed to her with how to undo it; who is out hears that theirs is over.
    both = await consent(table, "social-worker", "positive_health", recipients=to)
    async with talking(await table.as_("social-worker-2"), table.case_id) as ear:
        made = await narrowed(gp, both, recipients=to[1:], method="oral_recorded")
        gone = await ear.event("consent.withdrawn")
        assert gone["data"]["id"] == both
        assert "positive_health" in (await ear.hear("narrowed"))["categories"]
    (left,) = made["items"]
    assert [one["id"] for one in left["recipients"]] == [to[0]["id"]]
    notices = (await citizen.get("/notices")).json()["items"]
    assert [one["kind"] for one in notices if one["about"] == left["id"]] == ["oral_confirmation"]
    assert (await (await table.as_("social-worker-2")).get(f"/consents/{left['id']}")).status_code == 404
    undone = await gp.made(f"/consents/{left['id']}/additions", {**DECIDED, "recipient": to[1]})
    assert undone["status"] == "active"

    # A carer whom it names does not change it; a bundle's consent stays one of that bundle.
    carer = [recipient_body(table, "informal-carer"), to[0]]
    named = await consent(table, "social-worker", "practical_coordination", "mdo_report", recipients=carer)
    refused = await (await table.as_("informal-carer")).post(f"/consents/{named}/narrowing", {"recipients": to[:1]})
    assert refused.status_code == 403
    use: Json = await gp.made(
        f"/cases/{table.case_id}/consent-bundles",
        {
            "patientId": table.patient_id,
            "bundle": "langer-thuis",
            "version": BUNDLES_VERSION,
            "lines": [{"line": "sociaal-team"}],
            "decision": DECIDED,
        },
    )
    (bundled,) = use["items"]
    (rest,) = (await narrowed(citizen, bundled["id"], categories=["functional_adl"]))["items"]
    assert rest["bundle"]["bundle"] == "langer-thuis"
    assert (await citizen.post(f"/consents/{rest['id']}/renewal", {**DECIDED})).status_code == 201
    assert await account_of(instance, "citizen")


def recipient_body(table: Table, persona: str = "social-worker") -> Json:
    return {"type": "member", "id": table.members[persona]}


def terms(table: Table, categories: list[str]) -> Json:
    return {
        "patientId": table.patient_id,
        "kind": "lift_secrecy",
        "recipients": [recipient_body(table)],
        "categories": categories,
        "purpose": "CAREMGT",
    }


def gdpr(table: Table) -> Json:
    return {
        **terms(table, list(TWO)),
        "kind": "gdpr_basis",
        "from": [{"domain": "care"}],
        **DECIDED,
        "method": "digital_2fa",
    }
