"""What a provider might send, honest or not: each thing that must hold is broken once."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from pydantic import ValidationError

from app.core.providers import OidcProvider
from app.identity.oidc.id_tokens import (
    LOGOUT_EVENT,
    Asked,
    unverified_issuer,
    verify_id_token,
    verify_logout_token,
)
from app.identity.oidc.refusals import ProviderAnswerInvalid

NOW = 1_800_000_000
ISSUER = "https://inloggen.example"
PROVIDER = OidcProvider.model_validate(
    {
        "key": "werkgever",
        "issuer": ISSUER,
        "clientId": "overlegtafel",
        "clientSecret": "geheim",
        "acrValues": ["two"],
        "amrValues": ["otp"],
        "label": "Werkgever",
    }
)
EC, RSA, STRANGER = ECKey.generate_key("P-256"), RSAKey.generate_key(2048), ECKey.generate_key("P-256")


def jwk(key: ECKey | RSAKey, **more: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "use": "sig", **more}


KEYS = [jwk(EC, kid="e1", alg="ES256"), jwk(RSA, kid="r1")]
ASKED = Asked(nonce="n-1", max_age=900, not_before=0, access_token="at-1")
HALF = urlsafe_b64encode(sha256(b"at-1").digest()[:16]).rstrip(b"=").decode()
GOOD: Mapping[str, Any] = {
    "iss": ISSUER,
    "sub": "person-1",
    "aud": "overlegtafel",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": "n-1",
    "auth_time": NOW - 30,
    "acr": "two",
    "at_hash": HALF,
    "sid": "s-1",
}


class Absent:
    """Stands for a claim that is left out; its name is the same in every process."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


def changed(claims: Mapping[str, Any], **changes: object) -> dict[str, Any]:
    return {name: value for name, value in {**claims, **changes}.items() if value is not ABSENT}


def signed(claims: Mapping[str, Any], header: Mapping[str, Any] | None = None, key: Any = EC) -> str:
    head = {"alg": "ES256", "kid": "e1", **(header or {})}
    return jwt.encode(head, dict(claims), key, algorithms=[str(head["alg"])])


def raw(header: Mapping[str, Any], claims: Mapping[str, Any], signature: str = "") -> str:
    parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join((*parts, signature))


def test_a_good_answer_proves_who_and_since_when() -> None:
    proof = verify_id_token(signed(GOOD), PROVIDER, KEYS, ASKED, now=NOW)
    assert (proof.issuer, proof.subject, proof.two_factors, proof.provider_session) == (
        ISSUER,
        "person-1",
        True,
        "s-1",
    )
    assert int(proof.authenticated_at.timestamp()) == NOW - 30
    for algorithm in ("RS256", "PS256"):
        token = signed(GOOD, {"alg": algorithm, "kid": "r1"}, RSA)
        assert verify_id_token(token, PROVIDER, KEYS, ASKED, now=NOW).subject == "person-1"


@pytest.mark.parametrize(
    ("changes", "enough"),
    [
        ({"acr": "one"}, False),
        ({"acr": ABSENT}, False),
        ({"acr": ["two"]}, False),
        ({"acr": ABSENT, "amr": ["pwd", "otp"]}, True),
        ({"acr": ABSENT, "amr": "otp"}, False),
        ({"acr": ABSENT, "amr": [["otp"], None]}, False),
    ],
)
def test_only_the_operators_words_mean_two_factors(changes: dict[str, object], enough: bool) -> None:
    token = signed(changed(GOOD, **changes))
    assert verify_id_token(token, PROVIDER, KEYS, ASKED, now=NOW).two_factors is enough


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ISSUER + "/"},
        {"iss": ABSENT},
        {"aud": "another"},
        {"aud": ABSENT},
        {"aud": {"overlegtafel": 1}},
        {"aud": ["overlegtafel", "another"]},
        {"azp": "another"},
        {"exp": NOW - 61},
        {"exp": ABSENT},
        {"exp": True},
        {"exp": 10**30},
        {"exp": str(NOW + 300)},
        {"iat": NOW + 61},
        {"iat": NOW - 601},
        {"iat": ABSENT},
        {"nbf": NOW + 61},
        {"nonce": "n-2"},
        {"nonce": ABSENT},
        {"nonce": 1},
        {"at_hash": "x"},
        {"at_hash": 1},
        {"auth_time": ABSENT},
        {"auth_time": NOW - 961},
        {"auth_time": NOW + 61},
        {"sub": ""},
        {"sub": ABSENT},
        {"sub": 7},
        {"sub": "x" * 513},
        {"sid": 7},
    ],
    ids=str,
)
def test_whatever_is_wrong_in_it_refuses_an_answer(changes: dict[str, object]) -> None:
    with pytest.raises(ProviderAnswerInvalid):
        verify_id_token(signed(changed(GOOD, **changes)), PROVIDER, KEYS, ASKED, now=NOW)


