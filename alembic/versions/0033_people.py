"""People who speak for others: representatives' decisions, parents who do not see each other's, and who joins.

A decision names the representation it rests on; ``settle_consent`` refuses to make a consent active without the yes of
everybody whose say is recorded. Whoever joins a household later takes part as long as a consent of theirs holds.
Source: ADR 0011; DOMAIN R-7 to R-10, R-14, R-40.
"""

from alembic import op

revision = "0033"
down_revision = "0032"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
CATEGORIES = (
    "array['medical_summary', 'medication', 'mental_health', 'addiction', 'functional_adl', 'advance_care_planning', 'crisis_plan', 'youth_development', "
    "'education', 'living_situation', 'social_participation', 'finance_debt', 'work_income', 'identification', 'contact_network', "
    "'practical_coordination', 'plan_goals_actions', 'mdo_report', 'positive_health', 'zrm', 'safety_meldcode']"
)
PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"
OWN = "('representative', 'informal_carer')"
"""Roles of a citizen's own people, who have no organisation that lets them in."""
AUTHORITY = "('parent', 'guardian')"
RANK = "case {kind} when 'curator' then 1 when 'mentor' then 1 when 'authorised' then 2 when 'partner' then 3 else 4 end"
HELD = "r.ended_at is null and r.valid_from <= current_instant() and (r.valid_until is null or r.valid_until > current_instant())"
BY_ONESELF = "('serious-harm', 'lasting-wish')"

TABLES = (
    """
alter table consent_decision
    add column representation_id uuid,
    add foreign key (case_id, representation_id) references representation (case_id, id),
    add constraint consent_decision_by check ((decider = 'representative') = (representation_id is not null))
""",
    """
alter table consent
    add column withdrawal_representation_id uuid,
    add foreign key (case_id, withdrawal_representation_id) references representation (case_id, id),
    add constraint consent_withdrawal_by check (withdrawal_representation_id is null
                                                or withdrawal_decided_by = 'representative')
""",
    "grant update (withdrawal_representation_id) on consent to app",
    # whoever joins a household after it was opened takes part by consent
    "alter table subject add column by_consent boolean not null default false",
    """
alter table enrolment
    drop constraint enrolment_purpose_check,
    drop constraint enrolment_of,
    add constraint enrolment_purpose_check check (purpose in ('staff', 'citizen', 'reset', 'init', 'relative')),
    add constraint enrolment_of check (
        case purpose when 'citizen' then patient_id is not null and check_digest is not null and name_sealed is not null
                                       and identity_document is not null and delivery is not null
                     when 'relative' then account_id is not null and patient_id is null and check_digest is not null
                                       and identity_document is not null and delivery is not null
                     else account_id is not null and patient_id is null end)
""",
)

FUNCTIONS = {
    # Whether the engagement that entered speaks for this person here and now.
    "represents(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select current_role_class() = 'representative' and exists (
        select 1 from representation r
          join member m on m.case_id = r.case_id and m.id = r.member_id and m.status = 'accepted'
          join subject s on s.case_id = r.case_id and s.patient_id = r.patient_id and s.died_at is null
         where r.case_id = p_case and r.patient_id = p_patient and r.engagement_id = current_engagement() and {HELD})
