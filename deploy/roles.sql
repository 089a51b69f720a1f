-- Roles and the empty database of Overlegtafel, for PostgreSQL 15 to 18. Run it as a superuser; again is harmless:
--
--     psql -v password=SECRET -f deploy/roles.sql
--
-- or, so that no password stands on a command line, with OVERLEGTAFEL_ROLE_PASSWORD in psql's environment and without
-- -v. Every log-in role gets that password; -v app_password=… (owner_, appender_, stream_, sequencer_, auditor_) gives
-- one its own. A SCRAM verifier is accepted wherever a password is. -v database=… names another database.
--
--     owner      owns the schema; migrations log in as this, nothing else does
--     keeper     owns the few SECURITY DEFINER functions and sees through row-level security; nobody can log in as it
--     app        the application; owns nothing
--     appender   writes batches of messages to the case stream
--     stream     reads the case stream for live delivery
--     sequencer  gives audit records their place in the tree
--     auditor    reads the audit log
--
-- Tables and grants on them come from migrations.

\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

\if :{?database}
\else
  \set database overlegtafel
\endif
\if :{?password}
\else
  \getenv password OVERLEGTAFEL_ROLE_PASSWORD
\endif
\if :{?owner_password}
\else
  \set owner_password :password
\endif
\if :{?app_password}
\else
  \set app_password :password
\endif
\if :{?appender_password}
\else
  \set appender_password :password
\endif
\if :{?stream_password}
\else
  \set stream_password :password
\endif
\if :{?sequencer_password}
\else
  \set sequencer_password :password
\endif
\if :{?auditor_password}
\else
  \set auditor_password :password
\endif

-- An unset variable stays a colon and its name, which would be a password everybody knows.
SELECT bool_or(given = '' OR given LIKE ':%') AS password_missing
  FROM (VALUES (:'owner_password'), (:'app_password'), (:'appender_password'), (:'stream_password'),
               (:'sequencer_password'), (:'auditor_password')) AS passwords (given)
\gset
\if :password_missing
  DO $$ BEGIN RAISE EXCEPTION 'Give a password: psql -v password=SECRET -f deploy/roles.sql'; END $$;
\endif

-- A password that arrives in clear text is stored as a SCRAM verifier whatever the server's default is.
SET password_encryption = 'scram-sha-256';

BEGIN;

DO $$
DECLARE
    role_name text;
    login text;
BEGIN
    -- Two runs at once would both find a role absent.
    PERFORM pg_advisory_xact_lock(hashtext('overlegtafel roles'));
    FOREACH role_name IN ARRAY ARRAY['owner', 'keeper', 'app', 'appender', 'stream', 'sequencer', 'auditor'] LOOP
        login := CASE role_name WHEN 'keeper' THEN 'NOLOGIN' ELSE 'LOGIN' END;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I %s NOINHERIT', role_name, login);
        ELSE
            EXECUTE format('ALTER ROLE %I %s NOINHERIT', role_name, login);
        END IF;
        -- Not taken away in silence: whoever gave it should know that somebody else's role has this name.
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = role_name
                      AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)) THEN
            RAISE EXCEPTION 'Role % exists with SUPERUSER, CREATEDB, CREATEROLE, REPLICATION or BYPASSRLS.', role_name;
        END IF;
    END LOOP;

    -- Migrations give their SECURITY DEFINER functions to keeper (ALTER FUNCTION … OWNER TO keeper), for which the
    -- owner must be able to SET ROLE keeper. That is all this grants: without INHERIT the owner has none of keeper's
    -- rights until it says SET ROLE, and only the migration log-in can. Nobody else is a member of anything. A
    -- migration grants EXECUTE before it gives a function away, and replaces one it gave away under SET ROLE keeper.
    -- Before PostgreSQL 16 the role attribute NOINHERIT says the same.
    IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE 'GRANT keeper TO owner WITH INHERIT FALSE, SET TRUE';
    ELSE
        GRANT keeper TO owner;
    END IF;

    IF EXISTS (
        SELECT FROM pg_auth_members m
          JOIN pg_roles member ON member.oid = m.member
          JOIN pg_roles parent ON parent.oid = m.roleid
         WHERE member.rolname IN ('keeper', 'app', 'appender', 'stream', 'sequencer', 'auditor')
            OR (member.rolname = 'owner' AND parent.rolname <> 'keeper')
    ) THEN
        RAISE EXCEPTION 'One of the roles is a member of another role; revoke that first.';
    END IF;
END
$$;

ALTER ROLE owner PASSWORD :'owner_password';
ALTER ROLE app PASSWORD :'app_password';
ALTER ROLE appender PASSWORD :'appender_password';
ALTER ROLE stream PASSWORD :'stream_password';
ALTER ROLE sequencer PASSWORD :'sequencer_password';
ALTER ROLE auditor PASSWORD :'auditor_password';

COMMIT;

-- The C collation exists everywhere and never changes under an index, as those of the system's library do.
SELECT format('CREATE DATABASE %I OWNER owner TEMPLATE template0 ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C''',
              :'database')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')
\gexec

-- No CONNECT for everyone, and no TEMP for anyone: temporary tables shadow names in a function's search path.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO owner, app, appender, stream, sequencer, auditor;

\connect :"database"

-- The owner is NOINHERIT, so owning the database does not give it the schema (pg_database_owner) on PostgreSQL 15.
ALTER SCHEMA public OWNER TO owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO app, appender, stream, sequencer, auditor;
-- The new owner of a function needs CREATE on its schema: a migration grants that and takes it back.
GRANT USAGE ON SCHEMA public TO keeper;
