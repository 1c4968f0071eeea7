-- Entries that were corrected or voided are few, and only they can overlap another entry of the same person: what
-- stands is kept apart by time_entry_one_place_at_a_time. Billing looks for them as of a past instant.

CREATE INDEX time_entry_ended ON time_entry (performer_id, started_at)
    WHERE superseded_at IS NOT NULL OR voided_at IS NOT NULL;
