"""Organisations and teams: borders that an agreement opens, a merger that carries a suspension on, sessions ended at once.

An organisation without a recorded agreement sits at no table and in no team with people of another one; the database
refuses the row. Source: issue 3; ADR 0010.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

# An organisation that merged stands under the agreement, and in the name, of the one it merged into.
HOMES = """
        select coalesce(i.id, o.id) as id, coalesce(i.agreement_on, o.agreement_on) is not null as agreed
          from organisation o left join organisation i on i.id = o.merged_into_id
"""

FUNCTIONS = {
    # Whether these organisations may work together: they are one, or each has its agreement.
    "may_cooperate(p_organisations uuid[])": f"""
returns boolean language sql stable {DEFINER} as $$
    select count(distinct h.id) <= 1 or coalesce(bool_and(h.agreed), true)
      from ({HOMES} where o.id = any (p_organisations)) h
$$""",
    # The table as it would be with one more: those who sit there or were asked, and the organisation of the opener.
    "table_may_cooperate(p_case uuid, p_engagement uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select may_cooperate(array(
        select e.organisation_id from engagement e where e.id = p_engagement
        union
        select e.organisation_id from care_case c join engagement e on e.id = c.opened_by_engagement_id where c.id = p_case
        union
        select coalesce(e.organisation_id, m.organisation_id)
          from member m left join engagement e on e.id = m.engagement_id
         where m.case_id = p_case and m.status in ('invited', 'accepted')
        union
        select e.organisation_id
          from member m join team_member t on t.team_id = m.team_id join engagement e on e.id = t.engagement_id
         where m.case_id = p_case and m.status in ('invited', 'accepted')
           and (t.valid_until is null or t.valid_until > current_instant())))
$$""",
    "team_may_cooperate(p_team uuid, p_engagement uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select may_cooperate(array(
        select e.organisation_id from engagement e where e.id = p_engagement
        union
        select e.organisation_id from team_member t join engagement e on e.id = t.engagement_id
         where t.team_id = p_team and (t.valid_until is null or t.valid_until > current_instant())))
$$""",
    # Ends every session that began in one of these engagements, and raises the version of each case of its account:
    # what was decided before is decided again. Other log-ins of the same people go on, under their other engagements.
    "end_sessions_of(p_engagements uuid[], p_why text, p_now timestamptz)": f"""
returns setof uuid language plpgsql volatile {DEFINER} as $$
declare
    v_ended uuid[];
    v_accounts uuid[];
begin
    with ended as (
        update login_session set ended_at = coalesce(p_now, clock_timestamp()), ended_why = p_why
         where engagement_id = any (p_engagements) and ended_at is null
        returning id, account_id
    )
    select array_agg(id), array_agg(distinct account_id) into v_ended, v_accounts from ended;
    delete from realtime_ticket where login_session_id = any (v_ended) or engagement_id = any (p_engagements);
    perform 1 from case_head h
      where h.case_id in (select m.case_id from member m join engagement e on e.id = m.engagement_id
                           where e.account_id = any (v_accounts) and m.status = 'accepted')
      order by h.case_id for update;
    update case_head set access_version = access_version + 1
     where case_id in (select m.case_id from member m join engagement e on e.id = m.engagement_id
                        where e.account_id = any (v_accounts) and m.status = 'accepted');
    return query select unnest(v_ended);
end
$$""",
}

CHANGES = (
    # What merged into a suspended organisation is suspended with it, and is merged again afterwards.
    "alter table organisation drop constraint organisation_merged, add constraint organisation_merged check ("
    "case when merged_into_id is null then status in ('active', 'suspended')"
    " else status in ('merged', 'suspended') and merged_into_id <> id end)",
    "create index ix_organisation_merged_into on organisation (merged_into_id) where merged_into_id is not null",
    "create index ix_team_member_engagement on team_member (engagement_id)",
)

POLICIES = (
    "create policy app_within_agreement on member as restrictive for insert to app"
    " with check (engagement_id is null or table_may_cooperate(case_id, engagement_id))",
    "create policy app_within_agreement on team_member as restrictive for insert to app"
    " with check (team_may_cooperate(team_id, engagement_id))",
    # To whoever derives, a suspended team has no members: whatever function of the keeper looks, it finds nobody there.
    "create policy keeper_suspended on team_member as restrictive for select to keeper using (not exists ("
    "select 1 from team t where t.id = team_member.team_id and t.status = 'suspended'))",
    # What has not begun can still be taken back; what has is ended, and stays.
    "create policy app_delete on team_member for delete to app using (valid_from >= current_instant() and exists ("
    "select 1 from engagement e where e.id = team_member.engagement_id and administers(e.organisation_id)))",
    "create policy app_begun_stays on team_neighbourhood as restrictive for delete to app"
    " using (valid_from >= current_instant())",
    "grant delete on team_member, team_neighbourhood to app",
)


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    for statement in (*CHANGES, *POLICIES):
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
