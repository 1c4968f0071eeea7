-- Care management: enrolments, consent, plans, time. Written by the web role; read by billing. Facts are appended and
-- superseded, never edited: a frozen month must be reproducible.

CREATE TABLE enrollment (
    id               text PRIMARY KEY DEFAULT new_id('en'),
    practice_id      text NOT NULL REFERENCES practice,
    patient_id       text NOT NULL REFERENCES patient,
    program          text NOT NULL,
    practitioner_id  text NOT NULL REFERENCES practitioner,
    from_on          date NOT NULL,
    to_on            date,
    end_reason       text,
    episode          text,
    ordered_on       date,
    diagnosis        text,
    setup_on         date,
    system           text,
    under            text,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT enrollment_program_known CHECK (program IN ('rpm', 'rtm', 'ccm', 'pcm', 'apcm', 'tcm', 'bhi', 'cocm',
        'data-review', 'home-health-oversight', 'hospice-oversight')),
    CONSTRAINT enrollment_end_reason_known CHECK (end_reason IN ('order-stopped', 'consent-withdrawn', 'device-returned',
        'goals-met', 'death', 'transfer')),
    CONSTRAINT enrollment_dates_in_order CHECK (to_on IS NULL OR to_on >= from_on),
    CONSTRAINT enrollment_once EXCLUDE USING gist
        (patient_id WITH =, program WITH =, practitioner_id WITH =, daterange(from_on, to_on, '[]') WITH &&)
);

CREATE TABLE consent (
    id               text PRIMARY KEY DEFAULT new_id('cs'),
    practice_id      text NOT NULL REFERENCES practice,
    patient_id       text NOT NULL REFERENCES patient,
    program          text NOT NULL,
    practitioner_id  text NOT NULL REFERENCES practitioner,
    granted_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    form             text NOT NULL,
    statements       text[] NOT NULL,
    language         text NOT NULL DEFAULT 'en',
    recorded_by      text REFERENCES app_user,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT consent_form_known CHECK (form IN ('verbal', 'written')),
    CONSTRAINT consent_statements_known
        CHECK (statements <@ ARRAY['availability', 'cost-sharing', 'one-practitioner', 'right-to-stop']),
    CONSTRAINT consent_revoked_after_grant CHECK (revoked_at IS NULL OR revoked_at >= granted_at)
);

CREATE TABLE care_plan (
    id           text PRIMARY KEY DEFAULT new_id('cp'),
    practice_id  text NOT NULL REFERENCES practice,
    patient_id   text NOT NULL REFERENCES patient,
    program      text NOT NULL,
    version      integer NOT NULL,
    content      jsonb NOT NULL DEFAULT '{}',
    approved_at  timestamptz,
    approved_by  text REFERENCES practitioner,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT care_plan_version_once UNIQUE (patient_id, program, version),
    CONSTRAINT care_plan_approval_whole CHECK ((approved_at IS NULL) = (approved_by IS NULL))
);

CREATE TABLE visit (
    id               text PRIMARY KEY DEFAULT new_id('vi'),
    practice_id      text NOT NULL REFERENCES practice,
    patient_id       text NOT NULL REFERENCES patient,
    kind             text NOT NULL,
    practitioner_id  text NOT NULL REFERENCES practitioner,
    at               timestamptz NOT NULL,
    discussed        text[] NOT NULL DEFAULT '{}',
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT visit_kind_known CHECK (kind IN ('e-m', 'awv', 'ippe', 'tcm'))
);

CREATE TABLE attestation (
    id               text PRIMARY KEY DEFAULT new_id('at'),
    practice_id      text NOT NULL REFERENCES practice,
    patient_id       text NOT NULL REFERENCES patient,
    kind             text NOT NULL,
    level            text,
    practitioner_id  text NOT NULL REFERENCES practitioner,
    on_date          date NOT NULL,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT attestation_kind_known CHECK (kind IN ('complex-mdm', 'extra-care-planning'))
);

CREATE TABLE designation (
    id               text PRIMARY KEY DEFAULT new_id('de'),
    practice_id      text NOT NULL REFERENCES practice,
    patient_id       text NOT NULL REFERENCES patient,
    program          text NOT NULL,
    lane             text,
    practitioner_id  text NOT NULL REFERENCES practitioner,
    from_on          date NOT NULL,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT designation_lane_known CHECK (lane IN ('staff', 'complex', 'practitioner'))
);

-- One person, one patient, start to end, one program. A second never counts twice: the exclusion constraint lets no
-- performer be in two live entries at once.
CREATE TABLE time_entry (
    id             text PRIMARY KEY DEFAULT new_id('te'),
    practice_id    text NOT NULL REFERENCES practice,
    patient_id     text NOT NULL REFERENCES patient,
    program        text,
    candidates     text[] NOT NULL DEFAULT '{}',
    performer_id   text NOT NULL,
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL,
    activity       text NOT NULL,
    live           boolean NOT NULL DEFAULT false,
    with_whom      text,
    part_of_visit  boolean NOT NULL DEFAULT false,
    in_person      boolean NOT NULL DEFAULT false,
    automated      boolean NOT NULL DEFAULT false,
    note           text NOT NULL,
    alert_id       text REFERENCES alert,
    message_ids    uuid[] NOT NULL DEFAULT '{}',
    recorded_by    text REFERENCES app_user,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    supersedes     text REFERENCES time_entry,
    reason         text,
    superseded_at  timestamptz,
    voided_at      timestamptz,
    CONSTRAINT time_entry_has_length CHECK (ended_at > started_at),
    CONSTRAINT time_entry_activity_known CHECK (activity IN ('live-call', 'data-review', 'coordination', 'care-plan',
        'medication', 'oversight', 'documentation', 'voicemail', 'text', 'scheduling', 'setup', 'clerical')),
    CONSTRAINT time_entry_with_known CHECK (with_whom IN ('patient', 'caregiver', 'other-clinician')),
    CONSTRAINT time_entry_live_has_counterpart CHECK (NOT live OR with_whom IS NOT NULL),
    CONSTRAINT time_entry_one_place_at_a_time EXCLUDE USING gist
        (performer_id WITH =, tstzrange(started_at, ended_at) WITH &&)
        WHERE (superseded_at IS NULL AND voided_at IS NULL)
);
CREATE INDEX time_entry_patient ON time_entry (patient_id, started_at);

