"""The composition root: builds the parts, wires them, owns their lifetime. Only ``cli`` imports it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

import app.models  # noqa: F401  # a statement on one table looks up those that its foreign keys name
from app.api import (
    activation,
    audit,
    break_glass,
    cases,
    citizen,
    clients,
    consent_bundles,
    consent_narrowing,
    consents,
    deaths,
    disclosures,
    dossiers,
    endings,
    factors,
    households,
    identity,
    login,
    members,
    messages,
    moves,
    notices,
    oauth,
    oidc,
    oidc_browser,
    organisations,
    patients,
    per_person,
    practice_changes,
    realtime,
    register,
    replacements,
    representations,
    safety,
    safety_reports,
    scim,
    sessions,
    staff,
    statements,
    system,
    teams,
    threads,
    workplaces,
)
from app.api.deps import Services
from app.api.headers import Conventions, request_id_of
from app.api.limits import Guard
from app.api.openapi import finish_document, operation_id
from app.api.problems import problem_of, refusal_of, render
from app.api.rates import Rates
from app.api.reference import reference_routes
from app.core.clock import Clock, database_clock
from app.core.db import open_database, owner_transaction
from app.core.ids import CaseId, EngagementId
from app.core.logs import configure_logging
from app.core.settings import Settings, SettingsError, load_settings
from app.core.version import API_VERSION
from app.crypto.keyring import KeyringFolder
from app.crypto.service import build_crypto
from app.entitlement.floods import Flood
from app.entitlement.knowledge import Knowledge
from app.entitlement.refusals import Refusals, run_tellings, tell_the_rest
from app.entitlement.sweeper import run_sweeper
from app.events.appender import Appended, Appender
from app.events.reading import Stream
from app.identity import demo
from app.identity.actors import Actors
from app.identity.directory import Directory
from app.identity.factors.means import means_of
from app.identity.fetching import Fetcher, KeySets
from app.identity.founding import Founded, Founding
from app.identity.oauth import Server
from app.identity.oidc.client import Providers
from app.identity.region import found_region
from app.identity.tokens import TokenIssuer, TokenVerifier
from app.realtime.bus import Bus
from app.realtime.hub import Hub
from app.realtime.lease import Leases
from app.realtime.route import router as socket_router
from app.realtime.socket import Live

# Routes are tried in this order, so the busiest come first; no address has two.
ROUTERS = (
    messages.router,
    notices.router,
    break_glass.router,
    deaths.router,
    moves.router,
    practice_changes.router,
    threads.router,
    statements.router,
    cases.router,
    members.router,
    households.router,
    consents.router,
    consent_narrowing.router,
    representations.router,
    register.router,
    consent_bundles.router,
    citizen.router,
    patients.router,
    replacements.router,
    per_person.router,
    safety.router,
    safety_reports.router,
    disclosures.router,
    dossiers.router,
    endings.router,
    realtime.router,
    identity.router,
    staff.router,
    sessions.router,
    oidc.router,
    organisations.router,
    teams.router,
    login.router,
    factors.router,
    activation.router,
    workplaces.router,
    audit.router,
    clients.router,
    system.router,
)
AUDIENCE = "overlegtafel"
ROOT = Path(__file__).resolve().parent.parent


def app_factory() -> FastAPI:
    """Build the application from the environment, for a server's worker."""
    settings = load_settings()
    configure_logging(settings.log_level)
    described()  # before the first request comes: nobody should wait for it
    return create_app(settings)


