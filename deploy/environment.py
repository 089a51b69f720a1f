"""Makes or completes the virtual environment: ``python3 deploy/environment.py requirements.lock``.

The Makefile calls it before everything else. It runs on the machine's own Python with nothing installed, and on one
that is too old it must still be able to say so.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv"
PYTHON = FOLDER / "bin" / "python"
PIP = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]


def main():
    """Install what the named lock files list, unless that is what was installed last."""
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:2])
        sys.exit(f"Python 3.11 or newer is needed; {sys.executable} is {found}. Name another: make PYTHON=python3.11")
    lock = ROOT / sys.argv[1]
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = FOLDER / (lock.name + ".installed")
    if stamp.exists() and stamp.read_text() == digest and works():
        return
    # Two first starts at once must not install into one folder.
    with Path(__file__).open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == digest and works()):
            create()
            print(f"== Installing {lock.name}: a minute or so the first time.", flush=True)
            run([*PIP, "install", "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(lock)])
            stamp.write_text(digest)


def works():
    """Whether the environment can be used: a half-made one, or one of an older Python, cannot."""
    probe = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    try:
        return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def create():
    """Make the environment where there is none that works."""
    if works():
        return
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        sys.exit("Python's venv module is missing; install it with: apt-get install python3-venv")
    print(f"== Creating .venv with {sys.executable}.", flush=True)
    run([sys.executable, "-m", "venv", "--clear", str(FOLDER)])


def run(command):
    """Run a command that shows its own progress, and stop with it when it fails."""
    settings = dict(os.environ, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")
    code = subprocess.run(command, cwd=ROOT, env=settings, check=False).returncode  # noqa: S603  # ours, no shell
    if code != 0:
        sys.exit(code)


if __name__ == "__main__":
    main()
