"""What grants rest on is the engagement in force, as periods, and whoever manages people may say what that changed.

Functions that were given to ``keeper`` are dropped and made again: the owner cannot replace what it gave away.
Source: DESIGN 5.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

FUNCTIONS = {
    # The definition of `engagement_in_force` as a period, so that what rests on it closes by time; no row means never.
    "engagement_period(p_engagement uuid)": f"""
returns table (valid_from timestamptz, valid_until timestamptz) language sql stable {DEFINER} as $$
    select x.valid_from, x.valid_until
      from (select greatest(e.valid_from, case when e.role = 'poh' then r.valid_from end) as valid_from,
                   least(e.valid_until, e.confirmed_until,
                         case when e.role = 'poh' then least(r.valid_until, r.confirmed_until) end) as valid_until
              from engagement e
              join account a on a.id = e.account_id and a.status = 'active'
              left join organisation o on o.id = e.organisation_id
              left join engagement r on r.id = e.responsible_engagement_id
              left join account b on b.id = r.account_id
              left join organisation q on q.id = r.organisation_id
             where e.id = p_engagement and e.suspended_at is null and (o.id is null or o.status <> 'suspended')
               and (e.role <> 'poh' or (r.id is not null and r.suspended_at is null and b.status = 'active'
                                        and (q.id is null or q.status <> 'suspended')))) x
     where x.valid_until is null or x.valid_until > x.valid_from
$$""",
    # Every case that rests on one of these engagements: by a seat of any kind, or through the POH it answers for.
    "cases_of(p_engagements uuid[])": f"""
returns setof uuid language sql stable {DEFINER} as $$
    with concerned as (
        select e.id, e.organisation_id, e.role from engagement e
         where e.id = any (p_engagements) or (e.role = 'poh' and e.responsible_engagement_id = any (p_engagements))
    )
    select m.case_id from member m join concerned e on e.id = m.engagement_id where m.status = 'accepted'
    union
    select m.case_id from member m join concerned e on m.organisation_id = e.organisation_id and m.function_role = e.role
     where m.kind = 'function' and m.status = 'accepted'
    union
    select m.case_id from member m join team_member t on t.team_id = m.team_id join concerned e on e.id = t.engagement_id
     where m.kind = 'team' and m.status = 'accepted'
    union
    select g.case_id from access_grant g join concerned e on e.id = g.engagement_id
     order by 1
$$""",
    # Whether the actor manages the people of a case, and so may say there what that changed.
    "staffs(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from member m
          left join team_member t on m.kind = 'team' and t.team_id = m.team_id
          left join engagement e on e.id = coalesce(m.engagement_id, t.engagement_id)
         where m.case_id = p_case and administers(coalesce(e.organisation_id, m.organisation_id)))
$$""",
}

EXECUTORS = {"engagement_period(p_engagement uuid)": ""}

POLICIES = (
    """
create policy app_staff on case_event for insert to app with check (
    type = 'access.changed' and addressees is not null and body_sealed is null
    and actor_engagement_id = current_engagement() and actor_account_id = current_account() and staffs(case_id)
)
""",
)


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        executors = EXECUTORS.get(signature, "app")
        if executors:
            op.execute(f"grant execute on function {signature} to {executors}")
        op.execute(f"alter function {signature} owner to keeper")
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
