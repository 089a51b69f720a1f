"""The register's door is asked before anything dearer is: whoever came by it sees every consent alike.

Policies of a table are tried from the last name to the first. A page of the register asked of each row, by a function
that looks through the case, whether its reader had a part in that consent, and the answer was always no.
"""

from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    for table in ("consent", "consent_recipient", "consent_decision"):
        op.execute(f"alter policy app_register on {table} rename to app_watch")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
