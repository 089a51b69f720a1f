"""Passwords: slow hashes, computed beside the event loop, one at a time and behind whatever serves cases.

What is hashed is a keyed digest of the password, so that a stolen table alone is nothing to guess against.
Source: OWASP Password Storage Cheat Sheet; NIST SP 800-63B, section 3.1.1; RFC 9106.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar
from unicodedata import normalize

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from app.core.errors import Fault, Invalid, RateLimited
from app.crypto.digests import Digests

AS_SERVED = PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1, type=Type.ID)  # memory in KiB
THREADS = 1
NICENESS = 10
WAITING_MAX = 64
REST = 2.0  # a storm of log-ins gets no more than a third of one core, however many come
PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 128
LOGIN_NAME_CHARS_MIN = 3
LOGIN_NAME_CHARS_MAX = 64
DISTINCT_CHARS_MIN = 5

COMMON = frozenset(
    {
        *("wachtwoord123", "wachtwoord1234", "wachtwoord2025", "wachtwoord2026", "welkom123456", "welkom2025!!"),
        *("welkom2026!!", "geheim123456", "nederland123", "amsterdam123", "maastricht123", "huisarts1234"),
        *("huisartsenpraktijk", "wijkteam1234", "overlegtafel", "overlegtafel1", "overlegtafel123", "password1234"),
        *("password12345", "password123456", "passwordpassword", "qwerty123456", "qwertyuiop123", "qwertyuiopas"),
        *("asdfghjklzxc", "1234567890ab", "123456789012", "1234567890123", "administrator", "administrator1"),
        *("letmein12345", "iloveyou1234", "changeme1234", "correcthorsebatterystaple", "zorgregio123"),
    }
)
"""Passwords of twelve characters and more that people think of first; what is shorter is refused for that."""

# Of the same parameters as every other hash, of a password that nobody has.
_NOBODYS = "nobody's"

R = TypeVar("R")


class Passwords:
    """Hashes and compares passwords in a thread of its own, which yields to all others."""

    def __init__(self, digests: Digests) -> None:
        self._digests = digests
        self._hasher = AS_SERVED
        self._threads = ThreadPoolExecutor(THREADS, "passwords", initializer=_step_back)
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._nobodys: str | None = None

    def hash_now(self, password: str) -> str:
        """Return a fresh hash, computed here and now: for commands, never in the event loop."""
        return self._hasher.hash(self._keyed(password))

    async def hash(self, password: str) -> str:
        """Return a fresh hash in PHC string form.

        Raises:
            RateLimited: too many are waiting already.
        """
        return await self._beside(lambda: self.hash_now(password))

    async def matches(self, password: str, known: str | None) -> bool:
        """Whether a password is the one behind a hash; without a hash it takes as long and is not.

        Raises:
            RateLimited: too many are waiting already.
        """
        return await self._beside(lambda: self._matches(password, known))

    def _matches(self, password: str, known: str | None) -> bool:
        if self._nobodys is None:
            self._nobodys = self.hash_now(_NOBODYS)
        try:
            same = self._hasher.verify(known or self._nobodys, self._keyed(password))
        except (VerificationError, InvalidHashError):
            return False
        return same and known is not None

    def _keyed(self, password: str) -> bytes:
        plain = normalize("NFKC", password).encode("utf-8", "surrogatepass")
        return self._digests.digest("password", plain)

    async def _beside(self, work: Callable[[], R]) -> R:
        # A bound on the queue: whoever would wait longer than that is better told so.
        if self._waiting >= WAITING_MAX:
            raise RateLimited(1)
        self._waiting += 1
        try:
            await self._turn.acquire()
            return await self._in_turn(work)
        finally:
            self._waiting -= 1

    async def _in_turn(self, work: Callable[[], R]) -> R:
        """Do the work, and let the next one in after a rest: niceness alone still takes a core from who serves."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            return await loop.run_in_executor(self._threads, work)
        finally:
            rest = (loop.time() - started) * REST if self._waiting > 1 else 0.0
            loop.call_later(rest, self._turn.release)

    def close(self) -> None:
        """End the thread once it is done."""
        self._threads.shutdown(cancel_futures=True)


def _step_back() -> None:
    """Let this thread run only where nothing else wants to: on Linux a priority is a thread's own."""
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def name_index(digests: Digests, login_name: str) -> bytes:
    """Return the keyed index of a log-in name, in whatever case it is typed."""
    plain = " ".join(normalize("NFKC", login_name).casefold().split())
    return digests.digest("login-name", plain.encode("utf-8", "surrogatepass"))


def require_good(login_name: str, password: str) -> None:
    """Let only passwords pass that are long enough and not what anybody would try first; there is no other rule.

    Raises:
        Invalid: too short, the log-in name, or a common one.
    """
    plain, name = normalize("NFKC", password).casefold(), normalize("NFKC", login_name).casefold()
    if len(plain) < PASSWORD_CHARS_MIN:
        raise Invalid(Fault("/password", "too-short", f"A password has at least {PASSWORD_CHARS_MIN} characters."))
    if name in plain or plain in name or plain in COMMON or len(set(plain)) < DISTINCT_CHARS_MIN:
        raise Invalid(Fault("/password", "too-common", "This is a password that others would think of."))
