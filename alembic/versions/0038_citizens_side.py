"""The citizen's side: reminders before a consent ends, and who looked at one's data.

A consent knows when its next reminder is due, so that each is given once, whoever sweeps. Who looked is read through
one function that shows a person the records about that person, without employees' names, and nothing of what is kept
from citizens. Source: DOMAIN R-18, R-30; BUNDLES.
"""

from alembic import op

revision = "0038"
down_revision = "0037"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    "alter table consent add column next_reminder_at text",
    # A change of type is computed for every row past row-level security and triggers; an update is not.
    "alter table consent alter column next_reminder_at type timestamptz using case"
    " when status = 'active' and valid_until > valid_from + interval '30 days' then valid_until - interval '30 days' end",
    "create index ix_consent_reminder on consent (next_reminder_at) where status = 'active'",
)

FUNCTIONS = {
    # Cases in which a reminder is due; a person who died is reminded of nothing.
    "due_reminders(p_now timestamptz)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct c.case_id from consent c
      join subject s on s.case_id = c.case_id and s.patient_id = c.patient_id
     where c.status = 'active' and c.next_reminder_at <= p_now and s.died_at is null
$$""",
    "reminders_of(p_case uuid)": f"""
returns table (consent_id uuid, patient_id uuid, valid_from timestamptz, valid_until timestamptz,
               review_months smallint, renew_on date, next_reminder_at timestamptz)
language sql stable {DEFINER} as $$
    select c.id, c.patient_id, c.valid_from, c.valid_until, c.review_months, c.renew_on, c.next_reminder_at
      from consent c join subject s on s.case_id = c.case_id and s.patient_id = c.patient_id
     where c.case_id = p_case and c.status = 'active' and c.next_reminder_at <= current_instant()
       and s.died_at is null
     order by c.id
$$""",
    # Says when next; of an active consent only, by who sits there or by time.
    "remind_of(p_case uuid, p_consent uuid, p_next timestamptz)": f"""
returns void language sql volatile {DEFINER} as $$
    update consent set next_reminder_at = p_next
     where case_id = p_case and id = p_consent and status = 'active'
       and (current_account() is null or seated(p_case))
$$""",
    # Who looked at or changed what is about oneself: like lines of one day come as the first of them. What is kept
    # from the citizen stays out: the steps of the meldcode, and an emergency that is not told of yet.
    "who_looked(p_from timestamptz, p_until timestamptz, p_before timestamptz, p_last text, p_limit integer)": f"""
returns table (at timestamptz, id text, patient_id uuid, case_id uuid, organisation_id uuid, organisation text,
               actor_role text, responsible_role text, action text, action_code text, outcome text, category text,
               domain text, ground text, consent_id uuid, purpose text, times bigint)
language sql stable {DEFINER} as $$
    with seen as (
        select a.recorded_at, a.id::text as id, a.patient_id, a.case_id, a.organisation_id, a.actor_role,
               a.on_behalf_of, a.action, a.action_code, a.outcome, a.category, a.domain, a.ground, a.consent_id,
               a.purpose
          from audit_event a
         where is_me(a.patient_id) and a.recorded_at >= p_from and a.recorded_at < p_until
           and a.actor_account_id is not null and a.actor_account_id <> current_account()
        union all
        select a.recorded_at, a.id::text, a.patient_id, a.case_id, e.organisation_id, e.role, null, 'message:receive',
               'R', a.outcome, a.category, a.domain, null, null, null
          from audit_event a cross join lateral unnest(a.audience) as heard (engagement_id)
          join engagement e on e.id = heard.engagement_id
         where is_me(a.patient_id) and a.recorded_at >= p_from and a.recorded_at < p_until
           and e.account_id <> current_account()
    ), told as (
        select s.* from seen s
         where s.category is distinct from 'safety_meldcode' and s.action not like 'safety-%'
           and s.action not like 'disclosure:%' and s.action not like 'safe-contact:%'
           and not ((s.ground = 'emergency' or s.action like 'break-glass:%') and exists (
                   select 1 from notice n where n.patient_id = s.patient_id and n.kind = 'break_glass_used'
                      and n.not_before > current_instant()))
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


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("grant select on audit_event to keeper")
    op.execute("create policy keeper_select on audit_event for select to keeper using (true)")
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
