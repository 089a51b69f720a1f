"""Organisations, accounts, engagements, teams, log-ins."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
create table organisation (
    id uuid not null,
    kind text not null,
    name text not null,
    municipality_code text,
    primary key (id),
    constraint organisation_check_1 check (
        kind in ('gp_practice', 'municipality', 'welfare', 'nursing', 'hospital', 'mental_health',
        'region', 'integration')
    ),
    constraint organisation_check_2 check (length(name) between 1 and 200)
)
""",
    """
create table account (
    id uuid not null,
    name_sealed bytea not null,
    bsn_link_index bytea,
    created_at timestamptz not null,
    primary key (id),
    unique (bsn_link_index)
)
""",
    """
create table engagement (
    id uuid not null,
    account_id uuid not null,
    organisation_id uuid,
    role text not null,
    profession text not null,
    speciality text,
    domain text,
    law text,
    responsible_engagement_id uuid,
    valid_from timestamptz not null,
    valid_until timestamptz,
    primary key (id),
    foreign key (account_id) references account (id),
    foreign key (organisation_id) references organisation (id),
    foreign key (responsible_engagement_id) references engagement (id),
    constraint engagement_check_1 check (
        role in ('gp', 'poh', 'social_team', 'district_nurse', 'specialist', 'citizen',
        'representative', 'informal_carer', 'auditor', 'privacy_officer', 'org_admin',
        'region_admin', 'integration', 'experience_expert', 'volunteer', 'school', 'housing')
    ),
    constraint engagement_check_2 check (domain in ('care', 'youth', 'social')),
    constraint engagement_check_3 check (law in ('wmo2015', 'jeugdwet', 'participatiewet', 'wgs')),
    constraint engagement_check_4 check (role <> 'poh' or responsible_engagement_id is not null),
    constraint engagement_check_5 check (valid_until > valid_from),
    constraint engagement_check_6 check (
        role not in ('gp', 'poh', 'district_nurse', 'specialist') or domain in ('care', 'youth')
    ),
    constraint engagement_check_7 check (role <> 'social_team' or domain = 'social')
)
""",
    """
create index ix_engagement_account_id on engagement (account_id)
""",
    """
create index ix_engagement_organisation_id on engagement (organisation_id)
""",
    """
create table team (
    id uuid not null,
    name text not null,
    primary key (id)
)
""",
    """
create table team_member (
    team_id uuid not null,
    engagement_id uuid not null,
    valid_from timestamptz not null,
    valid_until timestamptz,
    primary key (team_id, engagement_id, valid_from),
    foreign key (team_id) references team (id),
    foreign key (engagement_id) references engagement (id)
)
""",
    """
create table login_session (
    id uuid not null,
    account_id uuid not null,
    engagement_id uuid not null,
    acr text not null,
    authenticated_at timestamptz not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    primary key (id),
    foreign key (account_id) references account (id),
    foreign key (engagement_id) references engagement (id),
    constraint login_session_check_1 check (expires_at > created_at)
)
""",
    """
create index ix_login_session_account_id on login_session (account_id)
""",
    """
create table realtime_ticket (
    digest bytea not null,
    login_session_id uuid not null,
    expires_at timestamptz not null,
    primary key (digest),
    foreign key (login_session_id) references login_session (id)
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
