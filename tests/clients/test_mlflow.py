"""The unmodified mlflow client against a server of our own: what a team does daily, by environment alone."""

import math
import os

import pytest

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException, RestException  # noqa: E402


@pytest.fixture
def client(server):
    os.environ["MLFLOW_TRACKING_TOKEN"] = server.token
    mlflow.set_tracking_uri(server.url)
    yield MlflowClient(server.url)
    del os.environ["MLFLOW_TRACKING_TOKEN"]


@pytest.fixture
def experiment(client, request):
    return client.create_experiment(request.node.name, tags={"team": "flights"})


def code_of(error) -> str:
    return error.value.error_code


def test_a_script_as_people_write_it(client, tmp_path):
    mlflow.set_experiment("script")
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_params({"depth": 3, "rate": 0.1})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.set_tag("kind", "try")
        with mlflow.start_run(nested=True, run_name="inner") as inner:
            mlflow.log_metric("loss", 9.0)
        (tmp_path / "notes.txt").write_text("read me")
        mlflow.log_artifact(str(tmp_path / "notes.txt"))
        mlflow.log_dict({"a": [1, 2]}, "deep/er/a.json")
        mlflow.log_text("", "empty.txt")
    kept = client.get_run(run.info.run_id)
    assert kept.info.run_name == "first" and kept.info.status == "FINISHED"
    assert kept.info.end_time >= kept.info.start_time > 1_600_000_000_000
    assert kept.data.params == {"depth": "3", "rate": "0.1"}
    assert kept.data.metrics == {"loss": 0.2}
    assert kept.data.tags["kind"] == "try" and kept.data.tags["mlflow.user"]
    assert client.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id
    assert [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, "loss")] == [
        (step, 1 / (step + 1)) for step in range(5)]
    assert sorted(f.path for f in client.list_artifacts(run.info.run_id)) == ["deep", "empty.txt", "notes.txt"]
    assert [f.path for f in client.list_artifacts(run.info.run_id, "deep/er")] == ["deep/er/a.json"]
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt") == "read me"
    assert mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/deep/er/a.json") == {"a": [1, 2]}
    there = client.download_artifacts(run.info.run_id, "", str(tmp_path))
    assert (tmp_path / "empty.txt").read_bytes() == b"" and there


def test_experiments(client, experiment):
    assert client.get_experiment("0").name == "Default"
    one = client.get_experiment(experiment)
    assert one.tags == {"team": "flights"} and one.lifecycle_stage == "active"
    client.set_experiment_tag(experiment, "team", "other")
    client.rename_experiment(experiment, "renamed")
    assert client.get_experiment_by_name("renamed").tags == {"team": "other"}
    assert client.get_experiment_by_name("no such name") is None
    with pytest.raises(RestException) as taken:
        client.create_experiment("renamed")
    assert code_of(taken) == "RESOURCE_ALREADY_EXISTS"
    run = client.create_run(experiment)
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    with pytest.raises(RestException) as gone:
        client.create_run(experiment)
    assert code_of(gone) == "INVALID_PARAMETER_VALUE"
    assert experiment in [e.experiment_id for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)]
    client.restore_experiment(experiment)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"
    found = client.search_experiments(filter_string="name LIKE 'ren%' AND tags.team = 'other'")
    assert [e.experiment_id for e in found] == [experiment]


