"""Rights held to their ends: whom an admin's change reaches elsewhere, whom an agreement binds, and two at once.

What somebody changes of their people closes grants at tables where none of theirs sits; whoever changes who is in force
and whoever derives wait for one another; nobody engages themselves. Source: issue 3; ADR 0010.
"""

from alembic import op

revision = "0023"
down_revision = "0022"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

FUNCTIONS = {
    # Holds every engagement that a case's grants may rest on as it is until the commit. Whoever changes one of them and
    # did not commit yet is waited for, so that what is read next is what stands then. The caller has the case's lock.
    "hold_inputs(p_case uuid)": f"""
returns void language plpgsql volatile {DEFINER} as $$
declare
    v_seats uuid[];
begin
    v_seats := array(
        select e.id
          from member m
          left join team_member t on m.kind = 'team' and t.team_id = m.team_id
          join engagement e on e.id = coalesce(m.engagement_id, t.engagement_id)
            or (m.kind = 'function' and e.organisation_id = m.organisation_id and e.role = m.function_role)
         where m.case_id = p_case and m.status = 'accepted');
    v_seats := v_seats || array(
        select r.substitute_engagement_id from replacement r
         where r.cancelled_at is null and r.valid_until > current_instant()
           and r.replaced_engagement_id = any (v_seats));
    perform 1 from engagement e
      where e.id = any (v_seats)
         or e.id in (select p.responsible_engagement_id from engagement p where p.id = any (v_seats))
      order by e.id for share;
end
$$""",
}

REPLACED = {
    # Also whoever manages a substitute, or a GP in whose name one of these works, at a table where none of theirs sits.
    "announces(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from member m
          left join team_member t on m.kind = 'team' and t.team_id = m.team_id
          left join engagement e on e.id = coalesce(m.engagement_id, t.engagement_id)
          left join engagement p on p.id = e.responsible_engagement_id
          left join replacement r on r.replaced_engagement_id = e.id
          left join engagement s on s.id = r.substitute_engagement_id
          left join engagement q on q.id = s.responsible_engagement_id
         where m.case_id = p_case
           and (administers(coalesce(e.organisation_id, m.organisation_id)) or administers(p.organisation_id)
                or administers(s.organisation_id) or administers(q.organisation_id)))
        or exists (
        select 1 from access_grant g join replacement r on r.replaced_engagement_id = g.engagement_id
         where g.case_id = p_case and (r.started_by_engagement_id = current_engagement()
               or r.replaced_engagement_id = current_engagement() or r.substitute_engagement_id = current_engagement()
               or exists (select 1 from engagement e where e.id = r.replaced_engagement_id
                             and current_role_class() = 'gp' and e.organisation_id = current_organisation())))
$$""",
    # Practice nurses elsewhere are for their own organisation to place; this one cannot.
    "ownerless(p_engagement uuid)": f"""
returns jsonb language sql stable {DEFINER} as $$
    select jsonb_build_object(
        'cases', (select coalesce(jsonb_agg(jsonb_build_object('caseId', x.case_id, 'caseRole', x.case_role)
                                  order by x.case_id), '[]')
                    from (select m.case_id, m.case_role
                            from member m join care_case c on c.id = m.case_id
                           where m.engagement_id = e.id and m.status = 'accepted' and c.status <> 'closed'
                             and ((m.case_role in ('casemanager', 'gezinsregisseur', 'regiebehandelaar')
                                   and not exists (select 1 from member o where o.case_id = m.case_id and o.id <> m.id
                                                      and o.status = 'accepted' and o.case_role = m.case_role))
                               or (coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = e.id
                                   and not exists (select 1 from member o where o.case_id = m.case_id and o.id <> m.id
                                                      and o.status = 'accepted'
                                                      and o.case_role in ('casemanager', 'gezinsregisseur'))))) x),
        'responsibleFor', (select coalesce(jsonb_agg(p.id order by p.id), '[]') from engagement p
                            where p.role = 'poh' and p.responsible_engagement_id = e.id
                              and administers(p.organisation_id)
                              and (p.valid_until is null or p.valid_until > current_instant())),
        'replacements', (select coalesce(jsonb_agg(r.id order by r.id), '[]') from replacement r
                          where e.id in (r.replaced_engagement_id, r.substitute_engagement_id)
                            and r.cancelled_at is null and r.valid_until > current_instant()),
        'teams', (select coalesce(jsonb_agg(distinct t.team_id), '[]') from team_member t
                   where t.engagement_id = e.id and (t.valid_until is null or t.valid_until > current_instant())))
      from engagement e where e.id = p_engagement and administers(e.organisation_id)
