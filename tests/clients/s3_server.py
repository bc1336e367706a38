"""versitygw, a real S3 server that checks signatures, on loopback and a directory of its own."""

import socket
import subprocess
import time
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / ".deps/bin/versitygw"
ACCESS_KEY, SECRET_KEY = "penstock", "not-a-real-secret"


class S3Server:
    def __init__(self, folder: Path, bucket: str):
        self.folder = folder
        (folder / "data" / bucket).mkdir(parents=True)
        (folder / "sidecar").mkdir()
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, "--port", f"127.0.0.1:{self.port}", "--access", ACCESS_KEY, "--secret", SECRET_KEY,
             "--quiet", "posix", "--sidecar", self.folder / "sidecar", self.folder / "data"],
            stdout=subprocess.DEVNULL, stderr=(self.folder / "log").open("a"))
        for _ in range(3000):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        raise AssertionError("versitygw does not listen")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
