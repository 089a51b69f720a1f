"""Clients with keys of their own, and the assertions they sign: rightly, or in every wrong way."""

import json
import warnings
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from time import time
from typing import Any
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.serving import NO_TLS, Caller, Service

Json = dict[str, Any]
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def new_key(algorithm: str = "ES256", kid: str = "k1") -> Key:
    """Return a fresh key pair for an algorithm."""
    said: Any = {"kid": kid}
    match algorithm:
        case "ES256":
            return ECKey.generate_key("P-256", said)
        case "ES384":
            return ECKey.generate_key("P-384", said)
        case "EdDSA" | "Ed25519":
            return OKPKey.generate_key("Ed25519", said)
        case _:
            return RSAKey.generate_key(2048, said)


def public(*keys: Key) -> Json:
    """Return the JWK set of the public halves."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


def signed(key: Key, header: Json, claims: Json) -> str:
    """Return a compact JWS; old names of algorithms warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(header, claims, key, [header["alg"]], default_type=None)


def raw_signed(key: Key, header: Json, claims: Json) -> str:
    """Return an ES256 JWS with any header whatever, which the library would refuse to sign."""
    parts = [urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in (header, claims)]
    private = key.private_key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(private.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return ".".join([*parts, urlsafe_b64encode(signature).rstrip(b"=").decode()])


@dataclass
class TestClient:
    """A registered client."""

    __test__ = False
    url: str
    id: str
    key: Key = field(default_factory=new_key)
    algorithm: str = "ES256"

    def claims(self, **more: object) -> Json:
        """Return the claims of a good assertion, less those that are None."""
        now = int(time())
        good = {
            "iss": self.id,
            "sub": self.id,
            "aud": f"{self.url}/oauth/token",
            "exp": now + 60,
            "iat": now,
            "jti": uuid4().hex,
        }
        return {name: value for name, value in {**good, **more}.items() if value is not None}

    def header(self, **more: object) -> Json:
        """Return the header of a good assertion, less what is None."""
        good = {"alg": self.algorithm, "kid": self.key.kid, "typ": "JWT"}
        return {name: value for name, value in {**good, **more}.items() if value is not None}

    def assertion(self, **claims: object) -> str:
        """Return an assertion that is good but for the claims given."""
        return signed(self.key, self.header(), self.claims(**claims))

    async def ask(
        self, path: str = "/oauth/token", *, assertion: str | None = None, proof: str | None = None, **more: str
    ) -> httpx.Response:
        """POST a form with an assertion."""
        form = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion() if assertion is None else assertion,
            **more,
        }
        headers = {} if proof is None else {"DPoP": proof}
        async with httpx.AsyncClient(verify=NO_TLS) as http:
            return await http.post(f"{self.url}{path}", data=form, headers=headers)

    async def token(self, **more: str) -> str:
        """Return an access token."""
        answer = await self.ask(grant_type="client_credentials", **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def proof(key: Key, method: str, url: str, **claims: object) -> str:
    """Return a DPoP proof, good but for the claims given; None leaves one out."""
    good = {"htm": method, "htu": url, "iat": int(time()), "jti": uuid4().hex}
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
    return signed(key, header, {name: value for name, value in {**good, **claims}.items() if value is not None})


async def register(
    instance: Service, by: str = "region-admin", *, key: Key | None = None, algorithm: str = "ES256", **more: object
) -> TestClient:
    """Register a client as an admin and return it."""
    key = key or new_key(algorithm)
    caller = await instance.as_(by)
    body = {"name": "Koppeling", "scopes": ["fhir:read"], "jwks": public(key), **more}
    made = await caller.made("/clients", {name: value for name, value in body.items() if value is not None})
    return TestClient(instance.url, str(made["id"]), key, algorithm)


def with_token(instance: Service, token: str) -> Caller:
    """Return a caller that bears a token."""
    return Caller(instance, "client", token)
