"""Runs one MLflow model: arrays in, arrays out, over the socket that is standard input.

A message is its kind (4 bytes), its length (8 bytes) and its content. The first one is ours and says what the model
takes and gives. Then each call is one message, and so is its answer. Arrays go as one row of Arrow, a list each.
"""
import json
import os
import resource
import socket
import struct
import sys

RUN, DONE, REFUSED, FAILED, READY = 1, 2, 3, 4, 5
HEAD = struct.Struct("<IQ")
NUMBERS = {"BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8",
           "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "FP16": "float16", "FP32": "float32",
           "FP64": "float64"}
DATATYPES = {name: datatype for datatype, name in NUMBERS.items()}
COLUMNS = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64",
           "string": "BYTES", "binary": "BYTES", "datetime": "BYTES"}
TEXT_MAX = 2000


class Refused(Exception):
    """The caller's input is wrong."""


def send(connection, kind, content):
    connection.sendall(HEAD.pack(kind, len(content)))
    connection.sendall(content)


def receive(connection):
    """The next message, or None at the end."""
    def exactly(size):
        buffer, at = bytearray(size), 0
        while at < size:
            got = connection.recv_into(memoryview(buffer)[at:])
            if got == 0:
                return None
            at += got
        return buffer
    head = exactly(HEAD.size)
    if head is None:
        return None
    kind, length = HEAD.unpack(head)
    content = exactly(length)
    return None if content is None else (kind, content)


def datatype_of(dtype):
    if dtype.name in DATATYPES:
        return DATATYPES[dtype.name]
    if dtype.kind in "OSUM":
        return "BYTES"
    raise ValueError(f"arrays of {dtype} cannot be sent")


def described(schema, unnamed):
    """The tensors of a signature's inputs or outputs."""
    out = []
    for position, spec in enumerate(schema.inputs):
        name = spec.name if spec.name not in (None, "") else f"{unnamed}-{position}"
        if schema.is_tensor_spec():
            out.append({"name": str(name), "datatype": datatype_of(spec.type), "shape": list(spec.shape),
                        "optional": False, "column": ""})
            continue
        column = getattr(spec.type, "name", "")
        if column not in COLUMNS:
            raise ValueError(f"column {name} of the signature is of type {spec.type}; "
                             f"only {', '.join(sorted(COLUMNS))} can be served")
        out.append({"name": str(name), "datatype": COLUMNS[column], "shape": [-1],
                    "optional": not getattr(spec, "required", True), "column": column})
    return out


