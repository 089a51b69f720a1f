"""No attack token is accepted, each is noticed by the layer meant for it, and none ends in anything but a refusal."""

import json
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from jose import jwt

from app.identity.tokens import CLAIM_NAMES, TokenFault, TokenInvalid, TokenVerifier
from tests.identity.forge import Attack, Forge, decode, is_sendable, new_pem, public_jwk

NOW = 1_790_000_000
KID = "signing-2026-11"
ISSUER = "https://overlegtafel.example"
PEM = new_pem()
FORGE = Forge(
    kid=KID,
    pem=PEM,
    claims={
        "iss": ISSUER,
        "aud": f"{ISSUER}/api",
        "sub": "0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a01",
        "org": "0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a02",
        "role": "poh",
        "spec": "ggz",
        "resp": "0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a06",
        "eng": "0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a03",
        "scope": "case:read case:write",
        "sid": "0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a04",
        "acr": "urn:overlegtafel:two-factors",
        "auth_time": NOW - 300,
        "iat": NOW,
        "exp": NOW + 600,
        "jti": "0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a05",
    },
)
ATTACKS = list(FORGE.attacks())
NOTICED_AS = {
    "form": {TokenFault.FORM},
    "encoding": {TokenFault.FORM},
    "unsigned": {TokenFault.FORM},
    "alg": {TokenFault.HEADER},
    "confusion": {TokenFault.FORM, TokenFault.HEADER},  # by its length, or where that is right by its algorithm
    "kid": {TokenFault.HEADER},
    "kid-unknown": {TokenFault.KEY},
    "header": {TokenFault.HEADER},
    "typ": {TokenFault.HEADER},
    "raw-header": {TokenFault.HEADER},
    "signature": {TokenFault.SIGNATURE},
    "signature-size": {TokenFault.FORM},
    "tampered": {TokenFault.SIGNATURE},
    "tampered-header": {TokenFault.HEADER},
    "claim": {TokenFault.CLAIMS},
    "raw-claims": {TokenFault.CLAIMS},
    "time": {TokenFault.TIME},
}
RIGHTLY_SIGNED = {"alg", "kid", "kid-unknown", "header", "typ", "raw-header", "claim", "raw-claims", "time"}


class OneKey:
    """A key set of one key."""

    def current(self) -> "OneKey":
        return self

    @property
    def kid(self) -> str:
        return KID

    @property
    def pem(self) -> str:
        return PEM

    def public_jwks(self) -> dict[str, object]:
        return {"keys": [public_jwk(PEM, KID)]}

    def public_key(self, kid: str) -> dict[str, str] | None:
        return public_jwk(PEM, KID) if kid == KID else None


def make_verifier() -> TokenVerifier:
    return TokenVerifier(OneKey(), ISSUER, f"{ISSUER}/api")


