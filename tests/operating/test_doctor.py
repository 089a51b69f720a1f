"""Each thing the doctor can find, on a real database, a real key folder and a real TLS server."""

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from app.cli import cli, examine_database, examine_keys, examine_machine, examine_network
from app.cli.doctor import settings_findings
from app.cli.findings import Finding, Level
from app.cli.postgres import Urls
from app.core.settings import PREFIX, Mode, Settings
from app.core.version import API_VERSION
from app.crypto.keyring import KeyringFolder
from app.main import head_revision


def run(*options: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *options])


def findings(result: Result) -> list[Finding]:
    return [
        Finding(one["part"], Level(one["level"]), one["found"], one["remedy"])
        for one in json.loads(result.stdout)["findings"]
    ]


def said(found: list[Finding], level: Level) -> str:
    return "\n".join(f"{one.part}: {one.found}" for one in found if one.level is level)


@pytest.fixture
def production(empty: Urls, place: Path) -> Settings:
    """The settings of a deployment with nothing wrong but that no proxy stands before it."""
    return Settings(
        mode=Mode.PRODUCTION,
        public_url="https://tafel.invalid",
        database_url=SecretStr(empty.app),
        appender_url=SecretStr(empty.appender),
        stream_url=SecretStr(empty.stream),
        key_dir=place / "keys",
    )


async def examined(settings: Settings) -> list[Finding]:
    return (await examine_database.examine(settings, head_revision())).findings


@pytest.mark.usefixtures("environment")
def test_it_prints_a_line_for_each_thing_and_fails_where_one_is_wrong(empty: Urls, place: Path) -> None:
    KeyringFolder.open_or_create(place / "keys")
    result = run()
    assert result.exit_code == 1, result.output
    wrong = [line for line in result.output.splitlines() if line.startswith("error")]
    assert ["fsync" in line or "public address does not answer" in line for line in wrong] == [True, True]
    for part in ("settings", "clock", "keys", "database", "disk", "TLS", "identity provider", "mail"):
        assert any(part in line for line in result.output.splitlines()), part


@pytest.mark.usefixtures("environment")
def test_its_json_says_the_same_and_holds_no_secret(empty: Urls, place: Path) -> None:
    KeyringFolder.open_or_create(place / "keys")
    result = run("--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["healthy"] is False
    assert len(findings(result)) > 12
    assert not any(password in result.output for password in empty.passwords.values())


def test_settings_that_do_not_hold_together_are_the_one_finding(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}PUBLIC_URL", "http://tafel.example")
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", "postgresql://app:hush@db.example/x")
    result = run("--json")
    (only,) = findings(result)
    assert (result.exit_code, only.level, "PUBLIC_URL" in only.found) == (1, Level.ERROR, True)
    assert "hush" not in result.output


def test_the_demo_is_healthy_before_its_first_start(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "MODE", "KEY_DIR"):
        monkeypatch.delenv(PREFIX + name, raising=False)
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(place / "data"))
    result = run("--json")
    assert said(findings(result), Level.ERROR) == ""
    assert result.exit_code == 0
    assert not (place / "data").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"migration_url": SecretStr("postgresql://owner:hush@/x")}, "MIGRATION_URL is set"),
        ({"host": "0.0.0.0"}, "listens on every address"),
        ({"log_level": "DEBUG"}, "log level is DEBUG"),
        ({"mode": Mode.DEMO, "host": "0.0.0.0"}, "lets anybody sign in"),
    ],
)
def test_an_unwise_setting_is_a_warning(production: Settings, change: dict[str, object], told: str) -> None:
    assert said(list(settings_findings(production)), Level.WARNING) == ""
    found = list(settings_findings(production.model_copy(update=change)))
    assert told in said(found, Level.WARNING)
    assert "hush" not in str(found)


# the clock


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, Level.OK), (-1, Level.OK), (3, Level.WARNING), (-20, Level.ERROR), (3600, Level.ERROR)]
)
def test_a_clock_that_is_off_is_told_by_how_far(seconds: int, level: Level) -> None:
    found = examine_machine.clock_drift(timedelta(seconds=seconds), timedelta(seconds=0.5))
    assert found.level is level


