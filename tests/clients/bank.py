"""Entities of a bank and a feature of each: what tests of calls that read features by entity key begin with."""

import datetime

# A source, its entity and a feature view of them: {view}, with {feature} of each {key} since {time}.
VIEW = """kind: source
name: {source}
owner: bank
path: {source}.parquet
format: parquet
columns:
  - {{name: {key}, type: {key_type}, classification: internal}}
  - {{name: {time}, type: timestamp, classification: internal}}
  - {{name: {feature}, type: {type}, classification: confidential}}
---
kind: entity
name: {key}
owner: bank
join_keys: [{{name: {key}, type: {key_type}}}]
---
kind: feature_view
name: {view}
owner: bank
entity: {key}
sources: [{source}]
sql: SELECT {key}, {time}, {feature} FROM {source}
event_time: {time}
features: [{{name: {feature}, type: {type}}}]
---
"""
MEANS = VIEW.format(view="account_means", source="accounts", key="account", key_type="text", time="seen", feature="mean", type="double")
BEGIN = datetime.datetime(2026, 1, 1)


def write(sources, name, columns, time, times):
    """`name`.parquet of columns and the instants of its rows, BEGIN and so many hours later each."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet
    sources.mkdir(parents=True, exist_ok=True)
    since = arrow.array([BEGIN + datetime.timedelta(hours=hours) for hours in times], arrow.timestamp("us"))
    parquet.write_table(arrow.table({**columns, time: since}), sources / f"{name}.parquet")


def write_means(sources, means):
    write(sources, "accounts", {"account": list(means), "mean": list(means.values())}, "seen", [0] * len(means))
