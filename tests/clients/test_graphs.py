"""A graph of a language model over servers that speak OpenAI's API: vectors, passages, their order, and features of an entity."""

import datetime
import json

import openai
import pytest

from conftest import Server
from desk import ROUTE, UPSTREAM, Desk, client, nothing_wrong, prediction, remote, stand_in
from openai_server import embedding

KEY = "sk-graphs"
PASSAGES = [("p1", "Gates", "the gate closes 15 minutes before departure"),
            ("p2", "Bags", "a lost bag is traced for five days"),
            ("p3", "Snow", "snow on the wings is taken off before departure"),
            ("p4", "Batteries", "a power bank flies in the cabin")]
WORLD = """kind: source
name: passages
owner: desk
path: passages.parquet
format: parquet
columns:
  - {name: passage_id, type: text, classification: public}
  - {name: title, type: text, classification: public}
  - {name: body, type: text, classification: public}
  - {name: embedding, type: list, classification: public}
  - {name: written_at, type: timestamp, classification: public}
---
kind: source
name: desks
owner: desk
path: desks.parquet
format: parquet
columns:
  - {name: desk_id, type: text, classification: internal}
  - {name: name, type: text, classification: internal}
  - {name: open_calls, type: bigint, classification: internal}
  - {name: seen_at, type: timestamp, classification: internal}
---
kind: entity
name: passage
owner: desk
join_keys: [{name: passage_id, type: text}]
---
kind: entity
name: desk
owner: desk
join_keys: [{name: desk_id, type: text}]
---
kind: feature_view
name: passages
owner: desk
entity: passage
sources: [passages]
event_time: event_time
sql: SELECT passage_id, written_at AS event_time, title, body, embedding FROM passages
features:
  - {name: title, type: text}
  - {name: body, type: text}
  - {name: embedding, type: embedding, dimension: 64}
---
kind: feature_view
name: desks
owner: desk
entity: desk
sources: [desks]
event_time: event_time
sql: SELECT desk_id, seen_at AS event_time, name, open_calls FROM desks
features:
  - {name: name, type: text}
  - {name: open_calls, type: bigint}
---
kind: feature_schema
name: desks_v1
owner: desk
features: [{view: desks, feature: name}, {view: desks, feature: open_calls}]
---
kind: price_list
name: standard
owner: desk
currency: USD
prices:
  - {meter: requests, price: "1", from: 2013-01-01}
  - {meter: prompt_tokens, price: "0.0001", from: 2013-01-01}
  - {meter: output_tokens, price: "0.0001", from: 2013-01-01}
  - {meter: retrieval_calls, price: "10", from: 2013-01-01}
  - {meter: reranker_calls, price: "100", from: 2013-01-01}
"""
GRAPH = """nodes:
  - {name: vector, kind: embed, route: vectors, text: "{{question}}"}
  - {name: near, kind: retrieve, view: passages, feature: embedding, vector: vector, with: [title, body], count: 3}
  - {name: best, kind: rerank, route: order, query: "{{question}}", passages: near, passage: "{{title}}: {{body}}", count: 2}
  - {name: asker, kind: features, feature_schema: desks_v1, keys: {desk_id: "{{user}}"}}
messages:
  - {role: system, content: "{{asker.name}} has {{asker.open_calls}} calls open and asks. Answer from:\\n{{best}}"}
"""
pytestmark = pytest.mark.usefixtures("nothing_wrong")


def write_sources(folder):
    import pyarrow as arrow
    import pyarrow.parquet as parquet
    folder.mkdir(parents=True)
    at = arrow.array([datetime.datetime(2026, 1, 1)] * len(PASSAGES), arrow.timestamp("us"))
    parquet.write_table(arrow.table({
        "passage_id": [one[0] for one in PASSAGES], "title": [one[1] for one in PASSAGES], "body": [one[2] for one in PASSAGES],
        "embedding": arrow.array([embedding(one[2], 64) for one in PASSAGES], arrow.list_(arrow.float32())), "written_at": at,
    }), folder / "passages.parquet")
    parquet.write_table(arrow.table({
        "desk_id": ["d1", "d2"], "name": ["Tower Desk", "Gate Desk"], "open_calls": arrow.array([7, 2], arrow.int64()),
        "seen_at": at[:2]}), folder / "desks.parquet")


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):
    folder = tmp_path_factory.mktemp("graphs")
    data = folder / "data"
    data.mkdir()
    write_sources(data / "sources")
    (folder / "key").write_text(KEY + "\n")
    address = stand_in.url.removeprefix("http://").removesuffix("/v1")
    (data / "penstock.yaml").write_text(f"secrets:\n  stand-in: {{value: 'file:{folder}/key', hosts: ['{address}']}}\n")
    server = Server(data)
    server.start("127.0.0.1:0", "--sources", str(data / "sources"))
    one = Desk(server, folder)
    one.apply(WORLD)
    one.apply(UPSTREAM.format(name="stand-in", url=stand_in.url, more="api_key: secret:stand-in\n"))
    one.materialize()
    for route, model in (("vectors", "stand-in-embed"), ("order", "stand-in-rerank")):
        one.apply(ROUTE.format(model=route, more=""))
        one.start_release(route, one.register(route, remote(folder / route, f"upstream: stand-in\nmodel: {model}\n")))
    one.apply(ROUTE.format(model="assistant", more=""))
    version = remote(folder / "assistant", "upstream: stand-in\nmodel: stand-in-small\ncontext_tokens: 2000\noutput_tokens_max: 100\n")
    (version / "graph.yaml").write_text(GRAPH)
    one.start_release("assistant", one.register("assistant", version))
    yield one
    server.stop()


