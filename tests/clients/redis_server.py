"""A real Redis, on loopback and a directory of its own, ended by its process id."""

import socket
import subprocess
import time
from pathlib import Path


class RedisServer:
    def __init__(self, folder: Path, password: str = ""):
        self.folder = folder
        folder.mkdir(parents=True)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.address}"
        self.password = password
        (folder / "settings").write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {folder}\nsave \"\"\nappendonly yes\n"
            + (f"user default off\nuser penstock on >{password} ~* &* +@all\n" if password else ""))
        self.process = None

    def start(self) -> None:
        self.process = subprocess.Popen(["redis-server", self.folder / "settings"],
                                        stdout=(self.folder / "log").open("a"), stderr=subprocess.STDOUT)
        for _ in range(3000):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        raise AssertionError("Redis does not listen")

    def ask(self, *words: str) -> str:
        user = ["--user", "penstock", "--no-auth-warning", "-a", self.password] if self.password else []
        return subprocess.run(["redis-cli", "-p", str(self.port), *user, *words], check=True, capture_output=True,
                              text=True, timeout=60).stdout.strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
