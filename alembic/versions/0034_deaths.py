"""A death: who recorded it, who undid it, and what was decided about the file afterwards.

``subject.died_at`` closes; who sets and unsets it is said here. What citizens were still to be told is taken back with
the death and comes back when it is undone. Source: ADR 0011; DOMAIN R-25.
"""

from alembic import op

revision = "0034"
down_revision = "0033"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
PROFESSIONALS = "('gp', 'poh', 'district_nurse', 'social_team', 'specialist')"
ROUND = "interval '30 days'"

RECORDED = """
    recorded_by_account_id uuid not null references account (id),
    recorded_by_engagement_id uuid not null references engagement (id),
    recorded_at timestamptz not null,
"""
ABOUT = "foreign key (case_id, patient_id) references subject (case_id, patient_id)"

TABLES = (
    f"""
create table death (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    died_on date not null,{RECORDED}    undone_at timestamptz,
    undone_by_account_id uuid references account (id),
    undone_by_engagement_id uuid references engagement (id),
    undo_reason_sealed bytea,
    primary key (case_id, id),
    {ABOUT},
    constraint death_undone check (
        num_nulls(undone_at, undone_by_account_id, undone_by_engagement_id, undo_reason_sealed) in (0, 4)
        and undone_by_account_id <> recorded_by_account_id)
)
""",
    "create unique index uq_death on death (case_id, patient_id) where undone_at is null",
    f"""
create table after_death_request (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    ground text not null,
    granted boolean not null,
    requester_sealed bytea not null,
    reason_sealed bytea not null,
    given_sealed bytea,{RECORDED}    primary key (case_id, id),
    {ABOUT},
    constraint after_death_ground check (
        ground in ('consent-in-life', 'notified-incident', 'weighty-interest', 'parent-of-child-under-16', 'none')),
    constraint after_death_given check (granted = (given_sealed is not null)),
    constraint after_death_granted check (not granted or ground <> 'none')
)
""",
    *(
        statement
        for table in ("death", "after_death_request")
        for statement in (
            f"alter table {table} enable row level security",
            f"alter table {table} force row level security",
            f"create policy keeper_all on {table} to keeper using (true) with check (true)",
            f"grant select, insert, update on {table} to keeper",
            f"grant select on {table} to app",
        )
    ),
    "grant insert on after_death_request to app",
)

FUNCTIONS = {
    "has_died(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from subject s
                    where s.case_id = p_case and s.patient_id = p_patient and s.died_at is not null)
$$""",
    "may_record_death(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select sits(p_case) and (current_role_class() = 'gp' or (manages(p_case) and current_role_class() in {PROFESSIONALS}))
$$""",
    # The caller holds the case. What waits to be told to the citizen, or of what they agreed to, is taken back.
    "record_death(p_case uuid, p_id uuid, p_patient uuid, p_on date)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    if not may_record_death(p_case) then
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
    # Within the closing round, and by somebody else than who recorded it.
    "undo_death(p_case uuid, p_id uuid, p_reason bytea)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
declare
    v death;
begin
    update death d
       set undone_at = current_instant(), undone_by_account_id = current_account(),
           undone_by_engagement_id = current_engagement(), undo_reason_sealed = p_reason
     where d.case_id = p_case and d.id = p_id and d.undone_at is null and may_record_death(p_case)
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
    # Where else somebody is known: there it is for others to record.
    "cases_elsewhere(p_case uuid, p_patient uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct s.case_id
      from patient p
      join patient o on o.id = p.id or o.bsn_link_index = p.bsn_link_index
      join subject s on s.patient_id = o.id and s.case_id <> p_case and s.died_at is null
     where p.id = p_patient and has_died(p_case, p_patient) and sits(p_case)
     order by 1
$$""",
}

REPLACED = {
    # Nobody tells the dead.
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
          from member m join care_case c on c.id = m.case_id
         where p_to = 'managers' and m.case_id = p_case and m.status = 'accepted' and m.engagement_id is not null
           and m.kind <> 'emergency'
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

POLICIES = (
    f"""
create policy app_select on death for select to app using (
    seated(case_id) and current_role_class() in {PROFESSIONALS}
)
""",
    """
create policy app_select on after_death_request for select to app using (
    manages(case_id) or current_role_class() = 'privacy_officer'
)
""",
    f"""
create policy app_insert on after_death_request for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and manages(case_id) and current_role_class() in {PROFESSIONALS}
    and has_died(case_id, patient_id)
)
""",
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
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")
    for policy in POLICIES:
        op.execute(policy)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
