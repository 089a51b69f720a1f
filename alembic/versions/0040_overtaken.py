"""A yes that a no or a withdrawal has overtaken since: whoever records it may not see that, the database does.

Source: DOMAIN R-5, R-6; ADR 0011.
"""

from alembic import op

revision = "0040"
down_revision = "0039"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

FUNCTIONS = {
    # Whether somebody took back, or refused, anything of the same to one of the same after this was decided.
    "overtaken(p_case uuid, p_consent uuid, p_decided_at timestamptz)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1
          from consent c
          join consent o on o.case_id = c.case_id and o.patient_id = c.patient_id and o.kind = c.kind and o.id <> c.id
                        and o.categories && c.categories and o.from_domains && c.from_domains
         where c.case_id = p_case and c.id = p_consent and seated(p_case)
           and (o.withdrawn_at > p_decided_at
                or exists (select 1 from consent_decision d
                            where d.case_id = o.case_id and d.consent_id = o.id and not d.yes
                              and d.recorded_at > p_decided_at))
           and exists (
               select 1 from consent_recipient r
                 join consent_recipient s on s.case_id = r.case_id and s.consent_id = o.id and s.type = r.type
                                         and s.recipient_id is not distinct from r.recipient_id
                                         and s.role is not distinct from r.role
                where r.case_id = c.case_id and r.consent_id = c.id))
$$""",
}


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
