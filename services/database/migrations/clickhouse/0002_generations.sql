-- A correction is a range of one symbol told anew: its ticks have a higher generation, its row in tick_corrections
-- comes after the last of them and makes it count.
ALTER TABLE ticks
    ADD COLUMN generation UInt32 CODEC(T64, ZSTD(1)),
    MODIFY ORDER BY (server, symbol, time_msc, ordinal, bid, ask, last, volume_real, volume, flags, generation);

-- UTC by the broker's zone rule, beside the server time as it came; and what is odd about a tick (TickMark's bits).
ALTER TABLE ticks
    ADD COLUMN utc_msc Int64 DEFAULT time_msc CODEC(DoubleDelta, ZSTD(1)),
    ADD COLUMN marks UInt32 CODEC(T64, ZSTD(1));

CREATE TABLE tick_corrections
(
    server         LowCardinality(String),
    symbol         LowCardinality(String),
    generation     UInt32,
    from_msc       Int64,
    to_msc         Int64,
    count          UInt64,
    reason         String,
    stored_unix_ns Int64,
    log_epoch      UInt64,
    log_seq        UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (server, symbol, generation, from_msc, to_msc, log_epoch, log_seq);

-- What was alerted on. The same id is the same incident.
CREATE TABLE tick_incidents
(
    id         String,
    at_unix_ms Int64,
    kind       LowCardinality(String),
    server     LowCardinality(String),
    symbol     LowCardinality(String),
    from_msc   Int64,
    to_msc     Int64,
    ticks      UInt64,
    detail     String,
    reporter   LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY id;
