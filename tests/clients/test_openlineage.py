"""openlineage-python, unmodified, against a real server; what it sent is read back by our API and Marquez's."""

import gzip
import json
import subprocess
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest
import requests
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (Dataset, DatasetEvent, InputDataset, Job, JobEvent, OutputDataset, Run,
                                         RunEvent, RunState)
from openlineage.client.facet_v2 import (column_lineage_dataset, documentation_dataset, ownership_dataset,
                                         schema_dataset, source_code_location_job, tags_dataset)
from openlineage.client.transport.async_http import AsyncHttpConfig, AsyncHttpTransport
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport

WAREHOUSE = "postgres://warehouse:5432"
PRODUCER = "https://example.com/test"
T0 = datetime(2026, 5, 1, 10, 0, tzinfo=timezone.utc)


def client_of(server, compression=None, key=None):
    """As OPENLINEAGE_URL and OPENLINEAGE_API_KEY make it."""
    return OpenLineageClient(transport=HttpTransport(HttpConfig(
        url=server.url, auth=ApiKeyTokenProvider({"apiKey": key or server.token}), compression=compression)))


def run_event(state, job, run_id, minute, inputs=(), outputs=(), job_facets=None):
    return RunEvent(eventType=state, eventTime=(T0 + timedelta(minutes=minute)).isoformat(), producer=PRODUCER,
                    run=Run(runId=run_id), job=Job(namespace="etl", name=job, facets=job_facets or {}),
                    inputs=[InputDataset(namespace=WAREHOUSE, name=name) for name in inputs],
                    outputs=[one if isinstance(one, OutputDataset) else OutputDataset(namespace=WAREHOUSE, name=one)
                             for one in outputs])


def get(server, path, **query):
    return requests.get(server.url + path, params=query, timeout=10,
                        headers={"Authorization": f"Bearer {server.token}"})


def graph(server, node, depth=20):
    """{id: (type, ids of inEdges' origins)} as Marquez's own clients read it."""
    answer = get(server, "/api/v1/lineage", nodeId=node, depth=depth)
    assert answer.status_code == 200, answer.text
    nodes = answer.json()["graph"]
    ids = [one["id"] for one in nodes]
    assert len(ids) == len(set(ids)), "a node stands there twice"
    return {one["id"]: (one["type"], {edge["origin"] for edge in one["inEdges"]}) for one in nodes}


def dataset_id(name):
    return f"dataset:{WAREHOUSE}:{name}"


def count_events(server):
    return get(server, "/api/v1/events/lineage", limit=0).json()["totalCount"]


def test_start_and_complete_make_one_graph_that_is_walked_both_ways(server):
    client = client_of(server)
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    client.emit(run_event(RunState.START, "load", first, 0, inputs=["raw"]))
    client.emit(run_event(RunState.COMPLETE, "load", first, 1, outputs=["staged"]))
    client.emit(run_event(RunState.START, "report", second, 2, inputs=["staged"]))
    client.emit(run_event(RunState.COMPLETE, "report", second, 3, outputs=["mart"]))
    found = graph(server, dataset_id("mart"))
    assert found[dataset_id("mart")] == ("DATASET", {"job:etl:report"})
    assert found["job:etl:report"] == ("JOB", {dataset_id("staged")})
    assert found["job:etl:load"] == ("JOB", {dataset_id("raw")})
    assert dataset_id("mart") not in graph(server, dataset_id("raw"), depth=1)
    assert dataset_id("staged") in graph(server, dataset_id("raw"), depth=2)
    runs = get(server, "/api/v1/runlineage/upstream", runId=second).json()["runs"]
    assert [run["run"]["id"] for run in runs] == [second, first]


def test_a_repeat_and_complete_before_start_change_nothing(server):
    client = client_of(server)
    run_id = str(uuid.uuid4())
    complete = run_event(RunState.COMPLETE, "swapped", run_id, 9, outputs=["swapped_out"])
    client.emit(complete)
    client.emit(run_event(RunState.START, "swapped", run_id, 8, inputs=["swapped_in"]))
    before, found = count_events(server), graph(server, dataset_id("swapped_out"))
    for _ in range(3):
        client.emit(complete)
    assert count_events(server) == before
    assert graph(server, dataset_id("swapped_out")) == found
    assert found["job:etl:swapped"][1] == {dataset_id("swapped_in")}
    trace = get(server, "/api/v1/trace", urn=f"run:{run_id}").json()
    assert trace["nodes"][0]["detail"]["state"] == "COMPLETE"


def test_a_failed_run_is_seen_as_failed(server):
    client = client_of(server)
    run_id = str(uuid.uuid4())
    client.emit(run_event(RunState.START, "fails", run_id, 0, inputs=["raw"]))
    client.emit(run_event(RunState.FAIL, "fails", run_id, 1))
    assert get(server, "/api/v1/trace", urn=f"run:{run_id}").json()["nodes"][0]["detail"]["state"] == "FAIL"