$$""",
    "acts_for(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select is_me(p_patient) or represents(p_case, p_patient)
$$""",
    # Everybody who ever had a say for this person here: who decides depends on all of them, whoever asks.
    "say_of(p_case uuid, p_patient uuid)": f"""
returns table (id uuid, kind text, scope text[], capacity_lost boolean, engagement_id uuid, account_id uuid,
               valid_from timestamptz, valid_until timestamptz) language sql stable {DEFINER} as $$
    select r.id, r.kind, r.scope, r.capacity_lost, r.engagement_id, e.account_id, r.valid_from,
           least(r.valid_until, r.ended_at)
      from representation r join engagement e on e.id = r.engagement_id
     where r.case_id = p_case and r.patient_id = p_patient and seated(p_case) order by r.recorded_at, r.id
$$""",
    # What each decision said: a status follows from all of them, also from those that the actor may not read.
    "said_about(p_case uuid, p_consent uuid)": f"""
returns table (ordinal integer, representation_id uuid, yes boolean) language sql stable {DEFINER} as $$
    select d.ordinal, d.representation_id, d.yes from consent_decision d
     where d.case_id = p_case and d.consent_id = p_consent and seated(p_case) order by d.ordinal
$$""",
    # Who may have this person's word recorded: citizens and representatives their own, professionals anybody's.
    "speaks_as(p_case uuid, p_consent uuid, p_representation uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select case
        when p_representation is null
        then current_role_class() in {PROFESSIONALS} or is_me(c.patient_id)
        else exists (
            select 1 from representation r
             where r.case_id = c.case_id and r.id = p_representation and r.patient_id = c.patient_id and {HELD}
               and (r.scope is null or c.categories <@ r.scope)
               and (current_role_class() in {PROFESSIONALS} or r.engagement_id = current_engagement()))
        end
      from consent c where c.case_id = p_case and c.id = p_consent
$$""",
    # Separated parents need not learn of each other at their child's table: who represents is told to professionals,
    # and to whom they represent.
    "shows_representative(p_case uuid, p_member uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select current_role_class() in {PROFESSIONALS} or exists (
        select 1 from representation r where r.case_id = p_case and r.member_id = p_member and is_me(r.patient_id))
$$""",
    # An account and engagement for somebody of the citizen's own, made if they are not there yet.
    "engage_relative(p_case uuid, p_patient uuid, p_account uuid, p_name bytea, p_engagement uuid, p_role text)": f"""
returns uuid language plpgsql volatile {DEFINER} as $$
declare
    v_engagement uuid;
begin
    if p_role not in {OWN} or p_account = current_account()
       or not (manages(p_case) or (opened_by_me(p_case) and seated(p_case))) then
        raise exception 'whoever answers for the case says who comes' using errcode = 'insufficient_privilege';
    end if;
    if p_name is not null then
        insert into account (id, name_sealed, created_at) values (p_account, p_name, current_instant());
    elsif not exists (select 1 from account a where a.id = p_account and a.status = 'active')
       or exists (select 1 from engagement e where e.account_id = p_account and e.role = 'integration')
       or exists (select 1 from patient p where p.id = p_patient and p.account_id = p_account) then
        return null;
    end if;
    select e.id into v_engagement from engagement e
     where e.account_id = p_account and e.role = p_role and e.organisation_id is null
       and engagement_in_force(e.id, current_instant()) order by e.valid_from, e.id limit 1;
    if not found then
        v_engagement := p_engagement;
        insert into engagement (id, account_id, role, profession, valid_from)
        values (v_engagement, p_account, p_role,
                case p_role when 'representative' then 'vertegenwoordiger' else 'mantelzorger' end, current_instant());
    end if;
    return v_engagement;
end
$$""",
    # Who may let somebody of a citizen's own in: whoever answers for every table they sit at; for else one member would
    # choose the birth date that opens what others entrusted them with.
    "may_let_in(p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select not can_log_in(p_account)
       and exists (select 1 from engagement e join member m on m.engagement_id = e.id
                    where e.account_id = p_account and e.role in {OWN} and m.status in ('invited', 'accepted'))
       and not exists (select 1 from engagement e left join member m on m.engagement_id = e.id
                        where e.account_id = p_account and (e.role not in {OWN} or (
                              m.id is not null and not (manages(m.case_id) or opened_by_me(m.case_id)))))
$$""",
    # From when until when somebody takes part: from the opening on, or as long as they agree to.
    "takes_part(p_case uuid, p_patient uuid)": f"""
returns table (until timestamptz) language sql stable {DEFINER} as $$
    select null::timestamptz from subject s
     where s.case_id = p_case and s.patient_id = p_patient and not s.by_consent
    union all
    (select k.valid_until from subject s
       join consent k on k.case_id = s.case_id and k.patient_id = s.patient_id and k.kind = 'agree_to_help'
                     and k.status = 'active' and k.valid_from <= current_instant()
                     and (k.valid_until is null or k.valid_until > current_instant())
      where s.case_id = p_case and s.patient_id = p_patient and s.by_consent
      order by k.valid_until desc nulls first limit 1)