def test_batches_and_numbers(client, experiment):
    run = client.create_run(experiment, run_name="numbers").info.run_id
    values = [0.1, 1e300, -1e-300, 5.0, math.nan, math.inf, -math.inf, 0.30000000000000004]
    client.log_batch(run, metrics=[Metric(f"m{i}", v, 1_700_000_000_000, i) for i, v in enumerate(values)],
                     params=[Param("p", "1"), Param("empty", "")], tags=[RunTag("t", "x" * 8_000)])
    kept = client.get_run(run).data
    for i, value in enumerate(values):
        got = kept.metrics[f"m{i}"]
        if math.isnan(value):
            assert math.isnan(got)
        elif math.isinf(value):
            assert abs(got) == 1.7976931348623157e308 and (got > 0) == (value > 0)
        else:
            assert got == value
    assert kept.params == {"p": "1", "empty": ""} and len(kept.tags["t"]) == 8_000
    client.log_metric(run, "late", 1.0, step=10)
    client.log_metric(run, "late", 2.0, step=3)
    assert client.get_run(run).data.metrics["late"] == 1.0
    client.log_param(run, "p", "1")
    with pytest.raises(MlflowException) as changed:
        client.log_param(run, "p", "2")
    assert "was already logged" in str(changed.value) and code_of(changed) == "INVALID_PARAMETER_VALUE"
    with pytest.raises(RestException) as mixed:  # nothing of a refused batch stays
        client.log_batch(run, metrics=[Metric("never", 1, 1, 1)], params=[Param("p", "3")])
    assert code_of(mixed) == "INVALID_PARAMETER_VALUE" and "never" not in client.get_run(run).data.metrics
    client.delete_tag(run, "t")
    assert "t" not in client.get_run(run).data.tags
    client.set_terminated(run, "KILLED", end_time=1_800_000_000_000)
    assert client.get_run(run).info.status == "KILLED" and client.get_run(run).info.end_time == 1_800_000_000_000


def test_errors_are_mlflows(client, server):
    import requests
    with pytest.raises(RestException) as unknown:
        client.get_run("0" * 32)
    assert code_of(unknown) == "RESOURCE_DOES_NOT_EXIST"
    bearer = {"Authorization": f"Bearer {server.token}"}
    for method, path, body, status, word in [
            ("post", "runs/create", "{", 400, "INVALID_PARAMETER_VALUE"),
            ("post", "runs/log-metric", '{"run_id":"a","key":"k","value":"x"}', 400, "INVALID_PARAMETER_VALUE"),
            ("post", "runs/log-metric", '{"key":"k","value":1}', 400, "INVALID_PARAMETER_VALUE"),
            ("get", "experiments/get?experiment_id=x", None, 400, "INVALID_PARAMETER_VALUE"),
            ("get", "no/such/route", None, 404, "RESOURCE_DOES_NOT_EXIST"),
            ("post", "runs/search", '{"experiment_ids":["0"],"filter":"metrics."}', 400, "INVALID_PARAMETER_VALUE"),
            ("post", "runs/search", '{"experiment_ids":["0"],"max_results":100000}', 400, "INVALID_PARAMETER_VALUE")]:
        answer = getattr(requests, method)(f"{server.url}/api/2.0/mlflow/{path}", data=body, headers=bearer)
        assert (answer.status_code, answer.json()["error_code"]) == (status, word), answer.text
    answer = requests.get(f"{server.url}/api/2.0/mlflow/experiments/get?experiment_id=0")
    assert answer.status_code == 401 and answer.json()["error_code"] == "UNAUTHENTICATED"
    basic = requests.get(f"{server.url}/api/2.0/mlflow/experiments/get?experiment_id=0", auth=("any", server.token))
    assert basic.status_code == 200
    for path in ("../up", "a//b", "a/./b"):
        answer = requests.Request("PUT", f"{server.url}/api/2.0/mlflow-artifacts/artifacts/", headers=bearer,
                                  data=b"x").prepare()
        answer.url += path
        assert requests.Session().send(answer).status_code in (400, 404)


