"""An exclusion is of a person by a person, wherever they meet.

It was of one case: whoever was kept away opened another about the same citizen, and held there what treating opens. Now
every exclusion counts in every case about that person, whoever registered them; changing one locks and derives all of
those cases, and a case that is opened meanwhile waits. Source: DESIGN 5; ADR 0011.
"""

from alembic import op

revision = "0047"
down_revision = "0046"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
CATEGORIES = (
    "array['medical_summary', 'medication', 'mental_health', 'addiction', 'functional_adl', 'advance_care_planning', 'crisis_plan', 'youth_development', "
    "'education', 'living_situation', 'social_participation', 'finance_debt', 'work_income', 'identification', 'contact_network', "
    "'practical_coordination', 'plan_goals_actions', 'mdo_report', 'positive_health', 'zrm', 'safety_meldcode']"
)

INDEXES = (
    "create index ix_subject_patient on subject (patient_id)",
    "create index ix_exclusion_patient on exclusion (patient_id) where ended_at is null",
    "create index ix_exclusion_account on exclusion (account_id) where ended_at is null",
)

FUNCTIONS = {
    # One person, by all their registrations.
    "same_person(p_patient uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select p_patient
    union
    select o.id from patient p join patient o on o.bsn_link_index = p.bsn_link_index where p.id = p_patient
$$""",
    # The accounts that somebody keeps away.
    "excluded_by(p_patient uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct x.account_id from exclusion x
     where x.patient_id in (select same_person(p_patient)) and x.ended_at is null
$$""",
    # The cases about somebody, in the order in which cases are locked.
    "cases_about(p_patient uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct s.case_id from subject s where s.patient_id in (select same_person(p_patient)) order by 1
$$""",
    # What stands for one person among locks; several may come to a case at once, and none while an exclusion changes.
    "lock_of_person(p_patient uuid)": f"""
returns bigint language sql stable {DEFINER} as $$
    select hashtextextended('person ' || coalesce(encode(p.bsn_link_index, 'hex'), p.id::text), 0)
      from patient p where p.id = p_patient
$$""",
    # Holds every case about somebody: those there are, then the person, then those that came meanwhile.
    "hold_cases_about(p_patient uuid)": f"""
returns setof uuid language plpgsql volatile {DEFINER} as $$
begin
    perform 1 from case_head h where h.case_id in (select cases_about(p_patient)) order by h.case_id for update;
    perform pg_advisory_xact_lock(lock_of_person(p_patient));
    perform 1 from case_head h where h.case_id in (select cases_about(p_patient)) order by h.case_id for update;
    return query select cases_about(p_patient);
end
$$""",
    # The same for who sits with them, to change an exclusion.
    "hold_person(p_case uuid, p_patient uuid)": f"""
returns setof uuid language plpgsql volatile {DEFINER} as $$
begin
    if not sits(p_case) or not exists (select 1 from subject s where s.case_id = p_case and s.patient_id = p_patient)
    then
        raise exception 'nobody holds the cases of a stranger' using errcode = 'insufficient_privilege';
    end if;
    return query select hold_cases_about(p_patient);
end
$$""",
    # A trigger's: somebody comes to a case.
    "await_exclusions()": f"""
returns trigger language plpgsql volatile {DEFINER} as $$
begin
    perform pg_advisory_xact_lock_shared(lock_of_person(new.patient_id));
    return null;
end
$$""",
    # A trigger's: all of that person's cases are to be derived before anything commits.
    "mark_cases_about()": f"""
returns trigger language plpgsql volatile {DEFINER} as $$
declare
    v_cases uuid[] := array(select hold_cases_about(coalesce(new.patient_id, old.patient_id)));
begin
    update case_head set dirty = true where case_id = any (v_cases);
    return null;
end
$$""",
    # Whether the actor just changed an exclusion that counts in this case too.
    "changes_exclusion(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from subject s join exclusion x on x.patient_id in (select same_person(s.patient_id))
         where s.case_id = p_case
           and ((x.recorded_by_engagement_id = current_engagement() and x.recorded_at = current_instant())
             or (x.ended_by_engagement_id = current_engagement() and x.ended_at = current_instant())))
$$""",
}
EXECUTORS = {"hold_person(p_case uuid, p_patient uuid)": "app", "changes_exclusion(p_case uuid)": "app"}

