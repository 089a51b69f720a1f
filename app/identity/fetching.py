"""Fetching from addresses that others chose, without being led where they cannot go themselves.

A name is looked up once, every address that it stands for must be a public one, and the connection goes to exactly
that address while TLS and ``Host`` keep the name: what is looked up again later (DNS rebinding) is never used. No
redirect is followed, no proxy of the environment asked, no credential sent. Whatever goes wrong is one refusal that
says nothing: an address that answers differently for what it finds is a map of the network behind it.

Source: OWASP SSRF Prevention; RFC 6890 and the IANA special-purpose address registries; RFC 8725, section 3.10.
"""

import asyncio
import re
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import SOCK_STREAM
from time import monotonic
from urllib.parse import urlsplit

import httpx
import orjson
import structlog

from app.identity.keysets import KeySetRefused, PublicKey, read_key_set

log = structlog.get_logger()

URL_CHARS_MAX = 2048
BYTES_MAX = 64 * 1024
TIMEOUT_SECONDS = 5.0
PORTS = (443, 8443)
KEPT_SECONDS = 600
REFETCH_SECONDS = 60
SETS_MAX = 1000
AT_ONCE = 4

_URL = re.compile(r"[!-~]+")
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")  # a last label that URL parsers elsewhere read as a number
_JSON_MEDIA = re.compile(r"application/(?:[a-z0-9.-]+\+)?json(?:\s*;.*)?", re.IGNORECASE)

