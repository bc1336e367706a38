"""tritonclient's stream: many requests within one gRPC call, each a call of its own."""

import asyncio
import json
import queue
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

from test_grpc import NO_LIMIT, served


def inputs(value) -> list:
    if isinstance(value, bytes):
        return [triton.InferInput("text", [1], "BYTES").set_data_from_numpy(np.array([value], np.object_))]
    return [triton.InferInput("turns", [1], "INT64").set_data_from_numpy(np.array([value], np.int64))]


class Stream:
    """A client with an open stream, and what came back by it."""

    def __init__(self, served, token: str = "", **more):
        self.client = triton.InferenceServerClient(served.server.grpc, channel_args=NO_LIMIT)
        self.came = queue.Queue()
        self.client.start_stream(lambda result, error: self.came.put((result, error)),
                                 headers={"authorization": f"Bearer {token or served.server.token}"}, **more)

    def ask(self, value, name: str = "", model: str = "", **more) -> None:
        self.client.async_stream_infer(model or ("texts" if isinstance(value, bytes) else "slow"), inputs(value),
                                       request_id=name, **more)

    def answer(self):
        result, error = self.came.get(timeout=120)
        assert error is None, error
        return result

    def score(self) -> float:
        return self.answer().as_numpy("score").tolist()[0]

    def error(self) -> str:
        result, error = self.came.get(timeout=120)
        assert result is None and isinstance(error, InferenceServerException)
        return str(error)

    def close(self, **more) -> None:
        self.client.stop_stream(**more)
        self.client.close()


@pytest.fixture
def stream(served):
    one = Stream(served)
    yield one
    one.close()


def calls_of(served, model: str) -> int:
    with triton.InferenceServerClient(served.server.grpc) as client:
        headers = {"authorization": f"Bearer {served.server.token}"}
        return sum(one.execution_count for one in client.get_inference_statistics(model, headers=headers).model_stats)


def test_each_request_is_a_call_of_its_own_and_is_answered_in_its_turn(served, stream):
    before = calls_of(served, "slow")
    stream.ask(20_000, "turn-0")
    for turn in range(1, 300):
        stream.ask(turn, f"turn-{turn}")
    for turn in range(300):
        result = stream.answer()
        said = result.get_response()
        assert said.id == f"turn-{turn}" and said.parameters["triton_final_response"].bool_param
        assert result.as_numpy("score").tolist() == [turn or 20_000]
    assert calls_of(served, "slow") == before + 300
    events = [requests.get(f"{served.server.url}/api/v1/predictions/turn-{turn}", timeout=60,
                           headers={"Authorization": f"Bearer {served.server.token}"}).json() for turn in (0, 1, 299)]
    assert [one["score"] for one in events] == [20_000, 1, 299]


def test_an_error_is_the_answer_of_its_request_and_the_stream_goes_on(stream):
    stream.ask(1)
    stream.ask(1, model="nobody")
    stream.ask(b"no number", model="slow")
    stream.ask(2, outputs=[triton.InferRequestedOutput("nothing")])
    stream.ask(3)
    assert stream.score() == 1
    assert "nobody" in stream.error()
    assert "turns" in stream.error()
    assert "nothing" in stream.error()
    assert stream.score() == 3


def test_a_token_that_is_revoked_ends_what_its_stream_may(served):
    made = served.server.run("tokens", "create", "passing", "--actor", "user:passing", "--role", "developer")
    stream = Stream(served, made.stdout.strip())
    stream.ask(5)
    assert stream.score() == 5
    tokens = json.loads(served.server.run("--json", "tokens", "list").stdout)["tokens"]
    revoked = served.server.run("tokens", "revoke", next(one["id"] for one in tokens if one["name"] == "passing"))
    assert revoked.returncode == 0, revoked.stderr
    stream.ask(6)
    assert "token" in stream.error()
    stream.close()


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_long_requests_pass_among_short_ones(served, compression):
    stream = Stream(served, compression_algorithm=compression)
    values = [bytes([97 + i]) * (1_000_000 if compression else 20_000_000) + b"." for i in range(5)]
    for value in values:
        stream.ask(value)
        stream.ask(7)
    for value in values:
        assert stream.answer().as_numpy("first")[0] == value
        assert stream.score() == 7
    stream.close()


def test_a_caller_who_hangs_up_leaves_nothing_behind(served, stream):
    other = Stream(served)
    for _ in range(100):
        other.ask(20_000)
    other.close(cancel_requests=True)
    stream.ask(8)
    assert stream.score() == 8


def test_a_stream_that_has_a_time_ends_with_it(served, stream):
    timed = Stream(served, stream_timeout=3.0)
    timed.ask(1)
    assert timed.score() == 1
    timed.ask(10**12)
    # The server and the client both watch the time, and either may be first to say so.
    assert "deadline" in timed.error().lower()
    timed.close(cancel_requests=True)
    stream.ask(9)
    assert stream.score() == 9


def test_asyncio_streams_too(served):
    async def ask() -> list:
        async def requests():
            for turn in range(50):
                yield {"model_name": "slow" if turn % 10 else "nobody", "inputs": inputs(turn), "request_id": str(turn)}
        async with tritonclient.grpc.aio.InferenceServerClient(served.server.grpc) as client:
            came = client.stream_infer(requests(), headers={"authorization": f"Bearer {served.server.token}"})
            return [error is None and result.as_numpy("score").tolist() async for result, error in came]
    assert asyncio.run(ask()) == [[turn] if turn % 10 else False for turn in range(50)]


def test_a_run_that_has_begun_ends_with_the_time_of_its_message(served, stream):
    """Of a model that would multiply for days. The processors are free then: the next message is answered, and nothing goes on."""
    for _ in range(4):
        stream.ask(10**12, timeout=300_000)
    for _ in range(4):
        assert "deadline" in stream.error().lower()
    stream.ask(3)
    assert stream.score() == 3

    with pytest.raises(InferenceServerException, match="(?i)deadline"):
        stream.client.infer("slow", inputs(10**12), client_timeout=0.3, headers={"authorization": f"Bearer {served.server.token}"})
    answer = requests.post(served.server.url + "/v2/models/slow/infer", timeout=120, headers={
        "Authorization": f"Bearer {served.server.token}"}, json={"parameters": {"timeout": 300_000}, "inputs": [
            {"name": "turns", "datatype": "INT64", "shape": [1], "data": [10**12]}]})
    assert answer.status_code == 504, answer.text

    def ticks() -> int:
        fields = Path(f"/proc/{served.server.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def rests() -> bool:
        before = ticks()
        time.sleep(1)
        return ticks() - before < 30
    served.server.wait(rests, turns=60)


def test_a_server_that_stops_answers_what_runs_and_says_so(served):
    """The last one: it ends the server."""
    stream = Stream(served)
    for turn in range(4):
        stream.ask(30_000 + turn)
    stream.ask(1)
    for turn in range(4):
        assert stream.score() == 30_000 + turn
    assert stream.score() == 1
    served.server.process.send_signal(signal.SIGTERM)
    assert "the server stops; open the stream again" in stream.error()
    assert served.server.process.wait(30) == 0
    stream.close()