$$""",
    # Seats a citizen who has an account and joined: in the name of whoever recorded the last yes.
    "seat_joined(p_case uuid, p_patient uuid, p_member uuid)": f"""
returns uuid language plpgsql volatile {DEFINER} as $$
declare
    v_engagement uuid;
begin
    select e.id into v_engagement from patient p
      join subject s on s.case_id = p_case and s.patient_id = p.id and s.by_consent
      join engagement e on e.account_id = p.account_id and e.role = 'citizen'
                       and engagement_in_force(e.id, current_instant())
     where p.id = p_patient and seated(p_case) and exists (select 1 from takes_part(p_case, p_patient))
       and not exists (select 1 from member m where m.case_id = p_case and m.engagement_id = e.id
                          and m.status in ('invited', 'accepted'))
     order by e.valid_from, e.id limit 1;
    if v_engagement is not null then
        insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, history_from_seq,
                            status, invited_by_engagement_id, invited_at, decided_at)
        values (p_case, p_member, 'person', v_engagement, 'patient', false, 'all', 0, 'accepted', current_engagement(),
                current_instant(), current_instant());
    end if;
    return v_engagement;
end
$$""",
}
EXECUTORS = {"takes_part(p_case uuid, p_patient uuid)": ""}

REPLACED = {
    # As before, and never without the yes of anybody whose say is recorded. A parent's say ends with the sixteenth
    # birthday, or with the eighteenth of a child that cannot weigh this, so that one in force is one that is needed.
    "settle_consent(p_case uuid, p_consent uuid, p_status text, p_until timestamptz, p_renew date)": f"""
returns void language plpgsql volatile {DEFINER} as $$
declare
    v consent;
    v_seq bigint;
    v_yes consent_decision;
    v_own boolean;
    v_needed bigint;
    v_agree bigint;
    v_refuse bigint;
    v_represented boolean;
begin
    select * into v from consent c where c.case_id = p_case and c.id = p_consent for update;
    if v.status is null or v.status not in ('asked', 'proposed')
       or p_status not in ('asked', 'proposed', 'active', 'refused')
       or not exists (select 1 from consent_decision d
                       where d.case_id = p_case and d.consent_id = p_consent
                         and d.recorded_by_engagement_id = current_engagement() and d.recorded_at = current_instant())
    then
        raise exception 'nothing was decided that moves this consent' using errcode = 'insufficient_privilege';
    end if;
    select * into v_yes from consent_decision d
     where d.case_id = p_case and d.consent_id = p_consent and d.yes order by d.ordinal limit 1;
    -- the last word of each
    select bool_or(d.yes) filter (where d.representation_id is null),
           count(r.id) filter (where r.kind in {AUTHORITY} and d.yes and {HELD}),
           count(r.id) filter (where r.kind in {AUTHORITY} and not d.yes and {HELD}),
           coalesce(bool_or(d.yes and {HELD} and not exists (
               select 1 from representation o
                where o.case_id = r.case_id and o.patient_id = r.patient_id and o.kind not in {AUTHORITY}
                  and o.ended_at is null and o.valid_from <= current_instant()
                  and (o.valid_until is null or o.valid_until > current_instant())
                  and {RANK.format(kind="o.kind")} < {RANK.format(kind="r.kind")}))
               filter (where r.kind not in {AUTHORITY}), false)
      into v_own, v_agree, v_refuse, v_represented
      from (select distinct on (representation_id) representation_id, yes from consent_decision
             where case_id = p_case and consent_id = p_consent order by representation_id, ordinal desc) d
      left join representation r on r.case_id = p_case and r.id = d.representation_id;
    select count(*) into v_needed from representation r
     where r.case_id = p_case and r.patient_id = v.patient_id and r.kind in {AUTHORITY} and {HELD}
       and (not r.capacity_lost or v.capacity = 'incapable');
    if p_status = 'active' and (v_yes.ordinal is null or not coalesce(v_own, true) or not case
        when v.departure in {BY_ONESELF} and coalesce(v_own, false) then true
        when v.departure = 'court-order' and v_needed > 0 then v_agree > 0
        when v_needed > 0 then v_agree >= v_needed and v_refuse = 0
        when v.capacity = 'capable' then coalesce(v_own, false)
        else v_represented end)
    then
        raise exception 'no consent without the yes of everybody whose say is recorded'
            using errcode = 'insufficient_privilege';
    end if;
    if p_status in ('asked', 'proposed') and (not coalesce(v_own, true)
                                              or (v.departure is null and v_needed > 0 and v_refuse > 0)) then
        raise exception 'a no is final' using errcode = 'insufficient_privilege';
    end if;
    select h.seq into v_seq from case_head h where h.case_id = p_case;
    update consent set
        status = p_status,
        decided_by = v_yes.decider, decided_at = v_yes.decided_at, method = v_yes.method,
        text_version = v_yes.text_version, text_sha256 = v_yes.text_sha256,
        valid_from = case when p_status = 'active' then greatest(valid_from, current_instant()) else valid_from end,
        valid_until = case when p_status = 'active' then least(valid_until, p_until) else valid_until end,
        renew_on = case when p_status = 'active' then p_renew end,
        history_from_seq = case when p_status = 'active' and history = 'from-now' then v_seq + 1
                                else history_from_seq end,
        threads_from_seq = case when p_status = 'active' then v_seq + 1 else threads_from_seq end
     where case_id = p_case and id = p_consent;
