-- The timeline that the last writer saw: after a promotion or a point-in-time restore it is another.
-- AlterTable
ALTER TABLE "tenant" ADD COLUMN "timeline" TEXT;

-- The server's timeline as pg_walfile_name() gives it; null where the server does not reveal it, as some
-- managed ones. pg_control_checkpoint() would show the old one until the next checkpoint.
CREATE FUNCTION "last_logout_timeline"() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;
