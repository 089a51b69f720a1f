"""What the matrix needs to ask who may log in and let others in: bodies that are good, and things that are there."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pyotp

from app.identity.demo import BY_KEY, DEMO_PASSWORD
from tests.api.room import Room, another
from tests.identity.authenticator import Authenticator
from tests.identity.entering import body_of, code_of
from tests.serving import Caller

Json = dict[str, Any]
PERSONAS = {"gp", "poh", "district-nurse", "specialist", "social-worker", "citizen", "informal-carer"} | {
    *("auditor", "privacy-officer", "org-admin", "region-admin"),
}
"""Whoever is a person has factors of their own."""
RESETTERS = {"gp", "org-admin", "region-admin", "privacy-officer"}
OWN = (
    *("reauthenticate", "listCredentials", "setPassword", "beginTotp", "confirmTotp", "makeRecoveryCodes"),
    *("beginPasskey", "addPasskey", "removeCredential"),
)
ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(OWN, PERSONAS),
    "issueActivationCode": {"gp", "poh", "district-nurse", "specialist", "social-worker"},
    "linkPatient": {"citizen"},
    **dict.fromkeys(("requestFactorReset", "listFactorResets", "confirmFactorReset"), RESETTERS),
    "registerWorkplace": {"org-admin"},
    "listWorkplaces": {"org-admin"},
    "endWorkplace": {"org-admin"},
}
SOMEBODY = "youth-consultant"
"""Whose factors the matrix changes; nobody else in it needs them."""
SHEET = "0000-0000-0000-0000-0000"
BIRTH_DATE = "1950-01-31"


def body_for(room: Room, name: str) -> Json | None:
    """Return a good body of an operation, or None when it is not one of these."""
    patient = room.ids.get("unlinked", room.patient_id)
    bodies: dict[str, Callable[[], Json]] = {
        "reauthenticate": lambda: {"method": "password", "password": DEMO_PASSWORD, "code": code_of("gp")},
        "setPassword": lambda: {"loginName": "somebody-new", "password": "lindeboom-aan-de-jeker"},
        "confirmTotp": lambda: {"code": pyotp.TOTP(room.ids["totp"]).now() if "totp" in room.ids else "000000"},
        "addPasskey": lambda: json.loads(room.ids.get("passkey", "{}")),
        "issueActivationCode": lambda: {
            "patientId": patient,
            "identityCheck": {"document": "passport"},
            "delivery": "handed-over",
        },
        "linkPatient": lambda: {"code": room.ids.get("code", SHEET), "birthDate": BIRTH_DATE},
        "requestFactorReset": lambda: {
            "accountId": str(BY_KEY["poh"].account_id),
            "reasonCode": "lost-device",
        },
        "registerWorkplace": lambda: {"name": "Balie"},
        "logIn": lambda: body_of("district-nurse"),
        "enrol": lambda: {"code": room.ids.get("code", SHEET), "birthDate": BIRTH_DATE},
    }
    return bodies[name]() if name in bodies else None


async def _somebody(room: Room) -> tuple[Caller, dict[str, str]]:
    room.instance.tokens.pop(SOMEBODY, None)  # what is changed here ends the other sessions
    return await another(room.instance, SOMEBODY), {}


async def _with_totp(room: Room) -> tuple[Caller, dict[str, str]]:
    caller, ids = await _somebody(room)
    room.ids["totp"] = str((await caller.made("/totp"))["secret"])
    return caller, ids


async def _with_challenge(room: Room) -> tuple[Caller, dict[str, str]]:
    caller, ids = await _somebody(room)
    made: Json = await caller.made("/passkeys/challenges")
    key = Authenticator(f"http://localhost:{room.instance.url.rpartition(':')[2]}")
    room.ids["passkey"] = json.dumps(
        {"challengeId": made["challengeId"], "credential": key.create(made["publicKey"])}
    )
    return caller, ids


async def _with_sheet(room: Room) -> tuple[Caller, dict[str, str]]:
    caller, _ = await _somebody(room)
    return caller, {"credentialId": str((await caller.made("/recovery-codes"))["id"])}


async def unlinked(room: Room) -> tuple[Caller, dict[str, str]]:
    """Open a case about somebody without an account."""
    gp = await room.as_("gp")
    name = {"given": "Jan", "family": "Smeets"}
    body = {"noBsnReason": "onbekend", "name": name, "birthDate": BIRTH_DATE, "neighbourhood": "limmel"}
    patient = await gp.made("/patients", body)
    case = await gp.made("/cases", {"kind": "individual", "patientIds": [patient["id"]], "question": "Hoe nu?"})
    room.ids |= {"unlinked": str(patient["id"]), "other case": str(case["id"])}
    return gp, {"caseId": str(case["id"])}


async def with_code(room: Room) -> tuple[Caller, dict[str, str]]:
    """Issue a code for somebody without an account."""
    gp, ids = await unlinked(room)
    body = body_for(room, "issueActivationCode")
    room.ids["code"] = str((await gp.made(f"/cases/{ids['caseId']}/activation-codes", body))["code"])
    return await room.as_("citizen"), {}


async def _requested(room: Room) -> tuple[Caller, dict[str, str]]:
    admin = await room.as_("org-admin")
    body = {"accountId": str(BY_KEY["poh-youth"].account_id), "reasonCode": "forgotten"}
    return await room.as_("gp"), {"resetId": str((await admin.made("/factor-resets", body))["id"])}


async def _admin(room: Room) -> tuple[Caller, dict[str, str]]:
    admin = await room.as_("org-admin")
    return admin, {"workplaceId": str((await admin.made("/workplaces", {"name": "Balie"}))["id"])}


READY: dict[str, Callable[[Room], Awaitable[tuple[Caller, dict[str, str]]]]] = {
    **dict.fromkeys(("setPassword", "beginTotp", "makeRecoveryCodes", "beginPasskey"), _somebody),
    "confirmTotp": _with_totp,
    "addPasskey": _with_challenge,
    "removeCredential": _with_sheet,
    "issueActivationCode": unlinked,
    "linkPatient": with_code,
    "confirmFactorReset": _requested,
    **dict.fromkeys(("registerWorkplace", "listWorkplaces", "endWorkplace"), _admin),
}
