"""Patients, cases, subjects, members, public tasks, data keys."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
create table data_key (
    id uuid not null,
    scope uuid not null,
    category text not null,
    generation integer not null,
    wrapped bytea not null,
    kek_id uuid not null,
    uses integer default 0 not null,
    created_at timestamptz not null,
    primary key (id),
    unique (scope, category, generation),
    constraint data_key_check_1 check (generation > 0),
    constraint data_key_check_2 check (uses >= 0)
)
""",
    """
create table patient (
    id uuid not null,
    organisation_id uuid not null,
    bsn_sealed bytea,
    bsn_organisation_index bytea,
    bsn_link_index bytea,
    no_bsn_reason_sealed bytea,
    name_sealed bytea not null,
    name_index bytea not null,
    birth_date_sealed bytea not null,
    neighbourhood text not null,
    account_id uuid,
    registered_by_account_id uuid not null,
    registered_at timestamptz not null,
    primary key (id),
    unique (organisation_id, bsn_organisation_index),
    foreign key (organisation_id) references organisation (id),
    foreign key (account_id) references account (id),
    foreign key (registered_by_account_id) references account (id),
    constraint patient_check_1 check ((bsn_sealed is null) = (bsn_organisation_index is null)),
    constraint patient_check_2 check ((bsn_sealed is null) = (bsn_link_index is null)),
    constraint patient_check_3 check ((bsn_sealed is null) = (no_bsn_reason_sealed is not null)),
    constraint patient_check_4 check (neighbourhood ~ '^[a-z0-9-]{1,64}$')
)
""",
    """
create index ix_patient_account_id on patient (account_id)
""",
    """
create index ix_patient_bsn_link_index on patient (bsn_link_index)
""",
    """
create index ix_patient_name on patient (organisation_id, name_index)
""",
    """
create table care_case (
    id uuid not null,
    kind text not null,
    status text not null,
    organisation_id uuid not null,
    domain text not null,
    opened_by_account_id uuid not null,
    opened_by_engagement_id uuid not null,
    opened_at timestamptz not null,
    primary key (id),
    foreign key (organisation_id) references organisation (id),
    foreign key (opened_by_account_id) references account (id),
    foreign key (opened_by_engagement_id) references engagement (id),
    constraint care_case_check_1 check (kind in ('individual', 'household')),
    constraint care_case_check_2 check (status in ('requested', 'open', 'closed')),
    constraint care_case_check_3 check (domain in ('care', 'youth', 'social'))
)
""",
    """
create table case_head (
    case_id uuid not null,
    seq bigint default 0 not null,
    access_version bigint default 0 not null,
    dirty boolean default false not null,
    primary key (case_id),
    foreign key (case_id) references care_case (id),
    constraint case_head_check_1 check (seq >= 0),
    constraint case_head_check_2 check (access_version >= 0)
)
""",
    """
create table subject (
    case_id uuid not null,
    patient_id uuid not null,
    primary key (case_id, patient_id),
    foreign key (case_id) references care_case (id),
    foreign key (patient_id) references patient (id)
)
""",
    """
create table member (
    case_id uuid not null,
    id uuid not null,
    kind text not null,
    engagement_id uuid,
    organisation_id uuid,
    function_role text,
    team_id uuid,
    case_role text not null,
    direct_treatment boolean not null,
    history text not null,
    history_from_seq bigint default 0 not null,
    reason_code text,
    status text not null,
    invited_by_engagement_id uuid,
    invited_at timestamptz not null,
    decided_at timestamptz,
    ended_at timestamptz,
    primary key (case_id, id),
    foreign key (case_id) references care_case (id),
    foreign key (engagement_id) references engagement (id),
    foreign key (organisation_id) references organisation (id),
    foreign key (team_id) references team (id),
    foreign key (invited_by_engagement_id) references engagement (id),
    constraint member_check_1 check (kind in ('person', 'function', 'team')),
    constraint member_check_2 check ((kind = 'person') = (engagement_id is not null)),
    constraint member_check_3 check (
        (kind = 'function') = (function_role is not null and organisation_id is not null)
    ),
    constraint member_check_4 check ((kind = 'team') = (team_id is not null)),
    constraint member_check_5 check (status in ('invited', 'accepted', 'refused', 'ended')),
    constraint member_check_6 check (history in ('all', 'from-now')),
    constraint member_check_7 check (
        case_role in ('regiebehandelaar', 'casemanager', 'gezinsregisseur', 'coordinator_kernteam',
        'voorzitter', 'notulist', 'deelnemer', 'consultant', 'informant', 'waarnemer', 'patient',
        'wettelijk_vertegenwoordiger', 'mantelzorger', 'clientondersteuner')
    ),
    constraint member_check_8 check (
        reason_code in ('elderly-mdo', 'treatment', 'care-coordination', 'social-support',
        'mental-health', 'youth-family', 'transfer', 'consultation', 'informal-care',
        'citizen-request')
    ),
    constraint member_check_9 check ((status = 'ended') = (ended_at is not null)),
    constraint member_check_10 check (status not in ('accepted', 'refused') or decided_at is not null)
)
""",
    """
create index ix_member_engagement on member (engagement_id)
""",
    """
create unique index uq_member_seated on member (case_id, engagement_id) where status in ('invited', 'accepted')
""",
    """
create table public_task (
    case_id uuid not null,
    id uuid not null,
    member_id uuid not null,
    law text not null,
    valid_from timestamptz not null,
    valid_until timestamptz,
    recorded_by_engagement_id uuid not null,
    recorded_at timestamptz not null,
    primary key (case_id, id),
    foreign key (case_id, member_id) references member (case_id, id),
    foreign key (recorded_by_engagement_id) references engagement (id),
    constraint public_task_check_1 check (law in ('wmo2015', 'jeugdwet', 'participatiewet', 'wgs')),
    constraint public_task_check_2 check (valid_until > valid_from)
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
