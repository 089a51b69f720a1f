"""The hub of one worker: rooms by case, fed by what this worker appends and by reading what others did.

Strictly in the order of the stream: a local commit that is not the next position, or that somebody joined during, is
read from the database together with the gap before it. Source: DESIGN 2, 4 and 7.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

import structlog

from app.access.policy import Cell
from app.access.vocabulary import PROFESSIONALS, Category, Domain, Role
from app.core.db import FAILURES as DATABASE_FAILURES
from app.core.errors import DomainError, Unavailable
from app.core.ids import AccountId, CaseId, EngagementId, EventId, PatientId, ThreadId
from app.crypto.cursors import StreamCursors
from app.entitlement.knowledge import Knowledge, Snapshot
from app.events.appender import Appended
from app.events.drafts import EventType
from app.events.posting import Decision
from app.events.reading import PAGE_MAX, Read, Stream
from app.identity.directory import Directory, Person
from app.realtime import frames, rendering
from app.realtime.bookmarks import Bookmark, amid, bookmark
from app.realtime.room import AnySubject, Label, Listener, Room, Seat, agreed, agreed_on_append

RESUME_EVENTS_MAX = 50_000
RESUME_RETRY_SECONDS = 1.0
GO_LIVE_EVENTS_MAX = 64
GO_LIVE_BYTES_MAX = 256 * 1024
JOIN_TRIES_MAX = 20
CLIENT_IDS_MAX = 10_000
CATCH_UPS_AT_ONCE = 4
PRESENCE_PAUSE_SECONDS = 0.1
FAILURES = (*DATABASE_FAILURES, DomainError)
Missed = tuple[int, bytes, Label]
"""What a socket missed: the position after it, its body and its label."""

log = structlog.get_logger()


class Hub:
    """The rooms of this worker."""

    def __init__(self, stream: Stream, knowledge: Knowledge, directory: Directory, cursors: StreamCursors) -> None:
        self._stream = stream
        self._knowledge = knowledge
        self._directory = directory
        self._cursors = cursors
        self._rooms: dict[CaseId, Room] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client_ids: OrderedDict[EventId, str] = OrderedDict()

    @property
    def rooms(self) -> Mapping[CaseId, Room]:
        """The cases somebody listens to here."""
        return self._rooms

    def listeners(self, case_id: CaseId) -> Iterable[EngagementId]:
        """Return who listens to a case here."""
        room = self._rooms.get(case_id)
        return () if room is None else room.seats.keys()

    # Joining and leaving

    def now(self) -> datetime:
        """Return the instant that decisions over the stream are made at."""
        return self._stream.now()

    async def join(
        self,
        listener: Listener,
        case_id: CaseId,
        cursor: str | None,
        seats: MutableMapping[CaseId, Seat],
        permit: Callable[[], Awaitable[int]],
    ) -> None:
        """Seat a socket, in ``seats`` too: tell it that it joined, what it missed after its cursor, then what comes.

        ``permit`` asks whether the listener may, and returns the access version at which that was decided; nobody is
        seated at another version. A seat the socket had before is given up only for the new one.

        Raises:
            DomainError: what ``permit`` refused with.
            Unavailable: rights change faster than they can be looked at.
        """
        permitted = await permit()
        for _ in range(JOIN_TRIES_MAX):
            room = self._room(case_id)
            async with room.lock:
                if self._rooms.get(case_id) is not room:
                    continue  # nobody was in it, and it was let go of while we waited
                await self._bring_up_to_date(room)
                if room.version == permitted:
                    await self._directory.people([*room.seats, listener.engagement_id])
                    seated = self._seat(room, listener, cursor, seats)
                    break
            permitted = await permit()
        else:
            raise Unavailable
        if seated is not None:
            await self._resume(room, *seated)

    def _room(self, case_id: CaseId) -> Room:
        room = self._rooms.get(case_id)
        if room is None:
            room = self._rooms[case_id] = Room(case_id, self._cursors)
        return room

    def _seat(
        self, room: Room, listener: Listener, cursor: str | None, seats: MutableMapping[CaseId, Seat]
    ) -> tuple[Seat, Bookmark] | None:
        """Seat a socket in one turn and return its seat and how far it has heard; None when it is gone by now."""
        case_id = room.case_id
        if listener.outbox.closed:
            return None
        earlier = seats.pop(case_id, None)
        if earlier is not None:
            room.leave(earlier)
            listener.outbox.purge(case_id)
        tag = self._cursors.tag(listener.account_id, case_id)
        seat = Seat(listener, case_id, tag, room.cells_of(listener.engagement_id, self._stream.now()))
        known = room.last_seq if cursor is None else self._cursors.read(cursor, listener.account_id, case_id)
        recovered = known is not None and 0 <= room.last_seq - bookmark(known).seq <= RESUME_EVENTS_MAX
        position = known if recovered and known is not None else room.last_seq
        seat.live = position == room.last_seq
        seats[case_id] = seat
        room.enter(seat)
        listener.outbox.say(
            frames.joined(
                case_id,
                self._cursors.one(position, tag),
                recovered=recovered,
                members=self._present(room, self._viewer(seat)) if _sees_contacts(seat) else None,
            )
        )
        self._presence_changed(room)
        return seat, bookmark(position)

    async def _resume(self, room: Room, seat: Seat, after: Bookmark) -> None:
        """Tell a seat what it missed, as fast as its peer takes it in; once it caught up with its room it is live."""
        opened: set[int] = set()
        while not seat.live and room.holds(seat):
            try:
                missed, reached = await self._missed(room, seat, after, opened)
                for position, body, label in missed:
                    await seat.listener.drained()
                    if not room.holds(seat):
                        return
                    seat.tell(body, self._cursors.one(position, seat.tag), label)
                after = reached
                await seat.listener.drained()
                if after.seq + GO_LIVE_EVENTS_MAX >= room.last_seq:
                    await self._go_live(room, seat, after, opened)
            except FAILURES as error:
                log.warning("hub.resume-failed", error=type(error).__name__)
                await asyncio.sleep(RESUME_RETRY_SECONDS)

    async def _go_live(self, room: Room, seat: Seat, after: Bookmark, opened: set[int]) -> None:
        """Close the last small gap in one turn; where it is not small, the seat stays behind and goes on."""
        async with room.lock:
            await self._bring_up_to_date(room)
            missed: list[Missed] = []
            if after.seq < room.last_seq:
                missed, reached = await self._missed(room, seat, after, opened, until=room.last_seq)
                size = sum(len(body) for _, body, _ in missed)
                if reached.seq < room.last_seq or len(missed) > GO_LIVE_EVENTS_MAX or size > GO_LIVE_BYTES_MAX:
                    return
            for position, body, label in missed:
                seat.tell(body, self._cursors.one(position, seat.tag), label)
            seat.live = True

    async def _missed(
        self, room: Room, seat: Seat, after: Bookmark, opened: set[int], *, until: int | None = None
    ) -> tuple[list[Missed], Bookmark]:
        """Return a page of what one listener may hear now after a position, and how far that reaches.

        ``opened`` remembers the positions of the thread openings among it, which a cell gained later does not repeat.
        """
        listener = seat.listener.engagement_id
        reads = await self._stream.after(room.case_id, after.seq, [listener])
        reads = [read for read in reads if until is None or read.seq <= until]
        if not reads:
            return [], after
        snapshot = await self._snapshot(room, reads[-1].version)
        people = await self._people(reads)
        missed: list[Missed] = []
        for read in reads:
            kind = read.row["type"]
            if listener not in agreed(read, snapshot, [listener]):
                continue
            if kind == EventType.MEMBER_LEFT and read.row["addressees"] and listener == _who_left(read):
                continue  # it ended what was then the membership; by now there is another
            body = rendering.event_body(read.row, room.case_id, read.text, people)
            if body is None:
                continue
            if kind == EventType.ACCESS_CHANGED:
                openings = await self._openings(room, read, listener, snapshot)
                told = after.ordinal if read.seq == after.seq + 1 else None
                missed += _burst(read.seq, body, [one for one in openings if one.seq not in opened], told)
                continue
            if kind == EventType.THREAD_RELEASED and listener not in snapshot.professionals:
                body = await self._released(room, read, listener)
                if body is None:
                    continue
            missed.append((read.seq, body, _label(read)))
            if kind in (EventType.THREAD_OPENED, EventType.THREAD_RELEASED):
                opened.add(read.seq)
        return missed, Bookmark(reads[-1].seq)

    def leave(self, seat: Seat) -> None:
        """Unseat a socket."""
        room = self._rooms.get(seat.case_id)
        if room is None:
            return
        room.leave(seat)
        self._presence_changed(room)

    # What this worker appended

    def expect(self, event_id: EventId, client_id: str) -> None:
        """Remember what a client calls its message, for its own copy, however the message comes back here."""
        self._client_ids[event_id] = client_id
        if len(self._client_ids) > CLIENT_IDS_MAX:
            self._client_ids.popitem(last=False)

    def forget(self, event_id: EventId) -> None:
        """Forget a message that was refused, or posted before."""
        self._client_ids.pop(event_id, None)

    def deliver(self, batch: Sequence[Appended]) -> None:
        """Tell the listeners here what was just appended here, without a look at the database if possible."""
        for case_id, group in groupby(batch, key=lambda appended: appended.case_id):
            room = self._rooms.get(case_id)
            if room is None:
                for appended in group:
                    self.forget(appended.event_id)
            elif not self._deliver_at_once(room, list(group)):
                self._poke(room)

    def _deliver_at_once(self, room: Room, group: list[Appended]) -> bool:
        """Deliver from memory; False when only the database can tell: a gap, a newcomer, something unknown."""
        first = group[0]
        snapshot = room.snapshot
        authors = [self._directory.at_hand(appended.post.actor.engagement_id) for appended in group]
        if (
            room.lock.locked()
            or first.seq != room.last_seq + 1
            or snapshot is None
            or snapshot.version != first.version
            or not room.seats.keys() <= first.listeners
            or None in authors
        ):
            return False
        for appended, author in zip(group, authors, strict=True):
            assert author is not None
            audience = agreed_on_append(appended, snapshot)
            own = appended.post.actor.engagement_id
            client_id = self._client_ids.pop(appended.event_id, None)
            if client_id is not None and own in audience:
                body = rendering.posted(appended, author, client_id)
                room.tell(appended.seq, body, (own,), appended.cell)
                audience -= {own}
            room.tell(appended.seq, rendering.posted(appended, author), audience, appended.cell)
            room.last_seq = appended.seq
        return True

    # What others did

    def moved(self, case_ids: Iterable[CaseId]) -> None:
        """Look at cases that may have moved: a hint, from here or from another worker."""
        for case_id in case_ids:
            room = self._rooms.get(case_id)
            if room is not None:
                self._poke(room)

    def seen(self, heads: Mapping[CaseId, tuple[int, int]]) -> None:
        """Compare where the streams stand (seq, version) with what was told here; catches up on lost hints."""
        for room in self._behind(heads):
            self._poke(room)

    async def catch_up(self, heads: Mapping[CaseId, tuple[int, int]]) -> None:
        """Bring every room to where its stream stands, narrowings included: for who was silent for a while.

        Raises:
            OSError, TimeoutError, asyncpg errors: the database did not answer; call it again.
        """
        behind = self._behind(heads)
        for at in range(0, len(behind), CATCH_UPS_AT_ONCE):
            await asyncio.gather(*(self._catch_up_now(room) for room in behind[at : at + CATCH_UPS_AT_ONCE]))

    def _behind(self, heads: Mapping[CaseId, tuple[int, int]]) -> list[Room]:
        return [
            room
            for case_id, (seq, version) in heads.items()
            if (room := self._rooms.get(case_id)) is not None and (seq > room.last_seq or version != room.version)
        ]

    async def _catch_up_now(self, room: Room) -> None:
        async with room.lock:
            await self._bring_up_to_date(room)

    def expire(self) -> None:
        """Close what time closed, even before the sweeper tells of it; and let go of rooms that nobody is in."""
        now = self._stream.now()
        for room in list(self._rooms.values()):
            if not room.seats and not room.lock.locked():
                del self._rooms[room.case_id]
                continue
            room.lapse(now)

    def _poke(self, room: Room) -> None:
        if room.wanted:
            return
        room.wanted = True
        task = asyncio.create_task(self._catch_up(room), name="catch-up")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _catch_up(self, room: Room) -> None:
        try:
            async with room.lock:
                room.wanted = False
                await self._bring_up_to_date(room)
        except FAILURES as error:
            # The next renewal of the lease sees that the stream is ahead, and tries again.
            log.warning("hub.catch-up-failed", error=type(error).__name__)
        except Exception:
            log.exception("hub.catch-up-broken")

    async def _bring_up_to_date(self, room: Room) -> None:
        """Read and tell what is new, in order; the caller holds the room's lock."""
        if room.last_seq < 0:
            last_seq, _ = await self._stream.head(room.case_id)
            room.know(await self._knowledge.fresh(room.case_id), self._stream.now())
            room.last_seq = last_seq
            return
        snapshot: Snapshot | None = None
        more = True
        while more:
            asked = list(room.seats)
            reads = await self._stream.after(room.case_id, room.last_seq, asked)
            if not reads:
                break
            snapshot = await self._snapshot(room, reads[-1].version)
            people = await self._people(reads)
            for read in reads:
                await self._tell(room, read, agreed(read, snapshot, asked), snapshot, people)
                room.last_seq = read.seq
            more = len(reads) == PAGE_MAX
        if snapshot is None:  # the version may have moved without an event
            _, version = await self._stream.head(room.case_id)
            if version == room.version:
                return
            snapshot = await self._knowledge.fresh(room.case_id)
        room.know(snapshot, self._stream.now())

    async def _snapshot(self, room: Room, version: int) -> Snapshot:
        """Return a snapshot of the room's case: of this version if it is at hand, else as it is now."""
        if room.snapshot is not None and room.snapshot.version == version:
            return room.snapshot
        return self._knowledge.known(room.case_id, version) or await self._knowledge.fresh(room.case_id)

    async def _tell(
        self,
        room: Room,
        read: Read,
        audience: frozenset[EngagementId],
        snapshot: Snapshot,
        people: Mapping[UUID, Person],
    ) -> None:
        """Tell one event. Whatever has to be looked up is looked up first: an event is told whole, or again later.

        Seats hear by what they held at this place of the stream: what comes before a gain is history, not news.
        """
        label = _label(read)
        audience = frozenset(one for one in audience if one in room.seats and room.seats[one][0].may_hear(label))
        client_id = self._client_ids.pop(read.row["id"], None)
        if not audience:
            return
        if read.row["type"] == EventType.ACCESS_CHANGED:
            for engagement_id in audience:
                await self._access_changed(room, read, engagement_id, snapshot, people)
            return
        if read.row["type"] == EventType.MEMBER_LEFT and read.row["addressees"]:
            gone = _who_left(read)
            if gone in audience:
                self._end(room, gone, read.row["data"].get("why", "membership-ended"))
            audience -= {gone}
        if read.row["type"] == EventType.THREAD_RELEASED:
            for engagement_id in audience - snapshot.professionals:
                released = await self._released(room, read, engagement_id)
                if released is not None:
                    room.tell(read.seq, released, (engagement_id,), label)
            audience &= snapshot.professionals
        own = read.row["actor_engagement_id"]
        if client_id is not None and own in audience:
            body = rendering.event_body(read.row, room.case_id, read.text, people, client_id)
            if body is not None:
                room.tell(read.seq, body, (own,), label)
            audience -= {own}
        body = rendering.event_body(read.row, room.case_id, read.text, people)
        if body is not None:
            room.tell(read.seq, body, audience, label)

    async def _access_changed(
        self,
        room: Room,
        read: Read,
        engagement_id: EngagementId,
        snapshot: Snapshot,
        people: Mapping[UUID, Person],
    ) -> None:
        """Narrow first, then tell, then tell of the threads that opened."""
        live = any(seat.live for seat in room.seats.get(engagement_id, ()))
        openings = await self._openings(room, read, engagement_id, snapshot) if live else []
        data = read.row["data"]
        held = snapshot.cells(engagement_id, self._stream.now())
        lost = [cell for cell in _cells(data["lost"], PatientId(read.row["patient_id"])) if cell not in held]
        room.narrow(engagement_id, lost, data["why"])
        for seat in room.seats.get(engagement_id, ()):
            seat.cells = held
        body = rendering.event_body(read.row, room.case_id, None, people)
        if body is not None:
            for position, part, label in _burst(read.seq, body, openings):
                room.tell(position, part, (engagement_id,), label)

    async def _openings(
        self, room: Room, read: Read, engagement_id: EngagementId, snapshot: Snapshot
    ) -> list["_Opening"]:
        """Return the threads that an ``access.changed`` opened to somebody, oldest first."""
        held = snapshot.cells(engagement_id, self._stream.now())
        patient = PatientId(read.row["patient_id"])
        gained = {cell for cell in _cells(read.row["data"]["gained"], patient) if cell in held}
        if not gained:
            return []
        openings = await self._stream.openings(room.case_id, engagement_id)
        openers = await self._people(openings)
        return [
            _Opening(
                opening.seq,
                opening.row["ordinal"],
                rendering.thread_body(opening.row, room.case_id, opening.text, openers),
                cell,
            )
            for opening in openings
            if opening.seq < read.seq and engagement_id in opening.audience and (cell := _cell(opening)) in gained
        ]

    async def _released(self, room: Room, read: Read, engagement_id: EngagementId) -> bytes | None:
        """Return a thread that was held back as it opens to one reader, who hears of it here for the first time."""
        thread_id = read.row["thread_id"]
        openings = await self._stream.openings(room.case_id, engagement_id)
        opening = next((one for one in openings if one.row["thread_id"] == thread_id), None)
        if opening is None or engagement_id not in opening.audience:
            return None
        return rendering.thread_body(opening.row, room.case_id, opening.text, await self._people([opening]))

    def _end(self, room: Room, engagement_id: EngagementId, why: str) -> None:
        for seat in list(room.seats.get(engagement_id, ())):
            seat.listener.outbox.purge(room.case_id)
            seat.listener.outbox.say(frames.ended(room.case_id, why))
            seat.listener.drop(room.case_id)
            room.leave(seat)
        self._presence_changed(room)

    async def _people(self, reads: Sequence[Read]) -> Mapping[UUID, Person]:
        ids = {read.row["actor_engagement_id"] for read in reads}
        for read in reads:
            named = (read.row.get("data") or {}).get("engagementId")
            if named is not None:
                ids.add(UUID(named))
        return await self._directory.people(ids)

    # Who is here, who is typing

    def _presence_changed(self, room: Room) -> None:
        """Tell who is here, once things settle: many sockets may come at once."""
        if frozenset(room.seats) != room.present:
            room.present = frozenset(room.seats)
            asyncio.get_running_loop().call_later(PRESENCE_PAUSE_SECONDS, self._tell_presence, room, room.present)

    def _tell_presence(self, room: Room, present: frozenset[EngagementId]) -> None:
        if present != room.present:
            return
        told: dict[AccountId | None, bytes] = {}
        for seat in [seat for seats in room.seats.values() for seat in seats]:
            contacts = next((cell for cell in seat.cells if cell.category is Category.CONTACT_NETWORK), None)
            if contacts is not None:
                viewer = self._viewer(seat)
                if viewer not in told:
                    told[viewer] = frames.presence(room.case_id, self._present(room, viewer))
                seat.listener.outbox.put(told[viewer], room.case_id, contacts)

    def _viewer(self, seat: Seat) -> AccountId | None:
        """Return None for a professional, who may know of all here; else the account whose own say alone is shown."""
        person = self._directory.at_hand(seat.listener.engagement_id)
        return None if person is not None and person.role in PROFESSIONALS else seat.listener.account_id

    def _present(self, room: Room, viewer: AccountId | None) -> list[dict[str, object]]:
        """Return who is here; separated parents need not learn of each other at their child's table."""
        # Of who is there in an emergency the others at the table are told in another way, and in its own time.
        shown = [one for one in room.seats if room.snapshot is None or not room.snapshot.in_emergency(one)]
        people = [person for one in shown if (person := self._directory.at_hand(one)) is not None]
        return [
            rendering.person_object(person)
            for person in people
            if viewer in (None, person.account_id) or person.role is not Role.REPRESENTATIVE
        ]

    def typing(self, decision: Decision, thread_id: ThreadId, typist: Person) -> None:
        """Tell that somebody is typing, to the others here who may read it."""
        room = self._rooms.get(decision.case_id)
        if room is None or room.snapshot is None:
            return
        cell, opened_seq = decision.cell, decision.opened_seq
        label = (cell.patient_id, cell.category, cell.domain)
        held = decision.held_thread_id is not None
        readers = room.snapshot.readers(label, room.last_seq, self._stream.now(), opened_seq=opened_seq, held=held)
        told = frames.typing(room.case_id, thread_id, rendering.person_object(typist))
        for engagement_id, seats in room.seats.items():
            if engagement_id != typist.engagement_id and engagement_id in readers:
                for seat in seats:
                    seat.listener.outbox.put(told, room.case_id, cell)


