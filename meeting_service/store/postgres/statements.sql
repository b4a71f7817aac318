-- Every statement the store sends, by name: a line of two dashes, the name and a colon, then what
-- it does. Optional arguments are null when not given; none of them costs an index.

-- configure_session:
-- Set what every session needs, whatever the database's defaults are: $1 is the application's name.
-- Under another isolation level a check would not see what was committed while it waited for a lock.
-- Whether the server can be written to is asked on the way.
SELECT set_config('default_transaction_isolation', 'read committed', false),
    set_config('application_name', $1, false),
    set_config('jit', 'off', false),
    pg_is_in_recovery() AS is_standby,
    current_setting('default_transaction_read_only')::boolean AS only_reads;

-- configure_as_asked:
-- Set what the address asks for, names in $1 and values in $2: for the session, or if $3 for the
-- transaction.
SELECT set_config(setting.name, setting.value, $3)
FROM unnest($1::text[], $2::text[]) AS setting (name, value);

-- configure_writer:
-- Have plans not depend on how small the tables were when they were made: a connection that first
-- appended to an empty table would go on reading all of it for ever.
SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('enable_seqscan', 'off', false);

-- describe_database:
-- Read what decides whether the service can work here: the encoding, whose rights count and on what,
-- and how many connections the account may have.
SELECT current_setting('server_encoding') AS encoding,
    current_database() AS database,
    current_user AS account,
    current_schema() AS schema,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    (
        SELECT string_agg(relname, ', ' ORDER BY relname)
        FROM pg_class
        WHERE relkind IN ('r', 'S') AND relname LIKE 'meetings\_%'
            AND relnamespace = (
                SELECT relnamespace FROM pg_class WHERE oid = to_regclass('meetings_events')
            )
            AND NOT CASE
                WHEN relkind = 'S' THEN has_sequence_privilege(oid, 'USAGE')
                WHEN relname = 'meetings_schema_version' THEN has_table_privilege(oid, 'SELECT')
                ELSE has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT') AND (
                    -- Events are never changed, and an account may be kept from it.
                    relname = 'meetings_events'
                    OR has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
                )
            END
    ) AS closed,
    least(
        CASE WHEN NOT account.rolsuper THEN nullif(account.rolconnlimit, -1) END,
        CASE WHEN NOT account.rolsuper THEN nullif(here.datconnlimit, -1) END,
        current_setting('max_connections')::int
            - CASE WHEN account.rolsuper THEN 0
                ELSE current_setting('superuser_reserved_connections')::int
                    + coalesce(current_setting('reserved_connections', true)::int, 0) END
    ) AS max_connections
FROM pg_roles account, pg_database here
WHERE account.rolname = current_user AND here.datname = current_database();

-- has_schema:
-- Find out whether the schema $1 is there.
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1);

-- statement_creating_schema:
-- Write the statement that creates the schema $1.
SELECT format('CREATE SCHEMA IF NOT EXISTS %I', $1::text);

-- current_schema:
-- Name the schema in which tables are created and found.
SELECT current_schema();

-- lock_for_check:
-- Hold a lock, until the transaction ends, that another connection to the same database can see.
SELECT pg_advisory_xact_lock($1::int, $2::int);

-- is_locked_for_check:
-- See whether somebody holds that lock in this database.
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND classid = $1::int::oid AND objid = $2::int::oid AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
);

-- end_when_idle:
-- Have this session end when it has been idle for as long as $1; null where that is not known.
SELECT CASE WHEN current_setting('idle_session_timeout', true) IS NOT NULL
    THEN set_config('idle_session_timeout', $1, false) END;

-- append:
-- Append events of several meetings, each append by itself accepted or refused: heads, events,
-- the events' states, first leases, summaries and turns.
SELECT refused, reasons, holders, positions
FROM meetings_append($1, $2, $3, $4, $5, $6);