def test_what_the_question_took_is_no_drift() -> None:
    assert examine_machine.clock_drift(timedelta(seconds=4), timedelta(seconds=5)).level is Level.OK


@pytest.mark.parametrize(("state", "level"), [(True, Level.OK), (None, Level.OK), (False, Level.WARNING)])
def test_a_clock_that_nobody_keeps_is_a_warning(state: bool | None, level: Level) -> None:
    assert examine_machine.clock_keeping(state).level is level


def test_the_kernel_is_asked_and_nothing_changed() -> None:
    assert examine_machine.synchronised() in {True, False, None}


# the disk


def test_each_disk_is_told_once_and_a_folder_to_be_made_counts_as_its_parent(place: Path) -> None:
    found = list(examine_machine.disks([("data", place / "to" / "be"), ("key", place)]))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("free", "level"), [("FREE_ERROR_BYTES", Level.ERROR), ("FREE_WARNING_BYTES", Level.WARNING)]
)
def test_a_disk_without_room_is_told(place: Path, monkeypatch: pytest.MonkeyPatch, free: str, level: Level) -> None:
    monkeypatch.setattr(examine_machine, free, 2**62)
    assert [one.level for one in examine_machine.disks([("data", place)])] == [level]


# the keys


def look(folder: Path, needed: object = ()) -> list[Finding]:
    return list(examine_keys.keys(folder, data_folder=None, demo=False, needed=needed))  # type: ignore[arg-type]


def test_a_whole_closed_key_folder_is_well(place: Path) -> None:
    keyring = KeyringFolder.open_or_create(place / "keys")
    assert {one.level for one in look(place / "keys", {keyring.current_kek()})} == {Level.OK}


def test_looking_makes_no_key(place: Path) -> None:
    assert "cannot be used" in said(look(place / "keys"), Level.ERROR)
    assert not (place / "keys").exists()
    (place / "keys").mkdir(mode=0o700)
    assert "holds no keys" in said(look(place / "keys"), Level.ERROR)
    assert list((place / "keys").iterdir()) == []


def test_an_open_folder_a_lost_key_and_a_damaged_one_are_errors(place: Path) -> None:
    keyring = KeyringFolder.open_or_create(place / "keys")
    kek = keyring.current_kek()
    (place / "keys").chmod(0o750)
    assert "open to other users" in said(look(place / "keys"), Level.ERROR)
    (place / "keys").chmod(0o700)
    (place / "keys" / "digest-1.json").chmod(0o644)
    assert "open to other users" in said(look(place / "keys"), Level.ERROR)
    (place / "keys" / "digest-1.json").chmod(0o600)
    keyring.rotate_kek()
    (place / "keys" / "kek-1.json").unlink()
    assert str(kek) in said(look(place / "keys", {kek}), Level.ERROR)
    (place / "keys" / "kek-2.json").unlink()
    assert "has lost its kek key" in said(look(place / "keys"), Level.ERROR)


def test_lost_erasure_secrets_are_an_error_and_their_folder_is_not_made_anew(place: Path) -> None:
    KeyringFolder.open_or_create(place / "keys")
    (place / "keys" / "erasure").rename(place / "elsewhere")
    assert "cannot be used" in said(look(place / "keys"), Level.ERROR)
    assert not (place / "keys" / "erasure").exists()


def test_keys_beside_the_data_are_an_error_outside_the_demo(place: Path) -> None:
    KeyringFolder.open_or_create(place / "data" / "keys")
    for demo, told in ((False, "inside the data folder"), (True, "")):
        found = list(examine_keys.keys(place / "data" / "keys", data_folder=place / "data", demo=demo, needed=()))
        assert told in said(found, Level.ERROR)
        assert bool(said(found, Level.ERROR)) != demo


@pytest.mark.parametrize(("days", "level"), [(10, Level.OK), (400, Level.WARNING), (-2, Level.ERROR)])
def test_an_old_signing_key_is_a_warning_and_one_of_tomorrow_an_error(place: Path, days: int, level: Level) -> None:
    made = datetime.now(UTC) - timedelta(days=days)
    KeyringFolder.open_or_create(place / "keys", lambda: made)
    assert look(place / "keys")[-1].level is level


def test_wrapping_keys_nobody_could_ask_for_are_a_warning(place: Path) -> None:
    KeyringFolder.open_or_create(place / "keys")
    assert "not known" in said(look(place / "keys", None), Level.WARNING)