$$""",
    # Whoever changes who is in force marks every case that rests on it, and derives those again before the commit. Heads
    # before engagements, as everywhere. With the engagements held nobody derives from them; who did just before had
    # seats that were not to be seen yet, so the cases are looked for once more.
    "mark_cases_dirty()": f"""
returns trigger language plpgsql volatile {DEFINER} as $$
declare
    v_engagements uuid[];
    v_cases uuid[];
begin
    if tg_table_name = 'engagement' then
        v_engagements := array[coalesce(new.id, old.id)];
    elsif tg_table_name = 'account' then
        v_engagements := array(select e.id from engagement e where e.account_id = new.id);
    elsif tg_table_name = 'organisation' then
        -- a merger changes whose people they are, not whether they are in force
        if 'suspended' not in (old.status, new.status) then
            return null;
        end if;
        v_engagements := array(select e.id from engagement e where e.organisation_id = new.id);
    elsif tg_table_name = 'team' then
        if 'suspended' not in (old.status, new.status) then
            return null;
        end if;
        v_engagements := array(select t.engagement_id from team_member t where t.team_id = new.id);
    elsif tg_table_name = 'team_member' then
        v_engagements := array[coalesce(new.engagement_id, old.engagement_id)];
    else
        v_engagements := array[coalesce(new.replaced_engagement_id, old.replaced_engagement_id)];
    end if;
    v_cases := array(select cases_of(v_engagements));
    perform 1 from case_head h where h.case_id = any (v_cases) order by h.case_id for update;
    perform 1 from engagement e where e.id = any (v_engagements) order by e.id for no key update;
    v_cases := array(select cases_of(v_engagements));
    perform 1 from case_head h where h.case_id = any (v_cases) order by h.case_id for update;
    update case_head set dirty = true where case_id = any (v_cases);
    return null;
end
$$""",
}

OF = "array(select e.organisation_id from engagement e where e.id in ({}))"

STATEMENTS = (
    # An organisation without an agreement lends nobody, and borrows nobody.
    "create policy app_within_agreement on substitute as restrictive for insert to app"
    f" with check (may_cooperate(organisation_id || {OF.format('substitute.engagement_id')}))",
    "create policy app_within_agreement on replacement as restrictive for insert to app with check (may_cooperate("
    f"{OF.format('replaced_engagement_id, substitute_engagement_id')}))",
    # A GP who starts one for a colleague gains nothing by it.
    "create policy app_not_for_oneself on replacement as restrictive for insert to app"
    " with check (replaced_engagement_id = current_engagement() or not exists (select 1 from engagement e"
    " where e.id = substitute_engagement_id and e.account_id = current_account()))",
    "create policy app_within_agreement on engagement as restrictive for insert to app"
    " with check (responsible_engagement_id is null or may_cooperate(organisation_id ||"
    f" {OF.format('engagement.responsible_engagement_id')}))",
    # What somebody is, others say.
    "create policy app_not_for_oneself on engagement as restrictive for insert to app"
    " with check (account_id is distinct from current_account())",
    "create policy app_not_of_oneself on engagement as restrictive for update to app"
    " using (account_id is distinct from current_account())",
)


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    for statement in STATEMENTS:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
