-- Each part of a signal's way bears one name everywhere.
ALTER TABLE orders RENAME COLUMN sent_unix_ns TO called_unix_ns;
ALTER TABLE orders RENAME COLUMN done_unix_ns TO answered_unix_ns;
ALTER TABLE orders RENAME COLUMN reported_unix_ns TO recorded_unix_ns;
ALTER TABLE reports RENAME COLUMN sent_unix_ns TO called_unix_ns;
ALTER TABLE reports RENAME COLUMN done_unix_ns TO answered_unix_ns;
