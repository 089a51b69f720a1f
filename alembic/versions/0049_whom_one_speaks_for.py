"""Representatives' side, and fences: whom one knows of, one's own favour, what a bundle asks, whose reminder it is.

A representative says no for whom they represent, within their scope, and is shown what of that person is theirs to
know: never what another representative did, what is withheld, or what a child decides alone. What the service refuses
of a professional who sees nothing of somebody, or would be their own recipient, the database refuses as well.
Source: issue 3 of 11, parts 4 and 8; ADR 0011; DOMAIN R-2, R-6, R-7 to R-10, R-30.
"""

from alembic import op

revision = "0049"
down_revision = "0048"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"
HELD = "r.ended_at is null and r.valid_from <= current_instant() and (r.valid_until is null or r.valid_until > current_instant())"
ALL = (
    "medical_summary medication mental_health addiction functional_adl advance_care_planning crisis_plan "
    "youth_development education living_situation social_participation finance_debt work_income identification "
    "contact_network practical_coordination plan_goals_actions mdo_report positive_health zrm"
)
BUNDLES = (
    ("zorgteam-rond-mij", True, "care", "medical_summary medication functional_adl advance_care_planning practical_coordination plan_goals_actions"),
    ("langer-thuis", True, "care", "functional_adl living_situation social_participation contact_network practical_coordination plan_goals_actions"),
    ("naaste-agenda", False, "care youth social", "practical_coordination"),
    ("naaste-denkt-mee", False, "care youth social", "contact_network practical_coordination plan_goals_actions mdo_report"),
    ("naaste-volledig", False, "care youth social", "medication mental_health functional_adl contact_network practical_coordination plan_goals_actions mdo_report"),
    ("hoofd-en-leven", True, "care social", "crisis_plan living_situation social_participation work_income plan_goals_actions"),
    ("epa-fact", True, "care", "medication mental_health crisis_plan living_situation practical_coordination plan_goals_actions"),
    ("epa-fact", True, "social", "crisis_plan living_situation practical_coordination plan_goals_actions"),
    ("rust-in-geld", True, "social", "finance_debt work_income plan_goals_actions"),
    ("werk-als-zorg", True, "care social", "social_participation work_income plan_goals_actions"),
    ("jeugd-en-gezin", True, "care youth social", "youth_development contact_network plan_goals_actions"),
    ("school-denkt-mee", True, "care youth social", "education plan_goals_actions"),
    ("een-gezin-een-plan", True, "care youth social", "practical_coordination plan_goals_actions"),
    ("eenmalig-meekijken", False, "care youth social", ALL),
    ("warme-overdracht", False, "care youth social", "identification contact_network plan_goals_actions"),
    ("naar-huis", True, "care", "medication functional_adl living_situation practical_coordination"),
    ("naar-huis", True, "social", "functional_adl living_situation practical_coordination"),
    ("laatste-fase", True, "care", "medication functional_adl advance_care_planning crisis_plan practical_coordination"),
    ("in-nood", True, "care", "medical_summary medication advance_care_planning crisis_plan identification contact_network practical_coordination"),
)
"""What version 2026-1 of the bundles may ask of each domain at most, and whether both ways; later versions come beside."""


def _bundle_rows() -> str:
    return ", ".join(
        f"('{code}', '2026-1', {str(both).lower()}, '{{{','.join(domains.split())}}}'::text[],"
        f" '{{{','.join(categories.split())}}}'::text[])"
        for code, both, domains, categories in BUNDLES
    )


FUNCTIONS = {
    # Whoever answers for a case: its manager, or the seated opener.
    "answers_for(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select manages(p_case) or (sits(p_case) and exists (
        select 1 from care_case c where c.id = p_case
           and coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = current_engagement()))
$$""",
    # Whether a professional at the table holds anything of this person, or answers for the case.
    "knows_of(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select current_role_class() in {PROFESSIONALS} and seated(p_case) and (answers_for(p_case) or exists (
        select 1 from access_grant g
         where g.case_id = p_case and g.patient_id = p_patient and g.engagement_id = current_engagement()
           and g.valid_from <= current_instant() and (g.valid_until is null or g.valid_until > current_instant())))
$$""",
    # Whether who acts represents this person in these categories; null is in everything.
    "speaks_about(p_case uuid, p_patient uuid, p_categories text[])": f"""
returns boolean language sql stable {DEFINER} as $$
    select represents(p_case, p_patient) and exists (
        select 1 from representation r
         where r.case_id = p_case and r.patient_id = p_patient and r.engagement_id = current_engagement() and {HELD}
           and (r.scope is null or coalesce(p_categories <@ r.scope, false)))
$$""",
    # Whether a category of this person is for the representative who acts to know of; null is what has none.
    "shown_for(p_case uuid, p_patient uuid, p_category text)": f"""
returns boolean language sql stable {DEFINER} as $$
    select represents(p_case, p_patient) and exists (
        select 1 from representation r
         where r.case_id = p_case and r.patient_id = p_patient and r.engagement_id = current_engagement() and {HELD}
           and (r.scope is null or p_category is null or p_category = any (r.scope))
           and not exists (select 1 from withholding w
                            where w.case_id = r.case_id and w.representation_id = r.id and w.ended_at is null
                              and (w.categories is null or p_category = any (w.categories))))
$$""",
    # Whether an account speaks for this person anywhere: a representative keeps no other representative away.
    "is_representative(p_patient uuid, p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from representation r join engagement e on e.id = r.engagement_id
                    where r.patient_id in (select same_person(p_patient)) and e.account_id = p_account and {HELD})
