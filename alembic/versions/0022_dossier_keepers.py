"""Dossier keepers: the few of an organisation who may read what its people wrote, when those have gone.

The duty to keep a record is the organisation's (R-19, R-27), and does not end with an employment. Source: DESIGN 5.
"""

from alembic import op

revision = "0022"
down_revision = "0021"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
KEEPERS_MAX = 5

STATEMENTS = (
    """
create table dossier_keeper (
    organisation_id uuid not null references organisation (id),
    engagement_id uuid not null references engagement (id),
    named_by_engagement_id uuid not null references engagement (id),
    named_at timestamptz not null,
    primary key (organisation_id, engagement_id)
)
""",
    "alter table dossier_keeper enable row level security",
    "alter table dossier_keeper force row level security",
    "create policy keeper_all on dossier_keeper to keeper using (true) with check (true)",
    "create policy app_select on dossier_keeper for select to app using ("
    "organisation_id = current_organisation() or administers(organisation_id))",
    "create policy app_delete on dossier_keeper for delete to app using (administers(organisation_id))",
    "grant select, insert, update, delete on dossier_keeper to keeper",
    "grant select, insert, delete on dossier_keeper to app",
)

FUNCTIONS = {
    # A professional who works there, and of those only a few.
    "may_keep_dossiers(p_organisation uuid, p_engagement uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from engagement e
                    where e.id = p_engagement and e.organisation_id = p_organisation
                      and e.role in ('gp', 'poh', 'social_team', 'district_nurse', 'specialist')
                      and engagement_in_force(e.id, current_instant()))
       and (select count(*) from dossier_keeper k where k.organisation_id = p_organisation) < {KEEPERS_MAX}
$$""",
    # Whether the actor keeps the dossiers of the organisation for which somebody wrote.
    "keeps_dossier(p_author uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from engagement a
                     join dossier_keeper k on k.organisation_id = a.organisation_id
                    where a.id = p_author and k.engagement_id = current_engagement())
$$""",
}

POLICIES = (
    "create policy app_insert on dossier_keeper for insert to app with check (administers(organisation_id)"
    " and named_by_engagement_id = current_engagement() and named_at = current_instant()"
    " and may_keep_dossiers(organisation_id, engagement_id))",
    # through a door of its own: a thread stays closed to a keeper who does not sit at its table
    "create policy app_dossier on case_event for select to app using (current_door() = 'dossier'"
    " and type in ('message.posted', 'message.corrected', 'thread.opened', 'case.opened')"
    " and keeps_dossier(actor_engagement_id))",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")
    for statement in POLICIES:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
