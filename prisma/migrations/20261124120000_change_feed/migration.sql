-- What tells the change feed of this database from another's.
-- AlterTable
ALTER TABLE "tenant" ADD COLUMN "feed_id" UUID NOT NULL DEFAULT gen_random_uuid();

-- Whoever follows the change feed is woken by every commit that moves it or its freshness.
CREATE FUNCTION "notify_last_logout"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('last_logout', '');
  RETURN NULL;
END $$;

CREATE TRIGGER "tenant_notify" AFTER UPDATE ON "tenant" FOR EACH ROW
WHEN ((OLD."seq", OLD."as_of") IS DISTINCT FROM (NEW."seq", NEW."as_of"))
EXECUTE FUNCTION "notify_last_logout"();
