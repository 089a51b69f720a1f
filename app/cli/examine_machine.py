"""The doctor on this machine: its clock's keeping, and the room on its disks."""

import ctypes
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from app.cli.findings import Finding, error, ok, warning

DRIFT_WARNING = timedelta(seconds=2)
DRIFT_ERROR = timedelta(seconds=15)  # half of what a token's times may be off
FREE_ERROR_BYTES = 256 * 2**20
FREE_WARNING_BYTES = 2 * 2**30
FREE_WARNING_SHARE = 0.1

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256  # struct timex has 208 on 64-bit Linux; zeros ask for nothing to be changed


def synchronised() -> bool | None:
    """Return whether the kernel says that its clock is kept by NTP; None where it does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def clock_keeping(state: bool | None) -> Finding:
    """Say whether the clock is kept, from what ``synchronised`` returned."""
    if state is None:
        return ok("clock", "This system does not tell whether its clock is synchronised.")
    if state:
        return ok("clock", "The clock is synchronised by NTP.")
    return warning("clock", "The clock is not synchronised by NTP.", "Enable an NTP client, such as chrony.")


def clock_drift(drift: timedelta, uncertainty: timedelta) -> Finding:
    """Say how far this machine's clock is from the database's; ``uncertainty`` is what the question itself took."""
    off = max(abs(drift) - uncertainty, timedelta())
    said = f"This machine's clock and the database's are {off.total_seconds():.1f} s apart."
    remedy = "Synchronise both by NTP: tokens are dated by the one and judged by the other."
    if off >= DRIFT_ERROR:
        return error("clock", said, remedy)
    if off >= DRIFT_WARNING:
        return warning("clock", said, remedy)
    return ok("clock", said)


def disks(folders: Iterable[tuple[str, Path]]) -> Iterator[Finding]:
    """Say how much room the file systems of these folders have, each file system once."""
    seen: set[int] = set()
    for name, folder in folders:
        there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield _room(name, there)


def _room(name: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    files = os.statvfs(folder)
    said = f"The disk of the {name} folder has {usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.1f}."
    remedy = "Make room: a key, a message or an audit record that cannot be written is refused."
    if usage.free < FREE_ERROR_BYTES or (files.f_files and not files.f_favail):
        return error("disk", said, remedy)
    if usage.free < FREE_WARNING_BYTES or usage.free < usage.total * FREE_WARNING_SHARE:
        return warning("disk", said, remedy)
    return ok("disk", said)
