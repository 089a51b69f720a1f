"""Row-level security: who sees which row is decided a second time, by the database, from the grants.

``app`` sees rows through the eyes of the engagement that entered the transaction (``app.engagement``); unset or empty
means nobody. Policies look at the grants through a reader's own grants only, so that the planner can inline them;
what needs to look further is a function of role ``keeper``. Source: DESIGN 2, THREATS 4.5.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

CONTEXT = tuple(
    f"""
create function current_{name}() returns {type_} language sql stable parallel safe as $$
    select nullif(current_setting('app.{name}', true), '')::{type_}
$$
"""
    for name, type_ in (
        ("account", "uuid"),
        ("engagement", "uuid"),
        ("organisation", "uuid"),
        ("role_class", "text"),
        ("instant", "timestamptz"),
        ("door", "text"),
    )
)

PROTECTED = (
    "patient",
    "care_case",
    "subject",
    "member",
    "public_task",
    "consent",
    "consent_recipient",
    "access_grant",
    "ended_grant",
    "thread",
    "case_event",
    "login_session",
    "idempotency",
    "audit_event",
)

ENABLE = tuple(
    statement
    for table in PROTECTED
    for statement in (
        f"alter table {table} enable row level security",
        f"alter table {table} force row level security",
        f"create policy keeper_all on {table} to keeper using (true) with check (true)",
    )
)

IN_FORCE = "g.valid_from <= current_instant() and (g.valid_until is null or g.valid_until > current_instant())"

OWN_CELL = f"""exists (
        select 1 from access_grant g
        where g.case_id = {{row}}.case_id and g.engagement_id = current_engagement()
          and g.patient_id = {{row}}.patient_id and g.category = {{row}}.category and g.domain = {{row}}.domain
          and {IN_FORCE} {{more}}
    )"""

OWN_CONTACTS = f"""exists (
        select 1 from access_grant g
        where g.case_id = {{row}}.case_id and g.engagement_id = current_engagement()
          and g.category = 'contact_network' and {IN_FORCE}
    )"""

OWN_SEAT = """exists (
        select 1 from member m
        where m.case_id = {case} and m.engagement_id = current_engagement() and m.status = 'accepted'
    )"""

READER_POLICIES = (
    # patients: of one's own organisation, oneself, or whoever one may identify
    f"""
create policy app_select on patient for select to app using (
    (organisation_id = current_organisation()
        and current_role_class() in ('gp', 'poh', 'social_team', 'district_nurse', 'specialist'))
    or (account_id = current_account() and current_role_class() = 'citizen')
    or exists (
        select 1 from access_grant g
        where g.patient_id = patient.id and g.engagement_id = current_engagement()
          and g.category = 'identification' and {IN_FORCE}
    )
)
""",
    """
create policy app_insert on patient for insert to app with check (
    organisation_id = current_organisation() and registered_by_account_id = current_account()
)
""",
    f"""
create policy app_select on care_case for select to app using (
    {OWN_SEAT.format(case="care_case.id")}
    or exists (
        select 1 from access_grant g
        where g.case_id = care_case.id and g.engagement_id = current_engagement() and {IN_FORCE}
    )
)
""",
    """
create policy app_insert on care_case for insert to app with check (
    opened_by_engagement_id = current_engagement() and opened_by_account_id = current_account()
)
""",
    f"create policy app_update on care_case for update to app using ({OWN_SEAT.format(case='care_case.id')})",
    f"""
create policy app_select on subject for select to app using (exists (
    select 1 from access_grant g
    where g.case_id = subject.case_id and g.patient_id = subject.patient_id
      and g.engagement_id = current_engagement() and {IN_FORCE}
))
""",
    "create policy app_insert on subject for insert to app with check (opened_by_me(case_id))",
    f"""
create policy app_select on member for select to app using (
    engagement_id = current_engagement() or {OWN_CONTACTS.format(row="member")}
)
""",
    # by a function: a policy on a table cannot look at that table. What was refused or ended never comes back.
    """
create policy app_insert on member for insert to app with check (
    invited_by_engagement_id = current_engagement() and (opened_by_me(case_id) or oversees(case_id))
)
""",
    """
