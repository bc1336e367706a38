"""One server tells another what happened in it, as OpenLineage events; the other's lineage shows it."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import requests

from conftest import PENSTOCK, Server

WORLD = """
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
sql: SELECT id, seen_at, x * 2 AS doubled FROM rows
event_time: seen_at
features: [{{name: doubled, type: double}}]
---
kind: feature_schema
name: things_v1
owner: team:rows
features: [{{view: things, feature: doubled}}]
---
kind: pipeline
name: learning
owner: team:rows
description: A dataset, and what is learnt from it.
parameters: {{fails: "no"}}
files:
  train.py: |
    import json, os, sys
    if json.load(open(os.environ["PENSTOCK_PARAMETERS"]))["fails"] == "yes":
        sys.exit("it was to fail")
    open(os.environ["PENSTOCK_OUTPUT_MODEL"], "w").write("learnt")
steps:
  - name: examples
    dataset: {{name: things_examples, feature_schema: things_v1, entity_sql: "SELECT id, seen_at AS event_time FROM rows"}}
    outputs: [examples]
  - name: train
    command: [python3, train.py]
    inputs: [examples]
    outputs: [model]
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two servers: what happens in the first is told to the second."""
    one, other = (Server(tmp_path_factory.mktemp(name) / "data") for name in ("telling", "told"))
    other.start()
    one.data.mkdir()
    (one.data / "penstock.yaml").write_text(
        f"openlineage:\n  url: {other.url}\n  api_key: file:{other.data / 'admin.token'}\n")
    one.start()
    yield one, other
    one.stop()
    other.stop()


@pytest.fixture(scope="module")
def told(pair, tmp_path_factory):
    """A dataset, two runs of a pipeline, of which one fails, and a version: all told to the second server."""
    one, other = pair
    folder = tmp_path_factory.mktemp("world")
    (folder / "rows.csv").write_text("id,seen_at,x\n1,2026-01-01T00:00:00Z,2.5\n2,2026-01-02T00:00:00Z,3.5\n")
    (folder / "world.yaml").write_text(WORLD.format(rows=folder / "rows.csv"))

    def run(*arguments, code=0):
        done = one.run(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    run("apply", str(folder / "world.yaml"))
    run("datasets", "create", "snapshot", "--sql", "SELECT id, x FROM rows")
    run("pipelines", "run", "learning")
    run("pipelines", "run", "learning", "-p", "fails=yes", code=1)
    (folder / "record.yaml").write_text(json.dumps(
        {"model_id": "late", "artifact_uri": "s3://elsewhere/model", "training_data": "snapshot", "owner": "desk"}))
    run("models", "register", "-f", str(folder / "record.yaml"))
    Server.wait(lambda: any(event["job"]["name"] == "register/late" for event in events(other)))
    return one, other


def events(server) -> list[dict]:
    answer = requests.get(server.url + "/api/v1/events/lineage", params={"limit": 1000}, timeout=10,
                          headers={"Authorization": f"Bearer {server.token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]

def nodes_of(trace: str) -> set[str]:
    return {line.split("  ")[0].split(" ")[-1] for line in trace.splitlines() if line}


def ours(urn: str) -> str:
    """The node that the second server makes of a thing of the first."""
    return "dataset:penstock._3Adefault/" + urn.replace(":", "._3A").replace("@", "._40")


def test_what_happened_in_one_is_in_the_lineage_of_the_other(told):
    _, other = told
    trace = other.run("trace", ours("model:late@v1")).stdout
    assert "job:penstock._3Adefault/register/late" in trace, trace
    assert ours("dataset:snapshot@1") in trace and "job:penstock._3Adefault/dataset/snapshot" in trace, trace
    assert ours("source:rows@1") in trace, trace
    learnt = other.run("trace", ours("artifact:learning/model")).stdout
    for node in ("job:penstock._3Adefault/pipeline/learning.train", ours("dataset:things_examples@1"),
                 "job:penstock._3Adefault/pipeline/learning.examples", ours("feature_schema:things_v1@1")):
        assert node in learnt, learnt
    impact = other.run("impact", ours("feature_schema:things_v1@1") + "#doubled").stdout
    assert ours("dataset:things_examples@1") + "#doubled" in impact, impact


def test_nothing_is_lost_from_the_start_on(told):
    """The source and the dataset came in the first moments of the server."""
    _, other = told
    kinds = [(event["job"]["name"], event["eventType"]) for event in reversed(events(other))]
    assert kinds.count(("pipeline/learning", "START")) == 2
    assert kinds.count(("pipeline/learning", "COMPLETE")) == kinds.count(("pipeline/learning", "FAIL")) == 1
    assert kinds.count(("pipeline/learning.examples", "START")) == 2
    assert kinds.count(("pipeline/learning.train", "COMPLETE")) == 1
    assert kinds.count(("pipeline/learning.train", "FAIL")) == 1
    assert ("dataset/snapshot", "COMPLETE") in kinds and ("register/late", "COMPLETE") in kinds


def test_runs_are_rows_of_their_jobs(told):
    one, other = told
    done = json.loads(one.run("runs", "list", "--json").stdout)["runs"]
    (failed,) = (run for run in done if run["status"] == "failed")
    of_pipeline = [event for event in events(other) if event["eventType"] == "FAIL"
                   and event["job"]["name"] == "pipeline/learning"]
    run_id = of_pipeline[0]["run"]["runId"]
    assert of_pipeline[0]["run"]["facets"]["penstock"]["urn"] == f"run:{failed['id']}"
    assert "it was to fail" in of_pipeline[0]["run"]["facets"]["errorMessage"]["message"]
    trace = json.loads(other.run("trace", f"run:{run_id}", "--format", "json").stdout)
    assert trace["nodes"][0]["detail"]["state"] == "FAIL"
    steps = [event for event in events(other) if event["job"]["name"].startswith("pipeline/learning.")
             and event["run"]["facets"]["parent"]["run"]["runId"] == run_id]
    assert {event["eventType"] for event in steps} == {"START", "COMPLETE", "FAIL"}


def facet_classes():
    """Every facet that is sent, as openlineage-python writes it."""
    from openlineage.client.facet_v2 import (column_lineage_dataset, dataset_version_dataset, error_message_run,
                                             job_type_job, ownership_dataset, parent_run, schema_dataset,
                                             symlinks_dataset)
    return {"columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet,
            "version": dataset_version_dataset.DatasetVersionDatasetFacet,
            "errorMessage": error_message_run.ErrorMessageRunFacet, "jobType": job_type_job.JobTypeJobFacet,
            "ownership": ownership_dataset.OwnershipDatasetFacet, "parent": parent_run.ParentRunFacet,
            "schema": schema_dataset.SchemaDatasetFacet, "symlinks": symlinks_dataset.SymlinksDatasetFacet}


def made_by(cls, said):
    """An object of the class, and of the classes of its fields, by what was said: what does not fit raises."""
    import typing
    import attr
    fields = {field.name: field for field in attr.fields(cls)}
    hints = typing.get_type_hints(cls)

    def value_of(hint, value):
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if value is None:
            return None
        if origin is list:
            assert isinstance(value, list), value
            return [value_of(inner[0], one) for one in value]
        if origin is dict:
            return {key: value_of(inner[1], one) for key, one in value.items()}
        for one in inner or (hint,):
            if attr.has(one):
                return made_by(one, value)
            if typing.get_origin(one) in (list, dict):
                return value_of(one, value)
        return value

    assert set(said) <= set(fields), f"{cls.__name__} has no {set(said) - set(fields)}"
    given = {fields[name].alias: value_of(hints[name], value) for name, value in said.items() if fields[name].init}
    return cls(**given)


def test_every_event_is_one_that_openlineage_python_could_have_made(told):
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.serde import Serde
    _, other = told
    classes, seen = facet_classes(), set()

    def facets(said: dict) -> dict:
        out = {}
        for name, facet in said.items():
            assert facet["_producer"] and facet["_schemaURL"], name
            if name.startswith("penstock"):
                continue
            seen.add(name)
            out[name] = made_by(classes[name], facet)
            assert facet["_schemaURL"] == classes[name]._get_schema(), name
        return out

    for event in events(other):
        made = RunEvent(
            eventType=RunState[event["eventType"]], eventTime=event["eventTime"], producer=event["producer"],
            run=Run(runId=event["run"]["runId"], facets=facets(event["run"]["facets"])),
            job=Job(namespace=event["job"]["namespace"], name=event["job"]["name"],
                    facets=facets(event["job"]["facets"])),
            inputs=[InputDataset(namespace=one["namespace"], name=one["name"], facets=facets(one["facets"]))
                    for one in event["inputs"]],
            outputs=[OutputDataset(namespace=one["namespace"], name=one["name"], facets=facets(one["facets"]))
                     for one in event["outputs"]])
        again = json.loads(Serde.to_json(made))
        assert again["job"]["name"] == event["job"]["name"] and len(again["outputs"]) == len(event["outputs"])
    assert seen == set(classes)


def test_a_receiver_that_is_away_hears_it_later(told):
    one, other = told
    address = other.url.removeprefix("http://")
    other.stop()
    made = one.run("datasets", "create", "meanwhile", "--sql", "SELECT id FROM rows")
    assert made.returncode == 0, made.stderr
    other.start(address)
    Server.wait(lambda: any(event["job"]["name"] == "dataset/meanwhile" for event in events(other)))
    names = [event["job"]["name"] for event in events(other)]
    assert names.count("dataset/meanwhile") == 1


class Tls:
    """nginx that speaks TLS before a server, with a certificate of 127.0.0.1."""

    def __init__(self, folder: Path, url: str):
        self.certificate, key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=receiver", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", str(key), "-out", str(self.certificate)], check=True, capture_output=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log info;
            events {{}}
            http {{
              access_log {folder}/access.log; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
              fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
              server {{
                listen 127.0.0.1:{self.port} ssl;
                ssl_certificate {self.certificate}; ssl_certificate_key {key};
                location / {{ proxy_pass {url}; }}
              }}
            }}""")
        self.process = subprocess.Popen([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", str(folder / "nginx.conf"),
                                         "-e", str(folder / "error.log")], stderr=subprocess.DEVNULL)
        Server.wait(self.answers)
        self.url = f"https://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        assert self.process.poll() is None, "nginx ended at once"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def tls(told, tmp_path_factory):
    one = Tls(tmp_path_factory.mktemp("tls"), told[1].url)
    yield one
    one.stop()


