"""Time-based one-time passwords. A time step is accepted once, and one step early or late. Source: RFC 6238."""

from datetime import datetime
from hmac import compare_digest
from uuid import UUID

import pyotp

from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import DataKeys

STEP_SECONDS = 30
STEPS_AROUND = 1
CODE_PATTERN = r"^[0-9]{6}$"
CATEGORY = "credentials"
ISSUER = "Overlegtafel"


def new_secret() -> str:
    """Return 160 fresh random bits in base 32."""
    return pyotp.random_base32()


def address_of(secret: str, name: str) -> str:
    """Return what a QR code for an authenticator shows: ``otpauth://totp/…``."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def step_of(secret: str, code: str, *, now: datetime, after: int = -1) -> int | None:
    """Return the time step that a code belongs to, if that is about now and later than ``after``; else None."""
    present = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(present - STEPS_AROUND, present + STEPS_AROUND + 1):
        same = compare_digest(pyotp.TOTP(secret).generate_otp(step).encode(), code.encode("utf-8", "surrogatepass"))
        found = step if same and step > after else found
    return found


async def seal_secret(keys: DataKeys, secret: str, *, factor_id: UUID, account_id: UUID) -> bytes:
    """Return a secret sealed under the account's own key."""
    return seal_text(await keys.sealing(account_id, CATEGORY), secret, _place(factor_id, account_id))


async def open_secret(keys: DataKeys, sealed: bytes, *, factor_id: UUID, account_id: UUID) -> str:
    """Return the secret behind a sealed value."""
    found = await keys.opening([sealed])
    return open_text(found[key_id_of(sealed)], sealed, _place(factor_id, account_id))


def _place(factor_id: UUID, account_id: UUID) -> Place:
    return Place("totp_factor", "secret_sealed", factor_id, account_id, CATEGORY, None)