def test_search(client, experiment):
    made = []
    for i in range(25):
        run = client.create_run(experiment, start_time=1_700_000_000_000 + i, run_name=f"run {i}",
                                tags={"even": str(i % 2 == 0), "a b": "spaced"}).info.run_id
        client.log_param(run, "depth", str(i % 3))
        if i % 5:
            client.log_metric(run, "acc", i / 100)
        made.append(run)

    def found(text="", order=None, **more):
        return [made.index(r.info.run_id) for r in client.search_runs([experiment], text, order_by=order, **more)]

    newest = list(range(24, -1, -1))
    assert found() == newest
    assert found("metrics.acc > 0.2 and params.depth = '0'") == [24, 21]
    assert found("tags.even = 'True' AND attributes.run_name LIKE 'run 1%'") == [18, 16, 14, 12, 10]
    assert found("tags.`a b` ILIKE 'SPA%' AND metrics.acc <= 0.02") == [2, 1]
    assert found("params.\"depth\" != '0' AND run_name LIKE 'run _'") == [8, 7, 5, 4, 2, 1]
    assert found(f"run_id = '{made[7]}'") == [7]
    assert found(f"run_id IN ('{made[7]}', '{made[3]}')") == [7, 3]
    assert found("start_time >= 1700000000023") == [24, 23]
    assert found("status = 'RUNNING'") == newest
    assert found("", ["metrics.acc ASC"])[-5:] == [20, 15, 10, 5, 0]
    assert found("", ["metrics.acc DESC"])[:3] == [24, 23, 22]
    assert found("", ["params.depth ASC", "start_time ASC"])[:4] == [0, 3, 6, 9]
    assert found("", ["attributes.start_time ASC"], max_results=3) == [0, 1, 2]
    pages, token = [], None
    while True:
        page = client.search_runs([experiment], order_by=["start_time ASC"], max_results=7, page_token=token)
        pages += [made.index(r.info.run_id) for r in page]
        token = page.token
        if not token:
            break
    assert pages == list(range(25))
    client.delete_run(made[3])
    assert 3 not in found() and found(run_view_type=ViewType.DELETED_ONLY) == [3]
    client.restore_run(made[3])
    assert 3 in found(run_view_type=ViewType.ACTIVE_ONLY)
    for wrong in ("metrics.acc LIKE 'a'", "acc > 1", "params.depth > '1'", "metrics.acc > 'x'", "status ="):
        with pytest.raises(RestException) as refused:
            found(wrong)
        assert code_of(refused) == "INVALID_PARAMETER_VALUE"


def test_what_was_logged_outlives_a_kill(client, experiment, server):
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "m", 1.5)
    client.log_text(run, "kept", "a/b.txt")
    server.process.kill()
    server.process.wait()
    server.start()
    again = MlflowClient(server.url)
    mlflow.set_tracking_uri(server.url)
    assert again.get_run(run).data.metrics == {"m": 1.5}
    assert again.get_run(run).info.status == RunStatus.to_string(RunStatus.RUNNING)
    assert mlflow.artifacts.load_text(f"runs:/{run}/a/b.txt") == "kept"


def test_scikit_learn_logged_and_loaded_again(client, experiment):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(1).normal(size=(200, 3))
    labels = (rows[:, 0] + rows[:, 1] > 0).astype(int)
    mlflow.set_experiment(experiment_id=experiment)
    mlflow.sklearn.autolog()
    try:
        with mlflow.start_run() as run:
            model = LogisticRegression(C=0.5).fit(rows, labels)
            mlflow.sklearn.log_model(model, name="by_hand")
    finally:
        mlflow.sklearn.autolog(disable=True)
    kept = client.get_run(run.info.run_id)
    assert kept.data.params["C"] == "0.5" and kept.data.metrics["training_accuracy_score"] > 0.9
    assert len(kept.outputs.model_outputs) == 2
    assert kept.inputs.dataset_inputs[0].tags[0].value == "train"
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/by_hand")
    assert (loaded.predict(rows) == model.predict(rows)).all()
    found = mlflow.search_logged_models([experiment], filter_string="name = 'by_hand'", output_format="list")
    assert [m.source_run_id for m in found] == [run.info.run_id] and found[0].status == "READY"
    client.set_logged_model_tags(found[0].model_id, {"stage": "try"})
    assert client.get_logged_model(found[0].model_id).tags["stage"] == "try"
    by_id = mlflow.pyfunc.load_model(f"models:/{found[0].model_id}")
    assert (by_id.predict(rows) == model.predict(rows)).all()
    client.delete_logged_model(found[0].model_id)
    with pytest.raises(RestException) as gone:
        client.get_logged_model(found[0].model_id)
    assert code_of(gone) == "RESOURCE_DOES_NOT_EXIST"
    frame = mlflow.search_runs([experiment], "datasets.context = 'train'")
    assert list(frame.run_id) == [run.info.run_id]


