"""What ``app`` may not look at itself: narrow functions owned by role ``keeper``, which nobody can log in as.

Each pins its search path, and each that answers about a case answers for the engagement that entered the transaction.
Source: DESIGN 2.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

IN_FORCE = "g.valid_from <= current_instant() and (g.valid_until is null or g.valid_until > current_instant())"

FUNCTIONS = {
    # entering a transaction: the session row decides whether there is an actor at all
    "enter(p_session uuid, p_now timestamptz)": f"""
returns table (instant timestamptz, account_id uuid, engagement_id uuid, organisation_id uuid, role text,
               profession text, speciality text, domain text, law text, responsible_account_id uuid, acr text,
               authenticated_at timestamptz)
language plpgsql volatile {DEFINER} as $$
begin
    instant := coalesce(p_now, clock_timestamp());
    select e.account_id, e.id, e.organisation_id, e.role, e.profession, e.speciality, e.domain, e.law,
           r.account_id, s.acr, s.authenticated_at
      into account_id, engagement_id, organisation_id, role, profession, speciality, domain, law,
           responsible_account_id, acr, authenticated_at
      from login_session s
      join engagement e on e.id = s.engagement_id and e.account_id = s.account_id
      left join engagement r on r.id = e.responsible_engagement_id
     where s.id = p_session and s.ended_at is null and s.expires_at > instant
       and e.valid_from <= instant and (e.valid_until is null or e.valid_until > instant);
    if not found then
        -- whoever entered this transaction before is not to be taken for whoever failed to
        perform set_config('app.' || name, '', true)
           from unnest(array['account', 'engagement', 'organisation', 'role_class', 'door', 'instant']) as name;
        return;
    end if;
    perform set_config('app.account', account_id::text, true),
            set_config('app.engagement', engagement_id::text, true),
            set_config('app.organisation', coalesce(organisation_id::text, ''), true),
            set_config('app.role_class', role, true),
            set_config('app.door', '', true),
            set_config('app.instant', instant::text, true);
    return next;
end
$$""",
    "opened_by_me(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from care_case c where c.id = p_case and c.opened_by_engagement_id = current_engagement())
$$""",
    "seated(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from member m where m.case_id = p_case and m.engagement_id = current_engagement()
                      and m.status = 'accepted')
$$""",
    # one's own file is opened to the citizen, not to the professional that the same person may be
    "is_me(p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from patient p where p.id = p_patient and p.account_id = current_account()
                      and current_role_class() = 'citizen')
$$""",
    # the case manager is whoever holds that case role, and the opener while nobody does
    "manages(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from member m
        where m.case_id = p_case and m.engagement_id = current_engagement() and m.status = 'accepted'
          and (m.case_role in ('casemanager', 'gezinsregisseur')
               or (opened_by_me(p_case) and not exists (
                   select 1 from member o
                   where o.case_id = p_case and o.status = 'accepted'
                     and o.case_role in ('casemanager', 'gezinsregisseur'))))
    )
$$""",
    "oversees(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select manages(p_case)
        or exists (select 1 from member m where m.case_id = p_case and m.engagement_id = current_engagement()
                     and m.status = 'accepted' and opened_by_me(p_case))
        or exists (select 1 from subject s where s.case_id = p_case and is_me(s.patient_id))
$$""",
    "reads_consent(p_case uuid, p_consent uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1
        from consent c
        left join member m on m.case_id = c.case_id and m.engagement_id = current_engagement()
                          and m.status = 'accepted'
        where c.case_id = p_case and c.id = p_consent
          and (is_me(c.patient_id)
               or (m.id is not null and (
                    c.recorded_by_engagement_id = current_engagement()
                    or manages(p_case)
                    or exists (
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
                                  and (t.valid_until is null or t.valid_until > current_instant()))))))))
    )
