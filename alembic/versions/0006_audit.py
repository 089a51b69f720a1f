"""The audit log, which nothing changes."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    """
create table audit_event (
    id uuid not null,
    recorded_at timestamptz not null,
    action text not null,
    action_code text not null,
    outcome text not null,
    reason text,
    actor_account_id uuid,
    actor_engagement_id uuid,
    actor_role text,
    organisation_id uuid,
    on_behalf_of uuid,
    purpose text,
    case_id uuid,
    patient_id uuid,
    entity_type text,
    entity_id uuid,
    category text,
    domain text,
    ground text,
    consent_id uuid,
    access_version bigint,
    policy_version text,
    origin text not null,
    access_point text,
    source text not null,
    trace_id uuid,
    login_session_id uuid,
    audience uuid[],
    first_seq bigint,
    last_seq bigint,
    primary key (id),
    constraint audit_event_check_1 check (action_code in ('C', 'R', 'U', 'D', 'E')),
    constraint audit_event_check_2 check (outcome in ('success', 'denied', 'failure')),
    constraint audit_event_check_3 check (origin in ('http', 'socket', 'system'))
)
""",
    """
create index ix_audit_event_actor on audit_event (actor_account_id, recorded_at)
""",
    """
create index ix_audit_event_at on audit_event (recorded_at, id)
""",
    """
create index ix_audit_event_patient on audit_event (patient_id, recorded_at)
""",
    """
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'audit records are never changed' using errcode = 'insufficient_privilege';
end
$$
""",
    """
create trigger audit_event_is_append_only before update or delete or truncate on audit_event
    for each statement execute function refuse_change()
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
