-- A zone nobody knows would make every reading of its patient unstorable: refuse it where it is written.

ALTER TABLE practice ADD CONSTRAINT practice_time_zone_known
    CHECK ((timestamptz '2026-01-01 00:00:00+00' AT TIME ZONE time_zone) IS NOT NULL);
ALTER TABLE patient_zone ADD CONSTRAINT patient_zone_known
    CHECK ((timestamptz '2026-01-01 00:00:00+00' AT TIME ZONE zone) IS NOT NULL);
