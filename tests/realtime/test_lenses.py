"""Two histories that differ only in what a viewer may not see give her socket the same frames (G6)."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tests.serving import Instance
from tests.stories import Table, consent, open_table, seat, thread
from tests.talking import Talk, talking

NAMES = {
    "id": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "cursor": re.compile(r'(?<="cursor":")[^"]*(?=")'),
    "instant": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
}


@dataclass
class History:
    """A case, and what was done in it so far."""

    table: Table
    social: str
    medication: str
    posted: dict[str, list[str]] = field(default_factory=lambda: {"social": [], "medication": []})
    consents: list[str] = field(default_factory=list)

    async def post(self, where: str, text: str) -> None:
        thread_id = self.social if where == "social" else self.medication
        made = await (await self.table.as_("poh")).made(f"/threads/{thread_id}/messages", {"text": text})
        self.posted[where].append(str(made["id"]))

    async def post_live(self, where: str, text: str) -> None:
        thread_id = self.social if where == "social" else self.medication
        async with talking(await self.table.as_("gp")) as writer:
            await writer.say("typing", threadId=thread_id)
            await writer.say("post", clientId="c", threadId=thread_id, text=text)
            await writer.hear("ack")

    async def retract(self, where: str) -> None:
        if self.posted[where]:
            await (await self.table.as_("poh")).made(
                f"/messages/{self.posted[where].pop()}/retraction", {"reason": "error"}
            )

    async def correct(self, where: str) -> None:
        if self.posted[where]:
            await (await self.table.as_("poh")).made(
                f"/messages/{self.posted[where][-1]}/corrections", {"text": "verbeterd"}
            )

    async def open(self, category: str) -> None:
        await thread(self.table, category, by="poh", title="Nog een")

    async def give(self) -> None:
        self.consents.append(await consent(self.table, "district-nurse", "mental_health"))

    async def withdraw(self) -> None:
        if self.consents:
            await (await self.table.as_("citizen")).made(f"/consents/{self.consents.pop()}/withdrawal")


Step = Callable[[History], Awaitable[None]]

SEEN: dict[str, Step] = {
    "post": lambda history: history.post("social", "Zichtbaar"),
    "post live": lambda history: history.post_live("social", "Zichtbaar"),
    "retract": lambda history: history.retract("social"),
    "correct": lambda history: history.correct("social"),
    "open": lambda history: history.open("social_participation"),
}
HIDDEN: dict[str, Step] = {
    "post": lambda history: history.post("medication", "Verborgen"),
    "post live": lambda history: history.post_live("medication", "Verborgen"),
    "retract": lambda history: history.retract("medication"),
    "correct": lambda history: history.correct("medication"),
    "open": lambda history: history.open("medication"),
    "give": lambda history: history.give(),
    "withdraw": lambda history: history.withdraw(),
}


def renamed(frames: list[bytes]) -> list[tuple[int, str]]:
    """Return each frame's size and its text, with ids, cursors and instants named by order of appearance."""
    names: dict[str, dict[str, str]] = {kind: {} for kind in NAMES}
    told = []
    for frame in frames:
        text = frame.decode()
        for kind, pattern in NAMES.items():
            seen = names[kind]
            text = pattern.sub(
                lambda match, kind=kind, seen=seen: seen.setdefault(match[0], f"<{kind} {len(seen)}>"),  # type: ignore[misc]
                text,
            )
        told.append((len(frame), text))
    return told


async def begin(instance: Instance, history: str = "all") -> History:
    """Open a case with a social worker who reads one category alone."""
    table = await open_table(instance)
    await seat(table, "poh", direct=True)
    await seat(table, "district-nurse")
    await seat(table, "social-worker")
    made = History(
        table, await thread(table, "social_participation", by="poh"), await thread(table, "medication", by="poh")
    )
    await made.post("social", "Van tevoren")
    if history == "all":
        await consent(table, "social-worker", "social_participation")
    return made


async def frames_of(history: History, seen: list[Step], hidden: list[list[Step]]) -> list[list[tuple[int, str]]]:
    """Live through a history; return what the viewer heard live, after a break, and on coming back to it all."""
    viewer = await history.table.as_("social-worker")
    heard = []
    async with talking(viewer, history.table.case_id) as talk:
        start = (await talk.hear("joined"))["cursor"]
        half = len(seen) // 2
        for step, before in zip(seen[:half], hidden[:half], strict=True):
            for one in (*before, step):
                await one(history)
        await mark(history, talk, "halverwege")
        cursor = talk.events[-1]["cursor"]
        heard.append(renamed(talk.raw))
    for step, before in zip(seen[half:], hidden[half:], strict=True):
        for one in (*before, step):
            await one(history)
    for after in (cursor, start):
        async with talking(viewer, history.table.case_id, cursor=after) as talk:
            await mark(history, talk, "einde")
            heard.append(renamed(talk.raw))
    return heard


async def mark(history: History, talk: Talk, text: str) -> None:
    """Wait until everything so far was heard."""
    await history.post("social", text)
    at = len(history.posted["social"])
    await talk.event("message.posted", lambda frame: frame["data"]["id"] == history.posted["social"][at - 1])
    await talk.settle()
    # Presence comes when things have settled, whenever that is; what it says does not change here.
    talk.raw[:] = [frame for frame in talk.raw if b'"op":"presence"' not in frame]


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_hidden_leaves_no_trace_on_her_socket(shared: Instance, seed: int) -> None:
    await compare(shared, random.Random(seed))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 140))
async def test_what_is_hidden_leaves_no_trace_on_her_socket_long(shared: Instance, seed: int) -> None:
    await compare(shared, random.Random(seed), steps=16)


async def compare(instance: Instance, chance: random.Random, *, steps: int = 6) -> None:
    seen = [chance.choice(list(SEEN.values())) for _ in range(steps)]
    hidden = [[chance.choice(list(HIDDEN.values())) for _ in range(chance.randrange(3))] for _ in range(steps)]
    bare: list[list[Step]] = [[] for _ in seen]
    one, two = await begin(instance), await begin(instance)
    plain, full = await asyncio.gather(frames_of(one, seen, bare), frames_of(two, seen, hidden))
    for label, left, right in zip(("live", "after a break", "from the start"), plain, full, strict=True):
        assert left == right, label
    assert sum(len(part) for part in plain) > 3 * 3


async def test_what_came_before_her_bound_leaves_no_trace_when_it_is_taken_back(shared: Instance) -> None:
    heard = []
    for before in (0, 2):
        history = await begin(shared, "from-now")
        for number in range(before):
            await history.post("social", f"voor haar tijd {number}")
        early, history.posted["social"] = history.posted["social"], []
        await consent(history.table, "social-worker", "social_participation", history="from-now")
        viewer = await history.table.as_("social-worker")
        async with talking(viewer, history.table.case_id) as talk:
            start = (await talk.hear("joined"))["cursor"]
            for id_ in early[1:]:
                history.posted["social"] = [id_]
                await history.retract("social")
            await mark(history, talk, "einde")
            live = renamed(talk.raw)
        async with talking(viewer, history.table.case_id, cursor=start) as talk:
            await mark(history, talk, "einde")
            heard.append((live, renamed(talk.raw)))
    assert heard[0] == heard[1]