create policy app_update on member for update to app
    using (status in ('invited', 'accepted') and (engagement_id = current_engagement() or oversees(case_id)))
    with check ((engagement_id = current_engagement() and status in ('accepted', 'refused', 'ended'))
                or (oversees(case_id) and status = 'ended'))
""",
    """
create policy app_select on public_task for select to app using (
    recorded_by_engagement_id = current_engagement() or oversees(case_id)
)
""",
    """
create policy app_insert on public_task for insert to app with check (
    recorded_by_engagement_id = current_engagement() and (opened_by_me(case_id) or oversees(case_id))
)
""",
    "create policy app_update on public_task for update to app using (oversees(case_id))",
    """
create policy app_select on consent for select to app using (
    recorded_by_engagement_id = current_engagement() or reads_consent(case_id, id)
)
""",
    f"""
create policy app_insert on consent for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and {OWN_SEAT.format(case="consent.case_id")}
    and (kind <> 'lift_secrecy' or is_me(patient_id)
         or from_domains <@ array[(select e.domain from engagement e where e.id = current_engagement())])
)
""",
    # withdrawn for good, by nobody who may not read it
    """
create policy app_update on consent for update to app
    using (status = 'active' and reads_consent(case_id, id)) with check (status = 'withdrawn')
""",
    """
create policy app_select on consent_recipient for select to app using (exists (
    select 1 from consent c where c.case_id = consent_recipient.case_id and c.id = consent_recipient.consent_id
))
""",
    """
create policy app_insert on consent_recipient for insert to app with check (exists (
    select 1 from consent c where c.case_id = consent_recipient.case_id and c.id = consent_recipient.consent_id
      and c.recorded_by_engagement_id = current_engagement() and c.recorded_at = current_instant()
))
""",
    "create policy app_select on access_grant for select to app using (engagement_id = current_engagement())",
    f"""
create policy app_select on thread for select to app using ({OWN_CELL.format(row="thread", more="")})
""",
    f"""
create policy app_insert on thread for insert to app with check (
    opened_by_engagement_id = current_engagement() and opened_by_account_id = current_account()
    and domain = coalesce((select e.domain from engagement e where e.id = current_engagement()),
                          (select c.domain from care_case c where c.id = thread.case_id))
    and {OWN_CELL.format(row="thread", more="and g.may_write")}
)
""",
    # events: addressed to me, or in a cell of mine and after my bound; retracted ones remain with their author.
    # What one wrote oneself is readable through the door of contributions alone. Time, which is nobody, tells only of
    # what lapsed; what has no text is told by whoever is or was at the table.
    f"""
create policy app_select on case_event for select to app using (
    current_engagement() = any (addressees)
    or (category is not null and (retracted_seq is null or actor_account_id = current_account()) and exists (
        select 1 from access_grant g
        where g.case_id = case_event.case_id and g.engagement_id = current_engagement()
          and (case_event.patient_id is null or g.patient_id = case_event.patient_id)
          and g.category = case_event.category and g.domain = case_event.domain
          and g.visible_from_seq <= case_event.seq and {IN_FORCE}
    ))
    or (current_door() = 'contributions' and actor_account_id = current_account()
        and type in ('message.posted', 'message.corrected', 'thread.opened', 'case.opened'))
    or (current_door() = 'retracted' and retracted_seq is not null and current_role_class() = 'privacy_officer')
)
""",
    f"""
create policy app_insert on case_event for insert to app with check (
    actor_engagement_id is not distinct from current_engagement()
    and actor_account_id is not distinct from current_account()
    and case
        when current_engagement() is null
        then type in ('access.changed', 'consent.expired') and body_sealed is null and current_instant() is not null
        when body_sealed is not null
        then (type = 'case.opened' and opened_by_me(case_id)) or {OWN_CELL.format(row="case_event", more="and g.may_write")}
        else exists (select 1 from member m where m.case_id = case_event.case_id and m.engagement_id = current_engagement())
            and (category is null or patient_id is null or {OWN_CELL.format(row="case_event", more="")})
        end
)
""",
    """
