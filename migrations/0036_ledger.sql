-- A line stands for ever: nothing deletes one, so that an event that is told again after years is known.
-- entry 0 is the line as it was posted; each correction adds the next two: odd ones take back the line before
-- (a negative quantity and amount), even ones stand in its place.
CREATE TABLE ledger_lines_2 (
  project TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, meter TEXT NOT NULL, entry BIGINT NOT NULL,
  quantity BIGINT NOT NULL, at BIGINT NOT NULL, tenant TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL,
  version BIGINT NOT NULL, release TEXT NOT NULL, mode TEXT NOT NULL, user_tag TEXT NOT NULL,
  experiment TEXT NOT NULL, upstream TEXT NOT NULL, upstream_model TEXT NOT NULL, call_tokens BIGINT NOT NULL,
  pricing TEXT NOT NULL, price TEXT NOT NULL, per BIGINT NOT NULL, amount TEXT NOT NULL, price_list TEXT NOT NULL,
  price_entry BIGINT NOT NULL, posted_at BIGINT NOT NULL, correction TEXT NOT NULL,
  PRIMARY KEY (project, source, id, meter, entry)
);
INSERT INTO ledger_lines_2 SELECT project, source, id, meter, 0, quantity, at, tenant, route, model, version, release,
  CASE WHEN source = 'inference' THEN 'online' ELSE 'offline' END, '', '', '', '', 0, pricing, price, per, amount,
  price_list, -1, at, '' FROM ledger_lines;
DROP TABLE ledger_lines;
ALTER TABLE ledger_lines_2 RENAME TO ledger_lines;
CREATE INDEX ledger_lines_at ON ledger_lines (project, at);

-- Sums of lines by hour (since the epoch). An amount is whole + fraction / 10^12 with 0 <= fraction < 10^12, so that
-- databases add it up themselves and exactly.
CREATE TABLE ledger_hours (
  project TEXT NOT NULL, hour BIGINT NOT NULL, tenant TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL,
  version BIGINT NOT NULL, release TEXT NOT NULL, mode TEXT NOT NULL, user_tag TEXT NOT NULL,
  experiment TEXT NOT NULL, upstream TEXT NOT NULL, upstream_model TEXT NOT NULL, meter TEXT NOT NULL,
  pricing TEXT NOT NULL, quantity BIGINT NOT NULL, whole BIGINT NOT NULL, fraction BIGINT NOT NULL,
  PRIMARY KEY (project, hour, tenant, route, model, version, release, mode, user_tag, experiment, upstream,
               upstream_model, meter, pricing)
);
-- Of the sums that were kept before, whose releases and modes nobody kept. The amount's text is cut at its point:
-- rtrim() leaves what is up to it.
INSERT INTO ledger_hours
SELECT project, hour, tenant, route, model, version, '', '', '', '', '', '', meter, 'priced', quantity,
  CASE WHEN minus = 0 THEN digits WHEN rest = 0 THEN -digits ELSE -digits - 1 END,
  CASE WHEN minus = 0 OR rest = 0 THEN rest ELSE 1000000000000 - rest END
FROM (
  SELECT project, hour, tenant, route, model, version, meter, quantity, minus,
    CAST(CASE WHEN point = 0 THEN text ELSE substr(text, 1, point - 1) END AS BIGINT) AS digits,
    CASE WHEN point = 0 THEN 0
         ELSE CAST(substr(substr(text, point + 1) || '000000000000', 1, 12) AS BIGINT) END AS rest
  FROM (
    SELECT project, hour, tenant, route, model, version, meter, quantity, minus, text,
      length(rtrim(text, '0123456789')) AS point
    FROM (
      SELECT project, hour, tenant, route, model, version, meter, quantity,
        CASE WHEN amount LIKE '-%' THEN 1 ELSE 0 END AS minus, ltrim(amount, '-') AS text
      FROM ledger_totals) AS signs) AS points) AS parts;
DROP TABLE ledger_totals;
-- The same by less: what budgets are judged by, after each post.
CREATE TABLE ledger_spending (
  project TEXT NOT NULL, hour BIGINT NOT NULL, tenant TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL,
  whole BIGINT NOT NULL, fraction BIGINT NOT NULL, PRIMARY KEY (project, hour, tenant, route, model)
);
INSERT INTO ledger_spending
SELECT project, hour, tenant, route, model,
  CAST(SUM(whole) AS BIGINT) + CAST(SUM(fraction) AS BIGINT) / 1000000000000,
  CAST(SUM(fraction) AS BIGINT) % 1000000000000
FROM ledger_hours GROUP BY project, hour, tenant, route, model;

-- Why lines were taken back, by whom; one asked for again with the same id is the same one.
CREATE TABLE ledger_corrections (
  project TEXT NOT NULL, id TEXT NOT NULL, at BIGINT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
  digest TEXT NOT NULL, reversed BIGINT NOT NULL, reposted BIGINT NOT NULL, difference TEXT NOT NULL,
  PRIMARY KEY (project, id)
);
-- Costs that were split over who shares them. input is what was asked for.
CREATE TABLE ledger_shares (
  project TEXT NOT NULL, id TEXT NOT NULL, at BIGINT NOT NULL, actor TEXT NOT NULL, digest TEXT NOT NULL,
  input TEXT NOT NULL, PRIMARY KEY (project, id)
);
