-- Measured with `suho bench storage` on recorded ticks (docs/performance.md): ZSTD finds in prices what Gorilla hides
-- from it (3.9 bytes a tick for bid and ask, not 9.4), and plain Delta serves times better than DoubleDelta.
-- Old parts take the new codecs as they merge.
ALTER TABLE ticks
    MODIFY COLUMN time_msc Int64 CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN utc_msc Int64 DEFAULT time_msc CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN bid Float64 CODEC(ZSTD(1)),
    MODIFY COLUMN ask Float64 CODEC(ZSTD(1)),
    MODIFY COLUMN last Float64 CODEC(ZSTD(1)),
    MODIFY COLUMN volume_real Float64 CODEC(ZSTD(1));