$$""",
    # Whether a bundle, as it was agreed, asks this of these domains.
    "bundle_asks(p_bundle text, p_version text, p_both_ways boolean, p_domains text[], p_categories text[])": f"""
returns boolean language sql immutable {DEFINER} as $$
    select coalesce(bool_and(exists (
        select 1 from (values {_bundle_rows()}) as b (bundle, version, both_ways, domains, categories)
         where b.bundle = p_bundle and b.version = p_version and (b.both_ways or not p_both_ways)
           and d.domain = any (b.domains) and p_categories <@ b.categories)), false)
      from unnest(p_domains) as d (domain)
$$""",
    # After a yes: nobody records one in their own favour, in whichever engagement, but the citizen. What narrows a
    # consent opens nothing.
    "refuse_own_favour()": f"""
returns trigger language plpgsql {DEFINER} as $$
begin
    if new.yes and exists (
        select 1 from consent c
          join consent_recipient r on r.case_id = c.case_id and r.consent_id = c.id
          join engagement e on e.account_id = current_account()
          join member m on m.case_id = c.case_id and m.status = 'accepted'
           and (m.engagement_id = e.id
                or (m.kind = 'function' and m.organisation_id = e.organisation_id and m.function_role = e.role)
                or (m.kind = 'team' and exists (select 1 from team_member t
                                                 where t.team_id = m.team_id and t.engagement_id = e.id)))
         where c.case_id = new.case_id and c.id = new.consent_id and c.kind = 'lift_secrecy'
           and c.refers_as is distinct from 'narrowing' and not is_me(c.patient_id)
           and ((r.type = 'member' and r.recipient_id = m.id)
                or (r.type = 'organisation' and r.recipient_id = e.organisation_id)
                or (r.type = 'role' and r.role = e.role)
                or (r.type = 'team' and exists (
                    select 1 from team_member t
                     where t.team_id = r.recipient_id and t.engagement_id = e.id
                       and t.valid_from <= current_instant()
                       and (t.valid_until is null or t.valid_until > current_instant())))))
    then
        raise exception 'nobody records consent in their own favour' using errcode = 'insufficient_privilege';
    end if;
    return null;
end
$$""",
    # What was decided about goes to nobody else.
    "refuse_late_recipient()": f"""
returns trigger language plpgsql {DEFINER} as $$
begin
    if exists (select 1 from consent_decision d where d.case_id = new.case_id and d.consent_id = new.consent_id) then
        raise exception 'this was decided already' using errcode = 'insufficient_privilege';
    end if;
    return null;
end
$$""",
}
NOBODY_S = {"refuse_own_favour()", "refuse_late_recipient()", "shown_for(p_case uuid, p_patient uuid, p_category text)"}

REPLACED = {
    # As before, by whoever decided about it in this transaction, or by time.
    "remind_of(p_case uuid, p_consent uuid, p_next timestamptz)": f"""
returns void language sql volatile {DEFINER} as $$
    update consent set next_reminder_at = p_next
     where case_id = p_case and id = p_consent and status = 'active'
       and (current_account() is null or (seated(p_case) and exists (
            select 1 from consent_decision d
             where d.case_id = p_case and d.consent_id = p_consent and d.recorded_at = current_instant()
               and d.recorded_by_engagement_id = current_engagement())))
$$""",
    # As before; and to a representative what is theirs to know of whom they represent, but no other representative's.
    "case_access(p_case uuid, p_at timestamptz)": f"""
returns table (member_id uuid, engagement_id uuid, patient_id uuid, category text, domain text, may_write boolean,
               ground text, consent_id uuid, valid_until timestamptz)