def test_job_and_dataset_events_without_runs(server):
    client = client_of(server)
    client.emit(JobEvent(
        eventTime=T0.isoformat(), producer=PRODUCER,
        job=Job(namespace="etl", name="declared", facets={
            "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet(
                type="git", url="https://example.com/repo", version="abc123")}),
        inputs=[InputDataset(namespace=WAREHOUSE, name="declared_in")],
        outputs=[OutputDataset(namespace=WAREHOUSE, name="declared_out")]))
    client.emit(DatasetEvent(
        eventTime=T0.isoformat(), producer=PRODUCER,
        dataset=Dataset(namespace=WAREHOUSE, name="declared_in", facets={
            "documentation": documentation_dataset.DocumentationDatasetFacet(description="All orders."),
            "ownership": ownership_dataset.OwnershipDatasetFacet(
                owners=[ownership_dataset.Owner(name="team:orders", type="OWNER")]),
            "tags": tags_dataset.TagsDatasetFacet(tags=[
                tags_dataset.TagsDatasetFacetFields(key="pii", value="email", source="CONFIG", field="who")])})))
    found = graph(server, dataset_id("declared_out"))
    assert found["job:etl:declared"][1] == {dataset_id("declared_in")}
    urn = "dataset:postgres._.warehouse._3A5432/declared_in"
    node = get(server, "/api/v1/trace", urn=urn).json()["nodes"][0]
    assert node["owner"] == "team:orders"
    assert node["summary"] == "All orders."
    assert node["detail"]["external_tags"] == ["who pii:email"]
    trace = server.run("trace", "job:etl/declared", "--format", "json")
    assert json.loads(trace.stdout)["nodes"][0]["detail"]["code_version"] == "abc123"


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP])
def test_three_thousand_columns_with_their_lineage(server, compression):
    """Column by column, compressed or not; one is masked on its way."""
    name = f"wide_{compression}"
    field = column_lineage_dataset
    lineage = field.ColumnLineageDatasetFacet(fields={
        f"c{i}": field.Fields(inputFields=[field.InputField(
            namespace=WAREHOUSE, name="wide_in", field=f"c{i}",
            transformations=[field.Transformation(type="DIRECT", subtype="IDENTITY", masking=i == 7)])])
        for i in range(3000)})
    schema = schema_dataset.SchemaDatasetFacet(
        fields=[schema_dataset.SchemaDatasetFacetFields(name=f"c{i}", type="INT") for i in range(3000)])
    client_of(server, compression).emit(run_event(
        RunState.COMPLETE, name, str(uuid.uuid4()), 0, inputs=["wide_in"],
        outputs=[OutputDataset(namespace=WAREHOUSE, name=name, facets={"columnLineage": lineage, "schema": schema})]))
    answer = get(server, "/api/v1/column-lineage", nodeId=f"datasetField:{WAREHOUSE}:{name}:c5").json()["graph"]
    assert {one["id"] for one in answer} == {f"datasetField:{WAREHOUSE}:{name}:c5",
                                             f"datasetField:{WAREHOUSE}:wide_in:c5"}
    impact = server.run("impact", "dataset:postgres._.warehouse._3A5432/wide_in#c5", "--format", "json")
    urns = {node["urn"] for node in json.loads(impact.stdout)["nodes"]}
    assert f"dataset:postgres._.warehouse._3A5432/{name}#c5" in urns
    assert f"job:etl/{name}" in urns
    assert not any(urn.endswith("#c6") for urn in urns)


def test_an_unknown_facet_is_kept_as_it_came(server):
    odd = {"_producer": PRODUCER, "_schemaURL": "https://example.com/odd.json", "nested": {"x": [1, 2.5, None, "é"]}}
    event = {"eventType": "START", "eventTime": "2026-05-01T10:00:00Z", "producer": PRODUCER,
             "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
             "run": {"runId": str(uuid.uuid4()), "facets": {"odd": odd}}, "job": {"namespace": "etl", "name": "odd"}}
    answer = requests.post(server.url + "/api/v1/lineage", data=gzip.compress(json.dumps(event).encode()), timeout=10,
                           headers={"Authorization": f"Bearer {server.token}", "Content-Encoding": "gzip",
                                    "Content-Type": "application/json"})
    assert answer.status_code == 201
    events = get(server, "/api/v1/events/lineage", limit=1000).json()["events"]
    assert any(one["run"]["facets"].get("odd") == odd for one in events if "run" in one)


def test_the_asynchronous_transport_delivers(server):
    transport = AsyncHttpTransport(AsyncHttpConfig(url=server.url, auth=ApiKeyTokenProvider({"apiKey": server.token})))
    client = OpenLineageClient(transport=transport)
    run_id = str(uuid.uuid4())
    client.emit(run_event(RunState.START, "async", run_id, 0, inputs=["async_in"]))
    client.emit(run_event(RunState.COMPLETE, "async", run_id, 1, outputs=["async_out"]))
    assert transport.wait_for_completion(30)
    client.close()
    assert graph(server, dataset_id("async_out"))["job:etl:async"][1] == {dataset_id("async_in")}


