"""Identity in full: registrations, agreements, suspensions, and a session that says how and for how long.

Each request names one engagement of its session's account, so entering takes both. Source: DESIGN 5 and 9.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    """
alter table organisation
    add column status text not null default 'active',
    add column merged_into_id uuid references organisation (id),
    add column agb text unique,
    add column ura text unique,
    add column oin text unique,
    add column kvk text,
    add column agreement_reference text,
    add column agreement_on date,
    add column created_at timestamptz not null default now(),
    add constraint organisation_status check (status in ('active', 'suspended', 'merged')),
    add constraint organisation_merged check ((status = 'merged') = (merged_into_id is not null) and merged_into_id <> id),
    add constraint organisation_agb check (agb ~ '^[0-9]{8}$'),
    add constraint organisation_ura check (ura ~ '^[0-9]{8}$'),
    add constraint organisation_oin check (oin ~ '^[0-9]{20}$'),
    add constraint organisation_kvk check (kvk ~ '^[0-9]{8}$'),
    add constraint organisation_municipality check (municipality_code ~ '^[0-9]{4}$'),
    add constraint organisation_agreement check ((agreement_reference is null) = (agreement_on is null))
""",
    """
alter table account
    add column status text not null default 'active',
    add constraint account_status check (status in ('active', 'suspended'))
""",
    # numbers that registers give to persons: public, so they are kept as they are
    """
create table account_registration (
    account_id uuid not null references account (id),
    kind text not null check (kind in ('uzi', 'big', 'agb')),
    number text not null,
    primary key (account_id, kind),
    unique (kind, number),
    constraint account_registration_format check (
        number ~ case kind when 'uzi' then '^[0-9]{9}$' when 'big' then '^[0-9]{11}$' else '^[0-9]{8}$' end)
)
""",
    # an engagement that nobody confirmed for a year is worth nothing; null for those who are not employed
    """
alter table engagement
    add column suspended_at timestamptz,
    add column confirmed_until timestamptz,
    add column employee_number text,
    add constraint engagement_employee_number check (length(employee_number) between 1 and 64),
    add constraint engagement_not_its_own_principal check (responsible_engagement_id <> id)
""",
    """
create unique index ix_engagement_employee_number on engagement (organisation_id, employee_number, role)
    where employee_number is not null and valid_until is null
""",
    """
alter table team
    add column status text not null default 'active',
    add column merged_into_id uuid references team (id),
    add column created_at timestamptz not null default now(),
    add constraint team_status check (status in ('active', 'suspended', 'merged')),
    add constraint team_merged check ((status = 'merged') = (merged_into_id is not null) and merged_into_id <> id),
    add constraint team_name check (length(name) between 1 and 200)
""",
    """
create table team_neighbourhood (
    team_id uuid not null references team (id),
    neighbourhood text not null check (neighbourhood ~ '^[a-z0-9-]{1,64}$'),
    valid_from timestamptz not null,
    valid_until timestamptz check (valid_until > valid_from),
    primary key (team_id, neighbourhood, valid_from)
)
""",
    "alter table team_member add constraint team_member_period check (valid_until > valid_from)",
    # how the session began, what it is for, and when it locks or runs out for want of use
    """
alter table login_session
    add column method text not null default 'demo',
    add column scopes text[] not null default '{}',
    add column idle_seconds integer,
    add column idle_until timestamptz,
    add column locked_at timestamptz,
    add column ended_why text,
    add column workplace_id uuid,
    add constraint login_session_method check (method in ('demo', 'password', 'passkey', 'oidc', 'enrolment', 'client')),
    add constraint login_session_acr check (acr in ('demo', 'enrolment', 'one-factor', 'two-factor', 'client-key')),
    add constraint login_session_idle check ((idle_seconds is null) = (idle_until is null) and idle_seconds > 0)
""",
    "alter table realtime_ticket add column engagement_id uuid references engagement (id)",
    "update realtime_ticket t set engagement_id = s.engagement_id from login_session s where s.id = t.login_session_id",
    "alter table realtime_ticket alter column engagement_id set not null",
)

CONTEXT = """
create function current_scopes() returns text[] language sql stable parallel safe as $$
    select string_to_array(coalesce(current_setting('app.scopes', true), ''), ' ')
