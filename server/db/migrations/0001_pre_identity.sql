-- Practices (tenants), the people who work in them, and the database roles that may write what.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- One database role for each process: a table has exactly one writing role. Roles are shared by all databases of a
-- cluster, hence the guard.
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['vw_all_tenants', 'vw_ingest', 'vw_alerts', 'vw_web', 'vw_billing'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this cluster was migrated at the same moment
            END;
        END IF;
    END LOOP;
    GRANT vw_all_tenants TO vw_ingest;
    GRANT vw_all_tenants TO vw_alerts;
END $$;

GRANT USAGE ON SCHEMA public TO vw_ingest, vw_alerts, vw_web, vw_billing;

-- Opaque identifiers: a two or three letter prefix that says what it is, then 80 random bits.
CREATE FUNCTION new_id(prefix text) RETURNS text
LANGUAGE sql VOLATILE
AS $$ SELECT prefix || '-' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 20) $$;

-- The practice of the current transaction (set_config('app.practice_id', …, true)); NULL when nobody set it.
CREATE FUNCTION current_practice() RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT nullif(current_setting('app.practice_id', true), '') $$;

-- Row-level security of one tenant table: a tenant role sees its own practice, the workers see all.
CREATE FUNCTION protect_tenant_table(table_name regclass) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', table_name);
    EXECUTE format(
        'CREATE POLICY tenant ON %s USING (practice_id = current_practice() OR pg_has_role(current_user, ''vw_all_tenants'', ''member''))'
        ' WITH CHECK (practice_id = current_practice() OR pg_has_role(current_user, ''vw_all_tenants'', ''member''))',
        table_name);
END $$;

CREATE TABLE practice (
    id                    text PRIMARY KEY DEFAULT new_id('pr'),
    name                  text NOT NULL,
    time_zone             text NOT NULL,
    kind                  text NOT NULL DEFAULT 'physician-practice',
    place_of_service      text NOT NULL DEFAULT '11',
    revocation_effective  text NOT NULL DEFAULT 'moment',
    is_simulated          boolean NOT NULL DEFAULT false,
    created_at            timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT practice_kind_known CHECK (kind IN ('physician-practice', 'rhc', 'fqhc')),
    CONSTRAINT practice_revocation_known CHECK (revocation_effective IN ('moment', 'month_end'))
);
COMMENT ON COLUMN practice.is_simulated IS 'Simulated identities live here; claims and exports refuse the practice.';

CREATE TABLE practitioner (
    id           text PRIMARY KEY DEFAULT new_id('dr'),
    practice_id  text NOT NULL REFERENCES practice,
    name         text NOT NULL,
    credential   text NOT NULL,
    npi          text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT practitioner_npi_shape CHECK (npi ~ '^[0-9]{10}$')
);

CREATE TABLE staff (
    id           text PRIMARY KEY DEFAULT new_id('st'),
    practice_id  text NOT NULL REFERENCES practice,
    name         text NOT NULL,
    credential   text NOT NULL,
    employer     text NOT NULL DEFAULT 'practice',
    qualified    boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT staff_employer_known CHECK (employer IN ('practice', 'contractor'))
);

CREATE TABLE app_user (
    id               text PRIMARY KEY DEFAULT new_id('us'),
    practice_id      text NOT NULL REFERENCES practice,
    login            text NOT NULL,
    password_hash    text NOT NULL,
    role             text NOT NULL,
    display_name     text NOT NULL,
    staff_id         text REFERENCES staff,
    practitioner_id  text REFERENCES practitioner,
    patient_id       text,
    language         text NOT NULL DEFAULT 'en',
    created_at       timestamptz NOT NULL DEFAULT now(),
    disabled_at      timestamptz,
    CONSTRAINT app_user_login_unique UNIQUE (login),
    CONSTRAINT app_user_role_known CHECK (role IN ('patient', 'nurse', 'practitioner', 'biller', 'admin', 'tester'))
);

CREATE TABLE web_session (
    token_hash    bytea PRIMARY KEY,
    practice_id   text NOT NULL REFERENCES practice,
    user_id       text NOT NULL REFERENCES app_user,
    csrf_token    text NOT NULL,
    created_at    timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz
);
CREATE INDEX web_session_user ON web_session (user_id);

CREATE TABLE login_attempt (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login_hash  bytea NOT NULL,
    address     inet,
    at          timestamptz NOT NULL,
    succeeded   boolean NOT NULL
);
CREATE INDEX login_attempt_recent ON login_attempt (login_hash, at DESC);

-- What a page must learn of at once. Rows give Server-Sent Events their id, so a browser that was away replays.
CREATE TABLE ui_event (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    practice_id  text NOT NULL REFERENCES practice,
    kind         text NOT NULL,
    ref          text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ui_event_practice ON ui_event (practice_id, id);
COMMENT ON COLUMN ui_event.ref IS 'An identifier only (alert, patient, gateway): never a name or a value.';

-- Append one event and wake the web processes when the transaction commits.
CREATE FUNCTION emit_ui_event(practice text, event_kind text, event_ref text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
AS $$
DECLARE event_id bigint;
BEGIN
    INSERT INTO ui_event (practice_id, kind, ref) VALUES (practice, event_kind, event_ref) RETURNING id INTO event_id;
    PERFORM pg_notify('vw_ui', practice);
    RETURN event_id;
END $$;

SELECT protect_tenant_table(t) FROM unnest(ARRAY['practitioner', 'staff', 'ui_event']::regclass[]) AS t;

GRANT SELECT ON practice, practitioner, staff TO vw_ingest, vw_alerts, vw_web, vw_billing;
GRANT SELECT, INSERT, UPDATE ON practitioner, staff TO vw_web;
GRANT SELECT, INSERT, UPDATE ON app_user, web_session TO vw_web;
GRANT SELECT, INSERT ON login_attempt TO vw_web;
GRANT SELECT ON ui_event TO vw_web;
