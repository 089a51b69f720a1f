import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.cli.folder import DataFolder
from app.cli.leftovers import is_running

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OVERLEGTAFEL_", "PORT"))}
    return {**bare, **settings}


def refused(command: str, **settings: str) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, "-m", "app.cli", command],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert "Traceback" not in result.stderr
    return result.returncode, result.stderr


@contextmanager
def started(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo in a folder on a free port; yields the process and its base URL once it says that it is ready."""
    output = folder.with_name("output")
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "demo"],
            cwd=ROOT,
            env=environment({"OVERLEGTAFEL_DATA_DIR": str(folder), "PORT": str(free_port()), **settings}),
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Overlegtafel is ready" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        yield process, next(word for word in output.read_text().split() if word.endswith("/docs"))[:-5]
    finally:
        process.terminate()
        code = process.wait(START_SECONDS)
    assert code in {0, -signal.SIGKILL}
    assert "Traceback" not in output.read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_bad_setting_is_a_sentence_and_exit_2() -> None:
    code, said = refused("demo", OVERLEGTAFEL_WORKERS="many", OVERLEGTAFEL_DATABASE_URL="postgresql://app:hush@/x")
    assert code == 2
    assert "OVERLEGTAFEL_WORKERS" in said
    assert "hush" not in said


def test_the_demo_refuses_a_database_it_cannot_make_tables_in() -> None:
    settings = {"OVERLEGTAFEL_DATABASE_URL": "postgresql://app:hush@/x", "PORT": str(free_port())}
    code, said = refused("demo", **settings)
    assert (code, "OVERLEGTAFEL_MIGRATION_URL" in said, "hush" in said) == (2, True, False)


def test_serving_needs_a_database() -> None:
    code, said = refused("serve")
    assert (code, "OVERLEGTAFEL_DATABASE_URL is not set" in said) == (2, True)


def test_serving_needs_to_be_told_whether_anybody_may_sign_in() -> None:
    code, said = refused("serve", OVERLEGTAFEL_DATABASE_URL="postgresql://app:x@/overlegtafel?host=/nowhere")
    assert (code, "OVERLEGTAFEL_MODE" in said) == (2, True)


def test_a_taken_port_is_said_before_any_database_starts(place: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, said = refused("demo", PORT=port, OVERLEGTAFEL_DATA_DIR=str(place / "data"))
    assert (code, f"Port {port} on 127.0.0.1 is taken" in said) == (1, True)
    assert not (place / "data").exists()


@pytest.mark.heavy
def test_the_demo_serves_and_ends_cleanly_with_its_database(data: Path) -> None:
    with started(data) as (process, base):
        idle = http.client.HTTPConnection(base.removeprefix("http://"))
        for rest in (6, 0):  # longer than clients keep an idle connection: they end it, not we
            idle.request("GET", "/api/v1/health")
            answer = idle.getresponse()
            assert (answer.status, answer.read() != b"") == (200, True)
            time.sleep(rest)
        idle.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(START_SECONDS) == 0
        assert not is_running(DataFolder(data))


@pytest.mark.nightly
def test_workers_end_with_a_killed_parent_and_the_next_start_takes_over(place: Path) -> None:
    port = str(free_port())
    with started(place / "data", PORT=port, OVERLEGTAFEL_WORKERS="2") as (process, _):
        process.kill()
        process.wait()
        with started(place / "data", PORT=port, OVERLEGTAFEL_WORKERS="2") as (_, base):
            assert httpx.get(f"{base}/api/v1/health").status_code == 200


@pytest.mark.nightly
def test_two_demos_run_side_by_side(place: Path) -> None:
    (place / "a").mkdir(mode=0o711)
    with started(place / "one") as (_, first), started(place / "a" / "two") as (_, second):
        assert first != second
        for base in (first, second):
            assert httpx.get(f"{base}/api/v1/health").status_code == 200
