"""The demo: database, roles, tables, demo region and service, from one command and ended by one Ctrl-C."""

import asyncio
import http.client
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.cli.account import EmbeddedDatabaseError
from app.cli.console import say
from app.cli.folder import default_data_dir
from app.cli.migrate import upgrade
from app.cli.postgres import EmbeddedPostgres, Urls
from app.cli.serve import listening, run_server, uninterrupted
from app.core.logins import refuse_unsafe_login
from app.core.settings import PREFIX, Settings, SettingsError, load_settings

ROLES = ("app", "appender", "stream")
HEALTH = "/api/v1/health"
READY_TIMEOUT_SECONDS = 60
WATCH_SECONDS = 1.0
PIPE_WIDTH = 118


def read_settings() -> Settings:
    """Read the settings; ``PORT``, which hosting platforms set, counts where ``OVERLEGTAFEL_PORT`` is absent.

    Raises:
        SettingsError: see ``load_settings``.
    """
    port = os.environ.get("PORT", "")
    if port:
        os.environ.setdefault(f"{PREFIX}PORT", port)
    return load_settings()


def run_demo() -> None:
    """Bring everything up, serve until a signal, and take everything down again.

    Raises:
        SettingsError: the configuration cannot be used, or does not fit a demo.
        EmbeddedDatabaseError: the database cannot run here.
        CommandError: the port is taken, a migration failed, or the service did not start.
    """
    began = time.monotonic()
    settings = read_settings()
    if not settings.demo:
        raise SettingsError("This command is for the demo; in production use the commands migrate and serve.")
    data_dir = settings.data_dir or default_data_dir()
    with listening(settings.host, settings.port) as listener, _databases(settings, data_dir) as owner_url:
        # Keys beside the database are good enough for a demo alone.
        key_dir = settings.key_dir or data_dir / "keys"
        export(port=str(listener.getsockname()[1]), data_dir=str(data_dir), key_dir=str(key_dir))
        settings = load_settings()
        say("Bringing the tables up to date.")
        upgrade(owner_url)
        # Workers need no right to change tables, so they do not inherit the owner's password either.
        os.environ.pop(f"{PREFIX}MIGRATION_URL", None)
        settings = load_settings()
        for role in ROLES:
            asyncio.run(refuse_unsafe_login(settings.role_url(role)))
        say("Loading the demo region.")
        asyncio.run(_load_region(settings, owner_url))
        threading.Thread(target=_welcome, args=(settings, began), name="welcome", daemon=True).start()
        run_server(settings, listener)


def export(**values: str) -> None:
    """Set settings in the environment, which is how workers get them."""
    os.environ.update({f"{PREFIX}{name.upper()}": value for name, value in values.items()})


@contextmanager
def _databases(settings: Settings, data_dir: Path) -> Iterator[str]:
    """Have a database with its URLs in the environment; yields the owner's URL."""
    if settings.database_url is None:
        with embedded(data_dir) as urls:
            export(database_url=urls.app, appender_url=urls.appender, stream_url=urls.stream)
            yield urls.owner
    elif settings.migration_url is None:
        raise SettingsError(
            "OVERLEGTAFEL_DATABASE_URL is set; set OVERLEGTAFEL_MIGRATION_URL too, the log-in of the tables' owner."
        )
    else:
        yield settings.migration_url.get_secret_value()


@contextmanager
def embedded(data_dir: Path) -> Iterator[Urls]:
    """Run the embedded database for the length of the block, and start it again should it die meanwhile.

    Raises:
        EmbeddedDatabaseError: it cannot run here.
    """
    say(f"Starting the database in {data_dir}.")
    cluster = EmbeddedPostgres(data_dir, notice=say)
    urls = cluster.start()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(cluster, ended), name="database", daemon=True)
    watcher.start()

    def finish() -> None:
        ended.set()
        watcher.join()
        cluster.stop()

    try:
        yield urls
    finally:
        uninterrupted(finish)
        say("The database has stopped.")


def _watch(cluster: EmbeddedPostgres, ended: threading.Event) -> None:
    while not ended.wait(WATCH_SECONDS):
        try:
            if cluster.ensure_running():
                say("The database had died; it runs again.")
        except EmbeddedDatabaseError as error:
            say(str(error))


async def _load_region(settings: Settings, owner_url: str) -> None:
    # Imported here: the application takes a second to load, which no refusal above should wait for.
    from app.main import load_demo  # noqa: PLC0415

    await load_demo(settings, owner_url)


def _welcome(settings: Settings, began: float) -> None:
    """Say what to open once the service answers."""
    if not _answers(settings):
        return
    console = Console(highlight=False, soft_wrap=True)
    base = settings.base_url
    console.print(f"\nOverlegtafel is ready after {time.monotonic() - began:.1f} s. Ctrl-C stops it.\n", markup=False)
    for label, address in (
        ("API reference", f"{base}/docs"),
        ("OpenAPI document", f"{base}/api/v1/openapi.json"),
        ("Live socket", settings.socket_url),
    ):
        console.print(f"  {label:<18}{address}", markup=False)
    from app.main import demo_personas  # noqa: PLC0415  # see _load_region

    table = Table("persona", "name", "role", "organisation", title="Demo personas", title_justify="left")
    for one in demo_personas():
        table.add_row(one.key, one.name, one.role, one.organisation.name if one.organisation else "")
    wide = console if console.is_terminal else Console(width=PIPE_WIDTH)
    wide.print()
    wide.print(table)
    body = '{"persona": "gp"}'
    console.print("Sign in as one of them:", markup=False)
    console.print(f"  curl -H 'Content-Type: application/json' -d '{body}' {base}/api/v1/demo-tokens\n", markup=False)


def _answers(settings: Settings) -> bool:
    """Wait until the service answers; the port listens already, so one request waits by itself."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # compared only
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(host, settings.port, timeout=READY_TIMEOUT_SECONDS)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", HEALTH)
            connection.getresponse()
            return True
        connection.close()
        time.sleep(0.2)
    return False
