CREATE TABLE ledger_lines (
  project TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, meter TEXT NOT NULL,
  quantity BIGINT NOT NULL, at BIGINT NOT NULL, tenant TEXT NOT NULL, route TEXT NOT NULL,
  model TEXT NOT NULL, version BIGINT NOT NULL, release TEXT NOT NULL, pricing TEXT NOT NULL,
  price TEXT NOT NULL, per BIGINT NOT NULL, amount TEXT NOT NULL, price_list TEXT NOT NULL,
  PRIMARY KEY (project, source, id, meter)
);
-- Sums by hour (since the epoch): exact amounts are text, so a database cannot add them up itself.
CREATE TABLE ledger_totals (
  project TEXT NOT NULL, hour BIGINT NOT NULL, tenant TEXT NOT NULL, route TEXT NOT NULL,
  model TEXT NOT NULL, version BIGINT NOT NULL, meter TEXT NOT NULL, quantity BIGINT NOT NULL,
  amount TEXT NOT NULL, PRIMARY KEY (project, hour, tenant, route, model, version, meter)
);
