"""A consent is terms plus decisions: asked, proposed, refused beside active, and who said yes or no about it.

Nobody inserts a consent that is active, and nobody edits one: ``settle_consent`` alone moves it, after a decision of
this transaction and never to active without somebody's yes. Source: ADR 0011; DOMAIN R-3, R-6, R-7.
"""

from alembic import op

revision = "0024"
down_revision = "0023"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    "alter table consent add column regime text, add column capacity text, add column departure text,"
    " add column departure_reason_sealed bytea, add column renew_on date",
    # A change of type is computed for every row past row-level security and triggers; an update is not.
    "alter table consent alter column regime type text"
    " using case when 'youth' = any (from_domains) then 'jeugdwet' else 'wgbo' end,"
    " alter column capacity type text using 'capable'",
    """
alter table consent
    alter column regime set not null,
    alter column capacity set not null,
    alter column decided_by drop not null,
    alter column decided_at drop not null,
    alter column method drop not null,
    alter column text_version drop not null,
    alter column text_sha256 drop not null,
    drop constraint consent_check_2,
    drop constraint consent_check_9,
    add constraint consent_check_2 check (status in (
        'asked', 'proposed', 'active', 'refused', 'withdrawn', 'expired', 'superseded')),
    add constraint consent_regime check (regime in ('wgbo', 'jeugdwet')),
    add constraint consent_capacity check (capacity in ('capable', 'incapable')),
    add constraint consent_departure check (departure in ('serious-harm', 'lasting-wish', 'court-order')),
    add constraint consent_departure_reason check ((departure is null) = (departure_reason_sealed is null)),
    add constraint consent_decided check (status in ('asked', 'proposed', 'refused') or decided_at is not null),
    add constraint consent_decided_whole check (num_nulls(decided_by, decided_at, method, text_version, text_sha256)
                                                in (0, 5))
""",
    """
create table consent_decision (
    case_id uuid not null,
    consent_id uuid not null,
    ordinal integer not null,
    decider text not null,
    yes boolean not null,
    decided_at timestamptz not null,
    method text not null,
    text_version text not null,
    text_sha256 text not null,
    language text not null,
    interpreter text,
    recorded_by_account_id uuid not null references account (id),
    recorded_by_engagement_id uuid not null references engagement (id),
    recorded_at timestamptz not null,
    primary key (case_id, consent_id, ordinal),
    foreign key (case_id, consent_id) references consent (case_id, id),
    constraint consent_decision_decider check (decider in ('patient', 'representative')),
    constraint consent_decision_method check (method in ('digital_2fa', 'written', 'oral_recorded')),
    constraint consent_decision_text check (text_sha256 ~ '^[0-9a-f]{64}$'),
    constraint consent_decision_language check (language ~ '^[a-z]{2,3}$'),
    constraint consent_decision_interpreter check (interpreter in ('professional', 'informal')),
    constraint consent_decision_not_ahead check (decided_at <= recorded_at)
)
""",
    "alter table consent_decision enable row level security",
    "alter table consent_decision force row level security",
    "create policy keeper_all on consent_decision to keeper using (true) with check (true)",
    # append only, for everybody
    "grant select, insert on consent_decision to keeper, app",
)

BACKFILL = """
insert into consent_decision (case_id, consent_id, ordinal, decider, yes, decided_at, method, text_version, text_sha256,
                              language, recorded_by_account_id, recorded_by_engagement_id, recorded_at)
select case_id, id, 1, decided_by, true, decided_at, method, text_version, text_sha256, 'nl', recorded_by_account_id,
       recorded_by_engagement_id, recorded_at from consent
"""

FUNCTIONS = {
    # Ciphertext, to whoever sits where the case is about this person: who decides depends on the age that day.
    "birth_date_of(p_case uuid, p_patient uuid)": f"""
returns bytea language sql stable {DEFINER} as $$
    select p.birth_date_sealed from subject s join patient p on p.id = s.patient_id
     where s.case_id = p_case and s.patient_id = p_patient and seated(p_case)
$$""",
    # Moves a consent on after what was decided in this transaction; what it opens begins here and never before.
    "settle_consent(p_case uuid, p_consent uuid, p_status text, p_until timestamptz, p_renew date)": f"""
returns void language plpgsql volatile {DEFINER} as $$
declare
    v consent;
    v_seq bigint;
    v_yes consent_decision;
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
    if p_status = 'active' and (v_yes.ordinal is null or not coalesce(
        (select d.yes from consent_decision d
          where d.case_id = p_case and d.consent_id = p_consent and d.decider = 'patient'
          order by d.ordinal desc limit 1), true))
    then
        raise exception 'no consent without a yes' using errcode = 'insufficient_privilege';
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
}

REPLACED = {
    # Recipients read what was given to them. That somebody was asked, or said no, is not for them to know.
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
                    or (c.status not in ('asked', 'proposed', 'refused') and exists (
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
                                  and (t.valid_until is null or t.valid_until > current_instant())))))))))
    )
$$""",
}

OWN_SEAT = """exists (
        select 1 from member m
        where m.case_id = {row}.case_id and m.engagement_id = current_engagement() and m.status = 'accepted'
    )"""
OWN_DOMAIN = "from_domains <@ array[(select e.domain from engagement e where e.id = current_engagement())]"

POLICIES = (
    "drop policy app_insert on consent",
    f"""
create policy app_insert on consent for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and status = 'asked' and {OWN_SEAT.format(row="consent")}
    and (kind <> 'lift_secrecy' or is_me(patient_id) or {OWN_DOMAIN})
)
""",
    """
create policy app_select on consent_decision for select to app using (exists (
    select 1 from consent c where c.case_id = consent_decision.case_id and c.id = consent_decision.consent_id
))
""",
    f"""
create policy app_insert on consent_decision for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and {OWN_SEAT.format(row="consent_decision")}
    and exists (
        select 1 from consent c
        where c.case_id = consent_decision.case_id and c.id = consent_decision.consent_id
          and c.status in ('asked', 'proposed')
          and (not yes or c.kind <> 'lift_secrecy' or is_me(c.patient_id) or c.{OWN_DOMAIN})
    )
)
""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("set local role keeper")
    op.execute(BACKFILL)
    op.execute("reset role")
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
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
