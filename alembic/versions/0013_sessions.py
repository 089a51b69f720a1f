"""How a session is carried on: refresh tokens that are used once, browser sessions, switching, locking, being ended.

Both tables hold digests alone, which nobody reads: what may be done with one is a function.
Source: DESIGN 9; RFC 9700, section 4.14.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    # a used one stays until its session has run out, so that using it again is noticed
    """
create table refresh_token (
    digest bytea primary key check (octet_length(digest) = 32),
    login_session_id uuid not null references login_session (id),
    engagement_id uuid not null references engagement (id),
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz check (used_at >= issued_at)
)
""",
    "create index ix_refresh_token_expires_at on refresh_token (expires_at)",
    # a browser holds a secret that names session and engagement; switching gives it another secret
    """
create table browser_session (
    digest bytea primary key check (octet_length(digest) = 32),
    login_session_id uuid not null unique references login_session (id),
    engagement_id uuid not null references engagement (id),
    expires_at timestamptz not null
)
""",
    "create index ix_browser_session_expires_at on browser_session (expires_at)",
    *(f"alter table {table} enable row level security" for table in ("refresh_token", "browser_session")),
    *(f"alter table {table} force row level security" for table in ("refresh_token", "browser_session")),
    *(
        f"create policy keeper_all on {table} to keeper using (true) with check (true)"
        for table in ("refresh_token", "browser_session")
    ),
    "grant select, insert, update, delete on refresh_token, browser_session to keeper",
    "create policy stream_select on browser_session for select to stream using (true)",
    "grant select (login_session_id, engagement_id) on browser_session to stream",
)

FUNCTIONS = {
    # In which engagement somebody comes in who names none: the one of the newest session, else the oldest.
    "engagement_to_enter(p_account uuid, p_now timestamptz)": f"""
returns uuid language sql stable {DEFINER} as $$
    select e.id from engagement e
     where e.account_id = p_account and engagement_in_force(e.id, coalesce(p_now, clock_timestamp()))
     order by (select max(s.created_at) from login_session s
                where s.account_id = p_account and s.engagement_id = e.id) desc nulls last, e.valid_from, e.id
     limit 1
$$""",
    "add_refresh_token(p_digest bytea, p_session uuid, p_engagement uuid, p_now timestamptz)": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    delete from refresh_token where expires_at < p_now - interval '1 hour';
    insert into refresh_token (digest, login_session_id, engagement_id, issued_at, expires_at)
    select p_digest, s.id, e.id, p_now, s.expires_at
      from login_session s join engagement e on e.id = p_engagement and e.account_id = s.account_id
     where s.id = p_session;
end
$$""",
    # Uses a token up. Of any number at once one finds it fresh; whoever comes after ends the session it belongs to,
    # because one of the two is not who the token was given to.
    "use_refresh_token(p_digest bytea, p_now timestamptz)": f"""
returns table (state text, session_id uuid, account_id uuid, engagement_id uuid)
language plpgsql volatile {DEFINER} as $$
#variable_conflict use_column
declare
    v_now timestamptz := coalesce(p_now, clock_timestamp());
begin
    update refresh_token t set used_at = greatest(v_now, t.issued_at)
      from login_session s
     where t.digest = p_digest and t.used_at is null and s.id = t.login_session_id
    returning 'fresh', s.id, s.account_id, t.engagement_id into state, session_id, account_id, engagement_id;
    if not found then
        select 'reused', s.id, s.account_id, t.engagement_id into state, session_id, account_id, engagement_id
          from refresh_token t join login_session s on s.id = t.login_session_id where t.digest = p_digest;
        if not found then
            return;
        end if;
        perform end_sessions(account_id, array[session_id], 'refresh-reused', v_now);
    end if;
    return next;
end
$$""",
    "open_browser_session(p_digest bytea, p_session uuid, p_engagement uuid, p_now timestamptz)": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    delete from browser_session where expires_at < p_now - interval '1 hour';
    insert into browser_session (digest, login_session_id, engagement_id, expires_at)
    select p_digest, s.id, e.id, s.expires_at
      from login_session s join engagement e on e.id = p_engagement and e.account_id = s.account_id
     where s.id = p_session;
end
$$""",
    # Entering by what a browser holds; the rest is entering as with a token, in the same statement.
    "enter_browser(p_digest bytea, p_now timestamptz)": f"""
returns table (session_id uuid, instant timestamptz, account_id uuid, engagement_id uuid, organisation_id uuid, role text,
               profession text, speciality text, domain text, law text, responsible_account_id uuid, acr text,
               authenticated_at timestamptz, scopes text[], locked boolean)
language plpgsql volatile {DEFINER} as $$
#variable_conflict use_column
declare
    v_engagement uuid;
begin
    select b.login_session_id, b.engagement_id into session_id, v_engagement
      from browser_session b where b.digest = p_digest;
    -- an unknown secret enters nothing, and empties what an earlier entering left
    return query select session_id, x.* from enter(session_id, p_now, v_engagement) x;