class Model:
    def __init__(self, folder):
        import mlflow.pyfunc
        import numpy
        import pandas
        import pyarrow
        self.numpy, self.pandas, self.pyarrow = numpy, pandas, pyarrow
        self.model = mlflow.pyfunc.load_model(folder)
        signature = self.model.metadata.signature
        if signature is None or signature.inputs is None or not signature.inputs.inputs:
            raise ValueError("the model has no signature, so nobody knows what it takes: log it with "
                             "signature=mlflow.models.infer_signature(inputs, outputs)")
        self.columns = not signature.inputs.is_tensor_spec()
        self.inputs = described(signature.inputs, "input")
        self.unnamed = not self.columns and len(self.inputs) == 1 and signature.inputs.inputs[0].name in (None, "")
        self.positions = [spec.name for spec in signature.inputs.inputs]
        self.outputs = described(signature.outputs, "output") if signature.outputs is not None else []
        self.warm_up()

    def warm_up(self):
        """Once on zeros: imports are done, and outputs that no signature names are known. Zeros may be no input."""
        zeros = {}
        for tensor in self.inputs:
            shape = [1 if size < 0 else size for size in tensor["shape"]]
            if tensor["datatype"] == "BYTES":
                text = b"2000-01-01T00:00:00Z" if tensor["column"] == "datetime" else b""
                zeros[tensor["name"]] = self.numpy.full(shape, text, dtype=object)
            else:
                zeros[tensor["name"]] = self.numpy.zeros(shape, NUMBERS[tensor["datatype"]])
        try:
            got = self.predict(zeros)
        except Exception as error:
            if not self.outputs:
                raise ValueError("the signature has no outputs, and the model fails on zeros, so nobody knows what it "
                                 "gives: log it with infer_signature(inputs, outputs)") from error
            print(f"warm-up on zeros failed, which may be right: {error!r}"[:TEXT_MAX], flush=True)
            return
        if not self.outputs:
            self.outputs = [{"name": name, "datatype": datatype_of(array.dtype),
                             "shape": [-1, *array.shape[1:]] if array.ndim else [], "optional": False, "column": ""}
                            for name, array in got.items()]

    def gpus(self):
        """The share of GPUs that a call occupies, as log_model(..., metadata={"gpus": 0.5}) says."""
        try:
            share = float((self.model.metadata.metadata or {}).get("gpus", 0))
        except (TypeError, ValueError):
            return 0.0
        return share if 0 <= share <= 1024 else 0.0

    def column(self, tensor, array):
        array = array.reshape(-1)
        if tensor["column"] == "string":
            return [value.decode() for value in array]
        if tensor["column"] == "datetime":
            times = self.pandas.to_datetime([value.decode() for value in array], utc=True, format="ISO8601")
            return times.tz_localize(None)
        return array

    def texts(self, array):
        """Bytes as the text that they nearly always are."""
        return self.numpy.array([value.decode() for value in array.reshape(-1)], dtype=object).reshape(array.shape)

    def model_input(self, arrays):
        try:
            if self.columns:
                frame = {}
                for name, tensor in zip(self.positions, self.inputs):
                    if tensor["name"] in arrays:
                        key = name if name not in (None, "") else len(frame)
                        frame[key] = self.column(tensor, arrays[tensor["name"]])
                if len({len(column) for column in frame.values()}) > 1:
                    raise Refused("all inputs must have the same number of rows")
                return self.pandas.DataFrame(frame)
            arrays = {name: self.texts(array) if array.dtype.kind == "O" else array for name, array in arrays.items()}
        except (UnicodeDecodeError, self.pandas.errors.ParserError, ValueError) as error:
            raise Refused(f"an input cannot be read: {error}") from error
        return next(iter(arrays.values())) if self.unnamed else arrays

    def predict(self, arrays):
        given = self.model.predict(self.model_input(arrays))
        if isinstance(given, self.pandas.DataFrame):
            named = {str(name): given[name].to_numpy() for name in given.columns}
        elif isinstance(given, dict):
            named = {str(name): self.numpy.asarray(value) for name, value in given.items()}
        else:
            named = {"output-0": self.numpy.asarray(given.toarray() if hasattr(given, "toarray") else given)}
        if not self.outputs:
            return named
        if len(named) == 1 and len(self.outputs) == 1:
            named = {self.outputs[0]["name"]: next(iter(named.values()))}
        out = {}
        for tensor in self.outputs:
            if tensor["name"] not in named:
                raise ValueError(f"the model gave no output {tensor['name']}: it gave {', '.join(named)}")
            array = named[tensor["name"]]
            if tensor["datatype"] != "BYTES":
                array = array.astype(NUMBERS[tensor["datatype"]], copy=False)
            out[tensor["name"]] = array
        return out

    def read(self, content):
        batch = self.pyarrow.ipc.open_stream(self.pyarrow.py_buffer(content)).read_next_batch()
        arrays = {}
        for position, field in enumerate(batch.schema):
            shape, datatype = json.loads(field.metadata[b"shape"]), field.metadata[b"datatype"].decode()
            values = batch.column(position).values
            if datatype == "BYTES":
                array = self.numpy.array(values.to_pylist() + [None], dtype=object)[:-1]
            else:
                # A copy: a model may write into what it is given.
                array = values.to_numpy(zero_copy_only=True).copy()
                if datatype == "BOOL":
                    array = array.view("bool")
            arrays[field.name] = array.reshape(shape)
        return arrays

    def written(self, arrays):
        arrow, fields, columns = self.pyarrow, [], []
        for name, array in arrays.items():
            datatype = datatype_of(array.dtype)
            flat = self.numpy.ascontiguousarray(array).reshape(-1)
            if datatype == "BYTES":
                if array.dtype.kind == "M":
                    flat = self.numpy.datetime_as_string(flat, timezone="UTC")
                values = arrow.array([value if isinstance(value, bytes) else str(value).encode() for value in flat],
                                     arrow.large_binary())
            else:
                values = arrow.array(flat.view("uint8") if datatype == "BOOL" else flat)
            metadata = {"shape": json.dumps(list(array.shape)), "datatype": datatype}
            fields.append(arrow.field(name, arrow.large_list(values.type), metadata=metadata))
            columns.append(arrow.LargeListArray.from_arrays(arrow.array([0, len(values)], arrow.int64()), values))
        batch = arrow.record_batch(columns, arrow.schema(fields))
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        return sink.getvalue()


def words_of(error):
    return f"{type(error).__name__}: {error}"[:TEXT_MAX].encode()


def is_refusal(error):
    """MLflow's own words for an input that its signature does not allow."""
    return isinstance(error, Refused) or getattr(error, "error_code", "") in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")


def main():
    folder, memory = sys.argv[1], int(sys.argv[2])
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if memory > 0:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        # Where memory runs out for all, a worker goes before the server.
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")
    except OSError:
        pass
    try:
        model = Model(folder)
        ready = {"inputs": model.inputs, "outputs": model.outputs, "gpus": model.gpus()}
        send(connection, READY, json.dumps(ready).encode())
    except BaseException as error:
        send(connection, FAILED, words_of(error))
        raise
    while True:
        message = receive(connection)
        if message is None:
            return
        try:
            answer = (DONE, model.written(model.predict(model.read(message[1]))))
        except Exception as error:
            answer = (REFUSED if is_refusal(error) else FAILED, words_of(error))
        del message
        send(connection, *answer)
        del answer


main()
