"""Who sees what, and who looked: a substitute goes by its own name, and what failed to open is not told.

Which cells a substitute holds for whom goes with the answer. That a thread failed to open is of no use to the citizen,
and would tell that something is about to be held back.
Source: DESIGN 5 (ground ``replacement``); ADR 0011; DOMAIN R-30.
"""

from alembic import op

revision = "0051"
down_revision = "0050"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

# As before; and of a substitute's cell, for which engagement it stands in.
CASE_ACCESS = f"""
create function case_access(p_case uuid, p_at timestamptz)
returns table (member_id uuid, engagement_id uuid, patient_id uuid, category text, domain text, may_write boolean,
               ground text, consent_id uuid, valid_until timestamptz, on_behalf_of uuid)
language sql stable {DEFINER} as $$
    select g.member_id, g.engagement_id, g.patient_id, g.category, g.domain, g.may_write, g.ground, g.consent_id,
           g.valid_until,
           (select r.replaced_engagement_id from replacement r where r.id = g.replacement_id)
      from (select member_id, engagement_id, patient_id, category, domain, may_write, ground, consent_id, valid_from,
                   valid_until, granted_at, replacement_id, null::timestamptz as ended_at
              from access_grant where case_id = p_case
            union all
            select member_id, engagement_id, patient_id, category, domain, may_write, ground, consent_id, valid_from,
                   valid_until, granted_at, replacement_id, ended_at
              from ended_grant where case_id = p_case) g
     where g.valid_from <= p_at and (g.valid_until is null or g.valid_until > p_at)
       and (p_at >= current_instant() or g.granted_at <= p_at) and (g.ended_at is null or g.ended_at > p_at)
       and (g.engagement_id = current_engagement() or is_me(g.patient_id)
            or (manages(p_case) and not kept_away(p_case, g.patient_id))
            or (current_role_class() = 'representative' and shown_for(p_case, g.patient_id, g.category)
                and (g.consent_id is null or reads_consent(p_case, g.consent_id))
                and not exists (select 1 from engagement e
                                 where e.id = g.engagement_id and e.role = 'representative')))
$$
"""

# As before; but no thread that failed to open.
WHO_LOOKED = f"""
create or replace function who_looked(p_from timestamptz, p_until timestamptz, p_before timestamptz, p_last text, p_limit integer)
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
           -- what was to be opened and was not may have been to wait
           and not (s.action = 'thread:open' and s.outcome = 'failure')
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
$$
"""


def upgrade() -> None:
    op.execute("drop function case_access")
    op.execute("grant create on schema public to keeper")
    op.execute(CASE_ACCESS)
    op.execute("revoke execute on function case_access from public")
    op.execute("grant execute on function case_access to app")
    op.execute("alter function case_access owner to keeper")
    op.execute("set local role keeper")
    op.execute(WHO_LOOKED)
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
