"""Passkeys: registered and shown against challenges that are used once. User verification makes one two factors.

A passkey is discoverable, so that nobody types a name. Its user handle is a keyed digest of the account's id. What
the authenticator is made of is not asked (no attestation). Source: W3C Web Authentication Level 3, 7.1 and 7.2.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from sqlalchemy.ext.asyncio import AsyncSession
from webauthn.helpers import base64url_to_bytes, parse_client_data_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.access.policy import SelfPermit
from app.core.ids import AccountId, new_id
from app.core.settings import Settings
from app.crypto.digests import Digests, random_token
from app.identity.factors import store

CHALLENGE_SECONDS = 300
NAME = "Overlegtafel"
ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
Json = dict[str, Any]

# What the library and the parsers below it make of hostile input.
_UNUSABLE = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError)


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom a passkey is for: a host name, and the origins whose pages may ask for it."""

    id: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that was made: its id, and what a browser passes on to the authenticator."""

    id: UUID
    options: Json


@dataclass(frozen=True, slots=True)
class Registered:
    """A passkey whose registration was checked."""

    credential_id: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A passkey that was shown, and whose it is."""

    factor_id: UUID
    account_id: AccountId
    sign_count: int


def relying_party(settings: Settings) -> RelyingParty:
    """Return the party of a deployment; an address of this machine goes by the name that browsers take for it."""
    parts = urlsplit(settings.base_url)
    host = parts.hostname or "localhost"
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        return RelyingParty(host, tuple(sorted(settings.origins)))
    port = f":{parts.port}" if parts.port else ""
    return RelyingParty("localhost", tuple(sorted(settings.origins | {f"{parts.scheme}://localhost{port}"})))


async def begin_registration(
    db: AsyncSession, permit: SelfPermit, digests: Digests, party: RelyingParty, *, name: str
) -> Challenge:
    """Return a challenge to register a passkey of the actor's own; ``name`` is shown by the actor's own device."""
    account_id = permit.actor.account_id
    challenge = random_token().encode()
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=NAME,
        user_id=user_handle(digests, account_id),
        user_name=name,
        challenge=challenge,
        timeout=CHALLENGE_SECONDS * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in await store.passkeys(db, permit)],
        supported_pub_key_algs=ALGORITHMS,
    )
    challenge_id = await _keep(db, digests, challenge, account_id=account_id, now=permit.now)
    return Challenge(challenge_id, json.loads(webauthn.options_to_json(options)))


async def begin_showing(db: AsyncSession, digests: Digests, party: RelyingParty, *, now: datetime) -> Challenge:
    """Return a challenge for whoever wants to log in; it names nobody and no passkey."""
    challenge = random_token().encode()
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=CHALLENGE_SECONDS * 1000,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    challenge_id = await _keep(db, digests, challenge, account_id=None, now=now)
    return Challenge(challenge_id, json.loads(webauthn.options_to_json(options)))


async def _keep(
    db: AsyncSession, digests: Digests, challenge: bytes, *, account_id: AccountId | None, now: datetime
) -> UUID:
    challenge_id = new_id()
    digest = digests.digest("passkey-challenge", challenge)
    await store.add_challenge(
        db, challenge_id=challenge_id, digest=digest, account_id=account_id, now=now, seconds=CHALLENGE_SECONDS
    )
    return challenge_id


def user_handle(digests: Digests, account_id: AccountId) -> bytes:
    """Return what a passkey keeps of whose it is; it means nothing elsewhere."""
    return digests.digest("passkey-user", account_id.bytes)


def check_registration(
    credential: Mapping[str, Any], digest: bytes | None, digests: Digests, party: RelyingParty
) -> Registered | None:
    """Return the passkey that a browser registered against the challenge behind ``digest``; None if it did not."""
    try:
        verified = webauthn.verify_registration_response(
            credential=dict(credential),
            expected_challenge=_challenge(credential, digest, digests),
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
    except _UNUSABLE:
        return None
    return Registered(verified.credential_id, verified.credential_public_key, verified.sign_count)


async def check_shown(
    db: AsyncSession, credential: Mapping[str, Any], digest: bytes | None, digests: Digests, party: RelyingParty
) -> Shown | None:
    """Return the passkey that was shown against the challenge behind ``digest``; None if none of ours was."""
    try:
        challenge = _challenge(credential, digest, digests)
        known = await store.passkey_with(db, base64url_to_bytes(credential["id"]))
        if known is None:
            return None
        handle = credential["response"].get("userHandle")
        if handle and not compare_digest(
            base64url_to_bytes(handle), user_handle(digests, AccountId(known["account_id"]))
        ):
            return None
        verified = webauthn.verify_authentication_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=known["public_key"],
            credential_current_sign_count=known["sign_count"],
            require_user_verification=True,
        )
    except _UNUSABLE:
        return None
    return Shown(known["id"], known["account_id"], verified.new_sign_count)


def _challenge(credential: Mapping[str, Any], digest: bytes | None, digests: Digests) -> bytes:
    """Return the challenge that was signed, once it is the one behind ``digest``.

    Raises:
        ValueError: it is another, or there is none.
    """
    said = parse_client_data_json(base64url_to_bytes(credential["response"]["clientDataJSON"])).challenge
    if digest is None or not compare_digest(digests.digest("passkey-challenge", said), digest):
        raise ValueError("another challenge was signed")
    return said
