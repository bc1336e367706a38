"""MLflow's aliases and stages where a route follows them: views of the one record, moved by releases alone."""

import os
import uuid

import pytest

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
pytest.importorskip("onnx")
import numpy as np  # noqa: E402
import requests  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import RestException  # noqa: E402

PLAN = """kind: model
name: arrivals
owner: ml-platform
---
kind: route
name: desk
owner: desk
model: arrivals
entity_keys: []
unit: caller
output: variable
alias: champion
---
kind: release_plan
name: desk
owner: desk
plan:
  shadow: {calls: 0}
  canary: [5000]
  stage: {calls: 5}
  bake: {calls: 5}
  watch: {calls: 5}
  alpha: 0.000001  # who is drawn is chance: a version that is as good must not be rolled back by it here
  guards:
    - {name: wrong, quantity: wrong, safe_ratio: 1000}
"""


def trained(slope: float):
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    return to_onnx(LinearRegression().fit(rows, rows[:, 0] * slope), rows[:1])


def register(slope: float) -> str:
    """As a data scientist does, without a word of ours; gives the version."""
    with mlflow.start_run() as run:
        mlflow.log_metric("rmse", 0.5)
        info = mlflow.onnx.log_model(trained(slope), name="model", registered_model_name="arrivals")
    assert MlflowClient().get_model_version("arrivals", info.registered_model_version).run_id == run.info.run_id
    return str(info.registered_model_version)


def refused(call, *arguments) -> RestException:
    with pytest.raises(RestException) as error:
        call(*arguments)
    return error.value


def release_in(error: RestException) -> str:
    return error.message.split("release:")[1].split()[0]


@pytest.fixture(scope="module")
def people(server, tmp_path_factory):
    """ana writes, bo approves."""
    ana = server.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()
    declared = tmp_path_factory.mktemp("plan") / "plan.yaml"
    declared.write_text(PLAN)
    applied = server.run("apply", str(declared))
    assert applied.returncode == 0, applied.stderr
    os.environ["MLFLOW_TRACKING_USERNAME"] = "ana"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = ana
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment("arrivals")
    yield {"ana": ana}
    del os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]


def predict(server, value: float):
    body = {"id": uuid.uuid4().hex, "inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [value, value + 1]}],
            "parameters": {"caller": uuid.uuid4().hex}}
    return requests.post(f"{server.url}/v2/models/desk/infer", json=body,
                         headers={"Authorization": f"Bearer {server.token}"})


def test_an_alias_that_a_route_follows_moves_by_releases(server, people):
    client = MlflowClient()
    assert register(1.0) == "1"
    shown = server.run("models", "show", "arrivals@v1")
    assert shown.returncode == 0 and "rmse" in shown.stdout, shown.stdout
    assert not [line for line in shown.stdout.splitlines() if "declared" in line], shown.stdout

    # The gates come first: nobody has approved the version.
    gate = refused(client.set_registered_model_alias, "arrivals", "champion", "1")
    assert gate.error_code == "RESOURCE_CONFLICT" and "is not approved" in gate.message, gate.message
    approved = server.run("models", "approve", "arrivals@v1", "--for", "production")
    assert approved.returncode == 0, approved.stderr

    waits = refused(client.set_registered_model_alias, "arrivals", "champion", "1")
    assert waits.error_code == "RESOURCE_CONFLICT"
    assert "waits for the approval of 1 other than user:ana" in waits.message, waits.message
    first = release_in(waits)
    again = refused(client.set_registered_model_alias, "arrivals", "champion", "1")
    assert release_in(again) == first, "asked twice is one release"
    assert refused(client.get_model_version_by_alias, "arrivals", "champion").error_code == "INVALID_PARAMETER_VALUE"

    assert server.run("releases", "approve", first).returncode == 0
    assert client.get_model_version_by_alias("arrivals", "champion").version == "1"
    assert client.get_model_version("arrivals", "1").current_stage == "Production"
    assert predict(server, 3.0).status_code == 200, predict(server, 3.0).text
    client.set_registered_model_alias("arrivals", "champion", "1")  # where it is already
    client.transition_model_version_stage("arrivals", "1", "Production")
    for _ in range(20):
        predict(server, 1.0)
    server.wait(lambda: "closed" in server.run("releases", "show", first).stdout)