@dataclass(frozen=True, slots=True)
class _Opening:
    """A thread that opened to somebody: where it was opened, its ordinal in the case, what is told of it."""

    seq: int
    ordinal: int
    body: bytes
    cell: Cell


def _burst(seq: int, body: bytes, openings: Sequence[_Opening], told: int | None = None) -> list[Missed]:
    """Return an ``access.changed`` and what it opened, each with the position after it.

    ``told`` is the ordinal up to which all of it was told before, None if none of it was.
    """
    parts: list[tuple[int, bytes, Label]] = [] if told is not None else [(0, body, None)]
    parts += [(one.ordinal, one.body, one.cell) for one in openings if told is None or one.ordinal > told]
    last = len(parts) - 1
    return [
        (seq if at == last else amid(seq, ordinal), part, label) for at, (ordinal, part, label) in enumerate(parts)
    ]


def _who_left(read: Read) -> EngagementId:
    return EngagementId(UUID(read.row["data"]["engagementId"]))


def _sees_contacts(seat: Seat) -> bool:
    return any(cell.category is Category.CONTACT_NETWORK for cell in seat.cells)


def _cells(listed: Iterable[Mapping[str, str]], patient: PatientId) -> list[Cell]:
    return [Cell(patient, Category(item["category"]), Domain(item["domain"])) for item in listed]


def _cell(read: Read) -> Cell:
    row = read.row
    return Cell(PatientId(row["patient_id"]), Category(row["category"]), Domain(row["domain"]))


def _label(read: Read) -> Label:
    """Return what an event is labelled with, to be checked again when it is sent."""
    row = read.row
    if row["addressees"]:
        return None
    return AnySubject(Category(row["category"]), Domain(row["domain"])) if row["patient_id"] is None else _cell(read)
