-- Readings. Written by the ingest role alone, append-only; corrected by superseding, never edited in place. One change
-- is allowed: a held reading gets its patient once the device is assigned.

-- The gate of idempotency: one row a reading, written in the transaction of its observation. It is a plain table
-- because a hypertable cannot have a unique index without its time column, and a reading's time may be recomputed
-- when it is sent again.
CREATE TABLE message_gate (
    message_id  uuid PRIMARY KEY,
    gateway_id  text NOT NULL,
    stored_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE observation (
    message_id            uuid NOT NULL,
    practice_id           text NOT NULL,
    patient_id            text,
    gateway_id            text NOT NULL,
    device_id             text NOT NULL,
    kind                  text NOT NULL,
    measured_at           timestamptz NOT NULL,
    received_at           timestamptz NOT NULL,
    stored_at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    local_date            date,
    entry                 text NOT NULL,
    memory                text NOT NULL,
    time_quality          text NOT NULL,
    device_time           text,
    clock_offset_seconds  numeric,
    sequence_number       integer,
    user_id               integer,
    components            jsonb NOT NULL,
    flags                 text[] NOT NULL DEFAULT '{}',
    context               jsonb NOT NULL DEFAULT '{}',
    raw                   jsonb NOT NULL DEFAULT '{}',
    verdict               text NOT NULL,
    PRIMARY KEY (message_id, measured_at),
    CONSTRAINT observation_entry_known CHECK (entry IN ('automatic', 'manual', 'imported')),
    CONSTRAINT observation_memory_known CHECK (memory IN ('live', 'stored')),
    CONSTRAINT observation_verdict_known CHECK (verdict IN (
        'accepted',              -- belongs to a patient; goes to the alert engine
        'held-unknown-device',   -- no such device in the gateway's practice
        'held-unassigned',       -- device known, nobody assigned at the time of measurement
        'control-solution',      -- a meter's control test: never a patient's reading
        'no-value'               -- the device reported that it could not measure
    ))
);
CREATE INDEX observation_patient ON observation (patient_id, kind, measured_at DESC);
CREATE INDEX observation_held ON observation (practice_id, stored_at) WHERE patient_id IS NULL;

-- Every accepted reading leaves one row here in its own transaction; the alert worker deletes it in the transaction
-- that judges the reading. No reading is ever stored without being judged.
CREATE TABLE alert_work (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    practice_id  text NOT NULL,
    patient_id   text NOT NULL,
    message_id   uuid NOT NULL,
    measured_at  timestamptz NOT NULL,
    enqueued_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX alert_work_patient ON alert_work (patient_id, id);

CREATE TABLE dead_letter (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    practice_id  text,
    gateway_id   text,
    topic        text NOT NULL,
    message_id   text,
    reason       text NOT NULL,
    detail       text NOT NULL DEFAULT '',
    payload      bytea NOT NULL,
    payload_sha256 bytea NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    replayed_at  timestamptz,
    CONSTRAINT dead_letter_once UNIQUE (topic, payload_sha256, reason)
);

-- What the alert engine's quality gate said of a reading. Written by the alerts role.
CREATE TABLE observation_judgement (
    message_id   uuid PRIMARY KEY,
    practice_id  text NOT NULL,
    patient_id   text NOT NULL,
    verdict      text NOT NULL,
    judged_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT observation_judgement_known
        CHECK (verdict IN ('ok', 'suspect', 'quarantined', 'unassigned', 'duplicate'))
);

SELECT protect_tenant_table(t) FROM unnest(ARRAY['alert_work', 'dead_letter', 'observation_judgement']::regclass[]) AS t;

-- The tenant's window on the hypertable, which itself can carry no row-level security (TimescaleDB refuses it on
-- compressed hypertables). Application roles have no right on the table behind it.
CREATE VIEW observation_of_practice WITH (security_barrier) AS
SELECT o.*, coalesce(j.verdict, o.verdict) AS judged_verdict
FROM observation o
LEFT JOIN observation_judgement j USING (message_id)
WHERE o.practice_id = current_practice() OR pg_has_role(current_user, 'vw_all_tenants', 'member');

CREATE VIEW reading_v1 WITH (security_barrier) AS
SELECT
    message_id,
    gateway_id,
    device_id,
    patient_id,
    kind,
    measured_at,
    received_at,
    stored_at,
    local_date,
    entry,
    judged_verdict AS verdict
FROM observation_of_practice;

GRANT SELECT, INSERT ON message_gate TO vw_ingest;
GRANT SELECT, INSERT ON observation TO vw_ingest;
GRANT UPDATE (patient_id, local_date, verdict) ON observation TO vw_ingest;  -- a held reading finds its patient
GRANT INSERT ON alert_work TO vw_ingest;
GRANT SELECT, INSERT, UPDATE ON dead_letter TO vw_ingest;
GRANT SELECT ON dead_letter TO vw_web;
GRANT SELECT, DELETE, UPDATE ON alert_work TO vw_alerts;
GRANT SELECT, INSERT ON observation_judgement TO vw_alerts;
GRANT SELECT ON observation_judgement TO vw_web, vw_billing;
GRANT SELECT ON observation_of_practice, reading_v1 TO vw_ingest, vw_alerts, vw_web, vw_billing;