end
$$""",
    # Representatives read what is asked of them while they represent, within their scope; and not what a child of
    # twelve or more decides without them. That they recorded it themselves opens nothing for longer.
    "reads_consent(p_case uuid, p_consent uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1
        from consent c
        left join engagement e on e.id = current_engagement()
        left join member m on m.case_id = c.case_id and m.engagement_id = e.id and m.status = 'accepted'
                          and m.kind <> 'emergency'
        cross join lateral (
            select exists (
                select 1 from consent_recipient r
                where r.case_id = c.case_id and r.consent_id = c.id
                  and ((r.type = 'member' and r.recipient_id = m.id)
                    or (r.type = 'organisation' and r.recipient_id = e.organisation_id)
                    or (r.type = 'role' and r.role = e.role)
                    or (r.type = 'team' and exists (
                        select 1 from team_member t
                        where t.team_id = r.recipient_id and t.engagement_id = e.id
                          and t.valid_from <= current_instant()
                          and (t.valid_until is null or t.valid_until > current_instant()))))
            ) as received
        ) as own
        where c.case_id = p_case and c.id = p_consent
          and (is_me(c.patient_id)
               or (represents(p_case, c.patient_id)
                   and (c.departure is null or c.departure not in {BY_ONESELF})
                   and exists (select 1 from representation r
                                where r.case_id = p_case and r.patient_id = c.patient_id
                                  and r.engagement_id = current_engagement() and {HELD}
                                  and (r.scope is null or c.categories <@ r.scope)))
               or (m.id is not null and (
                    (e.role <> 'representative' and (
                        c.recorded_by_engagement_id = current_engagement()
                        or exists (select 1 from consent_decision d
                                    where d.case_id = c.case_id and d.consent_id = c.id
                                      and d.recorded_by_engagement_id = current_engagement())))
                    or manages(p_case)
                    or (c.status not in ('asked', 'proposed', 'refused') and own.received)
                    or (c.status in ('asked', 'proposed') and c.bundle is not null and not own.received
                        and c.from_domains <@ array[e.domain]
                        and e.role in {PROFESSIONALS}))))
    )
$$""",
    # Representatives hear of a consent, but not by another's deciding: an event says who did it.
    "consent_audience(p_case uuid, p_consent uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select distinct m.engagement_id
      from consent c
      join patient p on p.id = c.patient_id
      join member m on m.case_id = c.case_id and m.status = 'accepted' and m.engagement_id is not null
      join engagement e on e.id = m.engagement_id
      join care_case k on k.id = c.case_id
     where c.case_id = p_case and c.id = p_consent
       and ((e.account_id = p.account_id and e.role <> 'representative')
            or (e.role = 'representative'
                and (e.id = current_engagement() or current_engagement() is null
                     or current_role_class() in {PROFESSIONALS})
                and (c.departure is null or c.departure not in {BY_ONESELF})
                and exists (select 1 from representation r
                             where r.case_id = c.case_id and r.patient_id = c.patient_id and r.member_id = m.id
                               and {HELD} and (r.scope is null or c.categories <@ r.scope)))
            or (c.recorded_by_engagement_id = e.id and e.role <> 'representative')
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
    "while_alive(g access_grant)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from takes_part(g.case_id, g.patient_id) t where t.until is null or g.valid_until <= t.until)
       and not exists (
        select 1 from subject s join engagement e on e.id = g.engagement_id
         where s.case_id = g.case_id and s.patient_id = g.patient_id and s.died_at is not null
           and (g.valid_until is null or g.valid_until > case
                when e.role in ('citizen', 'representative', 'informal_carer') and g.ground <> 'replacement'
                then s.died_at else s.died_at + interval '30 days' end))
$$""",
    # Also for a citizen's own people.
    "add_enrolment(p_id uuid, p_digest bytea, p_check bytea, p_purpose text, p_account uuid, p_patient uuid,"
    " p_name bytea, p_document text, p_delivery text, p_by uuid, p_now timestamptz, p_until timestamptz)": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    if p_by is distinct from current_engagement() then
        raise exception 'a code is issued in the name of whoever asks' using errcode = 'insufficient_privilege';
    end if;
    if not coalesce(case p_purpose
        -- the first of all, by whoever installs: no login that serves is one
        when 'init' then pg_has_role(session_user, 'keeper', 'member')
        when 'staff' then keeps_account(p_account)
        when 'reset' then exists (select 1 from factor_reset r where r.account_id = p_account
                                     and r.confirmed_by_engagement_id = p_by and r.confirmed_at = current_instant())
        when 'citizen' then exists (select 1 from subject s where s.patient_id = p_patient and seated(s.case_id))
        when 'relative' then may_let_in(p_account)
        end, false) then
        raise exception 'nobody asks for a code of others' using errcode = 'insufficient_privilege';
    end if;
    update enrolment set voided_at = p_now
     where used_at is null and voided_at is null and (account_id = p_account or patient_id = p_patient);
    perform end_sessions(p_account, array(select s.id from login_session s where s.account_id = p_account
                                             and s.acr = 'enrolment' and s.ended_at is null), 'code-replaced', p_now);
    insert into enrolment (id, digest, check_digest, purpose, account_id, patient_id, name_sealed,
                           identity_document, delivery, created_by_engagement_id, created_at, expires_at)
    values (p_id, p_digest, p_check, p_purpose, p_account, p_patient, p_name, p_document, p_delivery, p_by, p_now,
            p_until);
end
$$""",
    "take_enrolment(p_digest bytea, p_check bytea, p_linking boolean, p_now timestamptz)": f"""
returns table (id uuid, purpose text, account_id uuid, patient_id uuid, name_sealed bytea)
language plpgsql volatile {DEFINER} as $$
declare
    v enrolment;
    v_patient patient;
begin
    select * into v from enrolment e
     where e.digest = p_digest and e.used_at is null and e.voided_at is null and e.expires_at > p_now for update;
    if not found then
        return;
    end if;
    account_id := v.account_id;
    if v.purpose = 'citizen' then
        if v.check_digest is distinct from p_check then
            update enrolment e set tries = tries + 1, voided_at = case when tries >= 4 then p_now end where e.id = v.id;
            return;
        end if;
        select * into v_patient from patient p where p.id = v.patient_id;
        select a.id into account_id from account a where a.bsn_link_index = v_patient.bsn_link_index;
        if v_patient.account_id is not null then
            return;
        end if;
    end if;
    if v.purpose = 'relative' and v.check_digest is distinct from p_check then
        update enrolment e set tries = tries + 1, voided_at = case when tries >= 4 then p_now end where e.id = v.id;
        return;
    end if;
    if p_linking then
        if v.purpose <> 'citizen' or current_account() is null or account_id <> current_account() then
            return;
        end if;
        account_id := current_account();
    elsif account_id is not null and (v.purpose = 'citizen' or (v.purpose <> 'reset' and can_log_in(account_id))) then
        return;
    end if;
    update enrolment e set used_at = p_now where e.id = v.id;
    id := v.id;
    purpose := v.purpose;
    patient_id := v.patient_id;
    name_sealed := v.name_sealed;
    return next;
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
                                'accountId', p.account_id, 'diedAt', s.died_at, 'until', t.until)), '[]')
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
}

OWN_SEAT = """exists (
        select 1 from member m
        where m.case_id = {row}.case_id and m.engagement_id = current_engagement() and m.status = 'accepted'
    )"""
OWN_CONTACTS = """exists (
        select 1 from access_grant g
        where g.case_id = member.case_id and g.engagement_id = current_engagement()
          and g.category = 'contact_network' and g.valid_from <= current_instant()
          and (g.valid_until is null or g.valid_until > current_instant())
    )"""
OWN_DOMAIN = "from_domains <@ array[(select e.domain from engagement e where e.id = current_engagement())]"

POLICIES = (
    "drop policy app_select on member",
    f"""
create policy app_select on member for select to app using (
    engagement_id = current_engagement()
    or ({OWN_CONTACTS} and (case_role <> 'wettelijk_vertegenwoordiger' or shows_representative(case_id, id)))
)
""",
    # A household that is open takes in whoever agrees; at the opening there is nobody to ask yet.
    "drop policy app_insert on subject",
    """
create policy app_insert on subject for insert to app with check (
    opened_by_me(case_id) and exists (
        select 1 from care_case c
         where c.id = subject.case_id
           and case when by_consent then c.kind = 'household' and c.status = 'open'
                    else c.opened_at = current_instant() end)
)
""",
    "drop policy app_select on consent",
    """
create policy app_select on consent for select to app using (
    (recorded_by_engagement_id = current_engagement()
     and (current_role_class() is distinct from 'representative' or recorded_at = current_instant()))
    or reads_consent(case_id, id)
)
""",
    "drop policy app_insert on consent",
    f"""
create policy app_insert on consent for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and status = 'asked' and {OWN_SEAT.format(row="consent")}
    and (kind <> 'lift_secrecy' or acts_for(case_id, patient_id) or bundle is not null or {OWN_DOMAIN})
    and (current_role_class() not in ('citizen', 'representative') or acts_for(case_id, patient_id))
)
""",
    "drop policy app_update on consent",
    """
