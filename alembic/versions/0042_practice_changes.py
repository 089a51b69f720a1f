"""Change of GP practice: announced, then accepted, refused or withdrawn; nothing changes until a GP there accepts.

On acceptance the seats of one practice end and the GP of the other sits down in the same commit. What citizens agreed
to for the one is asked anew for the other, never copied. Source: ADR 0011; issue 3 of 11, part 11.
"""

from alembic import op

revision = "0042"
down_revision = "0041"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"
BY_ONESELF = "('serious-harm', 'lasting-wish')"
HELD = (
    "r.ended_at is null and r.valid_from <= current_instant()"
    " and (r.valid_until is null or r.valid_until > current_instant())"
)

TABLES = (
    """
create table practice_change (
    case_id uuid not null references care_case (id),
    id uuid not null,
    from_organisation_id uuid not null references organisation (id),
    to_organisation_id uuid not null references organisation (id),
    state text not null,
    recorded_by_account_id uuid not null references account (id),
    recorded_by_engagement_id uuid not null references engagement (id),
    recorded_at timestamptz not null,
    decided_by_account_id uuid references account (id),
    decided_by_engagement_id uuid references engagement (id),
    decided_at timestamptz,
    reason text,
    primary key (case_id, id),
    constraint practice_change_to_another check (from_organisation_id <> to_organisation_id),
    constraint practice_change_state check (state in ('announced', 'accepted', 'refused', 'withdrawn')),
    constraint practice_change_decided check (
        num_nulls(decided_by_account_id, decided_by_engagement_id, decided_at)
        = case state when 'announced' then 3 else 0 end),
    constraint practice_change_by_another check (
        state <> 'accepted' or decided_by_account_id <> recorded_by_account_id),
    constraint practice_change_reason check (
        (reason is not null) = (state = 'refused') and reason ~ '^[a-z0-9-]{1,64}$')
)
""",
    "create unique index uq_practice_change_open on practice_change (case_id) where state = 'announced'",
    "create index ix_practice_change_to on practice_change (to_organisation_id)",
    "alter table practice_change enable row level security",
    "alter table practice_change force row level security",
    "create policy keeper_all on practice_change to keeper using (true) with check (true)",
    "grant select, insert, update on practice_change to keeper",
    "grant select, insert on practice_change to app",
    """
alter table consent
    drop constraint consent_refers_as,
    add constraint consent_refers_as check (refers_as in ('renewal', 'narrowing', 'addition', 'transfer'))
""",
)

# A practice, and what merged into it or it into: their people are one.
AS_ONE = """array(
        select o.id from organisation o
         where o.id <> {to} and ({of} in (o.id, o.merged_into_id)
               or o.id = (select f.merged_into_id from organisation f where f.id = {of})))"""
NAMES_PRACTICE = """((r.type = 'organisation' and r.recipient_id = any (v_practices))
                          or (r.type = 'member' and r.recipient_id = any (v_members)))"""

