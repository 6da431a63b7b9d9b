-- The sorting key goes on after the identity with the values, so that repeated rows collapse but an identity with
-- two values keeps both: merging must not destroy the evidence.
CREATE TABLE ticks
(
    server         LowCardinality(String),
    symbol         LowCardinality(String),
    time_msc       Int64   CODEC(DoubleDelta, ZSTD(1)),
    ordinal        UInt32  CODEC(T64, ZSTD(1)),
    bid            Float64 CODEC(Gorilla, ZSTD(1)),
    ask            Float64 CODEC(Gorilla, ZSTD(1)),
    last           Float64 CODEC(Gorilla, ZSTD(1)),
    volume_real    Float64 CODEC(Gorilla, ZSTD(1)),
    volume         UInt64  CODEC(T64, ZSTD(1)),
    flags          UInt32  CODEC(T64, ZSTD(1)),
    agent          LowCardinality(String),
    read_unix_ns   Int64   CODEC(Delta, ZSTD(1)),
    stored_unix_ns Int64   CODEC(Delta, ZSTD(1)),
    log_epoch      UInt64  CODEC(Delta, ZSTD(1)),
    log_seq        UInt64  CODEC(Delta, ZSTD(1)),
    INDEX by_log_seq log_seq TYPE minmax GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(time_msc, 'UTC'))
PRIMARY KEY (server, symbol, time_msc, ordinal)
ORDER BY (server, symbol, time_msc, ordinal, bid, ask, last, volume_real, volume, flags);

-- Ticks that were refused: `count` of them, after `prev` and up to `last`.
CREATE TABLE tick_quarantine
(
    server         LowCardinality(String),
    symbol         LowCardinality(String),
    prev_time_msc  Int64,
    prev_ordinal   UInt32,
    last_time_msc  Int64,
    last_ordinal   UInt32,
    count          UInt32,
    reason         LowCardinality(String),
    agent          LowCardinality(String),
    read_unix_ns   Int64,
    stored_unix_ns Int64,
    log_epoch      UInt64,
    log_seq        UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (server, symbol, log_epoch, log_seq);
