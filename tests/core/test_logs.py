"""Logs say what happened and where, and nothing that came from a client or a row."""

import ast
import asyncio
import gc
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import structlog
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from app.core.logs import (
    EVENTS,
    LIBRARY_EVENTS,
    OPERATOR_ERRORS,
    STRING_CHARS_MAX,
    _Libraries,
    _render,
    _shape,
    _tell_warning,
    configure_logging,
)

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-7f3a"
SOME_ID = UUID("0b9e7d3c-5a35-4c55-9f0e-3f1f3f1b2a01")
LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")


class Said:
    """What this process has logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Said]:
    """Configure logging for one test and leave the process as it was."""
    for place, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(place, name, getattr(place, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for attribute in ("handlers", "level", "propagate", "disabled"):
            monkeypatch.setattr(logger, attribute, getattr(logger, attribute))
    monkeypatch.setitem(EVENTS, "test.event", frozenset({"case_id", "count", "code", "share", "on", "nothing"}))
    said = Said()
    configured = structlog.get_config()
    configure_logging("INFO", said.stream)
    yield said
    structlog.configure(**configured)
    logging.root.manager._clear_cache()  # type: ignore[attr-defined]  # levels set behind its back


log = structlog.get_logger()


def failing(error: BaseException) -> BaseException:
    """Return the error as it is when caught: with a traceback whose frames have canaries."""
    content = CANARY
    try:
        raise error  # noqa: TRY301  # only to give it a traceback
    except BaseException as caught:  # noqa: BLE001  # any error, to look at
        del content
        return caught


def test_an_event_is_one_line_of_json(said: Said) -> None:
    log.info("test.event", case_id=SOME_ID, count=3, code="not-found", share=0.5, on=True, nothing=None)
    (line,) = said.lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "test.event",
        "pid": os.getpid(),
        "case_id": str(SOME_ID),
        "count": 3,
        "code": "not-found",
        "share": 0.5,
        "on": True,
        "nothing": None,
    }


def test_keys_that_are_not_declared_are_dropped_and_counted(said: Said) -> None:
    log.info("test.event", case_id=SOME_ID, text=CANARY, name=CANARY, timestamp=CANARY, pid=CANARY)
    assert said.last["dropped"] == 4
    assert said.last["case_id"] == str(SOME_ID)
    assert CANARY not in said.text


@pytest.mark.parametrize(
    "value",
    [
        "two words",
        "de Vries",
        "line\nfeed",
        "Zoë",
        "{'a': 1}",
        'quote"',
        "\x00",
        "\ud800",
        b"bytes",
        ["list"],
        {"a": 1},
        ("tuple",),
        ValueError("x y"),
        object(),
        float("nan"),
        2**63,
    ],
    ids=lambda value: "object" if type(value) is object else repr(value),  # an address is another in each process
)
def test_values_that_may_be_content_are_dropped(said: Said, value: object) -> None:
    log.info("test.event", code=value, count=1)
    assert (said.last["dropped"], said.last["count"], "code" in said.last) == (1, 1, False)


def test_strings_are_cut(said: Said) -> None:
    log.info("test.event", code="x" * 5000)
    assert said.last["code"] == "x" * STRING_CHARS_MAX


def test_an_undeclared_event_loses_every_key_but_keeps_its_name(said: Said) -> None:
    log.info("test.other", case_id=SOME_ID)
    assert (said.last["event"], said.last["dropped"]) == ("test.other", 1)


@pytest.mark.parametrize("event", [f"Patient {CANARY}", CANARY, f"{CANARY}.{CANARY}", None, 5, "x" * 5000])
def test_an_event_that_is_no_name_is_not_told(said: Said, event: Any) -> None:
    log.info(event)
    assert said.last["event"] == "log.undeclared"
    assert CANARY not in said.text


def test_arguments_are_not_filled_in(said: Said) -> None:
    log.info("test.event %s", CANARY)
    assert said.last["event"] == "log.undeclared"
    assert CANARY not in said.text


def test_levels_below_the_configured_one_are_silent(said: Said) -> None:
    log.debug("test.event")
    assert said.text == ""
    configure_logging("ERROR", said.stream)
    log.warning("test.event")
    logging.getLogger("uvicorn.error").info("Shutting down")
    assert said.text == ""
    log.error("test.event")
    assert said.last["level"] == "error"


@given(
    event=st.text(max_size=60) | st.just("test.event"),
    keys=st.dictionaries(
        st.sampled_from(["case_id", "code", "count", "text", "name", "error"]),
        st.recursive(
            st.just(f"{CANARY} de Vries") | st.integers() | st.floats() | st.text() | st.binary() | st.none(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
    ),
)
def test_no_call_fails_or_lets_a_sentence_through(event: str, keys: dict[str, Any]) -> None:
    line = _render(None, "info", _shape(None, "info", {"event": event, "level": "info", **keys}))
    assert json.loads(line)["level"] == "info"
    assert CANARY not in line


# Exceptions.


class Patient(BaseModel):
    bsn: int


def validation_error() -> Exception:
    try:
        Patient.model_validate({"bsn": CANARY})
    except ValueError as error:
        return error
    raise AssertionError


def database_error() -> asyncpg.PostgresError:
    error = asyncpg.UniqueViolationError(f'duplicate key value violates unique constraint "patient_bsn" {CANARY}')
    error.detail = f"Key (bsn)=({CANARY}) already exists."
    return error


def caused() -> Exception:
    try:
        raise database_error()
    except asyncpg.PostgresError as error:
        outer = RuntimeError(CANARY)
        outer.__cause__ = error
        return outer


ERRORS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "asyncpg": (database_error, "asyncpg.exceptions.UniqueViolationError"),
    "sqlalchemy": (
        lambda: IntegrityError(f"INSERT {CANARY}", {"bsn": CANARY}, database_error()),
        "sqlalchemy.exc.IntegrityError",
    ),
    "pydantic": (validation_error, "pydantic_core._pydantic_core.ValidationError"),
    "unicode": (lambda: UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), "UnicodeDecodeError"),
    "key": (lambda: KeyError(CANARY), "KeyError"),
    "caused": (caused, "RuntimeError"),
    "group": (lambda: ExceptionGroup(CANARY, [ValueError(CANARY), caused()]), "ExceptionGroup"),
    "noted": (lambda: _noted(ValueError(CANARY)), "ValueError"),
    "named": (lambda: type(f"Patient {CANARY}", (Exception,), {})(CANARY), "?"),
}


def _noted(error: Exception) -> Exception:
    error.add_note(CANARY)
    return error


@pytest.mark.parametrize("name", ERRORS)
def test_an_exception_is_told_by_type_and_places_only(said: Said, name: str) -> None:
    make, expected = ERRORS[name]
    error = failing(make())
    log.error("test.event", exc_info=error)
    assert said.last["error"] == expected
    assert re.fullmatch(r"tests/core/test_logs\.py:\d+:failing", said.last["frames"][0])
    assert CANARY not in said.text


def test_exception_takes_the_one_that_is_handled(said: Said) -> None:
    try:
        int(CANARY)
    except ValueError:
        log.exception("test.event", count=1)
    line = said.last
    assert (line["level"], line["error"], line["count"], "dropped" in line) == ("error", "ValueError", 1, False)
    (frame,) = line["frames"]
    assert re.fullmatch(r"tests/core/test_logs\.py:\d+:test_exception_takes_the_one_that_is_handled", frame)


def test_causes_are_told_nearest_first(said: Said) -> None:
    log.error("test.event", exc_info=failing(ERRORS["group"][0]()))
    causes = [cause.split()[0] for cause in said.last["causes"]]
    assert causes == ["ValueError", "RuntimeError", "asyncpg.exceptions.UniqueViolationError"]
    assert re.search(r" tests/core/test_logs\.py:\d+:caused$", said.last["causes"][-1])


def test_chains_that_turn_back_or_run_deep_come_to_an_end(said: Said) -> None:
    first, second = ValueError(CANARY), KeyError(CANARY)
    first.__cause__, second.__cause__ = second, first
    log.error("test.event", exc_info=first)
    assert said.last["causes"] == ["KeyError"]
    log.error("test.event", exc_info=ExceptionGroup(CANARY, [ValueError(CANARY) for _ in range(50)]))
    assert said.last["causes"] == ["ValueError"] * 5

    def deep() -> None:
        deep()

    try:
        deep()
    except RecursionError:
        log.exception("test.event")
    assert len(said.last["frames"]) == 20


def test_a_context_that_was_put_away_is_not_told(said: Said) -> None:
    error = failing(ValueError(CANARY))
    error.__context__ = KeyError(CANARY)
    log.error("test.event", exc_info=error)
    assert said.last["causes"] == ["KeyError"]
    error.__suppress_context__ = True
    log.error("test.event", exc_info=error)
    assert "causes" not in said.last


def test_a_place_that_is_no_file_of_ours_is_not_named(said: Said) -> None:
    try:
        exec(compile("int('x')", f"Patient {CANARY}", "exec"))
    except ValueError:
        log.exception("test.event")
    assert said.last["frames"][-1] == "?:1"
    assert CANARY not in said.text


def test_frames_name_files_below_the_project_or_the_libraries(said: Said) -> None:
    try:
        json.loads(CANARY)
    except ValueError:
        log.exception("test.event")
    assert [frame.partition(":")[0] for frame in said.last["frames"]] == [
        "tests/core/test_logs.py",
        "json/__init__.py",
        "json/decoder.py",
        "json/decoder.py",
    ]
    try:
        Patient.model_validate_json(CANARY)
    except ValueError:
        log.exception("test.event")
    assert said.last["frames"][-1].startswith("pydantic/main.py:")
    assert str(ROOT) not in said.text


def test_a_sentence_for_the_operator_is_told(said: Said) -> None:
    for name in sorted(OPERATOR_ERRORS):
        module, _, kind = name.rpartition(".")
        error = getattr(import_module(module), kind)("Production needs OVERLEGTAFEL_KEY_DIR.\n")
        log.error("test.event", exc_info=error)
        assert said.last["sentence"] == "Production needs OVERLEGTAFEL_KEY_DIR. "
        log.error("test.event", exc_info=getattr(import_module(module), kind)("x" * 5000))
        assert len(said.last["sentence"]) == STRING_CHARS_MAX
    log.error("test.event", exc_info=RuntimeError("Production needs a key."))
    assert "sentence" not in said.last


# What others say.


def test_a_library_is_told_of_without_its_words(said: Said) -> None:
    logging.getLogger("some.library").warning(f"{CANARY} %s", CANARY)
    line = said.last
    assert (line["event"], line["level"], line["logger"]) == ("library.spoke", "warning", "some.library")
    assert re.fullmatch(r"tests/core/test_logs\.py:\d+:test_a_library_is_told_of_without_its_words", line["at"])
    assert CANARY not in said.text


def test_a_library_that_chats_is_not_told(said: Said) -> None:
    logging.root.setLevel(logging.DEBUG)
    configure_logging("DEBUG", said.stream)
    logging.getLogger("some.library").info(CANARY)
    assert said.text == ""


def test_an_odd_level_is_told_as_the_one_below(said: Said) -> None:
    logging.getLogger("some.library").log(35, CANARY)
    logging.getLogger("some.library").log(95, CANARY)
    assert [line["level"] for line in said.lines] == ["warning", "critical"]


def test_a_library_may_log_anything(said: Said) -> None:
    for thing in (ValueError(CANARY), None, {CANARY: CANARY}, object(), ["%s"], "%d %s"):
        for args in ((), (thing,), (thing, thing)):
            record = logging.LogRecord(CANARY, logging.ERROR, CANARY, 1, thing, args, (None, None, None), CANARY)
            _Libraries().emit(record)
    assert len(said.lines) == 18
    assert said.last["at"] == f"{CANARY}:1:{CANARY}"  # name and place are the code's own


def test_the_error_being_handled_is_told_when_a_library_speaks_of_one(said: Said) -> None:
    """Starlette hands uvicorn the text of a traceback when the start fails; the text is dropped, the error is not."""
    try:
        raise asyncpg.InvalidPasswordError(CANARY)
    except asyncpg.PostgresError:
        logging.getLogger("uvicorn.error").error(  # noqa: TRY400  # as uvicorn does
            f"Traceback (most recent call last): {CANARY}"
        )
    assert said.last["error"] == "asyncpg.exceptions.InvalidPasswordError"
    assert CANARY not in said.text


def test_the_server_is_understood(said: Said) -> None:
    server = logging.getLogger("uvicorn.error")
    server.info("Started server process [%d]", 5, extra={"color_message": CANARY})
    server.info("Uvicorn running on %s://%s:%d (Press CTRL+C to quit)", "http", CANARY, 5)
    server.info('%s - "WebSocket %s" [accepted]', CANARY, f"/realtime?ticket={CANARY}")
    assert [line["event"] for line in said.lines] == ["server.process-started", "server.listening", "library.spoke"]
    assert CANARY not in said.text


def test_the_access_log_is_silent(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    for level in (logging.INFO, logging.ERROR):
        logging.getLogger("uvicorn.access").log(level, '%s - "%s %s HTTP/%s" %d', CANARY, "GET", "/x", "1.1", 200)
    assert (said.text, *capsys.readouterr()) == ("", "", "")
    assert not logging.getLogger("uvicorn.access").isEnabledFor(logging.CRITICAL)


def test_the_server_s_own_handlers_are_replaced(said: Said) -> None:
    uvicorn.Config("app.main:app_factory").configure_logging()
    configure_logging("INFO", said.stream)
    logging.getLogger("uvicorn.error").info("Shutting down")
    assert [line["event"] for line in said.lines] == ["server.draining"]
    assert all(not logging.getLogger(name).handlers for name in LOGGERS[1:])


def test_the_server_still_says_what_is_translated() -> None:
    """A new version of uvicorn may word things anew; they would only be told as ``library.spoke``."""
    sources = "".join(path.read_text() for path in Path(uvicorn.__file__).parent.rglob("*.py"))
    built = {"Uvicorn running on %s://%s:%d (Press CTRL+C to quit)"}
    assert [text for text in LIBRARY_EVENTS if text not in built and json.dumps(text) not in sources] == []
    assert set(LIBRARY_EVENTS.values()) <= set(EVENTS)


async def test_a_task_nobody_awaited_is_told_without_its_error(said: Said) -> None:
    async def fail() -> None:
        raise database_error()

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    gc.collect()
    assert (said.last["logger"], said.last["error"]) == ("asyncio", "asyncpg.exceptions.UniqueViolationError")
    assert CANARY not in said.text


def test_a_warning_is_told_by_its_category(said: Said) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _tell_warning
        warnings.warn(CANARY, UserWarning, stacklevel=1)
    assert (said.last["event"], said.last["error"]) == ("library.warned", "UserWarning")
    assert said.last["at"].startswith("tests/core/test_logs.py:")
    assert CANARY not in said.text


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError(canary)",
        "import threading; t = threading.Thread(target=int, args=(canary,)); t.start(); t.join()",
        "class Odd:\n def __del__(self): raise ValueError(canary)\nOdd()",
        "import asyncio\nasync def fail(): raise ValueError(canary)\nasyncio.run(fail())",
        "import warnings; warnings.warn(canary); int(canary)",
    ],
    ids=["main", "thread", "finalizer", "task", "warning"],
)
def test_what_nobody_caught_is_told_without_its_words(code: str) -> None:
    start = f"from app.core.logs import configure_logging; configure_logging('INFO')\ncanary = {CANARY!r}\n"
    ended = subprocess.run(
        [sys.executable, "-c", start + code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout == ""
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert lines[-1] | {"event": "process.uncaught", "error": "ValueError", "level": "critical"} == lines[-1]
    assert CANARY not in ended.stderr


def test_an_interruption_is_not_an_error(said: Said) -> None:
    for error in (KeyboardInterrupt(), SystemExit(1)):
        sys.excepthook(type(error), error, None)
    assert said.text == ""


def test_a_broken_stream_breaks_no_work(said: Said) -> None:
    said.stream.close()
    log.error("test.event")
    logging.getLogger("some.library").error("x")


# The declaration.


def test_every_event_that_the_code_logs_is_declared() -> None:
    undeclared = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        for call in log_calls(ast.parse(path.read_text())):
            event = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
            keys = {keyword.arg for keyword in call.keywords} - {"exc_info"}
            if not isinstance(event, str) or len(call.args) != 1 or not keys <= EVENTS.get(event, frozenset()):
                undeclared.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}")
    assert undeclared == [], "declare the event and its keys in app/core/logs.py"


def log_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls of a module's ``log``, but for those of this module's own, whose event is a variable."""
    methods = {"debug", "info", "warning", "error", "critical", "exception"}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method)) if method in methods:
                yield node


def test_the_search_finds_an_undeclared_event() -> None:
    calls = list(log_calls(ast.parse("log.info(f'{x}')\nlog.error('a', text=1)\nother.info('x')")))
    assert len(calls) == 2


def test_no_key_is_named_for_content() -> None:
    names = set().union(*EVENTS.values())
    assert names.isdisjoint({"text", "body", "name", "title", "bsn", "question", "message", "detail", "token", "url"})
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)
