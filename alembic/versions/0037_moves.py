"""Moves: in which municipality somebody lives from a day on, which ends the public tasks of the one before.

A task stays as long as anybody whom the case is about still lives there. Source: DESIGN 5, ground ``public_task``.
"""

from alembic import op

revision = "0037"
down_revision = "0036"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    """
create table move (
    case_id uuid not null,
    id uuid not null,
    patient_id uuid not null,
    municipality_code text not null,
    moved_on date not null,
    moved_at timestamptz not null,
    recorded_by_account_id uuid not null references account (id),
    recorded_by_engagement_id uuid not null references engagement (id),
    recorded_at timestamptz not null,
    primary key (case_id, id),
    foreign key (case_id, patient_id) references subject (case_id, patient_id),
    constraint move_municipality check (municipality_code ~ '^[0-9]{4}$')
)
""",
    "alter table move enable row level security",
    "alter table move force row level security",
    "create policy keeper_all on move to keeper using (true) with check (true)",
    "create policy app_select on move for select to app using ("
    "recorded_by_engagement_id = current_engagement() or oversees(case_id))",
    "create policy app_insert on move for insert to app with check ("
    "recorded_by_engagement_id = current_engagement() and recorded_by_account_id = current_account()"
    " and recorded_at = current_instant() and oversees(case_id))",
    "grant select, insert on move to keeper, app",
)

FUNCTIONS = {
    # The caller holds the case, and recorded a move in this transaction. Nothing ends before it is recorded.
    "end_tasks_of_the_moved(p_case uuid)": f"""
returns integer language plpgsql volatile {DEFINER} as $$
declare
    v_until timestamptz;
    v_ended integer;
begin
    if not exists (select 1 from move m where m.case_id = p_case and m.recorded_at = current_instant()
                      and m.recorded_by_engagement_id = current_engagement()) then
        raise exception 'nobody moved' using errcode = 'insufficient_privilege';
    end if;
    select greatest(max(x.moved_at), current_instant()) into v_until
      from (select distinct on (m.patient_id) m.moved_at from move m where m.case_id = p_case
             order by m.patient_id, m.recorded_at desc, m.id) x;
    update public_task t set valid_until = greatest(v_until, t.valid_from + interval '1 microsecond')
      from member s
      join engagement e on e.id = s.engagement_id
      join organisation o on o.id = e.organisation_id
     where t.case_id = p_case and s.case_id = p_case and s.id = t.member_id and o.municipality_code is not null
       and (t.valid_until is null or t.valid_until > v_until)
       and not exists (
            select 1 from subject b
             where b.case_id = p_case and b.died_at is null
               and o.municipality_code = coalesce((select m.municipality_code from move m
                                                    where m.case_id = p_case and m.patient_id = b.patient_id
                                                    order by m.recorded_at desc, m.id limit 1), o.municipality_code));
    get diagnostics v_ended = row_count;
    return v_ended;
end
$$""",
}


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
