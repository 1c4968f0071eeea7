-- Gateways, devices and who a device belongs to at which time. Assignments are written by the web role,
-- gateway status by the ingest role.

CREATE TABLE gateway (
    id           text PRIMARY KEY,
    practice_id  text NOT NULL REFERENCES practice,
    label        text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz,
    CONSTRAINT gateway_id_shape CHECK (id ~ '^gw-[0-9a-z]{10,32}$')
);

CREATE TABLE gateway_status (
    gateway_id         text PRIMARY KEY REFERENCES gateway,
    practice_id        text NOT NULL REFERENCES practice,
    state              text NOT NULL,
    at                 timestamptz NOT NULL,
    outbox_depth       integer NOT NULL,
    oldest_pending_at  timestamptz,
    software           text NOT NULL,
    config_version     integer,
    warnings           text[] NOT NULL DEFAULT '{}',
    devices            jsonb NOT NULL DEFAULT '[]',
    heard_at           timestamptz NOT NULL,
    CONSTRAINT gateway_status_state_known CHECK (state IN ('online', 'offline'))
);

CREATE TABLE device (
    id           text PRIMARY KEY,
    practice_id  text NOT NULL REFERENCES practice,
    gateway_id   text REFERENCES gateway,
    kind         text NOT NULL,
    model        text,
    address      text,
    local_name   text,
    passkey      integer,
    fda_defined  boolean NOT NULL DEFAULT false,
    set_clock    text NOT NULL DEFAULT 'if-off',
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT device_kind_known CHECK (kind IN ('blood-pressure', 'glucose', 'weight', 'temperature', 'spot-oximetry',
        'continuous-oximetry', 'continuous-glucose')),
    CONSTRAINT device_set_clock_known CHECK (set_clock IN ('never', 'if-off', 'always'))
);
COMMENT ON COLUMN device.gateway_id IS 'The gateway whose retained configuration lists this device; any gateway of the practice may hear it.';

-- Device (and user slot, where it has slots) → patient, over time. The assignment valid at the moment of measurement
-- decides whose reading it is.
CREATE TABLE device_assignment (
    id           text PRIMARY KEY DEFAULT new_id('da'),
    practice_id  text NOT NULL REFERENCES practice,
    device_id    text NOT NULL REFERENCES device,
    user_slot    integer,
    patient_id   text NOT NULL REFERENCES patient,
    valid        tstzrange NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT device_assignment_half_open CHECK (lower_inc(valid) AND NOT upper_inc(valid)),
    CONSTRAINT device_assignment_one_patient EXCLUDE USING gist
        (device_id WITH =, (coalesce(user_slot, -1)) WITH =, valid WITH &&)
);
CREATE INDEX device_assignment_patient ON device_assignment (patient_id);
CREATE INDEX device_assignment_device ON device_assignment (device_id);

-- A device that becomes known or assigned may have readings waiting: ingest releases them when it is told.
CREATE FUNCTION notify_assignment() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_notify('vw_assignment', '');
    RETURN NULL;
END $$;

CREATE TRIGGER device_notify AFTER INSERT OR UPDATE ON device FOR EACH STATEMENT EXECUTE FUNCTION notify_assignment();
CREATE TRIGGER device_assignment_notify AFTER INSERT OR UPDATE ON device_assignment
    FOR EACH STATEMENT EXECUTE FUNCTION notify_assignment();

-- The last configuration sent to a gateway (retained topic) and the version it acknowledged.
CREATE TABLE gateway_config (
    gateway_id    text PRIMARY KEY REFERENCES gateway,
    practice_id   text NOT NULL REFERENCES practice,
    version       integer NOT NULL,
    prompts       jsonb NOT NULL DEFAULT '[]',
    changed_at    timestamptz NOT NULL DEFAULT now(),
    published_at  timestamptz
);

SELECT protect_tenant_table(t)
FROM unnest(ARRAY['gateway', 'gateway_status', 'device', 'device_assignment', 'gateway_config']::regclass[]) AS t;

GRANT SELECT ON gateway, gateway_status, device, device_assignment, gateway_config
    TO vw_ingest, vw_alerts, vw_web, vw_billing;
GRANT INSERT, UPDATE ON gateway, device, device_assignment, gateway_config TO vw_web;
GRANT INSERT, UPDATE ON gateway_status TO vw_ingest;
GRANT UPDATE (published_at) ON gateway_config TO vw_ingest;
