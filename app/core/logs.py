"""Logs: one JSON object a line, of declared events with declared keys, on standard error.

    log = structlog.get_logger()
    log.info("consent.withdrawn", case_id=case_id)

What an event may carry stands in ``EVENTS``; any other key is dropped and counted as ``dropped``. Values are ids,
codes, numbers and places in the code: an allowed key does not let a sentence through. Of an exception only its type
and where it passed are told, because its message may quote a row, a parameter or a body. What libraries say goes the
same way: of their texts only those pass that are known to be constant, translated to events of ours.
"""

import logging
import os
import re
import sys
import threading
import types
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from math import isfinite
from pathlib import Path
from traceback import walk_tb
from typing import Any, TextIO
from uuid import UUID

import orjson
import structlog

from app.core.clock import utc

STRING_CHARS_MAX = 200
FRAMES_MAX = 20
CAUSES_MAX = 5
INTEGER_MAX = 2**63 - 1

_ERROR = frozenset({"error", "at"})
_NONE: frozenset[str] = frozenset()

# What each event may carry, besides what every line has and what is told of an exception.
EVENTS: Mapping[str, frozenset[str]] = {
    "access.disagreement": frozenset({"where", "policy", "database"}),
    "appender.answer-broken": _NONE,
    "appender.broken": _NONE,
    "appender.delivery-broken": _NONE,
    "appender.failed": _ERROR,
    "appender.item-failed": _ERROR,
    "bus.connect-failed": _ERROR,
    "bus.listen-failed": _ERROR,
    "bus.send-failed": _ERROR,
    "client.keys-unavailable": _NONE,
    "database.unavailable": _ERROR | {"sqlstate"},
    "hub.catch-up-broken": _NONE,
    "hub.catch-up-failed": _ERROR,
    "hub.resume-failed": _ERROR,
    "lease.broken": _NONE,
    "lease.failed": _ERROR,
    "oidc.answer-invalid": frozenset({"provider", "fault"}),
    "oidc.code-refused": frozenset({"provider", "status"}),
    "oidc.failed": frozenset({"provider", "error"}),
    "oidc.metadata-unfit": frozenset({"provider"}),
    "oidc.request-refused": frozenset({"provider", "status"}),
    "oidc.unreachable": frozenset({"provider", "status"}),
    "patient.look-ups-throttled": frozenset({"account_id"}),
    "request.anonymous": frozenset({"code"}),
    "request.failed": _ERROR | {"request_id"},
    "seal.broken": frozenset({"where", "case_id", "seq"}),
    "socket.broken": _NONE,
    "socket.failed": _ERROR,
    "socket.refusal-not-recorded": _ERROR,
    "stream.erased": frozenset({"case_id", "seq"}),
    "sweeper.broken": _NONE,
    "sweeper.case-failed": _ERROR | {"case_id"},
    "sweeper.failed": _ERROR,
    "token.check-failed": _NONE,
    # Of this module.
    "library.spoke": frozenset({"logger", "at"}),
    "library.warned": _ERROR,
    "log.undeclared": _NONE,
    "process.uncaught": _NONE,
    "server.application-failed": _NONE,
    "server.draining": _NONE,
    "server.invalid-request": _NONE,
    "server.listening": _NONE,
    "server.process-ended": _NONE,
    "server.process-started": _NONE,
    "server.start-failed": _NONE,
    "server.started": _NONE,
    "server.starting": _NONE,
    "server.stop-failed": _NONE,
    "server.stopped": _NONE,
    "server.stopping": _NONE,
    "server.tasks-cancelled": _NONE,
    "server.waiting": _NONE,
}

# uvicorn's constant texts, before anything is filled in.
LIBRARY_EVENTS: Mapping[str, str] = {
    "Application shutdown complete.": "server.stopped",
    "Application shutdown failed. Exiting.": "server.stop-failed",
    "Application startup complete.": "server.started",
    "Application startup failed. Exiting.": "server.start-failed",
    "Cancel %s running task(s), timeout graceful shutdown exceeded": "server.tasks-cancelled",
    "Exception in ASGI application\n": "server.application-failed",
    "Finished server process [%d]": "server.process-ended",
    "Invalid HTTP request received.": "server.invalid-request",
    "Shutting down": "server.draining",
    "Started server process [%d]": "server.process-started",
    "Uvicorn running on %s://%s:%d (Press CTRL+C to quit)": "server.listening",
    "Uvicorn running on socket %s (Press CTRL+C to quit)": "server.listening",
    "Waiting for application shutdown.": "server.stopping",
    "Waiting for application startup.": "server.starting",
    "Waiting for background tasks to complete. (CTRL+C to force quit)": "server.waiting",
    "Waiting for connections to close. (CTRL+C to force quit)": "server.waiting",
}

# Errors whose message is a sentence for the operator and names settings and files only.
OPERATOR_ERRORS = frozenset(
    {"app.core.settings.SettingsError", "app.crypto.errors.KeyringError", "app.cli.account.EmbeddedDatabaseError"}
)

_EVENT = re.compile(r"[a-z]{1,20}\.[a-z-]{1,40}")
_PLAIN = re.compile(r"[A-Za-z0-9_.:/<>@-]*")
_ROOT = f"{Path(__file__).resolve().parents[2]}/"
_DROP = object()

