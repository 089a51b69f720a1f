"""What the commands say to the person at the terminal: progress on standard output, refusals on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from app.cli.account import EmbeddedDatabaseError
from app.core.settings import SettingsError
from app.crypto.errors import KeyringError

EXIT_CONFIGURATION = 2
EXIT_FAILURE = 1


class CommandError(Exception):
    """A command cannot do its work; the message is a sentence for the operator."""


def say(sentence: str) -> None:
    """Print one line of progress at once, also into a pipe."""
    Console(highlight=False, soft_wrap=True).print(sentence, markup=False)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what an operator can mend into a sentence and an exit code; anything else stays a traceback."""
    try:
        yield
    except (SettingsError, EmbeddedDatabaseError, KeyringError, CommandError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), markup=False, style="red")
        raise typer.Exit(EXIT_CONFIGURATION if isinstance(error, SettingsError) else EXIT_FAILURE) from error
