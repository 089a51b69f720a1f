"""Replacement, threads that open from a consent on, and what grants rest on as periods, watched.

An engagement in force is a period, so that what rests on it closes by time; whoever changes who is in force and does
not derive again cannot commit. What a consent opens both ways in the recipient's own domain is what was opened there
since. Source: DESIGN 5.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"

TABLES = (
    # no extension can be installed here, and one that compares UUIDs is all that the exclusion needs
    "create type uuid_range as range (subtype = uuid)",
    """
create table substitute (
    organisation_id uuid not null references organisation (id),
    engagement_id uuid not null references engagement (id),
    registered_by_engagement_id uuid not null references engagement (id),
    registered_at timestamptz not null,
    primary key (organisation_id, engagement_id)
)
""",
    """
create table replacement (
    id uuid not null,
    replaced_engagement_id uuid not null references engagement (id),
    substitute_engagement_id uuid not null references engagement (id),
    kind text not null,
    valid_from timestamptz not null,
    valid_until timestamptz not null,
    started_by_engagement_id uuid not null references engagement (id),
    created_at timestamptz not null,
    cancelled_at timestamptz,
    primary key (id),
    constraint replacement_kind check (kind in ('locum', 'deputy')),
    constraint replacement_of_another check (replaced_engagement_id <> substitute_engagement_id),
    constraint replacement_period check (valid_until > valid_from and valid_until <= valid_from + interval '92 days'),
    constraint replacement_one_at_a_time exclude using gist (
        uuid_range(replaced_engagement_id, replaced_engagement_id, '[]') with &&,
        tstzrange(valid_from, valid_until) with &&) where (cancelled_at is null)
)
""",
    "create index ix_replacement_replaced on replacement (replaced_engagement_id)",
    "create index ix_replacement_substitute on replacement (substitute_engagement_id)",
    # the first position at which a thread may have been opened to be read by it; 0 for any
    "alter table consent add column threads_from_seq bigint not null default 0",
    "alter table consent alter column threads_from_seq drop default",
    *(
        f"""
alter table {table}
    add column threads_from_seq bigint not null default 0,
    add column replacement_id uuid,
    add column on_behalf_of uuid
"""
        for table in ("access_grant", "ended_grant")
    ),
    *(f"alter table {table} alter column threads_from_seq drop default" for table in ("access_grant", "ended_grant")),
    """
alter table access_grant
    drop constraint access_grant_check_3,
    drop constraint access_grant_check_4,
    add constraint access_grant_check_3 check (
        ground in ('subject', 'direct_treatment', 'public_task', 'consent', 'replacement')),
    add constraint access_grant_check_4 check (ground = 'replacement' or (ground = 'consent') = (consent_id is not null)),
    add constraint access_grant_replacement check (
        (ground = 'replacement') = (replacement_id is not null) and (ground = 'replacement') = (on_behalf_of is not null))
""",
    # whoever took the opener's place at the table
    "alter table care_case add column handed_to_engagement_id uuid references engagement (id)",
)

# New to the keeper; who may call them is said below.
FUNCTIONS = {
    # The definition of `engagement_in_force` as a period; no row means never.
    "engagement_period(p_engagement uuid)": f"""
returns table (valid_from timestamptz, valid_until timestamptz) language sql stable {DEFINER} as $$
    select x.valid_from, x.valid_until
      from (select greatest(e.valid_from, case when e.role = 'poh' then r.valid_from end) as valid_from,
                   least(e.valid_until, e.confirmed_until,
                         case when e.role = 'poh' then least(r.valid_until, r.confirmed_until) end) as valid_until
              from engagement e
              join account a on a.id = e.account_id and a.status = 'active'
              left join organisation o on o.id = e.organisation_id
              left join engagement r on r.id = e.responsible_engagement_id
              left join account b on b.id = r.account_id
              left join organisation q on q.id = r.organisation_id
             where e.id = p_engagement and e.suspended_at is null and (o.id is null or o.status <> 'suspended')
               and (e.role <> 'poh' or (r.id is not null and r.suspended_at is null and b.status = 'active'
                                        and (q.id is null or q.status <> 'suspended')))) x
     where x.valid_until is null or x.valid_until > x.valid_from
