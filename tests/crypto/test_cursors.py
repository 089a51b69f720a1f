"""A cursor means something only to the account and the query or case it was given for."""

import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.cursors import (
    PAGE_CURSOR_LENGTH,
    STREAM_CURSOR_LENGTH,
    STREAM_SEQ_MAX,
    PageCursors,
    Scalar,
    StreamCursors,
)
from app.crypto.errors import CursorInvalid
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import Use

from .conftest import Clock, calmly

ACCOUNT, OTHER = uuid4(), uuid4()
CASE = uuid4()
QUERY = b"threads?status=open"
POSITION = ("2026-03-01T12:00:00.000Z", str(uuid4()))

scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(st.characters(codec="utf-8"), max_size=5)
positions = st.lists(scalars, max_size=4).map(tuple)


@pytest.fixture
def pages(keyring: KeyringFolder) -> PageCursors:
    return PageCursors(keyring)


@pytest.fixture
def streams(keyring: KeyringFolder) -> StreamCursors:
    return StreamCursors(keyring)


@calmly
@given(position=positions, query=st.binary(max_size=50))
def test_a_page_cursor_brings_its_position_back(
    pages: PageCursors, position: tuple[Scalar, ...], query: bytes
) -> None:
    cursor = pages.seal(position, account=ACCOUNT, query=query)

    assert pages.open(cursor, account=ACCOUNT, query=query) == position


@calmly
@given(position=positions)
def test_a_page_cursor_has_one_length_and_one_alphabet(pages: PageCursors, position: tuple[Scalar, ...]) -> None:
    cursor = pages.seal(position, account=ACCOUNT, query=QUERY)

    assert re.fullmatch(rf"[A-Za-z0-9_-]{{{PAGE_CURSOR_LENGTH}}}", cursor)


def test_a_page_cursor_differs_each_time(pages: PageCursors) -> None:
    assert len({pages.seal(POSITION, account=ACCOUNT, query=QUERY) for _ in range(100)}) == 100


def test_a_foreign_page_cursor_is_refused(pages: PageCursors) -> None:
    cursor = pages.seal(POSITION, account=ACCOUNT, query=QUERY)
    assert pages.open(cursor, account=ACCOUNT, query=QUERY) == POSITION

    for account, query in ((OTHER, QUERY), (ACCOUNT, b"messages"), (ACCOUNT, b"")):
        with pytest.raises(CursorInvalid) as refusal:
            pages.open(cursor, account=account, query=query)
        assert refusal.value.code == "cursor-invalid"


def test_a_changed_page_cursor_is_refused(pages: PageCursors) -> None:
    cursor = pages.seal(POSITION, account=ACCOUNT, query=QUERY)

    for at in range(len(cursor)):
        changed = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        with pytest.raises(CursorInvalid):
            pages.open(changed, account=ACCOUNT, query=QUERY)


def test_a_page_cursor_has_one_spelling(pages: PageCursors) -> None:
    cursor = next(
        cursor
        for cursor in (pages.seal(POSITION, account=ACCOUNT, query=QUERY) for _ in range(1000))
        if "-" in cursor and "_" in cursor
    )

    for spelling in (
        cursor.replace("-", "+"),
        cursor.replace("_", "/"),
        cursor[:-1] + "\n",
        f"\n{cursor}",
        cursor + "=",
    ):
        with pytest.raises(CursorInvalid):
            pages.open(spelling, account=ACCOUNT, query=QUERY)