$$""",
    # where a thing is, and how the actor stands to its case: everything access.policy decides from
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
        select t.case_id, jsonb_build_object('patientId', t.patient_id, 'category', t.category, 'domain', t.domain)
          into v_case, v_entity from thread t where t.id = p_id;
    elsif p_kind = 'message' then
        select e.case_id, jsonb_build_object('patientId', e.patient_id, 'category', e.category, 'domain', e.domain,
                   'seq', e.seq, 'authorId', e.actor_account_id, 'retracted', e.retracted_seq is not null,
                   'threadId', e.thread_id)
          into v_case, v_entity from case_event e
         where e.id = p_id and e.type in ('message.posted', 'message.corrected');
    elsif p_kind = 'consent' then
        select c.case_id, jsonb_build_object('patientId', c.patient_id, 'readable', reads_consent(c.case_id, c.id))
          into v_case, v_entity from consent c where c.id = p_id;
    end if;
    select jsonb_build_object(
        'caseId', c.id, 'kind', c.kind, 'status', c.status, 'domain', c.domain, 'seq', h.seq,
        'version', h.access_version, 'openedByMe', c.opened_by_engagement_id = current_engagement(),
        'manages', manages(c.id),
        'member', (select jsonb_build_object('id', m.id, 'status', m.status, 'directTreatment', m.direct_treatment,
                                             'caseRole', m.case_role)
                     from member m where m.case_id = c.id and m.engagement_id = current_engagement()
                    order by (m.status in ('invited', 'accepted')) desc, m.invited_at desc limit 1),
        'subjectOf', (select coalesce(jsonb_agg(s.patient_id), '[]') from subject s
                       where s.case_id = c.id and is_me(s.patient_id)),
        'subjects', (select coalesce(jsonb_agg(s.patient_id order by s.patient_id), '[]') from subject s
                      where s.case_id = c.id),
        'grants', (select coalesce(jsonb_agg(jsonb_build_array(g.patient_id, g.category, g.domain, g.may_write,
                              g.ground, g.consent_id, g.visible_from_seq, g.valid_from, g.valid_until)), '[]')
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
    # every input of the grants of one case, whoever asks: derivation must not look through the actor's eyes
    "grant_inputs(p_case uuid)": f"""
returns jsonb language sql stable {DEFINER} as $$
    select jsonb_build_object(
        'case', jsonb_build_object('openedBy', c.opened_by_engagement_id, 'domain', c.domain, 'status', c.status),
        'seq', h.seq,
        'subjects', (select coalesce(jsonb_agg(jsonb_build_object('patientId', s.patient_id,
                                'accountId', p.account_id)), '[]')
                       from subject s join patient p on p.id = s.patient_id where s.case_id = c.id),
        'seats', (select coalesce(jsonb_agg(jsonb_build_object(
                        'memberId', m.id, 'engagementId', e.id, 'accountId', e.account_id, 'role', e.role,
                        'domain', e.domain, 'law', e.law, 'organisationId', e.organisation_id,
                        'directTreatment', m.direct_treatment, 'fromSeq', m.history_from_seq,
                        'validFrom', greatest(m.decided_at, e.valid_from, t.valid_from),
                        'validUntil', least(e.valid_until, t.valid_until),
                        'teams', (select coalesce(jsonb_agg(jsonb_build_array(x.team_id, x.valid_from, x.valid_until)),
                                         '[]') from team_member x where x.engagement_id = e.id))), '[]')
                    from member m
                    left join team_member t on m.kind = 'team' and t.team_id = m.team_id
                    join engagement e on e.id = coalesce(m.engagement_id, t.engagement_id)
                      or (m.kind = 'function' and e.organisation_id = m.organisation_id and e.role = m.function_role)
                   where m.case_id = c.id and m.status = 'accepted'),
        'tasks', (select coalesce(jsonb_agg(jsonb_build_object('memberId', t.member_id, 'law', t.law,
                         'validFrom', t.valid_from, 'validUntil', t.valid_until)), '[]')
                    from public_task t where t.case_id = c.id),
        'consents', (select coalesce(jsonb_agg(jsonb_build_object(
                        'id', k.id, 'patientId', k.patient_id, 'fromDomains', to_jsonb(k.from_domains),
                        'categories', to_jsonb(k.categories), 'bothWays', k.both_ways,
                        'fromSeq', k.history_from_seq, 'validFrom', k.valid_from, 'validUntil', k.valid_until,
                        'recipients', (select coalesce(jsonb_agg(jsonb_build_object('type', r.type,
                                              'id', r.recipient_id, 'role', r.role) order by r.ordinal), '[]')
                                         from consent_recipient r
                                        where r.case_id = k.case_id and r.consent_id = k.id))), '[]')
                       from consent k
                      where k.case_id = c.id and k.kind = 'lift_secrecy' and k.status = 'active'),
        'grants', (select coalesce(jsonb_agg(to_jsonb(g)), '[]') from access_grant g where g.case_id = c.id))
      from care_case c join case_head h on h.case_id = c.id where c.id = p_case
$$""",
    # takes the case's lock; whoever changes who may see what holds it from before reading the inputs until commit
    "lock_case(p_case uuid)": f"""
