"""Serving: one socket opened by the parent, uvicorn in this process or in several workers."""

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.cli.console import CommandError
from app.core.logs import configure_logging
from app.core.settings import Settings
from app.realtime.connections import KEEP_ALIVE_SECONDS

APPLICATION = "app.cli.worker:application"
HTTP_PROTOCOL = "app.realtime.connections:HttpProtocol"
SOCKET_PROTOCOL = "app.realtime.server:SocketProtocol"
FRAME_BYTES_MAX = 65536
DRAIN_SECONDS = 10
# A worker that is only slow, on a machine that has too much to do, is not killed for it.
WORKER_SILENCE_SECONDS = 30
BACKLOG = 2048
# The workers of a killed parent let go of the port in this time.
PORT_WAIT_SECONDS = 3
POLL_SECONDS = 0.25


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold the port from before the database starts, so that nobody waits for that to hear it is taken.

    Raises:
        CommandError: it is taken, or the address is not this machine's.
    """
    deadline = time.monotonic() + PORT_WAIT_SECONDS
    while True:
        try:
            listener = _listen(host, port)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CommandError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
            if time.monotonic() > deadline:
                raise CommandError(
                    f"Port {port} on {host} is taken by another program. Stop that, or choose another: "
                    f"PORT={port + 1} make run"
                ) from error
            time.sleep(POLL_SECONDS)
    try:
        yield listener
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class Server(uvicorn.Server):
    """A server that a second Ctrl-C does not hurry past its shutdown; that is bounded already."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop. The signal is not raised again afterwards: the caller has a database to stop."""
        del sig, frame
        self.should_exit = True


class Workers(Multiprocess):
    """Worker processes that a terminal's Ctrl-C does not reach: the parent tells them, and they drain."""

    def init_processes(self) -> None:
        """Start every worker."""
        with _interrupts_held():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Start those again that died."""
        with _interrupts_held():
            super().keep_subprocess_alive()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold SIGINT back; processes started meanwhile inherit that and never see one."""
    resource_tracker.ensure_running()  # its own first start would end the holding
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def run_server(settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; workers have ended when this returns.

    Raises:
        CommandError: the application did not start; it has logged why.
    """
    configure_logging(settings.log_level)
    config = uvicorn.Config(
        APPLICATION,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=HTTP_PROTOCOL,
        ws=SOCKET_PROTOCOL,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        server_header=False,
        date_header=True,
        access_log=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_worker_healthcheck=WORKER_SILENCE_SECONDS,
    )
    if settings.workers > 1:
        workers = Workers(config, sockets=[listener])
        workers.run()
        failed = any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes)
    else:
        server = Server(config)
        with suppress(SystemExit):
            server.run(sockets=[listener])
        failed = not server.started
    if failed:
        raise CommandError("The service did not start; the lines above say why.")


@contextmanager
def stoppable(*, with_parent: bool = False) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the block in the same orderly way, and both be ignored once it is being left.

    ``with_parent`` treats the end of the process that started us (make) as such a signal.
    """
    # A shell starts background jobs with SIGINT ignored; whoever sends it explicitly means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _as_interrupt)
    if with_parent:
        threading.Thread(target=_watch_parent, args=(os.getppid(),), name="parent", daemon=True).start()
    with suppress(KeyboardInterrupt):
        yield


def uninterrupted(finish: Callable[[], None]) -> None:
    """Run the last clean-up while further signals are ignored: impatience must not leave a database behind."""
    previous = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        finish()
    finally:
        for number, handler in previous:
            signal.signal(number, handler)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
