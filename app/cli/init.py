"""The command ``init``: the region and its first administrator, with a link that works once."""

import asyncio
import sys

import asyncpg
import typer
from sqlalchemy.exc import SQLAlchemyError

from app.cli.console import CommandError, say
from app.core.settings import Settings, SettingsError
from app.identity.founding import Founded, Founding, FoundingRefused, Why

# Behind a # nothing of an address reaches a server, a proxy's log or a Referer header.
ENROLMENT_PAGE = "/enrolment#"


def run_init(settings: Settings, *, region: str | None, name: str | None, another: bool, reason: Why | None) -> None:
    """Make the region organisation, a region admin and a one-time link, and print the link once.

    Raises:
        SettingsError: the database's URL, the owner's or an option is missing.
        CommandError: there is an administrator already, the tables are not up to date, or the database said no.
        KeyringError: the key folder cannot be used, or is not the one in use here.
    """
    if settings.database_url is None or settings.migration_url is None:
        raise SettingsError(
            "Set OVERLEGTAFEL_DATABASE_URL and, for this command, OVERLEGTAFEL_MIGRATION_URL: the log-in of the "
            "tables' owner. The demo has its administrator already."
        )
    if another != (reason is not None):
        raise SettingsError(f"--another and --reason go together; a reason is one of {', '.join(Why)}.")
    region = _asked(region, "--region", "Name of the region organisation")
    name = _asked(name, "--name", "Name of its administrator")
    if another and sys.stdin.isatty():
        typer.confirm(f"Make {name} an administrator of {region}, beside whoever is one", abort=True)
    owner_url = settings.migration_url.get_secret_value()
    # Imported here: the application takes a second to load, which no refusal above should wait for.
    from app.main import found, head_revision  # noqa: PLC0415

    founding = Founding(region, name, reason)

    async def made() -> Founded:
        await _require_tables(owner_url, head_revision())
        return await found(settings, owner_url, founding)

    try:
        founded = asyncio.run(made())
    except FoundingRefused as error:
        raise CommandError(str(error)) from error
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        # Their messages may quote parameters, and with them the name or an address with its password.
        raise CommandError(f"Nothing was made: the database refused ({type(error).__name__}).") from error
    say(f"{region} has its administrator. This link works once, until {founded.expires_at:%Y-%m-%d %H:%M} UTC.")
    say("It is not shown again; hand it to nobody but the administrator:")
    say(f"\n  {settings.base_url}{ENROLMENT_PAGE}{founded.code}\n")
    say("Without a browser: POST /api/v1/enrolments with the part behind # as the code.")


def _asked(given: str | None, option: str, question: str) -> str:
    if given is not None:
        return given.strip()
    if not sys.stdin.isatty():
        raise SettingsError(f"{option} is missing; there is no terminal to ask at.")
    answer: str = typer.prompt(question)
    return answer.strip()


async def _require_tables(owner_url: str, head: str) -> None:
    from app.core.db import connect  # noqa: PLC0415  # see run_init

    connection = await connect(owner_url)
    try:
        there = await connection.fetchval("select to_regclass('public.alembic_version') is not null")
        found = await connection.fetchval("select version_num from alembic_version") if there else None
    finally:
        await connection.close()
    if found != head:
        raise CommandError("The tables are not those of this version. Run the command migrate first.")
