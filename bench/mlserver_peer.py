"""The model of serving_tabular_bench.py on MLServer, as its documentation writes a custom runtime.

Not a bench: serving_tabular_bench.py writes its settings (loopback, free ports) and runs it beside Penstock.
"""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Delay(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        answers = self.session.run(self.names, {payload.inputs[0].name: rows})
        return InferenceResponse(model_name=self.name, outputs=[
            NumpyCodec.encode_output(name=name, payload=answer) for name, answer in zip(self.names, answers)])
