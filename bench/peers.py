"""Other people's servers for benches: their own virtual environment, loopback, a free port, ended by process id."""

import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent


def environment(name: str = "bench") -> pathlib.Path:
    """The folder of a virtual environment of peers, made on first use from its lock (a minute or two).

    Peers whose packages do not fit together have one each.
    """
    place = (ROOT / ".deps").resolve() / f"{name}-venv"
    lock = ROOT / f"tools/pins/requirements-{name}.lock"
    stamp = place / "stamp"
    wanted = hashlib.sha256(lock.read_bytes() + str(place).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing the peers of {lock.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        subprocess.run([place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
                        "--no-deps", "-r", lock], check=True)
        stamp.write_text(wanted)
    return place


def node_package(name: str) -> pathlib.Path:
    """The node_modules of a peer that npm has, installed on first use from its lock; its install scripts are not run.

    What the lock says of versions holds, whatever the packages in it would rather have beside them.
    """
    place = (ROOT / ".deps").resolve() / f"{name}-node"
    pins = ROOT / f"tools/pins/{name}"
    stamp = place / "stamp"
    wanted = hashlib.sha256((pins / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {name}", file=sys.stderr)
        place.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(pins / file, place / file)
        subprocess.run(["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund",
                        "--silent"], cwd=place, check=True)
        stamp.write_text(wanted)
    return place / "node_modules"


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

    def cpu_seconds(self) -> float:
        """User and system time of its processes so far."""
        ticks = 0
        for member in self.members():
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(15)


class Connection:
    """One kept connection; `ask` gives the body of an answer that is a success."""

    def __init__(self, url: str):
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        self.socket.sendall(request)
        # A server that sends head and body apart waits for the first to be acknowledged (Nagle), and the kernel puts
        # that off by 40 ms. It forgets this wish with each answer.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionError("the server hung up")
            answer += more
        head, _, body = answer.partition(b"\r\n\r\n")
        said = re.search(rb"(?i)content-length: *(\d+)", head)
        if not said:
            raise RuntimeError(f"{request[:200]!r}: {answer[:500]!r}")
        length = int(said[1])
        parts = [body]
        have = len(body)
        while have < length:
            parts.append(self.socket.recv(1 << 20))
            have += len(parts[-1])
        if not re.match(rb"HTTP/1.1 2", head):
            raise RuntimeError(f"{request[:200]!r}: {answer[:500]!r}")
        return b"".join(parts)


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
