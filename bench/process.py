"""Child processes that the bench starts, watches and ends by their own id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

STOP_SECONDS = 30
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, child: "Child | None" = None, seconds: float = 60) -> None:
    """Wait until something listens on a loopback port.

    Raises:
        TimeoutError: nothing did in time.
        ChildProcessError: the child that should have listened ended.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if child is not None:
            child.check()
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"Nothing listens on port {port} after {seconds:.0f} s.")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its descendants have used so far."""

    cpu_seconds: float
    rss_bytes: int


class Child:
    """One child process with its descendants; its output goes to a file so that a failure can be shown."""

    def __init__(self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the bench alone, which then ends its children in order
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raise ChildProcessError with the end of its output when the child is no longer there."""
        code = self._process.poll()
        if code is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise ChildProcessError(f"Process {self.pid} ended with {code}:\n{tail}")

    def stop(self) -> None:
        """Ask the child to end; after half a minute kill it and every descendant it left."""
        if self._process.poll() is not None:
            return
        family = descendants(self.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in (*family, self.pid):
                kill(pid, signal.SIGKILL)
            self._process.wait()

    def largest(self) -> int:
        """Return the pid of the Python process of this family with the most memory: the worker that serves."""
        family = [self.pid, *descendants(self.pid)]
        python = [pid for pid in family if b"postgres" not in _command(pid)]
        return max(python or family, key=lambda pid: usage([pid]).rss_bytes)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()[:200]
    except OSError:
        return b""


def kill(pid: int, how: signal.Signals) -> None:
    """Signal a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


def descendants(pid: int) -> list[int]:
    """Return every process below one, children before grandchildren."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rsplit(") ", 1)[1].split()[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = list(children.get(pid, ()))
    while waiting:
        found.append(waiting.pop(0))
        waiting += children.get(found[-1], ())
    return found


def usage(pids: Sequence[int]) -> Usage:
    """Return processor time and resident memory of the given processes; those that ended count as nothing."""
    cpu, rss = 0, 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        cpu += int(fields[11]) + int(fields[12])
        rss += int(fields[21]) * PAGE
    return Usage(cpu / TICKS, rss)
