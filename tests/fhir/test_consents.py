"""A consent as FHIR: whatever ours can be, the library of the standard finds it valid, and it says the same."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
from fhir.resources.R4B.consent import Consent
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.vocabulary import Category, ConsentKind, Domain, Purpose, Role
from app.consent.decisions import Status
from app.fhir.consents import ConsentFacts, Recipient, consent_json, consent_resource

instants = st.integers(1_577_836_800, 2_208_988_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
recipients = st.one_of(
    st.builds(Recipient, st.sampled_from(["member", "organisation", "team"]), st.uuids(), st.none()),
    st.builds(Recipient, st.just("role"), st.none(), st.sampled_from([*map(str, Role)])),
)
consents = st.builds(
    ConsentFacts,
    id=st.uuids(),
    patient_id=st.uuids(),
    organisation_id=st.none() | st.uuids(),
    status=st.sampled_from([*map(str, Status)]),
    kind=st.sampled_from([*map(str, ConsentKind)]),
    from_domains=st.lists(st.sampled_from([*map(str, Domain)]), min_size=1, unique=True),
    categories=st.lists(st.sampled_from([*map(str, Category)]), min_size=1, unique=True),
    recipients=st.lists(recipients, min_size=1, max_size=4),
    purpose=st.sampled_from([*map(str, Purpose)]),
    decided_by=st.sampled_from([None, "patient", "representative"]),
    decided_at=st.none() | instants,
    text_version=st.none() | st.just("nl-2026-1"),
    recorded_at=instants,
    valid_from=instants,
    valid_until=st.none() | instants,
    ended_at=st.none() | instants,
)


@settings(max_examples=50, deadline=None)
@given(consents)
def test_every_consent_is_valid_fhir_and_comes_back_as_it_was(facts: ConsentFacts) -> None:
    line = consent_json(facts)
    assert b"\n" not in line
    read = Consent.model_validate_json(line)
    assert read.id == str(facts.id)
    assert orjson.loads(line)["provision"]["type"] == ("deny" if facts.status == "refused" else "permit")
    period = consent_resource(facts)["provision"]["period"]
    if facts.ended_at is not None:
        assert period["start"] <= facts.ended_at.isoformat()
        assert period["end"] <= facts.ended_at.isoformat(), "withdrawn, it runs no longer"
    assert "/none" not in line.decode()
    # What IHE PCF does not use.
    assert not {"policyRule", "verification"} & consent_resource(facts).keys()
    assert not {"action", "class", "code", "provision"} & consent_resource(facts)["provision"].keys()


def test_nobody_waits_for_fhir_at_start() -> None:
    program = "import sys, app.main; sys.exit('fhir.resources' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_consent_says_who_agreed_to_what_for_whom_and_how_long() -> None:
    start = datetime(2026, 6, 1, 9, tzinfo=UTC)
    shown = orjson.loads(
        consent_json(
            ConsentFacts(
                id=UUID(int=1),
                patient_id=UUID(int=2),
                organisation_id=UUID(int=3),
                status="active",
                kind="lift_secrecy",
                from_domains=["care"],
                categories=["mental_health", "medication"],
                recipients=[Recipient("member", UUID(int=4), None), Recipient("role", None, "social_team")],
                purpose="SOCSUPPORT",
                decided_by="patient",
                decided_at=start,
                text_version="nl-2026-1",
                recorded_at=start,
                valid_from=start,
                valid_until=start + timedelta(days=1),
            )
        )
    )
    assert shown["status"] == "active"
    assert shown["patient"] == shown["performer"][0] == {"reference": f"Patient/{UUID(int=2)}"}
    assert shown["organization"] == [{"reference": f"Organization/{UUID(int=3)}"}]
    assert shown["scope"]["coding"][0]["code"] == "patient-privacy"
    provision = shown["provision"]
    assert [one["reference"].get("reference") for one in provision["actor"]] == [None, None]
    assert provision["actor"][0]["reference"]["identifier"]["value"] == str(UUID(int=4))
    assert shown["policy"][0]["uri"].endswith("/consent-text/nl-2026-1")
    assert provision["actor"][1]["reference"]["identifier"]["value"] == "social_team"
    assert {one["role"]["coding"][0]["code"] for one in provision["actor"]} == {"IRCP"}
    assert [one["code"] for one in provision["securityLabel"]] == ["mental_health", "medication", "care", "PSY"]
    assert provision["purpose"][0]["system"].endswith("/purpose")
    assert provision["period"]["end"].startswith("2026-06-02T09:00:00")