def ask(desk, question, **more):
    return client(desk).chat.completions.with_raw_response.create(
        model="assistant", messages=[{"role": "user", "content": question}], **more)


def told(stand_in) -> str:
    return json.loads(stand_in.last)["messages"][0]["content"]


def test_each_node_asks_its_server_and_the_model_is_told_what_they_gave(desk, stand_in):
    raw = ask(desk, "when is the gate closes before departure", user="d1")
    assert raw.parse().choices[0].message.content.endswith("before departure")
    said = told(stand_in)
    assert said.startswith("Tower Desk has 7 calls open and asks."), said
    first, second = said[said.index("[1]"):].split("[2]")
    assert "the gate closes 15 minutes before departure" in first and "snow on the wings" in second, said
    assert "power bank" not in said and "lost bag" not in said
    event = prediction(desk, raw.headers)
    assert event["retrieval_calls"] == 1 and event["reranker_calls"] == 1 and event["feature_micros"] > 0
    tasks = [json.loads(body) for body in stand_in.bodies]
    assert [sorted(task) for task in tasks[:2]] == [["input", "model"], ["documents", "model", "query", "top_n"]]
    assert len(tasks[1]["documents"]) == 3 and tasks[1]["documents"][0].startswith("Gates: "), tasks[1]


def test_features_are_of_who_asks(desk, stand_in):
    ask(desk, "where is my lost bag", user="d2")
    assert told(stand_in).startswith("Gate Desk has 2 calls open and asks.")
    raw = ask(desk, "where is my lost bag", user="nobody")
    assert told(stand_in).startswith(" has  calls open and asks."), "what is not known is written as nothing"
    assert prediction(desk, raw.headers)["error"] == ""


def test_calls_of_nodes_are_calls_of_their_routes(desk):
    token = desk.server.run("tokens", "create", "alone", "--actor", "user:alone", "--tenant", "alone", "--role", "developer").stdout.strip()
    client(desk, api_key=token).chat.completions.create(model="assistant", messages=[{"role": "user", "content": "snow on the wings"}])

    def calls():
        rows = desk.ask("GET", "/api/v1/costs?by=route,meter&tenant=alone").json()["rows"]
        return {tuple(row["keys"]): int(row["quantity"]) for row in rows}
    once = {("vectors", "requests"), ("order", "requests"), ("assistant", "requests"), ("assistant", "retrieval_calls"),
            ("assistant", "reranker_calls")}
    desk.server.wait(lambda: once <= set(calls()))
    assert {calls()[key] for key in once} == {1}


@pytest.mark.parametrize("faults, status, says", [
    ({"fail": 1, "status": 500}, 503, "node vector: upstream stand-in"),
    ({"fail": 1, "status": 400}, 502, "node vector: told to fail"),
    ({"garbage": True}, 503, "node vector"),
])
def test_a_node_that_fails_is_named(desk, stand_in, faults, status, says):
    desk.apply(ROUTE.format(model="vectors", more="retries: {attempts: 1}\n"))
    stand_in.set_faults(faults)
    with pytest.raises(openai.InternalServerError) as failed:
        ask(desk, "anything", user="d1")
    assert failed.value.code == "graph_failed" and "node vector" in failed.value.message, failed.value
    assert KEY not in failed.value.message
    stand_in.set_faults({})
    assert ask(desk, "anything", user="d1").parse().choices


def test_a_hard_budget_reserves_what_the_graph_costs(desk, stand_in):
    """One call may cost at most 1 + 10 + 100 and its tokens: a budget of 100 lets none in, though no token is that dear."""
    def budget(limit):
        desk.apply(f"kind: budget\nname: small\nowner: desk\nperiod: day\nroute: assistant\nlimit: '{limit}'\nhard: true\naction: stop\n")
    budget(100)
    before = stand_in.calls
    with pytest.raises(openai.RateLimitError) as refused:
        ask(desk, "anything", user="d1")
    assert refused.value.code == "insufficient_quota" and stand_in.calls == before
    budget(100_000)
    assert ask(desk, "anything", user="d1").parse().choices
