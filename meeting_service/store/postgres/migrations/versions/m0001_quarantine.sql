-- The next epoch fences the owner from here on.
CREATE FUNCTION meetings_quarantine(meeting uuid, holder text, held_epoch bigint, reason text)
RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(7882818273441376115);
    UPDATE meetings_leases l
    SET owner = NULL, epoch = l.epoch + 1, quarantined = reason, quarantined_at = clock_timestamp()
    WHERE l.meeting_id = meeting AND l.owner = holder AND l.epoch = held_epoch;
    RETURN FOUND;
END
$body$;
----
-- `holder` is the live meeting that holds the room; nothing changes then.
CREATE FUNCTION meetings_release_quarantine(
    meeting uuid, OUT is_released boolean, OUT room text, OUT holder uuid
) LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(7882818273441376115);
    SELECT h.room_id, h.meeting_id INTO room, holder
    FROM meetings_leases q
    JOIN meetings_summaries s ON s.meeting_id = q.meeting_id
    JOIN meetings_live h ON h.room_id = s.room_id
    WHERE q.meeting_id = meeting AND q.quarantined IS NOT NULL;
    UPDATE meetings_leases q SET quarantined = NULL, quarantined_at = NULL, claims = 0
    WHERE q.meeting_id = meeting AND q.quarantined IS NOT NULL AND holder IS NULL;
    is_released := FOUND;
END
$body$;
----
-- One call at a time, so that of several processes each adds only what nobody has added.
CREATE FUNCTION meetings_wait_for_gateways(available text[], max_seconds double precision)
RETURNS TABLE (meeting_id uuid, gateway text, waited_seconds double precision)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM meetings_gateway_waits)
        AND (SELECT count(*) FROM meetings_orphaned o WHERE NOT o.gateways <@ available) = 0
    THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7882818273441376117);
    DELETE FROM meetings_gateway_waits w
    WHERE NOT EXISTS (SELECT FROM meetings_orphaned o WHERE o.meeting_id = w.meeting_id);

    RETURN QUERY
    WITH waiting AS (
        SELECT o.meeting_id, o.created_at, (
            SELECT g.name FROM unnest(o.gateways) WITH ORDINALITY AS g (name, place)
            WHERE g.name <> ALL (available) ORDER BY g.place LIMIT 1
        ) AS gateway
        FROM meetings_orphaned o
        WHERE NOT o.gateways <@ available
    ), noted AS (
        INSERT INTO meetings_gateway_waits AS w (meeting_id, waited_seconds, noted_at)
        SELECT n.meeting_id, 0, clock_timestamp() FROM waiting n
        ON CONFLICT (meeting_id) DO UPDATE SET
            waited_seconds = w.waited_seconds + least(
                extract(epoch FROM excluded.noted_at - w.noted_at)::double precision, max_seconds
            ),
            noted_at = excluded.noted_at
        RETURNING w.meeting_id, w.waited_seconds
    )
    SELECT n.meeting_id, n.gateway, d.waited_seconds
    FROM waiting n JOIN noted d ON d.meeting_id = n.meeting_id
    ORDER BY n.created_at, n.meeting_id;
END
$body$;