def test_metrics_of_logged_models_are_found_by_model_and_dataset(client, experiment):
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.http_dataset_source import HTTPDatasetSource

    held_out = MetaDataset(HTTPDatasetSource("http://localhost/held_out.csv"), name="held_out", digest="aaa")
    fresh = MetaDataset(HTTPDatasetSource("http://localhost/fresh.csv"), name="fresh", digest="bbb")
    mlflow.set_experiment(experiment_id=experiment)
    with mlflow.start_run() as run:
        models = {name: mlflow.create_external_model(name=name, source_run_id=run.info.run_id) for name in "abc"}
        for name, on_held_out, on_fresh in (("a", 0.9, 0.5), ("b", 0.7, 0.8)):
            model_id = models[name].model_id
            mlflow.log_metric("auc", 0.1, step=1, model_id=model_id, dataset=held_out)
            mlflow.log_metrics({"auc": on_held_out}, step=2, model_id=model_id, dataset=held_out)
            mlflow.log_metric("auc", on_fresh, step=3, model_id=model_id, dataset=fresh)
    kept = client.get_logged_model(models["a"].model_id)
    assert [(m.step, m.value, m.dataset_name, m.run_id) for m in kept.metrics if m.step > 1] == [
        (2, 0.9, "held_out", run.info.run_id), (3, 0.5, "fresh", run.info.run_id)]
    assert client.get_run(run.info.run_id).data.metrics["auc"] == 0.8, "they are the run's own too"

    def found(filter_string=None, datasets=None, order_by=None):
        return "".join(m.name for m in mlflow.search_logged_models(
            [experiment], filter_string=filter_string, datasets=datasets, order_by=order_by, output_format="list"))

    assert sorted(found("metrics.auc > 0.6")) == ["a", "b"]
    assert found("metrics.auc > 0.6", [{"dataset_name": "fresh"}]) == "b"
    assert found("metrics.auc > 0.6", [{"dataset_name": "fresh", "dataset_digest": "other"}]) == ""
    assert sorted(found(None, [{"dataset_name": "held_out"}])) == ["a", "b"], "c was measured on nothing"
    assert found(order_by=[{"field_name": "metrics.auc", "ascending": False}]) == "bac", "by the newest; missing last"
    assert found(order_by=[{"field_name": "metrics.auc", "ascending": False, "dataset_name": "held_out"}]) == "abc"
    first = client.search_logged_models([experiment], max_results=1, order_by=[{"field_name": "metrics.auc"}])
    second = client.search_logged_models([experiment], max_results=2, order_by=[{"field_name": "metrics.auc"}],
                                         page_token=first.token)
    assert [m.name for m in first] + [m.name for m in second] == ["a", "b", "c"]
    with pytest.raises(MlflowException) as unknown:
        client.log_metric(run.info.run_id, "auc", 1.0, model_id="m-unknown")
    assert code_of(unknown) == "RESOURCE_DOES_NOT_EXIST"
    assert len(client.get_metric_history(run.info.run_id, "auc")) == 6, "what was refused left nothing"