def test_a_second_version_takes_the_alias_when_it_promotes_and_gives_it_back_when_it_is_rolled_back(server, people):
    client = MlflowClient()
    assert register(1.0) == "2"
    assert server.run("models", "approve", "arrivals@v2", "--for", "production").returncode == 0
    waits = refused(client.transition_model_version_stage, "arrivals", "2", "Production", True)
    assert "stage Production of arrivals has not moved yet" in waits.message, waits.message
    second = release_in(waits)
    assert refused(client.set_registered_model_alias, "arrivals", "champion", "2").message.count(second) >= 1
    assert refused(client.delete_model_version, "arrivals", "2").error_code == "RESOURCE_CONFLICT"
    assert server.run("releases", "approve", second).returncode == 0
    assert client.get_model_version("arrivals", "2").current_stage == "Staging"
    assert client.get_model_version_by_alias("arrivals", "champion").version == "1"
    refused(client.delete_registered_model_alias, "arrivals", "champion")
    refused(client.delete_model_version, "arrivals", "1")
    refused(client.delete_registered_model, "arrivals")
    refused(client.transition_model_version_stage, "arrivals", "1", "Archived")

    def promoted() -> bool:
        """Both versions are as often wrong; one that is wrong 1,000 times as often would be seen at once."""
        made = [predict(server, 1.0 + i).json()["id"] for i in range(10)]
        labels = {"labels": [{"prediction": one, "value": 0.0} for one in made]}
        told = requests.post(f"{server.url}/api/v1/labels", json=labels,
                             headers={"Authorization": f"Bearer {server.token}"})
        assert told.status_code == 200, told.text
        return client.get_model_version_by_alias("arrivals", "champion").version == "2"

    server.wait(promoted)
    assert client.get_model_version_by_alias("arrivals", "champion").version == "2"
    stages = {v.version: v.current_stage for v in client.search_model_versions("name = 'arrivals'")}
    assert stages == {"1": "Archived", "2": "Production"}
    assert [v.version for v in client.get_latest_versions("arrivals", ["Production"])] == ["2"]

    back = server.run("releases", "rollback", second, "--reason", "try")
    if back.returncode == 0:  # it may have closed under the calls
        assert client.get_model_version_by_alias("arrivals", "champion").version == "1"
        assert client.get_model_version("arrivals", "1").current_stage == "Production"
        assert client.get_model_version("arrivals", "2").current_stage == "Archived"
    assert server.run("audit", "verify").returncode == 0


def test_other_aliases_and_stages_move_at_once(server, people):
    client = MlflowClient()
    version = register(1.0)
    client.set_registered_model_alias("arrivals", "challenger", version)
    assert client.get_model_version_by_alias("arrivals", "challenger").version == version
    assert client.transition_model_version_stage("arrivals", version, "Staging").current_stage == "Staging"
    client.delete_registered_model_alias("arrivals", "challenger")
    client.delete_model_version("arrivals", version)


def test_the_trace_goes_through_runs_to_datasets(server, people):
    import pandas

    frame = pandas.DataFrame({"x": [1.0, 2.0]})
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, name="flights 2013"), context="training")
        mlflow.log_metric("rmse", 0.25)
        mlflow.onnx.log_model(trained(2.0), name="model", registered_model_name="traced model")
    traced = server.run("trace", "model:traced~20model@v1")
    assert traced.returncode == 0, traced.stderr
    assert f"run:{run.info.run_id}" in traced.stdout and "dataset:flights~202013@" in traced.stdout, traced.stdout
    assert "MLflow run" in traced.stdout