language sql stable {DEFINER} as $$
    select g.member_id, g.engagement_id, g.patient_id, g.category, g.domain, g.may_write, g.ground, g.consent_id,
           g.valid_until
      from (select member_id, engagement_id, patient_id, category, domain, may_write, ground, consent_id, valid_from,
                   valid_until, granted_at, null::timestamptz as ended_at
              from access_grant where case_id = p_case
            union all
            select member_id, engagement_id, patient_id, category, domain, may_write, ground, consent_id, valid_from,
                   valid_until, granted_at, ended_at
              from ended_grant where case_id = p_case) g
     where g.valid_from <= p_at and (g.valid_until is null or g.valid_until > p_at)
       and (p_at >= current_instant() or g.granted_at <= p_at) and (g.ended_at is null or g.ended_at > p_at)
       and (g.engagement_id = current_engagement() or is_me(g.patient_id)
            or (manages(p_case) and not kept_away(p_case, g.patient_id))
            or (current_role_class() = 'representative' and shown_for(p_case, g.patient_id, g.category)
                and (g.consent_id is null or reads_consent(p_case, g.consent_id))
                and not exists (select 1 from engagement e
                                 where e.id = g.engagement_id and e.role = 'representative')))
$$""",
    # As before; and to a representative what others than the family did with what is theirs to know.
    "who_looked(p_from timestamptz, p_until timestamptz, p_before timestamptz, p_last text, p_limit integer)": f"""
returns table (at timestamptz, id text, patient_id uuid, case_id uuid, organisation_id uuid, organisation text,
               actor_role text, responsible_role text, action text, action_code text, outcome text, category text,
               domain text, ground text, consent_id uuid, purpose text, times bigint)
language sql stable {DEFINER} as $$
    with mine as (
        select p.id as patient_id, null::uuid as case_id from patient p
         where p.account_id = current_account() and current_role_class() = 'citizen'
        union all
        select distinct r.patient_id, r.case_id from representation r
         where r.engagement_id = current_engagement() and represents(r.case_id, r.patient_id)
    ), seen as (
        select a.recorded_at, a.id::text as id, a.patient_id, a.case_id, a.organisation_id, a.actor_role,
               a.on_behalf_of, a.action, a.action_code, a.outcome, a.category, a.domain, a.ground, a.consent_id,
               a.purpose, a.entity_type, a.entity_id, mine.case_id as only_case
          from audit_event a join mine on mine.patient_id = a.patient_id and (mine.case_id is null or a.case_id = mine.case_id)
         where a.recorded_at >= p_from and a.recorded_at < p_until
           and a.actor_account_id is not null and a.actor_account_id <> current_account()
        union all
        select a.recorded_at, a.id::text, a.patient_id, a.case_id, e.organisation_id, e.role, null, 'message:receive',
               'R', a.outcome, a.category, a.domain, null, null, null, a.entity_type, a.entity_id, mine.case_id
          from audit_event a join mine on mine.patient_id = a.patient_id and (mine.case_id is null or a.case_id = mine.case_id)
         cross join lateral unnest(a.audience) as heard (engagement_id)
          join engagement e on e.id = heard.engagement_id
         where a.recorded_at >= p_from and a.recorded_at < p_until and e.account_id <> current_account()
    ), told as (
        select s.* from seen s
         where s.category is distinct from 'safety_meldcode' and s.action not like 'safety-%'
           and s.action not like 'disclosure:%' and s.action not like 'safe-contact:%'
           and not ((s.ground = 'emergency' or s.action like 'break-glass:%') and exists (
                   select 1 from notice n
                    where (is_me(n.patient_id) or (s.only_case is not null and n.patient_id = s.patient_id))
                      and n.kind = 'break_glass_used' and n.not_before > current_instant()))
           and not exists (
                   select 1 from thread t
                    where t.case_id = s.case_id and t.release_at > current_instant()
                      and ((s.entity_type = 'thread' and s.entity_id = t.id)
                           or (s.entity_type = 'message' and exists (
                                  select 1 from case_event e where e.id = s.entity_id and e.thread_id = t.id))))
           -- of another's data a representative is told of what is theirs to know alone, and of nobody near
           and (s.only_case is null or (
                s.actor_role not in ('citizen', 'representative')
                and (s.category is not null or s.consent_id is not null or s.action in (
                     'case:access', 'case:open', 'case:read', 'member:list', 'thread:list'))
                and shown_for(s.only_case, s.patient_id, s.category)
                and (s.consent_id is null or reads_consent(s.only_case, s.consent_id))))
    ), merged as (
        select min(t.recorded_at) as at, min(t.id) as id, t.patient_id, t.case_id, t.organisation_id, t.actor_role,
               t.on_behalf_of, t.action, t.action_code, t.outcome, t.category, t.domain, t.ground, t.consent_id,
               t.purpose, count(*) as times
          from told t
         group by (t.recorded_at at time zone 'Europe/Amsterdam')::date, t.patient_id, t.case_id, t.organisation_id,
                  t.actor_role, t.on_behalf_of, t.action, t.action_code, t.outcome, t.category, t.domain, t.ground,
                  t.consent_id, t.purpose
    )
    select m.at, m.id, m.patient_id, m.case_id, m.organisation_id, o.name, m.actor_role,
           (select r.role from engagement r where r.account_id = m.on_behalf_of
             order by (r.organisation_id = m.organisation_id) desc nulls last, r.valid_from desc limit 1),
           m.action, m.action_code, m.outcome, m.category, m.domain, m.ground, m.consent_id, m.purpose, m.times
      from merged m left join organisation o on o.id = m.organisation_id
     where p_before is null or (m.at, m.id) < (p_before, p_last)
     order by m.at desc, m.id desc limit p_limit
