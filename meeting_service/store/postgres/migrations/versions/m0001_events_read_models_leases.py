"""Create the event table, the read models, the leases, and the functions that write them.

`meetings_events` is, to the storage parameter, the table that the eventsourcing library creates
for itself. Source: ADR 0002.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
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
CREATE UNIQUE INDEX meetings_summaries_live_room_idx ON meetings_summaries (room_id)
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
CREATE TABLE meetings_leases (
    meeting_id uuid PRIMARY KEY,
    owner text NOT NULL,
    epoch bigint NOT NULL,
    claims integer NOT NULL,
    progress bigint NOT NULL
);
----
CREATE INDEX meetings_leases_owner_idx ON meetings_leases (owner);
"""

# Every writer takes one lock first: then positions are given out in commit order, and what is
# checked afterwards, in a statement of its own and so with a fresh snapshot, still holds when it is
# acted on. The stock library locks the table instead, which shuts these inserts out and is shut
# out by them. At most one append of a meeting, and of a room, may be among those of one call.
APPEND = """
CREATE FUNCTION meetings_append(
    appends json,
    events json,
    states bytea[],
    leases json,
    summaries json,
    turns json,
    OUT refused uuid[],
    OUT reasons text[],
    OUT holders uuid[],
    OUT positions bigint[]
) LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(7882818273441376115);

    SELECT array_agg(r.meeting_id), array_agg(r.reason), array_agg(NULL::uuid)
    INTO refused, reasons, holders
    FROM (
        SELECT a.meeting_id, CASE
            WHEN (
                SELECT true FROM meetings_events e
                WHERE e.originator_id = a.meeting_id AND e.originator_version = a.version
            ) THEN 'conflict'
            WHEN a.epoch IS NOT NULL AND a.epoch IS DISTINCT FROM (
                SELECT l.epoch FROM meetings_leases l WHERE l.meeting_id = a.meeting_id
            ) THEN 'fenced'
        END AS reason
        FROM json_to_recordset(appends) AS a (meeting_id uuid, version bigint, epoch bigint)
    ) r
    WHERE r.reason IS NOT NULL;

    IF summaries IS NOT NULL THEN
        SELECT refused || array_agg(r.meeting_id),
            reasons || array_agg('room'::text),
            holders || array_agg(r.holder)
        INTO refused, reasons, holders
        FROM (
            SELECT s.meeting_id, (
                SELECT h.meeting_id FROM meetings_summaries h
                WHERE h.room_id = s.room_id AND h.is_live AND h.meeting_id <> s.meeting_id
            ) AS holder
            FROM json_populate_recordset(NULL::meetings_summaries, summaries) s
            WHERE s.is_live AND s.room_id IS NOT NULL
                AND (refused IS NULL OR s.meeting_id <> ALL (refused))
        ) r
        WHERE r.holder IS NOT NULL;
    END IF;

    WITH inserted AS (
        INSERT INTO meetings_events (originator_id, originator_version, topic, state)
        SELECT e.meeting_id, e.version, e.topic, e.state
        FROM ROWS FROM (
            json_to_recordset(events) AS (meeting_id uuid, version bigint, topic text),
            unnest(states)
        ) AS e (meeting_id, version, topic, state)
        WHERE refused IS NULL OR e.meeting_id <> ALL (refused)
        RETURNING notification_id
    )
    SELECT array_agg(notification_id) INTO positions FROM inserted;

    IF positions IS NULL THEN
        RETURN;
    END IF;

    IF turns IS NOT NULL THEN
        INSERT INTO meetings_turns
        SELECT * FROM json_populate_recordset(NULL::meetings_turns, turns) t
        WHERE refused IS NULL OR t.meeting_id <> ALL (refused)
        ON CONFLICT (meeting_id, round_num, turn_index) DO UPDATE SET
            agent_id = excluded.agent_id,
            skipped_reason = excluded.skipped_reason,
            prompt_tokens = excluded.prompt_tokens,
            response_tokens = excluded.response_tokens,
            usage_source = excluded.usage_source,
            attempts = excluded.attempts,
            started_at = excluded.started_at,
            ended_at = excluded.ended_at;
    END IF;

    IF summaries IS NOT NULL THEN
        INSERT INTO meetings_summaries
        SELECT * FROM json_populate_recordset(NULL::meetings_summaries, summaries) s
        WHERE refused IS NULL OR s.meeting_id <> ALL (refused)
        ON CONFLICT (meeting_id) DO UPDATE SET
            title = excluded.title,
            goal = excluded.goal,
            state = excluded.state,
            is_live = excluded.is_live,
            participant_names = excluded.participant_names,
            num_rounds = excluded.num_rounds,
            room_id = excluded.room_id,
            project_id = excluded.project_id,
            parent_meeting_id = excluded.parent_meeting_id,
            output_path = excluded.output_path,
            created_at = excluded.created_at,
            ended_at = excluded.ended_at;

        DELETE FROM meetings_leases l
        WHERE l.meeting_id = ANY (ARRAY(
            SELECT s.meeting_id
            FROM json_populate_recordset(NULL::meetings_summaries, summaries) s
            WHERE NOT s.is_live AND (refused IS NULL OR s.meeting_id <> ALL (refused))
        ));
    END IF;

    IF leases IS NOT NULL THEN
        INSERT INTO meetings_leases (meeting_id, owner, epoch, claims, progress)
        SELECT l.meeting_id, l.owner, 1, 0, 0
        FROM json_to_recordset(leases) AS l (meeting_id uuid, owner text)
        WHERE refused IS NULL OR l.meeting_id <> ALL (refused);
    END IF;

    PERFORM pg_notify('meetings_events', '');
END
$body$;
"""