# the database


async def test_a_database_as_deployed_has_nothing_wrong(production: Settings) -> None:
    found = await examined(production)
    assert {one.level for one in found if "fsync" not in one.found} == {Level.OK}, found


async def test_a_server_that_does_not_wait_for_its_disk_is_an_error(production: Settings) -> None:
    # The tests' own cluster is one.
    assert "fsync" in said(await examined(production), Level.ERROR)


async def test_a_database_that_is_not_there_is_told_without_its_password(production: Settings, empty: Urls) -> None:
    gone = SecretStr(empty.for_database("nowhere").app)
    found = await examined(production.model_copy(update={"database_url": gone}))
    assert "cannot be reached" in said(found, Level.ERROR)
    assert not any(password in str(found) for password in empty.passwords.values())


async def test_tables_of_another_revision_or_none_are_an_error(production: Settings, empty: Urls) -> None:
    root = await asyncpg.connect(empty.superuser)
    await root.execute("update alembic_version set version_num = '0001'")
    assert "revision 0001" in said(await examined(production), Level.ERROR)
    await root.execute("drop table alembic_version")
    await root.close()
    assert "no tables yet" in said(await examined(production), Level.ERROR)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("alter table thread disable row level security", "off on thread"),
        ("alter table thread no force row level security", "not forced on thread"),
        ("alter table organisation disable row level security", "off on organisation"),
        ("alter table thread owner to postgres", "Not the owner's is thread"),
        ("grant select on thread to public", "Open to every role is thread"),
    ],
)
async def test_a_fence_that_was_taken_down_is_an_error(
    production: Settings, empty: Urls, change: str, told: str
) -> None:
    root = await asyncpg.connect(empty.superuser)
    await root.execute(change)
    await root.close()
    assert told in said(await examined(production), Level.ERROR)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("alter role sequencer nologin", "sequencer cannot log in"),
        ("alter role keeper login", "keeper can log in"),
        ("alter role auditor bypassrls", "auditor has SUPERUSER"),
        ("grant app to sequencer", "sequencer is a member of another role"),
        ("revoke keeper from owner", "owner is not a member of keeper"),
        ("create table mine (); alter table mine owner to auditor", "auditor owns a table"),
        ("alter role sequencer rename to absent", "sequencer is missing"),
    ],
)
async def test_a_role_that_is_missing_or_may_too_much_is_an_error(empty: Urls, change: str, told: str) -> None:
    root = await asyncpg.connect(empty.superuser)
    transaction = root.transaction()  # roles are the cluster's, so no other test may see this
    await transaction.start()
    try:
        await root.execute(change)
        facts = [dict(row) for row in await root.fetch(examine_database.ROLE_FACTS, examine_database.ROLES)]
    finally:
        await transaction.rollback()
        await root.close()
    assert told in said(list(examine_database.roles(facts)), Level.ERROR)


async def test_a_log_in_that_gets_round_the_policies_is_an_error(production: Settings, empty: Urls) -> None:
    found = await examined(production.model_copy(update={"appender_url": SecretStr(empty.owner)}))
    assert "As appender" in said(found, Level.ERROR)


async def test_a_connection_that_is_neither_local_nor_verified_is_an_error(production: Settings) -> None:
    bare = SecretStr("postgresql://stream:hush@db.invalid/x?sslmode=require")
    found = await examined(production.model_copy(update={"stream_url": bare}))
    assert "stream is neither local nor verified" in said(found, Level.ERROR)
    assert "hush" not in str(found)


@pytest.mark.parametrize(
    ("facts", "workers", "told"),
    [
        ({"parameters_logged": "true"}, 1, "log takes in the parameters"),
        ({}, 20, "20 workers may want"),
    ],
)
def test_a_log_that_copies_content_and_too_few_connections_are_warnings(
    production: Settings, facts: dict[str, str], workers: int, told: str
) -> None:
    usual = dict.fromkeys(examine_database.SERVER, "on") | {"max_connections": "100", "parameters_logged": "false"}
    settings = production.model_copy(update={"workers": workers})
    found = list(examine_database.server({**usual, **facts}, settings))
    assert told in said(found, Level.WARNING)


