"""Batches of rows of many instants through a graph that reads features of its own: each row as of its instant, as one call of it would."""

import datetime

import pyarrow.parquet as parquet
import pytest

from bank import BEGIN, VIEW, write
from desk import ROUTE, desk_in
from test_table_graphs import graph

WORLD = VIEW.format(view="account_homes", source="accounts", key="account", key_type="text", time="seen", feature="home", type="bigint") + \
    VIEW.format(view="branch_ceilings", source="branches", key="branch", key_type="bigint", time="since", feature="ceiling", type="double") + \
    """kind: feature_schema
name: homes
owner: bank
features: [{view: account_homes, feature: home}]
---
kind: feature_schema
name: ceilings
owner: bank
inputs: [{name: rate, type: double, nullable: true}]
features:
  - {view: branch_ceilings, feature: ceiling}
  - {name: rated, type: double, expression: "ceiling * coalesce(rate, 1.0)"}
"""
GRAPH = """# Where the account is at home, and what that branch allows.
inputs:
  - {name: home, datatype: INT64}
nodes:
  - {name: branch, kind: features, feature_schema: ceilings, keys: {branch: home}}
  - {name: allowed, kind: expression, expression: "coalesce(rated, -1.0)", values: {rated: branch.rated}}
outputs:
  - {name: score, from: allowed}
"""
HOMES = [("a", 0, 1), ("a", 30, 2), ("b", 0, 2), ("c", 10, 3)]  # account, hour, branch
CEILINGS = [(1, 0, 100.0), (1, 20, 150.0), (2, 5, 300.0), (2, 40, 50.0)]  # branch, hour, ceiling; none of branch 3


def instant(hour):
    return BEGIN + datetime.timedelta(hours=hour)


def write_both(sources, ceilings):
    for name, key, time, value, rows in (("accounts", "account", "seen", "home", HOMES), ("branches", "branch", "since", "ceiling", ceilings)):
        write(sources, name, {key: [row[0] for row in rows], value: [row[2] for row in rows]}, time, [row[1] for row in rows])


def latest(rows, key, hour):
    """What stands there for `key` at that hour, or nothing."""
    found = [row for row in rows if row[0] == key and row[1] <= hour]
    return max(found, key=lambda row: row[1])[2] if found else None


def expected(account, hour, ceilings):
    found = latest(ceilings, latest(HOMES, account, hour), hour)
    return -1.0 if found is None else found


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph-batches")
    write_both(folder / "data" / "sources", CEILINGS)
    with desk_in(folder) as one:
        one.apply(WORLD)
        one.materialize()
        one.apply(ROUTE.format(model="allowed", more="feature_schema: homes\nentity_keys: [account]\nthreshold: 100\n"))
        one.start_release("allowed", one.register("allowed", graph(folder / "v1", GRAPH)))
        yield one


ROWS = [(account, hour) for hour in (1, 4, 5, 19, 20, 29, 30, 39, 40, 47) for account in ("a", "b", "c") if (account, hour >= 10) != ("c", False)]


def batch(desk, output):
    """What came of all rows in one batch, by row; and the answer of the call."""
    values = ", ".join(f"('{account}-{hour}', '{account}', TIMESTAMP '{instant(hour)}')" for account, hour in ROWS)
    answer = desk.ask("POST", "/api/v1/batch:score", {
        "route": "allowed", "output": output, "rows": f"SELECT * FROM (VALUES {values}) t(id, account, event_time)"}, token=desk.server.token)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    scores = {}
    for partition in made["partitions"]:
        path = next(path for path in desk.server.data.rglob("part.parquet") if partition["path"] in str(path))
        for row in parquet.ParquetFile(path).read().to_pylist():
            scores[row["id"]] = row["score"]
    return scores, made


def test_each_row_is_read_as_of_its_own_instant(desk):
    scores, made = batch(desk, "first")
    assert len(made["partitions"]) == 2 and made["rows"] == len(ROWS) == len(scores)
    assert scores == {f"{account}-{hour}": expected(account, hour, CEILINGS) for account, hour in ROWS}
    assert {-1.0, 100.0, 150.0, 300.0, 50.0} == set(scores.values()), "early, late, at the very instant, and of nobody"


def test_rows_that_online_still_knows_get_what_a_call_of_each_gets(desk):
    scores, _ = batch(desk, "second")
    asked = 0
    for account, hour in ROWS:
        if hour < 40:  # the store keeps the newest row of a branch, which begins then
            continue
        answer = desk.ask("POST", "/v2/models/allowed/infer", {
            "inputs": [{"name": "account", "datatype": "BYTES", "shape": [1], "data": [account]}],
            "parameters": {"event_time": instant(hour).isoformat() + "Z"}})
        assert answer.status_code == 200, answer.text
        said = {one["name"]: one["data"] for one in answer.json()["outputs"]}
        assert said["score"] == [scores[f"{account}-{hour}"]], (account, hour)
        asked += 1
    assert asked == 6


def test_the_same_again_is_published_once_and_what_the_graph_reads_is_part_of_the_input(desk):
    scores, made = batch(desk, "third")
    again, repeated = batch(desk, "third")
    assert made["published"] == 2 and repeated["published"] == 0 and again == scores
    assert [one["digest"] for one in made["partitions"]] == [one["digest"] for one in repeated["partitions"]]
    changed = [*CEILINGS[:-1], (2, 40, 75.0)]  # of the second day alone
    write_both(desk.server.data / "sources", changed)
    later, other = batch(desk, "third")
    assert later == {f"{account}-{hour}": expected(account, hour, changed) for account, hour in ROWS}
    assert other["published"] == 1, "the first day is what it was"
    assert [one["path"] for one in other["partitions"]][0] == [one["path"] for one in made["partitions"]][0]
