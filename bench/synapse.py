"""Peer: Synapse (PyPI, one process) on PostgreSQL; messages are sent over HTTP, members receive over ``/sync``."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from bench.cluster import SUPERUSER, Cluster
from bench.http_client import HttpFault, Pool
from bench.process import Child, free_port, wait_for_port
from bench.room import PADDING, OnMessage

DATABASE = "synapse"
CLIENT = "/_matrix/client/v3"
PEERS = Path(os.environ.get("BENCH_PEERS_DIR", Path.home() / ".cache" / "overlegtafel-bench"))
PYTHON = PEERS / "synapse" / "bin" / "python"
PRESENCE = os.environ.get("BENCH_SYNAPSE_PRESENCE", "1") != "0"  # on by default, as Synapse ships
START_SECONDS = 90
_UNLIMITED = {"per_second": 1_000_000, "burst_count": 1_000_000}
_FILTER = {
    "room": {
        "timeline": {"limit": 1000, "types": ["m.room.message"]},
        "ephemeral": {"types": []},
        "account_data": {"types": []},
        "state": {"types": []},
    },
    "presence": {"types": []},
    "account_data": {"types": []},
}


def installed() -> bool:
    """Return whether the peers' virtual environment is there."""
    return PYTHON.exists()


class Synapse:
    """The server in a temporary folder, rate limits off."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="bench-synapse-"))
        self._child: Child | None = None

    async def start(self) -> None:
        """Start the server on a fresh database."""
        await self._cluster.create_database(DATABASE)
        config = self._folder / "homeserver.yaml"
        config.write_text(json.dumps(self._configuration()))
        log = {"version": 1, "root": {"level": "CRITICAL", "handlers": []}, "disable_existing_loggers": False}
        (self._folder / "log.yaml").write_text(json.dumps(log))
        command = [str(PYTHON), "-m", "synapse.app.homeserver", "-c", str(config)]
        await asyncio.to_thread(
            subprocess.run, [*command, "--generate-keys"], check=True, stdout=subprocess.DEVNULL, cwd=self._folder
        )
        self._child = Child(command, log=self._folder / "output")
        await asyncio.to_thread(wait_for_port, self.port, self._child, START_SECONDS)

    def _configuration(self) -> dict[str, Any]:
        folder, limit = self._folder, _UNLIMITED
        resources = [{"names": ["client"], "compress": False}]
        listener = {"port": self.port, "tls": False, "type": "http", "bind_addresses": ["127.0.0.1"]}
        arguments = {
            "user": SUPERUSER, "password": self._cluster.password, "host": "127.0.0.1", "port": self._cluster.port,
            "dbname": DATABASE, "cp_min": 5, "cp_max": 10,
        }  # fmt: skip
        presence = {} if PRESENCE else {"presence": {"enabled": False}}
        return {
            **presence,
            "server_name": "bench.local",
            "pid_file": f"{folder}/pid",
            "report_stats": False,
            "listeners": [{**listener, "resources": resources}],
            "database": {"name": "psycopg2", "args": arguments},
            "log_config": f"{folder}/log.yaml",
            "media_store_path": f"{folder}/media",
            "signing_key_path": f"{folder}/sign.key",
            "macaroon_secret_key": "bench",
            "form_secret": "bench",
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "rc_message": limit,
            "rc_registration": limit,
            "rc_login": {"address": limit, "account": limit, "failed_attempts": limit},
            "rc_joins": {"local": limit, "remote": limit},
            "rc_joins_per_room": limit,
            "rc_presence": {"per_user": limit},
            "rc_invites": {"per_room": limit, "per_user": limit, "per_issuer": limit},
            "rc_room_creation": limit,
        }

    def pids(self) -> list[int]:
        """Return the server's process."""
        return [] if self._child is None else [self._child.pid]

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        if self._child is not None:
            self._child.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class SynapseRoom:
    """One room; each sender has a connection of its own, each member another one for ``/sync``."""

    label = "Synapse"

    def __init__(self, server: Synapse, cluster: Cluster, seats: int) -> None:
        self._server, self._cluster = server, cluster
        self.seats, self.others = seats, seats - 1
        self._tokens: list[str] = []
        self._headers: list[dict[str, str]] = []
        self._pool = Pool(server.port)
        self._syncs: list[asyncio.Task[None]] = []

    async def start(self, on_message: OnMessage) -> None:
        """Register the members, put them in a new room and let each wait for news."""
        self._on_message = on_message
        run = f"{time.time_ns():x}"
        for seat in range(self.seats):
            account = {"username": f"u{run}{seat}", "password": "p" + run, "auth": {"type": "m.login.dummy"}}
            answer = await self._pool.call("POST", f"{CLIENT}/register", body=account)
            self._tokens.append(answer["access_token"])
            self._headers.append({"Authorization": f"Bearer {answer['access_token']}"})
        answer = await self._pool.call(
            "POST", f"{CLIENT}/createRoom", token=self._tokens[0], body={"preset": "public_chat"}
        )
        self._room = quote(answer["room_id"])
        for token in self._tokens[1:]:
            await self._pool.call("POST", f"{CLIENT}/join/{self._room}", token=token, body={})
        ready = [asyncio.Event() for _ in range(self.seats)]
        self._syncs = [asyncio.create_task(self._sync(seat, ready[seat])) for seat in range(self.seats)]
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ready)), START_SECONDS)

    async def _sync(self, seat: int, ready: asyncio.Event) -> None:
        pool, since = Pool(self._server.port), None
        try:
            while True:
                query = {"filter": json.dumps(_FILTER), "timeout": "20000" if since else "0"}
                if since:
                    query["since"] = since
                answer = await pool.call("GET", f"{CLIENT}/sync?{urlencode(query)}", token=self._tokens[seat])
                since = answer["next_batch"]
                ready.set()
                for room in answer.get("rooms", {}).get("join", {}).values():
                    for event in room["timeline"]["events"]:
                        if event["type"] == "m.room.message":
                            self._on_message(seat, event["content"]["body"].partition("|")[0].encode())
        finally:
            pool.close()

    async def send(self, seat: int, message_id: str) -> None:
        """Post over a connection that is free at this moment; the answer is the acknowledgement."""
        path = f"{CLIENT}/rooms/{self._room}/send/m.room.message/{message_id}"
        body = orjson.dumps({"msgtype": "m.text", "body": f"{message_id}|{PADDING}"})
        status, answer = await self._pool.send("PUT", path, self._headers[seat], body)
        if status != 200:
            raise HttpFault(status, answer)

    def server_pids(self) -> Sequence[int]:
        """Return Synapse and its database."""
        return [*self._server.pids(), *self._cluster.pids()]

    async def stop(self) -> None:
        """Disconnect."""
        for task in self._syncs:
            task.cancel()
        await asyncio.gather(*self._syncs, return_exceptions=True)
        self._pool.close()