FUNCTIONS = {
    # Who says that the citizen goes elsewhere: who oversees the case, and the citizen's own GP at the table.
    "announces_practice(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select oversees(p_case) or (sits(p_case) and current_role_class() = 'gp')
$$""",
    # Whether nobody whom the case is about lets the actor near.
    "shut_out(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select coalesce(bool_and(kept_away(p_case, s.patient_id)), false) from subject s where s.case_id = p_case
$$""",
    # A GP of a practice that is asked to take this case over, unless anybody it is about keeps them away.
    "receives_practice(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select current_role_class() = 'gp'
       and exists (select 1 from practice_change p
                    where p.case_id = p_case and p.to_organisation_id = current_organisation())
       and not exists (select 1 from subject s where s.case_id = p_case and kept_away(p_case, s.patient_id))
$$""",
    # The practices that treat at this table.
    "practices_at(p_case uuid)": f"""
returns table (organisation_id uuid, home boolean) language sql stable {DEFINER} as $$
    select distinct o.id, o.id = c.organisation_id
      from care_case c
      join member m on m.case_id = c.id and m.status = 'accepted' and m.kind <> 'emergency' and m.direct_treatment
      join engagement e on e.id = m.engagement_id and e.role in ('gp', 'poh')
      join organisation o on o.id = e.organisation_id and o.kind = 'gp_practice'
     where c.id = p_case and (seated(p_case) or oversees(p_case))
     order by 1
$$""",
    # The GPs who can accept; nobody whom somebody it is about keeps away is asked.
    "gps_to_ask(p_case uuid, p_organisation uuid)": f"""
returns table (engagement_id uuid, kept_away boolean) language sql stable {DEFINER} as $$
    select e.id, exists (select 1 from exclusion x
                          where x.case_id = p_case and x.account_id = e.account_id and x.ended_at is null)
      from engagement e
     where e.organisation_id = p_organisation and e.role = 'gp' and engagement_in_force(e.id, current_instant())
       and (announces_practice(p_case) or receives_practice(p_case))
     order by 1
$$""",
    "close_practice_change(p_case uuid, p_id uuid, p_state text, p_reason text)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update practice_change p
       set state = p_state, reason = p_reason, decided_at = current_instant(),
           decided_by_account_id = current_account(), decided_by_engagement_id = current_engagement()
     where p.case_id = p_case and p.id = p_id and p.state = 'announced'
       and case p_state
           when 'refused' then p.to_organisation_id = current_organisation() and receives_practice(p_case)
           when 'withdrawn' then announces_practice(p_case) and not shut_out(p_case)
           else false end;
    return found;
end
$$""",
    # The caller holds the case. The seats of the one practice end, invitations too; the GP who accepts sits down in
    # the role that falls free, and the case is theirs where it was the practice's. Emergencies run out by time.
    "accept_practice_change(p_case uuid, p_id uuid, p_member uuid)": f"""
returns table (member_id uuid, engagement_id uuid, was text) language plpgsql volatile {DEFINER} as $$
#variable_conflict use_column
declare
    v practice_change;
    v_practices uuid[];
    v_people uuid[];
    v_role text;
    v_seat member;
begin
    update practice_change p
       set state = 'accepted', decided_at = current_instant(), decided_by_account_id = current_account(),
           decided_by_engagement_id = current_engagement()
     where p.case_id = p_case and p.id = p_id and p.state = 'announced' and receives_practice(p_case)
       and p.to_organisation_id = current_organisation()
    returning * into v;
    if v.id is null then
        return;
    end if;
    v_practices := {AS_ONE.format(of="v.from_organisation_id", to="v.to_organisation_id")};
    v_people := array(
        select e.id from engagement e
          left join engagement a on a.id = e.responsible_engagement_id
         where e.role in {PROFESSIONALS} and e.id <> current_engagement()
           and (e.organisation_id = any (v_practices) or (e.role = 'poh' and a.organisation_id = any (v_practices))));
    select m.case_role into v_role from member m
     where m.case_id = p_case and m.engagement_id = any (v_people) and m.status = 'accepted'
       and m.case_role in ('casemanager', 'gezinsregisseur')
     order by m.case_role limit 1;
    update care_case c
       set organisation_id = case when c.organisation_id = any (v_practices) then v.to_organisation_id
                                  else c.organisation_id end,
           handed_to_engagement_id = case when coalesce(c.handed_to_engagement_id, c.opened_by_engagement_id)
                                               = any (v_people) then current_engagement()
                                          else c.handed_to_engagement_id end
     where c.id = p_case;
    return query
        with ended as (
            select m.id, m.status from member m
             where m.case_id = p_case and m.status in ('invited', 'accepted') and m.kind <> 'emergency'
               and (m.engagement_id = any (v_people)
                    or (m.kind = 'function' and m.organisation_id = any (v_practices)))
        )
        update member m set status = 'ended', ended_at = current_instant()
          from ended where m.case_id = p_case and m.id = ended.id
        returning m.id, m.engagement_id, ended.status;
    select * into v_seat from member m
     where m.case_id = p_case and m.engagement_id = current_engagement() and m.status in ('invited', 'accepted')
       and m.kind <> 'emergency';
    if v_seat.id is null then
        v_seat.id := p_member;
        insert into member (case_id, id, kind, engagement_id, case_role, direct_treatment, history, history_from_seq,
                            reason_code, status, invited_by_engagement_id, invited_at, decided_at)
        values (p_case, p_member, 'person', current_engagement(), coalesce(v_role, 'regiebehandelaar'), true, 'all',
                0, 'transfer', 'accepted', v.recorded_by_engagement_id, v.recorded_at, current_instant());
    else
        update member m
           set direct_treatment = true, history = 'all', history_from_seq = 0, status = 'accepted',
               decided_at = coalesce(m.decided_at, current_instant()),
               case_role = case when m.case_role in ('casemanager', 'gezinsregisseur') then m.case_role
                                else coalesce(v_role, 'regiebehandelaar') end
         where m.case_id = p_case and m.id = v_seat.id;
    end if;
    return query
        select v_seat.id, current_engagement(), case v_seat.status when 'accepted' then 'there' else 'new' end;
end
$$""",
    # Whether the actor accepted a change of practice here, in this transaction.
    "offers_anew(p_case uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from practice_change p
                    where p.case_id = p_case and p.state = 'accepted' and p.decided_at = current_instant()
                      and p.decided_by_engagement_id = current_engagement())
