"""Server processes of a data folder: finding them, and ending those a killed process left behind.

A pid file proves nothing after a crash (the number may be another program's by now), and a folder whose old backends
still run must not be opened a second time. So processes are recognised by the mark in their command lines, which root
may read even where it may not look at another user's working folder (containers without ptrace).
"""

import contextlib
import signal

import psutil  # type: ignore[import-untyped]  # ships no types

from app.cli.account import EmbeddedDatabaseError
from app.cli.folder import DataFolder

# How long processes get after each signal: a fast shutdown writes a checkpoint, the others lose no committed data.
STEPS = ((signal.SIGINT, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 10))


def is_running(folder: DataFolder) -> bool:
    """Whether the folder's server lives."""
    try:
        number = int((folder.cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        process = psutil.Process(number)
        return process.status() != psutil.STATUS_ZOMBIE and _is_postmaster(process, folder.mark)
    except (OSError, ValueError, psutil.Error):
        return False


def end_leftovers(folder: DataFolder) -> None:
    """End every server process of the folder and remove its pid file; the folder's lock must be held.

    Raises:
        EmbeddedDatabaseError: a process outlived even SIGKILL.
    """
    for step, seconds in STEPS:
        alive = _processes(folder.mark)
        if not alive:
            break
        # Only a postmaster understands SIGINT as "shut down fast"; its backends follow it, or notice that it is gone.
        targets = [one for one in alive if step is not signal.SIGINT or _is_postmaster(one, folder.mark)]
        for process in targets:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.send_signal(step)
        psutil.wait_procs(alive, timeout=seconds if targets else 2)
    if _processes(folder.mark):
        raise EmbeddedDatabaseError(f"An old database server of {folder.path} does not end; restart the machine.")
    # What is left are files that name a process which may be another program's by now, or a zombie's.
    (folder.cluster / "postmaster.pid").unlink(missing_ok=True)
    for name in folder.socket_files():
        name.unlink(missing_ok=True)


def _is_postmaster(process: psutil.Process, mark: str) -> bool:
    try:
        return f"cluster_name={mark}" in process.cmdline()  # what pg_ctl's -o became
    except psutil.Error:
        return False


def _processes(mark: str) -> list[psutil.Process]:
    """Return the live processes that carry the mark: the postmaster, and its children in their titles."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
                continue
            line = process.cmdline()
            if f"cluster_name={mark}" in line or any(part.startswith(f"postgres: {mark}: ") for part in line[:1]):
                found.append(process)
    return found
