-- Brokers, terminals, accounts and preferences as their PCs and people last agreed on them. Money is exact. What was
-- removed stays as a tombstone, for every PC to hear of.
CREATE SCHEMA reference;

CREATE TABLE reference.broker (
    broker_id                uuid           PRIMARY KEY,
    name                     varchar(100)   NOT NULL,
    server                   varchar(255)   NOT NULL,
    commission_per_lot       numeric(24, 8),
    spread_type              varchar(20)    NOT NULL CHECK (spread_type IN ('FIXED', 'VARIABLE')),
    margin_requirement       numeric(24, 8),
    -- A broker has thousands: more than 255 characters.
    currency_pairs_supported text[]         NOT NULL,
    created_at               timestamptz    NOT NULL,
    updated_at               timestamptz    NOT NULL,
    updated_by               text           NOT NULL,
    version                  bigint         NOT NULL CHECK (version > 0),
    removed                  boolean        NOT NULL
);

CREATE TABLE reference.instance (
    instance_id       uuid             PRIMARY KEY,
    path              varchar(255)     NOT NULL,
    status            varchar(20)      NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    broker_id         uuid             NOT NULL REFERENCES reference.broker,
    cpu_limit_percent double precision NOT NULL,
    memory_limit_mb   double precision NOT NULL,
    created_at        timestamptz      NOT NULL,
    updated_at        timestamptz      NOT NULL,
    updated_by        text             NOT NULL,
    version           bigint           NOT NULL CHECK (version > 0),
    removed           boolean          NOT NULL
);

CREATE INDEX instance_of_broker ON reference.instance (broker_id);

CREATE TABLE reference.account (
    account_id   uuid             PRIMARY KEY,
    broker_id    uuid             NOT NULL REFERENCES reference.broker,
    instance_id  uuid             REFERENCES reference.instance,
    account_type varchar(50)      NOT NULL CHECK (account_type IN ('DEMO', 'CONTEST', 'LIVE')),
    currency     varchar(10)      NOT NULL,
    leverage     double precision NOT NULL,
    balance      numeric(24, 8)   NOT NULL,
    equity       numeric(24, 8)   NOT NULL,
    status       varchar(20)      NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    login        bigint           NOT NULL,
    created_at   timestamptz      NOT NULL,
    updated_at   timestamptz      NOT NULL,
    updated_by   text             NOT NULL,
    version      bigint           NOT NULL CHECK (version > 0),
    removed      boolean          NOT NULL
);

CREATE INDEX account_of_broker ON reference.account (broker_id);
CREATE INDEX account_of_instance ON reference.account (instance_id);

-- user_id becomes a foreign key when there are users.
CREATE TABLE reference.user_preference (
    user_id               uuid        PRIMARY KEY,
    theme                 varchar(20) NOT NULL CHECK (theme IN ('DARK', 'LIGHT')),
    chart_type            varchar(20) NOT NULL CHECK (chart_type IN ('CANDLE', 'LINE', 'BAR')),
    notifications_enabled boolean     NOT NULL,
    language              varchar(5)  NOT NULL,
    auto_close_trades     boolean     NOT NULL,
    trade_confirmation    boolean     NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    updated_by            text        NOT NULL,
    version               bigint      NOT NULL CHECK (version > 0),
    removed               boolean     NOT NULL
);

-- Changes that were applied, so that one that is sent again changes nothing; forgotten after a week, when its version
-- tells that it is an old one.
CREATE TABLE reference.change (
    change_id  uuid        PRIMARY KEY,
    kind       text        NOT NULL,
    record_id  uuid        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX change_by_age ON reference.change (applied_at);

-- Versions on their way into ClickHouse, each until it is there.
CREATE TABLE reference.version (
    place     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text   NOT NULL,
    record    jsonb  NOT NULL
);
