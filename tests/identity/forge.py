"""Attack tokens: each differs in one respect from a token that verifies, and none may be accepted.

``Forge.of(token, pem)`` takes a token that the service itself issued, so the same attacks run against the verifier,
over HTTP and over a socket. Nothing here uses the code under test or its library.
"""

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast
from uuid import UUID, uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the P-256 group
UUID_CLAIMS = ("sub", "org", "resp", "eng", "sid", "jti")
TEXT_CLAIMS = ("iss", "aud", "role", "spec", "scope", "acr")
TIME_CLAIMS = ("auth_time", "iat", "exp")
NULLABLE = ("org", "spec", "resp")
FAR_SECONDS = 3600
SENDABLE_CHARS_MAX = 16 * 1024
SHA = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


class Attack(NamedTuple):
    """A token to refuse. ``name`` is ``group/what``; the group says which layer has to notice."""

    name: str
    token: str


def new_pem() -> str:
    """Return a fresh P-256 private key in PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def public_jwk(pem: str, kid: str) -> dict[str, str]:
    """Return the public JWK of a P-256 private key."""
    numbers = _load(pem).public_key().public_numbers()
    x, y = (encode(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig"}


def encode(raw: bytes) -> str:
    """Return canonical base64url."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Read base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def is_sendable(token: str) -> bool:
    """Return whether an HTTP client can send the token, unchanged, in an ``Authorization`` header."""
    return 0 < len(token) <= SENDABLE_CHARS_MAX and all("!" <= char <= "~" for char in token)


