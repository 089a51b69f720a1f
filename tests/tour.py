"""The tour: the whole story against a fresh instance over real HTTP and WebSocket, a line a step with what it proved.

``make tour`` runs it against a service it starts itself; ``tests/test_tour.py`` runs the same steps.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyotp

from app.identity.demo import DEMO_PASSWORD, demo_totp_secret
from tests.serving import Caller, Service
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import Talk, talking
from tests.tour_consent import ConsentTour
from tests.touring import NotProven, prove

START_SECONDS = 180
Say = Callable[[str], None]


class Tour:
    """The story, step by step; each step says what it proved."""

    def __init__(self, service: Service, say: Say) -> None:
        self.service = service
        self._say = say
        self._step = 0
        self.table: Table
        self.threads: dict[str, str] = {}
        self.consent_id = ""

    def say(self, what: str) -> None:
        """Say what a step proved."""
        self._step += 1
        self._say(f"{self._step}. {what}")

    async def walk(self) -> None:
        """Walk through all of it.

        Raises:
            NotProven: at the first step that does not hold.
        """
        async with AsyncExitStack() as stack:
            await self.open_a_case()
            await self.open_threads()
            worker = await self.service.as_("social-worker")
            poh = await self.service.as_("poh")
            hers = await stack.enter_async_context(talking(worker, self.table.case_id))
            his = await stack.enter_async_context(talking(poh, self.table.case_id))
            await self.give_consent(hers)
            await self.talk(hers, his)
            await self.withdraw(hers, his)
            await self.hide_from_strangers()
            await self.sign_in_for_real()
            await self.hand_to_a_locum()
            await ConsentTour(self.service, self.table, self.threads, self.say).walk()
            await self.look_into_the_log()

    async def open_a_case(self) -> None:
        """Register, open, invite."""
        self.table = await open_table(self.service, question="Hoe blijft mevrouw veilig thuis wonen?")
        case = self.table.case_id
        poh = await seat(self.table, "poh", direct=True)
        prove(
            (await (await self.service.as_("poh")).get(f"/cases/{case}")).status_code == 200, "the POH sees the case"
        )
        nurse = await self.service.as_("district-nurse")
        gp = await self.service.as_("gp")
        account = (await nurse.get("/me")).json()["id"]
        invited = await gp.made(
            f"/cases/{case}/members",
            {"accountId": account, "caseRole": "deelnemer", "directTreatment": True, "reasonCode": "treatment"},
        )
        invitation = (await nurse.get("/invitations")).json()["items"][0]
        prove(invitation["invitedBy"]["name"] == "Anna de Vries", "an invitee sees who invites")
        prove(
            set(invitation) == {"memberId", "caseId", "caseRole", "reasonCode", "invitedBy", "invitedAt"},
            "an invitation says nothing of the citizen",
        )
        prove((await nurse.get(f"/cases/{case}")).status_code == 404, "the case itself is 404 for an invitee")
        await nurse.made(f"/cases/{case}/members/{invited['id']}/acceptance")
        await seat(self.table, "social-worker")
        prove(poh, "the POH is a member at once")
        self.say(
            "The GP registered a citizen and opened a case; the POH sat down at once; invitees saw only who invites."
        )

    async def open_threads(self) -> None:
        """Two threads; the accepted social worker sees neither."""
        self.threads["medication"] = await thread(self.table, "medication", title="Medicatie na val")
        self.threads["social"] = await thread(
            self.table, "social_participation", by="poh", title="Meedoen in de wijk"
        )
        worker = await self.service.as_("social-worker")
        seen = (await worker.get(f"/cases/{self.table.case_id}")).json()
        listed = (await worker.get(f"/cases/{self.table.case_id}/threads")).json()
        prove(listed["items"] == [], "no thread in the list")
        prove(not {"patients", "question", "members"} & set(seen), "not even the citizen's name")
        for thread_id in self.threads.values():
            prove((await worker.get(f"/threads/{thread_id}")).status_code == 404, "a thread is 404")
        self.say("Accepted but without consent, the social worker sees no thread and not even the citizen's name.")

    async def give_consent(self, hers: Talk) -> None:
        """Consent opens exactly what it names, on an open socket."""
        self.consent_id = await consent(self.table, "social-worker", "social_participation")
        changed = await hers.event("access.changed")
        opened = await hers.event("thread.opened")
        prove("social_participation" in changed["data"]["gained"], "access.changed names what opened")
        prove(opened["data"]["id"] == self.threads["social"], "the thread itself follows")
        worker = await self.service.as_("social-worker")
        case = (await worker.get(f"/cases/{self.table.case_id}")).json()
        prove(case["patients"][0]["name"]["family"] == "Lemmens", "the citizen's name appears")
        hidden = await worker.get(f"/threads/{self.threads['medication']}")
        prove(hidden.status_code == 404, "medication stays invisible")
        self.say("Oral consent opened social_participation on her open socket at once; medication stayed invisible.")

    async def talk(self, hers: Talk, his: Talk) -> None:
        """Both ways, once each, nothing missed, and gone when retracted."""
        social = self.threads["social"]
        poh, worker = await self.service.as_("poh"), await self.service.as_("social-worker")
        await hers.say("post", clientId="tour-1", threadId=social, text="Ik ga dinsdag langs.")
        await his.event("message.posted", _says("Ik ga dinsdag langs."))
        first = await poh.made(f"/threads/{social}/messages", {"text": "Fijn, dank."}, Idempotency_Key="tour")
        again = await poh.made(f"/threads/{social}/messages", {"text": "Fijn, dank."}, Idempotency_Key="tour")
        prove(first["id"] == again["id"], "a retried post is one message")
        cursor = (await hers.event("message.posted", _says("Fijn, dank.")))["cursor"]
        async with talking(worker, self.table.case_id, cursor=cursor) as second:
            prove((await second.hear("joined"))["recovered"], "the cursor is honoured")
        await poh.made(f"/threads/{social}/messages", {"text": "Gemist bericht"})
        wrong = await poh.made(f"/threads/{social}/messages", {"text": "Verkeerde draad"})
        await poh.made(f"/messages/{wrong['id']}/retraction", {"reason": "wrong-thread"})
        await hers.event("message.retracted", lambda frame: frame["data"]["id"] == wrong["id"])
        async with talking(worker, self.table.case_id, cursor=cursor) as third:
            await third.event("message.posted", _says("Gemist bericht"))
            await third.event("message.retracted")
            prove(
                not any(_says("Verkeerde draad")(f) for f in third.heard if f["op"] == "event"), "retracted is gone"
            )
        prove((await worker.get(f"/messages/{wrong['id']}")).status_code == 404, "the retracted message is 404")
        self.say("Messages flowed both ways; a retry was one message; a cut missed nothing; a retracted one is gone.")

    async def withdraw(self, hers: Talk, his: Talk) -> None:
        """The citizen withdraws; it is quiet in the same breath."""
        case, social = self.table.case_id, self.threads["social"]
        citizen, worker, poh = [await self.service.as_(who) for who in ("citizen", "social-worker", "poh")]
        prove((await citizen.get(f"/cases/{case}")).json()["question"], "the citizen sees the case")
        prove((await citizen.get(f"/threads/{social}/messages")).json()["items"], "and what was shared")
        preview = (await citizen.get(f"/consents/{self.consent_id}/withdrawal-preview")).json()["losses"]
        prove(
            any(loss["person"]["name"] == "Fatima el Amrani" for loss in preview),
            "and what a withdrawal would change",
        )
        withdrawal = asyncio.create_task(citizen.made(f"/consents/{self.consent_id}/withdrawal"))
        race = asyncio.create_task(worker.post(f"/threads/{social}/messages", {"text": "Precies tegelijk"}))
        await withdrawal
        narrowed = await hers.hear("narrowed")
        prove("social_participation" in narrowed["categories"], "her socket is told what closed")
        prove((await race).status_code in {201, 404}, "a post in that moment is written whole or refused")
        late = await worker.post(f"/threads/{social}/messages", {"text": "Te laat"})
        prove(late.status_code == 404, "a post after it is refused")
        await his.say("post", clientId="tour-2", threadId=social, text="Na de intrekking")
        await his.hear("ack", lambda frame: frame["clientId"] == "tour-2")
        await hers.settle()
        prove(
            not any(_says("Na de intrekking")(f) for f in hers.heard if f["op"] == "event"),
            "nothing later reaches her",
        )
        prove((await worker.get(f"/threads/{social}")).status_code == 404, "the thread is 404 for her")
        own = [item["text"] for item in (await worker.get("/contributions")).json()["items"]]
        prove("Ik ga dinsdag langs." in own, "what she wrote stands under her contributions")
        prove((await poh.get(f"/threads/{social}")).status_code == 200, "others go on")
        self.say("The citizen withdrew: the socket narrowed in the same breath, and nothing later got through.")

    async def hide_from_strangers(self) -> None:
        """Not there and not yours are the same bytes."""
        stranger = await self.service.as_("gp-other")
        hidden = await stranger.get(f"/cases/{self.table.case_id}")
        absent = await stranger.get("/cases/3f333df6-90a4-4fda-8dd3-9485d27cee36")
        prove(hidden.status_code == 404, "a stranger gets 404")
        prove(hidden.content == absent.content, "byte for byte as for a case that does not exist")
        self.say("A GP of another practice gets, byte for byte, the 404 of a case that does not exist.")

    async def sign_in_for_real(self) -> None:
        """The GP signs in as in production; whatever is wrong looks the same."""
        http = self.service.http
        code = pyotp.TOTP(demo_totp_secret("gp")).now()
        right = {"method": "password", "loginName": "gp", "password": DEMO_PASSWORD, "code": code}
        wrong = [{**right, "password": "iets-heel-anders"}, {**right, "loginName": "niemand"}]
        refusals = [await http.post("/log-ins", json=body) for body in wrong]
        prove([answer.status_code for answer in refusals] == [401, 401], "a wrong password is refused")
        first, second = ({**answer.json(), "instance": ""} for answer in refusals)
        prove(first == second, "an unknown name looks as a wrong password")
        answer = await http.post("/log-ins", json=right)
        prove(answer.status_code == 201, "password and code sign in")
        signed_in = answer.json()
        gp = Caller(self.service, "gp", signed_in["accessToken"])
        me = (await gp.get("/me")).json()
        prove(me["role"] == "gp" and me["name"] == "Anna de Vries", "it is the GP")
        prove((await http.post("/log-ins", json=right)).status_code == 401, "a code works once")
        renewed = await http.post("/token-refreshes", json={"refreshToken": signed_in["refreshToken"]})
        prove(renewed.status_code == 201, "the session goes on")
        again = await http.post("/token-refreshes", json={"refreshToken": signed_in["refreshToken"]})
        prove(again.status_code == 401, "a refresh token works once")
        prove((await gp.get("/me")).status_code == 401, "and its second use ends the whole session")
        self.say(
            "The GP signed in with password and code; a code and a refresh token work once, a stolen one ends all."
        )

    async def hand_to_a_locum(self) -> None:
        """As at 17:55: a locum stands in until the morning, sees what the GP sees, and then no more."""
        gp, locum = await self.service.as_("gp"), await self.service.as_("gp-locum")
        medication = f"/threads/{self.threads['medication']}"
        prove((await locum.get(medication)).status_code == 404, "before, it is not there for the locum")
        engagement = (await locum.get("/me")).json()["engagement"]["id"]
        morning = (datetime.now(UTC) + timedelta(hours=14)).isoformat()
        body = {"kind": "locum", "substituteEngagementId": engagement, "validUntil": morning}
        started = await gp.made("/replacements", body)
        async with talking(locum, self.table.case_id) as live:
            prove((await locum.get(medication)).status_code == 200, "from that moment the locum reads")
            await locum.made(f"{medication}/messages", {"text": "Ik neem waar tot morgenochtend."})
            await live.event("message.posted", _says("Ik neem waar tot morgenochtend."))
            who = (await locum.post(f"/cases/{self.table.case_id}/members", {"accountId": started["id"]})).status_code
            prove(who == 403, "but does not decide who sits at the table")
            await gp.made(f"/replacements/{started['id']}/ending")
            await live.hear("narrowed")
        prove((await locum.get(medication)).status_code == 404, "and no more once it has ended")
        self.say(
            "At 17:55 the GP let a locum stand in without an admin: same threads, no say, and closed when it ended."
        )

    async def look_into_the_log(self) -> None:
        """The auditor sees who did what, and no content."""
        auditor = await self.service.as_("auditor")
        records: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = (
                await auditor.get(
                    "/audit/events",
                    patientId=self.table.patient_id,
                    limit=100,
                    **({} if cursor is None else {"cursor": cursor}),
                )
            ).json()
            records += page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        actions = {record["action"] for record in records}
        expected = {
            "patient:register",
            "case:open",
            "consent:give",
            "message:post",
            "event:deliver",
            "consent:withdraw",
        }
        prove(expected <= actions, f"the log has {sorted(expected - actions)}")
        denied = [record for record in records if record["outcome"] == "denied"]
        prove(denied, "denials stand in it, with the patient of what was asked for")
        posted = next(record for record in records if record["action"] == "message:post")
        named = {"actor", "purpose", "patientId", "category", "ground", "accessVersion", "policyVersion", "traceId"}
        prove(all(posted[name] for name in named), "a record says who, why, whose, what, on which ground")
        text = str(records)
        prove("dinsdag" not in text and "Lemmens" not in text, "and holds no content")
        thread_id = self.threads["social"]
        prove((await auditor.get(f"/threads/{thread_id}")).status_code == 403, "the auditor reads no thread")
        self.say(f"The auditor pulled {len(records)} records, {len(denied)} of them denials, and saw no content.")


def _says(text: str) -> Callable[[dict[str, Any]], bool]:
    return lambda frame: frame["data"].get("text") == text


async def tour(url: str, say: Say) -> None:
    """Walk through the story at a service."""
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30) as http:
        await Tour(Service(url, http), say).walk()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotProven("the service started")
        try:
            if httpx.get(f"{url}/api/v1/readiness", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise NotProven("the service became ready")


def main() -> int:
    """Start a fresh instance, walk, and take it down again; return 0 when everything was proven."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="ot-tour-") as folder:
        os.chmod(folder, 0o755)  # the database's own account has to pass through
        log_path = Path(folder) / "service.log"
        with log_path.open("wb") as log:
            environment = {**os.environ, "PORT": str(port), "OVERLEGTAFEL_DATA_DIR": str(Path(folder) / "data")}
            print(f"Starting a fresh instance at {url} …", flush=True)
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "demo"], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                _wait(url, process)
                asyncio.run(tour(url, lambda line: print(f"  {line}", flush=True)))
            except (NotProven, AssertionError, TimeoutError) as failure:
                print(f"  NOT PROVEN: {failure or 'something was awaited in vain'}", flush=True)
                print(log_path.read_text(errors="replace")[-2000:], file=sys.stderr)
                return 1
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=60)
    print("Every step held.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
