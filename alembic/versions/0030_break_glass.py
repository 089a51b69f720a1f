"""Breaking the glass: who looked in an emergency, why, with whose confirmation, and what a reviewer said of it.

Nobody starts from a case: the keeper finds the patient by the link index, seats whoever broke the glass for an hour in
the open cases, and lets them do nothing there but read. Rows change through functions alone, each of which says who
may. Source: ADR 0011; DESIGN G13; DOMAIN R-16, R-17.
"""

from alembic import op

revision = "0030"
down_revision = "0029"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
CARE = "('gp', 'poh', 'district_nurse', 'specialist')"
MINUTES = 60

TABLES = (
    f"""
create table break_glass (
    id uuid primary key,
    account_id uuid not null references account (id),
    engagement_id uuid not null references engagement (id),
    subject_index bytea not null,
    reason_code text not null,
    reason_sealed bytea not null,
    six_tests_sealed bytea,
    delay_reason_sealed bytea,
    citizen_told_from timestamptz not null,
    needs_second boolean not null,
    created_at timestamptz not null,
    confirmed_by_account_id uuid references account (id),
    confirmed_by_engagement_id uuid references engagement (id),
    started_at timestamptz,
    valid_until timestamptz,
    ended_at timestamptz,
    review_due_at timestamptz not null,
    verdict text,
    remarks_sealed bytea,
    reviewed_by_account_id uuid references account (id),
    reviewed_by_engagement_id uuid references engagement (id),
    reviewed_at timestamptz,
    constraint break_glass_reason check (reason_code in ('life-threatening', 'acute-unsafety', 'conflict-of-duties')),
    constraint break_glass_six_tests check ((reason_code = 'conflict-of-duties') = (six_tests_sealed is not null)),
    constraint break_glass_delay check ((citizen_told_from > created_at) = (delay_reason_sealed is not null)),
    constraint break_glass_second check (not needs_second or reason_code <> 'life-threatening'),
    constraint break_glass_confirmed check (
        (confirmed_by_account_id is null) = (confirmed_by_engagement_id is null)
        and (confirmed_by_engagement_id is not null) = (needs_second and started_at is not null)
        and confirmed_by_account_id <> account_id),
    constraint break_glass_period check (
        (started_at is null) = (valid_until is null) and (needs_second or started_at is not null)
        and valid_until <= started_at + interval '{MINUTES} minutes'),
    constraint break_glass_verdict check (verdict in ('justified', 'not-justified')),
    constraint break_glass_reviewed check (
        num_nulls(verdict, remarks_sealed, reviewed_by_account_id, reviewed_by_engagement_id, reviewed_at) in (0, 5)
        and reviewed_by_account_id <> account_id and reviewed_by_account_id <> confirmed_by_account_id)
)
""",
    "create index ix_break_glass_account on break_glass (account_id, review_due_at) where reviewed_at is null",
    "create index ix_break_glass_created on break_glass (created_at, id)",
    """
create table break_glass_case (
    break_glass_id uuid not null references break_glass (id),
    case_id uuid not null,
    access_id uuid not null,
    member_id uuid not null,
    patient_id uuid not null,
    primary key (break_glass_id, case_id, access_id),
    foreign key (case_id, access_id) references emergency_access (case_id, id)
)
""",
    "create index ix_break_glass_case_member on break_glass_case (case_id, member_id)",
    # whoever is invited, or is so while there, keeps the seat of an emergency apart
    "drop index uq_member_seated",
    "create unique index uq_member_seated on member (case_id, engagement_id)"
    " where status in ('invited', 'accepted') and kind <> 'emergency'",
    "create unique index uq_member_emergency on member (case_id, engagement_id)"
    " where status = 'accepted' and kind = 'emergency'",
    *(
        statement
        for table in ("break_glass", "break_glass_case")
        for statement in (
            f"alter table {table} enable row level security",
            f"alter table {table} force row level security",
            f"create policy keeper_all on {table} to keeper using (true) with check (true)",
            f"grant select, insert, update on {table} to keeper",
        )
    ),
    # by whom is known by index alone: not for whoever reads about it
    "grant insert on break_glass to app",
    "grant select (id, account_id, engagement_id, reason_code, reason_sealed, six_tests_sealed, delay_reason_sealed,"
    " citizen_told_from, needs_second, created_at, confirmed_by_account_id, confirmed_by_engagement_id, started_at,"
    " valid_until, ended_at, review_due_at, verdict, remarks_sealed, reviewed_by_account_id,"
    " reviewed_by_engagement_id, reviewed_at) on break_glass to app",
    "grant select on break_glass_case to app",
)