def test_the_registry_as_people_use_it(client, experiment):
    import numpy as np
    from sklearn.linear_model import LinearRegression

    rows = np.arange(12.0).reshape(6, 2)
    model = LinearRegression().fit(rows, rows[:, 0])
    mlflow.set_experiment(experiment_id=experiment)
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(model, name="model", registered_model_name="arrivals")
        mlflow.sklearn.log_model(model, name="model", registered_model_name="arrivals")
    assert [v.version for v in client.search_model_versions("name='arrivals'", order_by=["version_number ASC"])] == \
        ["1", "2"]
    assert client.get_model_version("arrivals", "1").run_id == run.info.run_id
    client.set_registered_model_alias("arrivals", "champion", "1")
    assert client.get_model_version_by_alias("arrivals", "champion").version == "1"
    for uri in ("models:/arrivals/2", "models:/arrivals@champion"):
        assert np.allclose(mlflow.pyfunc.load_model(uri).predict(rows), rows[:, 0])
    client.set_registered_model_alias("arrivals", "champion", "2")
    assert client.get_registered_model("arrivals").aliases == {"champion": "2"}
    assert client.get_model_version("arrivals", "2").aliases == ["champion"]
    client.set_registered_model_tag("arrivals", "team", "ops")
    client.set_model_version_tag("arrivals", "2", "checked", "yes")
    client.update_registered_model("arrivals", "when flights arrive")
    client.update_model_version("arrivals", "2", "the second")
    kept = client.get_registered_model("arrivals")
    assert kept.tags == {"team": "ops"} and kept.description == "when flights arrive"
    assert kept.latest_versions[0].version == "2" and kept.latest_versions[0].description == "the second"
    assert [m.name for m in client.search_registered_models("tags.team = 'ops' and name LIKE 'arr%'")] == ["arrivals"]
    found = client.search_model_versions(f"run_id = '{run.info.run_id}' and tags.checked = 'yes'")
    assert [v.version for v in found] == ["2"]
    client.delete_registered_model_alias("arrivals", "champion")
    with pytest.raises(RestException) as missing:
        client.get_model_version_by_alias("arrivals", "champion")
    assert code_of(missing) == "INVALID_PARAMETER_VALUE"
    client.delete_model_version("arrivals", "1")
    with pytest.raises(RestException) as gone:
        client.get_model_version("arrivals", "1")
    assert code_of(gone) == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(RestException) as taken:
        client.create_registered_model("arrivals")
    assert code_of(taken) == "RESOURCE_ALREADY_EXISTS"
    client.delete_registered_model("arrivals")
    assert not client.search_registered_models("name = 'arrivals'")


def test_names_are_mlflows_and_may_change(client):
    for name in ("my model", "größe", "ends-in-v2", "50% off"):
        client.create_registered_model(name)
        assert client.create_model_version(name, "s3://m").name == name
        assert client.get_model_version(name, "1").source == "s3://m"
    client.set_registered_model_alias("my model", "best", "1")
    client.rename_registered_model("my model", "our model")
    assert client.get_model_version_by_alias("our model", "best").name == "our model"
    assert client.create_model_version("our model", "s3://m").version == "2"
    with pytest.raises(RestException) as gone:
        client.get_registered_model("my model")
    assert code_of(gone) == "RESOURCE_DOES_NOT_EXIST"
    assert client.create_registered_model("my model").latest_versions == []
    with pytest.raises(RestException) as taken:
        client.rename_registered_model("my model", "our model")
    assert code_of(taken) == "RESOURCE_ALREADY_EXISTS"
    for name in ("", "  ", "a/b", "a:b", "x" * 300):
        with pytest.raises(MlflowException):
            client.create_registered_model(name)
    client.copy_model_version("models:/our model/1", "copied")
    assert client.get_model_version_download_uri("copied", "1") == "s3://m"
    for alias in ("latest", "v1", "a b"):
        with pytest.raises(MlflowException):
            client.set_registered_model_alias("our model", alias, "1")


def test_stages_where_no_route_follows(client):
    client.create_registered_model("staged")
    for _ in range(3):
        client.create_model_version("staged", "s3://m")
    assert client.transition_model_version_stage("staged", "1", "production").current_stage == "Production"
    client.transition_model_version_stage("staged", "2", "Production", archive_existing_versions=True)
    assert {v.version: v.current_stage for v in client.get_latest_versions("staged")} == \
        {"1": "Archived", "2": "Production", "3": "None"}
    assert [v.version for v in client.get_latest_versions("staged", ["Production"])] == ["2"]
    for stage, archive in (("Nowhere", False), ("Archived", True)):
        with pytest.raises(RestException) as refused:
            client.transition_model_version_stage("staged", "3", stage, archive)
        assert code_of(refused) == "INVALID_PARAMETER_VALUE"


