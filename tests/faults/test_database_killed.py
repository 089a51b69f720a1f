"""A database that is killed in mid-load: nothing acknowledged is lost, nothing is told twice or unrecorded."""

import asyncio
from uuid import UUID

import asyncpg

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY
from tests.faults.conftest import Cluster
from tests.serving import Caller, Instance
from tests.stories import open_table, seat, thread
from tests.talking import talking

TOTAL = 400


class Writer:
    """A client that sends again what was not acknowledged."""

    def __init__(self, caller: Caller, thread_id: str, name: str) -> None:
        self.acked: dict[str, str] = {}
        self.asked = 0
        self._caller = caller
        self._thread_id = thread_id
        self._name = name

    async def write(self, total: int) -> None:
        async with asyncio.timeout(60), talking(self._caller) as talk:
            for number in range(total):
                key = f"{self._name}{number}"
                while key not in self.acked:
                    await talk.say("post", clientId=key, threadId=self._thread_id, text=key)
                    self.asked += 1
                    answer = (await talk.many_of({"ack", "error"}, self.asked, seconds=40))[-1]
                    assert answer["clientId"] == key
                    if answer["op"] == "ack":
                        self.acked[key] = answer["messageId"]


async def test_what_was_acknowledged_outlives_the_database_and_nothing_is_told_twice_or_unrecorded(
    own: Instance, own_urls: Urls, durable: Cluster
) -> None:
    table = await open_table(own)
    await seat(table, "poh", direct=True)
    medication = await thread(table, "medication")
    gp, poh = await table.as_("gp"), await table.as_("poh")
    writers = [Writer(caller, medication, name) for caller, name in ((gp, "a"), (poh, "b"), (gp, "c"))]
    async with talking(poh, table.case_id) as ear:
        writing = asyncio.gather(*(writer.write(TOTAL // 3) for writer in writers))
        for kills in range(1, 3):
            await ear.until(lambda: len(ear.events) >= 40 * kills, "events", seconds=30)  # noqa: B023
            durable.kill()
            await durable.restart()
        await writing
        acked = {id_ for writer in writers for id_ in writer.acked.values()}
        assert len(acked) == 3 * (TOTAL // 3)
        await ear.until(lambda: acked <= {frame["data"]["id"] for frame in ear.events}, "all", seconds=30)
        heard = [frame["data"]["id"] for frame in ear.events]
        assert len(heard) == len(set(heard)) == len(acked)
        assert [frame["n"] for frame in ear.events] == list(range(1, len(heard) + 1))
    connection = await asyncpg.connect(own_urls.superuser)
    try:
        stream = await connection.fetch(
            "select id, seq from case_event where case_id = $1 and type = 'message.posted' order by seq",
            UUID(table.case_id),
        )
        assert [str(row["id"]) for row in stream] == heard
        unrecorded = await connection.fetch(
            """
            select e.seq from case_event e
             where e.case_id = $1 and e.type = 'message.posted' and (
                   not exists (select 1 from audit_event a where a.action = 'message:post' and a.entity_id = e.id)
                or not exists (select 1 from audit_event a
                                where a.action = 'event:deliver' and a.case_id = e.case_id
                                  and e.seq between a.first_seq and a.last_seq and $2 = any (a.audience)))
            """,
            UUID(table.case_id),
            BY_KEY["poh"].engagement_id,
        )
        assert not unrecorded
    finally:
        await connection.close()
    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await poh.get(f"/threads/{medication}/messages", limit=100, **({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        listed += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
    assert listed == heard
