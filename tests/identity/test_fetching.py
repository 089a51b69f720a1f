"""An address that others chose leads nowhere but to the public internet, however it is written."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from app.identity.fetching import Fetcher, FetchRefused, KeySets, is_public
from tests.clients import new_key, public

NOT_PUBLIC = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.192"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "192.88.99.1", "168.63.129.16", "100.100.100.200"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:808:808::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "fe80::1", "fc00::1"),
    *("fd00:ec2::254", "ff02::1", "fec0::1", "100::1", "5f00::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "145.100.190.243", "2a00:1450:400e:80e::200e", "2606:4700::1111"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_of_the_public_internet_is_known(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_internet_is_let_through(address: str) -> None:
    assert is_public(ip_address(address))


MISSPELT = [
    *(
        "http://keys.example/jwks",
        "ftp://keys.example/jwks",
        "file:///etc/passwd",
        "gopher://keys.example/",
        "//a.b/",
    ),
    *("https://user@keys.example/", "https://user:pw@keys.example/", "https://keys.example/#x", "https://"),
    *("https://keys.example:22/", "https://keys.example:0/", "https://keys.example:99999/", "https://keys.example:/"),
    *("https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/"),
    *("https://0x7f.0.0.1/", "https://127.0.0.1./", "https://017700000001/", "https://127.0.0.01/"),
    *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[fe80::1%25eth0]/"),
    *("https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[::]/", "https://0/", "https://0.0.0.0/"),
    *("https://169.254.169.254/latest/meta-data/", "https://localhost/", "https://intranet/", "https://a..b/"),
    *("https://keys.example\\@127.0.0.1/", "https://keys.example /", "https://k\u00e9ys.example/", "https://-a.b/"),
    *("https://127.0.0.1%2f.keys.example/", "https://keys.example:443:22/", "https://[::1", "https://1.2.3.4.5/"),
    *("https://\uff11\uff12\uff17.0.0.1/", "https://keys.example/" + "x" * 2048, "https://keys.example/\n"),
    *("https://a.0x7f/", "https://xn--/", "https://" + "a" * 64 + ".example/", "HTTPS:keys.example", ""),
]


@pytest.mark.parametrize("url", MISSPELT)
async def test_an_address_that_may_not_be_asked_is_refused_unasked(url: str) -> None:
    asked = []

    async def resolve(name: str, port: int) -> Sequence[str]:
        asked.append((name, port))
        return ["127.0.0.1"]

    with pytest.raises(FetchRefused) as refused:
        await Fetcher(resolve=resolve).fetch(url)
    assert (str(refused.value), asked) == ("", [])


@dataclass
class Listener:
    """Something that answers on this machine, and what it was asked."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"


def answer(body: bytes, status: str = "200 OK", media: str = "application/json", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {media}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(head).encode() + body


CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
KEYS = json.dumps(public(new_key())).encode()


@asynccontextmanager
async def listening(*answers: bytes) -> AsyncIterator[Listener]:
    """Answer each request with the next of these, the last one for ever; none at all when there are none."""
    listener = Listener(answers=list(answers))
    done = asyncio.Event()
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        listener.came.set()
        try:
            listener.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if listener.answers:
                writer.write(listener.answers.pop(0) if len(listener.answers) > 1 else listener.answers[0])
            else:
                await done.wait()
        except asyncio.IncompleteReadError:
            pass  # whoever came went away again
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listener
        done.set()
        await asyncio.gather(*(task for task in serving if task is not None))


def local(timeout_seconds: float = 5) -> Fetcher:
    return Fetcher(loopback=True, timeout_seconds=timeout_seconds)


async def test_a_document_is_fetched_from_the_address_that_was_checked() -> None:
    async with listening(answer(KEYS)) as here:
        assert await local().fetch(here.url) == KEYS
    (request,) = here.asked
    assert request.startswith("GET /jwks HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{here.port}\r\n" in request
    assert "cookie" not in request.lower()


async def test_a_name_is_looked_up_once_and_must_stand_for_public_addresses_alone() -> None:
    async with listening(answer(KEYS)) as here:
        for found in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], []):
            asked: list[str] = []

            async def resolve(
                name: str, port: int, found: Sequence[str] = found, asked: list[str] = asked
            ) -> list[str]:
                asked.append(name)
                return list(found)

            with pytest.raises(FetchRefused):
                await Fetcher(ports=(here.port,), resolve=resolve).fetch(f"https://keys.example:{here.port}/")
            assert asked == ["keys.example"]
    assert here.asked == []


