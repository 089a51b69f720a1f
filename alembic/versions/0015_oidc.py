"""Log-in with a provider elsewhere: who is who there, log-ins under way, and the sessions that came of them.

A person is told by issuer and subject, never by an e-mail address, and of the subject only a keyed digest is kept. A
log-in under way is found only with what the browser that began it holds. Source: DESIGN 9; OpenID Connect Core 2.
"""

from alembic import op

revision = "0015"
down_revision = "0018"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    """
create table external_identity (
    id uuid primary key,
    issuer text not null check (length(issuer) between 1 and 512),
    subject_digest bytea not null check (length(subject_digest) = 32),
    account_id uuid not null references account (id),
    linked_at timestamptz not null,
    unique (issuer, subject_digest)
)
""",
    "create index ix_external_identity_account_id on external_identity (account_id)",
    # ``account_id`` and the session are of whoever links; a log-in knows nobody yet.
    """
create table oidc_log_in (
    digest bytea primary key check (length(digest) = 32),
    provider text not null,
    purpose text not null check (purpose in ('log-in', 'link')),
    delivery text not null check (delivery in ('cookie', 'tokens')),
    return_to text not null check (return_to ~ '^/([^/\\\\]|$)'),
    fresh boolean not null,
    login_session_id uuid references login_session (id),
    engagement_id uuid references engagement (id),
    started_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > started_at),
    constraint oidc_log_in_link check ((purpose = 'link') = (login_session_id is not null)
                                       and (login_session_id is null) = (engagement_id is null))
)
""",
    "create index ix_oidc_log_in_expires_at on oidc_log_in (expires_at)",
    # proven there, and not yet fetched by the program that asked
    """
create table oidc_completion (
    digest bytea primary key check (length(digest) = 32),
    external_identity_id uuid not null references external_identity (id) on delete cascade,
    provider text not null,
    authenticated_at timestamptz not null,
    provider_session_digest bytea check (length(provider_session_digest) = 32),
    expires_at timestamptz not null
)
""",
    "create index ix_oidc_completion_external_identity_id on oidc_completion (external_identity_id)",
    # which sessions end when the provider says that one of its own has
    """
create table oidc_session (
    login_session_id uuid primary key references login_session (id),
    external_identity_id uuid references external_identity (id) on delete set null,
    issuer text not null,
    provider_session_digest bytea check (length(provider_session_digest) = 32)
)
""",
    "create index ix_oidc_session_external_identity_id on oidc_session (external_identity_id)",
    "create index ix_oidc_session_provider_session_digest on oidc_session (provider_session_digest)",
)

FENCED = ("external_identity", "oidc_log_in", "oidc_completion", "oidc_session")

