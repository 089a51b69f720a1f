"""What each serving process loads: the application, which ends together with the process that owns the database."""

import multiprocessing
import os
import threading

from starlette.types import ASGIApp


def application() -> ASGIApp:
    """Build the application in this process from its environment."""
    end_with_parent()
    from app.main import app_factory  # noqa: PLC0415  # loading it is this function's work

    return app_factory()


def end_with_parent() -> None:
    """In a worker, end at once when the parent was killed: it would hold the port, without a database behind it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive_not, args=(parent,), name="parent", daemon=True).start()


def _outlive_not(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