# Claims take the lock of the appends, so that no append slips in between an epoch's check and its
# change; the look before the lock keeps idle claimants out of the writers' way.
LEASES = """
CREATE VIEW meetings_unowned AS
SELECT s.meeting_id, s.created_at, l.owner
FROM meetings_summaries s
LEFT JOIN meetings_leases l ON l.meeting_id = s.meeting_id
WHERE s.is_live AND (l.owner IS NULL OR l.owner NOT IN (
    SELECT o.owner FROM meetings_owners o WHERE o.expires_at > clock_timestamp()
));
----
CREATE FUNCTION meetings_renew(holder text, lease_seconds double precision)
RETURNS void LANGUAGE sql AS $body$
    INSERT INTO meetings_owners (owner, expires_at)
    VALUES (holder, clock_timestamp() + make_interval(secs => lease_seconds))
    ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at;
$body$;
----
-- Held by the claimant and not run by it: the answer to a claim or a start was lost. A meeting that
-- was called just now may not have been started yet.
CREATE FUNCTION meetings_forgotten(
    claimant text, lease_seconds double precision, running uuid[]
) RETURNS TABLE (meeting_id uuid) LANGUAGE sql STABLE AS $body$
    SELECT l.meeting_id FROM meetings_leases l
    JOIN meetings_summaries s ON s.meeting_id = l.meeting_id
    WHERE l.owner = claimant AND l.meeting_id <> ALL (running)
        AND s.is_live AND s.created_at < clock_timestamp() - make_interval(secs => lease_seconds);
$body$;
----
CREATE FUNCTION meetings_claim(
    claimant text, lease_seconds double precision, most integer, running uuid[]
)
RETURNS TABLE (meeting_id uuid, owner text, epoch bigint, claims integer, previous_owner text)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
    -- Counted, because the plan for the first row of many is slow at finding that there is none.
    IF (SELECT count(*) FROM meetings_unowned u WHERE u.owner IS DISTINCT FROM claimant) = 0
        AND NOT EXISTS (SELECT FROM meetings_forgotten(claimant, lease_seconds, running))
    THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7882818273441376115);
    PERFORM meetings_renew(claimant, lease_seconds);
    DELETE FROM meetings_owners o
    WHERE o.expires_at < clock_timestamp()
        AND NOT EXISTS (SELECT FROM meetings_leases l WHERE l.owner = o.owner);

    RETURN QUERY
    WITH free AS (
        SELECT u.meeting_id, u.owner FROM meetings_unowned u
        WHERE u.owner IS DISTINCT FROM claimant
        UNION ALL
        SELECT g.meeting_id, claimant FROM meetings_forgotten(claimant, lease_seconds, running) g
    ), chosen AS (
        SELECT s.meeting_id, f.owner,
            (SELECT count(*) FROM meetings_turns t WHERE t.meeting_id = s.meeting_id) AS turns
        FROM free f
        JOIN meetings_summaries s ON s.meeting_id = f.meeting_id
        WHERE s.is_live
        ORDER BY s.created_at, s.meeting_id
        LIMIT most
        FOR UPDATE OF s SKIP LOCKED
    ), claimed AS (
        INSERT INTO meetings_leases AS l (meeting_id, owner, epoch, claims, progress)
        -- A lease without a row was lost; it starts above any epoch the meeting may have had.
        SELECT c.meeting_id, claimant, extract(epoch FROM clock_timestamp())::bigint, 1, c.turns
        FROM chosen c
        ON CONFLICT (meeting_id) DO UPDATE SET
            owner = excluded.owner,
            epoch = l.epoch + 1,
            claims = CASE WHEN excluded.progress > l.progress THEN 1 ELSE l.claims + 1 END,
            progress = excluded.progress
        RETURNING l.meeting_id, l.owner, l.epoch, l.claims
    )
    SELECT d.meeting_id, d.owner, d.epoch, d.claims, c.owner
    FROM claimed d JOIN chosen c ON c.meeting_id = d.meeting_id;
END
$body$;
----
-- Who gives leases up in good order has not crashed: the claim that follows shall not count.
CREATE FUNCTION meetings_release(holder text)
RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(7882818273441376115);
    UPDATE meetings_leases l SET claims = l.claims - 1 WHERE l.owner = holder AND l.claims > 0;
    DELETE FROM meetings_owners o WHERE o.owner = holder;
END
$body$;
"""

DROPS = """
DROP FUNCTION meetings_release, meetings_claim, meetings_forgotten, meetings_renew, meetings_append;
----
DROP VIEW meetings_unowned;
----
DROP TABLE meetings_leases, meetings_owners, meetings_turns, meetings_summaries, meetings_events;
"""


def upgrade() -> None:
    """Create everything."""
    _run(TABLES, APPEND, LEASES)


def downgrade() -> None:
    """Drop everything, events included."""
    _run(DROPS)


def _run(*scripts: str) -> None:
    # The driver takes one statement at a time; four dashes on a line of their own part them.
    for script in scripts:
        for statement in script.split("\n----\n"):
            op.get_bind().exec_driver_sql(statement)
