from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.core.logins import refuse_unsafe_login
from app.core.settings import SettingsError


@pytest.fixture
async def probe(urls: Urls) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Return a superuser's connection, beside a fresh log-in called probe with the app's password."""
    admin = await asyncpg.connect(urls.superuser)
    await admin.execute(f"CREATE ROLE probe LOGIN PASSWORD '{urls.passwords['app']}'")
    await admin.execute("GRANT CONNECT ON DATABASE overlegtafel TO probe")
    yield admin
    await admin.execute("DROP OWNED BY probe; DROP ROLE probe")
    await admin.close()


def probe_url(urls: Urls) -> str:
    return urls.app.replace("//app:", "//probe:")


@pytest.mark.parametrize("role", ["app", "appender", "stream"])
async def test_the_roles_that_serve_are_accepted(urls: Urls, role: str) -> None:
    await refuse_unsafe_login(urls.role(role))


async def test_a_plain_login_is_accepted(urls: Urls, probe: "asyncpg.Connection[asyncpg.Record]") -> None:
    del probe
    await refuse_unsafe_login(probe_url(urls))


@pytest.mark.parametrize("role", ["superuser", "owner"])
async def test_the_superuser_and_the_owner_are_refused(urls: Urls, role: str) -> None:
    with pytest.raises(SettingsError, match="row-level security would not bind it") as refusal:
        await refuse_unsafe_login(getattr(urls, role))
    assert not any(password in str(refusal.value) for password in urls.passwords.values())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("ALTER ROLE probe SUPERUSER", "is a superuser"),
        ("ALTER ROLE probe BYPASSRLS", "has BYPASSRLS"),
        ("ALTER ROLE probe CREATEROLE", "has CREATEROLE"),
        ("CREATE TABLE probed (); ALTER TABLE probed OWNER TO probe", "owns things"),
        ("GRANT owner TO probe", "member of owner"),
        ("GRANT keeper TO probe", "member of keeper"),
        ("GRANT appender TO probe", "member of appender"),
        ("GRANT stream TO probe WITH INHERIT FALSE", "member of stream"),
        ("GRANT pg_read_all_data TO probe", "member of pg_read_all_data"),
    ],
)
async def test_a_login_that_could_get_round_the_policies_is_refused(
    urls: Urls, probe: "asyncpg.Connection[asyncpg.Record]", change: str, reason: str
) -> None:
    await probe.execute(change)
    with pytest.raises(SettingsError, match=reason):
        await refuse_unsafe_login(probe_url(urls))


async def test_a_database_that_is_not_there_is_a_sentence_without_the_password(urls: Urls) -> None:
    for dsn in (urls.for_database("nowhere").app, "postgresql://app:hush@/x?host=/nowhere"):
        with pytest.raises(SettingsError, match="cannot be reached") as refusal:
            await refuse_unsafe_login(dsn)
        assert "hush" not in str(refusal.value)
        assert urls.passwords["app"] not in str(refusal.value)
