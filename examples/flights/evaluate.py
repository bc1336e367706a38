#!/usr/bin/env python3
"""The pipeline's step `evaluate`: scores later flights with the exported model, beside a plain baseline.

Told by its environment: PENSTOCK_INPUT_TEST_DATA (Parquet), PENSTOCK_INPUT_MODEL (what train.py made),
PENSTOCK_OUTPUT_PREDICTIONS (Parquet file to write), PENSTOCK_OUTPUT_REPORT (JSON file to write),
PENSTOCK_PARAMETERS (JSON file; `threshold`).
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

THRESHOLD = 0.3


def matrix(table: pa.Table, names: list[str]) -> np.ndarray:
    """Rows x features as served: float32, with NaN for what is missing."""
    columns = [table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in names]
    return np.column_stack(columns).astype(np.float32)


def scores(model: Path, table: pa.Table) -> np.ndarray:
    """What ONNX Runtime says, as it says it: this is what the route will answer."""
    names = json.loads((model / "signature.json").read_text())["input"]["columns"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model / "model.onnx", options, providers=["CPUExecutionProvider"])
    return session.run(["score"], {"features": matrix(table, names)})[0][:, 0].astype(np.float64)


def baseline_scores(model: Path, table: pa.Table) -> np.ndarray:
    """The share of late flights of the carrier in the hour, in the training data."""
    baseline = json.loads((model / "baseline.json").read_text())
    return np.array([baseline["rates"].get(f"{carrier}/{int(hour)}", baseline["overall"])
                     for carrier, hour in zip(table["carrier"].to_pylist(), table["hour"].to_pylist())])


def metrics(label: np.ndarray, score: np.ndarray, threshold: float) -> dict:
    """Without an AUC where only one answer occurs: it has no meaning there."""
    result = {"n": len(label), "late": float(label.mean()), "brier": float(brier_score_loss(label, score)),
              "log_loss": float(log_loss(label, score, labels=[False, True])),
              "accuracy": float(((score >= threshold) == label).mean()),
              "positive_rate": float((score >= threshold).mean())}
    if 0 < label.sum() < len(label):
        result["auc"] = float(roc_auc_score(label, score))
    return result


def slices(table: pa.Table, label: np.ndarray, score: np.ndarray, threshold: float) -> dict:
    result = {}
    for column in ("carrier", "origin"):
        values = np.array(table[column].to_pylist())
        result[column] = {str(value): metrics(label[values == value], score[values == value], threshold)
                          for value in np.unique(values)}
    return result


def main() -> None:
    parameters_file = os.environ.get("PENSTOCK_PARAMETERS")
    parameters = json.loads(Path(parameters_file).read_text()) if parameters_file else {}
    threshold = float(parameters.get("threshold", THRESHOLD))
    table = pq.read_table(os.environ["PENSTOCK_INPUT_TEST_DATA"])
    model = Path(os.environ["PENSTOCK_INPUT_MODEL"])
    label = table["label"].to_numpy(zero_copy_only=False).astype(bool)
    score, baseline = scores(model, table), baseline_scores(model, table)

    predictions = table.select(["flight_id", "event_time", "carrier", "origin"])
    for name, values in (("label", pa.array(label)), ("score", pa.array(score)), ("baseline", pa.array(baseline))):
        predictions = predictions.append_column(name, values)
    pq.write_table(predictions.replace_schema_metadata(None), os.environ["PENSTOCK_OUTPUT_PREDICTIONS"])
    report = {"threshold": threshold, "metrics": metrics(label, score, threshold),
              "baseline": metrics(label, baseline, threshold), "slices": slices(table, label, score, threshold)}
    Path(os.environ["PENSTOCK_OUTPUT_REPORT"]).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({"model": report["metrics"], "baseline": report["baseline"]}))


if __name__ == "__main__":
    main()
