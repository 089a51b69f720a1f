"""Published vectors, through the very objects and functions that the formats are made of."""

from base64 import urlsafe_b64decode
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag

from app.crypto.cursors import block_cipher
from app.crypto.primitives import hkdf, hmac_sha256
from app.crypto.sealing import DataKey
from app.crypto.signing import thumbprint

# McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, the cases with a 256-bit key and a
# 96-bit nonce: key, nonce, plaintext, associated data, ciphertext, tag.
_KEY = "feffe9928665731c6d6a8f9467308308" * 2
_NONCE = "cafebabefacedbaddecaf888"
_TEXT = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)
GCM = {
    "13": ("00" * 32, "00" * 12, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    "14": (
        "00" * 32,
        "00" * 12,
        "00" * 16,
        "",
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
    "15": (_KEY, _NONCE, _TEXT, "", _SEALED, "b094dac5d93471bdec1a502270e3cc6c"),
    "16": (
        _KEY,
        _NONCE,
        _TEXT[:120],
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        _SEALED[:120],
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
}

# RFC 5869, appendix A.1 to A.3: secret, salt, info, length, output.
HKDF = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        42,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        82,
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
            "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
            "cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]

# RFC 4231, section 4: key, message, HMAC-SHA-256. Case 5 truncates its output and is left out.
HMAC = [
    ("0b" * 20, b"Hi There".hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe".hex(),
        b"what do ya want for nothing?".hex(),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    ("aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)).hex(), "cd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First".hex(),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        "aa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. "
            b"The key needs to be hashed before being used by the HMAC algorithm."
        ).hex(),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


@pytest.mark.parametrize("case", GCM)
def test_a_data_key_is_aes_256_gcm(case: str) -> None:
    key, nonce, text, associated, ciphertext, tag = (bytes.fromhex(part) for part in GCM[case])
    cipher = DataKey(uuid4(), uuid4(), "medication", 1, key).cipher

    assert cipher.encrypt(nonce, text, associated) == ciphertext + tag
    assert cipher.decrypt(nonce, ciphertext + tag, associated) == text
    with pytest.raises(InvalidTag):
        cipher.decrypt(nonce, ciphertext + tag, associated + b"\0")


@pytest.mark.parametrize(("secret", "salt", "info", "length", "output"), HKDF)
def test_derivation_is_hkdf_with_sha_256(secret: str, salt: str, info: str, length: int, output: str) -> None:
    found = hkdf(bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length)

    assert found.hex() == output


@pytest.mark.parametrize(("key", "message", "code"), HMAC)
def test_digests_are_hmac_with_sha_256(key: str, message: str, code: str) -> None:
    assert hmac_sha256(bytes.fromhex(key), bytes.fromhex(message)).hex() == code


def test_a_stream_cursor_is_one_block_of_aes_256() -> None:
    # FIPS 197, appendix C.3.
    cipher = block_cipher(bytes(range(32)))
    text = bytes.fromhex("00112233445566778899aabbccddeeff")

    assert cipher.encryptor().update(text).hex() == "8ea2b7ca516745bfeafc49904b496089"


def test_a_key_is_named_by_its_thumbprint() -> None:
    # RFC 9449, section 4.1 (the key) and section 6.1 (its thumbprint after RFC 7638).
    jwk = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
        "use": "sig",
    }

    assert thumbprint(jwk) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert len(urlsafe_b64decode(thumbprint(jwk) + "=")) == 32
