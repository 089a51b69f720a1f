"""One-time codes that people read from paper and type: Crockford's base 32, in groups of four. Pure but for chance.

Twenty characters are 100 random bits. They are kept as keyed digests and each works once. Source: Crockford, Base 32.
"""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_CHARS = 20
GROUP_CHARS = 4
TYPED_CHARS_MAX = 40

_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})


def new_code() -> str:
    """Return a fresh code as it is handed over, such as ``7XK2-…``: five groups of four."""
    return shown("".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARS)))


def shown(plain: str) -> str:
    """Return a code's characters in groups of four."""
    return "-".join(plain[start : start + GROUP_CHARS] for start in range(0, len(plain), GROUP_CHARS))


def plain_code(typed: str) -> bytes:
    """Return the characters of a code however it was typed, to be digested.

    Letter case, spaces and hyphens do not matter; O is read as 0, I and L as 1. What is no code at all comes back as
    something that no code is, so that it fails where every wrong code fails.
    """
    return typed.upper().translate(_READ_AS).encode("utf-8", "surrogatepass")