$$""",
    # Every case that rests on one of these engagements: by a seat of any kind, a replacement, or the POH it answers for.
    "cases_of(p_engagements uuid[])": f"""
returns setof uuid language sql stable {DEFINER} as $$
    with answered_for as (
        select e.id from engagement e
         where e.id = any (p_engagements) or (e.role = 'poh' and e.responsible_engagement_id = any (p_engagements))
    ), concerned as (
        select e.id, e.organisation_id, e.role from engagement e
         where e.id in (select id from answered_for)
            or e.id in (select r.replaced_engagement_id from replacement r
                         where r.cancelled_at is null and r.substitute_engagement_id in (select id from answered_for))
    )
    select m.case_id from member m join concerned e on e.id = m.engagement_id where m.status = 'accepted'
    union
    select m.case_id from member m join concerned e on m.organisation_id = e.organisation_id and m.function_role = e.role
     where m.kind = 'function' and m.status = 'accepted'
    union
    select m.case_id from member m join team_member t on t.team_id = m.team_id join concerned e on e.id = t.engagement_id
     where m.kind = 'team' and m.status = 'accepted'
    union
    select g.case_id from access_grant g join concerned e on e.id = g.engagement_id
     order by 1
$$""",
    # Whether the actor may say in a case what it changed there: it manages somebody's employment, or a replacement.
    "announces(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from member m
          left join team_member t on m.kind = 'team' and t.team_id = m.team_id
          left join engagement e on e.id = coalesce(m.engagement_id, t.engagement_id)
         where m.case_id = p_case and administers(coalesce(e.organisation_id, m.organisation_id)))
        or exists (
        select 1 from access_grant g join replacement r on r.replaced_engagement_id = g.engagement_id
         where g.case_id = p_case and (r.started_by_engagement_id = current_engagement()
               or r.replaced_engagement_id = current_engagement() or r.substitute_engagement_id = current_engagement()
               or exists (select 1 from engagement e where e.id = r.replaced_engagement_id
                             and current_role_class() = 'gp' and e.organisation_id = current_organisation())))
$$""",
    # Sits for somebody else: reads and posts what that one may, and nothing besides.
    "stands_in(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from access_grant g
                    where g.case_id = p_case and g.engagement_id = current_engagement() and g.ground = 'replacement'
                      and g.valid_from <= current_instant() and g.valid_until > current_instant())
$$""",
    # Self-service: for oneself, or one GP for another of the practice; by a peer who is a colleague or on the list.
    "may_stand_in(p_replaced uuid, p_substitute uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from engagement r join engagement s on s.id = p_substitute
         where r.id = p_replaced and r.account_id <> s.account_id and r.role in {PROFESSIONALS}
           and r.role = s.role and r.domain is not distinct from s.domain and r.law is not distinct from s.law
           and r.speciality is not distinct from s.speciality
           and engagement_in_force(r.id, current_instant()) and engagement_in_force(s.id, current_instant())
           and (r.id = current_engagement()
                or (current_role_class() = 'gp' and r.role = 'gp' and r.organisation_id = current_organisation()))
           and (s.organisation_id = r.organisation_id
                or exists (select 1 from substitute l
                            where l.organisation_id = r.organisation_id and l.engagement_id = s.id)))
$$""",
    # Looks at everybody's replacements, and says no more than that two would be chained.
    "chained(p_replaced uuid, p_substitute uuid, p_from timestamptz, p_until timestamptz)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from replacement r
         where r.cancelled_at is null and r.valid_from < p_until and r.valid_until > p_from
           and (r.replaced_engagement_id = p_substitute or r.substitute_engagement_id = p_replaced))
$$""",
    # What nobody would answer for if somebody left: ids and case roles, to whoever manages that person.
    "ownerless(p_engagement uuid)": f"""
