-- Minutes of the newest generation's ticks, each once; every longer timeframe is made of them when it is asked for.
-- A minute is computed again, as a whole, whenever ticks of it are stored; the highest version stands. A minute that
-- lost its ticks to a correction stays with `ticks` 0. Spreads are infinite where no tick had a bid and an ask.
CREATE TABLE bars_m1
(
    server       LowCardinality(String),
    symbol       LowCardinality(String),
    open_msc     Int64   CODEC(DoubleDelta, ZSTD(1)),
    close_msc    Int64   CODEC(DoubleDelta, ZSTD(1)),
    open         Float64 CODEC(Gorilla, ZSTD(1)),
    high         Float64 CODEC(Gorilla, ZSTD(1)),
    low          Float64 CODEC(Gorilla, ZSTD(1)),
    close        Float64 CODEC(Gorilla, ZSTD(1)),
    ticks        UInt64  CODEC(T64, ZSTD(1)),
    volume       Float64 CODEC(Gorilla, ZSTD(1)),
    spread_min   Float64 CODEC(Gorilla, ZSTD(1)),
    spread_close Float64 CODEC(Gorilla, ZSTD(1)),
    version      UInt64  CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(open_msc, 'UTC'))
ORDER BY (server, symbol, open_msc);
