"""What a cursor remembers: a position of the stream, or a place amid the thread openings that one event brings. Pure.

``access.changed`` is followed by one frame for each thread that opened, all at its own position. A connection that
breaks among them comes back for the rest, told apart by the threads' ordinals in their case.
"""

from dataclasses import dataclass
from typing import Final

_AMID: Final = 1 << 39
_ORDINAL_BITS: Final = 11
_ORDINAL_MAX: Final = (1 << _ORDINAL_BITS) - 1


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to ``seq`` was told, and of the event after it the openings up to ``ordinal`` if there is one."""

    seq: int
    ordinal: int | None = None


def amid(seq: int, ordinal: int) -> int:
    """Return the position after the event at ``seq`` and its openings up to ``ordinal``, 0 for none of them.

    Beyond 2047 threads in a case openings may be told again rather than be missed.
    """
    return _AMID | seq << _ORDINAL_BITS | min(ordinal, _ORDINAL_MAX)


def bookmark(position: int) -> Bookmark:
    """Return what a position says."""
    if position & _AMID:
        return Bookmark(((position ^ _AMID) >> _ORDINAL_BITS) - 1, position & _ORDINAL_MAX)
    return Bookmark(position)
