"""Makes the models that the tests load, below the folder that is named, and `expected.json` of what they answer."""
import json
import os
import sys
import time
import warnings

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
warnings.filterwarnings("ignore")
import mlflow  # noqa: E402
import mlflow.sklearn  # noqa: E402
import numpy  # noqa: E402
import pandas  # noqa: E402
from mlflow.models import ModelSignature, infer_signature  # noqa: E402
from mlflow.types.schema import ColSpec, Schema, TensorSpec  # noqa: E402

top = sys.argv[1]


class Odd(mlflow.pyfunc.PythonModel):
    """Gives its process id, and does as it is told."""

    def predict(self, context, model_input, params=None):
        for order in model_input["order"]:
            if order == 5:
                raise ValueError("five is right out")
            if order == 7:
                time.sleep(30)
            if order == 8:
                time.sleep(0.4)
            if order == 9:
                print("x" * (1 << 20), flush=True)
            if order == 13:
                os.write(2, b"thirteen!\n")
                os.kill(os.getpid(), 9)
            if order == 14:
                os._exit(3)
            if order == 99:
                bytearray(8 << 30)
            if order == 100:
                os.write(3, b"nonsense")
        return pandas.DataFrame({"order": model_input["order"], "process": os.getpid()})


class Echo(mlflow.pyfunc.PythonModel):
    """Gives back what it is given, changed so that one sees it went through numpy."""

    def predict(self, context, model_input, params=None):
        return {"number": model_input["number"] * 2, "text": numpy.array([value.upper() for value in model_input["text"]]),
                "flag": ~model_input["flag"]}


def flights():
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    rows = pandas.DataFrame({"distance": [100.0, 900.0, 400.0, 1500.0] * 5, "hour": list(range(20)),
                             "carrier": ["UA", "DL", "AA", "é"] * 5})
    late = [0, 1, 0, 1, 1] * 4
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
                                      ("passthrough", ["distance", "hour"]))
    model = make_pipeline(columns, LogisticRegression()).fit(rows, late)
    mlflow.sklearn.save_model(model, f"{top}/flights", signature=infer_signature(rows, model.predict_proba(rows)),
                              pyfunc_predict_fn="predict_proba", metadata={"gpus": 0.25}, pip_requirements=["scikit-learn"])
    from sklearn.linear_model import LinearRegression
    numbers = numpy.arange(12, dtype=numpy.float32).reshape(6, 2)
    line = LinearRegression().fit(numbers, numbers[:, 0] * 3)
    mlflow.sklearn.save_model(line, f"{top}/line", signature=infer_signature(numbers), pip_requirements=["scikit-learn"])
    mlflow.sklearn.save_model(line, f"{top}/unsigned", pip_requirements=["scikit-learn"])
    return {"flights": model.predict_proba(rows[:3]).tolist(), "line": line.predict(numbers[:2]).tolist()}


expected = flights()
numbers = Schema([ColSpec("long", "order")])
mlflow.pyfunc.save_model(f"{top}/odd", python_model=Odd(), pip_requirements=[],
                         signature=ModelSignature(numbers, Schema([ColSpec("long", "order"), ColSpec("long", "process")])))
tensors = [TensorSpec(numpy.dtype("int16"), (-1, 2), "number"), TensorSpec(numpy.dtype("str"), (-1,), "text"),
           TensorSpec(numpy.dtype("bool"), (-1, 1), "flag")]
mlflow.pyfunc.save_model(f"{top}/echo", python_model=Echo(), pip_requirements=[],
                         signature=ModelSignature(Schema(tensors), Schema(tensors)))
os.makedirs(f"{top}/broken")
with open(f"{top}/broken/MLmodel", "w") as file:
    file.write("flavors:\n  python_function:\n    loader_module: no_such_module\n")
with open(f"{top}/expected.json", "w") as file:
    json.dump(expected, file)
