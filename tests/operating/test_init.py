"""The first start of a real deployment, on a migrated database in which nobody is yet."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from app.cli import cli
from app.cli.postgres import Urls
from app.core.settings import PREFIX

REGION = ["--region", "Zorgregio Heuvelland"]
ADMIN = ["--name", "Wilhelmina Quaedvlieg"]
PLACES = "select kind, name from organisation"
ADMINS = "select organisation_id, account_id, confirmed_until from engagement where role = 'region_admin'"
LOG = "select entity_type, origin, reason, actor_account_id from audit_event where action = 'region:init' order by 1"


def run(*options: str) -> Result:
    return CliRunner().invoke(cli, ["init", *options])


async def rows(urls: Urls, query: str) -> list[Mapping[str, object]]:
    root = await asyncpg.connect(urls.superuser)
    try:
        return [dict(row) for row in await root.fetch(query)]
    finally:
        await root.close()


def asked(urls: Urls, query: str) -> list[Mapping[str, object]]:
    return asyncio.run(rows(urls, query))


@pytest.mark.usefixtures("environment")
def test_the_first_administrator_gets_one_link_and_no_password(empty: Urls) -> None:
    result = run(*REGION, *ADMIN)
    assert result.exit_code == 0, result.output
    links = re.findall(r"https://tafel\.example/enrolment#(\S+)", result.output)
    assert len(links) == 1
    assert len(links[0]) >= 16
    assert "password" not in result.output
    assert asked(empty, PLACES) == [{"kind": "region", "name": "Zorgregio Heuvelland"}]
    (admin,) = asked(empty, ADMINS)
    assert admin["confirmed_until"] is not None
    codes = asked(empty, "select purpose, account_id, created_by_engagement_id from enrolment")
    assert codes == [{"purpose": "init", "account_id": admin["account_id"], "created_by_engagement_id": None}]


@pytest.mark.usefixtures("environment")
def test_it_stands_in_the_log_as_the_system_s_and_without_a_name(empty: Urls) -> None:
    assert run(*REGION, *ADMIN).exit_code == 0
    log = asked(empty, LOG)
    assert [row["entity_type"] for row in log] == ["account", "engagement", "organisation"]
    assert {(row["origin"], row["reason"], row["actor_account_id"]) for row in log} == {("system", None, None)}
    sealed = asked(empty, "select name_sealed from account")[0]["name_sealed"]
    assert isinstance(sealed, bytes)
    assert b"Quaedvlieg" not in sealed


@pytest.mark.usefixtures("environment")
def test_a_second_start_is_refused_and_changes_nothing(empty: Urls) -> None:
    assert run(*REGION, *ADMIN).exit_code == 0
    before = asked(empty, ADMINS)
    again = run(*REGION, "--name", "Somebody Else")
    assert (again.exit_code, "--another" in again.output) == (1, True)
    assert asked(empty, ADMINS) == before
    assert len(asked(empty, LOG)) == 3


@pytest.mark.usefixtures("environment")
def test_another_administrator_of_the_same_region_needs_a_reason_which_is_recorded(empty: Urls) -> None:
    assert run(*REGION, *ADMIN).exit_code == 0
    assert run(*REGION, "--name", "Somebody Else", "--another").exit_code == 2
    another = run(*REGION, "--name", "Somebody Else", "--another", "--reason", "lost-access")
    assert another.exit_code == 0, another.output
    assert len(asked(empty, PLACES)) == 1
    assert len({row["organisation_id"] for row in asked(empty, ADMINS)}) == 1
    assert len(asked(empty, ADMINS)) == 2
    recorded = [row["entity_type"] for row in asked(empty, LOG) if row["reason"] == "lost-access"]
    assert recorded == ["account", "engagement"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("options", [REGION, ADMIN, []])
def test_nothing_is_asked_where_there_is_no_terminal(empty: Urls, options: list[str]) -> None:
    result = run(*options)
    assert (result.exit_code, "is missing" in result.output) == (2, True)
    assert asked(empty, PLACES) == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ["", " ", "x" * 201, "two\nlines"])
def test_a_name_that_cannot_be_one_makes_nothing(empty: Urls, name: str) -> None:
    assert run(*REGION, "--name", name).exit_code == 1
    assert asked(empty, PLACES) == []
    assert asked(empty, LOG) == []


def test_the_owners_log_in_is_needed_and_the_apps_is_not_enough(
    empty: Urls, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"{PREFIX}MIGRATION_URL")
    missing = run(*REGION, *ADMIN)
    assert (missing.exit_code, "MIGRATION_URL" in missing.output) == (2, True)
    monkeypatch.setenv(f"{PREFIX}MIGRATION_URL", environment["DATABASE_URL"])
    refused = run(*REGION, *ADMIN)
    assert refused.exit_code == 1
    assert not any(password in refused.output for password in empty.passwords.values())
    assert asked(empty, PLACES) == []


@pytest.mark.usefixtures("environment")
def test_a_database_without_this_version_s_tables_is_left_alone(empty: Urls) -> None:
    asked(empty, "update alembic_version set version_num = '0001' returning version_num")
    result = run(*REGION, *ADMIN)
    assert (result.exit_code, "command migrate" in result.output) == (1, True)
    assert asked(empty, PLACES) == []


def test_a_key_folder_that_is_not_this_databases_makes_nothing(
    empty: Urls, environment: dict[str, str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*REGION, *ADMIN).exit_code == 0
    monkeypatch.setenv(f"{PREFIX}KEY_DIR", str(place / "other"))
    result = run(*REGION, "--name", "Somebody Else", "--another", "--reason", "left")
    assert (result.exit_code, "lacks key-encryption key" in result.output) == (1, True)
    assert len(asked(empty, ADMINS)) == 1