def test_many_threads_and_the_async_queue_log_to_one_run(client, experiment):
    from concurrent.futures import ThreadPoolExecutor

    run = client.create_run(experiment).info.run_id
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda step: client.log_metric(run, f"m{step % 4}", step, step=step), range(200)))
    for key in range(4):
        steps = sorted(point.step for point in client.get_metric_history(run, f"m{key}"))
        assert steps == list(range(key, 200, 4))
        assert client.get_run(run).data.metrics[f"m{key}"] == 196 + key
    for step in range(100):
        client.log_metric(run, "queued", step, step=step, synchronous=False)
    mlflow.flush_async_logging()
    assert len(client.get_metric_history(run, "queued")) == 100


def test_history_in_pages_and_what_charts_ask(client, experiment, server):
    import requests

    run = client.create_run(experiment).info.run_id
    for first in range(0, 2_000, 1_000):
        client.log_batch(run, [Metric("m", i / 7, 1_000 + i, i) for i in range(first, first + 1_000)])
    bearer = {"Authorization": f"Bearer {server.token}"}

    def get(path: str, **query):
        answer = requests.get(f"{server.url}/ajax-api/2.0/mlflow/{path}", params=query, headers=bearer)
        return answer.status_code, answer.json()

    steps, token = [], ""
    while token is not None:
        page = get("metrics/get-history", run_id=run, metric_key="m", max_results=300, page_token=token)[1]
        steps += [point["step"] for point in page["metrics"]]
        token = page.get("next_page_token")
    assert steps == list(range(2_000))
    bulk = get("metrics/get-history-bulk", run_id=[run, "0" * 32], metric_key="m", max_results=50)[1]["metrics"]
    assert [p["step"] for p in bulk] == list(range(50)) and bulk[0]["run_id"] == run
    sample = get("metrics/get-history-bulk-interval", run_ids=[run], metric_key="m", max_results=10)[1]["metrics"]
    assert len(sample) <= 10 and (sample[0]["step"], sample[-1]["step"]) == (0, 1_999)
    inner = get("metrics/get-history-bulk-interval", run_ids=run, metric_key="m", start_step=10, end_step=20)[1]
    assert [p["step"] for p in inner["metrics"]] == list(range(10, 21))
    for wrong in ({"run_ids": run, "metric_key": "m", "start_step": 1}, {"metric_key": "m"},
                  {"run_ids": run, "metric_key": "m", "max_results": 0}):
        assert get("metrics/get-history-bulk-interval", **wrong)[0] == 400
    assert get("metrics/get-history", run_id=run, metric_key="m", page_token="300")[0] == 400


def test_one_record_for_both(client, server, tmp_path):
    """What `penstock models register` wrote is there for MLflow, and the other way round."""
    record = tmp_path / "record.yaml"
    record.write_text("model_id: ticket-escalation-v4\nartifact_uri: s3://models/ticket-escalation/v4\n"
                      "owner: ml-platform\n")
    assert server.run("models", "register", "-f", str(record)).returncode == 0
    theirs = client.get_model_version("ticket-escalation", "4")
    assert theirs.source == "s3://models/ticket-escalation/v4"
    made = client.create_model_version("ticket-escalation", "s3://models/ticket-escalation/v5")
    assert made.version == "5"
    shown = server.run("models", "show", "ticket-escalation@v5", "--json")
    assert shown.returncode == 0 and "s3://models/ticket-escalation/v5" in shown.stdout
    assert server.run("audit", "verify").returncode == 0


def test_prompts_are_models(client):
    mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="first")
    mlflow.genai.register_prompt("greeting", "Good day, {{name}}")
    assert mlflow.genai.load_prompt("prompts:/greeting/1").template == "Hello {{name}}"
    assert mlflow.genai.load_prompt("prompts:/greeting/2").format(name="Ana") == "Good day, Ana"