FUNCTIONS = {
    # An accepted member that came by invitation; who is there in an emergency reads, and decides nothing.
    "sits(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from member m where m.case_id = p_case and m.engagement_id = current_engagement()
                      and m.status = 'accepted' and m.kind <> 'emergency')
$$""",
    "overdue_reviews(p_account uuid)": f"""
returns bigint language sql stable {DEFINER} as $$
    select count(*) from break_glass b
     where b.account_id = p_account and b.reviewed_at is null and b.review_due_at <= current_instant()
$$""",
    # Who may be the second person: somebody else of the same organisation, or who may stand in there.
    "stands_beside(p_engagement uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select current_role_class() in {CARE} and exists (
        select 1 from engagement a
         where a.id = p_engagement and a.account_id <> current_account()
           and (a.organisation_id = current_organisation()
                or exists (select 1 from substitute s where s.organisation_id = a.organisation_id
                              and s.engagement_id = current_engagement())))
$$""",
    # For the people of the case: its manager at once, the person it is about from when they may know.
    "break_glass_concerns_me(p_id uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from break_glass b join break_glass_case x on x.break_glass_id = b.id
                    where b.id = p_id and (manages(x.case_id)
                       or (is_me(x.patient_id) and b.citizen_told_from <= current_instant())))
$$""",
    # Whether the actor opened or closed a case in this transaction by confirming or reviewing, without a seat there.
    "settles_emergency(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from break_glass_case x join break_glass b on b.id = x.break_glass_id
                    where x.case_id = p_case
                      and ((b.confirmed_by_engagement_id = current_engagement() and b.started_at = current_instant())
                        or (b.reviewed_by_engagement_id = current_engagement() and b.ended_at = current_instant())))
$$""",
    # Whether the others at the table may know that somebody is, or was, there in an emergency.
    "emergency_shown(p_case uuid, p_member uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select manages(p_case) or not exists (
        select 1 from break_glass_case x join break_glass b on b.id = x.break_glass_id
         where x.case_id = p_case and x.member_id = p_member and b.citizen_told_from > current_instant())
$$""",
    "confirm_break_glass(p_id uuid)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update break_glass b
       set confirmed_by_account_id = current_account(), confirmed_by_engagement_id = current_engagement(),
           started_at = current_instant(), valid_until = current_instant() + interval '{MINUTES} minutes'
     where b.id = p_id and b.needs_second and b.started_at is null and b.ended_at is null
       and b.created_at > current_instant() - interval '{MINUTES} minutes' and stands_beside(b.engagement_id)
       and engagement_in_force(b.engagement_id, current_instant());
    return found;
end
$$""",
    "end_break_glass(p_id uuid)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update break_glass b set ended_at = current_instant()
     where b.id = p_id and b.account_id = current_account() and b.ended_at is null
       and (b.started_at is null or b.valid_until > current_instant());
    return found;
