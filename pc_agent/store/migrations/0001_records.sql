-- The supporting tables. Money is DECIMAL where the first draft had FLOAT: 0.1 + 0.2 is 0.3 in an account.
-- DuckDB rewrites a row whose key, foreign key, indexed or list column changes, and refuses that while another row
-- refers to it: a broker's pairs are one text, parted by commas, and the ids of brokers and instances never change.

CREATE TABLE broker (
    broker_id                UUID           PRIMARY KEY,
    name                     VARCHAR(100)   NOT NULL,
    server                   VARCHAR(255)   NOT NULL,
    commission_per_lot       DECIMAL(24, 8),
    spread_type              VARCHAR(20)    NOT NULL CHECK (spread_type IN ('FIXED', 'VARIABLE')),
    margin_requirement       DECIMAL(24, 8),
    currency_pairs_supported VARCHAR        NOT NULL,
    created_at               TIMESTAMP      NOT NULL,
    updated_at               TIMESTAMP      NOT NULL,
    updated_by               VARCHAR        NOT NULL,
    version                  BIGINT         NOT NULL,
    removed                  BOOLEAN        NOT NULL
);

CREATE TABLE instance (
    instance_id       UUID         PRIMARY KEY,
    path              VARCHAR(255) NOT NULL,
    status            VARCHAR(20)  NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    broker_id         UUID         NOT NULL REFERENCES broker (broker_id),
    cpu_limit_percent DOUBLE       NOT NULL,
    memory_limit_mb   DOUBLE       NOT NULL,
    created_at        TIMESTAMP    NOT NULL,
    updated_at        TIMESTAMP    NOT NULL,
    updated_by        VARCHAR      NOT NULL,
    version           BIGINT       NOT NULL,
    removed           BOOLEAN      NOT NULL
);
CREATE INDEX instance_of_broker ON instance (broker_id);

CREATE TABLE account (
    account_id   UUID           PRIMARY KEY,
    broker_id    UUID           NOT NULL REFERENCES broker (broker_id),
    instance_id  UUID           REFERENCES instance (instance_id),
    account_type VARCHAR(50)    NOT NULL CHECK (account_type IN ('DEMO', 'CONTEST', 'LIVE')),
    currency     VARCHAR(10)    NOT NULL,
    leverage     DOUBLE         NOT NULL,
    balance      DECIMAL(24, 8) NOT NULL,
    equity       DECIMAL(24, 8) NOT NULL,
    status       VARCHAR(20)    NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    login        BIGINT         NOT NULL,
    created_at   TIMESTAMP      NOT NULL,
    updated_at   TIMESTAMP      NOT NULL,
    updated_by   VARCHAR        NOT NULL,
    version      BIGINT         NOT NULL,
    removed      BOOLEAN        NOT NULL
);
CREATE INDEX account_of_broker ON account (broker_id);

CREATE TABLE user_preference (
    user_id               UUID        PRIMARY KEY,
    theme                 VARCHAR(20) NOT NULL CHECK (theme IN ('DARK', 'LIGHT')),
    chart_type            VARCHAR(20) NOT NULL CHECK (chart_type IN ('CANDLE', 'LINE', 'BAR')),
    notifications_enabled BOOLEAN     NOT NULL,
    language              VARCHAR(5)  NOT NULL,
    auto_close_trades     BOOLEAN     NOT NULL,
    trade_confirmation    BOOLEAN     NOT NULL,
    created_at            TIMESTAMP   NOT NULL,
    updated_at            TIMESTAMP   NOT NULL,
    updated_by            VARCHAR     NOT NULL,
    version               BIGINT      NOT NULL,
    removed               BOOLEAN     NOT NULL
);

-- `credential` (credential_id, instance_id, account_id, broker_id, login_number, password, encryption_key_id,
-- backup_enabled, status, times) has its place here: a migration of its own, encrypted, and never part of any sync.

-- What was changed here and what became of it; `base` and `record` as JSON.
CREATE TABLE change (
    place     BIGINT    PRIMARY KEY,
    change_id UUID      NOT NULL UNIQUE,
    kind      VARCHAR   NOT NULL,
    record_id UUID      NOT NULL,
    base      VARCHAR,
    record    VARCHAR   NOT NULL,
    made_at   TIMESTAMP NOT NULL,
    state     VARCHAR   NOT NULL CHECK (state IN ('PENDING', 'SENT', 'APPLIED', 'MERGED', 'REFUSED')),
    outcome   VARCHAR   NOT NULL DEFAULT ''
);
