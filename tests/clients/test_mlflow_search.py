"""Every filter and order of MLflow's grammar, against MLflow's own evaluation of it over the same runs."""

import os
import random
from types import SimpleNamespace

import pytest

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException, RestException  # noqa: E402
from mlflow.utils.search_utils import (SearchExperimentsUtils, SearchModelUtils,  # noqa: E402
                                       SearchModelVersionUtils, SearchUtils)

SEED = int(os.environ.get("SEARCH_SEED", "1"))
ROUNDS = int(os.environ.get("SEARCH_ROUNDS", "300"))
TEXTS = ["a", "A", "ab", "a b", "a_b", "a%", "", "ä", "it''s", "x.y", "100", "Ab%c"]
NUMBERS = ["0", "1", "-1", "0.5", "1.0", "-0.25", "1e1", "2", "-3", ".5"]


@pytest.fixture(scope="module")
def client(server):
    os.environ["MLFLOW_TRACKING_TOKEN"] = server.token
    mlflow.set_tracking_uri(server.url)
    yield MlflowClient(server.url)
    del os.environ["MLFLOW_TRACKING_TOKEN"]


@pytest.fixture(scope="module")
def runs(client):
    """60 runs in all shapes, as the server gives them back."""
    chance = random.Random(SEED)
    experiment = client.create_experiment("searched")
    for number in range(60):
        run = client.create_run(experiment, run_name=chance.choice(["a", "ab", "Run 1", "run_2"]),
                                start_time=1_000 + chance.randrange(20)).info.run_id
        metrics = [Metric(key, chance.choice([0.0, 1.0, -1.0, 0.5, float("nan"), 2.0]), 1, 1)
                   for key in ("m", "m two", "deep/m") if chance.random() < 0.7]
        params = [Param(key, chance.choice(TEXTS)) for key in ("p", "p two") if chance.random() < 0.7]
        tags = [RunTag(key, chance.choice(TEXTS)) for key in ("t", "t.two", "T") if chance.random() < 0.7]
        client.log_batch(run, metrics, params, tags)
        if chance.random() < 0.5:
            client.log_inputs(run, [DatasetInput(
                Dataset(chance.choice(["flights", "Weather"]), chance.choice(["d1", "d2"]), "local", "{}"),
                [InputTag("mlflow.data.context", chance.choice(["train", "eval"]))])])
        if chance.random() < 0.5:
            client.set_terminated(run, chance.choice(["FINISHED", "FAILED"]), end_time=2_000 + chance.randrange(20))
    return client.search_runs([experiment], max_results=1_000)


def comparison(chance, run) -> str:
    """One comparison, mostly valid, sometimes of a kind that MLflow refuses."""
    text = repr_of(chance, chance.choice(TEXTS + ["%", "a%", "_", "%b%", "RUN%", "run"]))
    number = chance.choice(NUMBERS)
    equal = chance.choice(["=", "!=", "LIKE", "ILIKE", "like"])
    order = chance.choice(["=", "!=", "<", "<=", ">", ">="])
    kind = chance.randrange(12)
    if kind < 3:
        key = chance.choice(["metrics.m", "metric.m", "metrics.`m two`", 'metrics."deep/m"', "metrics.missing"])
        return f"{key} {order} {number}"
    if kind < 5:
        key = chance.choice(["params.p", "param.p", "parameters.`p two`", 'parameter."p"', "params.missing"])
        return f"{key} {equal} {text}"
    if kind < 7:
        key = chance.choice(["tags.t", "tag.T", "tags.`t.two`", 'tags."t"', "tags.missing"])
        if chance.random() < 0.3:
            return f"{key} {chance.choice(['IS NULL', 'IS NOT NULL', 'is null'])}"
        return f"{key} {equal} {text}"
    if kind == 7:
        key = chance.choice(["run_name", "attributes.run_name", "status", "attribute.status", "user_id", "run_id",
                             "artifact_uri", "attr.`Run Name`"])
        value = chance.choice([f"'{run.info.run_id}'", f"'{run.info.status}'", f"'{run.info.run_name}'", text])
        return f"{key} {equal} {value}"
    if kind == 8:
        key = chance.choice(["start_time", "attributes.end_time", "created", "attributes.Created"])
        return f"{key} {order} {chance.choice(['1005', '1010', '2010', '1010.5', number])}"
    if kind == 9:
        key = chance.choice(["dataset.name", "datasets.digest", "dataset.context"])
        value = chance.choice(["'flights'", "'d1'", "'train'", "'W%'", text])
        if chance.random() < 0.3:
            return f"{key} {chance.choice(['IN', 'NOT IN'])} ('flights', 'd2', 'eval')"
        return f"{key} {equal} {value}"
    if kind == 10:
        return f"run_id {chance.choice(['IN', 'NOT IN'])} ('{run.info.run_id}', 'none')"
    return chance.choice([  # what MLflow refuses, and near it
        f"metrics.m LIKE {text}", f"params.p > {text}", "metrics.m = 'x'", f"params.p = {number}", "nothing = 'a'",
        "run_name IN ('a')", "tags.t IN ('a')", "metrics.m IS NULL", "status IS NULL", "Metrics.m > 1",
        "metrics.m > +1", "start_time > 'a'", "start_time LIKE 'a'", "dataset.role = 'a'", "tags.t = `a`",
        "params.p = a", "user = 'a'", "lifecycle_stage = 'active'", "experiment_id = '1'", "run_id IN ()",
        "metrics.m > 1 OR metrics.m < 0", "metrics.m", "= 1", "run_id IN (1)"])