log = structlog.get_logger()


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send whatever this process says through here: our events, libraries' loggers, warnings, uncaught errors.

    Call it once per process, after whoever configures logging too. ``level`` is a name such as ``INFO``; libraries
    other than the server speak from ``WARNING`` on. ``stream`` defaults to standard error.
    """
    structlog.configure(
        processors=[structlog.processors.add_log_level, _shape, _render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_args: _Writer(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.root.handlers = [_Libraries()]
    logging.root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        server = logging.getLogger(name)
        server.handlers, server.propagate, server.disabled = [], True, False
        server.setLevel(logging.NOTSET)  # whoever set one before, the parent's counts
    logging.getLogger("uvicorn").setLevel(level)
    access = logging.getLogger("uvicorn.access")  # paths and queries; the audit log tells who did what
    access.handlers, access.propagate, access.disabled = [], False, True
    warnings.showwarning = _tell_warning
    sys.excepthook = _tell_uncaught
    threading.excepthook = lambda hook: _tell_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)
    sys.unraisablehook = lambda hook: _tell_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


class _Writer:
    """The end of the line: writes it whole, and never raises, because no work may fail for want of a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):  # a closed or broken pipe
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


class _Libraries(logging.Handler):
    """Takes what libraries log through the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell that a library spoke, and from where; never its words."""
        event = LIBRARY_EVENTS.get(record.msg) if isinstance(record.msg, str) else None
        error = record.exc_info or (record.levelno >= logging.ERROR and sys.exc_info())
        keys = {} if event else {"logger": record.name, "at": _place(record.pathname, record.lineno, record.funcName)}
        log.log(_standard(record.levelno), event or "library.spoke", exc_info=error, **keys)


def _standard(level: int) -> int:
    """Return the greatest level that structlog knows and that does not exceed ``level``."""
    return max(0, min(level // 10 * 10, logging.CRITICAL))


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del message, file, line
    log.warning("library.warned", error=_name(category), at=_place(filename, lineno))


def _tell_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: types.TracebackType | None
) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        log.critical("process.uncaught", exc_info=(kind, error, traceback))


def _shape(_logger: object, _method: str, said: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Return the line: what every line has, the event's own keys, and what is told of an exception."""
    event, level, exc_info = said.pop("event", None), said.pop("level", "info"), said.pop("exc_info", None)
    allowed = EVENTS.get(event) if isinstance(event, str) else None
    kept = {name: value for name in said.keys() & (allowed or _NONE) if (value := _value(said[name])) is not _DROP}
    line = {
        "timestamp": utc(datetime.now(UTC)),
        "level": level,
        "event": event if allowed is not None or _is_name(event) else "log.undeclared",
        "pid": os.getpid(),
        **dict(sorted(kept.items())),
    }
    if len(kept) < len(said):
        line["dropped"] = len(said) - len(kept)
    error = _error(exc_info)
    return line if error is None else line | _told(error)


def _is_name(event: object) -> bool:
    return isinstance(event, str) and _EVENT.fullmatch(event) is not None


def _render(_logger: object, _method: str, line: Mapping[str, Any]) -> str:
    return orjson.dumps(line).decode()


def _value(value: object) -> object:
    """Return the value if it can be nothing but an id, a code, a number or a place; else ``_DROP``."""
    match value:
        case None | bool():
            return value
        case int() if abs(value) <= INTEGER_MAX:
            return int(value)
        case float() if isfinite(value):
            return value
        case UUID():
            return str(value)
        case str() if _PLAIN.fullmatch(value):
            return str(value)[:STRING_CHARS_MAX]
        case _:
            return _DROP


def _error(exc_info: object) -> BaseException | None:
    """Return the exception that a call means: itself, a triple, or the one being handled."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return next((item for item in exc_info if isinstance(item, BaseException)), None)
    return sys.exception() if exc_info else None


def _told(error: BaseException) -> dict[str, object]:
    """Return type and path of an error, and the types and places of what caused it, nearest first."""
    frames = [_place(*step) for step in _steps(error)]
    told: dict[str, object] = {"error": _name(type(error)), "frames": frames[-FRAMES_MAX:]}
    causes = [_cause(cause) for cause in islice(_causes(error), CAUSES_MAX)]
    if causes:
        told["causes"] = causes
    if told["error"] in OPERATOR_ERRORS:
        told["sentence"] = "".join(char if char.isprintable() else " " for char in str(error)[:STRING_CHARS_MAX])
    return told


def _cause(error: BaseException) -> str:
    last = list(_steps(error))[-1:]
    return _name(type(error)) + "".join(f" {_place(*step)}" for step in last)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what stands behind an error, each once: causes, contexts, and the members of groups."""
    seen, waiting = {id(error)}, [error]
    while waiting:
        at = waiting.pop(0)
        behind = [at.__cause__ or (None if at.__suppress_context__ else at.__context__)]
        if isinstance(at, BaseExceptionGroup):
            behind += at.exceptions
        for cause in behind:
            if cause is not None and id(cause) not in seen:
                seen.add(id(cause))
                waiting.append(cause)
                yield cause


def _steps(error: BaseException) -> Iterator[tuple[str, int, str]]:
    for frame, number in walk_tb(error.__traceback__):
        yield frame.f_code.co_filename, number, frame.f_code.co_qualname


def _place(path: str, number: int, function: str = "") -> str:
    """Return ``file:line:function``; the file below the project or the libraries, never the machine's own path."""
    for marker in ("/site-packages/", _ROOT):
        path = path.rpartition(marker)[2]
    if path.startswith("/"):
        path = "/".join(path.split("/")[-2:])
    place = f"{path}:{number}:{function}".rstrip(":")
    return place[:STRING_CHARS_MAX] if _PLAIN.fullmatch(place) else f"?:{number}"


def _name(kind: type) -> str:
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:STRING_CHARS_MAX] if _PLAIN.fullmatch(name) else "?"
