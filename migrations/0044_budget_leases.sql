-- What servers hold of hard budgets: each spends its portion without asking, and the ledger and all portions together
-- never pass the limit. period_from is the hour at which the budget's period began. holder is one life of a server.
-- running: the most that the calls cost which ran when the row was written last, and calls the first of them.
-- wanted: what a call needed and could not get, so that those who need nothing let go of what they hold.
-- unsettled: its server ended under these calls, and the ledger has nothing of them.
CREATE TABLE budget_leases (
  project TEXT NOT NULL, budget TEXT NOT NULL, period_from BIGINT NOT NULL, holder TEXT NOT NULL, server TEXT NOT NULL,
  amount TEXT NOT NULL, running TEXT NOT NULL, wanted TEXT NOT NULL, calls TEXT NOT NULL, renewed_at BIGINT NOT NULL,
  unsettled BOOLEAN NOT NULL,
  PRIMARY KEY (project, budget, period_from, holder)
);