-- The visible timer of one user and one patient, kept here so that a crash of the browser loses nothing. Unconfirmed
-- time of another patient stays as a paused row; at most one timer of a person runs.
CREATE TABLE work_timer (
    user_id        text NOT NULL REFERENCES app_user,
    practice_id    text NOT NULL REFERENCES practice,
    patient_id     text NOT NULL REFERENCES patient,
    program        text NOT NULL,
    alert_id       text REFERENCES alert,
    activity       text NOT NULL,
    started_at     timestamptz NOT NULL,
    running_since  timestamptz,
    last_input_at  timestamptz NOT NULL,
    pieces         jsonb NOT NULL DEFAULT '[]',
    draft          jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (user_id, patient_id)
);
CREATE UNIQUE INDEX work_timer_one_running ON work_timer (user_id) WHERE running_since IS NOT NULL;
COMMENT ON COLUMN work_timer.pieces IS 'Finished stretches: [{"start": …, "end": …, "program": …, "activity": …}], UTC.';

CREATE TABLE stay (
    id           text PRIMARY KEY DEFAULT new_id('sy'),
    practice_id  text NOT NULL REFERENCES practice,
    patient_id   text NOT NULL REFERENCES patient,
    kind         text NOT NULL,
    from_on      date NOT NULL,
    to_on        date,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stay_kind_known CHECK (kind IN ('inpatient', 'snf-part-a'))
);

-- Lines already claimed or met outside this run, ours or another practitioner's (ESRD and oversight come in this way).
CREATE TABLE known_service (
    id               text PRIMARY KEY DEFAULT new_id('sv'),
    practice_id      text NOT NULL REFERENCES practice,
    patient_id       text NOT NULL REFERENCES patient,
    code             text NOT NULL,
    from_on          date NOT NULL,
    to_on            date NOT NULL,
    practitioner_id  text NOT NULL,
    status           text NOT NULL,
    episode          text,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT known_service_status_known CHECK (status IN ('met', 'claimed', 'paid', 'denied'))
);

-- Hospice elections, global surgery, model alignments, discharges: rarer facts, kept in the shape of the billing
-- contract, one row a fact.
CREATE TABLE care_fact (
    id           text PRIMARY KEY DEFAULT new_id('cf'),
    practice_id  text NOT NULL REFERENCES practice,
    patient_id   text NOT NULL REFERENCES patient,
    kind         text NOT NULL,
    fact         jsonb NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT care_fact_kind_known CHECK (kind IN ('hospice', 'global_surgery', 'model', 'discharge'))
);

CREATE TABLE payer_profile (
    practice_id      text PRIMARY KEY REFERENCES practice,
    pack             text NOT NULL DEFAULT 'medicare-b',
    qualifying_apm   boolean NOT NULL DEFAULT false,
    locality         jsonb,
    date_of_service  text NOT NULL DEFAULT 'last-day'
);

-- Results, frozen: facts, pack and verdict together, so that any month can be run again to the same bytes.
CREATE TABLE adjudication (
    id              text PRIMARY KEY DEFAULT new_id('ad'),
    practice_id     text NOT NULL REFERENCES practice,
    patient_id      text NOT NULL REFERENCES patient,
    month           text NOT NULL,
    as_of           timestamptz NOT NULL,
    facts           jsonb NOT NULL,
    facts_digest    text NOT NULL,
    pack_digest     text NOT NULL,
    result          jsonb NOT NULL,
    result_digest   text NOT NULL,
    frozen_at       timestamptz,
    frozen_by       text REFERENCES app_user,
    supersedes      text REFERENCES adjudication,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT adjudication_month_shape CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$')
);
CREATE INDEX adjudication_patient_month ON adjudication (patient_id, month, created_at DESC);

SELECT protect_tenant_table(t)
FROM unnest(ARRAY['enrollment', 'consent', 'care_plan', 'visit', 'attestation', 'designation', 'time_entry', 'work_timer',
    'stay', 'known_service', 'care_fact', 'payer_profile', 'adjudication']::regclass[]) AS t;

GRANT SELECT, INSERT, UPDATE ON enrollment, consent, care_plan, visit, attestation, designation, time_entry, stay,
    known_service, care_fact, payer_profile TO vw_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON work_timer TO vw_web;
GRANT SELECT ON enrollment, consent, care_plan, visit, attestation, designation, time_entry, stay, known_service,
    care_fact, payer_profile TO vw_billing;
GRANT SELECT, INSERT ON adjudication TO vw_billing;
GRANT SELECT ON adjudication TO vw_web;
