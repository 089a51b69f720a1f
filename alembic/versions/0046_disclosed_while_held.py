"""A disclosure of what waits is shown to the citizen once none of it waits: it names the messages that were given.

Source: DESIGN 5, ground ``subject``; ADR 0011.
"""

from alembic import op

revision = "0046"
down_revision = "0045"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
ROLES = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"

NAMES_HELD = f"""
create function names_held(p_case uuid, p_messages uuid[]) returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from case_event e join thread t on t.case_id = e.case_id and t.id = e.thread_id
                    where e.case_id = p_case and e.id = any (p_messages) and t.release_at > current_instant())
$$
"""
POLICY = f"""
create policy held_back on disclosure as restrictive for select to app using (
    current_role_class() in {ROLES} or current_role_class() = 'privacy_officer'
    or not names_held(case_id, message_ids)
)
"""


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    op.execute(NAMES_HELD)
    op.execute("revoke execute on function names_held from public")
    op.execute("grant execute on function names_held to app")
    op.execute("alter function names_held owner to keeper")
    op.execute("revoke create on schema public from keeper")
    op.execute(POLICY)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
