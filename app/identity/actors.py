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

_Key = tuple[UUID, UUID] | bytes


class Actors:
    """Looks an actor up through the session row and keeps it for a short while."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kept: OrderedDict[_Key, Entered] = OrderedDict()

    async def of(self, session_id: UUID, engagement_id: UUID) -> Entered:
        """Return who acts in a session under an engagement, and when that was last looked up.

        Raises:
            SessionEnded: the session was ended or ran out.
        """
        kept = self._find((session_id, engagement_id))
        if kept is None:
            async with self._database.session() as db, db.begin():
                kept = await identity.enter(db, session_id, self._clock(), engagement_id=engagement_id)
            self._keep((session_id, engagement_id), kept)
        return kept

    async def of_browser(self, digest: bytes) -> Entered:
        """Return who acts by a browser's cookie, likewise. A browser that switches gets another cookie.

        Raises:
            SessionEnded: there is no such browser session, or it was ended or ran out.
        """
        kept = self._find(digest)
        if kept is None:
            async with self._database.session() as db, db.begin():
                kept = await identity.enter_browser(db, digest, self._clock())
            self._keep(digest, kept)
        return kept

    def forget(self, session_id: UUID) -> None:
        """Drop a session that was ended here."""
        for key in [key for key, kept in self._kept.items() if kept.actor.login_session_id == session_id]:
            del self._kept[key]

    def _find(self, key: _Key) -> Entered | None:
        now = self._clock() or datetime.now(UTC)
        kept = self._kept.get(key)
        if kept is not None and kept.now <= now < kept.now + KEPT:
            return kept
        self._kept.pop(key, None)
        return None

    def _keep(self, key: _Key, entered: Entered) -> None:
        self._kept[key] = entered
        if len(self._kept) > ACTORS_MAX:
            self._kept.popitem(last=False)
