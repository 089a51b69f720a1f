"""Codes that let somebody in once, and the factors somebody logs in with ever after.

What is known of a secret is a keyed digest, a slow hash, or a sealed value. Before there is an actor these tables are
reached through narrow functions of role ``keeper`` alone; afterwards each sees and changes its own. Source: DESIGN 9.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    # ``check_digest`` binds a citizen's code to what the bearer must know besides: the birth date.
    """
create table enrolment (
    id uuid primary key,
    digest bytea not null unique,
    check_digest bytea,
    purpose text not null check (purpose in ('staff', 'citizen', 'reset', 'init')),
    account_id uuid references account (id),
    patient_id uuid references patient (id),
    created_by_engagement_id uuid references engagement (id),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    voided_at timestamptz,
    tries integer not null default 0,
    constraint enrolment_digest check (length(digest) = 32 and (check_digest is null or length(check_digest) = 32)),
    constraint enrolment_period check (expires_at > created_at),
    constraint enrolment_of check (case purpose when 'citizen' then patient_id is not null and check_digest is not null
                                                else account_id is not null end),
    constraint enrolment_by check ((purpose = 'init') = (created_by_engagement_id is null)),
    constraint enrolment_once check (used_at is null or voided_at is null)
)
""",
    "create index ix_enrolment_account_id on enrolment (account_id)",
    "create index ix_enrolment_patient_id on enrolment (patient_id)",
)

FENCED = ("enrolment",)

FUNCTIONS = {
    # A new code voids those before it, so that at most one lets anybody in.
    "add_enrolment(p_id uuid, p_digest bytea, p_check bytea, p_purpose text, p_account uuid, p_patient uuid,"
    " p_by uuid, p_now timestamptz, p_until timestamptz)": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    if p_by is distinct from current_engagement() then
        raise exception 'a code is issued in the name of whoever asks' using errcode = 'insufficient_privilege';
    end if;
    update enrolment set voided_at = p_now
     where used_at is null and voided_at is null and (account_id = p_account or patient_id = p_patient);
    insert into enrolment (id, digest, check_digest, purpose, account_id, patient_id, created_by_engagement_id,
                           created_at, expires_at)
    values (p_id, p_digest, p_check, p_purpose, p_account, p_patient, p_by, p_now, p_until);
end
$$""",
}


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in FENCED:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy keeper_all on {table} to keeper using (true) with check (true)")
        op.execute(f"grant select, insert, update, delete on {table} to keeper")
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
