#!/usr/bin/env python3
"""Ten minutes of open-loop load while tables change, upstreams fail and a runtime is slow.

Four routes of one server: `delay` (a tabular model in process) and `chat` (an upstream that works), the healthy ones;
`flaky` (an upstream that is killed, comes back, and stands still in turns) and `slow` (a Python model that takes 300 ms).
The healthy routes are asked at a share of what they carry for long (measured before), by Poisson arrivals, the other two
at a few calls a second. Meanwhile the `chat` and `delay` routes are declared anew, a new routing table each time.

Defends: every call on a healthy route is answered well, once, with its own answer; p99.9 from the time it was meant to
leave under 20 ms; upstream and event log saw each of them once; memory that does not grow in the second half.

    soak.py [BINARY] [--minutes 10] [--swaps 1000] [--share 0.7]
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import yaml  # noqa: E402

import gateway_bench  # noqa: E402
import peers  # noqa: E402
import serving_tabular_bench as tabular  # noqa: E402

ZEROS = "0" * 16
ROUTE = """kind: model
name: {name}
owner: desk
---
kind: route
name: {name}
owner: desk
model: {name}
{more}"""
UPSTREAM = """kind: upstream
name: {name}
owner: desk
protocol: openai
url: {url}/v1
"""
SLOW = '''
import time
import mlflow.pyfunc

class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        time.sleep(0.3)
        return model_input.iloc[:, 0] * 2.0

mlflow.models.set_model(Slow())
'''


class Mock:
    """The stand-in for a language model that can be killed, stopped and started again on its port."""

    def __init__(self, binaries: pathlib.Path):
        self.program = binaries / "mock_upstream"
        self.port = 0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([self.program, "--port", str(self.port), "--mark", "soak-"],
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> dict:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        said = self.process.stdout.read()
        self.process.wait(30)
        return json.loads(said)


class Desk(tabular.Penstock):
    """The server of the tabular bench, with routes to language models and a Python model beside its own."""

    def ask(self, method: str, path: str, body=None):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body is not None else None,
                                         {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or "{}")
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.read().decode()}") from None

    def apply(self, folder: pathlib.Path, text: str) -> None:
        (folder / "declared.yaml").write_text(text)
        self.run("apply", str(folder / "declared.yaml"))

    def add(self, folder: pathlib.Path, name: str, artifact: pathlib.Path, more: str = "") -> None:
        self.apply(folder, ROUTE.format(name=name, more=more))
        ana = os.environ["MLFLOW_TRACKING_PASSWORD"]
        run = self.ask("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        self.ask("POST", "/api/2.0/mlflow/runs/log-metric",
                 {"run_id": run, "key": "accuracy", "value": 0.9, "timestamp": 1, "step": 0})
        (folder / "record.yaml").write_text(
            f"model_id: {name}\nartifact_uri: uploaded\nowner: desk\neval_report: run:{run}\n")
        self.run("models", "register", "-f", str(folder / "record.yaml"), "--artifact", str(artifact), token=ana)
        self.run("models", "approve", f"{name}@v1", "--for", "production")
        started = self.run("releases", "start", name, f"{name}@v1", "--plan", str(folder / "plan.yaml"), token=ana)
        self.run("releases", "approve", re.search(r"release:(\S+)", started)[1])
        for _ in range(600):
            if '"ready":true' in self.run("--json", "routes", "show", name).replace(" ", ""):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{name} never came into service")

    def metrics(self) -> str:
        with urllib.request.urlopen(self.url + "/metrics") as answer:
            return answer.read().decode()

    def events(self) -> tuple[int, int]:
        """Inference events logged and dropped."""
        told = dict(re.findall(r"^penstock_telemetry_(\w+)_total (\d+)", self.metrics(), re.MULTILINE))
        return int(told["events"]), int(told["dropped"])


def write_request(folder: pathlib.Path, name: str, path: str, body: dict, token: str) -> pathlib.Path:
    text = json.dumps(body, separators=(",", ":"))
    place = folder / f"{name}.request"
    place.write_bytes((f"POST {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {token}\r\n"
                       f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}").encode())
    return place


def requests_of(folder: pathlib.Path, token: str) -> dict:
    row = json.loads(tabular.body_of(1))
    found = {"delay": write_request(folder, "delay", "/v2/models/delay/infer", {"id": f"soak-delay-{ZEROS}", **row}, token),
             "slow": write_request(folder, "slow", "/v2/models/slow/infer",
                                   {"id": f"soak-slow-{ZEROS}",
                                    "inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [2.0]}]}, token)}
    for name in ("chat", "flaky"):
        asks = {"model": name, "messages": [{"role": "user", "content": f"soak-{name}-{ZEROS}"}]}
        found[name] = write_request(folder, name, "/v1/chat/completions", asks, token)
    return found


def slow_model(folder: pathlib.Path) -> pathlib.Path:
    import mlflow
    import pandas
    from mlflow.models import infer_signature

    (folder / "slow_model.py").write_text(SLOW)
    rows = pandas.DataFrame({"x": [1.0, 2.0]})
    mlflow.pyfunc.save_model(str(folder / "slow"), python_model=str(folder / "slow_model.py"),
                             signature=infer_signature(rows, rows["x"]), pip_requirements=["pandas"])
    return folder / "slow"


def open_load(binaries: pathlib.Path, desk: Desk, name: str, request: pathlib.Path, rate: float, seconds: float,
              connections: int) -> subprocess.Popen:
    return subprocess.Popen([binaries / "open_load", desk.url.removeprefix("http://"), f"{rate:.1f}", f"{seconds:.0f}",
                             str(connections), f"soak-{name}-", request], stdout=subprocess.PIPE, text=True)


def closed_rate(binaries: pathlib.Path, desk: Desk, requests: dict) -> float:
    """Calls a second on each healthy route that the machine carries for long, load generator included: those of 16 callers
    on each at once, over the time until what they leave behind is done (ledger, statistics), too. A burst carries twice that."""
    begin = time.monotonic()
    both = [open_load(binaries, desk, name, requests[name], 0, 10, 16) for name in ("delay", "chat")]
    sent = min(json.loads(one.communicate()[0])["sent"] for one in both)
    gateway_bench.until_quiet(desk.process.process.pid, 240)
    return sent / (time.monotonic() - begin)


class Troubles:
    """Until `end`: new tables at a steady pace, and an upstream that fails in turns."""

    def __init__(self, desk: Desk, flaky: Mock, swaps: int, seconds: float):
        self.desk, self.flaky, self.swaps, self.seconds = desk, flaky, swaps, seconds
        self.swapped, self.kills, self.freezes, self.memory, self.failed = 0, 0, 0, [], []
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.guarded, args=(work,))
                        for work in (self.swap, self.fail, self.watch)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()
        if self.failed:
            raise RuntimeError(self.failed)

    def guarded(self, work) -> None:
        try:
            work()
        except Exception as error:  # told by stop(): a thread that died must not look like a calm server
            self.failed.append(f"{work.__name__}: {error!r}")

    def swap(self) -> None:
        """Each table differs in a limit that no caller reaches."""
        begin = time.monotonic()
        for turn in range(self.swaps):
            more = f"limits: [{{per: route, requests_per_minute: {100_000_000 + turn}}}]\n"
            text = ROUTE.format(name="chat", more=more) if turn % 2 else ROUTE.format(
                name="delay", more="entity_keys: []\noutput: probabilities\n" + more)
            documents = [{"file": "soak.yaml", "declaration": one, "lines": {}} for one in yaml.safe_load_all(text)]
            self.desk.ask("POST", "/api/v1/resources:apply", {"documents": documents})
            self.swapped += 1
            if self.done.wait(max(0.0, begin + (turn + 1) * self.seconds / self.swaps - time.monotonic())):
                return

    def fail(self) -> None:
        while not self.done.wait(5):
            self.flaky.process.kill()
            self.flaky.process.wait(10)
            self.flaky.process.stdout.close()
            self.kills += 1
            if self.done.wait(2):
                return
            self.flaky.start()
            if self.done.wait(5):
                return
            self.flaky.process.send_signal(signal.SIGSTOP)
            self.freezes += 1
            self.done.wait(3)
            self.flaky.process.send_signal(signal.SIGCONT)

    def watch(self) -> None:
        own = self.desk.process.process.pid  # without its Python workers
        while not self.done.wait(2):
            status = pathlib.Path(f"/proc/{own}/status").read_text()
            self.memory.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024)


def soak(binaries: pathlib.Path, desk: Desk, folder: pathlib.Path, healthy: Mock, flaky: Mock, given) -> bool:
    requests = requests_of(folder, desk.token)
    capacity = closed_rate(binaries, desk, requests)
    seconds = given.minutes * 60
    rate = capacity * given.share
    print(f"capacity: {capacity:.0f} calls/s on each healthy route at once; now {rate:.0f}/s on each for {seconds:.0f} s; "
          f"load of the machine {os.getloadavg()[0]:.1f}", flush=True)
    time.sleep(5)
    events_before, _ = desk.events()
    troubles = Troubles(desk, flaky, given.swaps, seconds)
    troubles.start()
    running = {name: open_load(binaries, desk, name, requests[name], at, seconds, connections)
               for name, at, connections in (("delay", rate, 64), ("chat", rate, 64), ("flaky", 20, 64), ("slow", 4, 16))}
    said = {name: json.loads(one.communicate()[0]) for name, one in running.items()}
    troubles.stop()
    for name, told in said.items():
        print(f"{name:6} {json.dumps(told)}")
    upstream = healthy.stop()
    time.sleep(5)
    events, dropped = desk.events()
    answered = sum(one["well"] + sum(one["refused"].values()) for one in said.values())
    half = troubles.memory[len(troubles.memory) // 2:]
    quarter = len(half) // 2
    print(f"{troubles.swapped} tables, {troubles.kills} kills, {troubles.freezes} freezes; events logged: {events - events_before} of "
          f"{answered} answered, {dropped} dropped; healthy upstream: {upstream}")
    print(f"memory MB: start {troubles.memory[0]:.0f}, half {half[0]:.0f}, end {troubles.memory[-1]:.0f}, most {max(troubles.memory):.0f}")
    checks = {
        "healthy calls all answered well, once": all(
            said[name]["well"] == said[name]["sent"] and not said[name]["wrong"] for name in ("delay", "chat")),
        "no call without an end": all(
            one["well"] + one["lost"] + sum(one["refused"].values()) + one["wrong"] == one["sent"] and not one["lost"]
            for one in said.values()),
        "upstream saw each call once": upstream["repeated"] == 0,
        "no event lost": dropped == 0,
        "p99.9 under 20 ms": all(said[name]["p999"] < 20_000 for name in ("delay", "chat")),
        "slow and flaky routes answered": all(said[name]["well"] > 0 for name in ("slow", "flaky")),
        "every table came": troubles.swapped == given.swaps,
        "memory flat in the second half": max(half[quarter:]) < 1.1 * max(half[:quarter]),
    }
    for what, held in checks.items():
        print(f"{'ok  ' if held else 'FAIL'} {what}")
    return all(checks.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?", default=str(peers.ROOT / "build/release/bin/penstock"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.7)
    given = parser.parse_args()
    binaries = pathlib.Path(given.binary).parent
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        path = tabular.trained(folder)
        healthy, flaky = Mock(binaries), Mock(binaries)
        desk = None
        try:
            desk = Desk(given.binary, folder, path, f"python: {{interpreter: {sys.executable}, run_time: 20s, workers: 2}}\n")
            for name, mock in (("chat", healthy), ("flaky", flaky)):
                desk.apply(folder, UPSTREAM.format(name=name, url=mock.url))
                (folder / name).mkdir()
                (folder / name / "remote.yaml").write_text(f"upstream: {name}\nmodel: mock\n")
                desk.add(folder, name, folder / name)
            desk.add(folder, "slow", slow_model(folder), "entity_keys: []\noutput: x\n")
            held = soak(binaries, desk, folder, healthy, flaky, given)
        finally:
            if desk:
                desk.process.stop()
            for mock in (healthy, flaky):
                if mock.process.poll() is None:
                    mock.process.kill()
    sys.exit(not held)


if __name__ == "__main__":
    main()