def signature_is_right(token: str) -> bool:
    text, _, signature = token.rpartition(".")
    raw = decode(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    try:
        FORGE.key.public_key().verify(encode_dss_signature(r, s), text.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def test_the_control_verifies() -> None:
    claims = make_verifier().verify(FORGE.control(), now=NOW)
    said = {name: str(getattr(claims, name)) for name in CLAIM_NAMES}
    assert said == {name: str(value) for name, value in FORGE.claims.items()}


def test_the_control_with_spaces_verifies() -> None:
    header, payload = FORGE._padded(FORGE.header), FORGE._padded(dict(FORGE.claims))
    assert make_verifier().verify(FORGE.signed(header, payload), now=NOW).role == "poh"


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_no_attack_is_accepted(attack: Attack) -> None:
    verifier = make_verifier()
    with pytest.raises(TokenInvalid) as refusal:
        verifier.verify(attack.token, now=NOW)
    assert refusal.value.fault in NOTICED_AS[attack.name.partition("/")[0]]
    assert (refusal.value.code, refusal.value.detail) == ("token-invalid", "The access token is not valid")


def test_no_attack_is_accepted_by_a_verifier_that_has_seen_everything() -> None:
    verifier = make_verifier()
    for attack in ATTACKS:
        verifier.verify(FORGE.control(), now=NOW)
        for _ in range(2):
            with pytest.raises(TokenInvalid):
                verifier.verify(attack.token, now=NOW)


def test_attacks_have_names_of_their_own_and_every_layer_is_attacked() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert {name.partition("/")[0] for name in names} == set(NOTICED_AS)
    assert len({attack.token for attack in ATTACKS}) == len(ATTACKS)
    assert FORGE.control() not in {attack.token for attack in ATTACKS}


def test_most_attacks_can_be_sent_over_http() -> None:
    sendable = [attack for attack in ATTACKS if is_sendable(attack.token)]
    assert len(sendable) > 0.8 * len(ATTACKS)


@pytest.mark.parametrize("group", sorted(RIGHTLY_SIGNED))
def test_attacks_on_content_are_rightly_signed(group: str) -> None:
    """A refusal for a bad signature would prove nothing about the check that is meant."""
    unsigned = {"header/jwk-of-signer", "kid-unknown/empty-secret"}
    attacks = [attack for attack in ATTACKS if attack.name.startswith(f"{group}/") and attack.name not in unsigned]
    assert attacks
    assert [attack.name for attack in attacks if not signature_is_right(attack.token)] == []


@pytest.mark.parametrize("group", ["alg", "kid", "kid-unknown", "typ", "header", "claim", "time"])
def test_attacks_on_content_change_one_member(group: str) -> None:
    together = {"header/crit-b64": 2, **dict.fromkeys((a.name for a in ATTACKS if a.name.startswith("time/")), 3)}
    for attack in ATTACKS:
        if attack.name.startswith(f"{group}/"):
            header, claims = (json.loads(decode(part)) for part in attack.token.split(".")[:2])
            changed = differing(header, FORGE.header) | differing(claims, dict(FORGE.claims))
            assert len(changed) == together.get(attack.name, 1), attack.name


def differing(one: dict[str, object], other: dict[str, object]) -> set[str]:
    """Return the names whose values differ; ``true`` is not 1 and 1.0 is not 1."""
    absent = object()
    return {
        name for name in one.keys() | other.keys() if repr(one.get(name, absent)) != repr(other.get(name, absent))
    }


@pytest.mark.parametrize("group", ["signature", "signature-size"])
def test_attacks_on_the_signature_leave_the_rest_alone(group: str) -> None:
    text = FORGE.text()
    for attack in ATTACKS:
        if attack.name.startswith(f"{group}/"):
            assert attack.token.rpartition(".")[0] == text


@pytest.mark.parametrize("form", ["der", "base64-der"])
def test_a_confusion_forgery_is_one_that_the_bare_library_accepts(form: str) -> None:
    """If this fails the library has learned to refuse it; the attack stays in the suite."""
    secret = FORGE.public_forms()[form]
    token = FORGE.hmac_signed("HS256", secret)
    payload = jwt.decode(token, secret, algorithms=["HS256"], options={"verify_exp": False, "verify_aud": False})
    assert payload["role"] == "poh"


@given(token=st.text(max_size=300))
def test_no_text_raises_anything_but_a_refusal(token: str) -> None:
    with pytest.raises(TokenInvalid):
        make_verifier().verify(token, now=NOW)


@pytest.mark.parametrize("thing", [None, b"a.b.c", 1, object(), ["a", "b", "c"], {}])
def test_what_is_not_text_is_refused(thing: object) -> None:
    verify: Callable[..., object] = make_verifier().verify
    with pytest.raises(TokenInvalid):
        verify(thing, now=NOW)


@given(data=st.data())
def test_no_changed_character_leaves_a_token_valid(data: st.DataObject) -> None:
    token = FORGE.control()
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.sampled_from("AZaz09-_.=+/ \n\x00é").filter(lambda char: char != token[at]))
    with pytest.raises(TokenInvalid):
        make_verifier().verify(token[:at] + char + token[at + 1 :], now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "typ", "kid", "exp"]), inner),
    max_leaves=8,
)


@given(header=JSON, payload=JSON)
def test_no_signed_json_of_another_shape_is_accepted(header: object, payload: object) -> None:
    for part in ({"header": json.dumps(header).encode()}, {"payload": json.dumps(payload).encode()}):
        with pytest.raises(TokenInvalid):
            make_verifier().verify(FORGE.signed(**part), now=NOW)


@given(header=st.binary(max_size=200), payload=st.binary(max_size=200))
def test_no_signed_bytes_raise_anything_but_a_refusal(header: bytes, payload: bytes) -> None:
    for token in (FORGE.signed(header=header or b" "), FORGE.signed(payload=payload or b" ")):
        with pytest.raises(TokenInvalid):
            make_verifier().verify(token, now=NOW)