@dataclass(frozen=True)
class Forge:
    """Makes tokens with the service's own key, or as somebody without it."""

    kid: str
    pem: str
    claims: Mapping[str, object]

    @classmethod
    def of(cls, token: str, pem: str) -> "Forge":
        """Take key name and claims from a token that verifies."""
        header, payload, _ = (decode(part) for part in token.split("."))
        return cls(json.loads(header)["kid"], pem, json.loads(payload))

    def control(self) -> str:
        """Return the token that verifies: the same path as every attack, without the attack."""
        return self.signed()

    def attacks(self) -> Iterator[Attack]:
        """Yield every attack; names are unique."""
        yield from self._forms()
        yield from self._encodings()
        yield from self._unsigned()
        yield from self._algorithms()
        yield from self._confusions()
        yield from self._kids()
        yield from self._headers()
        yield from self._raw_headers()
        yield from self._signatures()
        yield from self._tampered()
        yield from self._claim_types()
        yield from self._claim_ids()
        yield from self._claim_texts()
        yield from self._raw_claims()
        yield from self._times()

    # Building.

    @cached_property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return _load(self.pem)

    @property
    def header(self) -> dict[str, object]:
        return {"alg": "ES256", "kid": self.kid, "typ": "at+jwt"}

    def signed(self, header: object = None, payload: object = None) -> str:
        """Sign with the service's key; bytes are taken as they are, anything else becomes JSON."""
        text = self.text(header, payload)
        return f"{text}.{encode(self.signature(text))}"

    def text(self, header: object = None, payload: object = None) -> str:
        """Return what is signed."""
        return f"{encode(_json(header or self.header))}.{encode(_json(payload or dict(self.claims)))}"

    def signature(self, text: str, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
        signer = key or self.key
        size = (signer.key_size + 7) // 8
        r, s = decode_dss_signature(signer.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def with_header(self, **changes: object) -> str:
        return self.signed(header={**self.header, **changes})

    def with_claims(self, **changes: object) -> str:
        return self.signed(payload={**self.claims, **changes})

    # The text of the token.

    def _forms(self) -> Iterator[Attack]:
        token = self.control()
        h, p, s = token.split(".")
        texts = {
            "empty": "",
            "one-dot": ".",
            "two-dots": "..",
            "three-dots": "...",
            "only-dots": "." * 8000,
            "header-alone": h,
            "header-and-dots": f"{h}..",
            "two-parts": f"{h}.{p}",
            "no-header": f".{p}.{s}",
            "no-payload": f"{h}..{s}",
            "detached-payload-extra-dot": f"{h}..{s}.",
            "four-parts": f"{token}.{s}",
            "five-parts": f"{token}.{s}.{s}",
            "jwe": f"{encode(_json({'alg': 'dir', 'enc': 'A256GCM', 'kid': self.kid}))}..{p}.{p}.{s}",
            "leading-dot": f".{token}",
            "trailing-dot": f"{token}.",
            "swapped-payload-signature": f"{h}.{s}.{p}",
            "reversed": token[::-1],
            "swapped-case": token.swapcase(),
            "twice-comma": f"{token},{token}",
            "twice-space": f"{token} {token}",
            "bearer": f"Bearer {token}",
            "quoted": f'"{token}"',
            "angle-brackets": f"<{token}>",
            "json-flattened": json.dumps({"protected": h, "payload": p, "signature": s}),
            "json-general": json.dumps({"payload": p, "signatures": [{"protected": h, "signature": s}]}),
            "percent-encoded-dots": token.replace(".", "%2E"),
            "colons-for-dots": token.replace(".", ":"),
            "fullwidth-dots": token.replace(".", "\uff0e"),
            "cyrillic-letter": f"{h}.{p}.\u0430{s[1:]}",
            "fullwidth-letter": f"{h}.{p}.\uff21{s[1:]}",
            "arabic-digit": f"{h}.{p}.\u0661{s[1:]}",
            "zero-width-space": f"{h}\u200b.{p}.{s}",
            "right-to-left-override": f"\u202e{token}",
            "byte-order-mark": f"\ufeff{token}",
            "combining-mark": f"{token}\u0301",
            "lone-surrogate": f"{token}\ud800",
            "lone-surrogate-inside": f"{h}.{p}.\udfff{s[1:]}",
            "astral": f"{h}.{p}.\U0001d400{s[1:]}",
            "oversized": self.with_claims(scope=" ".join(["case:read"] * 700)),
            "megabyte": f"{h}.{'A' * 1_000_000}.{s}",
            "long-header": self.with_header(kid="k" * 9000),
        }
        for cut in (1, 2, 3, 4, 43, 85):
            texts[f"truncated-{cut}"] = token[:-cut]
        for tail in ("A", "AA", "AAA", "AAAA"):
            texts[f"extended-{len(tail)}"] = token + tail
        yield from _group("form", texts)

    def _encodings(self) -> Iterator[Attack]:
        """Texts that a lenient base64 decoder reads as the same bytes; each is signed as it stands."""
        spaced = {"header": self._padded(self.header), "payload": self._padded(dict(self.claims))}
        h, p = encode(spaced["header"]), encode(spaced["payload"])
        texts = {}
        for number, (name, insert) in enumerate(
            {
                "padding": "=",
                "double-padding": "==",
                "space": " ",
                "newline": "\n",
                "carriage-return": "\r\n",
                "tab": "\t",
                "nul": "\x00",
                "star": "*",
                "plus": "+",
                "slash": "/",
                "tilde": "~",
            }.items()
        ):
            texts[f"{name}-after-header"] = self._sealed(f"{h}{insert}", p)
            texts[f"{name}-after-payload"] = self._sealed(h, f"{p}{insert}")
            texts[f"{name}-in-payload"] = self._sealed(h, f"{p[: 8 + number]}{insert}{p[8 + number :]}")
            texts[f"{name}-after-signature"] = f"{self.control()}{insert}"
            texts[f"{name}-before"] = f"{insert}{self.control()}"
        texts["stray-bits-in-header"] = self._sealed(_stray(h), p)
        texts["stray-bits-in-payload"] = self._sealed(h, _stray(p))
        texts["stray-bits-in-signature"] = _stray(self.control())
        texts["standard-alphabet-in-signature"] = self._standard_alphabet()
        yield from _group("encoding", texts)

    def _padded(self, members: dict[str, object]) -> bytes:
        """Write JSON with spaces behind it, until its base64 has unused bits in the last character."""
        raw = _json(members)
        return raw + b" " * ((1 - len(raw)) % 3)

    def _sealed(self, header: str, payload: str) -> str:
        text = f"{header}.{payload}"
        return f"{text}.{encode(self.signature(text))}"

    def _standard_alphabet(self) -> str:
        while True:
            head, _, signature = self.control().rpartition(".")
            if "-" in signature and "_" in signature:
                return f"{head}.{signature.replace('-', '+').replace('_', '/')}"

    # Signed by nobody, or by another algorithm.

    def _unsigned(self) -> Iterator[Attack]:
        texts = {}
        for alg in ("none", "None", "NONE", "nOnE", "", "null", "ES256"):
            texts[f"alg-{alg or 'empty'}"] = f"{self.text(header={**self.header, 'alg': alg})}."
        texts["no-alg"] = f"{self.text(header={'typ': 'at+jwt', 'kid': self.kid})}."
        texts["bare-none"] = f"{self.text(header={'alg': 'none'})}."
        yield from _group("unsigned", texts)

    def _algorithms(self) -> Iterator[Attack]:
        """Wrong ``alg`` over a right ES256 signature, so that nothing but the header check can notice."""
        names = ["none", "None", "NONE", "nOnE", "es256", "Es256", "ES256 ", " ES256", "ES256\x00", "ES256\n"]
        names += ["XES256X", "ES", "E", "", "256", "ES384", "ES512", "ES256K", "RS256", "PS256", "EdDSA", "HS256"]
        names += ["dir", "A256KW", "RSA-OAEP", "ECDH-ES", "PBES2-HS256+A128KW", "ES256,none", "\uff25S256"]
        odd: dict[str, object] = {
            "list": ["ES256"],
            "object": {"ES256": 1},
            "null": None,
            "true": True,
            "number": 256,
        }
        odd |= {"list-none": ["none", "ES256"], "infinite": float("inf"), "empty-list": []}
        for name in names:
            yield Attack(f"alg/{name.encode('unicode_escape').decode() or 'empty'}", self.with_header(alg=name))
        for name, value in odd.items():
            yield Attack(f"alg/{name}", self.with_header(alg=value))
        yield Attack("alg/missing", self.signed(header={"kid": self.kid, "typ": "at+jwt"}))

    def _confusions(self) -> Iterator[Attack]:
        """Signed in another algorithm, with what an attacker has: the public key, or a key of his own."""
        for alg in SHA:
            for name, secret in self.public_forms().items():
                yield Attack(f"confusion/{alg}-{name}", self.hmac_signed(alg, secret))
        yield from _group("confusion", dict(self._other_algorithms()))

    def public_forms(self) -> dict[str, bytes]:
        """Return the spellings of the public key that a library may take for an HMAC secret."""
        public = self.key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        document = public_jwk(self.pem, self.kid)
        return {
            "pem": pem,
            "pem-stripped": pem.strip(),
            "der": der,
            "base64-der": b64encode(der),
            "base64url-der": encode(der).encode(),
            "point": point,
            "x": point[1:33],
            "jwk": _json(document),
            "jwk-thumbprint-form": _json({name: document[name] for name in ("crv", "kty", "x", "y")}),
            "ssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            "empty-secret": b"",
            "kid-as-secret": self.kid.encode(),
        }

    def hmac_signed(self, alg: str, secret: bytes) -> str:
        text = self.text(header={**self.header, "alg": alg})
        return f"{text}.{encode(hmac.digest(secret, text.encode(), SHA[alg]))}"

    def _other_algorithms(self) -> Iterator[tuple[str, str]]:
        def text(alg: str) -> str:
            return self.text(header={**self.header, "alg": alg})

        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pkcs1 = rsa_key.sign(text("RS256").encode(), padding.PKCS1v15(), hashes.SHA256())
        pss = rsa_key.sign(text("PS256").encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        eddsa = ed25519.Ed25519PrivateKey.generate().sign(text("EdDSA").encode())
        es384 = self.signature(text("ES384"), ec.generate_private_key(ec.SECP384R1()))
        es256k = self.signature(text("ES256K"), ec.generate_private_key(ec.SECP256K1()))
        pairs = {"RS256": pkcs1, "PS256": pss, "EdDSA": eddsa, "ES384": es384, "ES256K": es256k}
        for alg, signature in pairs.items():
            yield alg, f"{text(alg)}.{encode(signature)}"

    # The header; all signed by the right key.

    def _kids(self) -> Iterator[Attack]:
        unknown = {
            "unknown": "nobody",
            "uuid": str(UUID(int=0)),
            "longer": f"{self.kid}x",
            "shorter": self.kid[:-1],
            "other-case": self.kid.swapcase(),
            "class-attribute": "__class__",
        }
        for name, kid in unknown.items():
            yield Attack(f"kid-unknown/{name}", self.with_header(kid=kid))
        yield Attack("kid-unknown/empty-secret", self._with_kid_signed_by_empty_secret("nobody"))
        bad: dict[str, object] = {
            "empty": "",
            "null": None,
            "number": 1,
            "true": True,
            "list": [self.kid],
            "object": {"kid": self.kid},
            "traversal": "../../../../../dev/null",
            "traversal-to-itself": f"./{self.kid}",
            "traversal-encoded": f"..%2f{self.kid}",
            "dot-dot": "..",
            "absolute": "/dev/null",
            "file-url": "file:///dev/null",
            "url": "https://attacker.example/jwks.json",
            "sql": f"{self.kid}' OR '1'='1",
            "sql-union": "x' UNION SELECT 'key' --",
            "shell": "|/bin/true",
            "template": "{{7*7}}",
            "nul": f"{self.kid}\x00",
            "newline": f"{self.kid}\n",
            "trailing-space": f"{self.kid} ",
            "leading-space": f" {self.kid}",
            "wildcard": "*",
            "long": "k" * 65,
            "lone-surrogate": f"{self.kid}\ud800",
            "fullwidth": "".join(chr(ord(char) + 0xFEE0) for char in self.kid),
        }
        for name, value in bad.items():
            yield Attack(f"kid/{name}", self.with_header(kid=value))
        yield Attack("kid/missing", self.signed(header={"alg": "ES256", "typ": "at+jwt"}))

    def _with_kid_signed_by_empty_secret(self, kid: str) -> str:
        """Return the /dev/null trick: an unknown key whose file is empty. 64 bytes, so that the form is right."""
        text = self.text(header={**self.header, "kid": kid})
        return f"{text}.{encode(hmac.digest(b'', text.encode(), hashlib.sha512))}"

    def _headers(self) -> Iterator[Attack]:
        own = public_jwk(self.pem, self.kid)
        stranger = new_pem()
        extra: dict[str, object] = {
            "jwk-ours": own,
            "jku": "https://attacker.example/jwks.json",
            "jku-ours": "https://attacker.example/.well-known/jwks.json",
            "x5u": "https://attacker.example/chain.pem",
            "x5c": ["MIIB"],
            "x5t": encode(b"\x00" * 20),
            "x5t#S256": encode(b"\x00" * 32),
            "crit": ["exp"],
            "crit-empty": [],
            "crit-unknown": ["https://attacker.example/must-understand"],
            "b64": True,
            "b64-false": False,
            "cty": "JWT",
            "zip": "DEF",
            "enc": "A256GCM",
            "epk": own,
            "p2c": 2**31,
            "exp": 4102444800,
            "nonce": "n",
            "unknown": "x",
            "__proto__": {},
        }
        renamed = {
            "jwk-ours": "jwk",
            "jku-ours": "jku",
            "crit-empty": "crit",
            "crit-unknown": "crit",
            "b64-false": "b64",
        }
        for name, value in extra.items():
            yield Attack(f"header/{name}", self.with_header(**{renamed.get(name, name): value}))
        yield Attack("header/crit-b64", self.with_header(crit=["b64"], b64=False))
        embedded = self.text(header={**self.header, "jwk": public_jwk(stranger, self.kid)})
        yield Attack("header/jwk-of-signer", f"{embedded}.{encode(self.signature(embedded, _load(stranger)))}")
        types = ["JWT", "jwt", "at+JWT", "AT+JWT", "application/at+jwt", "logout+jwt", "dpop+jwt", "rt+jwt", "id+jwt"]
        types += ["at+jwt ", " at+jwt", "at+jwt\x00", "at jwt", "at%2Bjwt", ""]
        for typ in types:
            yield Attack(f"typ/{typ.encode('unicode_escape').decode() or 'empty'}", self.with_header(typ=typ))
        odd: dict[str, object] = {"null": None, "list": ["at+jwt"], "object": {}, "number": 1, "true": True}
        for name, value in odd.items():
            yield Attack(f"typ/{name}", self.with_header(typ=value))
        yield Attack("typ/missing", self.signed(header={"alg": "ES256", "kid": self.kid}))

    def _raw_headers(self) -> Iterator[Attack]:
        text = json.dumps(self.header, separators=(",", ":"))
        body = text[1:-1]
        raws: dict[str, bytes | str] = {
            "duplicate-alg": f'{{{body},"alg":"ES256"}}',
            "duplicate-alg-none-first": f'{{"alg":"none",{body}}}',
            "duplicate-kid": f'{{{body},"kid":"{self.kid}"}}',
            "duplicate-kid-other-first": f'{{"kid":"nobody",{body}}}',
            "duplicate-typ": f'{{"typ":"JWT",{body}}}',
            "duplicate-by-escape": f'{{"\\u0061lg":"none",{body}}}',
            "escaped-name": text.replace('"alg"', '"\\u0061lg"'),
            "escaped-value": text.replace("ES256", "\\u0045S256"),
            "escaped-surrogate": text.replace(self.kid, f"{self.kid}\\ud800"),
            "byte-order-mark": b"\xef\xbb\xbf" + text.encode(),
            "utf-16": text.encode("utf-16"),
            "utf-16-bare": text.encode("utf-16-le"),
            "utf-32": text.encode("utf-32"),
            "invalid-utf-8": text.encode().replace(b"ES256", b"ES256\xff"),
            "overlong-utf-8": text.encode().replace(b"alg", b"\xc1\xa1lg"),
            "raw-nul": text.encode() + b"\x00",
            "cyrillic-name": text.replace("alg", "\u0430lg"),
            "cyrillic-kid": text.replace(self.kid, f"{self.kid}\u0430"),
            "trailing-comma": f"{{{body},}}",
            "trailing-garbage": f"{text}x",
            "two-objects": f"{text}{text}",
            "comment": f"{text}/**/",
            "single-quotes": text.replace('"', "'"),
            "unquoted-names": text.replace('"alg"', "alg"),
            "unclosed": text[:-1],
            "nan-member": f'{{{body},"x":NaN}}',
            "nan-alg": text.replace('"ES256"', "NaN"),
            "infinite-member": f'{{{body},"x":1e400}}',
            "float-member": f'{{{body},"x":1.5}}',
            "array": f"[{text}]",
            "string": json.dumps(text),
            "number": "1",
            "huge-number": "9" * 5000,
            "null": "null",
            "true": "true",
            "empty-object": "{}",
            "empty-array": "[]",
            "blank": " ",
            "deep-array": "[" * 2500 + "]" * 2500,
            "deep-object": '{"a":' * 800 + "1" + "}" * 800,
            "deep-member": f'{{{body},"x":{"[" * 2500}{"]" * 2500}}}',
            "unclosed-depth": "[" * 5000,
            "nested-nine": f'{{{body},"x":{"[" * 9}{"]" * 9}}}',
        }
        for name, raw in raws.items():
            yield Attack(f"raw-header/{name}", self.signed(header=raw if isinstance(raw, bytes) else raw.encode()))

    # The signature; header and claims are right.

    def _signatures(self) -> Iterator[Attack]:
        text = self.text()
        good = self.signature(text)
        r, s = good[:32], good[32:]
        zero, one, order = (number.to_bytes(32, "big") for number in (0, 1, ORDER))
        der = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        h, p = text.split(".")
        stranger = ec.generate_private_key(ec.SECP256R1())
        right_size = {
            "zeros": zero + zero,
            "zero-r": zero + s,
            "zero-s": r + zero,
            "ones": one + one,
            "order": order + order,
            "order-r": order + s,
            "order-s": r + order,
            "s-plus-order-wrapped": r + ((int.from_bytes(s, "big") + ORDER) % 2**256).to_bytes(32, "big"),
            "all-bits": b"\xff" * 64,
            "swapped-halves": s + r,
            "little-endian": r[::-1] + s[::-1],
            "one-bit": bytes([good[0] ^ 1]) + good[1:],
            "foreign-key": self.signature(text, stranger),
            "foreign-curve": self.signature(text, ec.generate_private_key(ec.SECP256K1())),
            "of-payload": self.signature(p),
            "of-header": self.signature(h),
            "of-decoded": self.signature(decode(h).decode() + "." + decode(p).decode()),
            "of-swapped": self.signature(f"{p}.{h}"),
            "of-trailing-dot": self.signature(f"{text}."),
            "of-other-token": self.signature(self.text(payload={**self.claims, "jti": str(uuid4())})),
            "of-sha-512": self._raw(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA512()))),
            "der-cut-to-64": der[:64],
        }
        wrong_size = {
            "der": der,
            "null-byte": b"\x00",
            "zero-byte-before": b"\x00" + good,
            "zero-byte-after": good + b"\x00",
            "short": good[:63],
            "half": r,
            "doubled": good + good,
            "hexadecimal": good.hex().encode(),
            "base64-twice": encode(good).encode(),
            "json": _json({"r": encode(r), "s": encode(s)}),
        }
        for name, raw in right_size.items():
            yield Attack(f"signature/{name}", f"{text}.{encode(raw)}")
        for name, raw in wrong_size.items():
            yield Attack(f"signature-size/{name}", f"{text}.{encode(raw)}")
        yield Attack("signature-size/text-null", f"{text}.null")

    def _raw(self, der: bytes) -> bytes:
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _tampered(self) -> Iterator[Attack]:
        """Claims changed behind the signer's back, each to a value that would be fine if signed."""
        signature = self.control().rpartition(".")[2]
        auth_time, exp = (cast("int", self.claims[name]) for name in ("auth_time", "exp"))
        changes: dict[str, object] = {
            "sub": str(uuid4()),
            "org": str(uuid4()),
            "resp": str(uuid4()),
            "eng": str(uuid4()),
            "sid": str(uuid4()),
            "jti": str(uuid4()),
            "role": "gp" if self.claims["role"] == "auditor" else "auditor",
            "scope": f"{self.claims['scope']} everything".strip(),
            "acr": f"{self.claims['acr']}-stronger",
            "auth_time": auth_time - 1,
            "exp": exp - 1,
        }
        for name, value in changes.items():
            yield Attack(f"tampered/{name}", f"{self.text(payload={**self.claims, name: value})}.{signature}")
        h, p = self.text().split(".")
        yield Attack("tampered-header/swapped-with-payload", f"{p}.{h}.{signature}")
        respelled = _json(dict(self.claims)) + b" "
        yield Attack("tampered/space-appended", f"{self.text(payload=respelled)}.{signature}")

    # The claims; all signed by the right key.

    def _claim_types(self) -> Iterator[Attack]:
        for name in self.claims:
            yield Attack(
                f"claim/{name}-missing", self.signed(payload={k: v for k, v in self.claims.items() if k != name})
            )
            yield Attack(f"claim/{name}-list", self.with_claims(**{name: [self.claims[name]]}))
            yield Attack(f"claim/{name}-object", self.with_claims(**{name: {}}))
            yield Attack(f"claim/{name}-true", self.with_claims(**{name: True}))
            yield Attack(f"claim/{name}-false", self.with_claims(**{name: False}))
            if name not in NULLABLE:
                yield Attack(f"claim/{name}-null", self.with_claims(**{name: None}))
        for name in (*UUID_CLAIMS, *TEXT_CLAIMS):
            yield Attack(f"claim/{name}-number", self.with_claims(**{name: 1}))
        for name in (*UUID_CLAIMS, *(text for text in TEXT_CLAIMS if text != "scope")):
            yield Attack(f"claim/{name}-empty", self.with_claims(**{name: ""}))
        for name in TIME_CLAIMS:
            value = cast("int", self.claims[name])
            yield Attack(f"claim/{name}-text", self.with_claims(**{name: str(value)}))
            yield Attack(f"claim/{name}-float", self.with_claims(**{name: float(value)}))
            yield Attack(f"claim/{name}-iso", self.with_claims(**{name: "2030-01-01T00:00:00Z"}))
            yield Attack(f"claim/{name}-negative", self.with_claims(**{name: -1}))
            yield Attack(f"claim/{name}-huge", self.with_claims(**{name: 10**400}))
            yield Attack(f"claim/{name}-milliseconds", self.with_claims(**{name: value * 1000}))

    def _claim_ids(self) -> Iterator[Attack]:
        for name in UUID_CLAIMS:
            value = str(self.claims[name] or uuid4())
            spellings = {
                "upper": "ABCDEFAB" + value[8:].upper(),
                "braces": f"{{{value}}}",
                "urn": f"urn:uuid:{value}",
                "hex": value.replace("-", ""),
                "padded": f" {value}",
                "newline": f"{value}\n",
                "short": value[:-1],
                "not-hex": f"{value[:-1]}g",
                "moved-dashes": f"{value[:7]}-{value[7]}{value[9:]}",
                "other-digits": f"\u0661{value[1:]}",
                "sql": f"{value[:-1]}'",
            }
            for what, text in spellings.items():
                yield Attack(f"claim/{name}-{what}", self.with_claims(**{name: text}))

    def _claim_texts(self) -> Iterator[Attack]:
        for name in TEXT_CLAIMS:
            value = str(self.claims[name] or "x")
            for what, text in {
                "newline": f"{value}\n",
                "nul": f"{value}\x00",
                "leading-space": f" {value}",
                "trailing-space": f"{value} ",
                "cyrillic": f"{value}\u0430",
                "right-to-left": f"\u202e{value}",
                "lone-surrogate": f"{value}\ud800",
                "quote": f'{value}"',
                "backslash": f"{value}\\",
                "long": "x" * 1030,
            }.items():
                yield Attack(f"claim/{name}-{what}", self.with_claims(**{name: text}))
        for name in ("iss", "aud"):
            value = str(self.claims[name])
            others = {
                "other": "https://attacker.example",
                "slash": f"{value}/",
                "upper": value.upper(),
                "prefix": value[:-1],
                "suffix": f"{value}.attacker.example",
                "list-of-two": [value, "https://attacker.example"],
            }
            for what, other in others.items():
                yield Attack(f"claim/{name}-{what}", self.with_claims(**{name: other}))
        yield Attack("claim/scope-double-space", self.with_claims(scope="a  b"))
        extra: dict[str, object] = {"nbf": 0, "admin": True, "client_id": "x", "cnf": {"jkt": "x"}, "__proto__": {}}
        extra |= {"groups": ["auditor"], "": "x", "Role": "auditor", "role ": "auditor", "roles": "auditor"}
        for name, added in extra.items():
            yield Attack(f"claim/extra-{name or 'empty'}", self.with_claims(**{name: added}))

    def _raw_claims(self) -> Iterator[Attack]:
        text = json.dumps(dict(self.claims), separators=(",", ":"))
        body = text[1:-1]
        raws: dict[str, bytes | str] = {}
        for name in self.claims:
            same = json.dumps(self.claims[name])
            raws[f"duplicate-{name}"] = f'{{{body},"{name}":{same}}}'
        exp, role = json.dumps(self.claims["exp"]), json.dumps(self.claims["role"])
        for number in ("1e400", "-1e400", "1e10", "NaN", "Infinity", "-Infinity", "0x7fffffff", "1_000", "-0"):
            raws[f"exp-{number}"] = text.replace(exp, number)
        raws |= {
            "exp-leading-zero": text.replace(exp, f"0{exp}"),
            "exp-plus": text.replace(exp, f"+{exp}"),
            "exp-five-thousand-digits": text.replace(exp, "9" * 5000),
            "duplicate-by-escape": f'{{"\\u0072ole":"auditor",{body}}}',
            "duplicate-other-first": f'{{"role":"auditor",{body}}}',
            "escaped-name": text.replace('"role"', '"\\u0072ole"'),
            "escaped-value": text.replace(role, f'"\\u{ord(role[1]):04x}{role[2:]}'),
            "escaped-surrogate": text.replace(role, f'{role[:-1]}\\ud800"'),
            "escaped-nul": text.replace(role, f'{role[:-1]}\\u0000"'),
            "raw-cyrillic": text.replace(role, f'{role[:-1]}\u0430"'),
            "raw-control": text.replace(role, f'{role[:-1]}\x01"'),
            "byte-order-mark": b"\xef\xbb\xbf" + text.encode(),
            "utf-16": text.encode("utf-16"),
            "utf-16-bare": text.encode("utf-16-le"),
            "utf-32": text.encode("utf-32"),
            "invalid-utf-8": text.encode().replace(role[1:-1].encode(), b"\xff\xfe"),
            "encoded-surrogate": text.encode().replace(role[1:-1].encode(), b"\xed\xa0\x80"),
            "raw-nul": text.encode() + b"\x00",
            "trailing-comma": f"{{{body},}}",
            "trailing-garbage": f"{text}x",
            "two-objects": f"{text}{text}",
            "comment": f"{text}//",
            "single-quotes": text.replace('"', "'"),
            "unclosed": text[:-1],
            "array": f"[{text}]",
            "string": json.dumps(text),
            "nested-token": self.control(),
            "nested-token-string": json.dumps(self.control()),
            "null": "null",
            "number": "1",
            "infinite": "1e400",
            "empty-object": "{}",
            "blank": " ",
            "deep-array": "[" * 2700 + "]" * 2700,
            "deep-object": '{"a":' * 900 + "1" + "}" * 900,
            "deep-claim": text.replace(role, "[" * 2400 + "]" * 2400),
            "unclosed-depth": "[" * 5000,
        }
        for name, raw in raws.items():
            yield Attack(f"raw-claims/{name}", self.signed(payload=raw if isinstance(raw, bytes) else raw.encode()))

    def _times(self) -> Iterator[Attack]:
        iat, exp = (cast("int", self.claims[name]) for name in ("iat", "exp"))
        lives = {
            "lives-too-long": {"exp": iat + 601},
            "lives-a-day": {"exp": iat + 86_400},
            "lives-for-ever": {"exp": 253_402_300_799},
            "ends-as-it-begins": {"exp": iat},
            "ends-before-it-begins": {"exp": iat - 1},
            "ends-in-1970": {"exp": 0},
            "authenticated-later": {"auth_time": iat + 31},
            "authenticated-after-its-end": {"auth_time": exp + 1},
            "issued-long-ago": {"iat": iat - 601},
            "issued-in-1970": {"iat": 0},
        }
        for name, changes in lives.items():
            yield Attack(f"claim/{name}", self.with_claims(**changes))
        yield Attack("time/expired", self._moved(-FAR_SECONDS))
        yield Attack("time/expired-yesterday", self._moved(-86_400))
        yield Attack("time/issued-in-the-future", self._moved(FAR_SECONDS))
        yield Attack("time/issued-next-year", self._moved(31_536_000))

    def _moved(self, seconds: int) -> str:
        """Move the whole token in time, so that it is right in itself."""
        return self.with_claims(**{name: cast("int", self.claims[name]) + seconds for name in TIME_CLAIMS})


def _group(group: str, texts: Mapping[str, str]) -> Iterator[Attack]:
    for name, text in texts.items():
        yield Attack(f"{group}/{name}", text)


def _json(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def _stray(text: str) -> str:
    """Set an unused bit in the last character of base64url: a lenient decoder reads the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]
    assert decode(other.rpartition(".")[2]) == decode(text.rpartition(".")[2]), "there are no unused bits"
    return other


def _load(pem: str) -> ec.EllipticCurvePrivateKey:
    return cast("ec.EllipticCurvePrivateKey", load_pem_private_key(pem.encode(), password=None))


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
