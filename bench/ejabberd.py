"""Peer: ejabberd (Debian), one room (MUC) with its archive (MAM) in PostgreSQL, and a minimal XMPP client.

XMPP has no acknowledgement that waits for the archive: *acknowledged* here is the room's reflection of the sender's
own message. ejabberd archives in the room's process before it routes, so the reflection comes after the insert.
"""

import asyncio
import base64
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from bench.cluster import SUPERUSER, Cluster
from bench.process import free_port, wait_for_port
from bench.room import PADDING, OnMessage

CONTROL = "/usr/sbin/ejabberdctl"
SCHEMA = Path("/usr/share/ejabberd/sql/pg.sql")
ACCOUNT = "ejabberd"
DATABASE = "ejabberd"
STEP_SECONDS = 20

_BODY = re.compile(rb"<body>(m\d+)\|")
_STREAM = (
    b"<stream:stream to='localhost' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
)


def installed() -> bool:
    """Return whether Debian's packages are there."""
    driver = any(Path("/usr/lib").glob("**/erlang/lib/p1_pgsql-*"))
    return Path(CONTROL).exists() and SCHEMA.exists() and driver


class Ejabberd:
    """The server in a temporary folder; one process, rate limits off, durability as PostgreSQL's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="bench-ejabberd-"))
        self._control = [
            CONTROL, "--ctl-config", str(self._folder / "ctl.cfg"), "--config", str(self._folder / "ejabberd.yml"),
            "--spool", str(self._folder / "spool"), "--logs", str(self._folder / "logs"),
            "--node", f"bench{self.port}@localhost",
        ]  # fmt: skip

    async def start(self) -> None:
        """Start the server on a fresh database."""
        schema = await asyncio.to_thread(SCHEMA.read_text)
        await self._cluster.create_database(DATABASE, schema=schema)
        await asyncio.to_thread(self._launch)

    def _launch(self) -> None:
        config = self._folder / "ejabberd.yml"
        config.write_text(_configuration(self.port, self._cluster))
        control = self._folder / "ctl.cfg"
        control.write_text(
            # Erlang's own distribution stays on loopback, without the port mapper, which would listen everywhere.
            f"EJABBERD_CONFIG_PATH={config}\nPOLL=true\nERLANG_NODE=bench{self.port}@localhost\n"
            f"INET_DIST_INTERFACE=127.0.0.1\nERL_DIST_PORT={free_port()}\n"
        )
        owner = pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None
        for name in ("spool", "logs"):
            (self._folder / name).mkdir()
        if owner is not None:
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._ctl("start")
        wait_for_port(self.port)

    def _ctl(self, command: str) -> None:
        subprocess.run(
            [*self._control, command],
            check=False,
            timeout=60,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )

    def pids(self) -> list[int]:
        """Return the server's process: the Erlang machine that carries this node's name."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
            and f"bench{self.port}@".encode() in _command(entry)
            and b"beam" in _command(entry)
        ]

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self._ctl("stop")
        end = time.monotonic() + 20
        while self.pids() and time.monotonic() < end:
            time.sleep(0.1)
        shutil.rmtree(self._folder, ignore_errors=True)


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def _configuration(port: int, cluster: Cluster) -> str:
    return f"""
hosts: [localhost]
loglevel: error
auth_method: internal
auth_password_format: plain
sql_type: pgsql
sql_server: "127.0.0.1"
sql_port: {cluster.port}
sql_database: "{DATABASE}"
sql_username: "{SUPERUSER}"
sql_password: "{cluster.password}"
sql_pool_size: 10
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    starttls: false
    access: all
registration_timeout: infinity
modules:
  mod_disco: {{}}
  mod_register:
    access: all
  mod_muc:
    access: all
    access_admin: none
    access_create: all
    access_persistent: all
    access_mam: all
    min_message_interval: 0
    min_presence_interval: 0
    max_users: 2000
    default_room_options:
      mam: true
      persistent: true
  mod_mam:
    default: always
    db_type: sql
    request_activates_archiving: false
"""


