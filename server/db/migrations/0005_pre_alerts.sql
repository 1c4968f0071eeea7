-- Alerts: an append-only log of events, and the rows that are their projection. Written by the alerts role alone; a
-- person's act is decided by the same engine on the locked patient state, over a connection of that role.

CREATE TABLE alert (
    id             text PRIMARY KEY,
    practice_id    text NOT NULL REFERENCES practice,
    patient_id     text NOT NULL REFERENCES patient,
    number         integer NOT NULL,
    previous_id    text REFERENCES alert,
    family         text NOT NULL,
    rule           text NOT NULL,
    severity       text NOT NULL,
    state          text NOT NULL,
    level          integer NOT NULL DEFAULT 0,
    reopened       integer NOT NULL DEFAULT 0,
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
    CONSTRAINT alert_number_once UNIQUE (patient_id, number),
    CONSTRAINT alert_severity_known CHECK (severity IN ('P1', 'P2', 'P3', 'P4')),
    CONSTRAINT alert_state_known CHECK (state IN ('pending', 'open', 'claimed', 'snoozed', 'recovered', 'closed'))
);
CREATE UNIQUE INDEX alert_one_live ON alert (patient_id, family) WHERE state <> 'closed';
CREATE INDEX alert_worklist ON alert (practice_id, state, severity, due_at);
COMMENT ON COLUMN alert.number IS 'Counts the alerts of one patient from 1; with the patient it makes the id.';
COMMENT ON COLUMN alert.previous_id IS 'The closed alert of the same family before this one.';
COMMENT ON COLUMN alert.due_at IS 'When something happens to this alert by itself: escalation, end of a snooze, of a claim, of a wait.';

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
    state        jsonb,
    gateway_offline boolean NOT NULL DEFAULT false,
    due_at       timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE alert_patient_state IS 'Its row lock is the lock of the patient: one worker or one act at a time.';
COMMENT ON COLUMN alert_patient_state.state IS 'NULL until the first reading is judged.';
COMMENT ON COLUMN alert_patient_state.gateway_offline IS 'What the engine was last told, out of its state: compared with gateway_status.';
COMMENT ON COLUMN alert_patient_state.due_at IS 'When the engine must look again though nothing comes in; polled with SKIP LOCKED.';
CREATE INDEX alert_patient_state_due ON alert_patient_state (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE notification (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    practice_id   text NOT NULL REFERENCES practice,
    alert_id      text NOT NULL REFERENCES alert,
    level         integer NOT NULL,
    due_at        timestamptz NOT NULL,
    late          boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at    timestamptz
);
CREATE INDEX notification_unsettled ON notification (id) WHERE settled_at IS NULL;
COMMENT ON COLUMN notification.level IS '0 the first on call, then second nurse, practitioner, practice lead.';
COMMENT ON COLUMN notification.settled_at IS 'Every channel was tried; until then a worker (this one or the next) tries again.';

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
GRANT UPDATE (settled_at) ON notification TO vw_alerts;
GRANT SELECT ON alert, alert_event, notification, delivery TO vw_web, vw_billing;
