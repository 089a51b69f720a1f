"""The hub of one worker: rooms by case, fed by what this worker appends and by reading what others did.

Strictly in the order of the stream: a local commit that is not the next position, or that somebody joined during, is
read from the database together with the gap before it. Source: DESIGN 2, 4 and 7.
"""

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

import asyncpg
import structlog

from app.access.policy import Cell
from app.access.vocabulary import Category, Domain
from app.core.errors import DomainError
from app.core.ids import CaseId, EngagementId, PatientId, ThreadId
from app.crypto.cursors import StreamCursors
from app.entitlement.knowledge import Knowledge, Snapshot
from app.events.appender import Appended
from app.events.drafts import EventType
from app.events.reading import PAGE_MAX, Read, Stream
from app.identity.directory import Directory, Person
from app.realtime import frames, rendering
from app.realtime.room import Listener, Room, Seat, agreed, agreed_on_append

RESUME_EVENTS_MAX = 5_000
PRESENCE_PAUSE_SECONDS = 0.1
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, DomainError)

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
        self, listener: Listener, case_id: CaseId, cursor: str | None, seats: MutableMapping[CaseId, Seat]
    ) -> None:
        """Seat a socket, in ``seats`` too: tell it that it joined, what it missed after its cursor, then what comes.

        Raises:
            NotFound: there is no such case.
        """
        room = self._rooms.setdefault(case_id, Room(case_id, self._cursors))
        async with room.lock:
            await self._bring_up_to_date(room)
            snapshot = await self._known(room)
            seat = Seat(
                listener,
                case_id,
                self._cursors.tag(listener.account_id, case_id),
                snapshot.cells(listener.engagement_id, self._stream.now()),
            )
            after = room.last_seq if cursor is None else self._cursors.read(cursor, listener.account_id, case_id)
            recovered = after is not None and 0 <= room.last_seq - after <= RESUME_EVENTS_MAX
            missed = (
                await self._missed(room, listener.engagement_id, after) if recovered and after is not None else []
            )
            position = after if recovered and after is not None else room.last_seq
            seats[case_id] = seat
            room.enter(seat)
            listener.outbox.say(
                frames.joined(
                    case_id,
                    self._cursors.one(position, seat.tag),
                    recovered=recovered,
                    members=await self._present(room) if _sees_contacts(seat) else None,
                )
            )
            for seq, body, cell in missed:
                seat.tell(body, self._cursors.one(seq, seat.tag), cell)
        self._presence_changed(room)

    async def _missed(
        self, room: Room, engagement_id: EngagementId, after: int
    ) -> list[tuple[int, bytes, Cell | None]]:
        """Return what one listener may still hear between a position and where the room is."""
        found: list[tuple[int, bytes, Cell | None]] = []
        while after < room.last_seq:
            reads = [
                read
                for read in await self._stream.after(room.case_id, after, [engagement_id])
                if read.seq <= room.last_seq
            ]
            if not reads:
                break
            after = reads[-1].seq
            people = await self._people(reads)
            snapshot = await self._known(room)
            for read in reads:
                if engagement_id in agreed(read, snapshot, [engagement_id], self._stream.now()):
                    body = rendering.event_body(read.row, room.case_id, read.text, people)
                    if body is not None:
                        found.append((read.seq, body, _cell(read)))
        return found

    def leave(self, seat: Seat) -> None:
        """Unseat a socket."""
        room = self._rooms.get(seat.case_id)
        if room is None:
            return
        room.leave(seat)
        self._presence_changed(room)

    # What this worker appended

    def deliver(self, batch: Sequence[Appended]) -> None:
        """Tell the listeners here what was just appended here, without a look at the database if possible."""
        for case_id, group in groupby(batch, key=lambda appended: appended.case_id):
            room = self._rooms.get(case_id)
            if room is not None and not self._deliver_at_once(room, list(group)):
                self._poke(room)

    def _deliver_at_once(self, room: Room, group: list[Appended]) -> bool:
        """Deliver from memory; False when only the database can tell: a gap, a newcomer, something unknown."""
        first = group[0]
        snapshot = self._knowledge.known(room.case_id, first.version)
        authors = [self._directory.at_hand(appended.post.actor.engagement_id) for appended in group]
        if (
            room.lock.locked()
            or first.seq != room.last_seq + 1
            or snapshot is None
            or room.version != first.version
            or not room.seats.keys() <= first.listeners
            or None in authors
        ):
            return False
        now = self._stream.now()
        for appended, author in zip(group, authors, strict=True):
            assert author is not None
            audience = agreed_on_append(appended, snapshot, first.listeners, now)
            own = appended.post.actor.engagement_id
            if appended.post.client_id is not None and own in audience:
                body = rendering.posted(appended, author, for_author=True)
                room.tell(appended.seq, body, (own,), appended.cell)
                audience -= {own}
            room.tell(appended.seq, rendering.posted(appended, author, for_author=False), audience, appended.cell)
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
        for case_id, (seq, version) in heads.items():
            room = self._rooms.get(case_id)
            if room is not None and (seq > room.last_seq or version != room.version):
                self._poke(room)

    def expire(self) -> None:
        """Close what time closed, even before the sweeper tells of it; and let go of rooms that nobody is in."""
        now = self._stream.now()
        for room in list(self._rooms.values()):
            if not room.seats and not room.lock.locked():
                del self._rooms[room.case_id]
                continue
            snapshot = self._knowledge.known(room.case_id, room.version)
            if snapshot is not None:
                room.know(snapshot, now)

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

    async def _bring_up_to_date(self, room: Room) -> None:
        """Read and tell what is new, in order; the caller holds the room's lock."""
        if room.last_seq < 0:
            room.last_seq = (await self._stream.head(room.case_id))[0]
            await self._known(room, fresh=True)
            return
        more = True
        while more:
            reads = await self._stream.after(room.case_id, room.last_seq, list(room.seats))
            if not reads:
                break
            version = reads[-1].version
            snapshot = self._knowledge.known(room.case_id, version) or await self._knowledge.fresh(room.case_id)
            people = await self._people(reads)
            for read in reads:
                await self._tell(room, read, snapshot, people)
                room.last_seq = read.seq
            more = len(reads) == PAGE_MAX
        await self._known(room, fresh=True)

    async def _known(self, room: Room, *, fresh: bool = False) -> Snapshot:
        """Return a snapshot of the room's case, and let every seat know what it may hear by it."""
        snapshot = None if fresh else self._knowledge.known(room.case_id, room.version)
        if snapshot is None:
            snapshot = await self._knowledge.fresh(room.case_id)
            room.know(snapshot, self._stream.now())
        return snapshot

    async def _tell(self, room: Room, read: Read, snapshot: Snapshot, people: Mapping[UUID, Person]) -> None:
        audience = agreed(read, snapshot, list(room.seats), self._stream.now()) & room.seats.keys()
        if not audience:
            return
        if read.row["type"] == EventType.ACCESS_CHANGED:
            for engagement_id in audience:
                await self._access_changed(room, read, engagement_id, snapshot, people)
            return
        if read.row["type"] == EventType.MEMBER_LEFT and read.row["addressees"]:
            for engagement_id in audience:
                self._end(room, engagement_id, (read.row["data"] or {}).get("why", "membership-ended"))
            return
        body = rendering.event_body(read.row, room.case_id, read.text, people)
        if body is not None:
            room.tell(read.seq, body, audience, _cell(read))

    async def _access_changed(
        self,
        room: Room,
        read: Read,
        engagement_id: EngagementId,
        snapshot: Snapshot,
        people: Mapping[UUID, Person],
    ) -> None:
        """Narrow first, then tell, then tell of the threads that opened."""
        data, patient = read.row["data"], PatientId(read.row["patient_id"])
        held = snapshot.cells(engagement_id, self._stream.now())
        lost = [cell for cell in _cells(data["lost"], patient) if cell not in held]
        room.narrow(engagement_id, lost, data["why"])
        for seat in room.seats.get(engagement_id, ()):
            seat.cells = held
        body = rendering.event_body(read.row, room.case_id, None, people)
        if body is not None:
            room.tell(read.seq, body, (engagement_id,), None)
        gained = {cell for cell in _cells(data["gained"], patient) if cell in held}
        if not gained:
            return
        openings = await self._stream.openings(room.case_id, engagement_id)
        openers = await self._people(openings)
        for opening in openings:
            cell = _cell(opening)
            if cell in gained and opening.seq < read.seq:
                told = rendering.thread_body(opening.row, room.case_id, opening.text, openers)
                room.tell(read.seq, told, (engagement_id,), cell)

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
        known = [person for one in room.seats if (person := self._directory.at_hand(one)) is not None]
        told = frames.presence(room.case_id, [rendering.person_object(person) for person in known])
        for seat in [seat for seats in room.seats.values() for seat in seats]:
            contacts = next((cell for cell in seat.cells if cell.category is Category.CONTACT_NETWORK), None)
            if contacts is not None:
                seat.listener.outbox.put(told, room.case_id, contacts)

    async def _present(self, room: Room) -> list[dict[str, object]]:
        people = await self._directory.people(room.seats)
        return [rendering.person_object(person) for person in people.values()]

    def typing(self, case_id: CaseId, thread_id: ThreadId, cell: Cell, typist: Person) -> None:
        """Tell that somebody is typing, to the others here who may read it."""
        room = self._rooms.get(case_id)
        if room is None:
            return
        told = frames.typing(case_id, thread_id, rendering.person_object(typist))
        for engagement_id, seats in room.seats.items():
            if engagement_id != typist.engagement_id:
                for seat in seats:
                    seat.listener.outbox.put(told, case_id, cell)


def _sees_contacts(seat: Seat) -> bool:
    return any(cell.category is Category.CONTACT_NETWORK for cell in seat.cells)


def _cells(listed: Iterable[Mapping[str, str]], patient: PatientId) -> list[Cell]:
    return [Cell(patient, Category(item["category"]), Domain(item["domain"])) for item in listed]


def _cell(read: Read) -> Cell | None:
    """Return the cell an event is in, if it is about one subject; others were agreed on when they were told."""
    row = read.row
    if row.get("addressees") or row["patient_id"] is None or row["category"] is None:
        return None
    return Cell(PatientId(row["patient_id"]), Category(row["category"]), Domain(row["domain"]))