returns bigint language sql volatile {DEFINER} as $$
    select seq from case_head where case_id = p_case for update
$$""",
    # What whoever derives cannot talk the database out of: a grant is for who sits there, about a subject, within the
    # period and the bound of what it rests on. Which categories a ground opens is the rules' alone.
    "rests_on_something(g access_grant)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1
          from member m
          join engagement e on e.id = g.engagement_id and e.account_id = g.account_id
          join subject s on s.case_id = g.case_id and s.patient_id = g.patient_id
          join patient p on p.id = s.patient_id
         where m.case_id = g.case_id and m.id = g.member_id and m.status = 'accepted'
           and (m.engagement_id = e.id
                or (m.kind = 'function' and m.organisation_id = e.organisation_id and m.function_role = e.role)
                or exists (select 1 from team_member t where t.team_id = m.team_id and t.engagement_id = e.id
                              and t.valid_from <= g.valid_from
                              and (t.valid_until is null or g.valid_until <= t.valid_until)))
           and g.valid_from >= greatest(m.decided_at, e.valid_from)
           and (e.valid_until is null or g.valid_until <= e.valid_until)
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
                           or (g.category in ('identification', 'contact_network') and not g.may_write)))
               end)
$$""",
    "replace_grants(p_case uuid, p_removed uuid[], p_added jsonb)": f"""
returns bigint language plpgsql volatile {DEFINER} as $$
declare
    v_version bigint;
begin
    with gone as (delete from access_grant where case_id = p_case and id = any (p_removed) returning *)
    insert into ended_grant (case_id, id, member_id, engagement_id, account_id, patient_id, category, domain, may_write,
                             ground, consent_id, visible_from_seq, valid_from, valid_until, granted_at, ended_at)
    select case_id, id, member_id, engagement_id, account_id, patient_id, category, domain, may_write,
           ground, consent_id, visible_from_seq, valid_from, valid_until, granted_at, current_instant() from gone;
    insert into access_grant (case_id, id, member_id, engagement_id, account_id, patient_id, category, domain, may_write,
                              ground, consent_id, visible_from_seq, valid_from, valid_until, granted_at, announced)
    select p_case, a.id, a.member_id, a.engagement_id, a.account_id, a.patient_id, a.category, a.domain, a.may_write,
           a.ground, a.consent_id, a.visible_from_seq, a.valid_from, a.valid_until, current_instant(),
           a.valid_from <= current_instant()
      from jsonb_to_recordset(p_added) as a (id uuid, member_id uuid, engagement_id uuid, account_id uuid,
           patient_id uuid, category text, domain text, may_write boolean, ground text, consent_id uuid,
           visible_from_seq bigint, valid_from timestamptz, valid_until timestamptz);
    update access_grant set announced = true
     where case_id = p_case and not announced and valid_from <= current_instant();
    if exists (select from access_grant g where g.case_id = p_case and not rests_on_something(g)) then
        raise exception 'a grant rests on nothing that is recorded' using errcode = 'integrity_constraint_violation';
    end if;
    update case_head set access_version = access_version + 1, dirty = false
     where case_id = p_case returning access_version into v_version;
    return v_version;
end
$$""",
    "mark_dirty()": f"""
returns trigger language plpgsql volatile {DEFINER} as $$
begin
    update case_head set dirty = true
     where case_id = coalesce(case when tg_op = 'DELETE' then old.case_id else new.case_id end);
    return null;
end
$$""",
    "refuse_dirty()": f"""
returns trigger language plpgsql volatile {DEFINER} as $$
begin
    if exists (select 1 from case_head h where h.case_id = new.case_id and h.dirty) then
        raise exception 'an input of the grants changed without deriving them again'
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end
$$""",
    # who may see what now or at a past moment: all of it for the case manager, a subject's own, or else the actor's own
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
       and (g.engagement_id = current_engagement() or manages(p_case) or is_me(g.patient_id))
$$""",
    "may_write(p_case uuid, p_engagement uuid, p_patient uuid, p_category text, p_domain text)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1 from access_grant g
        where g.case_id = p_case and g.engagement_id = p_engagement and g.patient_id = p_patient
          and g.category = p_category and g.domain = p_domain and g.may_write and {IN_FORCE}
    )
$$""",
    "subjects_of(p_case uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select patient_id from subject where case_id = p_case
$$""",
    # where a thing is, for the record of a denial: written to the log, never shown to the actor
    "place_of(p_kind text, p_id uuid)": f"""
