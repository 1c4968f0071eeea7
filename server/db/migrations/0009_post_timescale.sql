-- timescaledb
-- Readings as a hypertable, where TimescaleDB can be had; on plain PostgreSQL the table stays a table and nothing else
-- differs. Chunks of a week keep the indexes of the weeks being written in memory. After thirty days nearly nothing
-- arrives late any more: older chunks become columnar, by patient and time, the way charts and billing read them.
-- Ten years are kept: the longest retention a payer asks for (Medicare Advantage, 42 CFR 422.504(d)).

CREATE EXTENSION IF NOT EXISTS timescaledb;

SELECT create_hypertable('observation', by_range('measured_at', INTERVAL '7 days'), migrate_data => true);

ALTER TABLE observation SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'patient_id',
    timescaledb.compress_orderby = 'measured_at DESC, message_id'
);

SELECT add_compression_policy('observation', INTERVAL '30 days');
SELECT add_retention_policy('observation', INTERVAL '10 years');
