"""A cursor's position says where one is, in the stream or amid what one event opened."""

from hypothesis import given
from hypothesis import strategies as st

from app.crypto.cursors import STREAM_SEQ_MAX
from app.realtime.bookmarks import Bookmark, amid, bookmark

SEQS = st.integers(1, 2**28 - 1)


@given(SEQS)
def test_a_plain_position_is_itself(seq: int) -> None:
    assert bookmark(seq) == Bookmark(seq)


@given(SEQS, st.integers(0, 10_000))
def test_a_position_amid_an_event_is_after_the_one_before(seq: int, ordinal: int) -> None:
    position = amid(seq, ordinal)
    assert 0 < position <= STREAM_SEQ_MAX
    assert bookmark(position) == Bookmark(seq - 1, min(ordinal, 2047))
