"""The hot statements of the stream: append a batch of messages, read from a position, renew a lease.

They run with the rights of whoever calls them (``appender`` and ``stream``), so row-level security checks each row of
a batch against its own author's grants. These are the only places where one statement names tables of several packages.
Source: DESIGN 4 and 7.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

# All or nothing: if any item of the batch cannot be written as it stands, nothing is, and the answer says which and
# why; the caller sends the rest again. That keeps each statement of the common case plain enough to plan once.
APPEND = """
create function append_messages(
    p_now timestamptz, p_wait boolean, p_source text, p_policy text,
    p_head_case uuid[], p_head_count bigint[],
    p_case uuid[], p_offset bigint[], p_version bigint[], p_thread uuid[], p_patient uuid[], p_category text[],
    p_domain text[], p_id uuid[], p_account uuid[], p_engagement uuid[], p_session uuid[], p_kind text[], p_body bytea[],
    p_scope text[], p_key bytea[], p_digest bytea[],
    p_audit uuid[], p_role text[], p_organisation uuid[], p_on_behalf uuid[], p_purpose text[], p_ground text[],
    p_consent uuid[], p_origin text[], p_access_point text[], p_trace uuid[],
    p_cell_case uuid[], p_cell_patient uuid[], p_cell_category text[], p_cell_domain text[], p_cell_audit uuid[],
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
                        when s.id is null then 'session-ended'
                        when k.resource_id is null then 'new'
                        when k.body_digest = i.digest then 'replay'
                        else 'key-reused' end as outcome
              from unnest(p_case, p_offset, p_version, p_session, p_account, p_scope, p_key, p_digest)
                   with ordinality as i (case_id, position, version, session_id, account_id, scope, key, digest, ord)
              left join unnest(v_case, v_base, v_version) as h (case_id, base, version) on h.case_id = i.case_id
              left join login_session s on s.id = i.session_id and s.ended_at is null and s.expires_at > v_at
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
            select c.ord, c.case_id, c.patient_id, c.category, c.domain, c.audit_id, h.base, h.version, n.n, (
                select array_agg(l.engagement_id)
                  from unnest(p_listen_case, p_listen_engagement) as l (case_id, engagement_id)
                 where l.case_id = c.case_id and exists (
                       select 1 from access_grant g
                       where g.case_id = c.case_id and g.engagement_id = l.engagement_id
                         and g.patient_id = c.patient_id and g.category = c.category and g.domain = c.domain
                         and g.visible_from_seq <= h.base + 1
                         and g.valid_from <= v_at and (g.valid_until is null or g.valid_until > v_at))) as audience
              from unnest(p_cell_case, p_cell_patient, p_cell_category, p_cell_domain, p_cell_audit)
                   with ordinality as c (case_id, patient_id, category, domain, audit_id, ord)
              join unnest(v_case, v_base, v_version) as h (case_id, base, version) on h.case_id = c.case_id
              join unnest(p_head_case, p_head_count) as n (case_id, n) on n.case_id = c.case_id
        ), logged as (
            insert into audit_event (id, recorded_at, action, action_code, outcome, case_id, patient_id, entity_type,
                                     category, domain, access_version, policy_version, origin, source, audience,
                                     first_seq, last_seq)
            select d.audit_id, v_at, 'event:deliver', 'R', 'success', d.case_id, d.patient_id, 'stream', d.category,
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

READ = """
create function read_stream(p_source text, p_case uuid, p_after bigint, p_limit integer, p_now timestamptz, p_policy text,
                            p_listeners uuid[])
returns table (seq bigint, id uuid, type text, at timestamptz, actor_account_id uuid, actor_engagement_id uuid,
               thread_id uuid, patient_id uuid, category text, domain text, kind text, refers_to uuid, data jsonb,
               body_sealed bytea, addressees uuid[], retracted boolean, bound_seq bigint, audience uuid[], version bigint)
language sql volatile as $$
    with bound as (
        -- What takes a message back shows no earlier than the message: else it would tell that there was one.
        select e.*, h.access_version,
               case when e.type = 'message.retracted'
                    then (select r.seq from case_event r where r.case_id = e.case_id and r.id = e.refers_to)
                    else e.seq end as bound_seq
          from case_event e join case_head h on h.case_id = e.case_id
         where e.case_id = p_case and e.seq > p_after
         order by e.seq limit p_limit
    ), event as (
        select e.*, (
            select array_agg(l.engagement_id) from unnest(p_listeners) as l (engagement_id)
             where l.engagement_id = any (e.addressees)
                or (e.category is not null and exists (
                   select 1 from access_grant g
                   where g.case_id = e.case_id and g.engagement_id = l.engagement_id
                     and (e.patient_id is null or g.patient_id = e.patient_id)
                     and g.category = e.category and g.domain = e.domain and g.visible_from_seq <= e.bound_seq
                     and g.valid_from <= p_now and (g.valid_until is null or g.valid_until > p_now)))
            ) as heard_by
          from bound e
    ), logged as (
        insert into audit_event (id, recorded_at, action, action_code, outcome, case_id, patient_id, entity_type,
                                 category, domain, access_version, policy_version, origin, source, audience, first_seq,
                                 last_seq)
        select gen_random_uuid(), p_now, 'event:deliver', 'R', 'success', e.case_id, e.patient_id, 'stream', e.category,
               e.domain, e.access_version, p_policy, 'socket', p_source, e.heard_by, min(e.seq), max(e.seq)
          from event e where e.heard_by is not null
         group by e.case_id, e.patient_id, e.category, e.domain, e.access_version, e.heard_by
    )
    select e.seq, e.id, e.type, e.at, e.actor_account_id, e.actor_engagement_id, e.thread_id, e.patient_id, e.category,
           e.domain, e.kind, e.refers_to, e.data, case when e.heard_by is null then null else e.body_sealed end,
           e.addressees, e.retracted_seq is not null, e.bound_seq, e.heard_by, e.access_version
      from event e order by e.seq
$$
"""

# What opens to one engagement when it gains cells: the threads it may now read, with the titles it may see.
OPENINGS = """
create function read_openings(p_source text, p_case uuid, p_engagement uuid, p_now timestamptz, p_policy text)
returns table (seq bigint, id uuid, at timestamptz, actor_account_id uuid, actor_engagement_id uuid, thread_id uuid,
               patient_id uuid, category text, domain text, body_sealed bytea, version bigint, ordinal bigint)
language sql volatile as $$
    with opening as (
        select t.opened_seq, e.id, e.at, e.actor_account_id, e.actor_engagement_id, t.id as thread_id, t.patient_id,
               t.category, t.domain, h.access_version, t.ordinal,
               case when exists (
                   select 1 from access_grant g
                   where g.case_id = t.case_id and g.engagement_id = p_engagement and g.patient_id = t.patient_id
                     and g.category = t.category and g.domain = t.domain and g.visible_from_seq <= t.opened_seq
                     and g.valid_from <= p_now and (g.valid_until is null or g.valid_until > p_now))
               then e.body_sealed end as body_sealed
          from (select t.*, row_number() over (order by t.opened_seq) as ordinal from thread t where t.case_id = p_case) t
          join case_head h on h.case_id = t.case_id
          join case_event e on e.case_id = t.case_id and e.seq = t.opened_seq
         where exists (
               select 1 from access_grant g
               where g.case_id = t.case_id and g.engagement_id = p_engagement and g.patient_id = t.patient_id
                 and g.category = t.category and g.domain = t.domain
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
    select o.opened_seq, o.id, o.at, o.actor_account_id, o.actor_engagement_id, o.thread_id, o.patient_id, o.category,
           o.domain, o.body_sealed, o.access_version, o.ordinal
      from opening o order by o.opened_seq
$$
"""

LEASE = """
create function lease(p_sessions uuid[], p_cases uuid[], p_now timestamptz)
returns table (kind text, id uuid, seq bigint, version bigint)
language sql stable as $$
    select 'ended', s.id, null::bigint, null::bigint
      from unnest(p_sessions) as s (id)
     where not exists (select 1 from login_session l
                        where l.id = s.id and l.ended_at is null and l.expires_at > coalesce(p_now, clock_timestamp()))
    union all
    select 'head', h.case_id, h.seq, h.access_version from case_head h where h.case_id = any (p_cases)
$$
"""

# What a worker decides messages from, in one snapshot: the version, the threads, the grants.
SNAPSHOT = """
create function case_snapshot(p_case uuid)
returns jsonb language sql stable as $$
    select jsonb_build_object(
        'version', h.access_version, 'seq', h.seq,
        'threads', (select coalesce(jsonb_agg(jsonb_build_array(t.id, t.patient_id, t.category, t.domain)), '[]')
                      from thread t where t.case_id = h.case_id),
        'grants', (select coalesce(jsonb_agg(jsonb_build_array(g.engagement_id, g.patient_id, g.category, g.domain,
                              g.may_write, g.ground, g.consent_id, g.visible_from_seq, g.valid_from, g.valid_until)), '[]')
                     from access_grant g where g.case_id = h.case_id))
      from case_head h where h.case_id = p_case
$$
"""


def upgrade() -> None:
    for statement in (APPEND, READ, OPENINGS, LEASE, SNAPSHOT):
        op.execute(statement)
    op.execute("revoke execute on function append_messages from public")
    op.execute("revoke execute on function read_stream, read_openings, lease, case_snapshot from public")
    op.execute("grant execute on function append_messages to appender")
    op.execute("grant execute on function read_stream, read_openings, lease to stream")
    op.execute("grant execute on function case_snapshot to appender, stream")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
