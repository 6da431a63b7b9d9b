-- Orders of every kind, who executes for an account, trades that no signal stands for.

ALTER TABLE accounts
    ADD COLUMN margin_mode text NOT NULL DEFAULT 'NETTING' CHECK (margin_mode IN ('NETTING', 'EXCHANGE', 'HEDGING'));

-- Apart from the accounts, whose rows every commit locks. It lapses by this database's clock.
CREATE TABLE leases (
    account_id bigint      PRIMARY KEY REFERENCES accounts,
    agent      text        NOT NULL CHECK (agent <> ''),
    engine     text        NOT NULL CHECK (engine <> ''),
    until      timestamptz NOT NULL
);

ALTER TABLE orders
    DROP CONSTRAINT orders_volume_check,
    ALTER COLUMN side DROP NOT NULL,
    ADD COLUMN kind text NOT NULL DEFAULT 'MARKET',
    ADD COLUMN price numeric CHECK (price > 0),
    ADD COLUMN limit_price numeric CHECK (limit_price > 0),
    ADD COLUMN position bigint NOT NULL DEFAULT 0,
    ADD COLUMN opposite_position bigint NOT NULL DEFAULT 0,
    ADD COLUMN order_ticket bigint NOT NULL DEFAULT 0,
    ADD COLUMN expires_unix_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN deviation_points bigint NOT NULL DEFAULT 0,
    ADD COLUMN agent text NOT NULL DEFAULT '',
    -- Whose exposure it moves: who asked for it, or of a CLOSE who opened the position.
    ADD COLUMN holder text NOT NULL DEFAULT '',
    ADD COLUMN sent_unix_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN queued_unix_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN reported_unix_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN clock_offset_ns bigint NOT NULL DEFAULT 0;
UPDATE orders SET holder = strategy WHERE strategy <> '';
-- Changes buy and sell nothing: they have neither side nor volume.
ALTER TABLE orders ADD CONSTRAINT orders_trade CHECK (
    CASE WHEN kind IN ('MARKET', 'LIMIT', 'STOP', 'STOP_LIMIT', 'CLOSE') THEN side IN ('BUY', 'SELL') AND volume > 0
         ELSE side IS NULL AND volume = 0 END
);
-- A position's ticket is its first order's.
CREATE INDEX orders_of_ticket ON orders (account_id, ticket) WHERE ticket > 0;
CREATE INDEX orders_of_deal ON orders (account_id, deal) WHERE deal > 0;

ALTER TABLE reports
    ADD COLUMN sent_unix_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN queued_unix_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN reported_unix_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN clock_offset_ns bigint NOT NULL DEFAULT 0;

-- The ledger that a signal was handed to last; empty: none. Of old ones it is not known which.
ALTER TABLE outbox ADD COLUMN ledger text NOT NULL DEFAULT '';
UPDATE outbox SET ledger = '(not known)' WHERE delivered > 0;
ALTER TABLE outbox DROP COLUMN delivered;

-- Stops that were met, trades by hand, the agent's own closes, adoptions.
CREATE TABLE external_deals (
    id           bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id   bigint  NOT NULL REFERENCES accounts,
    deal         bigint  NOT NULL CHECK (deal > 0),
    cause        text    NOT NULL,
    order_ticket bigint  NOT NULL,
    position     bigint  NOT NULL,
    symbol       text    NOT NULL CHECK (symbol <> ''),
    side         text    NOT NULL CHECK (side IN ('BUY', 'SELL')),
    volume       numeric NOT NULL CHECK (volume > 0),
    price        numeric,
    profit       numeric NOT NULL,
    commission   numeric NOT NULL,
    swap         numeric NOT NULL,
    time_unix_ms bigint  NOT NULL,
    signal_id    text    NOT NULL,
    -- Whose exposure it moved; NULL: nobody's.
    holder       text,
    recorded_unix_ns bigint NOT NULL
);

-- An adoption bears the position's ticket, which may also be the number of a deal.
CREATE UNIQUE INDEX external_deals_of_account ON external_deals (account_id, deal, (cause = 'ADOPTED'));
