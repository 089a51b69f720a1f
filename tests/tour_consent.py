"""The tour's steps about consent in full: one person kept away, one category opened, an emergency with teeth."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.serving import Caller, Service
from tests.stories import Table, account_of, citizen_bsn, thread
from tests.touring import prove

Say = Callable[[str], None]
Json = dict[str, Any]


class ConsentTour:
    """Steps on the table that the tour opened."""

    def __init__(self, service: Service, table: Table, threads: dict[str, str], say: Say) -> None:
        self.service = service
        self.table = table
        self.threads = threads
        self.say = say

    async def walk(self) -> None:
        """Walk through them.

        Raises:
            NotProven: at the first step that does not hold.
        """
        await self.keep_one_person_away()
        await self.open_for_one()
        await self.wait_and_answer()
        await self.break_the_glass()

    async def _status(self, persona: str, path: str) -> int:
        return (await (await self.service.as_(persona)).get(path)).status_code

    async def keep_one_person_away(self) -> None:
        """Not my neighbour: nobody tells her why."""
        medication, case = f"/threads/{self.threads['medication']}", f"/cases/{self.table.case_id}"
        citizen, nurse = await self.service.as_("citizen"), await self.service.as_("district-nurse")
        prove((await nurse.get(medication)).status_code == 200, "the nurse reads medication")
        body = {"patientId": self.table.patient_id, "accountId": await account_of(self.service, "district-nurse")}
        made = await citizen.made(f"{case}/exclusions", body)
        prove((await nurse.get(medication)).status_code == 404, "and no more from that moment")
        prove((await nurse.get(f"{case}/exclusions")).json()["items"] == [], "she does not see that there is one")
        prove(await self._status("poh", medication) == 200, "for others nothing changes")
        await citizen.delete(f"{case}/exclusions/{made['id']}")
        prove((await nurse.get(medication)).status_code == 200, "and she may look again when it is taken back")
        self.say("The citizen kept one nurse away: closed at once, for her alone, and nothing told her why.")

    async def open_for_one(self) -> None:
        """Mental health is closed to treatment until it is opened for one member, with a reason."""
        case, gp = f"/cases/{self.table.case_id}", await self.service.as_("gp")
        mine = (await gp.get(case)).json()["membership"]["memberId"]
        body = {"patientId": self.table.patient_id, "category": "mental_health", "reason": "Somber sinds de val."}
        await gp.made(f"{case}/openings", {**body, "memberId": mine})
        talk = await thread(self.table, "mental_health", title="Somberheid")
        prove(await self._status("poh", f"/threads/{talk}") == 404, "the POH does not see it by working there")
        opening = await gp.made(f"{case}/openings", {**body, "memberId": self.table.members["poh"]})
        prove(await self._status("poh", f"/threads/{talk}") == 200, "until it is opened for her")
        citizen = await self.service.as_("citizen")
        reasons = {one["reason"] for one in (await citizen.get(f"{case}/openings")).json()["items"]}
        prove(reasons == {"Somber sinds de val."}, "the citizen reads why")
        await citizen.made(
            f"{case}/objections",
            {
                "patientId": self.table.patient_id,
                "memberId": self.table.members["poh"],
                "categories": ["mental_health"],
            },
        )
        prove(
            await self._status("poh", f"/threads/{talk}") == 404, "and objects, which closes it whatever was opened"
        )
        prove(opening["endedAt"] is None, "although nobody took the opening back")
        self.say("Mental health was opened for one colleague with a reason, and closed again by the citizen's word.")

    async def break_the_glass(self) -> None:
        """A GP on duty, who knows nobody here, sees what an emergency needs, and answers for it."""
        duty, officer = await self.service.as_("gp-other"), await self.service.as_("privacy-officer")
        medication, social = (f"/threads/{self.threads[one]}" for one in ("medication", "social"))
        reason = {"reasonCode": "life-threatening", "reason": "Bewusteloos gevonden, medicatie onbekend."}
        body = {"bsn": await citizen_bsn(self.service), **reason}
        unexplained = await duty.post("/break-glass", {"bsn": body["bsn"]})
        prove(unexplained.status_code == 400, "nobody breaks the glass without a reason")
        made = await duty.made("/break-glass", body)
        prove((await duty.get(medication)).status_code == 200, "medication is there")
        prove((await duty.get(social)).status_code == 404, "what an emergency does not need is not")
        prove(await self._told("citizen", made), "the citizen is told at once")
        prove(await self._told("privacy-officer", made), "and a privacy officer")
        review = {"verdict": "justified", "remarks": "Terecht en beperkt."}
        prove((await duty.post(f"/break-glass/{made['id']}/review", review)).status_code == 403, "not by oneself")
        await officer.made(f"/break-glass/{made['id']}/review", review)
        await duty.made(f"/break-glass/{made['id']}/ending")
        prove((await duty.get(medication)).status_code == 404, "and it is closed again")
        self.say("In an emergency a GP on duty saw medication, not the rest; all were told, and it was reviewed.")

    async def _told(self, persona: str, about: Json) -> bool:
        caller: Caller = await self.service.as_(persona)
        return any(one["about"] == about["id"] for one in (await caller.get("/notices")).json()["items"])

    async def wait_and_answer(self) -> None:
        """What is talked over first waits for the citizen, who may ask for it; and her own words stand beside it."""
        case = f"/cases/{self.table.case_id}"
        gp, nurse, citizen = [await self.service.as_(one) for one in ("gp", "district-nurse", "citizen")]
        until = (datetime.now(UTC) + timedelta(days=14)).isoformat()
        why = {"at": until, "reasonCode": "talk-first", "reason": "Eerst met haar bespreken."}
        body = {"patientId": self.table.patient_id, "category": "medication", "title": "Slikt zij nog?"}
        waiting = f"/threads/{(await gp.made(f'{case}/threads', {**body, 'onRelease': why}))['id']}"
        said = await nurse.made(f"{waiting}/messages", {"text": "Zij slaat de avond over."})
        prove((await citizen.get(waiting)).status_code == 404, "the citizen sees nothing of a thread that waits")
        await citizen.made(f"{case}/access-requests", {"patientId": self.table.patient_id})
        shown = (await citizen.get(waiting)).json()["onRelease"]
        prove(shown["reason"] == why["reason"], "until she asks what there is, and reads why it waited")
        await citizen.made(f"/messages/{said['id']}/statements", {"text": "Alleen als ik misselijk ben."})
        (beside,) = (await gp.get(f"/messages/{said['id']}")).json()["statements"]
        prove(beside["text"] == "Alleen als ik misselijk ben.", "and what she says of it stands beside it")
        self.say("A thread waited for the citizen until she asked; her own words stand beside what was said of her.")
