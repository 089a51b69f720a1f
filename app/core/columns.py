"""Column types that every table shares."""

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

TEXT = Text
"""Text without a length: limits are checks."""
INSTANT = DateTime(timezone=True)
"""``timestamptz``; values are aware."""
SEALED = LargeBinary
"""Ciphertext; the column's name ends in ``_sealed``."""
DIGEST = LargeBinary
"""A keyed digest, 32 bytes."""
POSITION = BigInteger
"""A position in a case stream, or a count that grows like one."""
TEXTS = ARRAY(Text)
UUIDS = ARRAY(Uuid)
JSON = JSONB
