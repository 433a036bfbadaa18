-- What `last-logout forget` leaves of a person: rows whose ids are keyed hashes, until no token can be concerned.
-- The key is never changed: without it, no hash could be found again.
-- AlterTable
ALTER TABLE "tenant" ADD COLUMN "forget_key" UUID NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE "tenant" ADD COLUMN "forgotten_at" TIMESTAMPTZ(3);

-- AlterTable
ALTER TABLE "last_logout" ADD COLUMN "forgotten_at" TIMESTAMPTZ(3);

-- AlterTable
ALTER TABLE "session_logout" ADD COLUMN "forgotten_at" TIMESTAMPTZ(3);
