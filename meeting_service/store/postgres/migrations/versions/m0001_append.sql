-- Append events of several meetings, each append by itself accepted or refused.
-- Every writer takes one lock first: then positions are given out in commit order, and what is
-- checked afterwards, in a statement of its own and so (under READ COMMITTED, which every connection
-- asks for) with a fresh snapshot, still holds when it is acted on. The stock library locks the table
-- instead, which shuts these inserts out and is shut out by them. At most one append of a meeting,
-- and of a room, may be among those of one call.
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
                SELECT h.meeting_id FROM meetings_live h
                WHERE h.room_id = s.room_id AND h.meeting_id <> s.meeting_id
            ) AS holder
            FROM json_populate_recordset(NULL::meetings_summaries, summaries) s
            WHERE s.is_live AND s.room_id IS NOT NULL
                AND (refused IS NULL OR s.meeting_id <> ALL (refused))
                AND NOT EXISTS (
                    SELECT FROM meetings_leases q
                    WHERE q.meeting_id = s.meeting_id AND q.quarantined IS NOT NULL
                )
        ) r
        WHERE r.holder IS NOT NULL;
    END IF;

    IF leases IS NOT NULL THEN
        SELECT refused || array_agg(n.meeting_id),
            reasons || array_agg('live'::text),
            holders || array_agg(NULL::uuid)
        INTO refused, reasons, holders
        FROM (
            SELECT l.meeting_id, l.max_live, row_number() OVER () AS place
            FROM json_to_recordset(leases) AS l (meeting_id uuid, max_live bigint)
            WHERE l.max_live IS NOT NULL
                AND (refused IS NULL OR l.meeting_id <> ALL (refused))
        ) n, LATERAL (
            SELECT count(*) AS meetings FROM (SELECT FROM meetings_live LIMIT n.max_live) m
        ) live
        WHERE live.meetings + n.place > n.max_live;
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
            gateways = excluded.gateways,
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
