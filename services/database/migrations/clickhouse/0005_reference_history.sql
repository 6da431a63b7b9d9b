-- How brokers, terminals and accounts became what they are: each version that PostgreSQL had, for analytics. Never
-- preferences, never credentials.
CREATE TABLE broker_history
(
    broker_id                UUID,
    name                     String,
    server                   LowCardinality(String),
    commission_per_lot       Nullable(Decimal(24, 8)),
    spread_type              LowCardinality(String),
    margin_requirement       Nullable(Decimal(24, 8)),
    currency_pairs_supported Array(String),
    created_at               DateTime64(3, 'UTC'),
    updated_at               DateTime64(3, 'UTC'),
    updated_by               LowCardinality(String),
    version                  UInt64,
    removed                  Bool
)
ENGINE = ReplacingMergeTree
ORDER BY (broker_id, version);

CREATE TABLE instance_history
(
    instance_id       UUID,
    path              String,
    status            LowCardinality(String),
    broker_id         UUID,
    cpu_limit_percent Float64,
    memory_limit_mb   Float64,
    created_at        DateTime64(3, 'UTC'),
    updated_at        DateTime64(3, 'UTC'),
    updated_by        LowCardinality(String),
    version           UInt64,
    removed           Bool
)
ENGINE = ReplacingMergeTree
ORDER BY (instance_id, version);

CREATE TABLE account_history
(
    account_id   UUID,
    broker_id    UUID,
    instance_id  Nullable(UUID),
    account_type LowCardinality(String),
    currency     LowCardinality(String),
    leverage     Float64,
    balance      Decimal(24, 8),
    equity       Decimal(24, 8),
    status       LowCardinality(String),
    login        UInt64,
    created_at   DateTime64(3, 'UTC'),
    updated_at   DateTime64(3, 'UTC'),
    updated_by   LowCardinality(String),
    version      UInt64,
    removed      Bool
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, version);
