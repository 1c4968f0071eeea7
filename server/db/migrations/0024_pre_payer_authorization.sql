-- A payer's authorisation of a code is a fact of the patient, as hospice and discharge are.

ALTER TABLE care_fact DROP CONSTRAINT care_fact_kind_known;
ALTER TABLE care_fact ADD CONSTRAINT care_fact_kind_known
    CHECK (kind IN ('hospice', 'global_surgery', 'model', 'discharge', 'authorization'));
