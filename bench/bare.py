"""Start a bare application under uvicorn with the flags the service has."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.process import Child, free_port, wait_for_port

ROOT = Path(__file__).parent.parent
FLAGS = (
    *("--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio"),
    *("--ws-per-message-deflate", "false", "--ws-max-size", "65536"),
    *("--no-access-log", "--no-server-header", "--no-proxy-headers", "--log-level", "warning"),
)


class BareServer:
    """One bare application in one uvicorn process."""

    def __init__(
        self, application: str, folder: Path, *, frame_bytes: int = 700, env: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.child = Child(
            [sys.executable, "-m", "uvicorn", application, "--port", str(self.port), "--lifespan", "auto", *FLAGS],
            log=folder / f"{application.replace(':', '-')}.log",
            env={"BENCH_FRAME_BYTES": str(frame_bytes), "PYTHONPATH": os.fspath(ROOT), **(env or {})},
        )
        wait_for_port(self.port, self.child)

    def stop(self) -> None:
        """End it."""
        self.child.stop()
