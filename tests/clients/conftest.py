"""A server of its own for each module, on loopback and a free port, ended by its process id."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.register_assert_rewrite("desk")
ROOT = Path(__file__).resolve().parents[2]
# Before MLflow's client is imported: it would send from a thread that changes the environment under the others.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
PENSTOCK = os.environ.get("PENSTOCK_BINARY", str(ROOT / "build/release/bin/penstock"))


class Server:
    """`penstock serve` on `data`, and the commands of a person who holds its admin token."""

    def __init__(self, data: Path):
        self.data = data
        self.out = data.parent / "server.out"
        self.err = data.parent / "server.err"
        self.process = None

    def start(self, http: str = "127.0.0.1:0", *more: str) -> None:
        self.process = subprocess.Popen(
            [PENSTOCK, "serve", "--data", str(self.data), "--http", http, *more],
            stdout=self.out.open("w"), stderr=self.err.open("w"))
        for _ in range(12_000):
            found = re.search(r"http://(\S+)", self.out.read_text())
            if found:
                self.url = f"http://{found[1]}"
                break
            assert self.process.poll() is None, "the server ended at once"
            time.sleep(0.01)
        else:
            raise AssertionError("the server does not say where it listens")
        self.token = (self.data / "admin.token").read_text().strip()

    def run(self, *arguments: str, token: str | None = None, url: str = "") -> subprocess.CompletedProcess:
        return subprocess.run(
            [PENSTOCK, "--server", url or self.url, *arguments], capture_output=True, text=True, timeout=120,
            env={**os.environ, "PENSTOCK_TOKEN": token or self.token})

    @staticmethod
    def wait(holds, turns: int = 600) -> None:
        """Until `holds()`, or it fails."""
        for _ in range(turns):
            if holds():
                return
            time.sleep(0.1)
        raise AssertionError("it never came to hold")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(120)


@pytest.fixture(autouse=True, scope="module")
def no_experiment_of_another_server():
    """MLflow's client keeps the experiment that was set for its process, also where the next module has another server."""
    yield
    if fluent := sys.modules.get("mlflow.tracking.fluent"):
        fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("penstock") / "data")
    one.start()
    yield one
    one.stop()
