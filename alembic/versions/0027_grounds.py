"""What consent and treatment meet: representatives, exclusions, objections, openings, emergencies and death.

Each is an input of the grants, recorded in somebody's name and never edited but for its end; the database refuses a
grant that none of them carries. Source: ADR 0011; DESIGN 5; DOMAIN R-2, R-7 to R-10, R-16.
"""

from alembic import op

revision = "0027"
down_revision = "0026"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
CATEGORIES = (
    "array['medical_summary', 'medication', 'mental_health', 'addiction', 'functional_adl', 'advance_care_planning', 'crisis_plan', 'youth_development', "
    "'education', 'living_situation', 'social_participation', 'finance_debt', 'work_income', 'identification', 'contact_network', "
    "'practical_coordination', 'plan_goals_actions', 'mdo_report', 'positive_health', 'zrm', 'safety_meldcode']"
)
PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"

RECORDED = """
    recorded_by_account_id uuid not null references account (id),
    recorded_by_engagement_id uuid not null references engagement (id),
    recorded_at timestamptz not null,
    ended_at timestamptz,
    ended_by_engagement_id uuid references engagement (id),
    primary key (case_id, id),
"""
ABOUT = "foreign key (case_id, patient_id) references subject (case_id, patient_id)"
AT_A_SEAT = "foreign key (case_id, member_id) references member (case_id, id)"
KNOWN = f"<@ {CATEGORIES}"

TABLES = (
    """
alter table subject
    add column died_on date,
    add column died_at timestamptz,
    add column death_recorded_by_engagement_id uuid references engagement (id),
    add constraint subject_death check (num_nulls(died_on, died_at, death_recorded_by_engagement_id) in (0, 3))
""",
    """
alter table member
    add column seated_until timestamptz,
    drop constraint member_check_1,
    drop constraint member_check_2,
    add constraint member_check_1 check (kind in ('person', 'function', 'team', 'emergency')),
    add constraint member_check_2 check ((kind in ('person', 'emergency')) = (engagement_id is not null)),
    add constraint member_emergency check ((kind = 'emergency') = (seated_until is not null)
                                           and (kind <> 'emergency' or not direct_treatment))
""",
    """
alter table access_grant
    drop constraint access_grant_check_3,
    add constraint access_grant_check_3 check (
        ground in ('subject', 'direct_treatment', 'public_task', 'consent', 'replacement', 'emergency')),
    add constraint access_grant_emergency check (ground <> 'emergency' or (valid_until is not null and not may_write))
""",
    f"""
create table representation (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    member_id uuid not null,
    engagement_id uuid not null references engagement (id),
    kind text not null,
    evidence text not null,
    evidence_sealed bytea,
    scope text[],
    capacity_lost boolean not null,
    valid_from timestamptz not null,
    valid_until timestamptz,{RECORDED}    {ABOUT},
    {AT_A_SEAT},
    constraint representation_kind check (
        kind in ('parent', 'guardian', 'curator', 'mentor', 'authorised', 'partner', 'family')),
    constraint representation_scope check (scope is null or (scope {KNOWN} and cardinality(scope) > 0)),
    constraint representation_period check (valid_until > valid_from)
)
""",
    f"""
create table withholding (
    case_id uuid not null,
    id uuid not null,
    representation_id uuid not null,
    categories text[],
    reason_sealed bytea not null,{RECORDED}    foreign key (case_id, representation_id) references representation (case_id, id),
    constraint withholding_categories check (categories is null or (categories {KNOWN} and cardinality(categories) > 0))
)
""",
    f"""
create table exclusion (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    account_id uuid not null references account (id),{RECORDED}    {ABOUT}
)
""",
    "create unique index uq_exclusion on exclusion (case_id, patient_id, account_id) where ended_at is null",
    f"""
create table objection (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    member_id uuid not null,
    categories text[],{RECORDED}    {ABOUT},
    {AT_A_SEAT},
    constraint objection_categories check (categories is null or (categories {KNOWN} and cardinality(categories) > 0))
)
""",
    f"""
create table opening (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    member_id uuid not null,
    category text not null,
    reason_sealed bytea not null,
    valid_until timestamptz,{RECORDED}    {ABOUT},
    {AT_A_SEAT},
    constraint opening_category check (category in ('mental_health', 'addiction', 'advance_care_planning')),
    constraint opening_period check (valid_until > recorded_at)
)
""",
    f"""
create table emergency_access (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    member_id uuid not null,
    life_threatening boolean not null,
    valid_from timestamptz not null,
    valid_until timestamptz not null,{RECORDED}    {ABOUT},
    {AT_A_SEAT},
    constraint emergency_access_period check (
        valid_until > valid_from and valid_until <= valid_from + interval '60 minutes')
)
""",
)

