-- When a reading became its patient's, as the alert engine counted it: alert_work forgets it with its row, and a replay
-- of changed rules over stored readings needs it. NULL: judged before this column was there.

ALTER TABLE observation_judgement ADD COLUMN arrived_at timestamptz;
