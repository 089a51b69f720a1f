"""What each derivation of grants rested on, so that a decision of the past can be made again and compared.

The database reads the inputs itself when it keeps them: whoever derives cannot say that they were others. Ids, codes
and instants alone. Source: DESIGN G12.
"""

from alembic import op

revision = "0029"
down_revision = "0028"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    """
create table access_basis (
    case_id uuid not null,
    version bigint not null,
    policy_version text not null,
    inputs jsonb not null,
    derived_at timestamptz not null,
    primary key (case_id, version),
    foreign key (case_id) references care_case (id)
)
""",
    "alter table access_basis enable row level security",
    "alter table access_basis force row level security",
    "create policy keeper_all on access_basis to keeper using (true) with check (true)",
    # added and never changed, also by the keeper
    "grant select, insert on access_basis to keeper",
)

FUNCTIONS = {
    # Of a version whose inputs are those of the one before it, that one says enough.
    "keep_basis(p_case uuid, p_policy text)": f"""
returns void language sql volatile {DEFINER} as $$
    insert into access_basis (case_id, version, policy_version, inputs, derived_at)
    select h.case_id, h.access_version, p_policy, i.inputs, current_instant()
      from case_head h
     cross join lateral (select grant_inputs(h.case_id) - 'grants' - 'seq' as inputs) i
      left join lateral (select b.policy_version, b.inputs from access_basis b
                          where b.case_id = h.case_id order by b.version desc limit 1) l on true
     where h.case_id = p_case and (l.policy_version, l.inputs) is distinct from (p_policy, i.inputs)
$$""",
    # To whoever watches over the region: what was decided from, and what was open, at one moment.
    "access_decision(p_case uuid, p_at timestamptz)": f"""
returns jsonb language sql stable {DEFINER} as $$
    select jsonb_build_object(
        'version', b.version, 'policyVersion', b.policy_version, 'derivedAt', b.derived_at, 'inputs', b.inputs,
        'grants', (select coalesce(jsonb_agg(jsonb_build_array(g.engagement_id, g.patient_id, g.category, g.domain,
                                  g.may_write, g.ground, g.consent_id)), '[]')
                     from (select engagement_id, patient_id, category, domain, may_write, ground, consent_id,
                                  valid_from, valid_until, granted_at, null::timestamptz as ended_at
                             from access_grant where case_id = p_case
                           union all
                           select engagement_id, patient_id, category, domain, may_write, ground, consent_id,
                                  valid_from, valid_until, granted_at, ended_at
                             from ended_grant where case_id = p_case) g
                    where g.valid_from <= p_at and (g.valid_until is null or g.valid_until > p_at)
                      and g.granted_at <= p_at and (g.ended_at is null or g.ended_at > p_at)))
      from access_basis b
     where b.case_id = p_case and b.derived_at <= p_at and p_at <= current_instant()
       and current_role_class() in ('auditor', 'privacy_officer')
     order by b.version desc limit 1
$$""",
}


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