REPLACED = {
    # As before, by an exclusion in whatever case.
    "kept_away(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from exclusion x
                    where x.account_id = current_account() and x.ended_at is null
                      and x.patient_id in (select same_person(p_patient)))
$$""",
    "told_of_consent(p_case uuid, p_consent uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select a.engagement_id
      from consent_audience(p_case, p_consent) as a (engagement_id)
      join engagement e on e.id = a.engagement_id
     where e.account_id not in (select excluded_by(c.patient_id) from consent c
                                 where c.case_id = p_case and c.id = p_consent)
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
         where p_to = 'citizen' and s.case_id = p_case and s.patient_id = p_whom and s.died_at is null
        union all
        select e.id, null from engagement e where p_to in ('always', 'engaged') and e.id = p_whom
        union all
        select m.engagement_id, null
          from member m join care_case c on c.id = m.case_id join engagement e on e.id = m.engagement_id
         where p_to = 'managers' and m.case_id = p_case and m.status = 'accepted' and m.kind <> 'emergency'
           and exists (select 1 from subject s
                        where s.case_id = p_case and s.patient_id = coalesce(p_whom, s.patient_id)
                          and e.account_id not in (select excluded_by(s.patient_id)))
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
    "gps_to_ask(p_case uuid, p_organisation uuid)": f"""
returns table (engagement_id uuid, kept_away boolean) language sql stable {DEFINER} as $$
    select e.id, exists (select 1 from subject s cross join lateral excluded_by(s.patient_id) as x (account_id)
                          where s.case_id = p_case and x.account_id = e.account_id)
      from engagement e
     where e.organisation_id = p_organisation and e.role = 'gp' and engagement_in_force(e.id, current_instant())
       and (announces_practice(p_case) or receives_practice(p_case))
     order by 1
