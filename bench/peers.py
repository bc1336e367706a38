"""Other people's servers for benches: their own virtual environment, loopback, a free port, ended by process id."""

import hashlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools/pins/requirements-bench.lock"


def environment() -> pathlib.Path:
    """The folder of the peers' virtual environment, made on first use from its lock (a minute or two)."""
    place = ROOT / ".deps" / "bench-venv"
    stamp = place / "stamp"
    wanted = hashlib.sha256(LOCK.read_bytes() + str(place).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing the peers of {LOCK.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        subprocess.run([place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
                        "--no-deps", "-r", LOCK], check=True)
        stamp.write_text(wanted)
    return place


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Process:
    """A server in a process group of its own; `ready_seconds` is from its start to its first good answer."""

    def __init__(self, command: list, health: str, log: pathlib.Path, **environment_more: str):
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=log.open("w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, env={**os.environ, **environment_more})
        while True:
            try:
                with urllib.request.urlopen(health, timeout=5):
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self.process.poll() is not None or time.perf_counter() - started > 120:
                    self.stop()
                    raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.002)
        self.ready_seconds = time.perf_counter() - started

    def members(self) -> list[int]:
        """Every process of its group."""
        group = self.process.pid
        found = []
        for folder in pathlib.Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    if os.getpgid(int(folder.name)) == group:
                        found.append(int(folder.name))
                except ProcessLookupError:
                    pass
        return found

    def resident_megabytes(self) -> float:
        total = 0
        for member in self.members():
            try:
                status = pathlib.Path(f"/proc/{member}/status").read_text()
            except FileNotFoundError:
                continue
            total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
        return total / 1024

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(15)


def mlflow_server(folder: pathlib.Path, workers: int = 2, store: str = "") -> tuple[Process, str]:
    """`mlflow server` on SQLite in `folder` (or on `store`), answering on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [environment() / "bin/mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", workers,
               "--backend-store-uri", store or f"sqlite:///{folder}/mlflow.db",
               "--artifacts-destination", folder / "artifacts"]
    # Its workers import from the folder they start in; a free port is not one of its defaults.
    return Process(command, url + "/health", folder / "server.log", MLFLOW_DISABLE_TELEMETRY="true",
                   GIT_PYTHON_REFRESH="quiet", PATH=f"{environment()}/bin:{os.environ['PATH']}"), url


def penstock_server(binary: str, folder: pathlib.Path, *more: str) -> tuple[Process, str]:
    """`penstock serve` on an address of loopback, without tokens as MLflow's server is without."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{free_port()}"
    return Process([binary, "serve", "--data", folder / "data", "--http", url.removeprefix("http://"), "--auth",
                    "none", *more], url + "/healthz", folder / "server.log"), url
