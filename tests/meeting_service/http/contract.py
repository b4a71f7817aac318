"""The names that clients of the API rely on, written out: ours may only grow."""

STARTED = {"id", "title", "state", "participants", "config", "created_at", "stream_url"}
PARTICIPANT = {"agent_id", "name", "sort_order"}
CONFIG = {"num_rounds", "round_topics", "max_tokens_per_turn"}

STATUS = {
    "id",
    "title",
    "state",
    "goal",
    "room_id",
    "project_id",
    "parent_meeting_id",
    "current_round",
    "current_turn",
    "total_rounds",
    "total_participants",
    "progress_pct",
    "participants",
    "rounds",
    "output_md",
    "output_path",
    "outcome",
    "error_message",
    "tokens",
    "version",
    "created_at",
    "started_at",
    "completed_at",
    "cancelled_at",
}
ROUND = {"round_num", "topic", "status", "turns"}
TURN = {
    "agent_id",
    "agent_name",
    "response",
    "skipped_reason",
    "prompt_tokens",
    "response_tokens",
    "usage_source",
    "attempts",
    "started_at",
    "completed_at",
}
TOKENS = {"spent", "reserved", "left"}

LIST = {"meetings", "total", "has_more", "next_cursor"}
SUMMARY = {
    "id",
    "title",
    "goal",
    "state",
    "participant_count",
    "participant_names",
    "num_rounds",
    "room_id",
    "project_id",
    "output_path",
    "parent_meeting_id",
    "duration_seconds",
    "created_at",
    "completed_at",
}
CANCELLED = {"id", "state", "cancelled_at"}
OUTPUT = {"id", "output_md", "output_path", "outcome"}
PROBLEM = {"type", "title", "status", "detail", "instance"}

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
