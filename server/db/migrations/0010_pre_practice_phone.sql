-- The number a patient calls, shown on the patient's own page. Written at set-up of the practice.

ALTER TABLE practice ADD COLUMN phone text;
