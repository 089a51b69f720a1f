"""The register: whoever watches over the region reads its consents, by a door of their own and nothing besides.

Source: DOMAIN R-41; ADR 0011.
"""

from alembic import op

revision = "0028"
down_revision = "0027"

WATCHES = "current_door() = 'register' and current_role_class() in ('auditor', 'privacy_officer')"

STATEMENTS = (
    *(
        f"create policy app_register on {table} for select to app using ({WATCHES})"
        for table in ("consent", "consent_recipient", "consent_decision")
    ),
    "create index ix_consent_recorded on consent (recorded_at, id)",
    "create index ix_consent_patient on consent (patient_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