@calmly
@given(cursor=st.text(max_size=20) | st.text(min_size=PAGE_CURSOR_LENGTH, max_size=PAGE_CURSOR_LENGTH))
def test_noise_for_a_page_cursor_is_refused(pages: PageCursors, cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        pages.open(cursor, account=ACCOUNT, query=QUERY)


def test_a_position_has_a_limit(pages: PageCursors) -> None:
    with pytest.raises(ValueError, match="too long"):
        pages.seal(("x" * 126,), account=ACCOUNT, query=QUERY)


def test_page_cursors_are_read_for_seven_days_after_rotation(keyring: KeyringFolder, clock: Clock) -> None:
    pages = PageCursors(keyring)
    old = pages.seal(POSITION, account=ACCOUNT, query=QUERY)
    clock.move(timedelta(days=30))
    assert pages.open(old, account=ACCOUNT, query=QUERY) == POSITION

    keyring.rotate(Use.PAGE_CURSOR)
    new = pages.seal(POSITION, account=ACCOUNT, query=QUERY)

    clock.move(timedelta(days=7) - timedelta(seconds=1))
    assert pages.open(old, account=ACCOUNT, query=QUERY) == POSITION
    clock.move(timedelta(seconds=1))
    with pytest.raises(CursorInvalid):
        pages.open(old, account=ACCOUNT, query=QUERY)
    assert pages.open(new, account=ACCOUNT, query=QUERY) == POSITION


@calmly
@given(seq=st.integers(0, STREAM_SEQ_MAX), accounts=st.lists(st.uuids(), max_size=20))
def test_each_viewer_reads_her_own_stream_cursor(streams: StreamCursors, seq: int, accounts: list[UUID]) -> None:
    cursors = streams.many(seq, [streams.tag(account, CASE) for account in accounts])

    assert [streams.read(*pair, CASE) for pair in zip(cursors, accounts, strict=True)] == [seq] * len(accounts)
    for cursor in cursors:
        assert re.fullmatch(r"[a-z][0-9a-f]{32}", cursor)
        assert len(cursor) == STREAM_CURSOR_LENGTH


def test_one_is_the_first_of_many(streams: StreamCursors) -> None:
    assert streams.read(streams.one(7, streams.tag(ACCOUNT, CASE)), ACCOUNT, CASE) == 7


def test_a_foreign_stream_cursor_means_nothing(streams: StreamCursors) -> None:
    cursor = streams.one(7, streams.tag(ACCOUNT, CASE))
    assert streams.read(cursor, ACCOUNT, CASE) == 7

    assert streams.read(cursor, OTHER, CASE) is None
    assert streams.read(cursor, ACCOUNT, uuid4()) is None
    assert streams.read(cursor, CASE, ACCOUNT) is None


def test_a_changed_stream_cursor_means_nothing(streams: StreamCursors) -> None:
    cursor = streams.one(7, streams.tag(ACCOUNT, CASE))

    for at in range(len(cursor)):
        for character in "0f":
            changed = cursor[:at] + character + cursor[at + 1 :]
            assert changed == cursor or streams.read(changed, ACCOUNT, CASE) is None


def test_a_stream_cursor_has_one_spelling(streams: StreamCursors) -> None:
    cursor = next(
        cursor
        for cursor in (streams.one(7, streams.tag(ACCOUNT, CASE)) for _ in range(100))
        if re.search("[a-f]", cursor[1:])
    )

    for spelling in (cursor[0] + cursor[1:].upper(), cursor.upper(), f" {cursor}", f"{cursor[0]} {cursor[1:]}"):
        assert streams.read(spelling, ACCOUNT, CASE) is None


@calmly
@given(cursor=st.text(max_size=40) | st.text("0123456789abcdef ", min_size=33, max_size=33))
def test_noise_for_a_stream_cursor_means_nothing(streams: StreamCursors, cursor: str) -> None:
    assert streams.read(cursor, ACCOUNT, CASE) is None


def test_a_stream_cursor_given_again_looks_different(streams: StreamCursors) -> None:
    tag = streams.tag(ACCOUNT, CASE)

    assert len({streams.one(7, tag) for _ in range(100)}) == 100


def test_a_stream_position_has_limits(streams: StreamCursors) -> None:
    tag = streams.tag(ACCOUNT, CASE)

    for seq in (-1, STREAM_SEQ_MAX + 1):
        with pytest.raises(OverflowError):
            streams.one(seq, tag)
    with pytest.raises(ValueError, match="8 bytes"):
        streams.many(7, [tag, tag[:7]])
    assert streams.many(7, []) == []


def test_stream_cursors_are_read_for_seven_days_after_rotation(keyring: KeyringFolder, clock: Clock) -> None:
    streams = StreamCursors(keyring)
    tag = streams.tag(ACCOUNT, CASE)
    old = streams.one(7, tag)

    keyring.rotate(Use.STREAM_CURSOR)
    new = streams.one(8, tag)

    assert old[0] != new[0]
    clock.move(timedelta(days=7) - timedelta(seconds=1))
    assert streams.read(old, ACCOUNT, CASE) == 7
    clock.move(timedelta(seconds=1))
    assert streams.read(old, ACCOUNT, CASE) is None
    assert streams.read(new, ACCOUNT, CASE) == 8


def test_a_worker_reads_at_once_what_another_wrote_after_rotation(
    keyring: KeyringFolder, folder: Path, clock: Clock
) -> None:
    here, there = StreamCursors(keyring), KeyringFolder.open_or_create(folder, clock)
    there.rotate(Use.STREAM_CURSOR)
    there.rotate(Use.PAGE_CURSOR)

    streamed = StreamCursors(there).one(7, here.tag(ACCOUNT, CASE))
    paged = PageCursors(there).seal(POSITION, account=ACCOUNT, query=QUERY)

    assert here.read(streamed, ACCOUNT, CASE) == 7
    assert PageCursors(keyring).open(paged, account=ACCOUNT, query=QUERY) == POSITION