INPUTS = ("representation", "withholding", "exclusion", "objection", "opening", "emergency_access")

OWN_SEAT = """exists (
        select 1 from member m
        where m.case_id = {row}.case_id and m.engagement_id = current_engagement() and m.status = 'accepted'
          and m.kind <> 'emergency'
    )"""
MINE = "recorded_by_engagement_id = current_engagement()"
PROFESSIONAL = f"(seated(case_id) and current_role_class() in {PROFESSIONALS})"

AT_MY_SEAT = """exists (
        select 1 from member m
        where m.case_id = opening.case_id and m.id = opening.member_id and m.engagement_id = current_engagement()
    )"""

READABLE = {
    # Parents know of each other's say no more than of each other's reasons.
    "representation": f"is_me(patient_id) or engagement_id = current_engagement() or {PROFESSIONAL}",
    "withholding": f"{MINE} or {PROFESSIONAL}",
    # Whoever is meant does not learn of it, not even as a case manager.
    "exclusion": f"account_id <> current_account() and ({MINE} or is_me(patient_id) or manages(case_id))",
    "objection": f"{MINE} or is_me(patient_id) or manages(case_id)",
    # That there is something to open is for nobody else to know.
    "opening": f"{MINE} or is_me(patient_id) or manages(case_id) or {AT_MY_SEAT}",
    "emergency_access": f"{MINE} or manages(case_id)",
}

FUNCTIONS = {
    # An exclusion gives way to a threatened life alone.
    "not_excluded(g access_grant)": f"""
returns boolean language sql stable {DEFINER} as $$
    select not exists (select 1 from exclusion x
                        where x.case_id = g.case_id and x.patient_id = g.patient_id and x.account_id = g.account_id
                          and x.ended_at is null)
        or (g.ground = 'emergency' and exists (
            select 1 from emergency_access y
             where y.case_id = g.case_id and y.patient_id = g.patient_id and y.member_id = g.member_id
               and y.ended_at is null and y.life_threatening))
$$""",
    # One's own access and that of one's own people ends with death; professionals have a closing round of 30 days.
    "while_alive(g access_grant)": f"""
returns boolean language sql stable {DEFINER} as $$
    select not exists (
        select 1 from subject s join engagement e on e.id = g.engagement_id
         where s.case_id = g.case_id and s.patient_id = g.patient_id and s.died_at is not null
           and (g.valid_until is null or g.valid_until > case
                when e.role in ('citizen', 'representative', 'informal_carer') and g.ground <> 'replacement'
                then s.died_at else s.died_at + interval '30 days' end))
$$""",
    # Seats of whoever broke the glass, once their time is over.
    "end_lapsed_seats(p_case uuid)": f"""
returns void language sql volatile {DEFINER} as $$
    update member m set status = 'ended', ended_at = m.seated_until
     where m.case_id = p_case and m.kind = 'emergency' and m.status = 'accepted'
       and m.seated_until <= current_instant()
$$""",
}
EXECUTORS = {"end_lapsed_seats(p_case uuid)": "app"}

REPLACED = {
    "seated(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from member m where m.case_id = p_case and m.engagement_id = current_engagement()
                      and m.status = 'accepted' and (m.seated_until is null or m.seated_until > current_instant()))
        or stands_in(p_case)
