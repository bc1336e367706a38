"""What a team writes today to serve a model: FastAPI and onnxruntime, speaking the JSON of the Open Inference Protocol.

`MODEL=model.onnx uvicorn serving_peer:app`. Not a bench: serving_tabular_bench.py runs it beside Penstock.
"""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, Request

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
app = FastAPI()
DATATYPES = {"int64": "INT64", "float32": "FP32"}


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}


@app.post("/v2/models/{model}/infer")
async def infer(model: str, request: Request):
    asked = (await request.json())["inputs"][0]
    tensor = np.array(asked["data"], dtype=np.float32).reshape(asked["shape"])
    answers = session.run(names, {asked["name"]: tensor})
    return {"model_name": model, "model_version": "1", "outputs": [
        {"name": name, "datatype": DATATYPES[str(answer.dtype)], "shape": answer.shape, "data": answer.ravel().tolist()}
        for name, answer in zip(names, answers)]}
