#!/usr/bin/env python3
"""What one row costs through HTTP, route, online features and ONNX, beside the same edge answering a constant.

Defends: p50 at most 2x the constant's. `serving_bench.py [BINARY [DATA]]` plays `demo --quick` into DATA first if it
is not there, then asks both in turns over one kept connection, so that the machine's mood hits both alike. The
requests are bytes made before, sent on a plain socket: an HTTP library's time would hide the server's. Also: start
on an empty directory (goal 300 ms) and idle memory (80 MB).
"""

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5000


def request_bytes(method: str, path: str, body: str) -> bytes:
    return (f"{method} {path} HTTP/1.1\r\nHost: bench\r\nX-Penstock-Project: flights\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def ask(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    assert head.startswith(b"HTTP/1.1 200"), answer
    return body


def serve(binary: str, data: str, *arguments: str) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen([binary, "serve", "--data", data, "--http", "127.0.0.1:0", "--auth", "none",
                                *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True)
    return process, re.search(r"http://(\S+)", process.stdout.readline())[1]


def resident_megabytes(process: subprocess.Popen) -> float:
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


def main() -> None:
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    binary = sys.argv[1] if len(sys.argv) > 1 else f"{root}/build/release/bin/penstock"
    with tempfile.TemporaryDirectory() as scratch:
        data = sys.argv[2] if len(sys.argv) > 2 else f"{scratch}/demo"
        if not os.path.exists(f"{data}/server"):
            subprocess.run([binary, "demo", "--quick", "--stop", "--data", data], check=True,
                           stdout=subprocess.DEVNULL,
                           env={**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"})
        start_and_idle(binary, f"{scratch}/empty")
        one_row(binary, data)


def start_and_idle(binary: str, empty: str) -> None:
    starts = []
    for _ in range(5):
        started = time.perf_counter()
        process, _ = serve(binary, f"{empty}{len(starts)}")
        starts.append((time.perf_counter() - started) * 1e3)
        if len(starts) == 5:
            time.sleep(2)
            idle = resident_megabytes(process)
        stop(process)
    print(f"start on an empty directory: {statistics.median(starts):.0f} ms (goal 300), idle {idle:.0f} MB (goal 80)")


def one_row(binary: str, data: str) -> None:
    process, address = serve(binary, f"{data}/server", "--sources", f"{data}/sources")
    keys = {"flight_id": "20130228-UA1545-EWR", "carrier": "UA", "origin": "EWR", "tailnum": "N24211"}
    body = json.dumps({"parameters": {"event_time": "2013-02-28T20:00:00Z"}, "inputs": [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]} for name, value in keys.items()]})
    requests = {"constant": request_bytes("GET", "/healthz", ""),
                "row": request_bytes("POST", "/v2/models/flight-delay/infer", body)}
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = {name: [] for name in requests}
    for _ in range(ROUNDS):
        for name, request in requests.items():
            started = time.perf_counter()
            ask(connection, request)
            times[name].append(time.perf_counter() - started)
    p50, p99 = ({name: statistics.quantiles(values, n=100)[point] * 1e6 for name, values in times.items()}
                for point in (49, 98))
    print(f"one row: p50 {p50['row']:.0f} us, of a constant {p50['constant']:.0f} us: "
          f"{p50['row'] / p50['constant']:.2f}x (goal 2x); p99 {p99['row']:.0f} and {p99['constant']:.0f} us")
    stop(process)


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(30)


if __name__ == "__main__":
    main()