def run_with(authority: Path | None, server, *arguments: str, url: str) -> subprocess.CompletedProcess:
    known = {"SSL_CERT_FILE": str(authority)} if authority else {}
    environment = {**os.environ, **known, "PENSTOCK_TOKEN": server.token}
    return subprocess.run([PENSTOCK, "--server", url, *arguments], capture_output=True, text=True, timeout=60,
                          env=environment)


def test_the_command_line_speaks_tls_and_knows_whom_it_speaks_to(told, tls):
    other = told[1]
    assert run_with(tls.certificate, other, "models", "list", url=tls.url).returncode == 0
    stranger = run_with(None, other, "models", "list", url=tls.url)
    assert stranger.returncode == 3 and "by an authority that this machine or SSL_CERT_FILE names" in stranger.stderr
    # The certificate is of 127.0.0.1 and of no other name for it.
    renamed = run_with(tls.certificate, other, "models", "list", url=f"https://localhost:{tls.port}")
    assert renamed.returncode == 3 and "with a certificate of localhost" in renamed.stderr
    plain = run_with(tls.certificate, other, "models", "list", url=other.url.replace("http:", "https:"))
    assert plain.returncode == 3
    assert "pst_" not in stranger.stderr + renamed.stderr + plain.stderr


def test_events_go_over_tls_to_the_receiver_alone(told, tls, tmp_path):
    other = told[1]
    teller = Server(tmp_path / "data")
    teller.data.mkdir()
    (teller.data / "penstock.yaml").write_text(
        f"openlineage:\n  url: {tls.url}\n  api_key: file:{other.data / 'admin.token'}\n")
    (tmp_path / "rows.csv").write_text("id\n1\n")
    (tmp_path / "source.yaml").write_text(
        f"kind: source\nname: few\nowner: me\npath: {tmp_path / 'rows.csv'}\nformat: csv\n"
        "columns: [{name: id, type: bigint, classification: public}]\n")

    def created(name: str) -> None:
        made = teller.run("datasets", "create", name, "--sql", "SELECT id FROM few")
        assert made.returncode == 0, made.stderr

    def jobs() -> list[str]:
        return [event["job"]["name"] for event in events(other)]

    teller.start()  # it knows no authority of that certificate: nothing is told, and nothing is lost
    try:
        assert teller.run("apply", str(tmp_path / "source.yaml")).returncode == 0
        created("over_tls")
        log = Path(tls.certificate.parent / "error.log")
        Server.wait(lambda: "unknown ca" in log.read_text())
        assert "dataset/over_tls" not in jobs()
    finally:
        teller.stop()
    os.environ["SSL_CERT_FILE"] = str(tls.certificate)
    try:
        teller.start()
    finally:
        del os.environ["SSL_CERT_FILE"]
    try:
        Server.wait(lambda: "dataset/over_tls" in jobs())
        created("and_another")
        Server.wait(lambda: "dataset/and_another" in jobs())
    finally:
        teller.stop()


def test_a_url_that_is_none_is_refused_at_the_start(tmp_path):
    (tmp_path / "penstock.yaml").write_text("openlineage:\n  url: marquez:5000\n")
    refused = subprocess.run([PENSTOCK, "serve", "--data", str(tmp_path), "--http", "127.0.0.1:0"], capture_output=True,
                             text=True, timeout=60)
    assert refused.returncode == 2 and "must begin with http:// or https://, and is marquez:5000" in refused.stderr
