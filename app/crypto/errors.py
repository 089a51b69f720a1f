"""What can go wrong with seals and keys.

    Exception
      SealBroken      a sealed value is not what was sealed here        internal: alarm, no content
      KeyringError    the key folder cannot be used; one sentence       internal: start-up refuses
      KeyDestroyed    the content was erased by destroying its key      internal: the caller says so
    core.errors.Invalid
      CursorInvalid   a cursor is forged, foreign or too old            400

The internal ones are no ``DomainError``: nothing a client sends can cause them, so none may turn into a polite
refusal. None ever carries a plaintext or a key, not even as its cause.
"""

from datetime import datetime
from uuid import UUID

from app.core.errors import Invalid


class SealBroken(Exception):
    """A sealed value was changed, moved, cut or sealed under another key; the message holds ids only."""


class KeyringError(Exception):
    """The keys cannot be used as they are; the message is a sentence for the operator."""


class KeyDestroyed(Exception):
    """The erasure secret is gone, and with it every content sealed under it; nothing brings it back.

    ``destroyed_at`` is aware UTC, or None where no tombstone tells: then the secret was lost, not destroyed.
    """

    def __init__(self, scope: UUID, category: str, destroyed_at: datetime | None) -> None:
        when = "is absent" if destroyed_at is None else f"was destroyed at {destroyed_at.isoformat()}"
        super().__init__(f"The erasure secret of {scope}, category {category}, {when}.")
        self.scope = scope
        self.category = category
        self.destroyed_at = destroyed_at


class CursorInvalid(Invalid):
    """The cursor was not given to this account for this query, or its key is no longer read."""

    code = "cursor-invalid"
    title = "The cursor cannot be used"