returns jsonb language sql stable {DEFINER} as $$
    select jsonb_build_object(
        'cases', (select coalesce(jsonb_agg(jsonb_build_object('caseId', x.case_id, 'caseRole', x.case_role)
                                  order by x.case_id), '[]')
                    from (select m.case_id, m.case_role
                            from member m join care_case c on c.id = m.case_id
                           where m.engagement_id = e.id and m.status = 'accepted' and c.status <> 'closed'
                             and ((m.case_role in ('casemanager', 'gezinsregisseur', 'regiebehandelaar')
                                   and not exists (select 1 from member o where o.case_id = m.case_id and o.id <> m.id
                                                      and o.status = 'accepted' and o.case_role = m.case_role))
                               or (coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = e.id
                                   and not exists (select 1 from member o where o.case_id = m.case_id and o.id <> m.id
                                                      and o.status = 'accepted'
                                                      and o.case_role in ('casemanager', 'gezinsregisseur'))))) x),
        'responsibleFor', (select coalesce(jsonb_agg(p.id order by p.id), '[]') from engagement p
                            where p.role = 'poh' and p.responsible_engagement_id = e.id
                              and (p.valid_until is null or p.valid_until > current_instant())),
        'replacements', (select coalesce(jsonb_agg(r.id order by r.id), '[]') from replacement r
                          where e.id in (r.replaced_engagement_id, r.substitute_engagement_id)
                            and r.cancelled_at is null and r.valid_until > current_instant()),
        'teams', (select coalesce(jsonb_agg(distinct t.team_id), '[]') from team_member t
                   where t.engagement_id = e.id and (t.valid_until is null or t.valid_until > current_instant())))
      from engagement e where e.id = p_engagement and administers(e.organisation_id)
$$""",
    # Ends every seat and replacement of somebody who leaves, and gives those that need it to a successor of the same
    # organisation and role. Whoever calls derives those cases again; the seats keep what they opened, and no more.
    "end_seats(p_engagement uuid, p_cases uuid[], p_successors uuid[])": f"""
returns table (case_id uuid, member_id uuid, successor_id uuid, successor_engagement_id uuid)
language plpgsql volatile {DEFINER} as $$
#variable_conflict use_column
declare
    v_seat member;
    v_successor uuid;
    v_member uuid;
begin
    if not exists (select 1 from engagement e where e.id = p_engagement and administers(e.organisation_id))
       or exists (select 1 from unnest(p_successors) as s (id) where not exists (
                   select 1 from engagement e join engagement n on n.id = s.id and n.id <> e.id
                    where e.id = p_engagement and n.organisation_id = e.organisation_id and n.role = e.role
                      and n.domain is not distinct from e.domain and engagement_in_force(n.id, current_instant()))) then
        raise exception 'not to be handed over like this' using errcode = 'insufficient_privilege';
    end if;
    for v_seat in select * from member m where m.engagement_id = p_engagement and m.status in ('invited', 'accepted')
                   order by m.case_id loop
        update member m set status = 'ended', ended_at = current_instant()
         where m.case_id = v_seat.case_id and m.id = v_seat.id;
        v_member := null;
        select s.id into v_successor from unnest(p_cases, p_successors) as s (of_case, id)
         where s.of_case = v_seat.case_id;
        if v_successor is not null then
            update member m set status = 'accepted', case_role = v_seat.case_role, decided_at = current_instant(),
                   direct_treatment = m.direct_treatment or v_seat.direct_treatment,
                   history_from_seq = least(m.history_from_seq, v_seat.history_from_seq)
             where m.case_id = v_seat.case_id and m.engagement_id = v_successor and m.status in ('invited', 'accepted')
            returning m.id into v_member;
            if v_member is null then
                v_member := gen_random_uuid();
                insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history,
                                    history_from_seq, status, invited_by_engagement_id, invited_at, decided_at)
                values (v_seat.case_id, v_member, 'person', v_successor, v_seat.case_role, v_seat.direct_treatment,
                        v_seat.history, v_seat.history_from_seq, 'accepted', current_engagement(), current_instant(),
                        current_instant());
            end if;
            update care_case c set handed_to_engagement_id = v_successor
             where c.id = v_seat.case_id
               and coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = p_engagement;
        end if;
        case_id := v_seat.case_id;
        member_id := v_seat.id;
        successor_id := v_member;
        successor_engagement_id := v_successor;
        return next;
    end loop;
    update replacement r set cancelled_at = current_instant()
     where p_engagement in (r.replaced_engagement_id, r.substitute_engagement_id) and r.cancelled_at is null
       and r.valid_until > current_instant();
    delete from substitute s where s.engagement_id = p_engagement;
    update team_member t set valid_until = greatest(current_instant(), t.valid_from + interval '1 microsecond')
     where t.engagement_id = p_engagement and (t.valid_until is null or t.valid_until > current_instant());
