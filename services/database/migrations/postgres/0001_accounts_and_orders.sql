-- Accounts, orders, what happened to them, and the outbox from which signals are relayed.

CREATE TABLE accounts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server        text   NOT NULL CHECK (server <> ''),
    login         bigint NOT NULL CHECK (login > 0),
    trade_mode    text   NOT NULL CHECK (trade_mode IN ('DEMO', 'CONTEST', 'REAL')),
    trading_state text   NOT NULL CHECK (trading_state IN ('ACTIVE', 'REDUCING', 'HALTED')),
    state_reason  text   NOT NULL DEFAULT '',
    -- Moves with each intent, report and change of state: a risk decision holds only for the revision it saw.
    revision      bigint NOT NULL DEFAULT 1,
    -- From when the sequence counts: unix ms at which this row was made.
    epoch         bigint NOT NULL CHECK (epoch > 0),
    last_seq      bigint NOT NULL DEFAULT 0,
    UNIQUE (server, login)
);

CREATE TABLE orders (
    id                bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal_id         text    NOT NULL UNIQUE CHECK (signal_id <> ''),
    account_id        bigint  NOT NULL REFERENCES accounts,
    symbol            text    NOT NULL CHECK (symbol <> ''),
    side              text    NOT NULL CHECK (side IN ('BUY', 'SELL')),
    volume            numeric NOT NULL CHECK (volume > 0),
    stop_loss         numeric CHECK (stop_loss > 0),
    take_profit       numeric CHECK (take_profit > 0),
    strategy          text    NOT NULL DEFAULT '',
    state             text    NOT NULL,
    reason            text    NOT NULL DEFAULT '',
    message           text    NOT NULL DEFAULT '',
    -- Place in the account's order of signals; a denied order has none.
    seq               bigint  CHECK ((seq IS NULL) = (state = 'DENIED')),
    epoch             bigint  NOT NULL,
    ticket            bigint  NOT NULL DEFAULT 0,
    deal              bigint  NOT NULL DEFAULT 0,
    filled_volume     numeric NOT NULL DEFAULT 0 CHECK (filled_volume >= 0),
    filled_price      numeric,
    retcode           bigint  NOT NULL DEFAULT 0,
    not_after_unix_ms bigint  NOT NULL,
    submitted_unix_ns bigint  NOT NULL,
    committed_unix_ns bigint  NOT NULL,
    reported_unix_ns  bigint  NOT NULL DEFAULT 0,
    received_unix_ns  bigint  NOT NULL DEFAULT 0,
    intent_unix_ns    bigint  NOT NULL DEFAULT 0,
    sent_unix_ns      bigint  NOT NULL DEFAULT 0,
    done_unix_ns      bigint  NOT NULL DEFAULT 0,
    UNIQUE (account_id, epoch, seq)
);

CREATE INDEX orders_of_account ON orders (account_id, id);
CREATE INDEX orders_in_state ON orders (state, id);

-- What the filled and open orders of an account add up to; moved in the transaction that moves the order.
CREATE TABLE exposures (
    account_id     bigint  NOT NULL REFERENCES accounts,
    symbol         text    NOT NULL,
    strategy       text    NOT NULL,
    net_volume     numeric NOT NULL,
    open_orders    integer NOT NULL CHECK (open_orders >= 0),
    unknown_orders integer NOT NULL CHECK (unknown_orders >= 0),
    PRIMARY KEY (account_id, symbol, strategy)
);

CREATE TABLE reports (
    report_id         text    PRIMARY KEY CHECK (report_id <> ''),
    signal_id         text    NOT NULL REFERENCES orders (signal_id),
    state             text    NOT NULL,
    reason            text    NOT NULL,
    message           text    NOT NULL,
    ticket            bigint  NOT NULL,
    deal              bigint  NOT NULL,
    filled_volume     numeric NOT NULL,
    filled_price      numeric,
    retcode           bigint  NOT NULL,
    received_unix_ns  bigint  NOT NULL,
    intent_unix_ns    bigint  NOT NULL,
    sent_unix_ns      bigint  NOT NULL,
    done_unix_ns      bigint  NOT NULL,
    recorded_unix_ns  bigint  NOT NULL
);

CREATE INDEX reports_of_signal ON reports (signal_id);

-- One row for the commit and one for each report, also for a report that came too late to move the order.
CREATE TABLE order_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal_id   text   NOT NULL REFERENCES orders (signal_id),
    report_id   text   REFERENCES reports,
    state_before text,
    state_after text   NOT NULL,
    at_unix_ns  bigint NOT NULL
);

CREATE INDEX order_events_of_signal ON order_events (signal_id, id);

CREATE TABLE outbox (
    account_id bigint  NOT NULL REFERENCES accounts,
    epoch      bigint  NOT NULL,
    seq        bigint  NOT NULL,
    signal_id  text    NOT NULL UNIQUE REFERENCES orders (signal_id),
    -- How often it was handed to a relay.
    delivered  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, epoch, seq)
);