def test_several_audiences_need_it_to_be_made_for_us() -> None:
    token = signed(changed(GOOD, aud=["overlegtafel", "another"], azp="overlegtafel"))
    assert verify_id_token(token, PROVIDER, KEYS, ASKED, now=NOW).subject == "person-1"


def test_a_log_in_anew_must_have_been_after_it_was_asked_for() -> None:
    asked = Asked(nonce="n-1", max_age=900, not_before=NOW + 120, access_token="at-1")
    with pytest.raises(ProviderAnswerInvalid):
        verify_id_token(signed(GOOD), PROVIDER, KEYS, asked, now=NOW + 130)


PUBLIC_PEM = EC.as_pem(private=False)
FORGED = {
    "none": raw({"alg": "none"}, GOOD),
    "none with kid": raw({"alg": "none", "kid": "e1"}, GOOD, "AAAA"),
    "hmac with the public key": raw({"alg": "HS256", "kid": "e1"}, GOOD, "AAAA"),
    "another's key": signed(GOOD, key=STRANGER),
    "own key in the header": signed(GOOD, {"jwk": jwk(STRANGER)}, STRANGER),
    "unknown kid": signed(GOOD, {"kid": "e2"}),
    "kid of the other kind": signed(GOOD, {"kid": "r1"}),
    "no kid, wrong key": signed(GOOD, {"kid": "../../e1"}, STRANGER),
    "crit": raw({"alg": "ES256", "kid": "e1", "crit": ["x"], "x": 1}, GOOD, "AAAA"),
    "logout token": signed(GOOD, {"typ": "logout+jwt"}),
    "another type": signed(GOOD, {"typ": "at+jwt"}),
    "no signature": signed(GOOD).rpartition(".")[0] + ".",
    "cut": signed(GOOD)[:-8],
    "not a token": "a.b.c",
    "empty": "",
    "not ascii": "é.é.é",
    "encrypted": "a.b.c.d.e",
    "endless": "a" * 20_000,
    "claims of a list": raw({"alg": "ES256", "kid": "e1"}, [], "AAAA"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_a_forged_answer_is_refused(token: str) -> None:
    with pytest.raises(ProviderAnswerInvalid):
        verify_id_token(token, PROVIDER, KEYS, ASKED, now=NOW)
    with pytest.raises(ProviderAnswerInvalid):
        verify_logout_token(token, PROVIDER, KEYS, now=NOW)


def test_the_published_key_is_no_secret_to_sign_with() -> None:
    token = jwt.encode(
        {"alg": "HS256", "kid": "e1"}, dict(GOOD), OctKey.import_key(b"x" * 32 + sha256(PUBLIC_PEM).digest())
    )
    with pytest.raises(ProviderAnswerInvalid):
        verify_id_token(token, PROVIDER, KEYS, ASKED, now=NOW)


NOTICE: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": "overlegtafel",
    "iat": NOW,
    "exp": NOW + 120,
    "jti": "j-1",
    "sub": "person-1",
    "sid": "s-1",
    "events": {LOGOUT_EVENT: {}},
}


def test_a_notice_says_what_ended() -> None:
    notice = verify_logout_token(signed(NOTICE, {"typ": "logout+jwt"}), PROVIDER, KEYS, now=NOW)
    assert (notice.subject, notice.session) == ("person-1", "s-1")
    assert unverified_issuer(signed(NOTICE)) == ISSUER


@pytest.mark.parametrize(
    "changes",
    [
        {"events": ABSENT},
        {"events": {}},
        {"events": {LOGOUT_EVENT: None}},
        {"nonce": "n-1"},
        {"sub": ABSENT, "sid": ABSENT},
        {"jti": ABSENT},
        {"aud": "another"},
        {"iss": "https://another.example"},
        {"exp": NOW - 61},
        {"exp": ABSENT},
        {"iat": NOW - 601},
    ],
    ids=str,
)
def test_whatever_is_wrong_in_it_refuses_a_notice(changes: dict[str, object]) -> None:
    with pytest.raises(ProviderAnswerInvalid):
        verify_logout_token(signed(changed(NOTICE, **changes), {"typ": "logout+jwt"}), PROVIDER, KEYS, now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://inloggen.example"},
        {"issuer": "https://user@inloggen.example"},
        {"issuer": "https://inloggen.example/#x"},
        {"issuer": "ftp://127.0.0.1"},
        {"clientSecret": ABSENT},
        {"acrValues": [], "amrValues": []},
        {"scopes": ["profile"]},
        {"key": "Werk Gever"},
    ],
    ids=str,
)
def test_a_provider_that_would_not_be_safe_is_not_taken(changes: dict[str, object]) -> None:
    good = {
        "key": "werkgever",
        "issuer": ISSUER,
        "clientId": "overlegtafel",
        "clientSecret": "geheim",
        "acrValues": ["two"],
        "label": "Werkgever",
    }
    OidcProvider.model_validate(good)
    with pytest.raises(ValidationError):
        OidcProvider.model_validate(changed(good, **changes))
