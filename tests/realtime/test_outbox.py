"""The queue of one socket: bounds, order, and the right at the moment of sending."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.core.ids import CaseId
from app.realtime.outbox import OUTBOX_BYTES_MAX, OUTBOX_FRAMES_MAX, Cell, Outbox

CASE = CaseId(UUID(int=1))
OTHER = CaseId(UUID(int=2))
MEDICATION: Cell = ("medication", "care")
SOCIAL: Cell = ("social_participation", "care")


class Peer:
    """A transport, a lease and rights that a test sets; ``room`` is how many frames the peer still takes in."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.lease = True
        self.denied: set[tuple[CaseId, Cell | None]] = set()
        self.sent: list[bytes] = []
        self.overflows = 0
        self.on_write: Callable[[], None] = lambda: None
        self.outbox = Outbox(self, leased=lambda: self.lease, may_send=self.may_send, on_overflow=self.overflow)

    @property
    def can_write(self) -> bool:
        return self.room > 0

    def write_text(self, payload: bytes) -> None:
        assert self.room > 0
        self.room -= 1
        self.sent.append(payload)
        self.on_write()

    def may_send(self, case: CaseId, cell: Cell | None) -> bool:
        return (case, cell) not in self.denied

    def overflow(self) -> None:
        self.overflows += 1

    def resume(self, room: int = 1_000_000) -> None:
        self.room = room
        self.outbox.flush()


def test_a_frame_goes_at_once_to_a_peer_that_keeps_up() -> None:
    peer = Peer()
    peer.outbox.put(b"a", CASE, MEDICATION)
    peer.outbox.say(b"b")
    assert peer.sent == [b"a", b"b"]
    assert len(peer.outbox) == 0


def test_frames_wait_for_a_slow_peer_in_order() -> None:
    peer = Peer()
    peer.room = 1
    for frame in (b"a", b"b", b"c", b"d"):
        peer.outbox.put(frame, CASE)
    assert (peer.sent, len(peer.outbox), peer.outbox.size_bytes) == ([b"a"], 3, 3)
    peer.resume(2)
    assert peer.sent == [b"a", b"b", b"c"]
    peer.outbox.put(b"e", CASE)
    peer.resume()
    assert peer.sent == [b"a", b"b", b"c", b"d", b"e"]


def test_a_frame_never_overtakes_its_lane_before_the_flush() -> None:
    peer = Peer()
    peer.room = 0
    peer.outbox.put(b"a", CASE)
    peer.outbox.say(b"1")
    peer.room = 10
    peer.outbox.put(b"b", CASE)
    peer.outbox.say(b"2")
    assert peer.sent == []
    peer.outbox.flush()
    assert peer.sent == [b"1", b"2", b"a", b"b"]


def test_nothing_of_a_case_is_said_without_a_lease_but_that_we_paused() -> None:
    peer = Peer()
    peer.lease = False
    peer.outbox.put(b"event", CASE, MEDICATION)
    peer.outbox.say(b"paused")
    peer.outbox.flush()
    assert peer.sent == [b"paused"]
    peer.lease = True
    peer.outbox.say(b"resumed")
    peer.outbox.put(b"next", CASE, MEDICATION)
    peer.outbox.flush()
    assert peer.sent == [b"paused", b"resumed", b"event", b"next"]


def test_a_frame_whose_right_is_gone_is_dropped_at_once_or_at_its_send() -> None:
    peer = Peer()
    peer.room = 0
    peer.outbox.put(b"a", CASE, MEDICATION)
    peer.outbox.put(b"b", CASE, SOCIAL)
    peer.denied.add((CASE, MEDICATION))
    peer.resume()
    peer.outbox.put(b"c", CASE, MEDICATION)
    assert peer.sent == [b"b"]


def test_a_right_that_ends_between_two_sends_ends_there() -> None:
    peer = Peer()
    peer.room = 0
    for frame in (b"a", b"b"):
        peer.outbox.put(frame, CASE, MEDICATION)
    peer.on_write = lambda: peer.denied.add((CASE, MEDICATION))
    peer.resume()
    assert peer.sent == [b"a"]
    assert len(peer.outbox) == 0


def test_a_lease_that_ends_between_two_sends_keeps_the_rest() -> None:
    peer = Peer()
    peer.room = 0
    for frame in (b"a", b"b"):
        peer.outbox.put(frame, CASE)
    peer.on_write = lambda: setattr(peer, "lease", False)
    peer.resume()
    assert (peer.sent, len(peer.outbox)) == ([b"a"], 1)


def test_narrowing_drops_the_frames_of_those_cells_alone() -> None:
    peer = Peer()
    peer.room = 0
    for case in (CASE, OTHER):
        for name, cell in ((b"medication", MEDICATION), (b"social", SOCIAL), (b"none", None)):
            peer.outbox.put(b"%d %b" % (case.int, name), case, cell)
    peer.outbox.purge(CASE, {MEDICATION})
    peer.outbox.say(b"narrowed")
    size = peer.outbox.size_bytes
    peer.resume()
    assert sum(map(len, peer.sent)) == size
    assert peer.sent == [
        b"narrowed",
        b"1 social",
        b"1 none",
        b"2 medication",
        b"2 social",
        b"2 none",
    ]


