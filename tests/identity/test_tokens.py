"""What is issued verifies, within its time and under its key only; what is remembered is checked again."""

import json
from dataclasses import FrozenInstanceError, replace
from typing import TypedDict
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jose.backends.ecdsa_backend import ECDSAECKey
from jose.constants import ALGORITHMS
from structlog.testing import capture_logs

from app.core.ids import AccountId, EngagementId, LoginSessionId, OrganisationId, new_id
from app.identity.tokens import CACHE_MAX, TokenFault, TokenInvalid, TokenIssuer, TokenVerifier
from tests.identity.forge import Forge, decode, new_pem, public_jwk

NOW = 1_790_000_000
ISSUER = "https://overlegtafel.example"
AUDIENCE = "https://overlegtafel.example/api"
FIRST, SECOND = new_pem(), new_pem()
CODES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", fullmatch=True)


class Asked(TypedDict):
    sub: AccountId
    org: OrganisationId | None
    role: str
    spec: str | None
    resp: AccountId | None
    eng: EngagementId
    scope: str
    sid: LoginSessionId
    acr: str
    auth_time: int


class Ring:
    """A key set in memory: the last key added signs, every key left verifies."""

    def __init__(self, **pems: str) -> None:
        self.pems = pems
        self.published = {kid: public_jwk(pem, kid) for kid, pem in pems.items()}

    @property
    def kid(self) -> str:
        return list(self.pems)[-1]

    @property
    def pem(self) -> str:
        return self.pems[self.kid]

    def current(self) -> "Ring":
        return self

    def public_jwks(self) -> dict[str, object]:
        return {"keys": list(self.published.values())}

    def public_key(self, kid: str) -> dict[str, str] | None:
        return self.published.get(kid)

    def add(self, kid: str, pem: str) -> None:
        self.pems[kid] = pem
        self.published[kid] = public_jwk(pem, kid)

    def retire(self, kid: str) -> None:
        del self.published[kid]


def make_asked() -> Asked:
    return Asked(
        sub=AccountId(new_id()),
        org=OrganisationId(new_id()),
        role="poh",
        spec="ggz",
        resp=AccountId(new_id()),
        eng=EngagementId(new_id()),
        scope="case:read case:write",
        sid=LoginSessionId(new_id()),
        acr="urn:overlegtafel:two-factors",
        auth_time=NOW - 60,
    )


def make_pair(ring: Ring | None = None) -> tuple[TokenIssuer, TokenVerifier]:
    keys = ring or Ring(a=FIRST)
    return TokenIssuer(keys, ISSUER, AUDIENCE), TokenVerifier(keys, ISSUER, AUDIENCE)


def fault_of(verifier: TokenVerifier, token: str, *, now: int = NOW) -> TokenFault:
    with pytest.raises(TokenInvalid) as refusal:
        verifier.verify(token, now=now)
    return refusal.value.fault


def test_what_is_issued_verifies_and_says_the_same() -> None:
    issuer, verifier = make_pair()
    asked = make_asked()
    claims = verifier.verify(issuer.issue(**asked, now=NOW), now=NOW)
    assert {name: getattr(claims, name) for name in asked} == asked
    assert (claims.iss, claims.aud, claims.iat, claims.exp) == (ISSUER, AUDIENCE, NOW, NOW + 600)
    assert isinstance(claims.jti, UUID)


def test_the_header_names_algorithm_type_and_key_and_nothing_else() -> None:
    issuer, _ = make_pair()
    header = issuer.issue(**make_asked(), now=NOW).split(".")[0]
    assert json.loads(decode(header)) == {"alg": "ES256", "typ": "at+jwt", "kid": "a"}


def test_each_token_has_an_id_of_its_own() -> None:
    issuer, verifier = make_pair()
    asked = make_asked()
    ids = {verifier.verify(issuer.issue(**asked, now=NOW), now=NOW).jti for _ in range(20)}
    assert len(ids) == 20