end
$$""",
    # What is not justified ends at once; what waits for a second person waits no longer.
    "review_break_glass(p_id uuid, p_verdict text, p_remarks bytea)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update break_glass b
       set verdict = p_verdict, remarks_sealed = p_remarks, reviewed_by_account_id = current_account(),
           reviewed_by_engagement_id = current_engagement(), reviewed_at = current_instant(),
           ended_at = case when b.ended_at is null
                            and (b.started_at is null or (p_verdict = 'not-justified'
                                                          and b.valid_until > current_instant()))
                           then current_instant() else b.ended_at end
     where b.id = p_id and b.reviewed_at is null and current_role_class() = 'privacy_officer'
       and b.account_id <> current_account() and b.confirmed_by_account_id is distinct from current_account();
    return found;
end
$$""",
    # In the order in which cases are locked; only for whoever starts it in this transaction.
    "emergency_cases(p_id uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct s.case_id
      from break_glass b
      join patient p on p.bsn_link_index = b.subject_index
      join subject s on s.patient_id = p.id
      join care_case c on c.id = s.case_id and c.status = 'open'
     where b.id = p_id and b.started_at = current_instant()
       and current_engagement() in (b.engagement_id, b.confirmed_by_engagement_id)
     order by 1
$$""",
    # The caller holds the case. Who has a seat of their own reads more from there; an exclusion stays unknown.
    "seat_in_emergency(p_id uuid, p_case uuid)": f"""
returns table (patient_id uuid, member_id uuid) language plpgsql volatile {DEFINER} as $$
declare
    v break_glass;
    v_member uuid;
begin
    select * into v from break_glass b
     where b.id = p_id and b.started_at = current_instant()
       and current_engagement() in (b.engagement_id, b.confirmed_by_engagement_id);
    if v.id is null then
        raise exception 'nobody broke the glass' using errcode = 'insufficient_privilege';
    end if;
    perform end_lapsed_seats(p_case);
    for seat_in_emergency.patient_id in
        select s.patient_id
          from patient p join subject s on s.patient_id = p.id
          join care_case c on c.id = s.case_id and c.status = 'open'
         where p.bsn_link_index = v.subject_index and s.case_id = p_case
           and (v.reason_code = 'life-threatening' or not exists (
                select 1 from exclusion x where x.case_id = p_case and x.patient_id = s.patient_id
                   and x.account_id = v.account_id and x.ended_at is null))
         order by 1
    loop
        if v_member is null then
            select m.id into v_member from member m
             where m.case_id = p_case and m.engagement_id = v.engagement_id and m.status = 'accepted'
             order by m.kind = 'emergency' limit 1;
            if v_member is null then
                v_member := gen_random_uuid();
                insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, status,
                                    invited_by_engagement_id, invited_at, decided_at, seated_until)
                values (p_case, v_member, 'emergency', v.engagement_id, 'deelnemer', false, 'all', 'accepted',
                        v.engagement_id, current_instant(), current_instant(), v.valid_until);
            else
                update member m set seated_until = greatest(m.seated_until, v.valid_until)
                 where m.case_id = p_case and m.id = v_member and m.kind = 'emergency';
            end if;
        end if;
        seat_in_emergency.member_id := v_member;
        with opened as (
            insert into emergency_access (case_id, id, patient_id, member_id, life_threatening, valid_from, valid_until,
                                          recorded_by_account_id, recorded_by_engagement_id, recorded_at)
            values (p_case, gen_random_uuid(), seat_in_emergency.patient_id, v_member,
                    v.reason_code = 'life-threatening', current_instant(), v.valid_until, v.account_id,
                    v.engagement_id, current_instant())
            returning *
        )
        insert into break_glass_case (break_glass_id, case_id, access_id, member_id, patient_id)
        select v.id, p_case, o.id, v_member, o.patient_id from opened o;
        return next;
    end loop;
end
$$""",
    # The caller holds the case, and ended it in this transaction. A seat stays while another emergency holds it.
    "leave_emergency(p_id uuid, p_case uuid)": f"""
returns table (member_id uuid, engagement_id uuid) language plpgsql volatile {DEFINER} as $$
#variable_conflict use_column
declare
    v_member uuid;
    v_until timestamptz;
