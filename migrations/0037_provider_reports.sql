-- What a provider says was used on a day, beside what was metered when it was compared. The newest report of a day
-- stands in the place of those before.
CREATE TABLE ledger_reconciliations (
  project TEXT NOT NULL, provider TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL, meter TEXT NOT NULL,
  reported_quantity BIGINT, metered_quantity BIGINT NOT NULL, reported_amount TEXT, metered_amount TEXT NOT NULL,
  unpriced_quantity BIGINT NOT NULL, outcome TEXT NOT NULL, compared_at BIGINT NOT NULL,
  PRIMARY KEY (project, provider, day, model, meter)
);