create policy app_update on consent for update to app
    using (status = 'active' and reads_consent(case_id, id)
           and (current_role_class() not in ('citizen', 'representative') or acts_for(case_id, patient_id)))
    with check (status = 'withdrawn')
""",
    # What a representative decided is for professionals, for whom it was decided, and for themselves to read.
    "drop policy app_select on consent_decision",
    f"""
create policy app_select on consent_decision for select to app using (
    exists (
        select 1 from consent c
         where c.case_id = consent_decision.case_id and c.id = consent_decision.consent_id
           and (current_role_class() in {PROFESSIONALS} or is_me(c.patient_id)))
    or exists (
        select 1 from representation r
         where r.case_id = consent_decision.case_id and r.id = consent_decision.representation_id
           and r.engagement_id = current_engagement())
)
""",
    "drop policy app_insert on consent_decision",
    f"""
create policy app_insert on consent_decision for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and {OWN_SEAT.format(row="consent_decision")}
    and exists (
        select 1 from consent c
        where c.case_id = consent_decision.case_id and c.id = consent_decision.consent_id
          and c.status in ('asked', 'proposed')
          and (not yes or c.kind <> 'lift_secrecy' or acts_for(c.case_id, c.patient_id) or c.{OWN_DOMAIN})
    )
    and speaks_as(case_id, consent_id, representation_id)
)
""",
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
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
