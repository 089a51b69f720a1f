"""The command line: ``python -m app.cli COMMAND``."""

import asyncio
import os
from typing import Annotated

import typer

from app.cli.console import say, sentences
from app.cli.demo import ROLES, embedded, read_settings, run_demo
from app.cli.doctor import run_doctor
from app.cli.folder import default_data_dir
from app.cli.init import run_init
from app.cli.migrate import upgrade
from app.cli.openapi import write_document
from app.cli.rotation import rotate_signing
from app.cli.serve import listening, run_server, stoppable
from app.core.logins import refuse_unsafe_login
from app.core.settings import PREFIX, SettingsError
from app.identity.founding import Why

cli = typer.Typer(
    help="Overlegtafel: the digital consultation table of neighbourhood care.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks print local variables, and with them passwords.
    pretty_exceptions_enable=False,
)

keys = typer.Typer(help="The keys of a deployment.", no_args_is_help=True)
cli.add_typer(keys, name="keys")


@cli.command()
def demo(
    with_parent: Annotated[bool, typer.Option(help="Stop when the process that started this one ends.")] = False,
) -> None:
    """Start everything on this machine with synthetic people: database, tables, demo region, service."""
    with sentences(), stoppable(with_parent=with_parent):
        run_demo()


@cli.command()
def serve() -> None:
    """Serve against the database that OVERLEGTAFEL_DATABASE_URL names; its tables must be up to date."""
    with sentences(), stoppable():
        settings = read_settings()
        if settings.database_url is None:
            raise SettingsError("OVERLEGTAFEL_DATABASE_URL is not set. To try the service, use the command demo.")
        if f"{PREFIX}MODE" not in os.environ:
            raise SettingsError("Say OVERLEGTAFEL_MODE=production, or demo: in a demo anybody can sign in.")
        os.environ.pop(f"{PREFIX}MIGRATION_URL", None)
        from app.main import key_folder  # noqa: PLC0415  # the application loads slowly; refusals come first

        key_folder(settings)
        with listening(settings.host, settings.port) as listener:
            for role in ROLES:
                asyncio.run(refuse_unsafe_login(settings.role_url(role)))
            run_server(settings, listener)


@cli.command()
def migrate() -> None:
    """Bring the tables up to date as OVERLEGTAFEL_MIGRATION_URL, or without one those of the embedded database."""
    with sentences(), stoppable():
        settings = read_settings()
        if settings.migration_url is not None:
            upgrade(settings.migration_url.get_secret_value())
        elif settings.database_url is not None:
            raise SettingsError("OVERLEGTAFEL_MIGRATION_URL is not set: the log-in of the tables' owner.")
        else:
            with embedded(settings.data_dir or default_data_dir()) as urls:
                upgrade(urls.owner)


@cli.command()
def init(
    region: Annotated[str | None, typer.Option(help="Name of the region organisation.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of its administrator.")] = None,
    another: Annotated[bool, typer.Option("--another", help="Make one beside those that there are.")] = False,
    reason: Annotated[Why | None, typer.Option(help="Why another is made; it stands in the audit log.")] = None,
) -> None:
    """Make the region and its first administrator, with a link that works once. There is no default password."""
    with sentences():
        run_init(read_settings(), region=region, name=name, another=another, reason=reason)


@cli.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False) -> None:
    """Check clock, keys, TLS, mail, identity provider, database, disk and settings; exit code 1 when one is wrong."""
    with sentences():
        raise typer.Exit(run_doctor(as_json=as_json))


@cli.command()
def openapi() -> None:
    """Write openapi/openapi.json again from the code."""
    with sentences():
        say(f"{write_document()} is up to date.")


@keys.command("rotate-signing")
def rotate_signing_key() -> None:
    """Let another key sign the access tokens; the service may run meanwhile, and nobody is signed out."""
    with sentences():
        say(rotate_signing(read_settings()))


def main() -> None:
    """Run the command line."""
    cli()
