"""Grants, and what they were."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
create table access_grant (
    member_id uuid not null,
    engagement_id uuid not null,
    account_id uuid not null,
    patient_id uuid not null,
    category text not null,
    domain text not null,
    may_write boolean not null,
    ground text not null,
    consent_id uuid,
    visible_from_seq bigint not null,
    valid_from timestamptz not null,
    valid_until timestamptz,
    granted_at timestamptz not null,
    case_id uuid not null,
    id uuid not null,
    announced boolean not null,
    primary key (case_id, id),
    foreign key (case_id) references care_case (id),
    constraint access_grant_check_1 check (
        category in ('medical_summary', 'medication', 'mental_health', 'addiction',
        'functional_adl', 'advance_care_planning', 'crisis_plan', 'youth_development', 'education',
        'living_situation', 'social_participation', 'finance_debt', 'work_income', 'identification',
        'contact_network', 'practical_coordination', 'plan_goals_actions', 'mdo_report',
        'positive_health', 'zrm', 'safety_meldcode')
    ),
    constraint access_grant_check_2 check (domain in ('care', 'youth', 'social')),
    constraint access_grant_check_3 check (ground in ('subject', 'direct_treatment', 'public_task', 'consent')),
    constraint access_grant_check_4 check ((ground = 'consent') = (consent_id is not null)),
    constraint access_grant_check_5 check (valid_until > valid_from)
)
""",
    """
create index ix_access_grant_cell on access_grant (case_id, engagement_id, category, domain)
""",
    """
create index ix_access_grant_engagement on access_grant (engagement_id)
""",
    # what the sweeper looks for every second
    """
create index ix_access_grant_ending on access_grant (valid_until) where valid_until is not null
""",
    """
create index ix_access_grant_beginning on access_grant (valid_from) where not announced
""",
    """
create table ended_grant (
    member_id uuid not null,
    engagement_id uuid not null,
    account_id uuid not null,
    patient_id uuid not null,
    category text not null,
    domain text not null,
    may_write boolean not null,
    ground text not null,
    consent_id uuid,
    visible_from_seq bigint not null,
    valid_from timestamptz not null,
    valid_until timestamptz,
    granted_at timestamptz not null,
    case_id uuid not null,
    id uuid not null,
    ended_at timestamptz not null,
    primary key (case_id, id),
    foreign key (case_id) references care_case (id)
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