FUNCTIONS = {
    # What nobody finished is cleared away here, so that the table holds the last ten minutes only.
    "begin_oidc_log_in(p_digest bytea, p_provider text, p_purpose text, p_delivery text, p_return_to text,"
    " p_fresh boolean, p_session uuid, p_engagement uuid, p_now timestamptz, p_seconds integer)": f"""
returns void language plpgsql volatile {DEFINER} as $$
declare
    v_now timestamptz := coalesce(p_now, clock_timestamp());
begin
    delete from oidc_log_in where expires_at <= v_now;
    delete from oidc_completion where expires_at <= v_now;
    insert into oidc_log_in (digest, provider, purpose, delivery, return_to, fresh, login_session_id, engagement_id,
                             started_at, expires_at)
    values (p_digest, p_provider, p_purpose, p_delivery, p_return_to, p_fresh, p_session, p_engagement,
            v_now, v_now + make_interval(secs => p_seconds));
end
$$""",
    # Once: whoever comes second finds nothing.
    "take_oidc_log_in(p_digest bytea, p_now timestamptz)": f"""
returns table (provider text, purpose text, delivery text, return_to text, fresh boolean, login_session_id uuid,
               engagement_id uuid, started_at timestamptz)
language sql volatile {DEFINER} as $$
    with taken as (delete from oidc_log_in l where l.digest = p_digest returning l.*)
    select t.provider, t.purpose, t.delivery, t.return_to, t.fresh, t.login_session_id, t.engagement_id, t.started_at
      from taken t where t.expires_at > coalesce(p_now, clock_timestamp())
$$""",
    "find_external_identity(p_issuer text, p_subject bytea)": f"""
returns table (id uuid, account_id uuid) language sql stable {DEFINER} as $$
    select e.id, e.account_id from external_identity e where e.issuer = p_issuer and e.subject_digest = p_subject
$$""",
    "keep_oidc_completion(p_digest bytea, p_identity uuid, p_provider text, p_at timestamptz, p_session bytea,"
    " p_now timestamptz, p_seconds integer)": f"""
returns void language sql volatile {DEFINER} as $$
    insert into oidc_completion (digest, external_identity_id, provider, authenticated_at, provider_session_digest,
                                 expires_at)
    values (p_digest, p_identity, p_provider, p_at, p_session,
            coalesce(p_now, clock_timestamp()) + make_interval(secs => p_seconds))
$$""",
    "take_oidc_completion(p_digest bytea, p_now timestamptz)": f"""
returns table (external_identity_id uuid, account_id uuid, issuer text, provider text, authenticated_at timestamptz,
               provider_session_digest bytea)
language sql volatile {DEFINER} as $$
    with taken as (delete from oidc_completion c where c.digest = p_digest returning c.*)
    select t.external_identity_id, e.account_id, e.issuer, t.provider, t.authenticated_at, t.provider_session_digest
      from taken t join external_identity e on e.id = t.external_identity_id
     where t.expires_at > coalesce(p_now, clock_timestamp())
$$""",
    # The person showed the factors when the provider saw them, not when the session began; later is never said.
    "backdate_session(p_session uuid, p_at timestamptz)": f"""
returns void language sql volatile {DEFINER} as $$
    update login_session set authenticated_at = p_at where id = p_session and authenticated_at > p_at
$$""",
    "note_oidc_session(p_session uuid, p_identity uuid, p_issuer text, p_provider_session bytea)": f"""
returns void language sql volatile {DEFINER} as $$
    insert into oidc_session (login_session_id, external_identity_id, issuer, provider_session_digest)
    values (p_session, p_identity, p_issuer, p_provider_session)
$$""",
    # Live sessions that began before the provider said that its own has ended: by its session, its person, or both.
    "oidc_sessions_to_end(p_issuer text, p_subject bytea, p_provider_session bytea, p_issued timestamptz)": f"""
returns table (account_id uuid, login_session_id uuid) language sql stable {DEFINER} as $$
    select s.account_id, s.id from oidc_session o join login_session s on s.id = o.login_session_id
      left join external_identity e on e.id = o.external_identity_id
     where o.issuer = p_issuer and s.ended_at is null and s.created_at <= p_issued
       and (p_provider_session is null or o.provider_session_digest = p_provider_session)
       and (p_subject is null or e.subject_digest = p_subject)
       and (p_subject is not null or p_provider_session is not null)
     order by 1, 2
$$""",
    "oidc_sessions_of(p_identity uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select s.id from oidc_session o join login_session s on s.id = o.login_session_id
     where o.external_identity_id = p_identity and s.account_id = current_account() and s.ended_at is null
$$""",
}

# One of the ways in, beside the factors that are kept here; the keeper's own function, so the keeper replaces it.
CAN_LOG_IN = f"""
create or replace function can_log_in(p_account uuid)
returns boolean language plpgsql stable {DEFINER} as $$
begin
    return exists (select 1 from external_identity where account_id = p_account)
        or exists (select 1 from passkey where account_id = p_account)
        or (exists (select 1 from password_factor where account_id = p_account)
            and (exists (select 1 from totp_factor where account_id = p_account and confirmed_at is not null)
                 or exists (select 1 from recovery_code where account_id = p_account and used_at is null)));
end
$$
"""

POLICIES = (
    "create policy app_select on external_identity for select to app using (account_id = current_account())",
    "create policy app_insert on external_identity for insert to app with check (account_id = current_account())",
    "create policy app_delete on external_identity for delete to app using (account_id = current_account())",
    "grant select, insert, delete on external_identity to app",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in FENCED:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy keeper_all on {table} to keeper using (true) with check (true)")
        op.execute(f"grant select, insert, update, delete on {table} to keeper")
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    op.execute(CAN_LOG_IN)
    op.execute("reset role")
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