returns table (case_id uuid, patient_id uuid) language sql stable {DEFINER} as $$
    select c.id, (select s.patient_id from subject s where s.case_id = c.id order by 1 limit 1)
      from care_case c where p_kind = 'case' and c.id = p_id
    union all select t.case_id, t.patient_id from thread t where p_kind = 'thread' and t.id = p_id
    union all select e.case_id, e.patient_id from case_event e where p_kind = 'message' and e.id = p_id
    union all select k.case_id, k.patient_id from consent k where p_kind = 'consent' and k.id = p_id
$$""",
    "invitations()": f"""
returns table (member_id uuid, case_id uuid, case_role text, reason_code text, invited_by uuid, invited_at timestamptz)
language sql stable {DEFINER} as $$
    select m.id, m.case_id, m.case_role, m.reason_code, m.invited_by_engagement_id, m.invited_at
      from member m where m.engagement_id = current_engagement() and m.status = 'invited'
     order by m.invited_at desc, m.id
$$""",
    # cases in which a grant or consent began or lapsed, or an engagement ended, since the sweeper last looked
    "lapsed(p_now timestamptz)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select case_id from access_grant where valid_until <= p_now
    union
    select case_id from access_grant where not announced and valid_from <= p_now
    union
    select case_id from consent where status = 'active' and valid_until <= p_now
    union
    select g.case_id from engagement e join access_grant g on g.engagement_id = e.id where e.valid_until <= p_now
$$""",
    "expire_consents(p_case uuid)": f"""
returns table (consent_id uuid, patient_id uuid, recorded_by uuid) language sql volatile {DEFINER} as $$
    update consent set status = 'expired'
     where case_id = p_case and status = 'active' and valid_until <= current_instant()
    returning id, consent.patient_id, recorded_by_engagement_id
$$""",
    # whom an event about a consent concerns: subject, recorder, managers, recipients
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
            or (k.opened_by_engagement_id = e.id and not exists (
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
    "account_with_bsn(p_index bytea)": f"""
returns uuid language sql stable {DEFINER} as $$
    select id from account where bsn_link_index = p_index
$$""",
    "citizen_engagement(p_account uuid)": f"""
returns uuid language sql stable {DEFINER} as $$
    select id from engagement where account_id = p_account and role = 'citizen'
       and valid_from <= current_instant() and (valid_until is null or valid_until > current_instant()) limit 1
$$""",
    "start_session(p_id uuid, p_account uuid, p_engagement uuid, p_acr text, p_now timestamptz, p_seconds integer)": f"""
returns timestamptz language plpgsql volatile {DEFINER} as $$
declare
    v_now timestamptz := coalesce(p_now, clock_timestamp());
begin
    insert into login_session (id, account_id, engagement_id, acr, authenticated_at, created_at, expires_at)
    values (p_id, p_account, p_engagement, p_acr, v_now, v_now, v_now + make_interval(secs => p_seconds));
    return v_now;
end
$$""",
    # ends a session and raises the version of each of that account's cases: what was decided before is decided again
    "end_session(p_session uuid)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
declare
    v_account uuid;
begin
    update login_session set ended_at = current_instant()
     where id = p_session and ended_at is null and account_id = current_account()
    returning account_id into v_account;
    if not found then
        return false;
    end if;
    delete from realtime_ticket where login_session_id = p_session;
    perform 1 from case_head h
      where h.case_id in (select m.case_id from member m join engagement e on e.id = m.engagement_id
                           where e.account_id = v_account and m.status = 'accepted')
      order by h.case_id for update;
    update case_head set access_version = access_version + 1
     where case_id in (select m.case_id from member m join engagement e on e.id = m.engagement_id
                        where e.account_id = v_account and m.status = 'accepted');
    return true;
end
$$""",
}

EXECUTORS = {"mark_dirty()": "", "refuse_dirty()": "", "rests_on_something(g access_grant)": ""}

DIRTYING = ("subject", "member", "public_task", "consent", "consent_recipient")

TRIGGERS = (
    *(
        f"create trigger {table}_is_an_input after insert or update or delete on {table}"
        " for each row execute function mark_dirty()"
        for table in DIRTYING
    ),
    "create constraint trigger grants_are_derived after insert or update on case_head deferrable initially deferred"
    " for each row when (new.dirty) execute function refuse_dirty()",
)


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    for trigger in TRIGGERS:
        op.execute(trigger)
    for signature in FUNCTIONS:
        op.execute(f"revoke execute on function {signature} from public")
        executors = EXECUTORS.get(signature, "app")
        if executors:
            op.execute(f"grant execute on function {signature} to {executors}")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
