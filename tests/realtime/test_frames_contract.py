"""The socket's contract, line by line, over a real connection."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.serving import Caller, Instance
from tests.stories import Table, account_of, consent, open_table, seat, thread
from tests.talking import Frame, dial, socket_url, talking

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def table(shared: Instance) -> Table:
    """A case with a POH who reads much and a social worker who reads nothing."""
    made = await open_table(shared)
    await seat(made, "poh", direct=True)
    await seat(made, "social-worker")
    return made


async def ticket_of(caller: Caller) -> tuple[str, str]:
    made = await caller.made("/realtime-tickets")
    return str(made["url"]), str(made["ticket"])


def url_of(instance: Instance) -> str:
    return socket_url(instance.url)


# The handshake


async def test_the_ticket_names_the_absolute_address_of_the_socket(shared: Instance) -> None:
    made = await (await shared.as_("gp")).made("/realtime-tickets")
    assert made.keys() == {"ticket", "url", "expiresAt"}
    assert made["url"] == url_of(shared)
    assert str(made["expiresAt"]).endswith("Z")


async def test_the_subprotocol_is_chosen_when_offered_and_not_required(shared: Instance) -> None:
    url = url_of(shared)
    async with connect(url, subprotocols=["x.v9", "overlegtafel.v1"], compression=None) as offered:  # type: ignore[list-item]
        assert offered.subprotocol == "overlegtafel.v1"
    async with connect(url, subprotocols=["x.v9"], compression=None) as foreign:  # type: ignore[list-item]
        assert foreign.subprotocol is None
    async with connect(url, compression=None) as none:
        assert none.subprotocol is None


async def test_deflate_is_not_spoken_even_when_offered(shared: Instance) -> None:
    async with connect(url_of(shared), compression="deflate") as offered:
        assert offered.protocol.extensions == []


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (None, True),
        ("http://127.0.0.1:{port}", True),
        ("http://localhost:{port}", True),
        ("http://127.0.0.1:1", False),
        ("https://127.0.0.1:{port}", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:{port}.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
async def test_an_absent_or_own_origin_is_accepted_and_a_foreign_one_is_403(
    shared: Instance, origin: str | None, accepted: bool
) -> None:
    headers = {} if origin is None else {"Origin": origin.format(port=shared.url.rpartition(":")[2])}
    if accepted:
        async with connect(url_of(shared), additional_headers=headers):
            return
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url_of(shared), additional_headers=headers):
            pass
    assert refused.value.response.status_code == 403


async def test_two_origins_are_refused(shared: Instance) -> None:
    own = shared.url
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url_of(shared), additional_headers=[("Origin", own), ("Origin", own)]):
            pass
    assert refused.value.response.status_code in {400, 403}


async def test_a_foreign_host_is_refused_before_the_origin_is_looked_at(shared: Instance) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url_of(shared), additional_headers={"Host": "evil.example"}):
            pass
    assert refused.value.response.status_code in {400, 421}


# Authenticating


async def test_a_ticket_opens_one_socket(shared: Instance) -> None:
    caller = await shared.as_("gp")
    url, ticket = await ticket_of(caller)
    async with dial(url) as talk:
        await talk.say("authenticate", ticket=ticket)
        ready = await talk.hear("ready")
        assert ready == {"op": "ready", "account": {"id": await account_of(shared, "gp")}, "leaseSeconds": 5}
        assert talk.heard[0] == ready
    async with dial(url) as again:
        await again.say("authenticate", ticket=ticket)
        assert (await again.hear("error"))["problem"]["code"] == "unauthenticated"
        assert await again.close_code() == 4401


async def test_of_twenty_sockets_with_one_ticket_one_gets_in(shared: Instance) -> None:
    url, ticket = await ticket_of(await shared.as_("gp"))

    async def attempt() -> bool:
        async with dial(url) as talk:
            await talk.say("authenticate", ticket=ticket)
            await talk.any_of("ready", "error")
            return bool(talk.all("ready"))

    assert sum(await asyncio.gather(*(attempt() for _ in range(20)))) == 1


@pytest.mark.parametrize("ticket", ["", "x", "A" * 43, "é🙂", "\u0000"])
async def test_an_invented_ticket_is_4401_or_a_bad_frame(shared: Instance, ticket: str) -> None:
    async with dial(url_of(shared)) as talk:
        await talk.say("authenticate", ticket=ticket)
        await talk.hear("error")
        assert await talk.close_code() == (4400 if ticket == "\u0000" else 4401)


async def test_the_first_frame_must_authenticate(shared: Instance) -> None:
    async with dial(url_of(shared)) as talk:
        await talk.say("ping")
        assert (await talk.hear("error"))["problem"]["code"] == "unauthenticated"
        assert await talk.close_code() == 4401


async def test_silence_is_closed_after_five_seconds(shared: Instance) -> None:
    async with dial(url_of(shared)) as talk:
        assert await talk.close_code() == 4401
        assert [frame["op"] for frame in talk.heard] == ["error"]


async def test_authenticating_twice_is_a_bad_frame(shared: Instance) -> None:
    caller = await shared.as_("gp")
    async with talking(caller) as talk:
        _, ticket = await ticket_of(caller)
        await talk.say("authenticate", ticket=ticket)
        assert (await talk.hear("error"))["problem"]["code"] == "bad-frame"
        assert await talk.close_code() == 4400


async def test_sixteen_frames_sent_before_ready_are_handled_after_it_in_order(table: Table) -> None:
    url, ticket = await ticket_of(await table.as_("gp"))
    async with dial(url) as talk:
        await talk.say("authenticate", ticket=ticket)
        await talk.say("join", caseId=table.case_id)
        await talk.say("leave", caseId=table.case_id)
        for _ in range(14):
            await talk.say("ping")
        await talk.many("pong", 14)
        told = [frame["op"] for frame in talk.heard if frame["op"] != "presence"]
        assert told == ["ready", "joined", "left", *["pong"] * 14]


async def test_the_seventeenth_frame_before_ready_is_too_many(shared: Instance) -> None:
    url, ticket = await ticket_of(await shared.as_("gp"))
    async with dial(url) as talk:
        await talk.say("authenticate", ticket=ticket)
        for _ in range(17):
            await talk.say("ping")
        last = await talk.any_of("error", "pong")
        if last["op"] == "error":
            assert last["problem"]["code"] == "rate-limited"
            assert await talk.close_code() == 4429


# Joining and leaving


async def test_joining_says_who_is_here_to_who_may_see_the_network(table: Table) -> None:
    async with talking(await table.as_("gp"), table.case_id) as gp:
        joined = await gp.hear("joined")
        assert joined.keys() == {"op", "caseId", "cursor", "recovered", "members"}
        assert joined["recovered"] is True
        assert joined["members"] == [
            {
                "id": await account_of(table.instance, "gp"),
                "name": "Anna de Vries",
                "role": "gp",
                "organisationId": joined["members"][0]["organisationId"],
            }
        ]


async def test_a_member_without_grants_may_join_and_sees_nobody(table: Table) -> None:
    medication = await thread(table, "medication")
    gp = await table.as_("gp")
    async with talking(await table.as_("social-worker"), table.case_id) as worker, talking(gp, table.case_id):
        assert "members" not in await worker.hear("joined")
        await gp.made(f"/threads/{medication}/messages", {"text": "niet voor haar"})
        async with talking(await table.as_("poh"), table.case_id):
            await worker.settle()
        assert {frame["op"] for frame in worker.heard} == {"ready", "joined", "pong"}


@pytest.mark.parametrize("who", ["stranger", "invitee", "unknown case", "not an id"])
async def test_who_is_not_at_the_table_gets_not_found(shared: Instance, who: str) -> None:
    table = await open_table(shared)
    persona = "gp-other" if who == "stranger" else "social-worker"
    if who == "invitee":
        await (await table.as_("gp")).made(
            f"/cases/{table.case_id}/members",
            {
                "accountId": await account_of(shared, persona),
                "caseRole": "deelnemer",
                "reasonCode": "elderly-mdo",
            },
        )
    case_id = {"unknown case": UNKNOWN, "not an id": "x"}.get(who, table.case_id)
    async with talking(await table.as_(persona)) as talk:
        await talk.say("join", caseId=case_id)
        refused = await talk.hear("error")
        assert refused == {
            "op": "error",
            "problem": {"type": "/problems/not-found", "title": "Not found", "code": "not-found"},
        }
        await talk.settle()
        assert talk.closed is None


async def test_leaving_ends_what_is_heard_and_n_starts_again_at_the_next_join(table: Table) -> None:
    medication = await thread(table, "medication")
    gp = await table.as_("gp")
    async with talking(await table.as_("poh"), table.case_id) as talk:
        for text in ("een", "twee"):
            await gp.made(f"/threads/{medication}/messages", {"text": text})
        await talk.event("message.posted", lambda frame: frame["n"] == 2)
        await talk.say("leave", caseId=table.case_id)
        assert await talk.hear("left") == {"op": "left", "caseId": table.case_id}
        await gp.made(f"/threads/{medication}/messages", {"text": "drie"})
        await talk.settle()
        await talk.say("join", caseId=table.case_id)
        await talk.hear("joined", lambda frame: frame is not talk.heard[1])
        await gp.made(f"/threads/{medication}/messages", {"text": "vier"})
        await talk.event("message.posted", lambda frame: frame["data"]["text"] == "vier")
        assert [(frame["n"], frame["data"]["text"]) for frame in talk.events] == [
            (1, "een"),
            (2, "twee"),
            (1, "vier"),
        ]


async def test_joining_again_begins_afresh_without_a_second_copy(table: Table) -> None:
    medication = await thread(table, "medication")
    gp = await table.as_("gp")
    async with talking(await table.as_("poh"), table.case_id) as talk:
        await talk.say("join", caseId=table.case_id)
        await talk.say("join", caseId=table.case_id)
        await talk.settle()
        assert len(talk.all("joined")) == 3
        await gp.made(f"/threads/{medication}/messages", {"text": "een keer"})
        await talk.event("message.posted")
        await talk.settle()
        assert [frame["n"] for frame in talk.events] == [1]


async def test_one_socket_hears_several_cases_each_with_its_own_count(shared: Instance) -> None:
    tables = [await open_table(shared) for _ in range(2)]
    threads = [await thread(table, "medication") for table in tables]
    gp = await shared.as_("gp")
    async with talking(gp, *(table.case_id for table in tables)) as talk:
        for number in range(4):
            await gp.made(f"/threads/{threads[number % 2]}/messages", {"text": str(number)})
        for number in range(4):
            await talk.event("message.posted", lambda frame, number=number: frame["data"]["text"] == str(number))  # type: ignore[misc]
        for at, table in enumerate(tables):
            heard = [(f["n"], f["data"]["text"]) for f in talk.events if f["caseId"] == table.case_id]
            assert heard == [(1, str(at)), (2, str(at + 2))]


# Posting


async def test_a_post_is_acknowledged_and_heard_by_its_author_with_the_client_s_own_id(table: Table) -> None:
    medication = await thread(table, "medication")
    async with (
        talking(await table.as_("gp"), table.case_id) as gp,
        talking(await table.as_("gp"), table.case_id) as desk,
        talking(await table.as_("poh"), table.case_id) as poh,
    ):
        await gp.say("post", clientId="c-1", threadId=medication, text="Regel 1\nRegel 2", kind="question")
        ack = await gp.hear("ack")
        assert ack.keys() == {"op", "clientId", "messageId", "threadId", "cursor"}
        assert (ack["clientId"], ack["threadId"]) == ("c-1", medication)
        own, other, another = (
            await gp.event("message.posted"),
            await poh.event("message.posted"),
            await desk.event("message.posted"),
        )
        assert other.keys() == {"op", "caseId", "n", "cursor", "type", "at", "actor", "data"}
        assert (other["caseId"], other["n"]) == (table.case_id, 1)
        assert other["at"].endswith("Z")
        assert other["actor"] == {
            "id": await account_of(table.instance, "gp"),
            "name": "Anna de Vries",
            "role": "gp",
            "organisationId": other["actor"]["organisationId"],
        }
        assert other["data"] == {
            "id": ack["messageId"],
            "threadId": medication,
            "patientId": table.patient_id,
            "category": "medication",
            "text": "Regel 1\nRegel 2",
            "kind": "question",
        }
        assert own["data"] == another["data"] == {**other["data"], "clientId": "c-1"}
        read = (await (await table.as_("poh")).get(f"/messages/{ack['messageId']}")).json()
        assert (read["text"], read["kind"], read["at"]) == (other["data"]["text"], "question", other["at"])


async def test_the_kind_is_message_unless_said(table: Table) -> None:
    medication = await thread(table, "medication")
    async with talking(await table.as_("gp"), table.case_id) as gp:
        await gp.say("post", clientId="c", threadId=medication, text="x")
        assert (await gp.event("message.posted"))["data"]["kind"] == "message"


async def test_posting_needs_no_join_and_http_and_socket_share_keys(table: Table) -> None:
    medication = await thread(table, "medication")
    gp = await table.as_("gp")
    async with talking(gp) as talk:
        await talk.say("post", clientId="shared-key", threadId=medication, text="zelfde")
        ack = await talk.hear("ack")
        again = await gp.post(f"/threads/{medication}/messages", {"text": "zelfde"}, Idempotency_Key="shared-key")
        assert again.status_code == 201
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json()["id"] == ack["messageId"]
        await talk.say("post", clientId="shared-key", threadId=medication, text="anders")
        refused = await talk.hear("error")
        assert (refused["clientId"], refused["problem"]["code"]) == ("shared-key", "idempotency-key-reused")
        assert not talk.events


async def test_the_same_post_many_times_at_once_is_one_message(table: Table) -> None:
    medication = await thread(table, "medication")
    async with talking(await table.as_("gp"), table.case_id) as gp:
        for _ in range(20):
            await gp.say("post", clientId="same", threadId=medication, text="een keer")
        assert len({frame["messageId"] for frame in await gp.many("ack", 20)}) == 1
        await gp.settle()
        assert len(gp.events) == 1


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"text": ""}, "invalid-input"),
        ({"text": "x" * 8001}, "invalid-input"),
        ({"text": "\u0000"}, "invalid-input"),
        ({"text": "x", "kind": "shout"}, "invalid-input"),
        ({"text": "x", "threadId": UNKNOWN}, "not-found"),
        ({"text": "x", "threadId": "x"}, "not-found"),
    ],
)
async def test_a_post_that_cannot_stand_is_refused_alone(table: Table, members: dict[str, str], code: str) -> None:
    medication = await thread(table, "medication")
    async with talking(await table.as_("gp"), table.case_id) as gp:
        await gp.say("post", **{"clientId": "c", "threadId": medication, **members})
        refused = await gp.hear("error")
        assert (refused["clientId"], refused["problem"]["code"]) == ("c", code)
        assert refused["problem"]["type"] == f"/problems/{code}"
        await gp.say("post", clientId="d", threadId=medication, text="x" * 8000)
        assert (await gp.hear("ack"))["clientId"] == "d"


async def test_who_may_not_read_a_thread_is_told_that_it_is_not_there(table: Table) -> None:
    medication = await thread(table, "medication")
    async with talking(await table.as_("social-worker"), table.case_id) as worker:
        await worker.say("post", clientId="c", threadId=medication, text="x")
        assert (await worker.hear("error"))["problem"]["code"] == "not-found"
        await worker.say("typing", threadId=medication)
        await worker.hear("error", lambda frame: "clientId" not in frame)
        assert {frame["problem"]["code"] for frame in worker.all("error")} == {"not-found"}


async def test_who_may_read_but_not_write_is_told_so(table: Table) -> None:
    await consent(table, "social-worker", "medication", bothWays=False)
    medication = await thread(table, "medication")
    async with talking(await table.as_("social-worker"), table.case_id) as worker:
        await worker.say("post", clientId="c", threadId=medication, text="x")
        refused = await worker.hear("error")
        assert (refused["clientId"], refused["problem"]["code"]) == ("c", "forbidden")


async def test_many_posts_of_one_socket_keep_their_order(table: Table) -> None:
    medication = await thread(table, "medication")
    async with (
        talking(await table.as_("gp"), table.case_id) as gp,
        talking(await table.as_("poh"), table.case_id) as poh,
    ):
        for number in range(150):
            await gp.say("post", clientId=f"c{number}", threadId=medication, text=str(number))
        await poh.event("message.posted", lambda frame: frame["data"]["text"] == "149")
        for talk in (gp, poh):
            await talk.event("message.posted", lambda frame: frame["data"]["text"] == "149")
            assert [frame["data"]["text"] for frame in talk.events] == [str(n) for n in range(150)]
            assert [frame["n"] for frame in talk.events] == list(range(1, 151))
        assert [frame["clientId"] for frame in gp.all("ack")] == [f"c{n}" for n in range(150)]


# Typing and presence


async def test_typing_is_told_to_the_others_who_may_read_the_thread(table: Table) -> None:
    medication = await thread(table, "medication")
    async with (
        talking(await table.as_("gp"), table.case_id) as gp,
        talking(await table.as_("poh"), table.case_id) as poh,
        talking(await table.as_("social-worker"), table.case_id) as worker,
    ):
        await gp.say("typing", threadId=medication)
        told = await poh.hear("typing")
        assert told == {
            "op": "typing",
            "caseId": table.case_id,
            "threadId": medication,
            "account": {
                "id": await account_of(table.instance, "gp"),
                "name": "Anna de Vries",
                "role": "gp",
                "organisationId": told["account"]["organisationId"],
            },
        }
        for talk in (gp, worker):
            await talk.settle()
            assert not talk.all("typing")


async def test_presence_is_told_as_people_come_and_go_to_who_may_see_the_network(table: Table) -> None:
    def names(frame: Frame) -> set[str]:
        return {member["name"] for member in frame["members"]}

    async with (
        talking(await table.as_("gp"), table.case_id) as gp,
        talking(await table.as_("social-worker"), table.case_id) as worker,
    ):
        async with talking(await table.as_("poh"), table.case_id):
            came = await gp.hear("presence", lambda frame: "Bram Peters" in names(frame))
            assert came.keys() == {"op", "caseId", "members"}
            assert names(came) == {"Anna de Vries", "Bram Peters", "Fatima el Amrani"}
        await gp.hear("presence", lambda frame: names(frame) == {"Anna de Vries", "Fatima el Amrani"})
        await worker.settle()
        assert not worker.all("presence")


# Gaining, losing, ending


async def test_gaining_tells_what_changed_and_then_each_thread(table: Table) -> None:
    first = await thread(table, "medication", title="Eerste")
    second = await thread(table, "medication", title="Tweede")
    await thread(table, "functional_adl", title="Verborgen")
    async with talking(await table.as_("social-worker"), table.case_id) as worker:
        await consent(table, "social-worker", "medication")
        await worker.event("thread.opened", lambda frame: frame["data"]["id"] == second)
        await worker.settle()
        told = worker.events
        assert [frame["n"] for frame in told] == list(range(1, len(told) + 1))
        assert [frame["type"] for frame in told] == [
            "consent.given",
            "access.changed",
            "thread.opened",
            "thread.opened",
        ]
        changed, *opened = told[1:]
        assert changed["data"]["patientId"] == table.patient_id
        assert changed["data"]["gained"] == ["contact_network", "identification", "medication"]
        assert changed["data"]["lost"] == changed["data"]["cells"]["lost"] == []
        assert {"category": "medication", "domain": "care", "mayWrite": True} in changed["data"]["cells"]["gained"]
        assert [frame["data"] for frame in opened] == [
            {"id": id_, "patientId": table.patient_id, "category": "medication", "domain": "care", "title": title}
            for id_, title in ((first, "Eerste"), (second, "Tweede"))
        ]


async def test_the_last_cell_too_is_narrowed_and_the_member_stays_joined(table: Table) -> None:
    await thread(table, "medication")
    async with talking(await table.as_("social-worker"), table.case_id) as worker:
        first = await consent(table, "social-worker", "medication")
        second = await consent(table, "social-worker", "functional_adl")
        await worker.event("access.changed", lambda frame: "functional_adl" in frame["data"]["gained"])
        citizen = await table.as_("citizen")
        await citizen.made(f"/consents/{first}/withdrawal")
        assert await worker.hear("narrowed") == {
            "op": "narrowed",
            "caseId": table.case_id,
            "categories": ["medication"],
            "why": "consent-withdrawn",
        }
        await citizen.made(f"/consents/{second}/withdrawal")
        last = await worker.hear("narrowed", lambda frame: "functional_adl" in frame["categories"])
        assert last["categories"] == ["contact_network", "functional_adl", "identification"]
        await worker.settle()
        assert worker.closed is None
        assert not worker.all("ended")
        await consent(table, "social-worker", "medication")
        await worker.event("access.changed", lambda frame: frame["n"] > last.get("n", 0) and frame["data"]["gained"])


async def test_the_end_of_a_membership_ends_the_case_but_not_the_socket(table: Table) -> None:
    medication = await thread(table, "medication")
    gp = await table.as_("gp")
    async with (
        talking(await table.as_("poh"), table.case_id) as poh,
        talking(gp, table.case_id) as host,
    ):
        assert (await gp.delete(f"/cases/{table.case_id}/members/{table.members['poh']}")).status_code == 204
        assert await poh.hear("ended") == {"op": "ended", "caseId": table.case_id, "why": "membership-ended"}
        left = await host.event("member.left")
        assert left["data"]["memberId"] == table.members["poh"]
        await gp.made(f"/threads/{medication}/messages", {"text": "zonder hem"})
        await poh.settle()
        assert "zonder hem" not in [frame["data"].get("text") for frame in poh.events]
        await poh.say("join", caseId=table.case_id)
        assert (await poh.hear("error"))["problem"]["code"] == "not-found"
        await host.hear("presence", lambda frame: len(frame["members"]) == 1)


async def test_coming_and_going_of_members_is_told_to_who_sees_the_network(shared: Instance) -> None:
    table = await open_table(shared)
    await seat(table, "social-worker")
    async with (
        talking(await table.as_("gp"), table.case_id) as gp,
        talking(await table.as_("social-worker"), table.case_id) as worker,
    ):
        nurse = await seat(table, "district-nurse", direct=True)
        invited, accepted = await gp.event("member.invited"), await gp.event("member.accepted")
        assert invited["data"]["memberId"] == accepted["data"]["memberId"] == nurse
        assert invited["data"]["person"]["name"] == "Ingrid Claessens"
        await worker.settle()
        assert not worker.events


async def test_consents_are_told_to_those_they_concern_alone(shared: Instance) -> None:
    table = await open_table(shared)
    for persona in ("poh", "district-nurse", "social-worker"):
        await seat(table, persona, direct=persona != "social-worker")
    people = ("gp", "citizen", "social-worker", "poh", "district-nurse")
    async with (
        talking(await table.as_("gp"), table.case_id) as gp,
        talking(await table.as_("citizen"), table.case_id) as citizen,
        talking(await table.as_("social-worker"), table.case_id) as worker,
        talking(await table.as_("poh"), table.case_id) as poh,
        talking(await table.as_("district-nurse"), table.case_id) as nurse,
    ):
        talks = dict(zip(people, (gp, citizen, worker, poh, nurse), strict=True))
        made = await consent(table, "social-worker", "medication", by="poh")
        await (await table.as_("citizen")).made(f"/consents/{made}/withdrawal")
        for persona in ("gp", "citizen", "social-worker", "poh"):
            given = await talks[persona].event("consent.given")
            withdrawn = await talks[persona].event("consent.withdrawn")
            assert given["data"] == withdrawn["data"] == {"id": made, "patientId": table.patient_id}
        await nurse.settle()
        assert not [frame for frame in nurse.events if frame["type"].startswith("consent.")]


async def test_corrections_and_retractions_are_told(table: Table) -> None:
    medication = await thread(table, "medication")
    gp = await table.as_("gp")
    async with talking(await table.as_("poh"), table.case_id) as poh:
        made = await gp.made(f"/threads/{medication}/messages", {"text": "fout"})
        fixed = await gp.made(f"/messages/{made['id']}/corrections", {"text": "goed"})
        wrong = await gp.made(f"/threads/{medication}/messages", {"text": "verkeerd"})
        await gp.made(f"/messages/{wrong['id']}/retraction", {"reason": "wrong-thread"})
        corrected = await poh.event("message.corrected")
        assert corrected["data"] == {
            "id": fixed["id"],
            "corrects": made["id"],
            "threadId": medication,
            "patientId": table.patient_id,
            "category": "medication",
            "text": "goed",
        }
        retracted = await poh.event("message.retracted")
        assert retracted["data"]["id"] == wrong["id"]
        assert "text" not in retracted["data"]
        assert [frame["n"] for frame in poh.events] == [1, 2, 3, 4]


# The end of a socket


async def test_signing_out_closes_own_sockets_at_once_and_no_others(shared: Instance) -> None:
    gp = Caller(shared, "gp", await shared.sign_in("gp"))
    other = Caller(shared, "gp", await shared.sign_in("gp"))
    async with talking(gp) as one, talking(gp) as two, talking(other) as kept:
        assert (await gp.delete("/sessions/current")).status_code == 204
        for talk in (one, two):
            assert await talk.hear("bye") == {"op": "bye", "code": 4401}
            assert await talk.close_code() == 4401
        await kept.settle()
        assert kept.closed is None


async def test_ending_another_session_of_one_s_own_closes_its_sockets(shared: Instance) -> None:
    phone = Caller(shared, "specialist", await shared.sign_in("specialist"))
    desk = Caller(shared, "specialist", await shared.sign_in("specialist"))
    items = (await desk.get("/sessions")).json()["items"]
    async with talking(phone) as lost, talking(desk) as kept:
        for item in items:
            if not item["current"]:
                await desk.delete(f"/sessions/{item['id']}")
        assert await lost.close_code() == 4401
        await kept.settle()
        assert kept.closed is None


def problem(frame: Frame) -> dict[str, Any]:
    told: dict[str, Any] = frame["problem"]
    return told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "null",
        '"ping"',
        "{",
        '{"op":1}',
        '{"op":"ping","op":"ping"}',
        '{"op":"dance"}',
        '{"ping":"op"}',
        '{"type":"ping"}',
        '{"op":"ping","more":"x"}',
        '{"op":"join"}',
        '{"op":"post","clientId":"c","threadId":"t"}',
        '{"op":"post","clientId":"","threadId":"t","text":"x"}',
        '{"op":"event"}',
        '{"op":"ping"}{"op":"ping"}',
        '{"op":"\\ud800"}',
        "[" * 20_000,
    ],
)
async def test_a_frame_that_says_nothing_known_closes_with_4400_after_one_error(shared: Instance, text: str) -> None:
    async with talking(await shared.as_("gp")) as talk:
        await talk.connection.send(text)
        assert problem(await talk.hear("error"))["code"] == "bad-frame"
        assert await talk.close_code() == 4400
        assert [frame["op"] for frame in talk.heard] == ["ready", "error"]


async def test_a_binary_frame_is_for_minutes_and_not_spoken_yet(shared: Instance) -> None:
    async with talking(await shared.as_("gp")) as talk:
        await talk.connection.send(b"\x00\x01")
        assert problem(await talk.hear("error"))["code"] == "not-supported"
        assert await talk.close_code() == 4400


async def test_a_frame_over_64_kib_closes_with_1009(shared: Instance) -> None:
    async with talking(await shared.as_("gp")) as talk:
        await talk.connection.send('{"op":"ping"' + " " * 65_523 + "}")
        await talk.hear("pong")
        await talk.connection.send('{"op":"ping"' + " " * 65_524 + "}")
        assert await talk.close_code() == 1009