class _Member(asyncio.Protocol):
    """Just enough XMPP for one member."""

    def __init__(self) -> None:
        self._buffer = b""
        self._wanted: tuple[bytes, asyncio.Future[None]] | None = None
        self.on_body: OnMessage | None = None
        self.seat = 0
        self.waiting: dict[bytes, asyncio.Future[None]] = {}
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        fault = ConnectionError(f"ejabberd ended the stream: {self._buffer[-300:]!r}")
        for future in (*self.waiting.values(), *((self._wanted[1],) if self._wanted else ())):
            if not future.done():
                future.set_exception(fault)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if self.on_body is None:
            self._buffer = data
            self._look()
            return
        end = data.rfind(b"</message>")
        if end < 0:
            self._buffer = data
            return
        self._buffer = data[end + 10 :]
        for message_id in _BODY.findall(data[:end]):
            self.on_body(self.seat, message_id)
            future = self.waiting.pop(message_id, None)
            if future is not None and not future.done():
                future.set_result(None)

    def _look(self) -> None:
        if self._wanted is not None and self._wanted[0] in self._buffer:
            (mark, future), self._wanted = self._wanted, None
            self._buffer = self._buffer[self._buffer.index(mark) + len(mark) :]
            future.set_result(None)

    async def _until(self, mark: bytes) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted = (mark, future)
        self._look()
        await asyncio.wait_for(future, STEP_SECONDS)

    async def enter(self, room: str, seat: int, on_body: OnMessage) -> None:
        """Register an account, log in, enter the room and, as its first member, unlock it."""
        write, user = self.transport.write, f"{room}-{seat}"
        write(_STREAM)
        await self._until(b"</stream:features>")
        write(
            f"<iq type='set' id='reg'><query xmlns='jabber:iq:register'><username>{user}</username>"
            "<password>pw</password></query></iq>".encode()
        )
        await self._until(b"id='reg'")
        credentials = base64.b64encode(f"\0{user}\0pw".encode())
        write(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + credentials + b"</auth>")
        await self._until(b"<success")
        write(_STREAM)
        await self._until(b"</stream:features>")
        write(
            b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>"
        )
        await self._until(b"</jid>")
        write(b"<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq><presence/>")
        address = f"{room}@conference.localhost"
        write(
            f"<presence to='{address}/n{seat}'><x xmlns='http://jabber.org/protocol/muc'>"
            "<history maxstanzas='0'/></x></presence>".encode()
        )
        await self._until(b"code='110'")
        if seat == 0:
            write(
                f"<iq type='set' id='cfg' to='{address}'><query xmlns='http://jabber.org/protocol/muc#owner'>"
                "<x xmlns='jabber:x:data' type='submit'/></query></iq>".encode()
            )
            await self._until(b"id='cfg'")
        self.seat, self.on_body = seat, on_body


class EjabberdRoom:
    """One room of members, one connection each."""

    label = "ejabberd"

    def __init__(self, server: Ejabberd, cluster: Cluster, seats: int) -> None:
        self._server, self._cluster = server, cluster
        self.seats, self.others = seats, seats - 1
        self._members: list[_Member] = []

    async def start(self, on_message: OnMessage) -> None:
        """Enter a new room with every member."""
        loop = asyncio.get_running_loop()
        name = f"r{time.time_ns():x}"
        self._address = f"{name}@conference.localhost"
        for seat in range(self.seats):
            _, member = await loop.create_connection(_Member, "127.0.0.1", self._server.port)
            await member.enter(name, seat, on_message)
            self._members.append(member)
        await asyncio.sleep(0.5)

    async def send(self, seat: int, message_id: str) -> None:
        """Post and wait until the room reflects the message to its sender."""
        member = self._members[seat]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        member.waiting[message_id.encode()] = future
        member.transport.write(
            f"<message to='{self._address}' type='groupchat' id='{message_id}'>"
            f"<body>{message_id}|{PADDING}</body></message>".encode()
        )
        await future

    def server_pids(self) -> Sequence[int]:
        """Return ejabberd and its database."""
        return [*self._server.pids(), *self._cluster.pids()]

    async def stop(self) -> None:
        """Leave."""
        for member in self._members:
            member.transport.close()
