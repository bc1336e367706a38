"""Limits, priorities, queues and deadlines as callers of tables meet them: V2 over HTTP and gRPC (Triton's clients), and MLflow's
/invocations. The slow route's model waits for a file, so that a test says who runs, who waits and who comes too late."""

import concurrent.futures
import os
import re
import sys
import uuid

import numpy as np
import pytest
import requests

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
import mlflow.pyfunc  # noqa: E402
import tritonclient.grpc as triton_grpc  # noqa: E402
import tritonclient.http as triton_http  # noqa: E402
from mlflow.models import infer_signature  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

from desk import ROUTE, desk_in, onnx_model  # noqa: E402
from test_v2 import Both  # noqa: E402

LIMITS = """output: variable
limits:
  - {per: tenant, requests_per_minute: 6}
"""
QUEUE = """output: score
queue: {max_concurrency: 1, max_waiting: 2, max_wait: 1m}
"""
GATED = '''import os, time
import mlflow.pyfunc

class Gated(mlflow.pyfunc.PythonModel):
    """Says who is served, waits until the gate stands open, and gives back what came."""

    def predict(self, context, model_input, params=None):
        who = str(model_input["who"].iloc[0])
        with open(os.path.join(FOLDER, "served"), "a") as served:
            served.write(who + "\\\\n")
        while not os.path.exists(os.path.join(FOLDER, "open")):
            time.sleep(0.005)
        return model_input[["value"]].rename(columns={"value": "score"})

FOLDER = %r
mlflow.models.set_model(Gated())
'''.replace("\\\\n", "\\n")


class Gate:
    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        (self.folder / "open").unlink(missing_ok=True)
        (self.folder / "served").unlink(missing_ok=True)
        return self

    def __exit__(self, *ignored):
        self.open()

    def open(self):
        (self.folder / "open").touch()

    def served(self):
        path = self.folder / "served"
        return path.read_text().split() if path.exists() else []


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    import pandas as pd

    folder = tmp_path_factory.mktemp("tables")
    config = f"python: {{interpreter: {sys.executable}, run_time: 2m, workers: 1}}\n"
    with desk_in(folder, "127.0.0.1:0", "--grpc", "127.0.0.1:0", config=config, kind=Both) as one:
        one.folder_of_gate = folder / "gate"
        one.folder_of_gate.mkdir()
        one.tenants = {
            tenant: one.server.run("tokens", "create", tenant, "--actor", f"service:{tenant}", "--role", "developer", "--tenant", tenant)
            .stdout.strip() for tenant in ("acme", "bolt", "core")}
        one.apply(ROUTE.format(model="metered", more=LIMITS))
        one.start_release("metered", one.register("metered", onnx_model(folder / "metered", 2.0)))
        (folder / "gated.py").write_text(GATED % str(one.folder_of_gate))
        rows = pd.DataFrame({"who": ["x"], "value": [1.0]})
        mlflow.pyfunc.save_model(str(folder / "slow"), python_model=str(folder / "gated.py"), pip_requirements=[],
                                 signature=infer_signature(rows, pd.DataFrame({"score": [1.0]})))
        one.apply(ROUTE.format(model="slow", more=QUEUE))
        with Gate(one.folder_of_gate):
            pass
        one.start_release("slow", one.register("slow", folder / "slow"))
        yield one


class Refused(Exception):
    def __init__(self, status, text, retry_after=None):
        super().__init__(f"{status}: {text}")
        self.status, self.text, self.retry_after = status, text, retry_after


def tensors(module, route, who):
    if route == "metered":
        made = [module.InferInput("X", [1, 2], "FP32")]
        made[0].set_data_from_numpy(np.array([[1.0, 2.0]], np.float32))
        return made
    made = [module.InferInput("who", [1], "BYTES"), module.InferInput("value", [1], "FP64")]
    made[0].set_data_from_numpy(np.array([who], dtype=object))
    made[1].set_data_from_numpy(np.array([1.0]))
    return made


