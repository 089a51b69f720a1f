"""Actors by session, for doors that do not open a transaction of their own.

What is kept says who, not what they may: the statement that writes checks that the session is still alive.
"""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.core.clock import Clock
from app.core.db import Database
from app.identity import service as identity
from app.identity.service import Entered

KEPT = timedelta(seconds=30)
ACTORS_MAX = 10_000


class Actors:
    """Looks an actor up through the session row and keeps it for a short while."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kept: OrderedDict[tuple[UUID, UUID], Entered] = OrderedDict()

    async def of(self, session_id: UUID, engagement_id: UUID) -> Entered:
        """Return who acts in a session under an engagement, and when that was last looked up.

        Raises:
            SessionEnded: the session was ended or ran out.
        """
        now = self._clock() or datetime.now(UTC)
        key = (session_id, engagement_id)
        kept = self._kept.get(key)
        if kept is not None and kept.now <= now < kept.now + KEPT:
            return kept
        self._kept.pop(key, None)
        async with self._database.session() as db, db.begin():
            entered = await identity.enter(db, session_id, self._clock(), engagement_id=engagement_id)
        self._kept[key] = entered
        if len(self._kept) > ACTORS_MAX:
            self._kept.popitem(last=False)
        return entered

    def forget(self, session_id: UUID) -> None:
        """Drop a session that was ended here."""
        for key in [key for key in self._kept if key[0] == session_id]:
            del self._kept[key]
