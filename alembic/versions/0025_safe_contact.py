"""Safe contact: that nothing goes to somebody's home, which the professionals of the case know and nobody else.

The entries are added and never changed; the flag on the subject is the newest one's, set by the entry itself.
Whoever sends anything asks ``contact_kept_safe``, because who acts may not see the subject. Source: DESIGN 5.
"""

from alembic import op

revision = "0025"
down_revision = "0024"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"

TABLES = (
    "alter table subject add column safe_contact boolean not null default false",
    """
create table safe_contact (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    safe boolean not null,
    reason_sealed bytea not null,
    recorded_by_account_id uuid not null references account (id),
    recorded_by_engagement_id uuid not null references engagement (id),
    recorded_at timestamptz not null,
    primary key (case_id, id),
    foreign key (case_id, patient_id) references subject (case_id, patient_id)
)
""",
    "alter table safe_contact enable row level security",
    "alter table safe_contact force row level security",
    "create policy keeper_all on safe_contact to keeper using (true) with check (true)",
    "grant select, insert on safe_contact to keeper, app",
)

FUNCTIONS = {
    # For whoever sends: asked in the name of anybody, time included, and never shown to them.
    "contact_kept_safe(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from subject s
                    where s.case_id = p_case and s.patient_id = p_patient and s.safe_contact)
$$""",
    "note_safe_contact()": f"""
returns trigger language plpgsql volatile {DEFINER} as $$
begin
    update subject set safe_contact = new.safe where case_id = new.case_id and patient_id = new.patient_id;
    return null;
end
$$""",
}

NOT_CALLED = ("note_safe_contact()",)

# A professional who sees something of that person in its own work: not the person's household, carers or parents.
SEES = f"""current_role_class() in {PROFESSIONALS} and exists (
        select 1 from access_grant g
        where g.case_id = safe_contact.case_id and g.patient_id = safe_contact.patient_id
          and g.engagement_id = current_engagement()
          and g.valid_from <= current_instant() and (g.valid_until is null or g.valid_until > current_instant())
    )"""

POLICIES = (
    f"create policy app_select on safe_contact for select to app using ({SEES})",
    f"""
create policy app_insert on safe_contact for insert to app with check (
    recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()
    and recorded_at = current_instant() and {SEES}
)
""",
    "create trigger safe_contact_is_noted after insert on safe_contact"
    " for each row execute function note_safe_contact()",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
    for statement in POLICIES:
        op.execute(statement)
    for signature in FUNCTIONS:
        op.execute(f"revoke execute on function {signature} from public")
        if signature not in NOT_CALLED:
            op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