$$""",
}

RECORDED = """recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and ended_at is null and exists (
        select 1 from member m
        where m.case_id = {table}.case_id and m.engagement_id = current_engagement() and m.status = 'accepted'
          and m.kind <> 'emergency'
    )"""
MINE = "recorded_by_engagement_id = current_engagement()"
PROFESSIONAL = f"(seated(case_id) and current_role_class() in {PROFESSIONALS})"
OWN_DOMAIN = "from_domains <@ array[(select e.domain from engagement e where e.id = current_engagement())]"

BY_REPRESENTATIVE = {
    "exclusion": "(speaks_about(case_id, patient_id, null) and not is_representative(patient_id, account_id))",
    "objection": "speaks_about(case_id, patient_id, categories)",
}
RECORDABLE = {
    "representation": f"({PROFESSIONAL} and answers_for(case_id))",
    "exclusion": f"(is_me(patient_id) or knows_of(case_id, patient_id) or {BY_REPRESENTATIVE['exclusion']})",
    "objection": f"(is_me(patient_id) or knows_of(case_id, patient_id) or {BY_REPRESENTATIVE['objection']})",
    "opening": "knows_of(case_id, patient_id)",
}
ENDABLE = {
    "representation": f"({PROFESSIONAL} and answers_for(case_id))",
    # who recorded it can undo it, also where that was the last thing they saw of somebody
    **dict.fromkeys(
        ("exclusion", "objection"),
        f"(is_me(patient_id) or ({PROFESSIONAL} and ({MINE} or knows_of(case_id, patient_id)))"
        f" or ({MINE} and represents(case_id, patient_id)))",
    ),
    "opening": f"({PROFESSIONAL} and ({MINE} or knows_of(case_id, patient_id)))",
}
SEEN_BY_WHO_RECORDED = (
    f"({MINE} and (current_role_class() is distinct from 'representative' or represents(case_id, patient_id)))"
)
READABLE = {
    "representation": "is_me(patient_id) or engagement_id = current_engagement() or knows_of(case_id, patient_id)",
    "exclusion": f"account_id <> current_account() and ({SEEN_BY_WHO_RECORDED} or is_me(patient_id) or manages(case_id))",
    "objection": f"{SEEN_BY_WHO_RECORDED} or is_me(patient_id) or manages(case_id)",
}

POLICIES = (
    *(
        statement
        for table, readable in READABLE.items()
        for statement in (
            f"drop policy app_select on {table}",
            f"create policy app_select on {table} for select to app using ({readable})",
        )
    ),
    *(
        statement
        for table, recordable in RECORDABLE.items()
        for statement in (
            f"drop policy app_insert on {table}",
            f"create policy app_insert on {table} for insert to app"
            f" with check ({RECORDED.format(table=table)} and {recordable})",
            f"drop policy app_update on {table}",
            f"create policy app_update on {table} for update to app using (ended_at is null and"
            f" exists (select 1 from member m where m.case_id = {table}.case_id and m.status = 'accepted'"
            f" and m.engagement_id = current_engagement() and m.kind <> 'emergency') and {ENDABLE[table]})"
            " with check (ended_at = current_instant() and ended_by_engagement_id = current_engagement())",
        )
    ),
    # what a bundle would lift of another domain is what that bundle asks, about somebody whom one knows of
    "drop policy app_insert on consent",
    f"""
create policy app_insert on consent for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and status = 'asked' and exists (
        select 1 from member m
        where m.case_id = consent.case_id and m.engagement_id = current_engagement() and m.status = 'accepted'
    )
    and (kind <> 'lift_secrecy' or acts_for(case_id, patient_id) or {OWN_DOMAIN}
         or (bundle_asks(bundle, bundle_version, both_ways, from_domains, categories) and knows_of(case_id, patient_id)))
    and (current_role_class() not in ('citizen', 'representative') or acts_for(case_id, patient_id))
)
""",
)
TRIGGERS = {
    "refuse_own_favour()": "consent_decision",
    "refuse_late_recipient()": "consent_recipient",
}


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        if table := TRIGGERS.get(signature):
            op.execute(
                f"create trigger {signature.removesuffix('()')} after insert on {table}"
                f" for each row execute function {signature}"
            )
        if signature not in NOBODY_S:
            op.execute(f"grant execute on function {signature} to app")
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