$$""",
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
           and (v.reason_code = 'life-threatening' or v.account_id not in (select excluded_by(s.patient_id)))
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
                                   'domain', c.domain, 'status', c.status, 'organisationId', c.organisation_id),
        'seq', h.seq,
        'subjects', (select coalesce(jsonb_agg(jsonb_build_object('patientId', s.patient_id,
                                'accountId', p.account_id, 'diedAt', s.died_at,
                                'participation', participation(s.case_id, s.patient_id), 'until', t.until)), '[]')
                       from subject s join patient p on p.id = s.patient_id
                      cross join lateral takes_part(s.case_id, s.patient_id) t where s.case_id = c.id),
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
        'exclusions', (select coalesce(jsonb_agg(jsonb_build_object('patientId', s.patient_id,
                               'accountId', x.account_id) order by s.patient_id, x.account_id), '[]')
                         from subject s cross join lateral excluded_by(s.patient_id) as x (account_id)
                        where s.case_id = c.id),
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
    "unfounded(p_case uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    with held as materialized (
        select g.*, g.category in ('identification', 'contact_network') and not g.may_write as implied
          from access_grant g where g.case_id = p_case
    ), person as materialized (
        -- whoever takes part, until when, in which periods they agreed to that where they are asked, and without whom
        select s.patient_id, p.account_id, s.died_at, t.until, participation(s.case_id, s.patient_id) as agreed,
               array(select excluded_by(s.patient_id)) as excluded
          from subject s join patient p on p.id = s.patient_id
         cross join lateral takes_part(s.case_id, s.patient_id) t
         where s.case_id = p_case
    ), seat as materialized (
        -- whoever holds something by a place at the table, and when they have it
        select m.id as member_id, m.kind, m.direct_treatment, m.history_from_seq, e.id as engagement_id, e.account_id,
               e.role, e.domain, e.law, greatest(m.decided_at, w.valid_from, t.valid_from) as begins,
               least(m.seated_until, w.valid_until, t.valid_until) as ends
          from (select distinct h.member_id, h.engagement_id from held h where h.ground <> 'replacement') as h
          join member m on m.case_id = p_case and m.id = h.member_id and m.status = 'accepted'
          join engagement e on e.id = h.engagement_id
         cross join lateral engagement_period(e.id) w
          left join team_member t on t.team_id = m.team_id and t.engagement_id = e.id
           and exists (select 1 from team y where y.id = t.team_id and y.status <> 'suspended')
         where m.engagement_id = e.id or t.team_id is not null
            or (m.kind = 'function' and m.organisation_id = e.organisation_id and m.function_role = e.role)
    ), stand_in as materialized (
        select r.id, r.replaced_engagement_id, o.account_id as replaced_account_id, o.organisation_id,
               e.id as engagement_id, e.account_id, greatest(r.valid_from, p.valid_from) as begins,
               least(r.valid_until, p.valid_until) as ends
          from replacement r
          join engagement o on o.id = r.replaced_engagement_id
          join engagement e on e.id = r.substitute_engagement_id
         cross join lateral engagement_period(e.id) p
         where r.cancelled_at is null
           and r.id in (select h.replacement_id from held h where h.ground = 'replacement')
    ), founded as materialized (
        select g.id
          from held g
          join stand_in r on r.id = g.replacement_id and r.engagement_id = g.engagement_id
           and r.account_id = g.account_id and r.replaced_account_id = g.on_behalf_of
          join held f on f.member_id = g.member_id and f.engagement_id = r.replaced_engagement_id
           and f.patient_id = g.patient_id and f.category = g.category and f.domain = g.domain
         where g.ground = 'replacement'
           and f.ground not in ('subject', 'replacement') and f.consent_id is not distinct from g.consent_id
           and (f.may_write or not g.may_write) and g.visible_from_seq >= f.visible_from_seq
           and g.threads_from_seq >= f.threads_from_seq
           and g.valid_from >= greatest(f.valid_from, r.begins) and g.valid_until <= least(f.valid_until, r.ends)
        union all
        select g.id
          from held g
          join seat s on s.member_id = g.member_id and s.engagement_id = g.engagement_id
           and s.account_id = g.account_id and g.valid_from >= s.begins and (s.ends is null or g.valid_until <= s.ends)
          join person p on p.patient_id = g.patient_id
         where (g.ground in ('subject', 'emergency') or g.visible_from_seq >= s.history_from_seq)
           and g.category <> 'safety_meldcode'
           and (g.ground = 'subject' or g.consent_id is not null or g.category not in ('finance_debt', 'work_income'))
           and case g.ground
               when 'subject' then (s.role = 'citizen' and p.account_id = s.account_id) or exists (
                   select 1 from representation r
                    where s.role = 'representative' and r.case_id = p_case and r.patient_id = g.patient_id
                      and r.member_id = s.member_id and r.ended_at is null and r.valid_from <= g.valid_from
                      and (r.valid_until is null or g.valid_until <= r.valid_until)
                      and (g.implied or ((r.scope is null or g.category = any (r.scope)) and not exists (
                           select 1 from withholding w
                            where w.case_id = r.case_id and w.representation_id = r.id and w.ended_at is null
                              and (w.categories is null or g.category = any (w.categories))))))
               when 'direct_treatment' then s.kind <> 'emergency' and s.direct_treatment
                   and s.domain in ('care', 'youth') and s.role in ('gp', 'poh', 'district_nurse', 'specialist')
                   and (g.implied or not exists (
                        select 1 from objection o
                         where o.case_id = p_case and o.member_id = s.member_id and o.patient_id = g.patient_id
                           and o.ended_at is null and (o.categories is null or g.category = any (o.categories))))
                   and (g.category not in ('mental_health', 'addiction', 'advance_care_planning') or exists (
                        select 1 from opening o
                         where o.case_id = p_case and o.member_id = s.member_id and o.patient_id = g.patient_id
                           and o.category = g.category and o.ended_at is null and o.recorded_at <= g.valid_from
                           and (o.valid_until is null or g.valid_until <= o.valid_until)))
               when 'emergency' then not g.may_write and exists (
                   select 1 from emergency_access y
                    where y.case_id = p_case and y.member_id = s.member_id and y.patient_id = g.patient_id
                      and y.ended_at is null and y.valid_from <= g.valid_from and g.valid_until <= y.valid_until)
               when 'public_task' then s.role = 'social_team' and exists (
                   select 1 from public_task t
                    where t.case_id = p_case and t.member_id = s.member_id and t.law = s.law
                      and t.valid_from <= g.valid_from and (t.valid_until is null or g.valid_until <= t.valid_until))
               when 'consent' then s.kind <> 'emergency' and exists (
                   select 1 from consent c
                    where c.case_id = p_case and c.id = g.consent_id and c.patient_id = g.patient_id
                      and c.kind = 'lift_secrecy' and c.status = 'active'
                      and c.valid_from <= g.valid_from and (c.valid_until is null or g.valid_until <= c.valid_until)
                      and c.history_from_seq <= g.visible_from_seq and (c.both_ways or not g.may_write)
                      and (g.category = any (c.categories) or g.implied)
                      -- what is not lifted but answered to shows only what was opened there since
                      and (g.domain = any (c.from_domains) or g.threads_from_seq >= c.threads_from_seq or g.implied))
               end
    )
    select g.id
      from held g
      join engagement e on e.id = g.engagement_id
      left join person p on p.patient_id = g.patient_id
     where not coalesce(
           g.id in (select f.id from founded f)
           -- as long as they take part, and as a death allows
           and p.patient_id is not null and (p.until is null or g.valid_until <= p.until)
           and (p.died_at is null or g.valid_until <= case
                when e.role in ('citizen', 'representative', 'informal_carer') and g.ground <> 'replacement'
                then p.died_at else p.died_at + interval '30 days' end)
           and (g.account_id <> all (p.excluded)
                or (g.ground = 'emergency' and exists (
                    select 1 from emergency_access y
                     where y.case_id = p_case and y.patient_id = g.patient_id and y.member_id = g.member_id
                       and y.ended_at is null and y.life_threatening)))
           -- where taking part is asked about: with a yes, or from the organisation that opened the case
           and (p.agreed is null or g.ground in ('subject', 'emergency') or g.implied
                or exists (select 1 from care_case c
                            where c.id = p_case and c.organisation_id = coalesce(
                                  (select r.organisation_id from stand_in r where r.id = g.replacement_id),
                                  e.organisation_id))
                or exists (select 1 from jsonb_array_elements(p.agreed) as a (period)
                            where (a.period ->> 0)::timestamptz <= g.valid_from
                              and (a.period ->> 1 is null or g.valid_until <= (a.period ->> 1)::timestamptz))),
           false)
$$""",
}

TRIGGERS = (
    "drop trigger exclusion_is_an_input on exclusion",
    "create trigger exclusion_is_an_input after insert or delete or update on exclusion"
    " for each row execute function mark_cases_about()",
    "create trigger subject_awaits_exclusions after insert on subject"
    " for each row execute function await_exclusions()",
)

POLICIES = (
    # Nobody's: who is kept away elsewhere is told what closed, and not where it was said.
    """
create policy app_exclusion on case_event for insert to app with check (
    type = 'access.changed' and body_sealed is null and category is null and addressees is not null
    and actor_account_id is null and actor_engagement_id is null and changes_exclusion(case_id)
)
""",
)


def upgrade() -> None:
    for statement in INDEXES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
    for statement in TRIGGERS:
        op.execute(statement)
    for signature in FUNCTIONS:
        op.execute(f"revoke execute on function {signature} from public")
        if signature in EXECUTORS:
            op.execute(f"grant execute on function {signature} to {EXECUTORS[signature]}")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