def test_organisation_speciality_and_responsible_professional_may_be_absent() -> None:
    issuer, verifier = make_pair()
    asked = make_asked()
    asked["org"], asked["spec"], asked["resp"], asked["scope"] = None, None, None, ""
    claims = verifier.verify(issuer.issue(**asked, now=NOW), now=NOW)
    assert (claims.org, claims.spec, claims.resp, claims.scope) == (None, None, None, "")


@given(
    org=st.none() | st.uuids(),
    role=CODES,
    spec=st.none() | CODES,
    resp=st.none() | st.uuids(),
    scope=st.lists(st.text("abcz:/.*~!#|^", min_size=1, max_size=20), max_size=20).map(" ".join),
    acr=CODES,
    age=st.integers(-30, NOW),
    now=st.integers(NOW, 4_000_000_000),
)
def test_whatever_is_issued_verifies(
    org: UUID | None, role: str, spec: str | None, resp: UUID | None, scope: str, acr: str, age: int, now: int
) -> None:
    issuer, verifier = make_pair()
    asked = make_asked() | Asked(
        sub=AccountId(new_id()),
        org=None if org is None else OrganisationId(org),
        role=role,
        spec=spec,
        resp=None if resp is None else AccountId(resp),
        eng=EngagementId(new_id()),
        scope=scope,
        sid=LoginSessionId(new_id()),
        acr=acr,
        auth_time=now - age,
    )
    claims = verifier.verify(issuer.issue(**asked, now=now), now=now)
    assert {name: getattr(claims, name) for name in asked} == asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": ""},
        {"role": "huisarts én poh"},
        {"role": "x" * 65},
        {"spec": "a b"},
        {"scope": "a  b"},
        {"scope": 'a"'},
        {"scope": "x" * 1025},
        {"scope": "a[]"},
        {"acr": ""},
        {"acr": "[" * 9},
        {"auth_time": NOW + 31},
        {"auth_time": True},
        {"auth_time": -1},
        {"sub": "nobody"},
        {"now": NOW + 0.5},
        {"now": -1},
        {"now": 253_402_300_800},
    ],
)
def test_what_would_be_refused_is_never_issued(wrong: dict[str, object]) -> None:
    issuer, _ = make_pair()
    asked: dict[str, object] = {**make_asked(), "now": NOW, **wrong}
    with pytest.raises(ValueError, match="A claim is not of the form"):
        issuer.issue(**asked)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", ["", "a b", "https://é.example", "x" * 257])
def test_nothing_is_issued_under_a_name_that_is_not_plain(name: str) -> None:
    for issuer in (TokenIssuer(Ring(a=FIRST), name, AUDIENCE), TokenIssuer(Ring(a=FIRST), ISSUER, name)):
        with pytest.raises(ValueError, match="A claim is not of the form"):
            issuer.issue(**make_asked(), now=NOW)


@pytest.mark.parametrize("seen", [False, True], ids=["first-look", "remembered"])
@pytest.mark.parametrize(
    ("at", "accepted"),
    [(-31, False), (-30, True), (0, True), (599, True), (600, False), (601, False), (10**9, False)],
)
def test_a_token_holds_from_its_issue_to_its_end(*, seen: bool, at: int, accepted: bool) -> None:
    issuer, verifier = make_pair()
    token = issuer.issue(**make_asked(), now=NOW)
    if seen:
        verifier.verify(token, now=NOW)
    if accepted:
        assert verifier.verify(token, now=NOW + at).iat == NOW
    else:
        assert fault_of(verifier, token, now=NOW + at) is TokenFault.TIME


