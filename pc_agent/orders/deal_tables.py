"""The ledger's tables about deals, for its migrations."""

DEALS = """
-- Every deal of the accounts, as far as the terminal's history was read.
CREATE TABLE deal (
    server TEXT NOT NULL, login INTEGER NOT NULL,
    deal TEXT NOT NULL, time_msc INTEGER NOT NULL, row TEXT NOT NULL,  -- as JSON
    marked TEXT NOT NULL,  -- the signal whose mark it bears
    own TEXT NOT NULL,     -- the signal whose report tells the engine of it
    moved TEXT NOT NULL, cause TEXT NOT NULL, signal_id TEXT NOT NULL,  -- as External has them
    waiting INTEGER NOT NULL,  -- 1: to be told to the engine, which has not acknowledged it
    PRIMARY KEY (server, login, deal)
) WITHOUT ROWID;
CREATE INDEX deal_waiting ON deal (server, login, time_msc) WHERE waiting = 1;
CREATE INDEX deal_marked ON deal (marked) WHERE marked <> '';
CREATE INDEX deal_time ON deal (server, login, time_msc);
CREATE INDEX deal_external ON deal (server, login, time_msc) WHERE cause <> '';
CREATE TABLE holding (
    server TEXT NOT NULL, login INTEGER NOT NULL, position TEXT NOT NULL, symbol TEXT NOT NULL,
    owner TEXT NOT NULL, sharer TEXT NOT NULL, total TEXT NOT NULL, ours TEXT NOT NULL, changed_msc INTEGER NOT NULL,
    PRIMARY KEY (server, login, position)
) WITHOUT ROWID;
CREATE INDEX holding_open ON holding (server, login) WHERE total <> '0' OR ours <> '0';
-- Up to which second of the server's clock the deals are here.
CREATE TABLE deal_cursor (
    server TEXT NOT NULL, login INTEGER NOT NULL, time_s INTEGER NOT NULL,
    PRIMARY KEY (server, login)
) WITHOUT ROWID;
"""
REFUSED_DEALS = """
ALTER TABLE deal ADD COLUMN refused_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE deal ADD COLUMN refused_message TEXT NOT NULL DEFAULT '';
CREATE INDEX deal_refused ON deal (server, login, time_msc) WHERE refused_reason <> '';
"""
