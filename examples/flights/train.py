#!/usr/bin/env python3
"""The pipeline's step `train`: a dataset in, a model as ONNX out.

Told by its environment: PENSTOCK_INPUT_TRAIN_DATA (Parquet file or folder), PENSTOCK_OUTPUT_MODEL (folder to
make), PENSTOCK_PARAMETERS (JSON file; `features` may name the inputs in order) and PENSTOCK_SEED.
The same dataset and seed give the same bytes.
"""

import json
import os
from pathlib import Path

# One thread: sums in one order, and no barrier to spin at when the machine is busy with serving.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier

# What a dataset holds beside the features.
NOT_FEATURES = {"flight_id", "carrier", "origin", "tailnum", "event_time", "label", "oldest_event_time"}
# Leaves are large because a day's flights share their weather and delays: small ones learn days by heart.
SETTINGS = {"max_iter": 100, "learning_rate": 0.06, "max_leaf_nodes": 15, "min_samples_leaf": 1000,
            "l2_regularization": 1.0, "early_stopping": False}


def feature_names(table: pa.Table, parameters: dict) -> list[str]:
    return parameters.get("features") or [name for name in table.column_names if name not in NOT_FEATURES]


def matrix(table: pa.Table, names: list[str]) -> np.ndarray:
    """Rows x features, as the model sees them when it serves: float32, with NaN for what is missing."""
    columns = [table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in names]
    return np.column_stack(columns).astype(np.float32)


def labels(table: pa.Table) -> np.ndarray:
    return table["label"].to_numpy(zero_copy_only=False).astype(bool)


def hour_rates(table: pa.Table, late_flights: np.ndarray) -> dict:
    """The plain baseline: the share of late flights of each carrier in each hour, drawn to that of all."""
    overall = float(late_flights.mean())
    groups: dict[str, list[float]] = {}
    for carrier, hour, late in zip(table["carrier"].to_pylist(), table["hour"].to_pylist(), late_flights):
        groups.setdefault(f"{carrier}/{int(hour)}", []).append(float(late))
    prior = 50
    return {"overall": overall,
            "rates": {key: (sum(late) + prior * overall) / (len(late) + prior)
                      for key, late in sorted(groups.items())}}


def fit(table: pa.Table, names: list[str], seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**SETTINGS, random_state=seed).fit(matrix(table, names), labels(table))


def trees(model: HistGradientBoostingClassifier) -> dict:
    """The attributes of a TreeEnsembleRegressor. Written here and not by a converter: skl2onnx 1.20 hands
    onnx 1.23 booleans where it wants integers, and rounds thresholds to the nearest float32.

    An input x is float32, a threshold t double: x <= t holds exactly where x <= the float32 below t.
    """
    nodes = [stage[0].nodes for stage in model._predictors]
    every = np.concatenate(nodes)
    leaf = every["is_leaf"].astype(bool)
    threshold = every["num_threshold"].astype(np.float32)
    above = threshold.astype(np.float64) > every["num_threshold"]
    threshold[above] = np.nextafter(threshold[above], np.float32(-np.inf))
    threshold[leaf] = 0
    tree = np.repeat(np.arange(len(nodes)), [len(each) for each in nodes])
    number = np.concatenate([np.arange(len(each)) for each in nodes])

    def whole(values: np.ndarray) -> list[int]:
        return [int(value) for value in values]

    return {
        "n_targets": 1, "base_values": [float(model._baseline_prediction.item())],
        "nodes_treeids": whole(tree), "nodes_nodeids": whole(number),
        "nodes_featureids": whole(np.where(leaf, 0, every["feature_idx"])),
        "nodes_modes": ["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        "nodes_values": threshold.tolist(),
        "nodes_truenodeids": whole(np.where(leaf, 0, every["left"])),
        "nodes_falsenodeids": whole(np.where(leaf, 0, every["right"])),
        "nodes_missing_value_tracks_true": whole(np.where(leaf, 0, every["missing_go_to_left"])),
        "target_treeids": whole(tree[leaf]), "target_nodeids": whole(number[leaf]),
        "target_ids": [0] * int(leaf.sum()), "target_weights": every["value"][leaf].tolist(),
    }


def to_onnx(model: HistGradientBoostingClassifier, width: int) -> onnx.ModelProto:
    """One input `features` [N, width], one output `score` [N, 1]: the chance of being late."""
    graph = helper.make_graph(
        [helper.make_node("TreeEnsembleRegressor", ["features"], ["log_odds"], domain="ai.onnx.ml",
                          **trees(model)),
         helper.make_node("Sigmoid", ["log_odds"], ["score"])],
        "flight_delay",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    result = helper.make_model(graph, opset_imports=opsets, producer_name="flight-delay", ir_version=8)
    onnx.checker.check_model(result)
    return result


def main() -> None:
    parameters_file = os.environ.get("PENSTOCK_PARAMETERS")
    parameters = json.loads(Path(parameters_file).read_text()) if parameters_file else {}
    table = pq.read_table(os.environ["PENSTOCK_INPUT_TRAIN_DATA"])
    names = feature_names(table, parameters)
    label = labels(table)
    model = fit(table, names, int(os.environ.get("PENSTOCK_SEED", "0")))

    out = Path(os.environ["PENSTOCK_OUTPUT_MODEL"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(to_onnx(model, len(names)).SerializeToString(deterministic=True))
    signature = {"input": {"name": "features", "type": "float32", "shape": [-1, len(names)], "columns": names,
                           "missing": "NaN"},
                 "output": {"name": "score", "type": "float32", "shape": [-1, 1]}}
    (out / "signature.json").write_text(json.dumps(signature, indent=2) + "\n")
    (out / "baseline.json").write_text(json.dumps(hour_rates(table, label), indent=1) + "\n")
    print(f"trained on {table.num_rows} rows, {len(names)} features, {label.mean():.4f} late")


if __name__ == "__main__":
    main()
