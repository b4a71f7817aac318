"""Create the event table, the read models, the leases, and the functions that write them.

The statements stand in the `.sql` files beside this one. Source: ADR 0002.
"""

from importlib.resources import files

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCRIPTS = ("tables", "append", "leases", "quarantine")

DROPS = """
DROP FUNCTION meetings_wait_for_gateways, meetings_release_quarantine, meetings_quarantine,
    meetings_release, meetings_claim, meetings_claimable, meetings_renew, meetings_register,
    meetings_append;
----
DROP VIEW meetings_orphaned, meetings_live;
----
DROP TABLE meetings_gateway_waits, meetings_leases, meetings_owners, meetings_turns,
    meetings_summaries, meetings_events;
"""


def upgrade() -> None:
    """Create everything."""
    folder = files("meeting_service.store.postgres.migrations.versions")
    for name in SCRIPTS:
        _run(folder.joinpath(f"m0001_{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop everything, events included."""
    _run(DROPS)


def _run(script: str) -> None:
    # The driver takes one statement at a time; four dashes on a line of their own part them.
    for statement in script.split("\n----\n"):
        op.get_bind().exec_driver_sql(statement)
