"""People coming: what an identity system calls them, codes by which they let another organisation add them.

Source: RFC 7643 (userName, externalId) and DESIGN 9.
"""

from alembic import op

revision = "0017"
down_revision = "0013"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    # Names in an identity system are often addresses of people: kept sealed, found by keyed digest.
    """
create table scim_user (
    engagement_id uuid primary key references engagement (id),
    organisation_id uuid not null references organisation (id),
    user_name_digest bytea not null check (length(user_name_digest) = 32),
    external_id_digest bytea check (length(external_id_digest) = 32),
    attributes_sealed bytea not null,
    created_at timestamptz not null,
    changed_at timestamptz not null check (changed_at >= created_at),
    unique (organisation_id, user_name_digest)
)
""",
    "create index ix_scim_user_external_id on scim_user (organisation_id, external_id_digest)",
    # Somebody who has an account says, by handing over a code, that another organisation may add an engagement to it.
    """
create table account_handover (
    digest bytea primary key check (length(digest) = 32),
    account_id uuid not null references account (id),
    expires_at timestamptz not null
)
""",
    "create index ix_account_handover_account_id on account_handover (account_id)",
)

FUNCTIONS = {
    # Whether the actor manages everything an account is: only then may it rename it or let somebody in to it.
    "keeps_account(p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from engagement e where e.account_id = p_account)
       and not exists (select 1 from engagement e
                        where e.account_id = p_account and not administers(e.organisation_id))
$$""",
    "never_signed_in(p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select keeps_account(p_account) and not exists (select 1 from login_session s where s.account_id = p_account)
$$""",
    # The sessions that an engagement leaves without purpose: begun in it, or of somebody who can act in nothing else.
    "end_sessions_of(p_engagement uuid, p_why text)": f"""
returns setof uuid language plpgsql volatile {DEFINER} as $$
declare
    v_account uuid;
    v_sessions uuid[];
begin
    select e.account_id into v_account from engagement e where e.id = p_engagement and administers(e.organisation_id);
    select array_agg(s.id) into v_sessions from login_session s
     where s.account_id = v_account and s.ended_at is null
       and (s.engagement_id = p_engagement
            or not exists (select 1 from engagement e
                            where e.account_id = v_account and engagement_in_force(e.id, current_instant())));
    if v_sessions is not null then
        return query select end_sessions(v_account, v_sessions, p_why, current_instant());
    end if;
end
$$""",
    # Uses a code up and says whose account it is, so long as it is fresh.
    "take_handover(p_digest bytea)": f"""
returns uuid language sql volatile {DEFINER} as $$
    delete from account_handover h
     where h.digest = p_digest and current_role_class() in ('region_admin', 'org_admin')
       and h.expires_at > current_instant()
    returning h.account_id
$$""",
}

POLICIES = (
    *(
        f"alter table {table} {verb} row level security"
        for table in ("scim_user", "account_handover")
        for verb in ("enable", "force")
    ),
    "create policy keeper_all on account_handover to keeper using (true) with check (true)",
    "create policy app_insert on account_handover for insert to app with check (account_id = current_account())",
    "create policy app_delete on account_handover for delete to app using (account_id = current_account())",
    "create policy app_select on account_handover for select to app using (account_id = current_account())",
    "create policy app_select on scim_user for select to app using (organisation_id = current_organisation()"
    " or administers(organisation_id))",
    "create policy app_insert on scim_user for insert to app with check (administers(organisation_id))",
    "create policy app_update on scim_user for update to app using (administers(organisation_id))",
    # Whoever left frees the name.
    "create policy app_delete on scim_user for delete to app using (administers(organisation_id)"
    " and exists (select 1 from engagement e where e.id = engagement_id and e.valid_until <= current_instant()))",
)

PRIVILEGES = (
    "grant update (speciality) on engagement to app",
    "grant select, insert, update (user_name_digest, external_id_digest, attributes_sealed, changed_at), delete on scim_user"
    " to app",
    "grant select, insert, delete on account_handover to app",
    "grant select, insert, update, delete on account_handover to keeper",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")
    for statement in (*POLICIES, *PRIVILEGES):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
