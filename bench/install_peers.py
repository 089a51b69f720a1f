"""Install the peers: ``python -m bench.install_peers``. Needs Debian or Ubuntu, root, and a way to packages.

ejabberd comes from the distribution, Synapse from PyPI into a virtual environment of its own.
"""

import os
import subprocess
import sys
import venv

from bench import ejabberd, synapse
from bench.figures import say

DEBIAN = ("ejabberd", "erlang-p1-pgsql")
PYTHON = ("matrix-synapse", "psycopg2-binary")


def main() -> None:
    """Install what is not there yet."""
    if not ejabberd.installed():
        if os.geteuid() != 0:
            raise SystemExit(f"Run as root: apt-get install --no-install-recommends {' '.join(DEBIAN)}")
        # RUNLEVEL=1 keeps the package from starting a server that nobody asked for, where no systemd runs.
        quiet = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        _run("apt-get", "update", env=quiet)
        _run("apt-get", "install", "-y", "--no-install-recommends", *DEBIAN, env=quiet)
        if os.path.isdir("/run/systemd/system"):
            _run("systemctl", "disable", "--now", "ejabberd", env=quiet)
    if not synapse.installed():
        venv.create(synapse.PEERS / "synapse", with_pip=True)
        _run(str(synapse.PYTHON), "-m", "pip", "install", *PYTHON, env=dict(os.environ))
    say(f"Both peers are installed; Synapse in {synapse.PEERS}.")


def _run(*command: str, env: dict[str, str]) -> None:
    say("+ " + " ".join(command))
    if subprocess.run(command, check=False, env=env).returncode:
        sys.exit(1)


if __name__ == "__main__":
    main()
