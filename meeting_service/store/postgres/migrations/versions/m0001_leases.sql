-- Claims, releases and quarantine take the lock of the appends, so that no append slips in between
-- an epoch's check and its change. Renewals take no lock but that of the owner's row.

-- What a claimant may claim: of the gateways `available` or of any, the meeting `wanted` or any.
-- Of its own it may have those that it has held for long and is not `running`: the answer to its
-- claim or start was lost. One that it holds since a moment ago may not have been started yet.
CREATE FUNCTION meetings_claimable(
    claimant text,
    lease_seconds double precision,
    running uuid[],
    available text[],
    wanted uuid
) RETURNS TABLE (meeting_id uuid, owner text) LANGUAGE sql STABLE AS $body$
    SELECT o.meeting_id, o.owner FROM meetings_orphaned o
    WHERE o.owner IS DISTINCT FROM claimant
        AND (available IS NULL OR o.gateways <@ available)
        AND (wanted IS NULL OR o.meeting_id = wanted)
    UNION ALL
    SELECT l.meeting_id, l.owner FROM meetings_leases l
    JOIN meetings_summaries s ON s.meeting_id = l.meeting_id
    WHERE l.owner = claimant AND l.meeting_id <> ALL (running) AND s.is_live
        AND l.leased_at < clock_timestamp() - make_interval(secs => lease_seconds)
        AND (available IS NULL OR s.gateways <@ available)
        AND (wanted IS NULL OR l.meeting_id = wanted);
$body$;
----
CREATE FUNCTION meetings_claim(
    claimant text,
    lease_seconds double precision,
    max_claims integer,
    running uuid[],
    available text[],
    wanted uuid
)
RETURNS TABLE (meeting_id uuid, owner text, epoch bigint, claims integer, previous_owner text)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
    -- The look before the lock keeps idle claimants out of the writers' way. It counts, because the
    -- plan for the first row of many is slow at finding that there is none.
    IF (
        SELECT count(*)
        FROM meetings_claimable(claimant, lease_seconds, running, available, wanted)
    ) = 0 THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7882818273441376115);
    -- An owner is deleted only under the lock of the appends: the claimant stays registered.
    IF NOT EXISTS (SELECT FROM meetings_owners o WHERE o.owner = claimant) THEN
        RETURN;
    END IF;
    DELETE FROM meetings_owners o
    WHERE o.expires_at < clock_timestamp() AND o.owner <> claimant
        AND NOT EXISTS (SELECT FROM meetings_leases l WHERE l.owner = o.owner);

    RETURN QUERY
    WITH chosen AS (
        SELECT s.meeting_id, f.owner,
            (SELECT count(*) FROM meetings_turns t WHERE t.meeting_id = s.meeting_id) AS turns
        FROM meetings_claimable(claimant, lease_seconds, running, available, wanted) f
        JOIN meetings_summaries s ON s.meeting_id = f.meeting_id
        WHERE s.is_live
        ORDER BY s.created_at, s.meeting_id
        LIMIT max_claims
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
            progress = excluded.progress,
            leased_at = excluded.leased_at
        RETURNING l.meeting_id, l.owner, l.epoch, l.claims
    ), waited AS (
        DELETE FROM meetings_gateway_waits w USING chosen c WHERE w.meeting_id = c.meeting_id
    )
    SELECT d.meeting_id, d.owner, d.epoch, d.claims, c.owner
    FROM claimed d JOIN chosen c ON c.meeting_id = d.meeting_id;
    -- Last, because a claim may wait for a lease's row, and renewals must not wait with it.
    PERFORM meetings_renew(claimant, lease_seconds);
END
$body$;
----
CREATE FUNCTION meetings_register(holder text, lease_seconds double precision)
RETURNS void LANGUAGE sql AS $body$
    INSERT INTO meetings_owners (owner, expires_at)
    VALUES (holder, clock_timestamp() + make_interval(secs => lease_seconds))
    ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at;
$body$;
----
CREATE FUNCTION meetings_renew(holder text, lease_seconds double precision)
RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE meetings_owners o
    SET expires_at = clock_timestamp() + make_interval(secs => lease_seconds)
    WHERE o.owner = holder;
    RETURN FOUND;
END
$body$;
----
-- An owner that gives its leases up in good order has not crashed: the next claim does not count.
CREATE FUNCTION meetings_release(holder text)
RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(7882818273441376115);
    UPDATE meetings_leases l SET claims = l.claims - 1 WHERE l.owner = holder AND l.claims > 0;
    DELETE FROM meetings_owners o WHERE o.owner = holder;
END
$body$;
