"""Threads, the case stream, idempotency."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    """
create table thread (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    category text not null,
    domain text not null,
    opened_seq bigint not null,
    opened_by_account_id uuid not null,
    opened_by_engagement_id uuid not null,
    opened_at timestamptz not null,
    primary key (case_id, id),
    foreign key (case_id) references care_case (id),
    unique (id),
    foreign key (patient_id) references patient (id),
    foreign key (opened_by_account_id) references account (id),
    foreign key (opened_by_engagement_id) references engagement (id),
    constraint thread_check_1 check (
        category in ('medical_summary', 'medication', 'mental_health', 'addiction',
        'functional_adl', 'advance_care_planning', 'crisis_plan', 'youth_development', 'education',
        'living_situation', 'social_participation', 'finance_debt', 'work_income', 'identification',
        'contact_network', 'practical_coordination', 'plan_goals_actions', 'mdo_report',
        'positive_health', 'zrm', 'safety_meldcode')
    ),
    constraint thread_check_2 check (domain in ('care', 'youth', 'social'))
)
""",
    """
create table case_event (
    case_id uuid not null,
    seq bigint not null,
    id uuid not null,
    type text not null,
    at timestamptz not null,
    actor_account_id uuid,
    actor_engagement_id uuid,
    thread_id uuid,
    patient_id uuid,
    category text,
    domain text,
    kind text,
    refers_to uuid,
    data jsonb,
    body_sealed bytea,
    addressees uuid[],
    retracted_seq bigint,
    superseded_seq bigint,
    primary key (case_id, seq),
    unique (id),
    constraint case_event_check_1 check (type ~ '^[a-z]+[.][a-z]+$'),
    constraint case_event_check_2 check ((addressees is not null) <> (category is not null)),
    constraint case_event_check_3 check ((category is null) = (domain is null)),
    constraint case_event_check_4 check (
        kind in ('message', 'question', 'answer', 'phone-note', 'decision-needed')
    ),
    constraint case_event_check_5 check (
        type not in ('message.posted', 'message.corrected', 'thread.opened', 'case.opened') or
        body_sealed is not null
    )
)
""",
    """
create index ix_case_event_author on case_event (actor_account_id, case_id, seq)
""",
    """
create index ix_case_event_thread on case_event (case_id, thread_id, seq) where thread_id is not null
""",
    """
create table idempotency (
    account_id uuid not null,
    scope text not null,
    key_digest bytea not null,
    body_digest bytea not null,
    resource_id uuid not null,
    created_at timestamptz not null,
    primary key (account_id, scope, key_digest)
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
