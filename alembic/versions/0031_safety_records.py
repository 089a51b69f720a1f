"""What is recorded when secrecy gives way: the five steps of the meldcode, and what was given to whom. Never access.

A report of unsafety is for the professionals of its author's organisation who see something of that person; for the
person, their household and everybody else there is none. Source: DOMAIN R-17, R-18; DESIGN 5.
"""

from alembic import op

revision = "0031"
down_revision = "0030"

PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"

RECORDED = """
    recorded_by_account_id uuid not null references account (id),
    recorded_by_engagement_id uuid not null references engagement (id),
    recorded_at timestamptz not null,
"""

TABLES = (
    f"""
create table safety_report (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    organisation_id uuid not null references organisation (id),{RECORDED}    primary key (case_id, id),
    foreign key (case_id, patient_id) references subject (case_id, patient_id)
)
""",
    # Each step rests on the one before it, so that none is left out and none is taken twice.
    f"""
create table safety_step (
    case_id uuid not null,
    report_id uuid not null,
    ordinal integer not null,
    previous integer generated always as (nullif(ordinal - 1, 0)) stored,
    step text not null,
    body_sealed bytea not null,{RECORDED}    primary key (case_id, report_id, ordinal),
    foreign key (case_id, report_id) references safety_report (case_id, id),
    foreign key (case_id, report_id, previous) references safety_step (case_id, report_id, ordinal),
    constraint safety_step_order check (
        step = (array['signals', 'consultation', 'talk', 'weighing', 'decision'])[ordinal])
)
""",
    f"""
create table disclosure (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    organisation_id uuid not null references organisation (id),
    kind text not null,
    message_ids uuid[] not null,
    body_sealed bytea not null,
    delayed_until timestamptz,
    delay_reason_sealed bytea,{RECORDED}    primary key (case_id, id),
    foreign key (case_id, patient_id) references subject (case_id, patient_id),
    constraint disclosure_kind check (kind in ('conflict_of_duties', 'veilig_thuis', 'adviser')),
    constraint disclosure_items check (cardinality(message_ids) > 0),
    constraint disclosure_delay check (
        (delayed_until is null) = (delay_reason_sealed is null) and delayed_until > recorded_at)
)
""",
    "create index ix_disclosure_recorded on disclosure (recorded_at, id)",
)

# A professional of the organisation who sees something of that person, by another ground than a broken glass.
COLLEAGUE = f"""organisation_id = current_organisation() and current_role_class() in {PROFESSIONALS} and exists (
        select 1 from access_grant g
        where g.case_id = {{row}}.case_id and g.patient_id = {{row}}.patient_id
          and g.engagement_id = current_engagement() and g.ground <> 'emergency'
          and g.valid_from <= current_instant() and (g.valid_until is null or g.valid_until > current_instant())
    )"""
BY_ME = """recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant()"""

POLICIES = (
    f"create policy app_select on safety_report for select to app using ({COLLEAGUE.format(row='safety_report')})",
    f"""
create policy app_insert on safety_report for insert to app with check (
    {BY_ME} and {COLLEAGUE.format(row="safety_report")}
)
""",
    # Through the report's own policy: whoever sees the report sees its steps.
    """
create policy app_select on safety_step for select to app using (exists (
    select 1 from safety_report r where r.case_id = safety_step.case_id and r.id = safety_step.report_id
))
""",
    f"""
create policy app_insert on safety_step for insert to app with check (
    {BY_ME} and exists (
        select 1 from safety_report r where r.case_id = safety_step.case_id and r.id = safety_step.report_id
    )
)
""",
    f"""
create policy app_select on disclosure for select to app using (
    recorded_by_engagement_id = current_engagement() or ({COLLEAGUE.format(row="disclosure")})
    or (is_me(patient_id) and (delayed_until is null or delayed_until <= current_instant()))
    or (current_door() = 'disclosures' and current_role_class() = 'privacy_officer')
)
""",
    # Nobody gives away what they do not see themselves: the items are looked at through the actor's own eyes.
    f"""
create policy app_insert on disclosure for insert to app with check (
    {BY_ME} and {COLLEAGUE.format(row="disclosure")} and not exists (
        select 1 from unnest(message_ids) as i (id) where not exists (
            select 1 from case_event e
            where e.case_id = disclosure.case_id and e.id = i.id and e.patient_id = disclosure.patient_id
              and e.type in ('message.posted', 'message.corrected') and e.retracted_seq is null
        )
    )
)
""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in ("safety_report", "safety_step", "disclosure"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy keeper_all on {table} to keeper using (true) with check (true)")
        # added and never changed
        op.execute(f"grant select, insert on {table} to keeper, app")
    for statement in POLICIES:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