async def test_a_name_that_changes_its_address_is_not_looked_up_again() -> None:
    """DNS rebinding: what was looked up first is connected to, and nothing else."""
    replies = iter((["192.0.2.1"], ["127.0.0.1"]))
    asked = []

    async def resolve(name: str, port: int) -> Sequence[str]:
        asked.append(name)
        return next(replies)

    connected = []

    class Recording(Fetcher):
        async def _get(self, target: object, address: object) -> bytes:
            connected.append(str(address))
            return b"{}"

        def _require(self, address: object) -> None:  # a documentation address stands in for a public one
            assert str(address) == "192.0.2.1"

    assert await Recording(resolve=resolve).fetch("https://keys.example/") == b"{}"
    assert (asked, connected) == (["keys.example"], ["192.0.2.1"])


async def test_a_redirect_is_not_followed() -> None:
    async with listening(answer(KEYS)) as secret:
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            async with listening(answer(b"", status, "application/json", f"Location: {secret.url}")) as here:
                with pytest.raises(FetchRefused):
                    await local().fetch(here.url)
                assert len(here.asked) == 1
    assert secret.asked == []


@pytest.mark.parametrize(
    "given",
    [
        answer(KEYS, "404 Not Found"),
        answer(KEYS, "206 Partial"),
        answer(KEYS, media="text/html"),
        answer(KEYS, "200 OK", "application/json", "Content-Encoding: gzip"),
        answer(b"x" * 70_000),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK * 9,
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"",
    ],
)
async def test_what_is_not_a_small_json_document_is_refused_without_a_word(given: bytes) -> None:
    async with listening(given) as here:
        with pytest.raises(FetchRefused) as refused:
            await local().fetch(here.url)
    assert str(refused.value) == ""
    assert refused.value.__cause__ is None


async def test_who_never_answers_is_waited_for_no_longer_than_agreed() -> None:
    async with listening() as here:
        with pytest.raises(FetchRefused):
            await local(timeout_seconds=0.2).fetch(here.url)
        await here.came.wait()


async def test_a_closed_port_looks_like_everything_else() -> None:
    async with listening(answer(KEYS)) as here:
        pass
    with pytest.raises(FetchRefused) as refused:
        await local().fetch(here.url)
    assert str(refused.value) == ""


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answer(KEYS)) as proxy, listening(answer(KEYS)) as here:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await local().fetch(here.url) == KEYS
    assert proxy.asked == []


async def test_keys_are_kept_and_asked_for_afresh_once_a_minute_at_most() -> None:
    time = 0.0
    async with listening(answer(KEYS)) as here:
        sets = KeySets(local(), lambda: time)
        await asyncio.gather(*(sets.read(here.url) for _ in range(5)))
        assert len(here.asked) == 1
        for _ in range(5):
            await sets.read(here.url, afresh=True)
        assert len(here.asked) == 1
        time = 61
        await sets.read(here.url)
        assert len(here.asked) == 1
        for _ in range(5):
            await sets.read(here.url, afresh=True)
        assert len(here.asked) == 2
        time = 700
        await sets.read(here.url)
        assert len(here.asked) == 3


async def test_keys_outlive_a_fault_of_their_publisher_for_a_while_only() -> None:
    time = 0.0
    async with listening(answer(KEYS), answer(b"", "500 Oops")) as here:
        sets = KeySets(local(), lambda: time)
        await sets.read(here.url)
        for time in (601, 1100):  # noqa: B007  # read by the clock above
            assert await sets.read(here.url)
        time = 1300
        with pytest.raises(FetchRefused):
            await sets.read(here.url)
        before = len(here.asked)
        with pytest.raises(FetchRefused):
            await sets.read(here.url)
        assert len(here.asked) == before, "an address that fails is left alone for a minute"


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', b"nonsense"]
)
async def test_a_document_that_is_no_key_set_is_none(body: bytes) -> None:
    async with listening(answer(body)) as here:
        with pytest.raises(FetchRefused):
            await KeySets(local()).read(here.url)
