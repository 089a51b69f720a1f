"""Where a consent comes from: the use of a bundle, or an earlier consent that it renews, narrows or adds to.

A renewal takes the place of what it renews in the commit in which it becomes active, and of nothing wider; the bounds
of the older one stay. Source: BUNDLES; DOMAIN R-3, R-6; ADR 0011.
"""

from alembic import op

revision = "0032"
down_revision = "0031"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    """
alter table consent
    add column bundle text,
    add column bundle_version text,
    add column bundle_use_id uuid,
    add column refers_to_id uuid,
    add column refers_as text,
    add column superseded_at timestamptz,
    add column review_months smallint,
    add constraint consent_bundle check (num_nulls(bundle, bundle_version, bundle_use_id) in (0, 3)),
    add constraint consent_bundle_code check (bundle ~ '^[a-z0-9-]{1,64}$' and bundle_version ~ '^[0-9-]{1,16}$'),
    add constraint consent_refers check ((refers_to_id is null) = (refers_as is null)),
    add constraint consent_refers_as check (refers_as in ('renewal', 'narrowing', 'addition')),
    add constraint consent_refers_to foreign key (case_id, refers_to_id) references consent (case_id, id),
    add constraint consent_review check (review_months between 1 and 120),
    add constraint consent_superseded check ((status = 'superseded') = (superseded_at is not null))
""",
)

FUNCTIONS = {
    # Who sits at the table, as far as a bundle's lines describe people; names are elsewhere.
    "table_company(p_case uuid)": f"""
returns table (member_id uuid, engagement_id uuid, role text, profession text, speciality text, domain text, law text,
               case_role text, organisation_id uuid, organisation_kind text, team_ids uuid[])
language sql stable {DEFINER} as $$
    select m.id, e.id, e.role, e.profession, e.speciality, e.domain, e.law, m.case_role, o.id, o.kind,
           array(select t.team_id from team_member t
                  where t.engagement_id = e.id and t.valid_from <= current_instant()
                    and (t.valid_until is null or t.valid_until > current_instant())
                  order by t.team_id)
      from member m
      join engagement e on e.id = m.engagement_id
      left join organisation o on o.id = e.organisation_id
     where m.case_id = p_case and m.status = 'accepted' and m.kind <> 'emergency' and seated(p_case)
       and engagement_in_force(e.id, current_instant())
     order by m.id
$$""",
    # The renewed consent gives way to what renews it, decided in this transaction and no wider than it.
    "succeed_consent(p_case uuid, p_consent uuid)": f"""
returns uuid language plpgsql volatile {DEFINER} as $$
declare
    v_new consent;
    v_old consent;
begin
    select * into v_new from consent c where c.case_id = p_case and c.id = p_consent for update;
    select * into v_old from consent c where c.case_id = p_case and c.id = v_new.refers_to_id for update;
    if v_new.status is distinct from 'active' or v_new.refers_as is distinct from 'renewal'
       or v_old.patient_id is distinct from v_new.patient_id or v_old.kind <> v_new.kind
       or not (v_new.categories <@ v_old.categories and v_new.from_domains <@ v_old.from_domains)
       or (v_new.both_ways and not v_old.both_ways) or v_new.history <> v_old.history
       or exists (select r.type, r.recipient_id, r.role from consent_recipient r
                   where r.case_id = p_case and r.consent_id = v_new.id
                  except
                  select r.type, r.recipient_id, r.role from consent_recipient r
                   where r.case_id = p_case and r.consent_id = v_old.id)
       or not exists (select 1 from consent_decision d
                       where d.case_id = p_case and d.consent_id = p_consent and d.yes
                         and d.recorded_by_engagement_id = current_engagement() and d.recorded_at = current_instant())
    then
        raise exception 'nothing was decided that succeeds this consent' using errcode = 'insufficient_privilege';
    end if;
    if v_old.status <> 'active' or (v_old.valid_until is not null and v_old.valid_until <= current_instant()) then
        return null;
    end if;
    update consent set status = 'superseded', superseded_at = current_instant()
     where case_id = p_case and id = v_old.id;
    update consent set history_from_seq = v_old.history_from_seq, threads_from_seq = v_old.threads_from_seq
     where case_id = p_case and id = v_new.id;
    return v_old.id;
end
$$""",
}

REPLACED = {
    # Beside those of before: whose secrecy a bundle would lift, asked by somebody else, is theirs to record and then
    # theirs to read.
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
               or (m.id is not null and (
                    c.recorded_by_engagement_id = current_engagement()
                    or exists (select 1 from consent_decision d
                                where d.case_id = c.case_id and d.consent_id = c.id
                                  and d.recorded_by_engagement_id = current_engagement())
                    or manages(p_case)
                    or (c.status not in ('asked', 'proposed', 'refused') and own.received)
                    or (c.status in ('asked', 'proposed') and c.bundle is not null and not own.received
                        and c.from_domains <@ array[e.domain]
                        and e.role in ('gp', 'poh', 'district_nurse', 'specialist', 'social_team')))))
    )
$$""",
}

OWN_SEAT = """exists (
        select 1 from member m
        where m.case_id = consent.case_id and m.engagement_id = current_engagement() and m.status = 'accepted'
    )"""

POLICIES = (
    "drop policy app_insert on consent",
    f"""
create policy app_insert on consent for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and status = 'asked' and {OWN_SEAT}
    and (kind <> 'lift_secrecy' or is_me(patient_id) or bundle is not null
         or from_domains <@ array[(select e.domain from engagement e where e.id = current_engagement())])
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
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
