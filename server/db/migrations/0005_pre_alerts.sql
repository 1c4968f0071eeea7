-- Alerts: an append-only log of events, and the rows that are their projection. Written by the alerts role; a person's
-- act arrives as a row in alert_action (written by the web role) and is decided by the engine in one transaction.

CREATE TABLE alert (
    id             text PRIMARY KEY,
    practice_id    text NOT NULL REFERENCES practice,
    patient_id     text NOT NULL REFERENCES patient,
    family         text NOT NULL,
    rule           text NOT NULL,
    severity       text NOT NULL,
    state          text NOT NULL,
    level          integer NOT NULL DEFAULT 0,
    text           text NOT NULL,
    tags           text[] NOT NULL DEFAULT '{}',
    evidence       uuid[] NOT NULL DEFAULT '{}',
    ruleset        text NOT NULL,
    opened_at      timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    due_at         timestamptz,
    owner_id       text REFERENCES app_user,
    claimed_at     timestamptz,
    closed_at      timestamptz,
    disposition    text,
    note           text,
    CONSTRAINT alert_severity_known CHECK (severity IN ('P1', 'P2', 'P3', 'P4')),
    CONSTRAINT alert_state_known CHECK (state IN ('pending', 'open', 'claimed', 'snoozed', 'recovered', 'closed'))
);
CREATE UNIQUE INDEX alert_one_live ON alert (patient_id, family) WHERE state <> 'closed';
CREATE INDEX alert_worklist ON alert (practice_id, state, severity, due_at);
COMMENT ON COLUMN alert.due_at IS 'The next moment the engine must look at this patient again; polled with SKIP LOCKED.';

CREATE TABLE alert_event (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    practice_id  text NOT NULL REFERENCES practice,
    patient_id   text NOT NULL REFERENCES patient,
    alert_id     text NOT NULL REFERENCES alert,
    at           timestamptz NOT NULL,
    kind         text NOT NULL,
    actor_id     text REFERENCES app_user,
    from_state   text,
    to_state     text,
    detail       jsonb NOT NULL DEFAULT '{}',
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX alert_event_alert ON alert_event (alert_id, id);

-- The engine's state of one patient, so that a reading is judged without reading the past again.
CREATE TABLE alert_patient_state (
    patient_id   text PRIMARY KEY REFERENCES patient,
    practice_id  text NOT NULL REFERENCES practice,
    state        jsonb NOT NULL,
    due_at       timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX alert_patient_state_due ON alert_patient_state (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE notification (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    practice_id   text NOT NULL REFERENCES practice,
    alert_id      text NOT NULL REFERENCES alert,
    level         integer NOT NULL,
    due_at        timestamptz NOT NULL,
    late          boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE delivery (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    practice_id      text NOT NULL REFERENCES practice,
    notification_id  bigint NOT NULL REFERENCES notification,
    channel          text NOT NULL,
    attempted_at     timestamptz NOT NULL,
    succeeded        boolean NOT NULL,
    reason           text NOT NULL DEFAULT ''
);

SELECT protect_tenant_table(t)
FROM unnest(ARRAY['alert', 'alert_event', 'alert_patient_state', 'notification', 'delivery']::regclass[]) AS t;

GRANT SELECT, INSERT, UPDATE ON alert, alert_patient_state TO vw_alerts;
GRANT SELECT, INSERT ON alert_event, notification, delivery TO vw_alerts;
GRANT SELECT ON alert, alert_event, notification, delivery TO vw_web, vw_billing;
