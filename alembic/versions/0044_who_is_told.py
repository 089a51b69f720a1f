"""Who is told: no manager whom the citizen keeps away, whoever becomes privacy officer later, and of disclosures oneself.

What was given to whom outside is told in the citizen's own account alone: a letter would be read at home, and a case
manager of another organisation has no part in it. Source: ADR 0011; DESIGN G13; DOMAIN R-17, R-18.
"""

from alembic import op

revision = "0044"
down_revision = "0043"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

FUNCTIONS = {
    # What waits for a review, to officers who were not there when it happened. Time tells them.
    "brief_privacy_officers()": f"""
returns integer language plpgsql volatile {DEFINER} as $$
declare
    v_told integer;
begin
    insert into notice (id, kind, about, case_id, engagement_id, patient_id, always, created_at, not_before)
    select gen_random_uuid(), k.kind, b.id, null, e.id, null, true, current_instant(),
           greatest(k.at, current_instant())
      from break_glass b
     cross join lateral (values ('break_glass_review', b.created_at),
                                ('break_glass_overdue', b.review_due_at)) as k (kind, at)
      join engagement e on e.role = 'privacy_officer' and e.account_id <> b.account_id
                       and e.account_id is distinct from b.confirmed_by_account_id
     where b.reviewed_at is null and engagement_in_force(e.id, current_instant())
       and not exists (select 1 from notice n where n.about = b.id and n.engagement_id = e.id and n.kind = k.kind)
    on conflict do nothing;
    get diagnostics v_told = row_count;
    return v_told;
end
$$""",
}

REPLACED = {
    # As before; of managers only those whom the person concerned does not keep away, or of nobody in particular, those
    # whom not everybody does.
    "notify(p_kind text, p_case uuid, p_to text, p_whom uuid, p_about uuid, p_not_before timestamptz)": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    if p_to not in ('citizen', 'always', 'engaged', 'managers', 'privacy-officers') then
        raise exception 'a notice is for nobody' using errcode = 'invalid_parameter_value';
    end if;
    insert into notice (id, kind, about, case_id, engagement_id, patient_id, always, created_at, not_before)
    select gen_random_uuid(), p_kind, p_about, p_case, x.engagement_id, x.patient_id,
           p_to in ('always', 'privacy-officers'), current_instant(), greatest(p_not_before, current_instant())
      from (
        select null::uuid as engagement_id, s.patient_id from subject s
         where p_to = 'citizen' and s.case_id = p_case and s.patient_id = p_whom and s.died_at is null
        union all
        select e.id, null from engagement e where p_to in ('always', 'engaged') and e.id = p_whom
        union all
        select m.engagement_id, null
          from member m join care_case c on c.id = m.case_id join engagement e on e.id = m.engagement_id
         where p_to = 'managers' and m.case_id = p_case and m.status = 'accepted' and m.kind <> 'emergency'
           and exists (select 1 from subject s
                        where s.case_id = p_case and s.patient_id = coalesce(p_whom, s.patient_id)
                          and not exists (select 1 from exclusion x
                                           where x.case_id = p_case and x.patient_id = s.patient_id
                                             and x.account_id = e.account_id and x.ended_at is null))
           and (m.case_role in ('casemanager', 'gezinsregisseur')
                or (coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = m.engagement_id
                    and not exists (select 1 from member o where o.case_id = p_case and o.status = 'accepted'
                                       and o.case_role in ('casemanager', 'gezinsregisseur'))))
        union all
        select e.id, null from engagement e
         where p_to = 'privacy-officers' and e.role = 'privacy_officer'
           and e.account_id is distinct from current_account() and engagement_in_force(e.id, current_instant())
      ) x
    on conflict do nothing;
end
$$""",
}

POLICIES = tuple(
    f"create policy own_disclosures_{verb} on notice as restrictive for {verb} to app"
    " using (kind <> 'disclosure_recorded' or is_me(patient_id))"
    for verb in ("select", "update")
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
    op.execute("revoke create on schema public from keeper")
    for policy in POLICIES:
        op.execute(policy)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