def test_leaving_drops_the_frames_of_the_whole_case() -> None:
    peer = Peer()
    peer.room = 0
    for case in (CASE, OTHER):
        for cell in (MEDICATION, None):
            peer.outbox.put(b"%d" % case.int, case, cell)
    peer.outbox.purge(CASE)
    peer.resume()
    assert peer.sent == [b"2", b"2"]


def test_numbers_given_at_the_send_have_no_gaps() -> None:
    peer = Peer()
    given = 0

    def finish(suffix: bytes, body: bytes) -> bytes:
        nonlocal given
        given += 1
        return b"%d %b%b" % (given, body, suffix)

    peer.room = 0
    for cell, body in ((SOCIAL, b"a"), (MEDICATION, b"b"), (SOCIAL, b"c"), (SOCIAL, b"d")):
        peer.outbox.put(body, CASE, cell, partial(finish, b"!"))
    peer.denied.add((CASE, MEDICATION))
    peer.resume()
    peer.outbox.put(b"e", CASE, SOCIAL, partial(finish, b"!"))
    assert peer.sent == [b"1 a!", b"2 c!", b"3 d!", b"4 e!"]


def test_too_many_frames_overflow_once() -> None:
    peer = Peer()
    peer.room = 0
    for _ in range(OUTBOX_FRAMES_MAX):
        peer.outbox.put(b"", CASE)
    assert (len(peer.outbox), peer.overflows) == (OUTBOX_FRAMES_MAX, 0)
    peer.outbox.put(b"", CASE)
    assert (len(peer.outbox), peer.overflows) == (0, 1)
    peer.outbox.put(b"late", CASE)
    peer.outbox.say(b"late")
    peer.resume()
    peer.outbox.put(b"late", CASE)
    peer.outbox.say(b"late")
    assert peer.sent == []


def test_too_many_bytes_overflow_once_in_either_lane() -> None:
    peer = Peer()
    peer.room = 0
    peer.outbox.put(b"x" * OUTBOX_BYTES_MAX, CASE)
    assert peer.overflows == 0
    peer.outbox.say(b"x")
    assert (peer.overflows, peer.outbox.size_bytes) == (1, 0)


cases = st.sampled_from([CASE, OTHER])
cells = st.sampled_from([MEDICATION, SOCIAL, None])
sizes = st.sampled_from([4, 100, OUTBOX_BYTES_MAX // 5])


class Traffic(RuleBasedStateMachine):
    """Frames, rights, leases and a peer that comes and goes, against a list of what was put."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = Peer()
        self.put_: dict[bytes, list[bytes]] = {b"own": [], b"case": []}
        self.rights: dict[bytes, tuple[CaseId, Cell | None]] = {}
        self.count = 0
        self.peer.on_write = self.check_send

    def check_send(self) -> None:
        frame = self.peer.sent[-1]
        if frame in self.rights:
            assert self.peer.lease
            assert self.rights[frame] not in self.peer.denied

    def frame(self, lane: bytes, size: int) -> bytes:
        self.count += 1
        frame = (b"%b %d " % (lane, self.count)).ljust(size, b".")
        self.put_[lane].append(frame)
        return frame

    @rule(size=sizes)
    def say(self, size: int) -> None:
        self.peer.outbox.say(self.frame(b"own", size))

    @rule(case=cases, cell=cells, size=sizes, count=st.integers(1, 200))
    def put(self, case: CaseId, cell: Cell | None, size: int, count: int) -> None:
        for _ in range(1 if size > 100 else count):
            frame = self.frame(b"case", size)
            self.rights[frame] = (case, cell)
            self.peer.outbox.put(frame, case, cell)

    @rule(case=cases, cell=cells)
    def narrow(self, case: CaseId, cell: Cell | None) -> None:
        self.peer.denied.add((case, cell))

    @rule(case=cases, cell=cells)
    def narrow_and_purge(self, case: CaseId, cell: Cell | None) -> None:
        self.peer.denied.add((case, cell))
        self.peer.outbox.purge(case, [] if cell is None else [cell])

    @rule(case=cases, cell=cells)
    def gain(self, case: CaseId, cell: Cell | None) -> None:
        self.peer.denied.discard((case, cell))

    @rule(lease=st.booleans())
    def renew(self, lease: bool) -> None:
        self.peer.lease = lease
        self.peer.outbox.flush()

    @rule(room=st.integers(0, 100))
    def read(self, room: int) -> None:
        self.peer.resume(room)

    @invariant()
    def each_lane_is_sent_in_order_and_nothing_twice(self) -> None:
        for lane, put in self.put_.items():
            left = iter(put)
            assert all(frame in left for frame in self.peer.sent if frame.startswith(lane))

    @invariant()
    def never_more_than_the_bounds_waits(self) -> None:
        assert len(self.peer.outbox) <= OUTBOX_FRAMES_MAX
        assert 0 <= self.peer.outbox.size_bytes <= OUTBOX_BYTES_MAX
        assert (len(self.peer.outbox) == 0) <= (self.peer.outbox.size_bytes == 0)
        assert self.peer.overflows <= 1

    @invariant()
    def nothing_waits_without_a_reason(self) -> None:
        if self.peer.can_write and self.peer.lease:
            assert len(self.peer.outbox) == 0


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