@pytest.mark.parametrize(("later", "accepted"), [(30, True), (31, False)])
def test_authentication_may_be_ahead_by_the_leeway(*, later: int, accepted: bool) -> None:
    issuer, verifier = make_pair()
    forge = Forge.of(issuer.issue(**make_asked(), now=NOW), FIRST)
    token = forge.with_claims(auth_time=NOW + later)
    if accepted:
        assert verifier.verify(token, now=NOW).auth_time == NOW + later
    else:
        assert fault_of(verifier, token) is TokenFault.CLAIMS


def test_a_token_of_another_issuer_or_audience_is_refused() -> None:
    ring = Ring(a=FIRST)
    token = TokenIssuer(ring, ISSUER, AUDIENCE).issue(**make_asked(), now=NOW)
    assert fault_of(TokenVerifier(ring, f"{ISSUER}:8443", AUDIENCE), token) is TokenFault.CLAIMS
    assert fault_of(TokenVerifier(ring, ISSUER, f"{AUDIENCE}/v2"), token) is TokenFault.CLAIMS
    assert fault_of(TokenVerifier(ring, AUDIENCE, ISSUER), token) is TokenFault.CLAIMS


def test_a_token_is_as_long_as_the_limit_at_most() -> None:
    issuer, verifier = make_pair()
    forge = Forge.of(issuer.issue(**make_asked(), now=NOW), FIRST)
    raw = json.dumps(dict(forge.claims)).encode()
    room = 8192 - 86 - 2 - len(forge.text().split(".")[0])
    fitting = raw + b" " * (room * 3 // 4 - len(raw))
    token = forge.signed(payload=fitting)
    assert len(token) in (8191, 8192)
    assert verifier.verify(token, now=NOW).role == "poh"
    assert fault_of(verifier, forge.signed(payload=fitting + b"  ")) is TokenFault.FORM


# Keys.


def test_tokens_of_the_former_key_verify_until_it_retires() -> None:
    ring = Ring(a=FIRST)
    issuer, verifier = make_pair(ring)
    old, unseen = (issuer.issue(**make_asked(), now=NOW) for _ in range(2))
    verifier.verify(old, now=NOW)
    ring.add("b", SECOND)
    new = issuer.issue(**make_asked(), now=NOW)
    assert Forge.of(new, SECOND).kid == "b"
    for token in (old, unseen, new):
        verifier.verify(token, now=NOW)
    ring.retire("a")
    assert fault_of(verifier, old) is TokenFault.KEY
    assert fault_of(verifier, unseen) is TokenFault.KEY
    assert verifier.verify(new, now=NOW).role == "poh"


def test_a_retired_key_leaves_nothing_behind() -> None:
    ring = Ring(a=FIRST)
    issuer, verifier = make_pair(ring)
    token = issuer.issue(**make_asked(), now=NOW)
    verifier.verify(token, now=NOW)
    ring.retire("a")
    fault_of(verifier, token)
    assert (len(verifier._cache), len(verifier._prepared)) == (0, 0)


def test_a_remembered_token_falls_when_its_key_name_gets_another_key() -> None:
    ring = Ring(a=FIRST)
    issuer, verifier = make_pair(ring)
    token = issuer.issue(**make_asked(), now=NOW)
    verifier.verify(token, now=NOW)
    ring.published["a"] = public_jwk(SECOND, "a")
    assert fault_of(verifier, token) is TokenFault.SIGNATURE


def test_a_token_verifies_only_under_the_key_it_names() -> None:
    ring = Ring(a=FIRST, b=SECOND)
    issuer, verifier = make_pair(ring)
    forge = Forge.of(issuer.issue(**make_asked(), now=NOW), SECOND)
    assert forge.kid == "b"
    verifier.verify(forge.control(), now=NOW)
    assert fault_of(verifier, forge.with_header(kid="a")) is TokenFault.SIGNATURE


@pytest.mark.parametrize(
    "change",
    [{"alg": "RS256"}, {"use": "enc"}, {"kty": "oct"}, {"crv": "P-384"}, {"kid": "b"}, {"alg": ""}],
    ids="-".join,
)
def test_a_key_that_is_not_for_this_use_verifies_nothing(change: dict[str, str]) -> None:
    ring = Ring(a=FIRST)
    issuer, verifier = make_pair(ring)
    token = issuer.issue(**make_asked(), now=NOW)
    good = ring.published["a"]
    ring.published["a"] = good | change
    assert fault_of(verifier, token) is TokenFault.KEY
    ring.published["a"] = good
    assert verifier.verify(token, now=NOW).role == "poh"


def test_a_broken_key_set_is_a_refusal() -> None:
    ring = Ring(a=FIRST)
    issuer, verifier = make_pair(ring)
    token = issuer.issue(**make_asked(), now=NOW)
    ring.published["a"] = ring.published["a"] | {"x": "AA", "y": "!"}
    assert fault_of(verifier, token) is TokenFault.FORM


def test_a_key_set_that_fails_is_a_refusal_and_is_told() -> None:
    class Broken(Ring):
        def public_key(self, kid: str) -> dict[str, str] | None:
            raise OSError(kid)

    token = make_pair()[0].issue(**make_asked(), now=NOW)
    with capture_logs() as said:
        fault_of(TokenVerifier(Broken(a=FIRST), ISSUER, AUDIENCE), token)
    assert [line["event"] for line in said] == ["token.check-failed"]


def test_a_hostile_token_is_not_told() -> None:
    issuer, verifier = make_pair()
    with capture_logs() as said:
        for attack in Forge.of(issuer.issue(**make_asked(), now=NOW), FIRST).attacks():
            fault_of(verifier, attack.token)
    assert said == []


# What is remembered.


def test_a_second_look_is_answered_from_memory() -> None:
    issuer, verifier = make_pair()
    token = issuer.issue(**make_asked(), now=NOW)
    assert verifier.verify(token, now=NOW) is verifier.verify(token, now=NOW + 1)


def test_nothing_refused_is_remembered() -> None:
    issuer, verifier = make_pair()
    token = issuer.issue(**make_asked(), now=NOW)
    forge = Forge.of(token, FIRST)
    for attack in forge.attacks():
        with pytest.raises(TokenInvalid):
            verifier.verify(attack.token, now=NOW)
    assert len(verifier._cache) == 0


def test_an_ended_token_is_forgotten() -> None:
    issuer, verifier = make_pair()
    token = issuer.issue(**make_asked(), now=NOW)
    verifier.verify(token, now=NOW)
    fault_of(verifier, token, now=NOW + 600)
    assert len(verifier._cache) == 0


def test_memory_is_bounded_and_keeps_what_was_used_last() -> None:
    issuer, verifier = make_pair()
    asked = make_asked()
    first, second = (issuer.issue(**asked, now=NOW) for _ in range(2))
    kept, lost = verifier.verify(first, now=NOW), verifier.verify(second, now=NOW)
    for _ in range(CACHE_MAX - 1):
        verifier.verify(issuer.issue(**asked, now=NOW), now=NOW)
        assert verifier.verify(first, now=NOW) is kept
    assert len(verifier._cache) == CACHE_MAX
    assert verifier.verify(first, now=NOW) is kept
    assert verifier.verify(second, now=NOW) is not lost
    assert verifier.verify(second, now=NOW) == lost


def test_claims_cannot_be_changed() -> None:
    issuer, verifier = make_pair()
    claims = verifier.verify(issuer.issue(**make_asked(), now=NOW), now=NOW)
    with pytest.raises(FrozenInstanceError):
        claims.role = "auditor"  # type: ignore[misc]  # wrong on purpose
    assert replace(claims, role="gp") != claims


# The library.


def test_nothing_starts_on_the_other_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS.KEYS, "ES256", ECDSAECKey)
    for make in (TokenIssuer, TokenVerifier):
        with pytest.raises(RuntimeError, match="cryptography backend"):
            make(Ring(a=FIRST), ISSUER, AUDIENCE)
