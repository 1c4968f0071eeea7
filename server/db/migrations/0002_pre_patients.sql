-- Patients and what does not change often about them. Written by the web role.

CREATE TABLE patient (
    id                               text PRIMARY KEY DEFAULT new_id('pt'),
    practice_id                      text NOT NULL REFERENCES practice,
    name                             text NOT NULL,
    birth_on                         date,
    sex                              text,
    phone                            text,
    language                         text NOT NULL DEFAULT 'en',
    established_on                   date,
    qualified_medicare_beneficiary   boolean NOT NULL DEFAULT false,
    goal                             text,
    alert_profile                    jsonb NOT NULL DEFAULT '{}',
    created_at                       timestamptz NOT NULL DEFAULT now(),
    discharged_on                    date
);
COMMENT ON COLUMN patient.alert_profile IS 'Overrides of the alert rule set: {"kinds": ["hf"], "goal_sys": 125, …}.';
CREATE INDEX patient_practice ON patient (practice_id);
ALTER TABLE app_user ADD CONSTRAINT app_user_patient_fkey FOREIGN KEY (patient_id) REFERENCES patient;

-- The zone a patient lives in from a date on: it decides which calendar day a reading belongs to.
CREATE TABLE patient_zone (
    patient_id   text NOT NULL REFERENCES patient,
    practice_id  text NOT NULL REFERENCES practice,
    from_on      date NOT NULL,
    zone         text NOT NULL,
    PRIMARY KEY (patient_id, from_on)
);

CREATE TABLE patient_condition (
    id                 text PRIMARY KEY DEFAULT new_id('co'),
    practice_id        text NOT NULL REFERENCES practice,
    patient_id         text NOT NULL REFERENCES patient,
    icd10              text NOT NULL,
    chronic_12_months  boolean NOT NULL DEFAULT false,
    significant_risk   boolean NOT NULL DEFAULT false,
    attested_by        text REFERENCES practitioner,
    recorded_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT patient_condition_once UNIQUE (patient_id, icd10),
    CONSTRAINT patient_condition_icd10_shape CHECK (icd10 ~ '^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$')
);

CREATE TABLE medication_change (
    id           text PRIMARY KEY DEFAULT new_id('rx'),
    practice_id  text NOT NULL REFERENCES practice,
    patient_id   text NOT NULL REFERENCES patient,
    changed_on   date NOT NULL,
    description  text NOT NULL,
    recorded_by  text REFERENCES app_user,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);

SELECT protect_tenant_table(t)
FROM unnest(ARRAY['patient', 'patient_zone', 'patient_condition', 'medication_change']::regclass[]) AS t;

GRANT SELECT ON patient, patient_zone, patient_condition, medication_change TO vw_ingest, vw_alerts, vw_billing;
GRANT SELECT, INSERT, UPDATE ON patient, patient_zone, patient_condition, medication_change TO vw_web;
