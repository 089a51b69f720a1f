"""Integrations: clients with keys of their own, what they may do once only, and how often a BSN is looked up.

A client is an account in an engagement of role ``integration``; its status is the account's. Source: RFC 7523, 9449.
"""

from alembic import op

revision = "0019"
down_revision = "0016"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
SCOPES = "array['referrals:write', 'fhir:read', 'audit:read', 'scim:read', 'scim:write']"

TABLES = (
    f"""
create table client (
    id uuid primary key references account (id),
    engagement_id uuid not null unique references engagement (id),
    scopes text[] not null,
    jwks jsonb,
    jwks_url text,
    token_seconds integer not null,
    rate integer not null,
    dpop_required boolean not null,
    created_at timestamptz not null,
    constraint client_scopes check (cardinality(scopes) > 0 and scopes <@ {SCOPES}),
    constraint client_keys check ((jwks is null) <> (jwks_url is null)),
    constraint client_jwks check (jsonb_typeof(jwks) = 'array'),
    constraint client_jwks_url check (length(jwks_url) <= 2048),
    constraint client_token_seconds check (token_seconds between 60 and 600),
    constraint client_rate check (rate between 1 and 1000)
)
""",
    # Digests of what may be shown once only: the jti of an assertion or of a proof of possession, until it ends.
    """
create table shown_once (
    digest bytea primary key check (length(digest) = 32),
    expires_at timestamptz not null
)
""",
    "create index ix_shown_once_expires_at on shown_once (expires_at)",
    # One row per account: the instant at which its allowance would be whole again (generic cell rate algorithm).
    """
create table bsn_allowance (
    account_id uuid primary key references account (id),
    whole_at timestamptz not null
)
""",
)

FUNCTIONS = {
    # The keys and terms of a client, for who proves to be it; nobody has entered yet. Null when it is not in force.
    "client_terms(p_client uuid, p_now timestamptz)": f"""
returns table (engagement_id uuid, organisation_id uuid, scopes text[], jwks jsonb, jwks_url text,
               token_seconds integer, rate integer, dpop_required boolean)
language sql stable {DEFINER} as $$
    select c.engagement_id, e.organisation_id, c.scopes, c.jwks, c.jwks_url, c.token_seconds, c.rate, c.dpop_required
      from client c join engagement e on e.id = c.engagement_id
     where c.id = p_client and engagement_in_force(c.engagement_id, coalesce(p_now, clock_timestamp()))
$$""",
    # Starts a session that can do no more than the client is registered for. Whoever suspends or changes the client
    # waits for this, or this for them, so that no session comes up behind its end.
    "start_client_session(p_id uuid, p_client uuid, p_scopes text[], p_now timestamptz)": f"""
returns table (instant timestamptz, seconds integer) language plpgsql volatile {DEFINER} as $$
declare
    v_engagement uuid;
begin
    instant := coalesce(p_now, clock_timestamp());
    perform 1 from account a where a.id = p_client for share;
    select c.token_seconds, c.engagement_id into seconds, v_engagement
      from client c where c.id = p_client and p_scopes <@ c.scopes and cardinality(p_scopes) > 0
       and engagement_in_force(c.engagement_id, instant) for share;
    if not found then
        return;
    end if;
    perform start_session(p_id, p_client, v_engagement, 'client', 'client-key', p_scopes, instant, seconds, null, null);
    return next;
end
$$""",
    # Takes one look-up out of an account's allowance; returns the seconds to wait when there is none left.
    "take_bsn_look_up(p_account uuid, p_now timestamptz, p_burst integer, p_seconds integer)": f"""
returns integer language plpgsql volatile {DEFINER} as $$
declare
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_each interval := make_interval(secs => p_seconds::double precision / p_burst);
    v_until timestamptz := v_now + make_interval(secs => p_seconds);
    v_whole timestamptz;
begin
    insert into bsn_allowance as b (account_id, whole_at) values (p_account, v_now + v_each)
        on conflict (account_id) do update set whole_at = greatest(b.whole_at, v_now) + v_each
        where greatest(b.whole_at, v_now) + v_each <= v_until;
    if found then
        return 0;
    end if;
    select whole_at into v_whole from bsn_allowance where account_id = p_account;
    return greatest(1, ceil(extract(epoch from v_whole + v_each - v_until))::integer);
end
$$""",
}

EXECUTORS = {"take_bsn_look_up(p_account uuid, p_now timestamptz, p_burst integer, p_seconds integer)": "stream"}

# Who reads the log through a client is a matter of the region: no organisation appoints its own auditor.
WITHIN = (
    "exists (select 1 from engagement e where e.id = client.engagement_id and administers(e.organisation_id))"
    " and (current_role_class() = 'region_admin' or 'audit:read' <> all (scopes))"
)
POLICIES = (
    *(f"alter table {table} enable row level security" for table in ("client", "bsn_allowance")),
    *(f"alter table {table} force row level security" for table in ("client", "bsn_allowance")),
    *(f"create policy keeper_all on {table} to keeper using (true) with check (true)" for table in ("client", "bsn_allowance")),
    "create policy app_read on client for select to app using (current_role_class() in ('region_admin', 'org_admin')"
    " and exists (select 1 from engagement e where e.id = client.engagement_id and administers(e.organisation_id)))",
    f"create policy app_insert on client for insert to app with check ({WITHIN})",
    f"create policy app_update on client for update to app using ({WITHIN}) with check ({WITHIN})",
    "drop policy app_select on audit_event",
    """
create policy app_select on audit_event for select to app using (
    current_role_class() in ('auditor', 'privacy_officer')
    or (current_role_class() = 'integration' and 'audit:read' = any (current_scopes())
        and (organisation_id = current_organisation()
             or (select exists (select 1 from organisation o where o.id = current_organisation() and o.kind = 'region'))))
)
""",
)

PRIVILEGES = (
    "grant select, insert, update, delete on client, shown_once, bsn_allowance to keeper",
    "grant select, insert, update (scopes, jwks, jwks_url, token_seconds, rate, dpop_required) on client to app",
    "grant select, insert, delete on shown_once to app",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for statement in PRIVILEGES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for declared, body in FUNCTIONS.items():
        op.execute(f"create function {declared} {body.strip()}")
        op.execute(f"revoke execute on function {declared} from public")
        op.execute(f"grant execute on function {declared} to {EXECUTORS.get(declared, 'app')}")
        op.execute(f"alter function {declared} owner to keeper")
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