# the outside

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers GET as the server's ``answer`` says."""

    def do_GET(self) -> None:
        self.server.answer(self)  # type: ignore[attr-defined]

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


def certificate(folder: Path, *, days: float) -> Path:
    """Write a certificate for localhost that trusts itself, and its key, and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{days}.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server on loopback, over TLS when given a certificate; returns its address."""
    running: list[http.server.ThreadingHTTPServer] = []

    def start(answer: Answer, pem: Path | None = None) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        server.daemon_threads = True
        server.answer = answer  # type: ignore[attr-defined]
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        return f"{'http' if pem is None else 'https'}://localhost:{server.server_address[1]}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def ours(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer as the service behind TLS does."""
    handler.send_response(200 if handler.path == "/api/v1/health" else 404)
    handler.send_header("API-Version", API_VERSION)
    handler.send_header("Strict-Transport-Security", "max-age=1")
    handler.end_headers()


def stranger(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer as a proxy without anything behind it does."""
    handler.send_response(502)
    handler.end_headers()


def stripped(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer as the service does, less a header that a proxy took away."""
    handler.send_response(200)
    handler.send_header("API-Version", API_VERSION)
    handler.end_headers()


@pytest.mark.parametrize(
    ("days", "answer", "level", "told"),
    [
        (90, ours, Level.OK, "valid for another 89 days"),
        (14, ours, Level.WARNING, "valid for another 13 days"),
        (3, ours, Level.ERROR, "valid for another 2 days"),
        (-1, ours, Level.ERROR, "not valid"),
        (90, ours, Level.OK, "answers behind the public address"),
        (90, stranger, Level.WARNING, "is answered 502"),
        (90, stripped, Level.WARNING, "without Strict-Transport-Security"),
    ],
)
def test_the_public_address_is_asked_as_a_browser_would(
    serve: Serve,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    answer: Answer,
    level: Level,
    told: str,
) -> None:
    pem = certificate(place, days=days)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert told in said(list(examine_network.public_address(serve(answer, pem))), level)


def test_a_certificate_that_nobody_vouches_for_or_of_another_name_is_an_error(
    serve: Serve, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(place, days=90)
    address = serve(ours, pem)
    assert "not valid" in said(list(examine_network.public_address(address)), Level.ERROR)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    other = address.replace("localhost", str(ip_address("127.0.0.1")))
    assert "not valid" in said(list(examine_network.public_address(other)), Level.ERROR)


def provider(change: dict[str, object]) -> Answer:
    """Answer as a provider whose discovery differs from a right one by ``change``."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        issuer = f"http://{handler.headers['Host']}/realms/zorg"
        right = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/auth",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "code_challenge_methods_supported": ["S256"],
        }
        found = handler.path == "/realms/zorg/.well-known/openid-configuration"
        handler.send_response(200 if found else 404)
        handler.end_headers()
        handler.wfile.write(json.dumps({**right, **change}).encode())

    return answer


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        ({}, Level.OK, "names the configured issuer"),
        ({"issuer": "http://localhost/other"}, Level.ERROR, "another issuer"),
        ({"token_endpoint": None}, Level.ERROR, "lacks token_endpoint"),
        ({"code_challenge_methods_supported": ["plain"]}, Level.WARNING, "PKCE"),
    ],
)
def test_the_identity_provider_s_discovery_is_read(
    serve: Serve, change: dict[str, object], level: Level, told: str
) -> None:
    issuer = f"{serve(provider(change))}/realms/zorg"
    assert told in said([examine_network.identity_provider(issuer)], level)


@pytest.mark.parametrize(
    ("issuer", "level", "told"),
    [
        (None, Level.OK, "None is configured"),
        ("http://idp.example", Level.ERROR, "no https address"),
        ("http://127.0.0.1:9/realms/zorg", Level.ERROR, "cannot be read"),
    ],
)
def test_a_provider_that_is_absent_unsafe_or_silent_is_told(issuer: str | None, level: Level, told: str) -> None:
    assert told in said([examine_network.identity_provider(issuer)], level)


def test_a_page_that_is_no_discovery_is_an_error(serve: Serve) -> None:
    assert "answered 502" in said([examine_network.identity_provider(serve(stranger))], Level.ERROR)