create policy app_update on case_event for update to app
    using (actor_account_id = current_account() and retracted_seq is null)
    with check (actor_account_id = current_account())
""",
    "create policy app_own on login_session to app using (account_id = current_account())",
    "create policy app_own on idempotency to app using (account_id = current_account())",
    "create policy app_insert on audit_event for insert to app, appender, stream with check (true)",
    """
create policy app_select on audit_event for select to app using (
    current_role_class() in ('auditor', 'privacy_officer')
)
""",
    # the appender: reads ids, and may insert only what the row's own author may write
    "create policy appender_select on access_grant for select to appender, stream using (true)",
    "create policy appender_select on thread for select to appender, stream using (true)",
    "create policy appender_select on login_session for select to appender, stream using (true)",
    "create policy appender_select on case_event for select to appender, stream using (true)",
    "create policy appender_all on idempotency to appender using (true) with check (true)",
    """
create policy appender_insert on case_event for insert to appender with check (
    type = 'message.posted'
    and exists (
        select 1 from thread t
        where t.case_id = case_event.case_id and t.id = case_event.thread_id and t.patient_id = case_event.patient_id
          and t.category = case_event.category and t.domain = case_event.domain
    )
    and exists (
        select 1 from access_grant g
        where g.case_id = case_event.case_id and g.engagement_id = case_event.actor_engagement_id
          and g.account_id = case_event.actor_account_id and g.patient_id = case_event.patient_id
          and g.category = case_event.category and g.domain = case_event.domain and g.may_write
          and g.valid_from <= case_event.at and (g.valid_until is null or g.valid_until > case_event.at)
    )
)
""",
)

PRIVILEGES = (
    "grant usage on schema public to keeper, app, appender, stream, auditor",
    "grant select, insert, update, delete on all tables in schema public to keeper",
    "revoke update, delete, truncate on audit_event from keeper",
    "grant select on organisation, engagement, team, team_member, case_head, alembic_version to app",
    "grant select (id, name_sealed) on account to app",
    "grant select, insert on patient, care_case, subject, member, public_task, consent, consent_recipient, thread,"
    " case_event, audit_event to app",
    "grant select on access_grant, login_session to app",
    "grant select, insert, delete on idempotency, realtime_ticket to app",
    "grant insert on case_head to app",
    "grant update (seq) on case_head to app, appender",
    "grant update (status) on care_case to app",
    "grant update (status, decided_at, ended_at, history_from_seq) on member to app",
    "grant update (valid_until) on public_task to app",
    "grant update (status, withdrawn_at, withdrawal_decided_by, withdrawal_decided_at, withdrawal_method,"
    " withdrawn_by_engagement_id) on consent to app",
    "grant update (retracted_seq, superseded_seq) on case_event to app",
    "grant select, insert, update (uses) on data_key to appender",
    "grant select on access_grant, thread, case_head, engagement, organisation to appender, stream",
    "grant select (id, seq, at) on case_event to appender",
    "grant select on case_event to stream",
    "grant select (id, account_id, engagement_id, expires_at, ended_at) on login_session to appender, stream",
    "grant select (id, name_sealed) on account to appender, stream",
    "grant insert on case_event, audit_event to appender",
    "grant select, insert on idempotency to appender",
    "grant insert on audit_event to stream",
    "grant select on audit_event to auditor",
    "create policy auditor_select on audit_event for select to auditor using (true)",
)

# The functions policies call come in 0008, so their signatures must exist first: they are created here as refusals
# and replaced there. A policy that is evaluated before that opens nothing.
SIGNATURES = tuple(
    f"create function {signature} returns boolean language sql stable as $$ select false $$"
    for signature in (
        "seated(p_case uuid)", "opened_by_me(p_case uuid)", "oversees(p_case uuid)", "reads_consent(p_case uuid, p_consent uuid)",
        "is_me(p_patient uuid)",
    )
)


def upgrade() -> None:
    for statement in (*CONTEXT, *SIGNATURES, *ENABLE, *READER_POLICIES, *PRIVILEGES):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
