"""Taking part at all: where the deployment asks for it, others than the opening organisation wait for a yes.

The yes is an active consent of kind ``agree_to_help``. Every connection of the service says what its deployment asks
(``overlegtafel.platform_consent``); one that says nothing is taken to ask. Source: Wabvpz 15a; issue 3 of 11, part 3.
"""

from alembic import op

revision = "0039"
down_revision = "0038"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
CATEGORIES = (
    "array['medical_summary', 'medication', 'mental_health', 'addiction', 'functional_adl', 'advance_care_planning', 'crisis_plan', 'youth_development', "
    "'education', 'living_situation', 'social_participation', 'finance_debt', 'work_income', 'identification', 'contact_network', "
    "'practical_coordination', 'plan_goals_actions', 'mdo_report', 'positive_health', 'zrm', 'safety_meldcode']"
)


FUNCTIONS = {
    # The periods in which somebody agreed to take part; null where nobody is asked.
    "participation(p_case uuid, p_patient uuid)": f"""
returns jsonb language sql stable {DEFINER} as $$
    select case when coalesce(nullif(current_setting('overlegtafel.platform_consent', true), ''), 'required')
                     = 'informed' then null
           else (select coalesce(jsonb_agg(jsonb_build_array(k.valid_from, k.valid_until)), '[]')
                   from consent k
                  where k.case_id = p_case and k.patient_id = p_patient and k.kind = 'agree_to_help'
                    and k.status = 'active') end
$$""",
    "within_participation(g access_grant)": f"""
returns boolean language sql stable {DEFINER} as $$
    select participation(g.case_id, g.patient_id) is null
        or g.ground in ('subject', 'emergency')
        or exists (select 1 from engagement e join care_case c on c.id = g.case_id
                    where e.organisation_id = c.organisation_id
                      and e.id = case when g.ground = 'replacement'
                                      then (select r.replaced_engagement_id from replacement r where r.id = g.replacement_id)
                                      else g.engagement_id end)
        or (g.category in ('identification', 'contact_network') and not g.may_write)
        or exists (select 1 from jsonb_array_elements(participation(g.case_id, g.patient_id)) as p (period)
                    where (p.period ->> 0)::timestamptz <= g.valid_from
                      and (p.period ->> 1 is null
                           or (g.valid_until is not null and g.valid_until <= (p.period ->> 1)::timestamptz)))
$$""",
}

REPLACED = {
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
    select not_excluded(g) and while_alive(g) and within_participation(g) and case g.ground
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


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