$$""",
    "lapsed(p_now timestamptz)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select case_id from access_grant where valid_until <= p_now
    union
    select case_id from access_grant where not announced and valid_from <= p_now
    union
    select case_id from consent where status = 'active' and valid_until <= p_now
    union
    select case_id from member where kind = 'emergency' and status = 'accepted' and seated_until <= p_now
    union
    select g.case_id from engagement e join access_grant g on g.engagement_id = e.id where e.valid_until <= p_now
$$""",
    "reads_consent(p_case uuid, p_consent uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1
        from consent c
        left join member m on m.case_id = c.case_id and m.engagement_id = current_engagement()
                          and m.status = 'accepted' and m.kind <> 'emergency'
        where c.case_id = p_case and c.id = p_consent
          and (is_me(c.patient_id)
               or (m.id is not null and (
                    c.recorded_by_engagement_id = current_engagement()
                    or manages(p_case)
                    or (c.status not in ('asked', 'proposed', 'refused') and exists (
                        select 1 from consent_recipient r
                        join engagement e on e.id = current_engagement()
                        where r.case_id = c.case_id and r.consent_id = c.id
                          and ((r.type = 'member' and r.recipient_id = m.id)
                            or (r.type = 'organisation' and r.recipient_id = e.organisation_id)
                            or (r.type = 'role' and r.role = e.role)
                            or (r.type = 'team' and exists (
                                select 1 from team_member t
                                where t.team_id = r.recipient_id and t.engagement_id = e.id
                                  and t.valid_from <= current_instant()
                                  and (t.valid_until is null or t.valid_until > current_instant())))))))))
    )
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
        'version', h.access_version, 'openedByMe', coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = current_engagement(),
        'manages', manages(c.id), 'standsIn', stands_in(c.id),
        'member', (select jsonb_build_object('id', m.id, 'status', case when m.seated_until <= current_instant() then 'ended' else m.status end,
                                             'directTreatment', m.direct_treatment,
                                             'caseRole', m.case_role)
                     from member m where m.case_id = c.id and m.engagement_id = current_engagement()
                    order by (m.status in ('invited', 'accepted')) desc, m.invited_at desc limit 1),
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
    "grant_inputs(p_case uuid)": f"""
returns jsonb language sql stable {DEFINER} as $$
    with seat as (
        select m.id as member_id, m.direct_treatment, m.history_from_seq, e.*,
               greatest(m.decided_at, p.valid_from, t.valid_from) as begins, least(p.valid_until, t.valid_until, m.seated_until) as ends,
               m.kind = 'emergency' as emergency
          from member m
          left join team_member t on m.kind = 'team' and t.team_id = m.team_id
            and exists (select 1 from team x where x.id = t.team_id and x.status <> 'suspended')
          join engagement e on e.id = coalesce(m.engagement_id, t.engagement_id)
            or (m.kind = 'function' and e.organisation_id = m.organisation_id and e.role = m.function_role)
          cross join lateral engagement_period(e.id) p
         where m.case_id = p_case and m.status = 'accepted'
    )
    select jsonb_build_object(
        'case', jsonb_build_object('openedBy', coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id),
                                   'domain', c.domain, 'status', c.status),
        'seq', h.seq,
        'subjects', (select coalesce(jsonb_agg(jsonb_build_object('patientId', s.patient_id,
                                'accountId', p.account_id, 'diedAt', s.died_at)), '[]')
                       from subject s join patient p on p.id = s.patient_id where s.case_id = c.id),
        'seats', (select coalesce(jsonb_agg(jsonb_build_object(
                        'memberId', s.member_id, 'engagementId', s.id, 'accountId', s.account_id, 'role', s.role,
                        'speciality', s.speciality, 'domain', s.domain, 'law', s.law, 'organisationId', s.organisation_id,
                        'directTreatment', s.direct_treatment, 'fromSeq', s.history_from_seq,
                        'validFrom', s.begins, 'validUntil', s.ends, 'emergency', s.emergency,
                        'teams', (select coalesce(jsonb_agg(jsonb_build_array(x.team_id, x.valid_from, x.valid_until)),
                                         '[]')
                                    from team_member x join team y on y.id = x.team_id and y.status <> 'suspended'
                                   where x.engagement_id = s.id))), '[]')
                    from seat s where s.ends is null or s.ends > s.begins),
        'replacements', (select coalesce(jsonb_agg(jsonb_build_object(
                        'id', r.id, 'replacedEngagementId', r.replaced_engagement_id, 'replacedAccountId', o.account_id,
                        'substituteEngagementId', e.id, 'substituteAccountId', e.account_id,
                        'validFrom', greatest(r.valid_from, p.valid_from),
                        'validUntil', least(r.valid_until, p.valid_until))), '[]')
                    from replacement r
                    join engagement o on o.id = r.replaced_engagement_id
                    join engagement e on e.id = r.substitute_engagement_id
                    cross join lateral engagement_period(e.id) p
                   where r.cancelled_at is null and r.replaced_engagement_id in (select s.id from seat s)
                     and least(r.valid_until, p.valid_until) > greatest(r.valid_from, p.valid_from)),
        'tasks', (select coalesce(jsonb_agg(jsonb_build_object('memberId', t.member_id, 'law', t.law,
                         'validFrom', t.valid_from, 'validUntil', t.valid_until)), '[]')
                    from public_task t where t.case_id = c.id),
        'consents', (select coalesce(jsonb_agg(jsonb_build_object(
                        'id', k.id, 'patientId', k.patient_id, 'fromDomains', to_jsonb(k.from_domains),
                        'categories', to_jsonb(k.categories), 'bothWays', k.both_ways, 'fromSeq', k.history_from_seq,
                        'threadsFromSeq', k.threads_from_seq, 'validFrom', k.valid_from, 'validUntil', k.valid_until,
                        'recipients', (select coalesce(jsonb_agg(jsonb_build_object('type', r.type,
                                              'id', r.recipient_id, 'role', r.role) order by r.ordinal), '[]')
                                         from consent_recipient r
                                        where r.case_id = k.case_id and r.consent_id = k.id))), '[]')
                       from consent k
                      where k.case_id = c.id and k.kind = 'lift_secrecy' and k.status = 'active'),
        'represents', (select coalesce(jsonb_agg(jsonb_build_object(
                        'patientId', r.patient_id, 'memberId', r.member_id, 'scope', to_jsonb(r.scope),
                        'withheld', (select to_jsonb(coalesce(array_agg(distinct x.one), '{{}}'))
                                       from withholding w
                                      cross join unnest(coalesce(w.categories, r.scope, {CATEGORIES})) as x (one)
                                      where w.case_id = r.case_id and w.representation_id = r.id and w.ended_at is null),
                        'validFrom', r.valid_from, 'validUntil', r.valid_until)), '[]')
                    from representation r where r.case_id = c.id and r.ended_at is null),
        'exclusions', (select coalesce(jsonb_agg(jsonb_build_object('patientId', x.patient_id,
                               'accountId', x.account_id)), '[]')
                         from exclusion x where x.case_id = c.id and x.ended_at is null),
        'objections', (select coalesce(jsonb_agg(jsonb_build_object('patientId', o.patient_id, 'memberId', o.member_id,
                               'categories', to_jsonb(o.categories))), '[]')
                         from objection o where o.case_id = c.id and o.ended_at is null),
        'openings', (select coalesce(jsonb_agg(jsonb_build_object('patientId', o.patient_id, 'memberId', o.member_id,
                               'category', o.category, 'validFrom', o.recorded_at, 'validUntil', o.valid_until)), '[]')
                       from opening o where o.case_id = c.id and o.ended_at is null),
        'emergencies', (select coalesce(jsonb_agg(jsonb_build_object('patientId', y.patient_id,
                               'memberId', y.member_id, 'lifeThreatening', y.life_threatening,
                               'validFrom', y.valid_from, 'validUntil', y.valid_until)), '[]')
                          from emergency_access y where y.case_id = c.id and y.ended_at is null),
        'grants', (select coalesce(jsonb_agg(to_jsonb(g)), '[]') from access_grant g where g.case_id = c.id))
      from care_case c join case_head h on h.case_id = c.id where c.id = p_case
$$""",
    "rests_on_something(g access_grant)": f"""
returns boolean language sql stable {DEFINER} as $$
    select not_excluded(g) and while_alive(g) and case g.ground
        when 'replacement' then exists (
            select 1
              from replacement r
              join engagement o on o.id = r.replaced_engagement_id and o.account_id = g.on_behalf_of
              join engagement e on e.id = r.substitute_engagement_id and e.id = g.engagement_id and e.account_id = g.account_id
              cross join lateral engagement_period(e.id) p
              join access_grant f on f.case_id = g.case_id and f.member_id = g.member_id and f.engagement_id = o.id
             where r.id = g.replacement_id and r.cancelled_at is null
               and f.patient_id = g.patient_id and f.category = g.category and f.domain = g.domain
               and f.ground not in ('subject', 'replacement') and f.consent_id is not distinct from g.consent_id
               and (f.may_write or not g.may_write) and g.visible_from_seq >= f.visible_from_seq
               and g.threads_from_seq >= f.threads_from_seq
               and g.valid_from >= greatest(f.valid_from, r.valid_from, p.valid_from)
               and g.valid_until <= least(f.valid_until, r.valid_until, p.valid_until))
        else exists (
            select 1
              from member m
              join engagement e on e.id = g.engagement_id and e.account_id = g.account_id
              cross join lateral engagement_period(e.id) w
              join subject s on s.case_id = g.case_id and s.patient_id = g.patient_id
              join patient p on p.id = s.patient_id
             where m.case_id = g.case_id and m.id = g.member_id and m.status = 'accepted'
               and (m.engagement_id = e.id
                    or (m.kind = 'function' and m.organisation_id = e.organisation_id and m.function_role = e.role)
                    or exists (select 1 from team_member t join team y on y.id = t.team_id and y.status <> 'suspended'
                                where t.team_id = m.team_id and t.engagement_id = e.id
                                  and t.valid_from <= g.valid_from
                                  and (t.valid_until is null or g.valid_until <= t.valid_until)))
               and g.valid_from >= greatest(m.decided_at, w.valid_from)
               and (w.valid_until is null or g.valid_until <= w.valid_until)
               and (g.ground in ('subject', 'emergency') or g.visible_from_seq >= m.history_from_seq)
               and (m.seated_until is null or g.valid_until <= m.seated_until)
               and g.category <> 'safety_meldcode' and (g.ground = 'subject' or g.consent_id is not null
                                                        or g.category not in ('finance_debt', 'work_income'))
               and case g.ground
                   when 'subject' then (e.role = 'citizen' and p.account_id = e.account_id) or exists (
                       select 1 from representation r
                        where e.role = 'representative' and r.case_id = g.case_id and r.patient_id = g.patient_id
                          and r.member_id = m.id and r.ended_at is null and r.valid_from <= g.valid_from
                          and (r.valid_until is null or g.valid_until <= r.valid_until)
                          and ((g.category in ('identification', 'contact_network') and not g.may_write) or ((r.scope is null or g.category = any (r.scope))
                               and not exists (
                                   select 1 from withholding w
                                    where w.case_id = r.case_id and w.representation_id = r.id and w.ended_at is null
                                      and (w.categories is null or g.category = any (w.categories))))))
                   when 'direct_treatment' then m.kind <> 'emergency' and m.direct_treatment
                       and e.domain in ('care', 'youth') and e.role in ('gp', 'poh', 'district_nurse', 'specialist')
                       and ((g.category in ('identification', 'contact_network') and not g.may_write) or not exists (
                            select 1 from objection o
                             where o.case_id = g.case_id and o.member_id = m.id and o.patient_id = g.patient_id
                               and o.ended_at is null and (o.categories is null or g.category = any (o.categories))))
                       and (g.category not in ('mental_health', 'addiction', 'advance_care_planning') or exists (
                            select 1 from opening o
                             where o.case_id = g.case_id and o.member_id = m.id and o.patient_id = g.patient_id
                               and o.category = g.category and o.ended_at is null and o.recorded_at <= g.valid_from
                               and (o.valid_until is null or g.valid_until <= o.valid_until)))
                   when 'emergency' then not g.may_write and exists (
                       select 1 from emergency_access y
                        where y.case_id = g.case_id and y.member_id = m.id and y.patient_id = g.patient_id
                          and y.ended_at is null and y.valid_from <= g.valid_from and g.valid_until <= y.valid_until)
                   when 'public_task' then e.role = 'social_team' and exists (
                       select 1 from public_task t
                        where t.case_id = g.case_id and t.member_id = m.id and t.law = e.law
                          and t.valid_from <= g.valid_from and (t.valid_until is null or g.valid_until <= t.valid_until))
                   when 'consent' then m.kind <> 'emergency' and exists (
                       select 1 from consent c
                        where c.case_id = g.case_id and c.id = g.consent_id and c.patient_id = g.patient_id
                          and c.kind = 'lift_secrecy' and c.status = 'active'
                          and c.valid_from <= g.valid_from and (c.valid_until is null or g.valid_until <= c.valid_until)
                          and c.history_from_seq <= g.visible_from_seq and (c.both_ways or not g.may_write)
                          and (g.category = any (c.categories)
                               or (g.category in ('identification', 'contact_network') and not g.may_write))
                          -- what is not lifted but answered to shows only what was opened there since
                          and (g.domain = any (c.from_domains) or g.threads_from_seq >= c.threads_from_seq
                               or (g.category in ('identification', 'contact_network') and not g.may_write)))
                   end)
        end
$$""",
}