def test_what_is_wrong_is_refused_by_name(server):
    good = {"eventType": "START", "eventTime": "2026-05-01T10:00:00Z", "producer": PRODUCER,
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": str(uuid.uuid4())}, "job": {"namespace": "etl", "name": "wrong"}}
    headers = {"Authorization": f"Bearer {server.token}"}

    def post(body, path="/api/v1/lineage", **more):
        return requests.post(server.url + path, timeout=10, headers={**headers, **more}, data=body)

    before = count_events(server)
    for change, field in [({"eventTime": "soon"}, "eventTime"), ({"producer": None}, "producer"),
                          ({"schemaURL": None}, "schemaURL"), ({"run": {"runId": "1"}}, "run.runId"),
                          ({"job": {"name": "x"}}, "job.namespace"), ({"eventType": "GO"}, "eventType"),
                          ({"inputs": [{"namespace": "n"}]}, "inputs[0].name")]:
        answer = post(json.dumps({**good, **change}))
        assert answer.status_code == 400, (change, answer.text)
        assert field in [one["field"] for one in answer.json()["violations"]], answer.text
    assert post("{").status_code == 400
    assert post(b"no gzip", **{"Content-Encoding": "gzip"}).status_code == 400
    assert post(json.dumps(good), Authorization="Bearer wrong").status_code == 401
    assert count_events(server) == before
    with pytest.raises(Exception, match="401"):
        client_of(server, key="wrong").emit(run_event(RunState.START, "x", str(uuid.uuid4()), 0))
    answer = post(json.dumps([good, {}, good]), "/lineage/batch")
    assert answer.status_code == 200
    assert answer.json()["status"] == "partial_success"
    assert answer.json()["summary"] == {"received": 3, "successful": 2, "failed": 1, "retriable": 0,
                                        "non_retriable": 1}
    assert answer.json()["failed_events"][0]["index"] == 1
    assert post(json.dumps(good), "/lineage").status_code == 201


def test_a_question_about_the_past_is_answered_as_of_then(server):
    client = client_of(server)
    client.emit(run_event(RunState.COMPLETE, "moves", str(uuid.uuid4()), 0, ["old_in"], ["moves_out"]))
    client.emit(run_event(RunState.COMPLETE, "moves", str(uuid.uuid4()), 60, ["new_in"], ["moves_out"]))
    urn = "dataset:postgres._.warehouse._3A5432/moves_out"
    then = server.run("trace", urn, "--as-of", "2026-05-01T10:30:00Z")
    now = server.run("trace", urn)
    assert "old_in" in then.stdout and "new_in" not in then.stdout, then.stdout + then.stderr
    assert "new_in" in now.stdout and "old_in" not in now.stdout, now.stdout + now.stderr


def test_pictures_are_drawn(server, tmp_path):
    import xml.etree.ElementTree as tree
    for command in ("trace", "impact"):
        file = tmp_path / f"{command}.svg"
        done = server.run(command, "dataset:postgres._.warehouse._3A5432/staged", "--format", "svg", "-o", str(file))
        assert done.returncode == 0, done.stderr
        root = tree.fromstring(file.read_text())
        text = " ".join(root.itertext())
        assert "staged" in text and ("load" in text or "report" in text)


def test_columns_are_followed_from_a_source_to_feature_schemas(server, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("id,seen_at,x\n1,2026-01-01T00:00:00Z,2.5\n")
    (tmp_path / "all.yaml").write_text(f"""
kind: source
name: rows
owner: team:rows
path: {rows}
format: csv
event_time: seen_at
columns:
  - {{name: id, type: bigint, classification: public}}
  - {{name: seen_at, type: timestamp, classification: public}}
  - {{name: x, type: double, classification: confidential}}
---
kind: entity
name: thing
owner: team:rows
join_keys: [{{name: id, type: bigint}}]
---
kind: feature_view
name: things
owner: team:rows
entity: thing
sources: [rows]
sql: SELECT id, seen_at, x * 2 AS doubled FROM rows WHERE id > 0
event_time: seen_at
features: [{{name: doubled, type: double}}]
---
kind: feature_schema
name: things_v1
owner: team:rows
features: [{{view: things, feature: doubled}}]
""")
    done = server.run("apply", str(tmp_path / "all.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    impact = server.run("impact", "source:rows#x")
    assert "feature_view:things@1#doubled" in impact.stdout, impact.stdout + impact.stderr
    assert "feature_schema:things_v1@1" in impact.stdout
    # id is read by WHERE and joins every row: all of the view hangs on it.
    assert "feature_view:things@1" in server.run("impact", "source:rows#id").stdout