def by_triton_http(desk, route, token, headers, who, deadline):
    """Its body, by Triton's client; sent by requests, since that client hides the headers of a refusal."""
    body, length = triton_http.InferenceServerClient.generate_request_body(tensors(triton_http, route, who))
    headers = {**headers, "Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    if length is not None:
        headers["Inference-Header-Content-Length"] = str(length)
    if deadline:
        headers["X-Request-Timeout"] = deadline
    return checked(requests.post(f"{desk.server.url}/v2/models/{route}/infer", data=body, headers=headers, timeout=120), "error")


def by_invocations(desk, route, token, headers, who, deadline):
    headers = {**headers, "Authorization": f"Bearer {token}"}
    if deadline:
        headers["X-Request-Timeout"] = deadline
    body = ({"inputs": {"X": [[1.0, 2.0]]}} if route == "metered"
            else {"dataframe_records": [{"who": who, "value": 1.0}]})
    return checked(requests.post(f"{desk.server.url}/routes/{route}/invocations", json=body, headers=headers, timeout=120),
                   "message")


def checked(answer, field):
    if answer.status_code == 200:
        return True
    raise Refused(answer.status_code, answer.json()[field], answer.headers.get("Retry-After"))


def by_triton_grpc(desk, route, token, headers, who, deadline):
    client = triton_grpc.InferenceServerClient(desk.server.grpc)
    seconds = float(deadline.removesuffix("ms")) / 1000 if deadline else None
    try:
        client.infer(route, tensors(triton_grpc, route, who), client_timeout=seconds,
                     headers={**{name.lower(): value for name, value in headers.items()}, "authorization": f"Bearer {token}"})
        return True
    except InferenceServerException as refused:
        status = {"StatusCode.RESOURCE_EXHAUSTED": 429, "StatusCode.UNAVAILABLE": 503, "StatusCode.DEADLINE_EXCEEDED": 504}
        raise Refused(status.get(refused.status(), refused.status()), refused.message()) from refused
    finally:
        client.close()


WAYS = {"http": by_triton_http, "grpc": by_triton_grpc, "invocations": by_invocations}
each_way = pytest.mark.parametrize("way", WAYS)


def call(desk, way, route="slow", tenant="core", who="", deadline=None, **headers):
    return WAYS[way](desk, route, desk.tenants[tenant], headers, who or uuid.uuid4().hex, deadline)


def gauge(desk, name):
    """Of the slow route's queue, now."""
    text = requests.get(f"{desk.server.url}/metrics", headers={"Authorization": f"Bearer {desk.server.token}"}).text
    found = re.search(name + r'\{[^}]*route="slow"[^}]*\} (\S+)', text)
    return float(found[1]) if found else 0


def test_a_tenants_limit_is_one_over_all_protocols(desk):
    for way in WAYS:
        for _ in range(2):
            assert call(desk, way, "metered", "acme")
    for way in WAYS:
        with pytest.raises(Refused) as told:
            call(desk, way, "metered", "acme")
        assert told.value.status == 429 and "tenant" in told.value.text, told.value
        if way != "grpc":
            assert 1 <= int(told.value.retry_after) <= 61
        else:
            assert re.search(r"\d+ s", told.value.text) or "again" in told.value.text, told.value
    assert call(desk, "http", "metered", "bolt"), "another tenant has a limit of its own"


@each_way
def test_a_full_queue_lets_the_urgent_in_and_the_least_urgent_go(desk, way):
    with Gate(desk.folder_of_gate) as gate, concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(call, desk, way, who="first")
        desk.server.wait(lambda: gate.served() == ["first"])
        waiting = []
        for number in (1, 2):
            waiting.append(pool.submit(call, desk, way, who=f"low{number}", **{"X-Penstock-Priority": "1"}))
            desk.server.wait(lambda: gauge(desk, "penstock_queue_waiting") == number)
        # As urgent as those who wait, and later than they: there is no place.
        with pytest.raises(Refused) as told:
            call(desk, way, who="late", **{"X-Penstock-Priority": "1"})
        assert told.value.status == 503 and "wait already" in told.value.text, told.value
        assert way == "grpc" or int(told.value.retry_after) >= 1
        urgent = pool.submit(call, desk, way, who="urgent", **{"X-Penstock-Priority": "9"})
        desk.server.wait(lambda: sum(one.done() for one in waiting) == 1)
        given_way = next(one for one in waiting if one.done()).exception()
        assert given_way.status == 503 and (way == "grpc" or int(given_way.retry_after) >= 1)
        assert not first.done() and not urgent.done()
        gate.open()
        assert first.result() and urgent.result()
        assert sum(one.exception() is None for one in waiting) == 1
    served = gate.served()
    assert served[:2] == ["first", "urgent"] and len(served) == 3 and served[2].startswith("low"), served


@each_way
def test_a_deadline_ends_the_wait_in_the_queue(desk, way):
    with Gate(desk.folder_of_gate) as gate, concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(call, desk, way, who="first")
        desk.server.wait(lambda: gate.served() == ["first"])
        with pytest.raises(Refused) as told:
            call(desk, way, who="hasty", deadline="300ms")
        assert told.value.status in (503, 504), told.value
        # Whoever gave up holds no place: two may wait.
        more = [pool.submit(call, desk, way, who="patient")]
        desk.server.wait(lambda: gauge(desk, "penstock_queue_waiting") == 1)
        gate.open()
        assert first.result() and more[0].result()
    assert gate.served() == ["first", "patient"]


def test_a_crowd_is_served_in_turn_and_the_rest_turned_away(desk):
    """The queue's blocking form under load: of forty callers at once each is answered or told to come again, and the next one
    after them finds it empty."""
    def one(number):
        try:
            return call(desk, list(WAYS)[number % 3], who=f"crowd{number}")
        except Refused as refused:
            assert refused.status == 503 and (number % 3 == 1 or int(refused.retry_after) >= 1), refused
            return False
    with Gate(desk.folder_of_gate) as gate, concurrent.futures.ThreadPoolExecutor(40) as pool:
        came = [pool.submit(one, number) for number in range(40)]
        desk.server.wait(lambda: sum(future.done() for future in came) == 37)  # one runs, two wait
        gate.open()
        assert sum(future.result() for future in came) == 3
    assert len(gate.served()) == 3
    for way in WAYS:
        assert call(desk, way)
    desk.server.wait(lambda: gauge(desk, "penstock_queue_waiting") == 0)  # it is measured each second