def create_app(settings: Settings, clock: Clock = database_clock) -> FastAPI:
    """Build the application. ``clock`` is a test's; production leaves the time to the database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, settings, clock):
            yield

    app = _bare(
        lifespan=lifespan,
        middleware=[
            Middleware(Conventions, public_url=settings.base_url),
            Middleware(Guard, hosts=settings.hosts),
        ],
    )
    app.router.routes.extend(_routes())
    app.add_exception_handler(HTTPException, _framework_refusal)
    app.openapi = _generated  # type: ignore[method-assign]
    app.state.document = described
    return app


def _bare(**options: Any) -> FastAPI:
    """Return an application without routes."""
    return FastAPI(
        title="Overlegtafel",
        description="Digital consultation table of Dutch neighbourhood care: consent, sealed threads, live sessions.",
        version=API_VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        **options,
    )


@cache
def _routes() -> list[BaseRoute]:
    """Return every route: the same for every application, because to weigh what each takes is a third of a second."""
    app = _bare()
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(system.well_known)
    app.include_router(oidc_browser.router)
    app.include_router(scim.router)
    app.include_router(oauth.router)
    app.include_router(socket_router)
    app.router.routes.extend(reference_routes())
    return app.router.routes


@cache
def _generated() -> dict[str, Any]:
    """Return what the framework says of the routes: the same for every application, and a second of work."""
    app = _bare()
    app.router.routes.extend(_routes())
    return app.openapi()


@cache
def described() -> bytes:
    """Return the document as it is served."""
    return orjson.dumps(finish_document(_generated()))


def document(app: FastAPI) -> dict[str, object]:
    """Return the finished OpenAPI document."""
    return finish_document(app.openapi())


async def _framework_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return render(problem_of(refusal_of(error)), request_id_of(request.scope))


@asynccontextmanager
async def running(app: FastAPI, settings: Settings, clock: Clock) -> AsyncIterator[None]:
    """Open connections and keys, start the worker's tasks, and take everything down again in order."""
    database = await open_database(settings)
    provider = KeyringFolder.open_or_create(key_folder(settings))
    crypto = build_crypto(database.appender, provider)
    await crypto.data_keys.require_wrapping_keys()
    source = settings.audit_source
    directory = Directory(database.stream, crypto.data_keys)
    knowledge = Knowledge(database.stream)
    stream = Stream(database.stream, crypto.data_keys, clock, source=source)
    hub = Hub(stream, knowledge, directory, crypto.stream_cursors)
    bus = Bus(database.stream, settings.role_url("stream"), hub.moved)
    leases = Leases(stream, hub)
    refusals = Refusals(database, clock, source, Flood(settings.token_refusals))
    actors = Actors(database, clock)

    def appended(batch: Sequence[Appended]) -> None:
        hub.deliver(batch)
        bus.hint({one.case_id for one in batch})

    async def after_commit(case_ids: Iterable[CaseId], sessions: Iterable[UUID]) -> None:
        for session_id in sessions:
            actors.forget(session_id)
        leases.end_sessions(sessions)
        moved = list(case_ids)
        hub.moved(moved)
        bus.hint(moved)

    async def swept(case_id: CaseId) -> None:
        await after_commit([case_id], [])

    def listeners(case_id: CaseId) -> Iterable[EngagementId]:
        return hub.listeners(case_id)

    appender = Appender(
        database.appender,
        crypto.data_keys,
        knowledge,
        clock,
        source=source,
        listeners=listeners,
        on_appended=appended,
    )
    issuer = TokenIssuer(crypto.signing, settings.base_url, AUDIENCE)
    providers = Providers(
        settings.identity_providers(),
        settings.base_url + oidc_browser.CALLBACK,
        timeout_seconds=settings.oidc_timeout_seconds,
    )
    means = means_of(settings, database, clock, crypto, issuer)
    verifier = TokenVerifier(crypto.signing, settings.base_url, AUDIENCE)
    fetcher = Fetcher(ports=settings.fetch_ports, loopback=settings.fetch_loopback)
    app.state.services = Services(
        settings=settings,
        revision=head_revision(),
        database=database,
        clock=clock,
        crypto=crypto,
        directory=directory,
        means=means,
        issuer=issuer,
        verifier=verifier,
        actors=actors,
        refusals=refusals,
        appender=appender,
        oauth=Server(
            database=database,
            clock=clock,
            issuer=issuer,
            verifier=verifier,
            digests=crypto.digests,
            key_sets=KeySets(fetcher),
            base_url=settings.base_url,
            source=source,
        ),
        rates=Rates(settings.limits, database, clock),
        after_commit=after_commit,
        providers=providers,
    )
    app.state.live = Live(
        database=database,
        clock=clock,
        crypto=crypto,
        directory=directory,
        knowledge=knowledge,
        appender=appender,
        hub=hub,
        leases=leases,
        refusals=refusals,
        frames_per_second=settings.socket_rate,
        source=source,
    )
    appender.start()
    await leases.renew()
    tasks = [
        asyncio.create_task(leases.run(), name="leases"),
        asyncio.create_task(bus.run(), name="bus"),
        asyncio.create_task(run_sweeper(database, clock, swept, source=source), name="sweeper"),
        asyncio.create_task(run_tellings(refusals), name="tellings"),
    ]
    try:
        yield
    finally:
        await appender.stop()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await providers.close()
        means.passwords.close()
        await tell_the_rest(refusals, all_of_them=True)
        await database.close()


def key_folder(settings: Settings) -> Path:
    """Return the folder of the keys.

    Raises:
        SettingsError: neither a key folder nor a data folder is set.
    """
    if settings.key_dir is not None:
        return settings.key_dir
    if settings.data_dir is None:
        raise SettingsError("OVERLEGTAFEL_KEY_DIR or OVERLEGTAFEL_DATA_DIR must say where the keys are.")
    return settings.data_dir / "keys"


@cache
def head_revision() -> str:
    """Return the newest migration of this version."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "alembic"))
    return str(ScriptDirectory.from_config(config).get_current_head())


async def load_demo(settings: Settings, owner_url: str) -> None:
    """Load the demo region; again changes nothing."""
    database = await open_database(settings)
    try:
        crypto = build_crypto(database.appender, KeyringFolder.open_or_create(key_folder(settings)))
        await demo.load_region(owner_url, crypto)
    finally:
        await database.close()


async def found(settings: Settings, owner_url: str, founding: Founding) -> Founded:
    """Make the region and an administrator of it; see ``found_region``.

    Raises:
        FoundingRefused: see ``found_region``.
        KeyringError: the key folder is not the one that the stored data keys were wrapped with.
    """
    database = await open_database(settings)
    try:
        crypto = build_crypto(database.appender, KeyringFolder.open_or_create(key_folder(settings)))
        # The administrator's name sealed under keys of another folder would be lost to the service.
        await crypto.data_keys.require_wrapping_keys()
        async with owner_transaction(owner_url) as db:
            return await found_region(db, crypto, founding, source=settings.audit_source)
    finally:
        await database.close()


def demo_personas() -> Sequence[demo.Persona]:
    """Return whom one can sign in as in the demo."""
    return demo.PERSONAS
