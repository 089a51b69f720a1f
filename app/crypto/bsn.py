"""The citizen service number: its check, and the keyed indexes by which one is found without being readable.

There are fewer than 10^9 numbers with a check digit, so an unkeyed digest is plaintext. Each index has its own key.
"""

from uuid import UUID

from app.core.ids import OrganisationId
from app.crypto.keys import KeyProvider, Use
from app.crypto.primitives import hmac_sha256, length_prefixed

BSN_DIGITS = 9

_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)


def valid_bsn(text: str) -> bool:
    """Return whether ``text`` is nine ASCII digits that pass the eleven test and are not all zero.

    Source: Logisch Ontwerp BSN, elfproef. Eight digits fail; ``normalise_bsn`` pads them where a person typed them.
    """
    if len(text) != BSN_DIGITS or not (text.isascii() and text.isdecimal()) or text == "0" * BSN_DIGITS:
        return False
    return sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, text, strict=True)) % 11 == 0


def normalise_bsn(text: str) -> str | None:
    """Return the nine digits of a valid BSN, eight given digits padded with a leading zero, or None."""
    padded = text.rjust(BSN_DIGITS, "0") if len(text) == BSN_DIGITS - 1 else text
    return padded if valid_bsn(padded) else None


class BsnIndex:
    """Blind indexes of a BSN: equal only for equal numbers in the same scope, meaningless without the key."""

    def __init__(self, keys: KeyProvider) -> None:
        self._organisation_key = keys.current(Use.BSN_INDEX_ORGANISATION)
        self._link_key = keys.current(Use.BSN_INDEX_LINK)

    def by_organisation(self, organisation: OrganisationId | UUID, bsn: str) -> bytes:
        """Return the 32-byte index within one organisation; another organisation's index of the same BSN differs.

        Raises:
            ValueError: not a valid nine-digit BSN; the message does not show it.
        """
        return _index(self._organisation_key.secret, b"bsn/organisation/v1", organisation.bytes, bsn)

    def for_link(self, bsn: str) -> bytes:
        """Return the 32-byte index by which a citizen's own account finds her records; refuses as above."""
        return _index(self._link_key.secret, b"bsn/link/v1", b"", bsn)


def _index(key: bytes, label: bytes, scope: bytes, bsn: str) -> bytes:
    if not valid_bsn(bsn):
        raise ValueError("Only a valid BSN of nine digits is indexed.")
    return hmac_sha256(key, length_prefixed(label, scope, bsn.encode()))
