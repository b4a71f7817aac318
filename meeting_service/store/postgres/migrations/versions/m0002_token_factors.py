"""Create the table of how models count tokens, which is kept between meetings.

Source: ADR 0020.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE meetings_token_factors (
    gateway text NOT NULL,
    model text NOT NULL,
    factors text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (gateway, model)
)
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(TABLE)


def downgrade() -> None:
    """Drop the table: what was learnt is learnt again."""
    op.get_bind().exec_driver_sql("DROP TABLE meetings_token_factors")
