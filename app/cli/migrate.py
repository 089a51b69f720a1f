"""Bringing a database's tables to the newest revision, as their owner."""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError as AlembicError
from sqlalchemy.exc import SQLAlchemyError

from app.cli.console import CommandError

SCRIPTS = Path(__file__).resolve().parents[2] / "alembic"


def configuration(url: str) -> Config:
    """Return alembic's configuration for a database; there is no file, so the password is never written down."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Migrate the database behind the owner's URL to the newest revision; harmless when it is there already.

    Raises:
        CommandError: the database cannot be reached, or a revision failed and was rolled back.
    """
    try:
        command.upgrade(configuration(url), "head")
    except (AlembicError, SQLAlchemyError, asyncpg.PostgresError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CommandError(f"The migration failed: {reason}") from error