begin
    if not exists (select 1 from break_glass b where b.id = p_id and b.ended_at = current_instant()) then
        raise exception 'nobody ended it' using errcode = 'insufficient_privilege';
    end if;
    update emergency_access y set ended_at = current_instant(), ended_by_engagement_id = current_engagement()
      from break_glass_case x
     where x.break_glass_id = p_id and x.case_id = p_case and y.case_id = p_case and y.id = x.access_id
       and y.ended_at is null;
    select x.member_id into v_member from break_glass_case x
     where x.break_glass_id = p_id and x.case_id = p_case limit 1;
    select max(y.valid_until) into v_until from emergency_access y
     where y.case_id = p_case and y.member_id = v_member and y.ended_at is null
       and y.valid_until > current_instant();
    if v_until is not null then
        update member m set seated_until = v_until
         where m.case_id = p_case and m.id = v_member and m.kind = 'emergency' and m.status = 'accepted';
        return;
    end if;
    return query
        update member m set status = 'ended', ended_at = current_instant()
         where m.case_id = p_case and m.id = v_member and m.kind = 'emergency' and m.status = 'accepted'
        returning m.id, m.engagement_id;
end
$$""",
    # Seats of whoever broke the glass, once their time is over; this says whose they were.
    "end_lapsed_seats(p_case uuid)": f"""
returns table (member_id uuid, engagement_id uuid) language sql volatile {DEFINER} as $$
    update member m set status = 'ended', ended_at = m.seated_until
     where m.case_id = p_case and m.kind = 'emergency' and m.status = 'accepted'
       and m.seated_until <= current_instant()
    returning m.id, m.engagement_id
$$""",
    "end_notices(p_about uuid, p_case uuid, p_patient uuid, p_kinds text[])": f"""
returns integer language plpgsql volatile {DEFINER} as $$
declare
    v_ended integer;
begin
    update notice set ended_at = current_instant()
     where read_at is null and ended_at is null and (p_kinds is null or kind = any (p_kinds))
       and (about = p_about or (case_id = p_case and patient_id = p_patient));
    get diagnostics v_ended = row_count;
    return v_ended;
end
$$""",
}

REPLACED = {
    "manages(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from member m
        where m.case_id = p_case and m.engagement_id = current_engagement() and m.status = 'accepted'
          and m.kind <> 'emergency'
          and (m.case_role in ('casemanager', 'gezinsregisseur')
               or (opened_by_me(p_case) and not exists (
                   select 1 from member o
                   where o.case_id = p_case and o.status = 'accepted'
                     and o.case_role in ('casemanager', 'gezinsregisseur'))))
    )
$$""",
    "oversees(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select manages(p_case) or (opened_by_me(p_case) and sits(p_case))
        or exists (select 1 from subject s where s.case_id = p_case and is_me(s.patient_id))
$$""",
    "standing_of(p_kind text, p_id uuid)": f"""
returns jsonb language plpgsql stable {DEFINER} as $$
declare
    v_case uuid;
    v_entity jsonb := '{{}}';
    v_standing jsonb;