$$""",
    # What citizens were asked, or agreed to, for the practice that they left, and whether it was for that one alone.
    # Taking part at all is not for a practice.
    "consents_left(p_case uuid)": f"""
returns table (c consent, recipients jsonb, alone boolean) language plpgsql stable {DEFINER} as $$
declare
    v practice_change;
    v_practices uuid[];
    v_members uuid[];
begin
    select * into v from practice_change p
     where p.case_id = p_case and p.state = 'accepted' and p.decided_at = current_instant() and offers_anew(p_case);
    v_practices := {AS_ONE.format(of="v.from_organisation_id", to="v.to_organisation_id")};
    v_members := array(select m.id from member m where m.case_id = p_case and m.ended_at = current_instant());
    return query
        select k, n.recipients, n.alone
          from consent k
         cross join lateral (
            select jsonb_agg(jsonb_build_object('type', r.type, 'id', r.recipient_id) order by r.ordinal)
                       filter (where {NAMES_PRACTICE}) as recipients,
                   bool_and({NAMES_PRACTICE}) as alone
              from consent_recipient r where r.case_id = k.case_id and r.consent_id = k.id) n
         where k.case_id = p_case and k.kind in ('lift_secrecy', 'gdpr_basis')
           and k.status in ('asked', 'proposed', 'active') and n.recipients is not null
           and (k.valid_until is null or k.valid_until > current_instant())
         order by k.recorded_at, k.id;
end
$$""",
    # What was for that practice alone gives way to what is asked anew.
    "close_consents_left(p_case uuid)": f"""
returns void language sql volatile {DEFINER} as $$
    update consent k set status = 'superseded', superseded_at = current_instant()
      from consents_left(p_case) l
     where l.alone and k.case_id = p_case and k.id = (l.c).id
       and exists (select 1 from consent n
                    where n.case_id = p_case and n.refers_to_id = k.id and n.refers_as = 'transfer'
                      and n.recorded_at = current_instant())
$$""",
}

REPLACED = {
    # As before, with whether a GP's practice is asked to take the case over.
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
    # Also what is asked anew after a change of practice, by whoever keeps that secret.
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
                    or (c.status in ('asked', 'proposed') and not own.received
                        and (c.bundle is not null or c.refers_as = 'transfer')
                        and c.from_domains <@ array[e.domain]
                        and e.role in {PROFESSIONALS}))))
    )
$$""",
}

POLICIES = (
    """
create policy app_select on practice_change for select to app using (
    recorded_by_engagement_id = current_engagement() or decided_by_engagement_id = current_engagement()
    or announces_practice(case_id)
    or (to_organisation_id = current_organisation() and receives_practice(case_id))
)
""",
    """
create policy app_insert on practice_change for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and state = 'announced' and announces_practice(case_id)
)
""",
    "create policy not_shut_out on practice_change as restrictive to app using (not shut_out(case_id))",
    # in the name of the GP who takes over, and of any domain: who keeps that secret records the citizen's answer
    """
create policy app_offer on consent for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and status = 'asked' and refers_as = 'transfer' and offers_anew(case_id)
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
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")
    for policy in POLICIES:
        op.execute(policy)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
