import asyncpg
import pytest

from app.cli.postgres import Urls, create_roles

MEMBERSHIPS = """
SELECT member.rolname || ' in ' || parent.rolname
  FROM pg_auth_members m JOIN pg_roles member ON member.oid = m.member JOIN pg_roles parent ON parent.oid = m.roleid
 WHERE member.rolname !~ '^pg_'
"""


async def test_creating_the_roles_again_changes_nothing(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.superuser)
    state = "SELECT array_agg((rolname, rolcanlogin, rolinherit)::text ORDER BY rolname) FROM pg_roles"
    before = await connection.fetchval(state)
    create_roles(urls)
    assert await connection.fetchval(state) == before
    await connection.close()


async def test_only_the_owner_can_become_the_keeper_and_inherits_nothing_of_it(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.superuser)
    assert [row[0] for row in await connection.fetch(MEMBERSHIPS)] == ["owner in keeper"]
    assert not await connection.fetchval("SELECT pg_has_role('owner', 'keeper', 'USAGE')")
    assert not await connection.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'keeper'")
    await connection.close()


async def test_the_owner_gives_a_function_to_the_keeper_and_the_app_runs_it(urls: Urls) -> None:
    owner, app = await asyncpg.connect(urls.owner), await asyncpg.connect(urls.app)
    await owner.execute("""
        CREATE TABLE secret (id int);
        GRANT SELECT ON secret TO keeper;
        CREATE FUNCTION secrets() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public
            AS 'SELECT count(*) FROM secret';
        REVOKE EXECUTE ON FUNCTION secrets() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION secrets() TO app;
        GRANT CREATE ON SCHEMA public TO keeper;
        ALTER FUNCTION secrets() OWNER TO keeper;
        REVOKE CREATE ON SCHEMA public FROM keeper;
    """)
    assert await app.fetchval("SELECT secrets()") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.fetchval("SELECT count(*) FROM secret")
    await owner.execute("DROP FUNCTION secrets(); DROP TABLE secret")
    await owner.close()
    await app.close()


@pytest.mark.parametrize("role", ["app", "appender", "stream", "sequencer", "auditor"])
@pytest.mark.parametrize("statement", ["CREATE TABLE mine ()", "CREATE TEMP TABLE mine ()", "SET ROLE keeper"])
async def test_a_serving_role_makes_nothing_and_becomes_nobody(urls: Urls, role: str, statement: str) -> None:
    connection = await asyncpg.connect(urls.role(role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
