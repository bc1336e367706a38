"""Policies through the real program: what they refuse, to whom, and in which words."""

import json
import os

import pytest

os.environ.setdefault("MLFLOW_ENABLE_TELEMETRY", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
import requests  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import RestException  # noqa: E402

LICENCE = """kind: policy
name: licence
owner: legal
applies_to: [{action}]
severity: {severity}
message: No licence
models: ["licensed-*"]
sql: |
  SELECT v.urn AS subject, 'set licence' AS message
  FROM policy_subject AS s
    JOIN policy_model_versions AS v ON v.model = s.name AND v.version = s.version
  WHERE v.licence IS NULL
"""


@pytest.fixture(scope="module")
def world(server, tmp_path_factory):
    """The server, a folder, and ana and bo."""
    class World:
        folder = tmp_path_factory.mktemp("governance")
        data = server.data
        ana = server.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()
        bo = server.run("tokens", "create", "bo", "--actor", "user:bo", "--role", "approver").stdout.strip()

        @staticmethod
        def run(*arguments, token=None):
            return server.run(*arguments, token=token)

        def ask(self, method, path, body=None):
            return requests.request(method, server.url + path, json=body,
                                    headers={"Authorization": f"Bearer {server.token}"}, timeout=60)

        def apply(self, text):
            path = self.folder / "declared.yaml"
            path.write_text(text)
            return server.run("apply", str(path))

        def register(self, model_id, **more):
            path = self.folder / "record.json"
            record = {"model_id": model_id, "artifact_uri": "s3://somewhere/else", "owner": "ml", **more}
            path.write_text(json.dumps(record))
            return server.run("models", "register", "-f", str(path), token=self.ana)

    os.environ["MLFLOW_TRACKING_TOKEN"] = server.token
    mlflow.set_tracking_uri(server.url)
    return World()


def test_views_are_documented_and_defaults_are_readable_yaml(world):
    listed = world.run("policies", "views")
    assert listed.returncode == 0, listed.stderr
    assert "policy_model_versions" in listed.stdout and "policy_upstream" in listed.stdout
    columns = world.run("policies", "views", "policy_subject").stdout
    assert "purpose" in columns and "register, approve, release or read" in columns
    assert world.run("policies", "views", "policy_nothing").returncode == 1
    shown = world.run("policies", "show", "defaults").stdout
    assert shown.count("kind: policy") == 9
    assert world.apply(shown).returncode == 0  # what is shown can be saved, edited and applied
    again = world.run("policies", "install", "defaults")
    assert again.stdout.count("kept policy") == 9
    one = world.run("policies", "show", "version-has-owner").stdout
    assert "kind: policy" in one and "sql: |" in one
    assert world.apply(one).returncode == 0


@pytest.mark.parametrize("sql, says", [
    ("SELECT * FROM approvals", "reads approvals, which is no view"),
    ("SELECT * FROM tokens", "reads tokens"),
    ("SELECT * FROM policy_nothing", "reads policy_nothing"),
    ("SELECT nothing FROM policy_models", "cannot be run"),
    ("SELECT * FROM sqlite_master", "sqlite_master"),
    ("PRAGMA user_version", "must be one SELECT"),
    ("SELECT readfile('/etc/passwd')", "calls readfile"),
    ("SELECT 1; DROP TABLE approvals", "one statement"),
    ("WITH x AS (SELECT 1) SELECT * FROM x", "must be one SELECT"),
])
def test_a_policy_that_reads_anything_else_is_not_declared(world, sql, says):
    refused = world.apply(f"kind: policy\nname: bad\nowner: o\napplies_to: [release]\nmessage: m\nsql: \"{sql}\"\n")
    assert refused.returncode != 0
    assert says in refused.stderr, refused.stderr
    assert world.run("get", "policy", "bad").returncode != 0


def test_registering_is_refused_in_the_words_of_each_protocol(world):
    assert world.apply(LICENCE.format(action="register", severity="block")).returncode == 0
    # our own
    refused = world.register("licensed-a-v1")
    assert refused.returncode == 1
    assert "policy licence" in refused.stderr and "No licence: set licence" in refused.stderr
    # MLflow's
    client = MlflowClient()
    client.create_registered_model("licensed-b")
    with pytest.raises(RestException) as error:
        client.create_model_version("licensed-b", source="s3://somewhere/else")
    assert error.value.error_code == "RESOURCE_CONFLICT"
    assert "policy licence: No licence: set licence" in str(error.value)
    assert client.search_model_versions("name='licensed-b'") == []
    made = client.create_model_version("licensed-b", source="s3://somewhere/else",
                                       tags={"penstock.licence": "MIT"})
    assert str(made.version) == "1"
    # what it said is kept, and other models are not its business
    kept = world.run("policies", "results", "--subject", "model:licensed-b@v1", "--policy", "licence").stdout
    assert "register" in kept and "holds" in kept
    client.create_registered_model("free")
    assert str(client.create_model_version("free", source="s3://somewhere/else").version) == "1"


def test_a_dry_run_says_what_would_be_refused_and_keeps_nothing(world):
    assert world.apply(LICENCE.format(action="release", severity="block")).returncode == 0
    assert world.register("licensed-c-v1").returncode == 0
    before = world.ask("GET", "/api/v1/policies/results").json()["results"]
    checked = world.run("policies", "check", "model:licensed-c@v1", "--action", "release", "--route", "none")
    assert checked.returncode == 1
    assert "licence" in checked.stdout and "REFUSES" in checked.stdout and "would be refused" in checked.stdout
    assert "version-has-evaluation" in checked.stdout
    assert world.ask("GET", "/api/v1/policies/results").json()["results"] == before
    fine = world.run("policies", "check", "model:licensed-c@v1", "--action", "read")
    assert fine.returncode == 0, fine.stdout
    assert world.run("policies", "check", "nonsense").returncode == 2
    assert world.run("policies", "check", "model:m@v1", "--action", "deploy").returncode == 2


def test_an_approval_is_refused_and_a_warning_is_kept(world):
    # a run with a metric is an evaluation
    with mlflow.start_run() as run:
        mlflow.log_metric("rmse", 0.5)
        mlflow.log_text("weights", "model/data")
    client = MlflowClient()
    client.create_registered_model("licensed-d")
    assert world.apply(LICENCE.format(action="approve", severity="block")).returncode == 0
    made = client.create_model_version("licensed-d", source=f"runs:/{run.info.run_id}/model", run_id=run.info.run_id)
    urn = f"model:licensed-d@v{made.version}"
    refused = world.run("approvals", "give", urn, "--for", "production", token=world.bo)
    assert refused.returncode == 1 and "policy licence" in refused.stderr, refused.stderr
    assert world.run("approvals", "show", urn).stdout.count("approved for") == 0
    assert world.apply(LICENCE.format(action="approve", severity="warn")).returncode == 0
    given = world.run("approvals", "give", urn, "--for", "production", token=world.bo)
    assert given.returncode == 0, given.stderr
    said = {one["policy"]: one for one in
            world.ask("GET", f"/api/v1/policies/results?subject={urn}").json()["results"] if one["action"] == "approve"}
    assert said["licence"]["outcome"] == "violated" and said["licence"]["allowed"]
    assert said["version-has-evaluation"]["outcome"] == "passed"
    assert said["licence"]["shown"] == [{"subject": urn, "message": "set licence"}]
    assert world.run("audit", "verify").returncode == 0


FREEZE = """kind: freeze
name: christmas
owner: platform
reason: nobody is here
applies_to: [{what}]
models: ["frozen-*"]
from: 2020-01-01T00:00:00Z
until: {until}
"""


def test_a_freeze_holds_an_approval_until_an_operator_lets_it_through(world):
    bad = world.apply("kind: freeze\nname: bad\nowner: o\nreason: r\ntime_zone: Mars/Olympus\n"
                      "weekly:\n  - {from: \"fri 4 pm\", until: \"mon 08:00\"}\n")
    assert bad.returncode != 0 and "weekly[0].from" in bad.stderr, bad.stderr
    assert world.apply(FREEZE.format(what="approve", until="2999-01-01T00:00:00Z")).returncode == 0
    listed = world.run("freezes", "list").stdout
    assert "christmas" in listed and "IN FORCE until 2999-01-01T00:00:00Z" in listed
    with mlflow.start_run() as run:
        mlflow.log_metric("rmse", 0.5)
        mlflow.log_text("weights", "model/data")
    client = MlflowClient()
    client.create_registered_model("frozen-a")
    made = client.create_model_version("frozen-a", source=f"runs:/{run.info.run_id}/model", run_id=run.info.run_id)
    urn = f"model:frozen-a@v{made.version}"
    held = world.run("approvals", "give", urn, "--for", "production", token=world.bo)
    assert held.returncode == 1
    assert "held by freeze christmas until 2999-01-01T00:00:00Z: nobody is here" in held.stderr
    assert f"penstock freezes override {urn}" in held.stderr
    # who may not break the glass, and how not to
    for token in (world.ana, world.bo):
        denied = world.run("freezes", "override", urn, "--reason", "it cannot wait", token=token)
        assert denied.returncode == 1 and "may not operate" in denied.stderr, denied.stderr
    assert world.run("freezes", "override", urn, "--reason", "short").returncode == 2
    assert world.run("freezes", "override", "route:desk", "--reason", "it cannot wait").returncode == 2
    assert world.run("approvals", "give", urn, "--for", "production", token=world.bo).returncode == 1
    opened = world.run("freezes", "override", urn, "--reason", "the other model is wrong")
    assert opened.returncode == 0 and "does not hold" in opened.stdout, opened.stderr
    assert world.run("approvals", "give", urn, "--for", "production", token=world.bo).returncode == 0
    incidents = world.run("incidents", "list").stdout
    assert f"lets {urn} through freeze christmas: the other model is wrong" in incidents
    # it ends by being changed
    assert world.apply(FREEZE.format(what="approve", until="2020-02-01T00:00:00Z")).returncode == 0
    assert "over" in world.run("freezes", "list").stdout
    nothing = world.run("freezes", "override", urn, "--reason", "there is no freeze")
    assert nothing.returncode == 1 and "no freeze is in force" in nothing.stderr


def test_a_policy_of_reads_stops_a_dataset(world):
    pandas = pytest.importorskip("pandas")
    sources = world.data / "sources"
    sources.mkdir(exist_ok=True)
    pandas.DataFrame({"id": [1, 2], "card": ["a", "b"]}).to_parquet(sources / "cards.parquet")
    assert world.apply("""kind: source
name: cards
owner: desk
path: cards.parquet
columns:
  - {name: id, type: bigint, classification: public}
  - {name: card, type: text, classification: restricted}
---
kind: policy
name: no-cards
owner: desk
applies_to: [read]
message: Cards stay where they are
sql: |
  SELECT u.urn AS subject, s.actor || ' wants them for ' || s.purpose AS message
  FROM policy_subject AS s CROSS JOIN policy_upstream AS u WHERE u.class_rank >= 3
""").returncode == 0
    body = {"name": "copy", "sql": "SELECT id FROM cards"}
    refused = world.ask("POST", "/api/v1/datasets", body)
    assert refused.status_code == 409, refused.text
    assert "Cards stay where they are: user:admin wants them for dataset:copy" in refused.json()["detail"]
    checked = world.run("policies", "check", "source:cards@1", "--action", "read", "--purpose", "dataset:copy")
    assert checked.returncode == 1 and "no-cards" in checked.stdout and "REFUSES" in checked.stdout


def test_a_policy_of_approvals_speaks_of_lower_classes_too(world):
    asked = world.run("sources", "lower-class", "cards", "card", "internal", "--reason", "test data", token=world.ana)
    assert asked.returncode == 0, asked.stderr
    assert world.apply("""kind: policy
name: no-lowering
owner: desk
applies_to: [approve]
message: Classes stay as they are
sql: SELECT s.urn AS subject FROM policy_subject AS s WHERE s.kind = 'source' AND s.name = 'cards'
""").returncode == 0
    refused = world.run("approvals", "give", "source:cards", "--for", "lower-class:card", token=world.bo)
    assert refused.returncode == 1 and "policy no-lowering" in refused.stderr, refused.stderr
    assert "restricted" in world.run("sources", "classes", "cards").stdout
