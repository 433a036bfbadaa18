-- How far the log has been reconciled, and what that found that polling had missed.
-- AlterTable
ALTER TABLE "tenant" ADD COLUMN "reconciled_to" TIMESTAMPTZ(3);
ALTER TABLE "tenant" ADD COLUMN "reconciled" BIGINT NOT NULL DEFAULT 0;

-- A gap that is found again, as after a crash, is the same gap.
-- CreateIndex
CREATE UNIQUE INDEX "gap_from_at_key" ON "gap"("from_at");

-- Unattributable entries beyond those that are kept.
-- CreateTable
CREATE TABLE "unattributable_excess" (
    "reason" TEXT NOT NULL,
    "day" DATE NOT NULL,
    "count" BIGINT NOT NULL,

    CONSTRAINT "unattributable_excess_pkey" PRIMARY KEY ("reason","day")
);