end
$$""",
    # Moves one of the actor's sessions to another of its engagements, and a browser to another secret with it. Null when
    # there is no such engagement, else when the session runs out.
    "switch_engagement(p_session uuid, p_engagement uuid, p_digest bytea, p_successor bytea)": f"""
returns timestamptz language plpgsql volatile {DEFINER} as $$
declare
    v_expires_at timestamptz;
begin
    if not exists (select 1 from engagement e where e.id = p_engagement and e.account_id = current_account())
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
$$""",
    "lock_session(p_session uuid)": f"""
returns void language sql volatile {DEFINER} as $$
    delete from realtime_ticket where login_session_id = p_session
       and exists (select 1 from login_session where id = p_session and account_id = current_account());
    update login_session set locked_at = current_instant()
     where id = p_session and account_id = current_account() and ended_at is null and locked_at is null
$$""",
    # Whose sessions the actor may see and end: everybody's, or those of its own organisation's present people.
    "watches_over(p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select coalesce(exists (select 1 from account where id = p_account) and (
        current_role_class() in ('region_admin', 'privacy_officer')
        or (current_role_class() = 'org_admin' and exists (
            select 1 from engagement e where e.account_id = p_account and administers(e.organisation_id)
               and (e.valid_until is null or e.valid_until > current_instant())))), false)
$$""",
    "sessions_of(p_account uuid)": f"""
returns table (id uuid, method text, acr text, engagement_id uuid, workplace_id uuid, created_at timestamptz,
               expires_at timestamptz)
language sql stable {DEFINER} as $$
    select s.id, s.method, s.acr, s.engagement_id, s.workplace_id, s.created_at, s.expires_at
      from login_session s
     where s.account_id = p_account and (p_account = current_account() or watches_over(p_account))
       and s.ended_at is null and s.expires_at > current_instant()
       and (s.idle_until is null or s.idle_until > current_instant() or s.workplace_id is not null)
     order by s.created_at desc, s.id desc
$$""",
    "end_other_session(p_account uuid, p_session uuid)": f"""
returns boolean language sql volatile {DEFINER} as $$
    select watches_over(p_account)
       and exists (select 1 from end_sessions(p_account, array[p_session], 'ended-by-another', current_instant()))
$$""",
    # What is done over a socket is use as well. At most once a minute, see enter; a session that is over stays over.
    "note_use(p_sessions uuid[], p_now timestamptz)": f"""
returns void language sql volatile {DEFINER} as $$
    update login_session s set idle_until = at.now + make_interval(secs => s.idle_seconds)
      from (select coalesce(p_now, clock_timestamp()) as now) at
     where s.id = any (p_sessions) and s.ended_at is null and s.locked_at is null and s.expires_at > at.now
       and s.idle_until > at.now and s.idle_until < at.now + make_interval(secs => s.idle_seconds) - interval '1 minute'
$$""",
}

EXECUTORS = {"note_use(p_sessions uuid[], p_now timestamptz)": "stream"}

# A browser acts in one engagement at a time, so its sockets end when it switches. What a program holds is one token
# for each engagement, and each may have a socket.
LEASE = """
create or replace function lease(p_sessions uuid[], p_engagements uuid[], p_cases uuid[], p_now timestamptz)
returns table (kind text, id uuid, engagement_id uuid, seq bigint, version bigint)
language sql stable as $$
    select 'ended', s.id, s.engagement_id, null::bigint, null::bigint
      from unnest(p_sessions, p_engagements) as s (id, engagement_id)
     where not exists (select 1 from login_session l
                        where l.id = s.id and l.ended_at is null and l.locked_at is null
                          and l.expires_at > coalesce(p_now, clock_timestamp())
                          and (l.idle_until is null or l.idle_until > coalesce(p_now, clock_timestamp())))
        or exists (select 1 from browser_session b where b.login_session_id = s.id and b.engagement_id <> s.engagement_id)
        or not engagement_in_force(s.engagement_id, coalesce(p_now, clock_timestamp()))
    union all
    select 'head', h.case_id, null::uuid, h.seq, h.access_version from case_head h where h.case_id = any (p_cases)
$$
"""

# A post is refused, too, while the screen is locked and once the session lay idle for too long.
APPEND_CHECKS = """
do $$
declare
    v_was text := pg_get_functiondef('append_messages'::regproc);
    v_is text := replace(v_was, 's.ended_at is null and s.expires_at > v_at',
        's.ended_at is null and s.expires_at > v_at
                    and s.locked_at is null and (s.idle_until is null or s.idle_until > v_at)');
begin
    if v_is = v_was then
        raise exception 'append_messages no longer checks the session as it did';
    end if;
    execute v_is;
end
$$
"""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for declared, body in FUNCTIONS.items():
        op.execute(f"create function {declared} {body.strip()}")
        op.execute(f"revoke execute on function {declared} from public")
        op.execute(f"grant execute on function {declared} to {EXECUTORS.get(declared, 'app')}")
        op.execute(f"alter function {declared} owner to keeper")
    op.execute(LEASE)
    op.execute(APPEND_CHECKS)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
