"""Threads held back: shown to the citizen's side at a moment at most fourteen days after they were opened.

Until then everybody but professionals neither sees the thread nor learns that there is one, by any way: rows, stream,
openings, posts, and who looked. A release is for good; it has a position in the stream, from which on sockets hear the
thread, and over HTTP it counts from its instant. A citizen's request for access releases at once.
Source: DESIGN 5, ground ``subject``; ADR 0011.
"""

from alembic import op

revision = "0043"
down_revision = "0042"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
ROLES = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"
"""Who sees what is held back; anybody else, of whatever role, does not."""
PROFESSIONAL = f"exists (select 1 from engagement p where p.id = l.engagement_id and p.role in {ROLES})"

TABLES = (
    "alter table thread add column release_at timestamptz, add column release_reason text,"
    " add column release_reason_sealed bytea, add column released_seq bigint",
    """
alter table thread
    add constraint thread_release_reason check (
        release_reason in ('talk-first', 'result-pending', 'consultation', 'other')
    ),
    add constraint thread_release_whole check (
        (release_at is null) = (release_reason is null) and (release_at is null) = (release_reason_sealed is null)
        and (released_seq is null or release_at is not null)
    ),
    add constraint thread_release_within check (
        release_at >= opened_at and release_at - opened_at <= interval '336 hours'
    )
""",
    "create index ix_thread_held on thread (release_at) where release_at is not null and released_seq is null",
    """
create table access_request (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    asked_by text not null,
    method text not null,
    recorded_by_account_id uuid not null,
    recorded_by_engagement_id uuid not null,
    recorded_at timestamptz not null,
    primary key (case_id, id),
    foreign key (case_id) references care_case (id),
    foreign key (case_id, patient_id) references subject (case_id, patient_id),
    foreign key (recorded_by_account_id) references account (id),
    foreign key (recorded_by_engagement_id) references engagement (id),
    constraint access_request_asked_by check (asked_by in ('patient', 'representative')),
    constraint access_request_method check (method in ('digital_2fa', 'oral_recorded'))
)
""",
    "alter table access_request enable row level security",
    "alter table access_request force row level security",
    "create policy keeper_all on access_request to keeper using (true) with check (true)",
    # added and never changed
    "grant select, insert on access_request to keeper, app",
)

FUNCTIONS = {
    # Whether everybody who reads it may know of it by now; what is in no thread, or in one that is yet to be, is.
    "thread_shown(p_case uuid, p_thread uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select not exists (select 1 from thread t
                        where t.case_id = p_case and t.id = p_thread and t.release_at > current_instant())
$$""",
    # Releases and tells, in one statement of one transaction: the instant moves forward only, and only once.
    "release_threads(p_case uuid, p_threads uuid[], p_why text)": f"""
returns table (thread_id uuid, patient_id uuid, category text, domain text) language plpgsql volatile {DEFINER} as $$
#variable_conflict use_column
declare
    v_base bigint;
    v_count bigint;
begin
    perform from case_head h where h.case_id = p_case for update;
    select count(*) into v_count from thread t
     where t.case_id = p_case and t.id = any (p_threads) and t.release_at is not null and t.released_seq is null;
    if v_count = 0 then
        return;
    end if;
    update case_head h set seq = h.seq + v_count where h.case_id = p_case returning h.seq - v_count into v_base;
    return query
    with due as (
        select t.id, row_number() over (order by t.opened_seq) as n from thread t
         where t.case_id = p_case and t.id = any (p_threads) and t.release_at is not null and t.released_seq is null
    ), released as (
        update thread t set release_at = least(t.release_at, current_instant()), released_seq = v_base + d.n
          from due d where t.case_id = p_case and t.id = d.id
        returning t.id, t.patient_id, t.category, t.domain, t.released_seq
    ), told as (
        insert into case_event (case_id, seq, id, type, at, actor_account_id, actor_engagement_id, thread_id,
                                patient_id, category, domain, data)
        select p_case, r.released_seq, gen_random_uuid(), 'thread.released', current_instant(), current_account(),
               current_engagement(), r.id, r.patient_id, r.category, r.domain,
               jsonb_build_object('id', r.id, 'why', p_why)
          from released r
    )
    select r.id, r.patient_id, r.category, r.domain from released r order by r.released_seq;
