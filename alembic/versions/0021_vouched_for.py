"""A session that a provider vouches for acts in the capacities that the provider is for, and in no other.

A citizen's way in proves nothing about somebody's employment, and an employer's must not open what is private. Asked
once at log-in it could be walked around by switching; so the session keeps it, and entering asks. Source: DESIGN 9.
"""

from alembic import op

revision = "0021"
down_revision = "0020"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

# null is every role
COLUMN = "alter table login_session add column roles text[]"

DROPPED = ("note_oidc_session(uuid, uuid, text, bytea)", "hold_factors(uuid)")

FUNCTIONS = {
    "note_oidc_session(p_session uuid, p_identity uuid, p_issuer text, p_provider_session bytea, p_roles text[])": f"""
returns void language sql volatile {DEFINER} as $$
    update login_session set roles = p_roles where id = p_session;
    insert into oidc_session (login_session_id, external_identity_id, issuer, provider_session_digest)
    values (p_session, p_identity, p_issuer, p_provider_session)
$$""",
    # Lets changes of somebody's ways in happen one after the other. 'ended' when the session ended while it waited:
    # whoever took the factors away took this one's purpose, too. 'narrow' when it may not act in all that the account
    # is: what it adds would open the rest.
    "hold_factors(p_session uuid)": f"""
returns text language plpgsql volatile {DEFINER} as $$
declare
    v_roles text[];
begin
    perform pg_advisory_xact_lock(hashtextextended('factors ' || current_account(), 0));
    select s.roles into v_roles from login_session s
     where s.id = p_session and s.account_id = current_account() and s.ended_at is null and s.locked_at is null;
    if not found then
        return 'ended';
    end if;
    return case when exists (select 1 from engagement e where e.account_id = current_account() and e.role <> all (v_roles)
                                and (e.valid_until is null or e.valid_until > current_instant()))
           then 'narrow' else 'held' end;
end
$$""",
}

REPLACED = (
    f"""
create or replace function enter(p_session uuid, p_now timestamptz, p_engagement uuid default null)
returns table (instant timestamptz, account_id uuid, engagement_id uuid, organisation_id uuid, role text,
               profession text, speciality text, domain text, law text, responsible_account_id uuid, acr text,
               authenticated_at timestamptz, scopes text[], locked boolean)
language plpgsql volatile {DEFINER} as $$
declare
    v_idle_seconds integer;
    v_idle_until timestamptz;
begin
    instant := coalesce(p_now, clock_timestamp());
    select e.account_id, e.id, e.organisation_id, e.role, e.profession, e.speciality, e.domain, e.law,
           e.responsible_account_id, s.acr, s.authenticated_at, s.scopes, s.locked_at is not null, s.idle_seconds, s.idle_until
      into account_id, engagement_id, organisation_id, role, profession, speciality, domain, law,
           responsible_account_id, acr, authenticated_at, scopes, locked, v_idle_seconds, v_idle_until
      from login_session s
      join engagements_in_force(instant) e
        on e.id = coalesce(p_engagement, s.engagement_id) and e.account_id = s.account_id
     where s.id = p_session and s.ended_at is null and s.expires_at > instant
       and (s.roles is null or e.role = any (s.roles))
       and (s.idle_until is null or s.idle_until > instant or s.workplace_id is not null);
    if not found then
        -- whoever entered this transaction before is not to be taken for whoever failed to
        perform set_config('app.' || name, '', true)
           from unnest(array['account', 'engagement', 'organisation', 'role_class', 'door', 'scopes', 'instant']) as name;
        return;
    end if;
    -- On a registered workplace the screen locks for want of use; elsewhere the session has ended, see above.
    if v_idle_until <= instant then
        locked := true;
    -- Use is noted at most once a minute: a row that is written at each request is a row that requests wait for.
    elsif v_idle_until < instant + make_interval(secs => v_idle_seconds) - interval '1 minute' and not locked then
        update login_session s set idle_until = instant + make_interval(secs => v_idle_seconds) where s.id = p_session;
    end if;
    perform set_config('app.account', account_id::text, true),
            set_config('app.engagement', engagement_id::text, true),
            set_config('app.organisation', coalesce(organisation_id::text, ''), true),
            set_config('app.role_class', role, true),
            set_config('app.door', '', true),
            set_config('app.scopes', array_to_string(scopes, ' '), true),
            set_config('app.instant', instant::text, true);
    return next;
end
$$
""",
    f"""
create or replace function switch_engagement(p_session uuid, p_engagement uuid, p_digest bytea, p_successor bytea)
returns timestamptz language plpgsql volatile {DEFINER} as $$
declare
    v_expires_at timestamptz;
begin
    if not exists (select 1 from engagement e join login_session s on s.account_id = e.account_id and s.id = p_session
                    where e.id = p_engagement and e.account_id = current_account()
                      and (s.roles is null or e.role = any (s.roles)))
       or not engagement_in_force(p_engagement, current_instant()) then
        return null;
    end if;
    update login_session set engagement_id = p_engagement
     where id = p_session and account_id = current_account() returning expires_at into v_expires_at;
    if p_digest is not null then
        update browser_session set digest = p_successor, engagement_id = p_engagement
         where digest = p_digest and login_session_id = p_session;
        if not found then
            return null;  -- another switch of the same browser came first
        end if;
        delete from realtime_ticket where login_session_id = p_session;
    end if;
    return v_expires_at;
end
$$
""",
    # Two factors of one's own, shown to us, are one's own in every capacity.
    f"""
create or replace function reauthenticate(p_session uuid, p_two boolean)
returns void language sql volatile {DEFINER} as $$
    update login_session set authenticated_at = current_instant(), locked_at = null,
           idle_until = current_instant() + make_interval(secs => idle_seconds),
           acr = case when p_two then 'two-factor' else acr end,
           roles = case when p_two then null else roles end,
           two_factors_at = case when p_two then current_instant() else two_factors_at end
     where id = p_session and account_id = current_account() and ended_at is null and acr <> 'enrolment'
$$
""",
)


def upgrade() -> None:
    op.execute(COLUMN)
    op.execute("grant create on schema public to keeper")
    op.execute("set local role keeper")
    for signature in DROPPED:
        op.execute(f"drop function {signature}")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
    for statement in REPLACED:
        op.execute(statement)
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