def repr_of(chance, text: str) -> str:
    return f'"{text}"' if chance.random() < 0.2 and text else f"'{text}'"


def order_of(chance) -> list[str]:
    keys = ["metrics.m", "metrics.`m two`", "params.p", "tags.`t.two`", "start_time", "attributes.end_time",
            "run_name", "status", "metrics.missing"]
    return [f"{key} {chance.choice(['ASC', 'DESC'])}" for key in chance.sample(keys, chance.randrange(3))]


def test_runs_are_filtered_and_ordered_as_mlflow_does_it(client, runs):
    chance = random.Random(SEED)
    experiment = runs[0].info.experiment_id
    accepted = refused = 0
    for _ in range(ROUNDS):
        parts = [comparison(chance, chance.choice(runs)) for _ in range(chance.choice([1, 1, 2, 3]))]
        text, order = " AND ".join(parts), order_of(chance)
        try:
            for part in parts:  # MLflow reads a comparison only where those before it left a run
                SearchUtils.filter(runs, part)
            expected = [r.info.run_id for r in SearchUtils.sort(SearchUtils.filter(runs, text), order)]
        except (MlflowException, ValueError, TypeError):
            expected = None
        if expected is None:
            with pytest.raises(RestException) as error:
                client.search_runs([experiment], text, order_by=order)
            assert error.value.error_code == "INVALID_PARAMETER_VALUE", text
            refused += 1
            continue
        found, token = [], None
        while True:
            page = client.search_runs([experiment], text, order_by=order, max_results=chance.choice([7, 7, 100]),
                                      page_token=token)
            found += [r.info.run_id for r in page]
            token = page.token
            if not token:
                break
        assert sorted(found) == sorted(expected), f"SEARCH_SEED={SEED}: {text}"
        assert found == expected or "NaN" in str(order) or has_nan(runs, order), f"SEARCH_SEED={SEED}: {text} {order}"
        accepted += 1
    assert accepted > ROUNDS / 3 and refused > ROUNDS / 20


def has_nan(runs, order) -> bool:
    """MLflow's two stores order NaN and what is missing in two ways; ours is the server's."""
    return any(clause.startswith("metrics.") for clause in order)