$$
"""

FUNCTIONS = {
    # Whose people the actor may manage: its own organisation's and what merged into it; a region admin everybody's.
    "administers(p_organisation uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select coalesce(current_role_class() = 'region_admin'
        or ((current_role_class() = 'org_admin'
             or (current_role_class() = 'integration' and 'scim:write' = any (current_scopes())))
            and (p_organisation = current_organisation()
                 or exists (select 1 from organisation o
                             where o.id = p_organisation and o.merged_into_id = current_organisation()))), false)
$$""",
    # The one definition of an engagement in force; a POH's rests on its responsible professional's.
    "engagement_in_force(p_engagement uuid, p_at timestamptz)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from engagement e
          join account a on a.id = e.account_id and a.status = 'active'
          left join organisation o on o.id = e.organisation_id
          left join engagement r on r.id = e.responsible_engagement_id
          left join account b on b.id = r.account_id
          left join organisation q on q.id = r.organisation_id
         where e.id = p_engagement and e.suspended_at is null and e.valid_from <= p_at
           and (e.valid_until is null or e.valid_until > p_at)
           and (e.confirmed_until is null or e.confirmed_until > p_at)
           and (o.id is null or o.status <> 'suspended')
           and (e.role <> 'poh' or (r.suspended_at is null and r.valid_from <= p_at
                and (r.valid_until is null or r.valid_until > p_at)
                and (r.confirmed_until is null or r.confirmed_until > p_at)
                and b.status = 'active' and (q.id is null or q.status <> 'suspended'))))
$$""",
    # Entering a transaction: the session row decides whether there is an actor, the engagement in what capacity.
    "enter(p_session uuid, p_now timestamptz, p_engagement uuid default null)": f"""
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
           r.account_id, s.acr, s.authenticated_at, s.scopes, s.locked_at is not null, s.idle_seconds, s.idle_until
      into account_id, engagement_id, organisation_id, role, profession, speciality, domain, law,
           responsible_account_id, acr, authenticated_at, scopes, locked, v_idle_seconds, v_idle_until
      from login_session s
      join engagement e on e.id = coalesce(p_engagement, s.engagement_id) and e.account_id = s.account_id
      left join engagement r on r.id = e.responsible_engagement_id
     where s.id = p_session and s.ended_at is null and s.expires_at > instant
       and (s.idle_until is null or s.idle_until > instant or s.workplace_id is not null)
       and engagement_in_force(e.id, instant);
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
$$""",
    "start_session(p_id uuid, p_account uuid, p_engagement uuid, p_method text, p_acr text, p_scopes text[], p_now timestamptz,"
    " p_seconds integer, p_idle_seconds integer, p_workplace uuid)": f"""
returns timestamptz language plpgsql volatile {DEFINER} as $$
declare
    v_now timestamptz := coalesce(p_now, clock_timestamp());
begin
    insert into login_session (id, account_id, engagement_id, method, acr, scopes, authenticated_at, created_at, expires_at,
                               idle_seconds, idle_until, workplace_id)
    values (p_id, p_account, p_engagement, p_method, p_acr, p_scopes, v_now, v_now, v_now + make_interval(secs => p_seconds),
            p_idle_seconds, v_now + make_interval(secs => p_idle_seconds), p_workplace);
    return v_now;
end
$$""",
    # Ends sessions of one account, all or those named, whoever asks: the caller has decided that it may. Raises the
    # version of each of that account's cases: what was decided before is decided again.
    "end_sessions(p_account uuid, p_sessions uuid[], p_why text, p_now timestamptz)": f"""
returns setof uuid language plpgsql volatile {DEFINER} as $$
declare
    v_ended uuid[];
begin
    with ended as (
        update login_session set ended_at = coalesce(p_now, clock_timestamp()), ended_why = p_why
         where account_id = p_account and ended_at is null and (p_sessions is null or id = any (p_sessions))
        returning id
    )
    select array_agg(id) into v_ended from ended;
    if v_ended is null then
        return;
    end if;
    delete from realtime_ticket where login_session_id = any (v_ended);
    perform 1 from case_head h
      where h.case_id in (select m.case_id from member m join engagement e on e.id = m.engagement_id
                           where e.account_id = p_account and m.status = 'accepted')
      order by h.case_id for update;
    update case_head set access_version = access_version + 1
     where case_id in (select m.case_id from member m join engagement e on e.id = m.engagement_id
                        where e.account_id = p_account and m.status = 'accepted');
    return query select unnest(v_ended);
end
$$""",
    "end_session(p_session uuid)": f"""
returns boolean language sql volatile {DEFINER} as $$
    select exists (select 1 from end_sessions(current_account(), array[p_session], 'signed-out', current_instant()))
