-- What one post brought of one call, as one row: its lines (entry 0) that differ in nothing but what their meters have.
-- `lines` is JSON, {"<meter>": [quantity, call_tokens, amount, price, per, price_entry, price_list], ...}: the last is
-- left out where it is that of the meter before, and all but the first two of what is unpriced. `meter` is the first of
-- them: meters of the call that come later, or that differ in more, have a row of their own. A (source, id, meter) stands
-- in one row of this table or of ledger_lines, which keeps older posts, shares and what corrections add.
CREATE TABLE ledger_calls (
  project TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, meter TEXT NOT NULL, at BIGINT NOT NULL,
  tenant TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL, release TEXT NOT NULL,
  mode TEXT NOT NULL, user_tag TEXT NOT NULL, experiment TEXT NOT NULL, upstream TEXT NOT NULL,
  upstream_model TEXT NOT NULL, posted_at BIGINT NOT NULL, lines TEXT NOT NULL,
  PRIMARY KEY (project, source, id, meter)
);
CREATE INDEX ledger_calls_at ON ledger_calls (project, at);