end
$$""",
    # What time releases; time is nobody.
    "release_due(p_case uuid)": f"""
returns table (thread_id uuid, patient_id uuid, category text, domain text) language sql volatile {DEFINER} as $$
    select * from release_threads(p_case, array(
        select t.id from thread t
         where t.case_id = p_case and t.released_seq is null and t.release_at <= current_instant()
           and current_account() is null), 'due')
$$""",
    "due_releases(p_now timestamptz)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct t.case_id from thread t where t.released_seq is null and t.release_at <= p_now
$$""",
    # Earlier, by a professional who may write there.
    "release_thread(p_case uuid, p_thread uuid)": f"""
returns table (thread_id uuid, patient_id uuid, category text, domain text) language sql volatile {DEFINER} as $$
    select * from release_threads(p_case, array(
        select t.id from thread t
          join access_grant g on g.case_id = t.case_id and g.patient_id = t.patient_id and g.category = t.category
                             and g.domain = t.domain and g.threads_from_seq <= t.opened_seq and g.may_write
                             and g.valid_from <= current_instant()
                             and (g.valid_until is null or g.valid_until > current_instant())
         where t.case_id = p_case and t.id = p_thread and g.engagement_id = current_engagement()
           and current_role_class() in {ROLES}), 'released')
$$""",
    # All that is held back from the citizen who asks; of a representative who asks, within what it reads itself.
    "release_asked(p_case uuid, p_request uuid)": f"""
returns table (thread_id uuid, patient_id uuid, category text, domain text) language sql volatile {DEFINER} as $$
    select * from release_threads(p_case, array(
        select t.id from thread t
          join access_request q on q.case_id = t.case_id and q.patient_id = t.patient_id
         where t.case_id = p_case and q.id = p_request and q.recorded_by_engagement_id = current_engagement()
           and q.recorded_at = current_instant()
           and (q.asked_by = 'patient' or exists (
               select 1 from access_grant g
                where g.case_id = t.case_id and g.engagement_id = current_engagement() and g.patient_id = t.patient_id
                  and g.category = t.category and g.domain = t.domain and g.threads_from_seq <= t.opened_seq
                  and g.valid_from <= current_instant()
                  and (g.valid_until is null or g.valid_until > current_instant())))), 'access-request')
$$""",
}

EXECUTORS = {"release_threads(p_case uuid, p_threads uuid[], p_why text)": None}

