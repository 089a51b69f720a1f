"""Notices: that something happened, for whom it concerns; ids and a kind, no text and nothing of a patient.

To whom a kind goes is said by whoever makes it; who that is at this moment is found here, past row-level security.
Source: DESIGN G13, G14.
"""

from alembic import op

revision = "0026"
down_revision = "0025"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    """
create table notice (
    id uuid primary key,
    kind text not null,
    about uuid not null,
    case_id uuid references care_case (id),
    engagement_id uuid references engagement (id),
    patient_id uuid references patient (id),
    always boolean not null,
    created_at timestamptz not null,
    not_before timestamptz not null,
    read_at timestamptz,
    ended_at timestamptz,
    unique nulls not distinct (kind, about, case_id, engagement_id, patient_id),
    constraint notice_kind check (kind ~ '^[a-z0-9_]{1,40}$'),
    constraint notice_for_one check (num_nonnulls(engagement_id, patient_id) = 1),
    constraint notice_of_a_case check (patient_id is null or case_id is not null),
    constraint notice_not_before check (not_before >= created_at)
)
""",
    "create index ix_notice_engagement on notice (engagement_id, created_at)",
    "create index ix_notice_case on notice (case_id)",
    "create index ix_notice_about on notice (about)",
    "alter table notice enable row level security",
    "alter table notice force row level security",
    "create policy keeper_all on notice to keeper using (true) with check (true)",
    "grant select, insert, update on notice to keeper",
    "grant select, update (read_at) on notice to app",
)

FUNCTIONS = {
    # How a citizen is told, as it is now. Nothing goes to the home of somebody for whom that is not safe, whichever
    # case that was recorded in.
    "notice_channel(p_patient uuid)": f"""
returns text language sql stable {DEFINER} as $$
    select case
        when exists (select 1 from patient o join subject s on s.patient_id = o.id
                      where (o.id = p.id or o.bsn_link_index = p.bsn_link_index or o.account_id = p.account_id)
                        and s.safe_contact) then 'in-person'
        when p.account_id is not null then 'account'
        else 'letter' end
      from patient p where p.id = p_patient
$$""",
    # A citizen's own, or what the case manager sends and says to one.
    "notice_for_me(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select case notice_channel(p_patient) when 'account' then is_me(p_patient) else manages(p_case) end
$$""",
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
         where p_to = 'citizen' and s.case_id = p_case and s.patient_id = p_whom
        union all
        select e.id, null from engagement e where p_to in ('always', 'engaged') and e.id = p_whom
        union all
        select m.engagement_id, null
          from member m join care_case c on c.id = m.case_id
         where p_to = 'managers' and m.case_id = p_case and m.status = 'accepted' and m.engagement_id is not null
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
    "end_notices(p_about uuid, p_case uuid, p_patient uuid)": f"""
returns integer language plpgsql volatile {DEFINER} as $$
declare
    v_ended integer;
begin
    update notice set ended_at = current_instant()
     where read_at is null and ended_at is null
       and (about = p_about or (case_id = p_case and patient_id = p_patient));
    get diagnostics v_ended = row_count;
    return v_ended;
end
$$""",
}

POLICIES = tuple(
    f"""
create policy app_{verb} on notice for {verb} to app using (
    ended_at is null and not_before <= current_instant()
    and case when engagement_id is null then notice_for_me(case_id, patient_id)
             else engagement_id = current_engagement() and (always or case_id is null or seated(case_id)) end
)
"""
    for verb in ("select", "update")
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
    for policy in POLICIES:
        op.execute(policy)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
