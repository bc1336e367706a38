"""gRPC's own client: many calls on a channel, long messages, deadlines, cancelled calls, and a server that stops."""

import json
import os
import signal
import socket
import struct

import grpc
import numpy as np
import pytest

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
import mlflow  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from test_v2 import PLAN, Both, model_of  # noqa: E402
from tritonclient.grpc import service_pb2 as messages  # noqa: E402
from tritonclient.grpc import service_pb2_grpc  # noqa: E402

DECLARED = "---\n".join(f"""kind: model
name: {name}
owner: desk
---
kind: route
name: {name}
owner: desk
model: {name}
entity_keys: []
output: score
""" for name in ("slow", "texts"))
NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def slow():
    """Takes as long as its input says, in turns of a multiplication, and gives it back as the score."""
    state = helper.make_tensor("state", TensorProto.FLOAT, [64, 64], np.eye(64, dtype=np.float32).ravel())
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["still"]), helper.make_node("MatMul", ["before", "state"], ["after"])],
        "turn", [helper.make_tensor_value_info("turn", TensorProto.INT64, []),
                 helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
                 helper.make_tensor_value_info("before", TensorProto.FLOAT, [64, 64])],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, []),
         helper.make_tensor_value_info("after", TensorProto.FLOAT, [64, 64])])
    nodes = [helper.make_node("ReduceMax", ["turns"], ["most"], keepdims=0),
             helper.make_node("Loop", ["most", "", "state"], ["last"], body=body),
             helper.make_node("ReduceSum", ["last"], ["sum"], keepdims=0),
             helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
             helper.make_node("Cast", ["turns"], ["real"], to=TensorProto.FLOAT),
             helper.make_node("Add", ["real", "nothing"], ["score"])]
    return model_of(nodes, [helper.make_tensor_value_info("turns", TensorProto.INT64, ["rows"])],
                    [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"])], [state, zero])


def texts():
    """Gives a text back twice."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    return model_of([helper.make_node("Identity", ["text"], ["first"]), helper.make_node("Identity", ["text"], ["second"]),
                     helper.make_node("Identity", ["one"], ["score"])],
                    [helper.make_tensor_value_info("text", TensorProto.STRING, [1])],
                    [helper.make_tensor_value_info(name, TensorProto.STRING, [1]) for name in ("first", "second")] +
                    [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])], [one])


class Served:
    def __init__(self, folder):
        self.server = Both(folder / "data")
        self.server.start("127.0.0.1:0", "--grpc", "127.0.0.1:0")
        self.metadata = [("authorization", f"Bearer {self.server.token}")]

    def stub(self, channel):
        return service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def release(self, folder, name, made):
        with mlflow.start_run():
            mlflow.log_metric("auc", 0.9)
            mlflow.onnx.log_model(made, name="model", registered_model_name=name)
        assert self.server.run("models", "approve", f"{name}@v1", "--for", "production").returncode == 0
        begun = self.server.run("releases", "start", name, f"{name}@v1", "--plan", str(folder / "plan.yaml"),
                                token=os.environ["MLFLOW_TRACKING_PASSWORD"])
        assert begun.returncode == 0, begun.stderr
        release = json.loads(self.server.run("--json", "releases", "list").stdout)["releases"][0]["id"]
        assert self.server.run("releases", "approve", release).returncode == 0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc")
    one = Served(folder)
    (folder / "declared.yaml").write_text(DECLARED)
    (folder / "plan.yaml").write_text(PLAN)
    applied = one.server.run("apply", str(folder / "declared.yaml"))
    assert applied.returncode == 0, applied.stderr
    ana = one.server.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()
    os.environ.update(MLFLOW_TRACKING_USERNAME="ana", MLFLOW_TRACKING_PASSWORD=ana)
    mlflow.set_tracking_uri(one.server.url)
    mlflow.set_experiment("grpc")
    one.release(folder, "slow", slow())
    one.release(folder, "texts", texts())
    with grpc.insecure_channel(one.server.grpc) as channel:
        stub = one.stub(channel)
        one.server.wait(lambda: all(stub.ModelReady(messages.ModelReadyRequest(name=name), metadata=one.metadata).ready
                                    for name in ("slow", "texts")))
    yield one
    if one.server.process.poll() is None:
        one.server.stop()
    del os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]


@pytest.fixture
def stub(served):
    with grpc.insecure_channel(served.server.grpc, options=NO_LIMIT) as channel:
        yield served.stub(channel)


def turns(*counts):
    request = messages.ModelInferRequest(model_name="slow", outputs=[{"name": "score"}])
    request.inputs.add(name="turns", datatype="INT64", shape=[len(counts)])
    request.raw_input_contents.append(np.array(counts, np.int64).tobytes())
    return request


def text(value, *outputs):
    request = messages.ModelInferRequest(model_name="texts", outputs=[{"name": name} for name in outputs])
    request.inputs.add(name="text", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(struct.pack("<I", len(value)) + value)
    return request


def scores(answer):
    return np.frombuffer(answer.raw_output_contents[0], np.float32).tolist()



def test_hundreds_of_calls_on_one_channel_are_each_answered_with_their_own(served, stub):
    calls = [stub.ModelInfer.future(turns(i), metadata=served.metadata) for i in range(600)]
    assert [scores(call.result()) for call in calls] == [[i] for i in range(600)]


def test_long_messages_pass_both_ways_also_beside_each_other(served, stub):
    values = [bytes([97 + i]) * 30_000_000 for i in range(6)]
    calls = [stub.ModelInfer.future(text(value, "first"), metadata=served.metadata) for value in values]
    for value, call in zip(values, calls):
        assert call.result().raw_output_contents[0][4:] == value


@pytest.mark.parametrize("request_, message", [
    (text(b"x" * (65 << 20), "score"), "the message is 6815"),
    (text(b"x" * (40 << 20), "first", "second"), "the answer is 8388"),
], ids=["request", "answer"])
def test_longer_ones_are_refused_with_their_size(served, stub, request_, message):
    with pytest.raises(grpc.RpcError) as refused:
        stub.ModelInfer(request_, metadata=served.metadata)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and message in refused.value.details()
    assert "at most 67108864" in refused.value.details()
    assert scores(stub.ModelInfer(turns(1), metadata=served.metadata)) == [1], "the channel goes on"


def test_a_deadline_ends_a_call_and_nothing_else(served, stub):
    beside = stub.ModelInfer.future(turns(2), metadata=served.metadata)
    with pytest.raises(grpc.RpcError) as late:
        stub.ModelInfer(turns(2_000_000), timeout=0.1, metadata=served.metadata)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert scores(beside.result()) == [2]
    assert scores(stub.ModelInfer(turns(3), metadata=served.metadata)) == [3]


def test_cancelled_calls_leave_the_channel_as_it_was(served, stub):
    calls = [stub.ModelInfer.future(turns(2_000_000), timeout=5, metadata=served.metadata) for _ in range(40)]
    for call in calls:
        call.cancel()
    assert all(call.code() == grpc.StatusCode.CANCELLED for call in calls)
    assert scores(stub.ModelInfer(turns(4), metadata=served.metadata)) == [4]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
def test_compressed_messages_are_read(served, compression):
    with grpc.insecure_channel(served.server.grpc, options=NO_LIMIT, compression=compression) as channel:
        value = b"x" * 1_000_000
        answer = served.stub(channel).ModelInfer(text(value, "first"), metadata=served.metadata)
        assert answer.raw_output_contents[0][4:] == value


def test_what_is_not_there_is_told_in_any_letters(served, stub):
    with grpc.insecure_channel(served.server.grpc) as channel, pytest.raises(grpc.RpcError) as unknown:
        channel.unary_unary("/inference.GRPCInferenceService/Nope")(b"", metadata=served.metadata)
    assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED and "Service/Nope" in unknown.value.details()
    with pytest.raises(grpc.RpcError) as missing:
        stub.ModelMetadata(messages.ModelMetadataRequest(name="größe 100%"), metadata=served.metadata)
    assert missing.value.code() == grpc.StatusCode.NOT_FOUND and "größe 100%" in missing.value.details()
    with grpc.insecure_channel(served.server.grpc) as channel, pytest.raises(grpc.RpcError) as broken:
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff\xff", metadata=served.metadata)
    assert broken.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "ModelInferRequest" in broken.value.details()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


@pytest.mark.parametrize("sent", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE + b"\xff" * 1000, PREFACE + frame(6, 0, 0, b"pingpong") * 5000,
    PREFACE + frame(1, 4, 1, b"\x82\x86") + frame(0, 0, 7, b"data of no call"),
], ids=["http/1", "noise", "pings", "a call that is none"])
def test_what_is_no_http2_is_closed_and_disturbs_nobody(served, stub, sent):
    host, port = served.server.grpc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        try:
            raw.sendall(sent)
            while raw.recv(1 << 16):
                pass
        except ConnectionError:
            pass  # closed over what was still to be read
    assert scores(stub.ModelInfer(turns(5), metadata=served.metadata)) == [5]


def test_a_server_that_stops_answers_what_runs_and_takes_nothing_new(served, stub):
    """The last one: it ends the server."""
    running = [stub.ModelInfer.future(turns(30_000 + i), metadata=served.metadata) for i in range(4)]
    assert scores(stub.ModelInfer(turns(6), metadata=served.metadata)) == [6], "those before it are with the server"
    served.server.process.send_signal(signal.SIGTERM)
    assert [scores(call.result()) for call in running] == [[30_000 + i] for i in range(4)]
    assert served.server.process.wait(30) == 0
    with grpc.insecure_channel(served.server.grpc) as channel, pytest.raises(grpc.RpcError) as gone:
        served.stub(channel).ServerLive(messages.ServerLiveRequest())
    assert gone.value.code() == grpc.StatusCode.UNAVAILABLE