-- append_one:
-- Append at most four events of the live meeting $1 (version, topic and state of each: $3 to $14), at
-- most one ended turn ($15 to $24), and the state of its summary, $25, if its lease has the epoch $2.
-- No row comes back if it has not; a version or a turn that is there already is a unique violation.
-- The lease is read by locking its row: what is locked is the row as it is by then, not as it was
-- before the wait for the lock.
WITH allowed AS MATERIALIZED (
    SELECT pg_notify('meetings_events', '')
    FROM (SELECT pg_advisory_xact_lock(7882818273441376115) OFFSET 0) locked, meetings_leases lease
    WHERE lease.meeting_id = $1 AND lease.epoch = $2::bigint
    FOR SHARE OF lease
), turn AS (
    INSERT INTO meetings_turns
    SELECT $1, $15::int, $16::int, $17::text, $18::text, $19::bigint, $20::bigint, $21::text,
        $22::int, $23::timestamptz, $24::timestamptz
    FROM allowed
    WHERE $15::int IS NOT NULL
), summary AS (
    UPDATE meetings_summaries SET state = $25::text
    FROM allowed
    WHERE meeting_id = $1::uuid AND $25::text IS NOT NULL
)
INSERT INTO meetings_events (originator_id, originator_version, topic, state)
SELECT $1, event.version, event.topic, event.state
FROM allowed, (
    VALUES ($3::bigint, $4::text, $5::bytea), ($6, $7, $8), ($9, $10, $11), ($12, $13, $14)
) AS event (version, topic, state)
WHERE event.version IS NOT NULL
RETURNING notification_id;

-- select_events:
-- Read one meeting's events, oldest first: after version $2, up to version $3, at most $4.
SELECT originator_version, topic, state
FROM meetings_events
WHERE originator_id = $1
    AND originator_version > coalesce($2::bigint, -9223372036854775808)
    AND originator_version <= coalesce($3::bigint, 9223372036854775807)
ORDER BY originator_version
LIMIT $4::bigint;

-- select_events_newest_first:
-- The same, newest first.
SELECT originator_version, topic, state
FROM meetings_events
WHERE originator_id = $1
    AND originator_version > coalesce($2::bigint, -9223372036854775808)
    AND originator_version <= coalesce($3::bigint, 9223372036854775807)
ORDER BY originator_version DESC
LIMIT $4::bigint;

-- select_notifications:
-- Read all meetings' events in commit order: from position $1 to $2, of the topics $3, at most $4.
SELECT notification_id, originator_id, originator_version, topic, state
FROM meetings_events
WHERE notification_id >= coalesce($1::bigint, -9223372036854775808)
    AND notification_id <= coalesce($2::bigint, 9223372036854775807)
    AND ($3::text[] IS NULL OR topic = ANY ($3::text[]))
ORDER BY notification_id
LIMIT $4::bigint;

-- max_notification_id:
-- Read the newest position.
SELECT max(notification_id) FROM meetings_events;

