"""A small practice is ready in ten minutes: one link and one factor for each, and no e-mail anywhere."""

from datetime import UTC, datetime, timedelta

import pyotp

from tests.serving import Caller
from tests.staff.people import House, Json, poh, staff
from tests.stories import NAMES


def seconds(house: House) -> float:
    return (datetime.now(UTC) + house.clock.offset).timestamp()


async def settle_in(house: House, made: Json, login_name: str) -> Caller:
    """Follow the link once, set a password and an authenticator, and log in with both."""
    http, password = house.instance.http, "drie koeien fietsen langs de Maas"
    code = str(made["enrolment"]["link"]).partition("/activeren#")[2]
    answer = await http.post("/enrolments", json={"code": code})
    assert answer.status_code == 201, answer.text
    enrolled = answer.json()
    assert enrolled["account"]["id"] == made["accountId"]
    assert (await http.post("/enrolments", json={"code": code})).status_code == 401
    enrolling = Caller(house.instance, login_name, enrolled["accessToken"])
    assert (await enrolling.get("/organisations")).status_code == 401, "a link alone opens nothing"
    await enrolling.made("/passwords", {"loginName": login_name, "password": password})
    totp = pyotp.TOTP(str((await enrolling.made("/totp"))["secret"]))
    await enrolling.made("/totp/confirmation", {"code": totp.at(int(seconds(house)))})
    house.clock.move(timedelta(seconds=30))  # a code works once
    shown = {
        "method": "password",
        "loginName": login_name,
        "password": password,
        "code": totp.at(int(seconds(house))),
    }
    answer = await http.post("/log-ins", json=shown)
    assert answer.status_code == 201, answer.text
    return Caller(house.instance, login_name, answer.json()["accessToken"])


async def test_a_practice_a_gp_and_a_poh_work_within_ten_minutes(house: House) -> None:
    region = await house.as_("region-admin")
    practice = await region.made(
        "/organisations", {"kind": "gp_practice", "name": "Praktijk De Beuk", "agb": "01059999"}
    )
    people = f"/organisations/{practice['id']}/engagements"
    first = await region.made(
        people, staff(role="org_admin", profession="beheerder", name={"given": "Els", "family": "Mol"})
    )
    admin = await settle_in(house, first, "els.mol")
    made_gp = await admin.made(people, staff())
    made_poh = await admin.made(people, poh(str(made_gp["id"])))
    gp = await settle_in(house, made_gp, "sanne.bos")
    helper = await settle_in(house, made_poh, "tim.jansen")
    assert (await helper.get("/me")).json()["engagement"]["responsibleAccountId"] == made_gp["accountId"]
    patient = await gp.made(
        "/patients",
        {"noBsnReason": "onbekend", "name": NAMES, "birthDate": "1941-03-02", "neighbourhood": "limmel"},
    )
    case = await gp.made(
        "/cases", {"kind": "individual", "patientIds": [patient["id"]], "question": "Hoe gaat het thuis?"}
    )
    seated = await gp.made(
        f"/cases/{case['id']}/members",
        {
            "accountId": made_poh["accountId"],
            "caseRole": "deelnemer",
            "directTreatment": True,
            "reasonCode": "treatment",
        },
    )
    assert seated["status"] == "accepted"
    assert (await helper.get(f"/cases/{case['id']}")).status_code == 200
    assert (await admin.get(f"/cases/{case['id']}")).status_code == 403
