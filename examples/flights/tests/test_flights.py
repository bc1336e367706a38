"""Of the flights example: same bytes twice, instants that agree with the airline's own delays, and one graph
that answers as scikit-learn does. Run: pytest examples/flights/tests"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).parent.parent
sys.path.insert(0, str(FOLDER))
import evaluate  # noqa: E402
import train  # noqa: E402


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def prepare(out: Path, *options: str) -> None:
    subprocess.run([sys.executable, FOLDER / "prepare.py", "--out", out, *options], check=True)


@pytest.fixture(scope="module")
def march(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("march")
    prepare(out, "--months", "3")  # summer time begins in it
    return out


def test_prepares_the_same_bytes_twice(march: Path, tmp_path: Path) -> None:
    prepare(tmp_path, "--months", "3")
    assert digests(tmp_path) == digests(march)


def test_instants_agree_with_the_delays_that_the_airline_gave(march: Path) -> None:
    flights = pq.read_table(march / "flights.parquet").to_pandas()
    arrived = flights[flights.arr_delay.notna()]
    minutes = (arrived.arrived_at - arrived.scheduled_arrival).dt.total_seconds() / 60
    assert len(arrived) > 25_000
    assert (minutes == arrived.arr_delay).all()
    assert flights.flight_id.is_unique


def test_the_upstream_change_is_of_one_column(march: Path, tmp_path: Path) -> None:
    prepare(tmp_path, "--months", "3", "--delay-unit", "hours")
    before, after = pq.read_table(march / "flights.parquet"), pq.read_table(tmp_path / "flights_hours.parquet")
    assert [name for name in before.column_names if not before[name].equals(after[name])] == ["dep_delay"]
    worst = pc.max(pc.abs(pc.subtract(pc.multiply(after["dep_delay"], 60), before["dep_delay"]))).as_py()
    assert 0 < worst < 1e-3


@pytest.fixture(scope="module")
def dataset() -> pa.Table:
    """Rows with a pattern, and with gaps in every feature."""
    random = np.random.default_rng(3)
    values = random.normal(size=(20_000, 4)).astype(np.float32)
    label = values[:, 0] + random.normal(size=len(values)) > 1
    values[random.random(values.shape) < 0.1] = np.nan
    columns = {name: pa.array(values[:, i].astype(float), from_pandas=True) for i, name in enumerate("abcd")}
    return pa.table({"carrier": ["UA"] * len(values), "label": label, "hour": np.full(len(values), 7.0), **columns})


def trained(dataset: pa.Table, folder: Path) -> Path:
    pq.write_table(dataset, folder / "train.parquet")
    subprocess.run([sys.executable, FOLDER / "train.py"], check=True, env=os.environ | {
        "PENSTOCK_INPUT_TRAIN_DATA": str(folder / "train.parquet"),
        "PENSTOCK_OUTPUT_MODEL": str(folder / "model"), "PENSTOCK_SEED": "7"})
    return folder / "model"


def test_the_exported_graph_answers_as_the_trained_model(dataset: pa.Table, tmp_path: Path) -> None:
    model = trained(dataset, tmp_path)
    names = json.loads((model / "signature.json").read_text())["input"]["columns"]
    assert names == ["hour", "a", "b", "c", "d"]
    expected = train.fit(dataset, names, 7).predict_proba(train.matrix(dataset, names))[:, 1]
    assert np.abs(evaluate.scores(model, dataset) - expected).max() < 1e-5


def test_the_same_dataset_and_seed_give_the_same_model(dataset: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert digests(trained(dataset, tmp_path / "a")) == digests(trained(dataset, tmp_path / "b"))