-- select_summaries:
-- List meetings, newest first, each row with the number of all that match; with no row on the
-- page there is one, all null but for that number. $1 created after, $2 room, $3 project, $4 state,
-- $5 and $6 the last row of the page before, $7 at most, $8 skipped.
WITH matching AS NOT MATERIALIZED (
    SELECT * FROM meetings_summaries
    WHERE created_at >= coalesce($1::timestamptz, '-infinity')
        AND ($2::text IS NULL OR room_id = $2::text)
        AND ($3::text IS NULL OR project_id = $3::text)
        AND ($4::text IS NULL OR state = $4::text)
)
SELECT matches.total, page.*, lease.quarantined
FROM (SELECT count(*) AS total FROM matching) matches
LEFT JOIN (
    SELECT * FROM matching
    WHERE (created_at, meeting_id) < (
        coalesce($5::timestamptz, 'infinity'),
        coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    ORDER BY created_at DESC, meeting_id DESC
    LIMIT $7::bigint OFFSET $8::bigint
) page ON true
LEFT JOIN meetings_leases lease ON lease.meeting_id = page.meeting_id
ORDER BY page.created_at DESC, page.meeting_id DESC;

-- count_live:
-- Count the meetings that have not ended and are not quarantined.
SELECT count(*) FROM meetings_live;

-- register_owner:
-- Let the owner $1 live for $2 seconds.
SELECT meetings_register($1, $2);

-- renew_leases:
-- Let the owner $1 live for another $2 seconds, if it is registered.
SELECT meetings_renew($1, $2);

-- release_leases:
-- Let others claim what the owner $1 holds.
SELECT meetings_release($1);

-- claim_leases:
-- Give the owner $1, for $2 seconds, at most $3 leases of live meetings that nobody runs: $4 are those
-- it runs itself, $5 the gateways it has, $6 the one meeting it wants.
SELECT meeting_id, owner, epoch, claims, previous_owner
FROM meetings_claim($1, $2, $3, $4, $5, $6);

-- wait_for_gateways:
-- Note that meetings nobody runs wait for gateways not among $1, adding at most $2 seconds.
SELECT meeting_id, gateway, waited_seconds FROM meetings_wait_for_gateways($1, $2);

-- quarantine:
-- Put the meeting $1 aside for the reason $4, if the owner $2 holds it with the epoch $3.
SELECT meetings_quarantine($1, $2, $3, $4);

-- release_quarantine:
-- Make the meeting $1 live again, unless a live one holds its room.
SELECT is_released, room, holder FROM meetings_release_quarantine($1);

-- select_quarantined:
-- List at most $1 meetings in quarantine, the first put there first.
SELECT q.meeting_id, s.title, s.state, q.quarantined AS reason, q.quarantined_at AS since
FROM meetings_leases q
JOIN meetings_summaries s ON s.meeting_id = q.meeting_id
WHERE q.quarantined IS NOT NULL
ORDER BY q.quarantined_at, q.meeting_id
LIMIT $1::bigint;

-- quarantine_reason:
-- Read why the meeting $1 is in quarantine.
SELECT quarantined FROM meetings_leases WHERE meeting_id = $1;

-- ping:
-- Find out whether the database answers.
SELECT 1;

-- lock_appends:
-- Keep every other writer of the store out until the transaction ends.
SELECT pg_advisory_xact_lock(7882818273441376115);

-- select_meeting_ids:
-- Name every meeting that has an event or a row of a read model, after $1, at most $2.
SELECT meeting_id FROM (
    (
        SELECT originator_id AS meeting_id FROM meetings_events
        WHERE originator_id > coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
        GROUP BY originator_id ORDER BY originator_id LIMIT $2::bigint
    ) UNION (
        SELECT meeting_id FROM meetings_summaries
        WHERE meeting_id > coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
        ORDER BY meeting_id LIMIT $2::bigint
    ) UNION (
        SELECT meeting_id FROM meetings_turns
        WHERE meeting_id > coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
        GROUP BY meeting_id ORDER BY meeting_id LIMIT $2::bigint
    )
) known
ORDER BY meeting_id
LIMIT $2::bigint;

-- select_summary:
-- Read one meeting's row in the list.
SELECT * FROM meetings_summaries WHERE meeting_id = $1;

-- select_turns:
-- Read one meeting's turns in order.
SELECT * FROM meetings_turns WHERE meeting_id = $1 ORDER BY round_num, turn_index;

-- delete_summary:
-- Delete one meeting's row in the list.
DELETE FROM meetings_summaries WHERE meeting_id = $1;

-- delete_lease_of_ended:
-- Delete one meeting's lease, unless the meeting is live.
DELETE FROM meetings_leases l
WHERE l.meeting_id = $1 AND NOT EXISTS (
    SELECT FROM meetings_summaries s WHERE s.meeting_id = l.meeting_id AND s.is_live
);

-- delete_turns:
-- Delete one meeting's turns.
DELETE FROM meetings_turns WHERE meeting_id = $1;

-- insert_summary:
-- Write one meeting's row in the list, from JSON.
INSERT INTO meetings_summaries
SELECT * FROM json_populate_recordset(NULL::meetings_summaries, $1::json);

-- insert_turns:
-- Write turns, from JSON.
INSERT INTO meetings_turns
SELECT * FROM json_populate_recordset(NULL::meetings_turns, $1::json);
