"""What is in force stands once and is read in place: entering is the one statement that every request begins with.

A function with another owner's rights is run as a statement of its own each time it is called, for some fifty
microseconds; a plain function that returns rows is written into the statement that calls it.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

# The one definition of an engagement in force; a POH's rests on its responsible professional's. Only the
# keeper's own functions call it, so it needs no right of its own.
IN_FORCE = """
create function engagements_in_force(p_at timestamptz)
returns table (id uuid, account_id uuid, organisation_id uuid, role text, profession text, speciality text, domain text,
               law text, responsible_account_id uuid)
language sql stable as $$
    select e.id, e.account_id, e.organisation_id, e.role, e.profession, e.speciality, e.domain, e.law, r.account_id
      from engagement e
      join account a on a.id = e.account_id and a.status = 'active'
      left join organisation o on o.id = e.organisation_id
      left join engagement r on r.id = e.responsible_engagement_id
      left join account b on b.id = r.account_id
      left join organisation q on q.id = r.organisation_id
     where e.suspended_at is null and e.valid_from <= p_at
       and (e.valid_until is null or e.valid_until > p_at)
       and (e.confirmed_until is null or e.confirmed_until > p_at)
       and (o.id is null or o.status <> 'suspended')
       and (e.role <> 'poh' or (r.suspended_at is null and r.valid_from <= p_at
            and (r.valid_until is null or r.valid_until > p_at)
            and (r.confirmed_until is null or r.confirmed_until > p_at)
            and b.status = 'active' and (q.id is null or q.status <> 'suspended')))
$$
"""

REPLACED = (
    f"""
create or replace function engagement_in_force(p_engagement uuid, p_at timestamptz)
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from engagements_in_force(p_at) e where e.id = p_engagement)
$$
""",
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
)


def upgrade() -> None:
    op.execute(IN_FORCE)
    op.execute("revoke execute on function engagements_in_force(timestamptz) from public")
    op.execute("grant create on schema public to keeper")
    op.execute("alter function engagements_in_force(timestamptz) owner to keeper")
    op.execute("set local role keeper")
    for statement in REPLACED:
        op.execute(statement)
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
