-- The tables of last-logout. See prisma/schema.prisma for what each column means.
-- CreateTable
CREATE TABLE "last_logout" (
    "user_id" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "all_sessions_at" TIMESTAMPTZ(3),
    "log_id" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "seq" BIGINT NOT NULL,

    CONSTRAINT "last_logout_pkey" PRIMARY KEY ("user_id")
);

-- CreateTable
CREATE TABLE "session_logout" (
    "session_id" TEXT NOT NULL,
    "user_id" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "ended" BOOLEAN NOT NULL,
    "log_id" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "seq" BIGINT NOT NULL,

    CONSTRAINT "session_logout_pkey" PRIMARY KEY ("session_id")
);

-- CreateTable
CREATE TABLE "tenant" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "domain" TEXT NOT NULL,
    "checkpoint" TEXT,
    "as_of" TIMESTAMPTZ(3),
    "sweep_from" TIMESTAMPTZ(3),
    "sweep_to" TIMESTAMPTZ(3),
    "floor_at" TIMESTAMPTZ(3),
    "floor_seq" BIGINT NOT NULL DEFAULT 0,
    "seq" BIGINT NOT NULL DEFAULT 0,
    "lease_owner" TEXT,
    "lease_until" TIMESTAMPTZ(3),
    "last_poll_at" TIMESTAMPTZ(3),

    CONSTRAINT "tenant_pkey" PRIMARY KEY ("id"),
    -- One database serves one tenant.
    CONSTRAINT "tenant_one_row" CHECK ("id" = 1)
);

-- CreateTable
CREATE TABLE "gap" (
    "id" BIGSERIAL NOT NULL,
    "from_at" TIMESTAMPTZ(3) NOT NULL,
    "to_at" TIMESTAMPTZ(3) NOT NULL,
    "reason" TEXT NOT NULL,
    "detected_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "gap_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "unattributable" (
    "id" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "entry" TEXT NOT NULL,
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "unattributable_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "last_logout_seq_idx" ON "last_logout"("seq");

-- CreateIndex
CREATE INDEX "session_logout_seq_idx" ON "session_logout"("seq");

-- CreateIndex
CREATE INDEX "session_logout_at_idx" ON "session_logout"("at");

-- CreateIndex
CREATE INDEX "unattributable_reason_received_at_idx" ON "unattributable"("reason", "received_at");

