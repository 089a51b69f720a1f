"""The command ``doctor``: whether a deployment is fit to serve, line by line. It changes nothing."""

import asyncio
import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import typer

from app.cli import examine_database, examine_keys, examine_machine, examine_network
from app.cli.console import EXIT_FAILURE, say
from app.cli.demo import read_settings
from app.cli.findings import Finding, Level, error, ok, warning
from app.cli.folder import default_data_dir
from app.core.settings import PREFIX, Settings, SettingsError

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared only


def run_doctor(*, as_json: bool) -> int:
    """Print what was found and return the exit code: 1 when there is an error."""
    findings = list(examine())
    worst = [finding for finding in findings if finding.level is Level.ERROR]
    if as_json:
        shown = {"healthy": not worst, "findings": [finding.as_json() for finding in findings]}
        typer.echo(json.dumps(shown, indent=2))
    else:
        for finding in findings:
            say(finding.as_line())
        warnings = sum(finding.level is Level.WARNING for finding in findings)
        say(f"\n{len(findings)} looked at: {len(worst)} errors, {warnings} warnings.")
    return EXIT_FAILURE if worst else 0


def examine() -> Iterator[Finding]:
    """Look at everything, in the order in which one would mend it."""
    try:
        settings = read_settings()
    except SettingsError as fault:
        # Nothing else is known of a deployment whose settings do not hold together.
        yield error("settings", str(fault), "Nothing else was looked at.")
        return
    yield from settings_findings(settings)
    yield examine_machine.clock_keeping(examine_machine.synchronised())
    # Imported here: the application takes a second to load, which no refusal above should wait for.
    from app.main import head_revision, key_folder  # noqa: PLC0415

    database = asyncio.run(examine_database.examine(settings, head_revision()))
    yield from database.findings
    if settings.database_url is None and settings.data_dir is None:
        settings = settings.model_copy(update={"data_dir": default_data_dir()})
    try:
        yield from _folders(settings, key_folder(settings), database.wrapping_keys)
    except SettingsError as fault:
        yield error("keys", str(fault), "Set OVERLEGTAFEL_KEY_DIR.")
    yield from _outside(settings)


def _folders(settings: Settings, keys: Path, needed: Collection[UUID] | None) -> Iterator[Finding]:
    if settings.demo and not keys.exists():
        yield ok("keys", "There are none yet; the first start of the demo makes them.")
    else:
        asked = needed if settings.database_url is not None else ()
        yield from examine_keys.keys(keys, data_folder=settings.data_dir, demo=settings.demo, needed=asked)
    folders = [("data", settings.data_dir), ("key", keys)]
    yield from examine_machine.disks((name, path) for name, path in folders if path is not None)


def _outside(settings: Settings) -> Iterator[Finding]:
    if settings.demo:
        yield ok("TLS", "Not looked at: the demo is served without, on this machine alone.")
        yield ok("proxy", "Not looked at: the demo is reached without one.")
    else:
        yield from examine_network.public_address(settings.base_url)
    yield from _providers(settings)
    yield ok("mail", "Not looked at: this version sends none.")


def _providers(settings: Settings) -> Iterator[Finding]:
    """Look at every OpenID provider that the settings name; a version that knows none has no such setting."""
    configured = getattr(settings, "identity_providers", tuple)
    try:
        issuers = [str(provider.issuer) for provider in configured()]
    except SettingsError as fault:
        yield error("identity provider", str(fault), "See the settings of the providers.")
        return
    if not issuers:
        yield examine_network.identity_provider(None)
    for issuer in issuers:
        found = examine_network.identity_provider(issuer)
        yield replace(found, found=f"{issuer}: {found.found}")


def settings_findings(settings: Settings) -> Iterator[Finding]:
    """Say which settings hold together but are not wise."""
    yield ok("settings", f"They hold together; the mode is {settings.mode}.")
    if settings.demo:
        if settings.host in EVERYWHERE:
            yield warning(
                "settings",
                "The demo listens on every address, and lets anybody sign in.",
                "Use OVERLEGTAFEL_HOST=127.0.0.1.",
            )
        return
    if settings.migration_url is not None:
        yield warning(
            "settings",
            f"{PREFIX}MIGRATION_URL is set.",
            "The owner's log-in belongs in the environment of the commands migrate and init alone.",
        )
    if settings.host in EVERYWHERE:
        yield warning(
            "settings",
            "The service listens on every address, without TLS of its own.",
            "Let only the proxy reach its port.",
        )
    if settings.log_level == "DEBUG":
        yield warning("settings", "The log level is DEBUG.", "Use INFO: it says all that an operator needs.")
