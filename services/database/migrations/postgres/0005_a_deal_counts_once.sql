-- Deals that were attributed by their position alone: the order that made one may report it later.

CREATE INDEX external_deals_attributed ON external_deals (account_id, order_ticket)
    WHERE signal_id = '' AND holder IS NOT NULL;