$$""",
}

# A socket speaks for one session in one engagement; it ends with either, and while the screen is locked.
LEASE = """
create function lease(p_sessions uuid[], p_engagements uuid[], p_cases uuid[], p_now timestamptz)
returns table (kind text, id uuid, engagement_id uuid, seq bigint, version bigint)
language sql stable as $$
    select 'ended', s.id, s.engagement_id, null::bigint, null::bigint
      from unnest(p_sessions, p_engagements) as s (id, engagement_id)
     where not exists (select 1 from login_session l
                        where l.id = s.id and l.ended_at is null and l.locked_at is null
                          and l.expires_at > coalesce(p_now, clock_timestamp())
                          and (l.idle_until is null or l.idle_until > coalesce(p_now, clock_timestamp())))
        or not engagement_in_force(s.engagement_id, coalesce(p_now, clock_timestamp()))
    union all
    select 'head', h.case_id, null::uuid, h.seq, h.access_version from case_head h where h.case_id = any (p_cases)
$$
"""

# The directory is open to read and written by whoever manages it. Not forced: the owner loads the demo region.
DIRECTORY = ("organisation", "account", "account_registration", "engagement", "team", "team_member", "team_neighbourhood")
OFFICE_ROLES = "('region_admin', 'auditor', 'privacy_officer', 'citizen', 'representative', 'informal_carer')"
OF_ACCOUNT = "exists (select 1 from engagement e where e.account_id = {account} and administers(e.organisation_id))"
POLICIES = (
    *(f"alter table {table} enable row level security" for table in DIRECTORY),
    *(f"create policy keeper_all on {table} to keeper using (true) with check (true)" for table in DIRECTORY),
    *(f"create policy app_read on {table} for select to app, appender, stream using (true)" for table in DIRECTORY),
    "create policy app_insert on organisation for insert to app with check (current_role_class() = 'region_admin')",
    "create policy app_update on organisation for update to app using (current_role_class() = 'region_admin')",
    "create policy app_insert on account for insert to app with check ("
    "current_role_class() in ('region_admin', 'org_admin') or 'scim:write' = any (current_scopes()))",
    f"create policy app_update on account for update to app using ({OF_ACCOUNT.format(account='account.id')})",
    f"create policy app_insert on account_registration for insert to app with check ("
    f"{OF_ACCOUNT.format(account='account_registration.account_id')})",
    f"create policy app_update on account_registration for update to app using ("
    f"{OF_ACCOUNT.format(account='account_registration.account_id')})",
    # Nobody makes a citizen, and no organisation its own auditor.
    f"create policy app_insert on engagement for insert to app with check (administers(organisation_id)"
    f" and (role not in {OFFICE_ROLES} or (current_role_class() = 'region_admin' and role <> 'citizen')))",
    f"create policy app_update on engagement for update to app using (administers(organisation_id)"
    f" and (role not in {OFFICE_ROLES} or current_role_class() = 'region_admin'))",
    "create policy app_insert on team for insert to app with check (current_role_class() = 'region_admin')",
    "create policy app_update on team for update to app using (current_role_class() = 'region_admin')",
    "create policy app_all on team_neighbourhood for all to app using (current_role_class() = 'region_admin')",
    *(
        f"create policy app_{verb} on team_member for {verb} to app {clause} (exists ("
        "select 1 from engagement e where e.id = team_member.engagement_id and administers(e.organisation_id)))"
        for verb, clause in (("insert", "with check"), ("update", "using"))
    ),
)

EXECUTORS = {"engagement_in_force(p_engagement uuid, p_at timestamptz)": "app, appender, stream"}

PRIVILEGES = (
    "grant select on team_neighbourhood, account_registration to app",
    "grant select (status) on account to app",
    "grant select (locked_at, idle_until) on login_session to appender, stream",
    "grant execute on function lease to stream",
    "grant insert on organisation, account, account_registration, engagement, team, team_member, team_neighbourhood to app",
    "grant update (name, municipality_code, status, merged_into_id, agb, ura, oin, kvk, agreement_reference, agreement_on)"
    " on organisation to app",
    "grant update (status, name_sealed) on account to app",
    "grant update (number) on account_registration to app",
    "grant update (valid_until, suspended_at, confirmed_until, employee_number, responsible_engagement_id) on engagement to app",
    "grant update (name, status, merged_into_id) on team to app",
    "grant update (valid_until) on team_member, team_neighbourhood to app",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute(CONTEXT)
    op.execute("grant select, insert, update, delete on account_registration, team_neighbourhood to keeper")
    op.execute("grant create on schema public to keeper")
    op.execute("drop function start_session(uuid, uuid, uuid, text, timestamptz, integer)")
    op.execute("drop function enter(uuid, timestamptz)")
    op.execute("drop function end_session(uuid)")
    op.execute("drop function lease(uuid[], uuid[], timestamptz)")
    for declared, body in FUNCTIONS.items():
        signature = declared.replace(" default null", "")
        op.execute(f"create function {declared} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to {EXECUTORS.get(signature, 'app')}")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute(LEASE)
    op.execute("revoke execute on function lease from public")
    for statement in (*POLICIES, *PRIVILEGES):
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