def test_experiments_are_filtered_as_mlflow_does_it(client):
    chance = random.Random(SEED)
    for number in range(12):
        tags = {key: chance.choice(TEXTS) for key in ("t", "t two") if chance.random() < 0.7}
        client.create_experiment(f"{chance.choice(['Ab', 'ab', 'x_'])} {number}", tags=tags)
    everything = client.search_experiments(ViewType.ALL)
    for _ in range(100):
        text = chance.choice([
            f"name {chance.choice(['=', '!=', 'LIKE', 'ILIKE'])} '{chance.choice(['ab 1', 'Ab%', 'x__%', 'Default'])}'",
            f"tags.t {chance.choice(['=', '!=', 'LIKE', 'ILIKE'])} '{chance.choice(TEXTS)}'",
            f"tags.`t two` {chance.choice(['IS NULL', 'IS NOT NULL'])}",
            f"attribute.creation_time {chance.choice(['>', '<=', '!='])} {chance.choice(everything).creation_time}",
            f"experiment_id = '{chance.choice(everything).experiment_id}'",
            "experiment_id IN ('1', '2')", "experiment_id NOT IN ('0', '1')",
            "name IN ('a')", "params.a = '1'", "experiment_id > '1'", "name IS NULL", "attributes.name = 'a'"])
        try:
            expected = {e.experiment_id for e in SearchExperimentsUtils.filter(everything, text)}
        except (MlflowException, ValueError, TypeError):
            expected = None
        if expected is None or "experiment_id >" in text:
            with pytest.raises(RestException):
                client.search_experiments(ViewType.ALL, filter_string=text)
        else:
            found = [e.experiment_id for e in client.search_experiments(ViewType.ALL, filter_string=text)]
            assert set(found) == expected and len(found) == len(expected), text
    for order in (["name ASC"], ["creation_time DESC", "name"], ["experiment_id ASC"], ["last_update_time"]):
        found = client.search_experiments(ViewType.ALL, order_by=order)
        expected = SearchExperimentsUtils.sort(everything, order)
        key = order[0].split()[0]
        if key == "experiment_id":  # a number for MLflow's server, a text for this evaluation
            expected = sorted(everything, key=lambda e: int(e.experiment_id))
        assert [getattr(e, key) for e in found] == [getattr(e, key) for e in expected], order


def test_models_and_versions_are_filtered_as_mlflow_does_it(client):
    chance = random.Random(SEED)
    for number in range(8):
        name = f"{chance.choice(['Ab', 'ab', 'x_'])} {number}"
        client.create_registered_model(name, tags={"t": chance.choice(TEXTS)} if chance.random() < 0.7 else {})
        for _ in range(chance.randrange(4)):
            client.create_model_version(name, chance.choice(["s3://a/b", "s3://a/c"]), run_id=chance.choice([None, "r1", "r2"]),
                                        tags={"t": chance.choice(TEXTS)} if chance.random() < 0.7 else {})
    models = client.search_registered_models(max_results=1_000)
    # MLflow's evaluation compares the number of a version, which its client gives as a text.
    versions = [SimpleNamespace(name=v.name, version=int(v.version), run_id=v.run_id, source=v.source, tags=v.tags,
                                current_stage=v.current_stage)
                for v in client.search_model_versions(max_results=1_000)]
    equal = ["=", "!=", "LIKE", "ILIKE"]
    for _ in range(150):
        tag = f"tags.t {chance.choice(equal)} '{chance.choice(TEXTS)}'"
        name = f"name {chance.choice(equal)} '{chance.choice(models).name if chance.random() < 0.5 else 'ab%'}'"
        some = f"name {chance.choice(['IN', 'NOT IN'])} ('{chance.choice(models).name}', 'none')"
        text = chance.choice([tag, name, some, f"{name} AND {tag}", "run_id = 'r1'", "run_id IN ('r1', 'r2')",
                              f"version_number {chance.choice(['>', '<=', '=', '!='])} {chance.randrange(4)}",
                              "source_path LIKE 's3://a/%'", "source_path = 's3://a/b'", "tags.t IN ('a')",
                              "params.p = '1'", "source_path IN ('a')", "tags.t IS NULL"])
        for utils, everything, search in ((SearchModelUtils, models, client.search_registered_models),
                                          (SearchModelVersionUtils, versions, client.search_model_versions)):
            try:
                expected = sorted((m.name, int(getattr(m, "version", 0))) for m in utils.filter(everything, text))
            except (MlflowException, ValueError, TypeError):
                with pytest.raises(RestException):
                    search(text)
                continue
            found = sorted((m.name, int(getattr(m, "version", 0))) for m in search(text, max_results=1_000))
            assert found == expected, text
