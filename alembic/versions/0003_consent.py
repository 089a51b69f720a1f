"""Consent records and their recipients."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
create table consent (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    kind text not null,
    status text not null,
    from_domains text[] not null,
    categories text[] not null,
    both_ways boolean not null,
    history text not null,
    history_from_seq bigint not null,
    purpose text not null,
    decided_by text not null,
    decided_by_account_id uuid,
    decided_at timestamptz not null,
    method text not null,
    text_version text not null,
    text_sha256 text not null,
    recorded_by_account_id uuid not null,
    recorded_by_engagement_id uuid not null,
    recorded_at timestamptz not null,
    valid_from timestamptz not null,
    valid_until timestamptz,
    withdrawn_at timestamptz,
    withdrawal_decided_by text,
    withdrawal_decided_at timestamptz,
    withdrawal_method text,
    withdrawn_by_engagement_id uuid,
    primary key (case_id, id),
    foreign key (case_id, patient_id) references subject (case_id, patient_id),
    unique (id),
    foreign key (decided_by_account_id) references account (id),
    foreign key (recorded_by_account_id) references account (id),
    foreign key (recorded_by_engagement_id) references engagement (id),
    foreign key (withdrawn_by_engagement_id) references engagement (id),
    constraint consent_check_1 check (kind in ('lift_secrecy', 'gdpr_basis', 'agree_to_help')),
    constraint consent_check_2 check (status in ('active', 'withdrawn', 'expired')),
    constraint consent_check_3 check (
        cardinality(from_domains) > 0 and from_domains <@ array['care', 'youth', 'social']
    ),
    constraint consent_check_4 check (
        cardinality(categories) > 0 and categories <@ array['medical_summary', 'medication',
        'mental_health', 'addiction', 'functional_adl', 'advance_care_planning', 'crisis_plan',
        'youth_development', 'education', 'living_situation', 'social_participation',
        'finance_debt', 'work_income', 'identification', 'contact_network',
        'practical_coordination', 'plan_goals_actions', 'mdo_report', 'positive_health', 'zrm',
        'safety_meldcode']
    ),
    constraint consent_check_5 check (history in ('all', 'from-now')),
    constraint consent_check_6 check (purpose in ('TREAT', 'CAREMGT', 'SOCSUPPORT')),
    constraint consent_check_7 check (decided_by in ('patient', 'representative')),
    constraint consent_check_8 check (method in ('digital_2fa', 'written', 'oral_recorded')),
    constraint consent_check_9 check (decided_at <= recorded_at),
    constraint consent_check_10 check (valid_from >= recorded_at),
    constraint consent_check_11 check (valid_until > valid_from),
    constraint consent_check_12 check ((status = 'withdrawn') = (withdrawn_at is not null)),
    constraint consent_check_13 check (text_sha256 ~ '^[0-9a-f]{64}$')
)
""",
    """
create index ix_consent_ending on consent (valid_until) where status = 'active' and valid_until is not null
""",
    """
create table consent_recipient (
    case_id uuid not null,
    consent_id uuid not null,
    ordinal integer not null,
    type text not null,
    recipient_id uuid,
    role text,
    primary key (case_id, consent_id, ordinal),
    foreign key (case_id, consent_id) references consent (case_id, id),
    constraint consent_recipient_check_1 check (type in ('member', 'organisation', 'team', 'role')),
    constraint consent_recipient_check_2 check ((type = 'role') = (role is not null)),
    constraint consent_recipient_check_3 check ((type = 'role') = (recipient_id is null))
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