# Public by their prefix, and yet not the internet: translation and tunnels to IPv4, documentation, cloud metadata.
_NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST = ip_network("2000::/3")

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class FetchRefused(Exception):
    """Raised when nothing usable could be had from an address, whatever the reason."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart: ``name`` is what TLS and ``Host`` say, ``path`` includes the query."""

    scheme: str
    name: str
    port: int
    path: str


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, in its own right and not as a wrapping of another."""
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address.scope_id is not None):
        return False  # which leaves out ::, ::1, mapped, compatible, translated, local and multicast addresses
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_loopback:
        return False
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)


async def system_resolve(name: str, port: int) -> Sequence[str]:
    """Return every address that the system's resolver knows of a name."""
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@cache
def _authorities() -> ssl.SSLContext:
    """Return what checks certificates, made once: reading the authorities takes longer than most answers."""
    return httpx.create_ssl_context(trust_env=False)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches small documents from addresses that others chose.

    ``loopback`` lets http and this machine in, for tests of a demo instance alone. ``trust`` replaces the system's
    certificate authorities, for a region with its own.
    """

    ports: Collection[int] = PORTS
    loopback: bool = False
    resolve: Resolve = system_resolve
    trust: ssl.SSLContext = field(default_factory=_authorities)
    timeout_seconds: float = TIMEOUT_SECONDS
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def target(self, url: str) -> Target:
        """Return an address taken apart, if it is written in a way that has one reading, and may be asked.

        Raises:
            FetchRefused: not https, credentials, a fragment, another port, or a host that no public address can be.
        """
        if len(url) > URL_CHARS_MAX or _URL.fullmatch(url) is None or "\\" in url or "#" in url:
            raise FetchRefused
        try:
            parts = urlsplit(url)
            port = parts.port if parts.port is not None else {"https": 443, "http": 80}.get(parts.scheme, 0)
        except ValueError:
            raise FetchRefused from None
        name = parts.hostname or ""
        schemes = {"https", "http"} if self.loopback else {"https"}
        if parts.scheme not in schemes or "@" in parts.netloc or parts.netloc.endswith(":") or "%" in parts.netloc:
            raise FetchRefused
        literal = _literal(name)
        if literal is None and (_NAME.fullmatch(name) is None or _NUMERIC.fullmatch(name.rpartition(".")[2])):
            raise FetchRefused
        if literal is not None:
            self._require(literal)
        local = self.loopback and literal is not None and literal.is_loopback
        if not local and (port not in self.ports or parts.scheme != "https"):
            raise FetchRefused
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme, name, port, path)

    def _require(self, address: Address) -> None:
        if not is_public(address) and not (self.loopback and address.is_loopback):
            raise FetchRefused

    async def fetch(self, url: str) -> bytes:
        """Return the document at an address, at most ``BYTES_MAX`` bytes of JSON.

        Raises:
            FetchRefused: it could not be had, or should not be.
        """
        target = self.target(url)
        try:
            async with asyncio.timeout(self.timeout_seconds), self._room:
                return await self._get(target, await self._address(target))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, UnicodeError, ValueError):
            raise FetchRefused from None

    async def _address(self, target: Target) -> Address:
        """Return the one address to connect to; a name that also stands for a private one is refused whole."""
        literal = _literal(target.name)
        if literal is not None:
            return literal
        found = [ip_address(text) for text in await self.resolve(target.name, target.port)]
        for address in found:
            self._require(address)
        if not found:
            raise FetchRefused
        return found[0]

    async def _get(self, target: Target, address: Address) -> bytes:
        transport = httpx.AsyncHTTPTransport(verify=self.trust, trust_env=False, retries=0)
        bracketed = f"[{target.name}]" if ":" in target.name else target.name
        standard = {"https": 443, "http": 80}[target.scheme] == target.port
        headers = {
            "Host": bracketed if standard else f"{bracketed}:{target.port}",
            "Accept": "application/json, application/jwk-set+json",
            "Accept-Encoding": "identity",
            "User-Agent": "overlegtafel",
        }
        pinned = httpx.URL(
            scheme=target.scheme, host=str(address), port=target.port, raw_path=target.path.encode("ascii")
        )
        async with httpx.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=self.timeout_seconds
        ) as client:
            extensions = {"sni_hostname": target.name}
            async with client.stream("GET", pinned, headers=headers, extensions=extensions) as answer:
                return await _read(answer)


async def _read(answer: httpx.Response) -> bytes:
    headers = answer.headers
    if answer.status_code != 200 or headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchRefused
    if _JSON_MEDIA.fullmatch(headers.get("content-type", "")) is None:
        raise FetchRefused
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > BYTES_MAX:
            raise FetchRefused
    return bytes(body)


def _literal(name: str) -> Address | None:
    """Return the address that a host is written as, in its one usual form; other spellings are names to us."""
    try:
        return ip_address(name)
    except ValueError:
        return None


@dataclass(slots=True)
class _Kept:
    keys: list[PublicKey] = field(default_factory=list)
    asked: float = float("-inf")
    had: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """Key sets by address, kept for a while; ``now`` counts seconds from any beginning."""

    def __init__(self, fetcher: Fetcher, now: Callable[[], float] = monotonic) -> None:
        self._fetcher = fetcher
        self._now = now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def read(self, url: str, *, afresh: bool = False) -> list[PublicKey]:
        """Return the keys at an address.

        ``afresh`` asks again, because a key is missing: at most once in ``REFETCH_SECONDS``. An address that fails
        has no keys for as long.

        Raises:
            FetchRefused: there is no key set to be had there.
        """
        kept = self._kept.setdefault(url, _Kept())
        self._kept.move_to_end(url)
        if len(self._kept) > SETS_MAX:
            self._kept.popitem(last=False)
        async with kept.lock:  # many who ask at once ask for one answer
            now = self._now()
            if now - kept.asked >= (REFETCH_SECONDS if afresh or not kept.keys else KEPT_SECONDS):
                kept.asked = now
                try:
                    kept.keys, kept.had = read_key_set(orjson.loads(await self._fetcher.fetch(url))), now
                except (KeySetRefused, orjson.JSONDecodeError, FetchRefused):
                    log.warning("client.keys-unavailable")
            if now - kept.had >= 2 * KEPT_SECONDS:
                kept.keys = []  # what was withdrawn where nobody can read it any more
            if not kept.keys:
                raise FetchRefused
            return kept.keys

    def target(self, url: str) -> Target:
        """Return an address taken apart; see ``Fetcher.target``."""
        return self._fetcher.target(url)