REPLACED = {
    # As before, with until when the thread is held back.
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
                                             'openedSeq', t.opened_seq, 'heldUntil', t.release_at)
          into v_case, v_entity from thread t where t.id = p_id;
    elsif p_kind = 'message' then
        select e.case_id, jsonb_build_object('patientId', e.patient_id, 'category', e.category, 'domain', e.domain,
                   'seq', e.seq, 'authorId', e.actor_account_id, 'retracted', e.retracted_seq is not null,
                   'threadId', e.thread_id, 'openedSeq', coalesce(t.opened_seq, 0),
                   'heldUntil', t.release_at)
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
        'represents', (select coalesce(jsonb_agg(s.patient_id), '[]') from subject s
                        where s.case_id = c.id and represents(c.id, s.patient_id)),
        'receives', receives_practice(c.id),
        'subjects', (select coalesce(jsonb_agg(s.patient_id order by s.patient_id), '[]') from subject s
                      where s.case_id = c.id),
        'grants', (select coalesce(jsonb_agg(jsonb_build_array(g.patient_id, g.category, g.domain, g.may_write,
                              g.ground, g.consent_id, g.visible_from_seq, g.threads_from_seq, g.valid_from,
                              g.valid_until, g.on_behalf_of)), '[]')
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
    # As before, without what would tell of a thread that is held back.
    "who_looked(p_from timestamptz, p_until timestamptz, p_before timestamptz, p_last text, p_limit integer)": f"""
returns table (at timestamptz, id text, patient_id uuid, case_id uuid, organisation_id uuid, organisation text,
               actor_role text, responsible_role text, action text, action_code text, outcome text, category text,
               domain text, ground text, consent_id uuid, purpose text, times bigint)
language sql stable {DEFINER} as $$
    with seen as (
        select a.recorded_at, a.id::text as id, a.patient_id, a.case_id, a.organisation_id, a.actor_role,
               a.on_behalf_of, a.action, a.action_code, a.outcome, a.category, a.domain, a.ground, a.consent_id,
               a.purpose, a.entity_type, a.entity_id
          from audit_event a
         where is_me(a.patient_id) and a.recorded_at >= p_from and a.recorded_at < p_until
           and a.actor_account_id is not null and a.actor_account_id <> current_account()
        union all
        select a.recorded_at, a.id::text, a.patient_id, a.case_id, e.organisation_id, e.role, null, 'message:receive',
               'R', a.outcome, a.category, a.domain, null, null, null,
               a.entity_type, a.entity_id
          from audit_event a cross join lateral unnest(a.audience) as heard (engagement_id)
          join engagement e on e.id = heard.engagement_id
         where is_me(a.patient_id) and a.recorded_at >= p_from and a.recorded_at < p_until
           and e.account_id <> current_account()
    ), told as (
        select s.* from seen s
         where s.category is distinct from 'safety_meldcode' and s.action not like 'safety-%'
           and s.action not like 'disclosure:%' and s.action not like 'safe-contact:%'
           and not ((s.ground = 'emergency' or s.action like 'break-glass:%') and exists (
                   select 1 from notice n where is_me(n.patient_id) and n.kind = 'break_glass_used'
                      and n.not_before > current_instant()))
           and not exists (
                   select 1 from thread t
                    where t.case_id = s.case_id and t.release_at > current_instant()
                      and ((s.entity_type = 'thread' and s.entity_id = t.id)
                           or (s.entity_type = 'message' and exists (
                                  select 1 from case_event e where e.id = s.entity_id and e.thread_id = t.id))))
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

POLICIES = (
    f"""
create policy held_back on thread as restrictive for select to app using (
    release_at is null or release_at <= current_instant() or current_role_class() in {ROLES}
)
""",
    f"""
create policy held_back_insert on thread as restrictive for insert to app with check (
    release_at is null
    or (released_seq is null and opened_at = current_instant() and release_at > current_instant()
        and current_role_class() in {ROLES})
)
""",
    # the officer looks at what was taken back, through a door of its own
    f"""
create policy held_back on case_event as restrictive for select to app using (
    thread_id is null or current_role_class() in {ROLES} or current_role_class() = 'privacy_officer'
    or thread_shown(case_id, thread_id)
)
""",
    f"""
create policy held_back_insert on case_event as restrictive for insert to app with check (
    thread_id is null or current_role_class() in {ROLES} or thread_shown(case_id, thread_id)
)
""",
    f"""
create policy held_back_appender on case_event as restrictive for insert to appender with check (
    not exists (select 1 from thread t
                 where t.case_id = case_event.case_id and t.id = case_event.thread_id and t.release_at > case_event.at)
    or exists (select 1 from engagement p where p.id = case_event.actor_engagement_id and p.role in {ROLES})
)
""",
    """
create policy app_select on access_request for select to app using (
    (recorded_by_engagement_id = current_engagement() or is_me(patient_id) or manages(case_id))
    and not kept_away(case_id, patient_id)
)
""",
    f"""
create policy app_insert on access_request for insert to app with check (
    recorded_by_account_id = current_account() and recorded_by_engagement_id = current_engagement()
    and recorded_at = current_instant() and sits(case_id) and not has_died(case_id, patient_id)
    and not kept_away(case_id, patient_id)
    and case asked_by
        when 'representative' then represents(case_id, patient_id) and method = 'digital_2fa'
        else (method = 'digital_2fa' and is_me(patient_id))
          or (method = 'oral_recorded' and current_role_class() in {ROLES}) end
)
""",
)

# The hot statements, each as it was with what is held back beside the bounds.
APPEND = f"""
create function append_messages(
    p_now timestamptz, p_wait boolean, p_source text, p_policy text,
    p_head_case uuid[], p_head_count bigint[],
    p_case uuid[], p_offset bigint[], p_version bigint[], p_thread uuid[], p_patient uuid[], p_category text[],
    p_domain text[], p_held boolean[], p_id uuid[], p_account uuid[], p_engagement uuid[], p_session uuid[],
    p_kind text[], p_body bytea[],
    p_scope text[], p_key bytea[], p_digest bytea[],
    p_audit uuid[], p_role text[], p_organisation uuid[], p_on_behalf uuid[], p_purpose text[], p_ground text[],
    p_consent uuid[], p_origin text[], p_access_point text[], p_trace uuid[],
    p_cell_case uuid[], p_cell_patient uuid[], p_cell_category text[], p_cell_domain text[],
    p_cell_opened bigint[], p_cell_held uuid[], p_cell_audit uuid[],
    p_listen_case uuid[], p_listen_engagement uuid[]
)
returns table (ord bigint, outcome text, seq bigint, event_id uuid, at timestamptz, audience uuid[])
language plpgsql volatile as $$
#variable_conflict use_column
declare
    v_at timestamptz;
    v_case uuid[];
    v_base bigint[];
    v_version bigint[];
    v_fit boolean;
    v_outcome text[];
    v_seq bigint[];
    v_earlier uuid[];
begin
    -- Heads first and in one order. Batches do not wait: an open transaction on one case must not hold up the others,
    -- and a case that was busy comes back in a batch of its own, which does wait.
    if p_wait then
        select array_agg(l.case_id), array_agg(l.seq), array_agg(l.access_version) into v_case, v_base, v_version
          from (select h.case_id, h.seq, h.access_version from case_head h
                 where h.case_id = any (p_head_case) order by h.case_id for no key update) l;
    else
        select array_agg(l.case_id), array_agg(l.seq), array_agg(l.access_version) into v_case, v_base, v_version
          from (select h.case_id, h.seq, h.access_version from case_head h
                 where h.case_id = any (p_head_case) order by h.case_id for no key update skip locked) l;
    end if;
    v_at := coalesce(p_now, clock_timestamp());

    -- What follows sees everything that committed before the heads were locked.
    select bool_and(j.outcome = 'new'), array_agg(j.outcome order by j.ord), array_agg(j.new_seq order by j.ord),
           array_agg(j.resource_id order by j.ord)
      into v_fit, v_outcome, v_seq, v_earlier
      from (select i.ord, h.base + i.position as new_seq, k.resource_id,
                   case when h.case_id is null then 'busy'
                        when h.version <> i.version then 'stale'
                        when (t.release_at is not null and t.released_seq is null) <> i.held then 'stale'
                        when s.id is null then 'session-ended'
                        when k.resource_id is null then 'new'
                        when k.body_digest = i.digest then 'replay'
                        else 'key-reused' end as outcome
              from unnest(p_case, p_offset, p_version, p_thread, p_held, p_session, p_account, p_scope, p_key, p_digest)
                   with ordinality as i (case_id, position, version, thread_id, held, session_id, account_id, scope, key,
                                         digest, ord)
              left join unnest(v_case, v_base, v_version) as h (case_id, base, version) on h.case_id = i.case_id
              left join thread t on t.case_id = i.case_id and t.id = i.thread_id
              left join login_session s on s.id = i.session_id and s.ended_at is null and s.expires_at > v_at
                    and s.locked_at is null and (s.idle_until is null or s.idle_until > v_at)
              left join idempotency k on k.account_id = i.account_id and k.scope = i.scope and k.key_digest = i.key) j;
    if not v_fit then
        return query
        select o.ord, o.outcome, e.seq, o.earlier, coalesce(e.at, v_at), null::uuid[]
          from unnest(v_outcome, v_earlier) with ordinality as o (outcome, earlier, ord)
          left join case_event e on o.outcome = 'replay' and e.id = o.earlier
         order by o.ord;
        return;
    end if;

    insert into idempotency (account_id, scope, key_digest, body_digest, resource_id, created_at)
    select i.account_id, i.scope, i.key, i.digest, i.id, v_at
      from unnest(p_account, p_scope, p_key, p_digest, p_id) as i (account_id, scope, key, digest, id)
     where i.key is not null;

    insert into case_event (case_id, seq, id, type, at, actor_account_id, actor_engagement_id, thread_id, patient_id,
                            category, domain, kind, body_sealed)
    select i.case_id, i.seq, i.id, 'message.posted', v_at, i.account_id, i.engagement_id, i.thread_id, i.patient_id,
           i.category, i.domain, i.kind, i.body
      from unnest(p_case, v_seq, p_id, p_account, p_engagement, p_thread, p_patient, p_category, p_domain, p_kind, p_body)
           as i (case_id, seq, id, account_id, engagement_id, thread_id, patient_id, category, domain, kind, body);

    insert into audit_event (id, recorded_at, action, action_code, outcome, actor_account_id, actor_engagement_id,
                             actor_role, organisation_id, on_behalf_of, purpose, case_id, patient_id, entity_type,
                             entity_id, category, domain, ground, consent_id, access_version, policy_version, origin,
                             access_point, source, trace_id, login_session_id, first_seq, last_seq)
    select i.audit_id, v_at, 'message:post', 'C', 'success', i.account_id, i.engagement_id, i.role, i.organisation_id,
           i.on_behalf_of, i.purpose, i.case_id, i.patient_id, 'message', i.id, i.category, i.domain, i.ground,
           i.consent_id, i.version, p_policy, i.origin, i.access_point, p_source, i.trace_id, i.session_id, i.seq, i.seq
      from unnest(p_audit, p_account, p_engagement, p_role, p_organisation, p_on_behalf, p_purpose, p_case, p_patient,
                  p_id, p_category, p_domain, p_ground, p_consent, p_version, p_origin, p_access_point, p_trace,
                  p_session, v_seq)
           as i (audit_id, account_id, engagement_id, role, organisation_id, on_behalf_of, purpose, case_id, patient_id,
                 id, category, domain, ground, consent_id, version, origin, access_point, trace_id, session_id, seq);

    update case_head h set seq = h.seq + c.n
      from unnest(p_head_case, p_head_count) as c (case_id, n) where h.case_id = c.case_id;

    if cardinality(p_listen_case) > 0 then
        return query
        with heard as (
            select c.ord, c.case_id, c.patient_id, c.category, c.domain, c.held, c.audit_id, h.base, h.version, n.n, (
                select array_agg(l.engagement_id)
                  from unnest(p_listen_case, p_listen_engagement) as l (case_id, engagement_id)
                 where l.case_id = c.case_id and (c.held is null or {PROFESSIONAL}) and exists (
                       select 1 from access_grant g
                       where g.case_id = c.case_id and g.engagement_id = l.engagement_id
                         and g.patient_id = c.patient_id and g.category = c.category and g.domain = c.domain
                         and g.visible_from_seq <= h.base + 1 and g.threads_from_seq <= c.opened
                         and g.valid_from <= v_at and (g.valid_until is null or g.valid_until > v_at))) as audience
              from unnest(p_cell_case, p_cell_patient, p_cell_category, p_cell_domain, p_cell_opened, p_cell_held,
                          p_cell_audit)
                   with ordinality as c (case_id, patient_id, category, domain, opened, held, audit_id, ord)
              join unnest(v_case, v_base, v_version) as h (case_id, base, version) on h.case_id = c.case_id
              join unnest(p_head_case, p_head_count) as n (case_id, n) on n.case_id = c.case_id
        ), logged as (
            insert into audit_event (id, recorded_at, action, action_code, outcome, case_id, patient_id, entity_type,
                                     entity_id, category, domain, access_version, policy_version, origin, source,
                                     audience, first_seq, last_seq)
            select d.audit_id, v_at, 'event:deliver', 'R', 'success', d.case_id, d.patient_id,
                   case when d.held is null then 'stream' else 'thread' end, d.held, d.category,
                   d.domain, d.version, p_policy, 'socket', p_source, d.audience, d.base + 1, d.base + d.n
              from heard d where d.audience is not null
        )
        select d.ord, 'cell', null::bigint, null::uuid, v_at, d.audience from heard d;
    end if;
    return query select o.ord, 'new', o.seq, o.id, v_at, null::uuid[]
      from unnest(v_seq, p_id) with ordinality as o (seq, id, ord) order by o.ord;
end
$$
"""

READ = f"""
create function read_stream(p_source text, p_case uuid, p_after bigint, p_limit integer, p_now timestamptz, p_policy text,
                            p_listeners uuid[])
returns table (seq bigint, id uuid, type text, at timestamptz, actor_account_id uuid, actor_engagement_id uuid,
               thread_id uuid, patient_id uuid, category text, domain text, kind text, refers_to uuid, data jsonb,
               body_sealed bytea, addressees uuid[], retracted boolean, bound_seq bigint, opened_seq bigint, held boolean,
               audience uuid[], version bigint)
language sql volatile as $$
    with bound as (
        -- What takes a message back shows no earlier than the message: else it would tell that there was one.
        select e.*, h.access_version,
               case when e.type = 'message.retracted'
                    then (select r.seq from case_event r where r.case_id = e.case_id and r.id = e.refers_to)
                    else e.seq end as bound_seq,
               case when e.thread_id is null then e.seq else coalesce(t.opened_seq, 0) end as opened_seq,
               case when t.release_at is not null and (t.released_seq is null or e.seq < t.released_seq)
                    then e.thread_id end as held
          from case_event e join case_head h on h.case_id = e.case_id
          left join thread t on t.case_id = e.case_id and t.id = e.thread_id
         where e.case_id = p_case and e.seq > p_after
         order by e.seq limit p_limit
    ), event as (
        select e.*, (
            select array_agg(l.engagement_id) from unnest(p_listeners) as l (engagement_id)
             where l.engagement_id = any (e.addressees)
                or (e.category is not null and (e.held is null or {PROFESSIONAL}) and exists (
                   select 1 from access_grant g
                   where g.case_id = e.case_id and g.engagement_id = l.engagement_id
                     and (e.patient_id is null or g.patient_id = e.patient_id)
                     and g.category = e.category and g.domain = e.domain and g.visible_from_seq <= e.bound_seq
                     and g.threads_from_seq <= e.opened_seq
                     and g.valid_from <= p_now and (g.valid_until is null or g.valid_until > p_now)))
            ) as heard_by
          from bound e
    ), logged as (
        insert into audit_event (id, recorded_at, action, action_code, outcome, case_id, patient_id, entity_type,
                                 entity_id, category, domain, access_version, policy_version, origin, source, audience,
                                 first_seq, last_seq)
        select gen_random_uuid(), p_now, 'event:deliver', 'R', 'success', e.case_id, e.patient_id,
               case when e.held is null then 'stream' else 'thread' end, e.held, e.category, e.domain,
               e.access_version, p_policy, 'socket', p_source, e.heard_by, min(e.seq), max(e.seq)
          from event e where e.heard_by is not null
         group by e.case_id, e.patient_id, e.held, e.category, e.domain, e.access_version, e.heard_by
    )
    select e.seq, e.id, e.type, e.at, e.actor_account_id, e.actor_engagement_id, e.thread_id, e.patient_id, e.category,
           e.domain, e.kind, e.refers_to, e.data, case when e.heard_by is null then null else e.body_sealed end,
           e.addressees, e.retracted_seq is not null, e.bound_seq, e.opened_seq,
           e.held is not null, e.heard_by, e.access_version
      from event e order by e.seq
$$
"""

OPENINGS = f"""
create or replace function read_openings(p_source text, p_case uuid, p_engagement uuid, p_now timestamptz, p_policy text)
returns table (seq bigint, id uuid, at timestamptz, actor_account_id uuid, actor_engagement_id uuid, thread_id uuid,
               patient_id uuid, category text, domain text, body_sealed bytea, version bigint, ordinal bigint)
language sql volatile as $$
    with opening as (
        select t.opened_seq, case when l.professional then t.opened_seq else coalesce(t.released_seq, t.opened_seq) end as seq,
               e.id, e.at, e.actor_account_id, e.actor_engagement_id, t.id as thread_id, t.patient_id,
               t.category, t.domain, h.access_version, t.ordinal,
               case when exists (
                   select 1 from access_grant g
                   where g.case_id = t.case_id and g.engagement_id = p_engagement and g.patient_id = t.patient_id
                     and g.category = t.category and g.domain = t.domain and g.visible_from_seq <= t.opened_seq
                     and g.threads_from_seq <= t.opened_seq
                     and g.valid_from <= p_now and (g.valid_until is null or g.valid_until > p_now))
               then e.body_sealed end as body_sealed
          from (select t.*, row_number() over (order by t.opened_seq) as ordinal from thread t where t.case_id = p_case) t
          join case_head h on h.case_id = t.case_id
          join case_event e on e.case_id = t.case_id and e.seq = t.opened_seq
         cross join (select {PROFESSIONAL} as professional from (values (p_engagement)) as l (engagement_id)) l
         where (l.professional or t.release_at is null or t.released_seq is not null) and exists (
               select 1 from access_grant g
               where g.case_id = t.case_id and g.engagement_id = p_engagement and g.patient_id = t.patient_id
                 and g.category = t.category and g.domain = t.domain and g.threads_from_seq <= t.opened_seq
                 and g.valid_from <= p_now and (g.valid_until is null or g.valid_until > p_now))
    ), logged as (
        insert into audit_event (id, recorded_at, action, action_code, outcome, case_id, patient_id, entity_type,
                                 entity_id, category, domain, access_version, policy_version, origin, source, audience,
                                 first_seq, last_seq)
        select gen_random_uuid(), p_now, 'event:deliver', 'R', 'success', p_case, o.patient_id, 'thread', o.thread_id,
               o.category, o.domain, o.access_version, p_policy, 'socket', p_source, array[p_engagement], o.opened_seq,
               o.opened_seq
          from opening o
    )
    select o.seq, o.id, o.at, o.actor_account_id, o.actor_engagement_id, o.thread_id, o.patient_id, o.category,
           o.domain, o.body_sealed, o.access_version, o.ordinal
      from opening o order by o.opened_seq
$$
"""

SNAPSHOT = f"""
create or replace function case_snapshot(p_case uuid)
returns jsonb language sql stable as $$
    select jsonb_build_object(
        'version', h.access_version, 'seq', h.seq,
        'threads', (select coalesce(jsonb_agg(jsonb_build_array(t.id, t.patient_id, t.category, t.domain,
                              t.opened_seq)), '[]')
                      from thread t where t.case_id = h.case_id),
        'held', (select coalesce(jsonb_agg(jsonb_build_array(t.id, t.release_at)), '[]') from thread t
                  where t.case_id = h.case_id and t.release_at is not null and t.released_seq is null),
        'professionals', (select coalesce(jsonb_agg(distinct l.engagement_id), '[]') from access_grant l
                           where l.case_id = h.case_id and {PROFESSIONAL}),
        'grants', (select coalesce(jsonb_agg(jsonb_build_array(g.engagement_id, g.patient_id, g.category, g.domain,
                              g.may_write, g.ground, g.consent_id, g.visible_from_seq, g.threads_from_seq, g.valid_from,
                              g.valid_until, g.on_behalf_of)), '[]')
                     from access_grant g where g.case_id = h.case_id))
      from case_head h where h.case_id = p_case
$$
"""

STREAM = (
    "drop function append_messages",
    "drop function read_stream",
    APPEND,
    READ,
    OPENINGS,
    SNAPSHOT,
    "revoke execute on function append_messages, read_stream from public",
    "grant execute on function append_messages to appender",
    "grant execute on function read_stream to stream",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        if executor := EXECUTORS.get(signature, "app"):
            op.execute(f"grant execute on function {signature} to {executor}")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    for statement in (*POLICIES, *STREAM):
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
