"""Whoever is kept away records no move and no death of that person, and nothing is said beside what waits.

A statement beside a message that is held back would be confirmed to the citizen, who would learn that there is one. A
change of practice that the citizen announced themselves is not taken back by the practice that is left, and not for a
household by one of it; who answers one is in force at that moment. Source: ADR 0011; DESIGN 5.
"""

from alembic import op

revision = "0050"
down_revision = "0049"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
ROUND = "interval '30 days'"

REPLACED = {
    # As before, in force still, and of that engagement: whoever was suspended a moment ago answers nothing.
    "receives_practice(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select current_role_class() = 'gp' and engagement_in_force(current_engagement(), current_instant())
       and exists (select 1 from practice_change p
                    where p.case_id = p_case and p.to_organisation_id = current_organisation())
       and not exists (select 1 from subject s where s.case_id = p_case and kept_away(p_case, s.patient_id))
$$""",
    # As before; what a citizen announced, the practice that is left lets stand, and nobody takes back for others.
    "close_practice_change(p_case uuid, p_id uuid, p_state text, p_reason text)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update practice_change p
       set state = p_state, reason = p_reason, decided_at = current_instant(),
           decided_by_account_id = current_account(), decided_by_engagement_id = current_engagement()
     where p.case_id = p_case and p.id = p_id and p.state = 'announced'
       and case p_state
           when 'refused' then p.to_organisation_id = current_organisation() and receives_practice(p_case)
           when 'withdrawn' then announces_practice(p_case) and not shut_out(p_case) and (
               p.recorded_by_account_id = current_account()
               or case when current_role_class() = 'citizen'
                       then not exists (select 1 from subject s where s.case_id = p_case and not is_me(s.patient_id))
                       else not (current_organisation() = p.from_organisation_id and exists (
                                select 1 from engagement e
                                 where e.id = p.recorded_by_engagement_id and e.role = 'citizen'))
                            and (oversees(p_case) or current_organisation() = p.from_organisation_id) end)
           else false end;
    return found;
end
$$""",
    "record_death(p_case uuid, p_id uuid, p_patient uuid, p_on date)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    if not may_record_death(p_case) or kept_away(p_case, p_patient) then
        raise exception 'whoever treats or manages records a death' using errcode = 'insufficient_privilege';
    end if;
    update subject set died_on = p_on, died_at = current_instant(),
                       death_recorded_by_engagement_id = current_engagement()
     where case_id = p_case and patient_id = p_patient and died_at is null;
    if not found then
        return false;
    end if;
    insert into death (case_id, id, patient_id, died_on, recorded_by_account_id, recorded_by_engagement_id, recorded_at)
    values (p_case, p_id, p_patient, p_on, current_account(), current_engagement(), current_instant());
    update notice n set ended_at = current_instant()
     where n.case_id = p_case and n.read_at is null and n.ended_at is null
       and (n.patient_id = p_patient or n.about in (
            select c.id from consent c where c.case_id = p_case and c.patient_id = p_patient));
    return true;
end
$$""",
    "undo_death(p_case uuid, p_id uuid, p_reason bytea)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
declare
    v death;
begin
    update death d
       set undone_at = current_instant(), undone_by_account_id = current_account(),
           undone_by_engagement_id = current_engagement(), undo_reason_sealed = p_reason
     where d.case_id = p_case and d.id = p_id and d.undone_at is null and may_record_death(p_case)
       and not kept_away(p_case, d.patient_id)
       and d.recorded_by_account_id <> current_account() and d.recorded_at > current_instant() - {ROUND}
    returning * into v;
    if v.id is null then
        return false;
    end if;
    update subject set died_on = null, died_at = null, death_recorded_by_engagement_id = null
     where case_id = p_case and patient_id = v.patient_id;
    update notice set ended_at = null where case_id = p_case and ended_at = v.recorded_at and read_at is null;
    return true;
end
$$""",
}

POLICIES = (
    *(
        f"create policy not_kept_away on {table} as restrictive to app using (not kept_away(case_id, patient_id))"
        for table in ("death", "move")
    ),
    # the officer looks at what was decided for all of them
    "create policy not_kept_away on after_death_request as restrictive to app using ("
    "current_role_class() = 'privacy_officer' or not kept_away(case_id, patient_id))",
    """
create policy held_back_insert on statement as restrictive for insert to app with check (
    message_id is null or exists (
        select 1 from case_event e
         where e.case_id = statement.case_id and e.id = statement.message_id
           and (e.thread_id is null or thread_shown(e.case_id, e.thread_id)))
)
""",
)


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")
    for policy in POLICIES:
        op.execute(policy)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
