-- Who did what, and who saw whose data: append-only, one hash chain a practice.

CREATE TABLE audit_head (
    practice_id  text PRIMARY KEY REFERENCES practice,
    seq          bigint NOT NULL,
    hash         bytea NOT NULL
);

CREATE TABLE audit (
    practice_id  text NOT NULL REFERENCES practice,
    seq          bigint NOT NULL,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    action       text NOT NULL,
    entity       text NOT NULL,
    entity_id    text NOT NULL,
    detail       jsonb NOT NULL DEFAULT '{}',
    prev         bytea NOT NULL,
    hash         bytea NOT NULL,
    PRIMARY KEY (practice_id, seq)
);
COMMENT ON COLUMN audit.detail IS 'Identifiers and field names only: never a value, a name or a note.';

CREATE FUNCTION audit_hash(prev bytea, practice text, seq bigint, at timestamptz, actor text, action text, entity text,
    entity_id text, detail jsonb) RETURNS bytea
LANGUAGE sql IMMUTABLE
AS $$
    SELECT sha256(prev || convert_to(jsonb_build_array(practice, seq, (extract(epoch FROM at) * 1000000)::bigint, actor,
        action, entity, entity_id, detail)::text, 'UTF8'))
$$;

CREATE FUNCTION audit_append() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
AS $$
DECLARE head audit_head;
BEGIN
    INSERT INTO audit_head VALUES (NEW.practice_id, 0, ''::bytea) ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM audit_head WHERE practice_id = NEW.practice_id FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.at := clock_timestamp();
    NEW.prev := head.hash;
    NEW.hash := audit_hash(NEW.prev, NEW.practice_id, NEW.seq, NEW.at, NEW.actor, NEW.action, NEW.entity, NEW.entity_id,
        NEW.detail);
    UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash WHERE practice_id = NEW.practice_id;
    RETURN NEW;
END $$;

CREATE FUNCTION audit_refuse() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER audit_append BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_append();
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- Rows whose hash does not follow from the row before; empty when nothing was touched. The last row is compared with
-- the head, so that a cut tail shows too.
CREATE FUNCTION audit_verify(practice text) RETURNS TABLE (seq bigint, problem text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
AS $$
    SELECT a.seq, 'hash'
    FROM (
        SELECT *, coalesce(lag(hash) OVER (ORDER BY seq), ''::bytea) AS expected_prev FROM audit WHERE practice_id = practice
    ) a
    WHERE a.prev <> a.expected_prev
       OR a.hash <> audit_hash(a.prev, a.practice_id, a.seq, a.at, a.actor, a.action, a.entity, a.entity_id, a.detail)
    UNION ALL
    SELECT h.seq, 'head'
    FROM audit_head h
    LEFT JOIN LATERAL (SELECT hash FROM audit WHERE practice_id = practice ORDER BY seq DESC LIMIT 1) t ON true
    WHERE h.practice_id = practice AND t.hash IS DISTINCT FROM h.hash
$$;

SELECT protect_tenant_table('audit');

GRANT INSERT, SELECT ON audit TO vw_ingest, vw_alerts, vw_web, vw_billing;
GRANT EXECUTE ON FUNCTION audit_verify(text) TO vw_web;