# Citizens say no for themselves, or through a professional at the table; the rest is a professional's to record.
RECORDABLE = {
    "representation": PROFESSIONAL,
    "withholding": PROFESSIONAL,
    "exclusion": f"(is_me(patient_id) or {PROFESSIONAL})",
    "objection": f"(is_me(patient_id) or {PROFESSIONAL})",
    "opening": PROFESSIONAL,
}

POLICIES = (
    # Nobody seats themselves by an emergency.
    "create policy no_emergency on member as restrictive for insert to app with check (kind <> 'emergency')",
    *(
        f"create policy app_select on {table} for select to app using ({readable})"
        for table, readable in READABLE.items()
    ),
    *(
        f"""
create policy app_insert on {table} for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and ended_at is null and {OWN_SEAT.format(row=table)} and {recordable}
)
"""
        for table, recordable in RECORDABLE.items()
    ),
    *(
        f"""
create policy app_update on {table} for update to app
    using (ended_at is null and {OWN_SEAT.format(row=table)} and {recordable})
    with check (ended_at = current_instant() and ended_by_engagement_id = current_engagement())
"""
        for table, recordable in RECORDABLE.items()
    ),
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in INPUTS:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy keeper_all on {table} to keeper using (true) with check (true)")
        op.execute(f"grant select, insert, update on {table} to keeper")
        op.execute(f"grant select on {table} to app")
    for table in RECORDABLE:
        op.execute(f"grant insert, update (ended_at, ended_by_engagement_id) on {table} to app")
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        if signature in EXECUTORS:
            op.execute(f"grant execute on function {signature} to {EXECUTORS[signature]}")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("grant execute on function mark_dirty() to owner")
    op.execute("reset role")
    for table in INPUTS:
        op.execute(
            f"create trigger {table}_is_an_input after insert or update or delete on {table}"
            " for each row execute function mark_dirty()"
        )
    op.execute("set local role keeper")
    op.execute("revoke execute on function mark_dirty() from owner")
    op.execute("reset role")
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
