-- The event table is, to the storage parameter, the one that the eventsourcing library creates.
CREATE TABLE meetings_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);
----
CREATE UNIQUE INDEX meetings_events_notification_id_idx ON meetings_events (notification_id ASC);
----
-- A state changes a few times a meeting: room in the page keeps those updates off the indexes.
CREATE TABLE meetings_summaries (
    meeting_id uuid PRIMARY KEY,
    title text NOT NULL,
    goal text NOT NULL,
    state text NOT NULL,
    is_live boolean NOT NULL,
    participant_names text[] NOT NULL,
    num_rounds integer NOT NULL,
    room_id text,
    project_id text,
    parent_meeting_id uuid,
    output_path text,
    gateways text[] NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz
) WITH (fillfactor = 80);
----
CREATE INDEX meetings_summaries_list_idx ON meetings_summaries (created_at DESC, meeting_id DESC);
----
CREATE INDEX meetings_summaries_project_idx
    ON meetings_summaries (project_id, created_at DESC, meeting_id DESC)
    WHERE project_id IS NOT NULL;
----
CREATE INDEX meetings_summaries_room_idx
    ON meetings_summaries (room_id, created_at DESC, meeting_id DESC)
    WHERE room_id IS NOT NULL;
----
CREATE INDEX meetings_summaries_live_idx ON meetings_summaries (created_at, meeting_id)
    WHERE is_live;
----
-- Not unique: a quarantined meeting has not ended, and does not hold its room. The appends check.
CREATE INDEX meetings_summaries_live_room_idx ON meetings_summaries (room_id)
    WHERE is_live;
----
CREATE TABLE meetings_turns (
    meeting_id uuid NOT NULL,
    round_num integer NOT NULL,
    turn_index integer NOT NULL,
    agent_id text NOT NULL,
    skipped_reason text,
    prompt_tokens bigint NOT NULL,
    response_tokens bigint NOT NULL,
    usage_source text NOT NULL,
    attempts integer NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    PRIMARY KEY (meeting_id, round_num, turn_index)
);
----
-- One row a process: renewing it renews every lease the process holds.
CREATE TABLE meetings_owners (
    owner text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
----
-- One row a live meeting that was ever run. Without an owner while it is quarantined, and after.
CREATE TABLE meetings_leases (
    meeting_id uuid PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL,
    claims integer NOT NULL,
    progress bigint NOT NULL,
    leased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    quarantined text,
    quarantined_at timestamptz
);
----
CREATE INDEX meetings_leases_owner_idx ON meetings_leases (owner);
----
CREATE INDEX meetings_leases_quarantined_idx ON meetings_leases (quarantined_at, meeting_id)
    WHERE quarantined IS NOT NULL;
----
-- How long meetings have waited for a gateway while some process without it was running.
CREATE TABLE meetings_gateway_waits (
    meeting_id uuid PRIMARY KEY,
    waited_seconds double precision NOT NULL,
    noted_at timestamptz NOT NULL
);
----
CREATE VIEW meetings_live AS
SELECT s.meeting_id, s.room_id
FROM meetings_summaries s
WHERE s.is_live AND NOT EXISTS (
    SELECT FROM meetings_leases q
    WHERE q.meeting_id = s.meeting_id AND q.quarantined IS NOT NULL
);
----
-- Live meetings that no living owner runs.
CREATE VIEW meetings_orphaned AS
SELECT s.meeting_id, s.gateways, s.created_at, l.owner
FROM meetings_summaries s
LEFT JOIN meetings_leases l ON l.meeting_id = s.meeting_id
WHERE s.is_live AND l.quarantined IS NULL AND (l.owner IS NULL OR l.owner NOT IN (
    SELECT o.owner FROM meetings_owners o WHERE o.expires_at > clock_timestamp()
));