begin
    if p_kind = 'case' then
        v_case := p_id;
    elsif p_kind = 'thread' then
        select t.case_id, jsonb_build_object('patientId', t.patient_id, 'category', t.category, 'domain', t.domain,
                                             'openedSeq', t.opened_seq)
          into v_case, v_entity from thread t where t.id = p_id;
    elsif p_kind = 'message' then
        select e.case_id, jsonb_build_object('patientId', e.patient_id, 'category', e.category, 'domain', e.domain,
                   'seq', e.seq, 'authorId', e.actor_account_id, 'retracted', e.retracted_seq is not null,
                   'threadId', e.thread_id, 'openedSeq', coalesce(t.opened_seq, 0))
          into v_case, v_entity from case_event e left join thread t on t.case_id = e.case_id and t.id = e.thread_id
         where e.id = p_id and e.type in ('message.posted', 'message.corrected');
    elsif p_kind = 'consent' then
        select c.case_id, jsonb_build_object('patientId', c.patient_id, 'readable', reads_consent(c.case_id, c.id))
          into v_case, v_entity from consent c where c.id = p_id;
    end if;
    select jsonb_build_object(
        'caseId', c.id, 'kind', c.kind, 'status', c.status, 'domain', c.domain, 'seq', h.seq,
        'version', h.access_version,
        'openedByMe', coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = current_engagement(),
        'manages', manages(c.id), 'standsIn', stands_in(c.id),
        'member', (select jsonb_build_object('id', m.id,
                                             'status', case when m.seated_until <= current_instant() then 'ended'
                                                            else m.status end,
                                             'directTreatment', m.direct_treatment,
                                             'caseRole', m.case_role, 'emergency', m.kind = 'emergency')
                     from member m where m.case_id = c.id and m.engagement_id = current_engagement()
                    order by (m.status = 'accepted' and coalesce(m.seated_until > current_instant(), true)) desc,
                             m.kind = 'emergency', (m.status in ('invited', 'accepted')) desc, m.invited_at desc
                    limit 1),
        'subjectOf', (select coalesce(jsonb_agg(s.patient_id), '[]') from subject s
                       where s.case_id = c.id and is_me(s.patient_id)),
        'subjects', (select coalesce(jsonb_agg(s.patient_id order by s.patient_id), '[]') from subject s
                      where s.case_id = c.id),
        'grants', (select coalesce(jsonb_agg(jsonb_build_array(g.patient_id, g.category, g.domain, g.may_write,
                              g.ground, g.consent_id, g.visible_from_seq, g.threads_from_seq, g.valid_from, g.valid_until,
                              g.on_behalf_of)), '[]')
                     from access_grant g where g.case_id = c.id and g.engagement_id = current_engagement()))
      into v_standing
      from care_case c join case_head h on h.case_id = c.id
     where c.id = v_case;
    if v_standing is null then
        return null;
    end if;
    return v_standing || jsonb_build_object('entity', v_entity);
end
$$""",
}

POLICIES = (
    """
create policy app_select on break_glass for select to app using (
    account_id = current_account() or current_role_class() = 'privacy_officer'
    or confirmed_by_account_id = current_account()
    or (needs_second and started_at is null and ended_at is null and stands_beside(engagement_id))
    or break_glass_concerns_me(id)
)
""",
    f"""
create policy app_insert on break_glass for insert to app with check (
    account_id = current_account() and engagement_id = current_engagement() and created_at = current_instant()
    and current_role_class() in {CARE} and ended_at is null and reviewed_at is null
    and confirmed_by_engagement_id is null and (needs_second or started_at = created_at)
    and (needs_second or reason_code = 'life-threatening' or overdue_reviews(account_id) = 0)
)
""",
    """
create policy app_select on break_glass_case for select to app using (
    exists (select 1 from break_glass b where b.id = break_glass_id
               and (b.account_id = current_account() or current_role_class() = 'privacy_officer'
                    or b.confirmed_by_account_id = current_account()
                    or (is_me(patient_id) and b.citizen_told_from <= current_instant())))
    or manages(case_id)
)
""",
    # who is there in an emergency is not shown before the citizen may know
    "create policy emergency_quiet on member as restrictive for select to app using ("
    "kind <> 'emergency' or engagement_id = current_engagement() or emergency_shown(case_id, id))",
    # told to whoever broke the glass alone, by time, a second person or a reviewer
    """
create policy app_emergency on case_event for insert to app with check (
    actor_engagement_id is not distinct from current_engagement()
    and actor_account_id is not distinct from current_account()
    and body_sealed is null and category is null and type in ('access.changed', 'member.left')
    and case when current_engagement() is null then current_instant() is not null else settles_emergency(case_id) end
)
""",
    *(
        f"create policy sitting on {table} as restrictive for insert to app with check (sits(case_id))"
        for table in ("consent", "consent_decision", "safe_contact")
    ),
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("set local role keeper")
    op.execute("drop function end_lapsed_seats(uuid)")
    op.execute("drop function end_notices(uuid, uuid, uuid)")
    op.execute("reset role")
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
