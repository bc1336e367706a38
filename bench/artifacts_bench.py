#!/usr/bin/env python3
"""Sending and fetching one large file through the server, beside what the disk and loopback do on their own.

Defends: no less than 70% of the slower of disk and loopback, and flat memory. `artifacts_bench.py [BINARY [MEGABYTES
[ROUNDS]]]`. In turns, so that the machine's mood hits all alike: a plain write of as many bytes to the same disk, synced; a
plain copy of them over a loopback socket; PUT of a file of new bytes (so that nothing is deduplicated); GET of it. The
sockets are plain, an HTTP library's time would hide the server's. Each number is the median of its rounds.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

STEP = 1 << 20
PATH = "/api/2.0/mlflow-artifacts/artifacts/bench/file"


def disk(folder: str, block: bytes, megabytes: int) -> float:
    start = time.perf_counter()
    with open(f"{folder}/plain", "wb", buffering=0) as file:
        for _ in range(megabytes):
            file.write(block)
        os.fsync(file.fileno())
    took = time.perf_counter() - start
    os.unlink(f"{folder}/plain")
    return took


def receive(connection: socket.socket, size: int) -> None:
    buffer = bytearray(STEP)
    while size > 0:
        got = connection.recv_into(buffer)
        assert got > 0, "cut short"
        size -= got


def loopback(block: bytes, megabytes: int) -> float:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        taker, _ = listener.accept()
        thread = threading.Thread(target=receive, args=(taker, megabytes * STEP))
        start = time.perf_counter()
        thread.start()
        for _ in range(megabytes):
            sender.sendall(block)
        thread.join()
        took = time.perf_counter() - start
        sender.close()
        taker.close()
    return took


def connect(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)))


def head_of(connection: socket.socket) -> tuple[bytes, bytes]:
    answer = b""
    while b"\r\n\r\n" not in answer:
        got = connection.recv(65536)
        assert got, answer
        answer += got
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer[:500]
    return head, body


def put(address: str, block: bytes, megabytes: int) -> float:
    with connect(address) as connection:
        start = time.perf_counter()
        connection.sendall(f"PUT {PATH} HTTP/1.1\r\nHost: bench\r\nContent-Length: {megabytes * STEP}\r\n\r\n".encode())
        for _ in range(megabytes):
            connection.sendall(block)
        head_of(connection)
        return time.perf_counter() - start


def get(address: str, megabytes: int) -> float:
    with connect(address) as connection:
        start = time.perf_counter()
        connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head, body = head_of(connection)
        assert int(re.search(rb"(?i)content-length: (\d+)", head)[1]) == megabytes * STEP
        receive(connection, megabytes * STEP - len(body))
        return time.perf_counter() - start


def peak_megabytes(process: subprocess.Popen) -> float:
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) / 1024


def main() -> None:
    binary = sys.argv[1] if len(sys.argv) > 1 else "build/release/bin/penstock"
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    with tempfile.TemporaryDirectory(dir=".") as folder:
        process = subprocess.Popen([binary, "serve", "--data", f"{folder}/data", "--http", "127.0.0.1:0",
                                    "--auth", "none"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = re.search(r"http://(\S+)", process.stdout.readline())[1]
            idle = peak_megabytes(process)
            seconds = {"disk": [], "loopback": [], "upload": [], "download": []}
            for _ in range(rounds):
                block = os.urandom(STEP)
                seconds["disk"].append(disk(folder, block, megabytes))
                seconds["loopback"].append(loopback(block, megabytes))
                seconds["upload"].append(put(address, block, megabytes))
                seconds["download"].append(get(address, megabytes))
            peak = peak_megabytes(process)
        finally:
            process.terminate()
            process.wait(30)
    rate = {name: megabytes / statistics.median(took) for name, took in seconds.items()}
    for name, value in rate.items():
        print(f"{name:9} {value:7.0f} MB/s")
    print(f"upload    {rate['upload'] / min(rate['disk'], rate['loopback']):.2f} of the slower of disk and loopback")
    print(f"download  {rate['download'] / rate['loopback']:.2f} of loopback")
    print(f"memory    {idle:.0f} MB before, {peak:.0f} MB at the most")


if __name__ == "__main__":
    main()