end
$$""",
    # Whoever changes who is in force marks every case that rests on it, and derives those again before the commit.
    "mark_cases_dirty()": f"""
returns trigger language plpgsql volatile {DEFINER} as $$
declare
    v_engagements uuid[];
    v_cases uuid[];
begin
    if tg_table_name = 'engagement' then
        v_engagements := array[coalesce(new.id, old.id)];
    elsif tg_table_name = 'account' then
        v_engagements := array(select e.id from engagement e where e.account_id = new.id);
    elsif tg_table_name = 'organisation' then
        v_engagements := array(select e.id from engagement e where e.organisation_id = new.id);
    elsif tg_table_name = 'team' then
        v_engagements := array(select t.engagement_id from team_member t where t.team_id = new.id);
    elsif tg_table_name = 'team_member' then
        v_engagements := array[coalesce(new.engagement_id, old.engagement_id)];
    else
        v_engagements := array[coalesce(new.replaced_engagement_id, old.replaced_engagement_id)];
    end if;
    v_cases := array(select cases_of(v_engagements));
    if cardinality(v_cases) > 0 then
        perform 1 from case_head h where h.case_id = any (v_cases) order by h.case_id for update;
        update case_head set dirty = true where case_id = any (v_cases);
    end if;
    return null;
end
$$""",
}

EXECUTORS = {"engagement_period(p_engagement uuid)": "", "mark_cases_dirty()": ""}

# The keeper's already; made again in its name, so that who may call them stays as it is.
REPLACED = {
    "opened_by_me(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from care_case c where c.id = p_case
                      and coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id) = current_engagement())
$$""",
    "seated(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from member m where m.case_id = p_case and m.engagement_id = current_engagement()
                      and m.status = 'accepted') or stands_in(p_case)
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
        'member', (select jsonb_build_object('id', m.id, 'status', m.status, 'directTreatment', m.direct_treatment,
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
               greatest(m.decided_at, p.valid_from, t.valid_from) as begins, least(p.valid_until, t.valid_until) as ends
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
                                'accountId', p.account_id)), '[]')
                       from subject s join patient p on p.id = s.patient_id where s.case_id = c.id),
        'seats', (select coalesce(jsonb_agg(jsonb_build_object(
                        'memberId', s.member_id, 'engagementId', s.id, 'accountId', s.account_id, 'role', s.role,
                        'speciality', s.speciality, 'domain', s.domain, 'law', s.law, 'organisationId', s.organisation_id,
                        'directTreatment', s.direct_treatment, 'fromSeq', s.history_from_seq,
                        'validFrom', s.begins, 'validUntil', s.ends,
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
        'grants', (select coalesce(jsonb_agg(to_jsonb(g)), '[]') from access_grant g where g.case_id = c.id))
      from care_case c join case_head h on h.case_id = c.id where c.id = p_case
$$""",
    "rests_on_something(g access_grant)": f"""
returns boolean language sql stable {DEFINER} as $$
    select case g.ground
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
               and (g.ground = 'subject' or g.visible_from_seq >= m.history_from_seq)
               and g.category <> 'safety_meldcode' and (g.ground = 'subject' or g.consent_id is not null
                                                        or g.category not in ('finance_debt', 'work_income'))
               and case g.ground
                   when 'subject' then e.role = 'citizen' and p.account_id = e.account_id
                   when 'direct_treatment' then m.direct_treatment and e.domain in ('care', 'youth')
                                            and e.role in ('gp', 'poh', 'district_nurse', 'specialist')
                   when 'public_task' then e.role = 'social_team' and exists (
                       select 1 from public_task t
                        where t.case_id = g.case_id and t.member_id = m.id and t.law = e.law
                          and t.valid_from <= g.valid_from and (t.valid_until is null or g.valid_until <= t.valid_until))
                   when 'consent' then exists (
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
    "replace_grants(p_case uuid, p_removed uuid[], p_added jsonb)": f"""
returns bigint language plpgsql volatile {DEFINER} as $$
declare
    v_version bigint;
begin
    with gone as (delete from access_grant where case_id = p_case and id = any (p_removed) returning *)
    insert into ended_grant (case_id, id, member_id, engagement_id, account_id, patient_id, category, domain, may_write,
                             ground, consent_id, visible_from_seq, threads_from_seq, replacement_id,
                             on_behalf_of, valid_from, valid_until, granted_at, ended_at)
    select case_id, id, member_id, engagement_id, account_id, patient_id, category, domain, may_write,
           ground, consent_id, visible_from_seq, threads_from_seq, replacement_id, on_behalf_of, valid_from, valid_until,
           granted_at, current_instant() from gone;
    insert into access_grant (case_id, id, member_id, engagement_id, account_id, patient_id, category, domain, may_write,
                              ground, consent_id, visible_from_seq, threads_from_seq, replacement_id,
                             on_behalf_of, valid_from, valid_until, granted_at, announced)
    select p_case, a.id, a.member_id, a.engagement_id, a.account_id, a.patient_id, a.category, a.domain, a.may_write,
           a.ground, a.consent_id, a.visible_from_seq, a.threads_from_seq, a.replacement_id, a.on_behalf_of,
           a.valid_from, a.valid_until, current_instant(), a.valid_from <= current_instant()
      from jsonb_to_recordset(p_added) as a (id uuid, member_id uuid, engagement_id uuid, account_id uuid,
           patient_id uuid, category text, domain text, may_write boolean, ground text, consent_id uuid,
           visible_from_seq bigint, threads_from_seq bigint, replacement_id uuid, on_behalf_of uuid,
           valid_from timestamptz, valid_until timestamptz);
    update access_grant set announced = true
     where case_id = p_case and not announced and valid_from <= current_instant();
    -- Whoever changes an engagement and did not commit yet is waited for: what is checked next is what stands then.
    perform 1 from engagement e where e.id in (select g.engagement_id from access_grant g where g.case_id = p_case)
      order by e.id for share;
    if exists (select from access_grant g where g.case_id = p_case and not rests_on_something(g)) then
        raise exception 'a grant rests on nothing that is recorded' using errcode = 'integrity_constraint_violation';
    end if;
    update case_head set access_version = access_version + 1, dirty = false
     where case_id = p_case returning access_version into v_version;
    return v_version;
end
$$""",
    "lapsed(p_now timestamptz)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select case_id from access_grant where valid_until <= p_now
    union
    select case_id from access_grant where not announced and valid_from <= p_now
    union
    select case_id from consent where status = 'active' and valid_until <= p_now
$$""",
    "consent_audience(p_case uuid, p_consent uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct m.engagement_id
      from consent c
      join patient p on p.id = c.patient_id
      join member m on m.case_id = c.case_id and m.status = 'accepted' and m.engagement_id is not null
      join engagement e on e.id = m.engagement_id
      join care_case k on k.id = c.case_id
     where c.case_id = p_case and c.id = p_consent
       and (e.account_id = p.account_id or c.recorded_by_engagement_id = e.id
            or m.case_role in ('casemanager', 'gezinsregisseur')
            or (coalesce(k.handed_to_engagement_id, k.opened_by_engagement_id) = e.id and not exists (
                   select 1 from member o where o.case_id = p_case and o.status = 'accepted'
                      and o.case_role in ('casemanager', 'gezinsregisseur')))
            or exists (
                select 1 from consent_recipient r
                where r.case_id = c.case_id and r.consent_id = c.id
                  and ((r.type = 'member' and r.recipient_id = m.id)
                    or (r.type = 'organisation' and r.recipient_id = e.organisation_id)
                    or (r.type = 'role' and r.role = e.role)
                    or (r.type = 'team' and exists (
                        select 1 from team_member t where t.team_id = r.recipient_id and t.engagement_id = e.id)))))
$$""",
}

TRIGGERS = (
    "create trigger engagement_is_an_input after insert or delete on engagement"
    " for each row execute function mark_cases_dirty()",
    "create trigger engagement_changed_is_an_input after update on engagement for each row when ((old.valid_from,"
    " old.valid_until, old.suspended_at, old.confirmed_until, old.responsible_engagement_id, old.role, old.domain,"
    " old.speciality, old.law, old.organisation_id, old.account_id) is distinct from (new.valid_from, new.valid_until,"
    " new.suspended_at, new.confirmed_until, new.responsible_engagement_id, new.role, new.domain, new.speciality,"
    " new.law, new.organisation_id, new.account_id)) execute function mark_cases_dirty()",
    *(
        f"create trigger {table}_is_an_input after update on {table}"
        " for each row when (old.status is distinct from new.status) execute function mark_cases_dirty()"
        for table in ("account", "organisation", "team")
    ),
    *(
        f"create trigger {table}_is_an_input after insert or update or delete on {table}"
        " for each row execute function mark_cases_dirty()"
        for table in ("team_member", "replacement")
    ),
)

IN_FORCE = "g.valid_from <= current_instant() and (g.valid_until is null or g.valid_until > current_instant())"

OWN_CELL = f"""exists (
        select 1 from access_grant g
        where g.case_id = {{row}}.case_id and g.engagement_id = current_engagement()
          and g.patient_id = {{row}}.patient_id and g.category = {{row}}.category and g.domain = {{row}}.domain
          and {IN_FORCE} {{more}}
    )"""

# Where a thread was opened decides for everything in it; what is in no thread stands for itself.
OPENED = """(g.threads_from_seq = 0 or g.threads_from_seq <= case
              when case_event.thread_id is null or case_event.type = 'thread.opened' then case_event.seq
              else coalesce((select t.opened_seq from thread t
                              where t.case_id = case_event.case_id and t.id = case_event.thread_id), 0) end)"""
SINCE = "and g.threads_from_seq <= thread.opened_seq"
ENDERS = """(replaced_engagement_id = current_engagement() or substitute_engagement_id = current_engagement()
    or (current_role_class() = 'gp' and exists (
        select 1 from engagement e where e.id = replaced_engagement_id and e.organisation_id = current_organisation())))"""

POLICIES = (
    "drop policy app_select on thread",
    f"create policy app_select on thread for select to app using ({OWN_CELL.format(row='thread', more=SINCE)})",
    "drop policy app_insert on thread",
    f"""
create policy app_insert on thread for insert to app with check (
    opened_by_engagement_id = current_engagement() and opened_by_account_id = current_account()
    and domain = coalesce((select e.domain from engagement e where e.id = current_engagement()),
                          (select c.domain from care_case c where c.id = thread.case_id))
    and {OWN_CELL.format(row="thread", more="and g.may_write " + SINCE)}
)
""",
    "drop policy app_select on case_event",
    f"""
create policy app_select on case_event for select to app using (
    current_engagement() = any (addressees)
    or (category is not null and (retracted_seq is null or actor_account_id = current_account()) and exists (
        select 1 from access_grant g
        where g.case_id = case_event.case_id and g.engagement_id = current_engagement()
          and (case_event.patient_id is null or g.patient_id = case_event.patient_id)
          and g.category = case_event.category and g.domain = case_event.domain
          and g.visible_from_seq <= case_event.seq and {IN_FORCE} and {OPENED}
    ))
    or (current_door() = 'contributions' and actor_account_id = current_account()
        and type in ('message.posted', 'message.corrected', 'thread.opened', 'case.opened'))
    or (current_door() = 'retracted' and retracted_seq is not null and current_role_class() = 'privacy_officer')
)
""",
    "drop policy app_insert on case_event",
    f"""
create policy app_insert on case_event for insert to app with check (
    actor_engagement_id is not distinct from current_engagement()
    and actor_account_id is not distinct from current_account()
    and case
        when current_engagement() is null
        then type in ('access.changed', 'consent.expired') and body_sealed is null and current_instant() is not null
        when body_sealed is not null
        then (type = 'case.opened' and opened_by_me(case_id))
            or {OWN_CELL.format(row="case_event", more="and g.may_write and " + OPENED)}
        else (exists (select 1 from member m where m.case_id = case_event.case_id and m.engagement_id = current_engagement())
              or (type = 'message.retracted' and seated(case_id)))
            and (category is null or patient_id is null
                 or {OWN_CELL.format(row="case_event", more="and " + OPENED)})
        end
)
""",
    """
create policy app_announce on case_event for insert to app with check (
    type in ('access.changed', 'member.left', 'member.accepted') and body_sealed is null
    and (type <> 'access.changed' or addressees is not null)
    and actor_engagement_id = current_engagement() and actor_account_id = current_account() and announces(case_id)
)
""",
    "drop policy appender_insert on case_event",
    """
create policy appender_insert on case_event for insert to appender with check (
    type = 'message.posted' and exists (
        select 1 from thread t join access_grant g on g.case_id = t.case_id and g.threads_from_seq <= t.opened_seq
        where t.case_id = case_event.case_id and t.id = case_event.thread_id and t.patient_id = case_event.patient_id
          and t.category = case_event.category and t.domain = case_event.domain
          and g.engagement_id = case_event.actor_engagement_id and g.account_id = case_event.actor_account_id
          and g.patient_id = case_event.patient_id and g.category = case_event.category
          and g.domain = case_event.domain and g.may_write
          and g.valid_from <= case_event.at and (g.valid_until is null or g.valid_until > case_event.at)
    )
)
""",
    # what a consent opens both ways it opens from the position on at which it is recorded
    """
create policy app_since on consent as restrictive for insert to app with check (
    threads_from_seq = (select h.seq + 1 from case_head h where h.case_id = consent.case_id)
)
""",
    # not forced, as the directory is not: the owner loads the demo region
    "alter table substitute enable row level security",
    "create policy keeper_all on substitute to keeper using (true) with check (true)",
    "create policy app_select on substitute for select to app using ("
    "organisation_id = current_organisation() or engagement_id = current_engagement() or administers(organisation_id))",
    "create policy app_insert on substitute for insert to app with check (administers(organisation_id)"
    " and registered_by_engagement_id = current_engagement() and registered_at = current_instant())",
    "create policy app_delete on substitute for delete to app using (administers(organisation_id))",
    "alter table replacement enable row level security",
    "alter table replacement force row level security",
    "create policy keeper_all on replacement to keeper using (true) with check (true)",
    f"create policy app_select on replacement for select to app using ({ENDERS}"
    " or started_by_engagement_id = current_engagement() or exists (select 1 from engagement e"
    " where e.id = replaced_engagement_id and e.organisation_id = current_organisation()))",
    "create policy app_insert on replacement for insert to app with check (started_by_engagement_id = current_engagement()"
    " and created_at = current_instant() and valid_from >= current_instant() and cancelled_at is null"
    " and may_stand_in(replaced_engagement_id, substitute_engagement_id))",
    f"create policy app_update on replacement for update to app using (cancelled_at is null and {ENDERS})"
    " with check (cancelled_at = current_instant())",
)

PRIVILEGES = (
    "grant select, insert, update, delete on substitute, replacement to keeper",
    "grant select, insert, delete on substitute to app",
    "grant select, insert, update (cancelled_at) on replacement to app",
)

# The hot statements, each as in 0009 with the thread's opening beside the bound of history.
APPEND = """
create function append_messages(
    p_now timestamptz, p_wait boolean, p_source text, p_policy text,
    p_head_case uuid[], p_head_count bigint[],
    p_case uuid[], p_offset bigint[], p_version bigint[], p_thread uuid[], p_patient uuid[], p_category text[],
    p_domain text[], p_id uuid[], p_account uuid[], p_engagement uuid[], p_session uuid[], p_kind text[], p_body bytea[],
    p_scope text[], p_key bytea[], p_digest bytea[],
    p_audit uuid[], p_role text[], p_organisation uuid[], p_on_behalf uuid[], p_purpose text[], p_ground text[],
    p_consent uuid[], p_origin text[], p_access_point text[], p_trace uuid[],
    p_cell_case uuid[], p_cell_patient uuid[], p_cell_category text[], p_cell_domain text[],
    p_cell_opened bigint[], p_cell_audit uuid[],
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
                         and g.visible_from_seq <= h.base + 1 and g.threads_from_seq <= c.opened
                         and g.valid_from <= v_at and (g.valid_until is null or g.valid_until > v_at))) as audience
              from unnest(p_cell_case, p_cell_patient, p_cell_category, p_cell_domain, p_cell_opened, p_cell_audit)
                   with ordinality as c (case_id, patient_id, category, domain, opened, audit_id, ord)
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
               body_sealed bytea, addressees uuid[], retracted boolean, bound_seq bigint, opened_seq bigint, audience uuid[], version bigint)
language sql volatile as $$
    with bound as (
        -- What takes a message back shows no earlier than the message: else it would tell that there was one.
        select e.*, h.access_version,
               case when e.type = 'message.retracted'
                    then (select r.seq from case_event r where r.case_id = e.case_id and r.id = e.refers_to)
                    else e.seq end as bound_seq,
               case when e.thread_id is null then e.seq else coalesce(t.opened_seq, 0) end as opened_seq
          from case_event e join case_head h on h.case_id = e.case_id
          left join thread t on t.case_id = e.case_id and t.id = e.thread_id
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
                     and g.threads_from_seq <= e.opened_seq
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
           e.addressees, e.retracted_seq is not null, e.bound_seq, e.opened_seq,
           e.heard_by, e.access_version
      from event e order by e.seq
$$
"""

OPENINGS = """
create or replace function read_openings(p_source text, p_case uuid, p_engagement uuid, p_now timestamptz, p_policy text)
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
                     and g.threads_from_seq <= t.opened_seq
                     and g.valid_from <= p_now and (g.valid_until is null or g.valid_until > p_now))
               then e.body_sealed end as body_sealed
          from (select t.*, row_number() over (order by t.opened_seq) as ordinal from thread t where t.case_id = p_case) t
          join case_head h on h.case_id = t.case_id
          join case_event e on e.case_id = t.case_id and e.seq = t.opened_seq
         where exists (
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
    select o.opened_seq, o.id, o.at, o.actor_account_id, o.actor_engagement_id, o.thread_id, o.patient_id, o.category,
           o.domain, o.body_sealed, o.access_version, o.ordinal
      from opening o order by o.opened_seq
$$
"""

SNAPSHOT = """
create or replace function case_snapshot(p_case uuid)
returns jsonb language sql stable as $$
    select jsonb_build_object(
        'version', h.access_version, 'seq', h.seq,
        'threads', (select coalesce(jsonb_agg(jsonb_build_array(t.id, t.patient_id, t.category, t.domain,
                              t.opened_seq)), '[]')
                      from thread t where t.case_id = h.case_id),
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
    for statement in (*TABLES, *PRIVILEGES):
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
    for trigger in TRIGGERS:
        op.execute(trigger)
    for signature in FUNCTIONS:
        op.execute(f"revoke execute on function {signature} from public")
        executors = EXECUTORS.get(signature, "app")
        if executors:
            op.execute(f"grant execute on function {signature} to {executors}")
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
