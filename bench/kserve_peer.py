"""The model of serving_tabular_bench.py on KServe's own server, as its documentation writes a custom predictor.

    kserve_peer.py MODEL.onnx PORT

Not a bench. KServe's server listens on every address unless its configuration is changed before it runs.
"""

import sys

import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.model_repository import ModelRepository
from kserve.utils.utils import generate_uuid
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer


class Delay(Model):
    def __init__(self, path: str):
        super().__init__("delay")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        self.ready = True

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        asked = payload.inputs[0]
        answers = self.session.run(self.names, {asked.name: asked.as_numpy().astype(np.float32)})
        outputs = []
        for name, answer in zip(self.names, answers):
            output = InferOutput(name=name, shape=list(answer.shape),
                                 datatype={"int64": "INT64", "float32": "FP32"}[str(answer.dtype)])
            output.set_data_from_numpy(answer, binary_data=False)
            outputs.append(output)
        return InferResponse(response_id=payload.id or generate_uuid(), model_name=self.name, infer_outputs=outputs)


def main() -> None:
    repository = ModelRepository()
    repository.update(Delay(sys.argv[1]))
    plane = DataPlane(model_registry=repository)
    server = RESTServer("kserve.model_server:app", plane, ModelRepositoryExtension(model_registry=repository),
                        int(sys.argv[2]))
    server.config.host = "127.0.0.1"
    server.run()


if __name__ == "__main__":
    main()
