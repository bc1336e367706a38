"""Features of every kind and nearest neighbours, as a caller with a terminal, HTTP or Feast's JSON meets them."""

import json
import urllib.request
from datetime import datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ITEMS = 40
VIEW = """
kind: source
name: items
owner: shop
path: items.parquet
columns:
  - {name: item, type: bigint, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: price, type: decimal, classification: public}
  - {name: listed, type: timestamp, classification: public}
  - {name: tags, type: list, classification: public}
  - {name: look, type: list, classification: public}
---
kind: entity
name: item
owner: shop
join_keys: [{name: item, type: bigint}]
---
kind: feature_view
name: items
owner: shop
entity: item
sources: [items]
sql: SELECT * FROM items
event_time: seen
features:
  - {name: price, type: decimal}
  - {name: listed, type: timestamp}
  - {name: tags, type: list<text>}
  - {name: look, type: embedding, dimension: 3}
"""


@pytest.fixture(scope="module")
def shop(server, tmp_path_factory):
    seen = datetime(2024, 5, 1, tzinfo=timezone.utc)
    pq.write_table(pa.table({
        "item": pa.array(range(ITEMS), pa.int64()),
        "seen": pa.array([seen] * ITEMS, pa.timestamp("us", "UTC")),
        "price": pa.array([Decimal(i) / 8 if i else None for i in range(ITEMS)], pa.decimal128(30, 10)),
        "listed": pa.array([datetime(2020, 1, 1 + i % 9, 12, 30) for i in range(ITEMS)], pa.timestamp("ns")),
        "tags": pa.array([[f"t{i % 3}", None] for i in range(ITEMS)], pa.list_(pa.string())),
        "look": pa.array([[i, 1, 0.1] for i in range(ITEMS)], pa.list_(pa.float32(), 3))}),
        server.data / "sources/items.parquet")
    declaration = tmp_path_factory.mktemp("shop") / "items.yaml"
    declaration.write_text(VIEW)
    applied = server.run("apply", str(declaration))
    assert applied.returncode == 0, applied.stderr
    moved = server.run("features", "materialize", "--until", "2024-06-01T00:00:00Z")
    assert moved.returncode == 0, moved.stderr
    return server


def ask(server, path: str, body: dict) -> dict:
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {
        "Authorization": f"Bearer {server.token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_a_terminal_shows_values_of_every_kind(shop):
    shown = shop.run("features", "get-online", "--feature", "items:price", "--feature", "items:listed",
                     "--feature", "items:tags", "--feature", "items:look", "--entity", "item=5").stdout
    lines = [line.split() for line in shown.splitlines()[1:]]
    assert [line[:2] for line in lines] == [["price", "0.625"], ["listed", "2020-01-06T12:30:00Z"],
                                            ["tags", '["t2",null]'], ["look", "[5E0,1E0,1E-1]"]]
    assert {line[2] for line in lines} == {"PRESENT"}
    assert shop.run("features", "verify", "items").stdout.startswith("40 entities, 160 values, 0 differ")


def test_feasts_json_says_them_too(shop):
    found = ask(shop, "/get-online-features", {"features": ["items:price", "items:listed", "items:tags", "items:look"],
                                               "entities": {"item": [0, 8, 99]}})
    _, price, listed, tags, look = found["results"]
    assert price["values"] == [None, "1", None]
    assert price["statuses"] == ["NULL_VALUE", "PRESENT", "NOT_FOUND"]
    assert listed["values"][1] == "2020-01-09T12:30:00Z" and tags["values"][1] == ["t2", None]
    assert look["values"] == [[0, 1, 0.1], [8, 1, 0.1], None]


def test_what_is_pushed_through_feasts_door_is_found_near(shop):
    row = {"item": [1000], "seen": ["2024-05-02T02:00:00+02:00"], "price": ["19.90"], "listed": [None],
           "tags": [["new"]], "look": [[5.25, 1, 0.1]]}
    ask(shop, "/push", {"push_source_name": "items", "df": row})
    found = ask(shop, "/api/v1/features:nearest", {
        "view": "items", "feature": "look", "vector": [5.2, 1, 0.1], "k": 3, "metric": "euclidean"})
    assert [one["entity"]["item"] for one in found["neighbours"]] == ["1000", "5", "6"]
    assert found["view"] == "items@1" and found["exact"] and found["rows"] == ITEMS + 1
    first = found["neighbours"][0]
    assert abs(first["distance"] - 0.05) < 1e-6 and first["event_time"] == "2024-05-02T00:00:00Z"
    assert first["age_seconds"] > 0


def test_a_terminal_finds_neighbours(shop, tmp_path):
    by_entity = shop.run("features", "nearest", "items:look", "--entity", "item=7", "-k", "2",
                         "--metric", "euclidean")
    assert by_entity.returncode == 0, by_entity.stderr
    lines = [line.split() for line in by_entity.stdout.splitlines()]
    assert lines[0][:2] == ["ENTITY", "DISTANCE"]
    assert [line[:2] for line in lines[1:]] == [["item=6", "1"], ["item=8", "1"]]
    (tmp_path / "vector.json").write_text("[7.2, 1, 0.1]\n")
    by_file = shop.run("features", "nearest", "items:look", "--vector", f"@{tmp_path / 'vector.json'}",
                       "--metric", "euclidean", "-k", "1", "--exact", "--where", "price=0.75")
    assert by_file.returncode != 0 and "filter.equals must be of type decimal" in by_file.stderr
    by_file = shop.run("features", "nearest", "items:look", "--vector", "7.2, 1, 0.1", "--metric", "euclidean",
                       "-k", "1", "--where", 'price="0.75"')
    assert by_file.returncode == 0, by_file.stderr
    assert by_file.stdout.splitlines()[1].startswith("item=6 ")


@pytest.mark.parametrize("arguments, says", [
    (["items", "--vector", "1"], "write VIEW:FEATURE"),
    (["items:look", "--vector", "1,x"], "element 2 is none"),
    (["items:look", "--vector", "1,2"], "vector must have 3 elements, as look is declared, not 2"),
    (["items:price", "--vector", "1"], "price of items@1 is of type decimal, not an embedding"),
    (["items:none", "--vector", "1"], "none is not a feature of items@1"),
    (["none:look", "--vector", "1"], "none"),
    (["items:look"], "vector must be given where entity is not"),
    (["items:look", "--vector", "1,2,3", "-k", "1001"], "k must be at most 1000"),
    (["items:look", "--vector", "1,2,3", "--metric", "far"], "metric must be one of cosine, dot, euclidean"),
    (["items:look", "--entity", "item=12345"], "item item=12345 has no look in view items@1"),
])
def test_a_question_that_is_none_is_told_why(shop, arguments, says):
    refused = shop.run("features", "nearest", *arguments)
    assert refused.returncode != 0
    assert says in refused.stderr, refused.stderr
