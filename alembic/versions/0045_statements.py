"""The citizen's statement beside a message or a consent record: an addition, never an edit (R-24).

Whoever reads the record reads the statement, through the same eyes: a policy asks for the record itself. What one
representative says beside a consent is not told to another. A later statement of the same speaker supersedes an
earlier one, which stays. Source: DOMAIN R-24; BW 7:454(2); GDPR art. 16; ADR 0011.
"""

from alembic import op

revision = "0045"
down_revision = "0044"

ROLES = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"

TABLES = (
    """
create table statement (
    case_id uuid not null,
    id uuid not null,
    seq bigint not null,
    patient_id uuid not null,
    message_id uuid,
    consent_id uuid,
    category text not null,
    text_sealed bytea not null,
    stated_by text not null,
    method text not null,
    recorded_by_account_id uuid not null,
    recorded_by_engagement_id uuid not null,
    recorded_at timestamptz not null,
    primary key (case_id, id),
    unique (case_id, seq),
    foreign key (case_id) references care_case (id),
    foreign key (case_id, patient_id) references subject (case_id, patient_id),
    foreign key (message_id) references case_event (id),
    foreign key (case_id, consent_id) references consent (case_id, id),
    foreign key (recorded_by_account_id) references account (id),
    foreign key (recorded_by_engagement_id) references engagement (id),
    constraint statement_beside check ((message_id is null) <> (consent_id is null)),
    constraint statement_stated_by check (stated_by in ('patient', 'representative')),
    constraint statement_method check (method in ('digital_2fa', 'oral_recorded')),
    constraint statement_own_word check (stated_by = 'patient' or method = 'digital_2fa')
)
""",
    "create index ix_statement_message on statement (case_id, message_id) where message_id is not null",
    "create index ix_statement_consent on statement (case_id, consent_id) where consent_id is not null",
    "alter table statement enable row level security",
    "alter table statement force row level security",
    "create policy keeper_all on statement to keeper using (true) with check (true)",
    # added and never changed
    "grant select, insert on statement to keeper, app",
)

MESSAGE = """exists (
        select 1 from case_event e
        where e.case_id = statement.case_id and e.id = statement.message_id
          and e.type in ('message.posted', 'message.corrected') {more}
    )"""
CONSENT = """exists (
        select 1 from consent c
        where c.case_id = statement.case_id and c.id = statement.consent_id {more}
    )"""

POLICIES = (
    f"""
create policy app_select on statement for select to app using (
    {MESSAGE.format(more="")}
    or ((stated_by = 'patient' or current_role_class() <> 'representative'
         or recorded_by_engagement_id = current_engagement())
        and {CONSENT.format(more="")})
)
""",
    f"""
create policy app_insert on statement for insert to app with check (
    recorded_by_account_id = current_account() and recorded_by_engagement_id = current_engagement()
    and recorded_at = current_instant() and sits(case_id) and not has_died(case_id, patient_id)
    and case
        when stated_by = 'representative' then represents(case_id, patient_id)
        when method = 'digital_2fa' then is_me(patient_id)
        else current_role_class() in {ROLES} end
    and ({MESSAGE.format(more="and e.patient_id = statement.patient_id and e.category = statement.category and e.retracted_seq is null")}
         or {CONSENT.format(more="and c.patient_id = statement.patient_id")})
)
""",
)

# As what takes a message back, what stands beside it shows no earlier than the message: else it would tell of it.
BOUND = """
do $$
declare
    v_was text := pg_get_functiondef('read_stream'::regproc);
    v_is text := replace(v_was, 'e.type = ''message.retracted''',
                         'e.type in (''message.retracted'', ''statement.added'') and e.refers_to is not null');
begin
    if v_is = v_was then
        raise exception 'read_stream no longer bounds what follows a message as it did';
    end if;
    execute v_is;
end
$$
"""


def upgrade() -> None:
    for statement in (*TABLES, *POLICIES, BOUND):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
