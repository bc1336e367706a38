-- What each part of a split bill was measured with, as it was answered: a line's quantity is the share itself.
ALTER TABLE ledger_shares ADD COLUMN output TEXT NOT NULL DEFAULT '';
