#!/usr/bin/env python3
"""What one row costs through HTTP, route, online features and ONNX, beside the same edge answering a constant.

Defends: p50 at most 2x the constant's. `serving_bench.py BINARY DATA` plays `demo --quick` into DATA first if it
is not there, then asks both in turns over one kept connection, so that the machine's mood hits both alike. Also:
a no-op apply (goal 50 ms), start on an empty directory (300 ms) and idle memory (80 MB).
"""

import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 3000


def serve(binary: str, data: str, *arguments: str) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen([binary, "serve", "--data", data, "--http", "127.0.0.1:0", "--auth", "none",
                                *arguments], stdout=subprocess.PIPE, text=True)
    return process, re.search(r"http://(\S+)", process.stdout.readline())[1]


def resident_megabytes(process: subprocess.Popen) -> float:
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


def main() -> None:
    binary, data = sys.argv[1], sys.argv[2]
    if not os.path.exists(f"{data}/server"):
        subprocess.run([binary, "demo", "--quick", "--stop", "--data", data], check=True,
                       stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as empty:
        started = time.perf_counter()
        process, address = serve(binary, empty)
        start_ms = (time.perf_counter() - started) * 1e3
        time.sleep(2)
        print(f"start on an empty directory: {start_ms:.0f} ms (goal 300), idle {resident_megabytes(process):.0f} MB (goal 80)")
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    process, address = serve(binary, f"{data}/server", "--sources", f"{data}/sources")
    keys = {"flight_id": "20130228-UA1545-EWR", "carrier": "UA", "origin": "EWR", "tailnum": "N24211"}
    body = json.dumps({"parameters": {"event_time": "2013-02-28T20:00:00Z"}, "inputs": [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]} for name, value in keys.items()]})
    connection = http.client.HTTPConnection(address)
    requests = {"constant": ("GET", "/healthz", None),
                "row": ("POST", "/v2/models/flight-delay/infer", body)}
    headers = {"X-Penstock-Project": "flights", "Content-Type": "application/json"}
    times = {name: [] for name in requests}
    for _ in range(ROUNDS):
        for name, (method, path, text) in requests.items():
            started = time.perf_counter()
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            answer = response.read()
            times[name].append(time.perf_counter() - started)
            assert response.status == 200, answer
    medians = {name: statistics.median(values) * 1e6 for name, values in times.items()}
    print(f"p50 of a constant {medians['constant']:.0f} us, of one row {medians['row']:.0f} us: "
          f"{medians['row'] / medians['constant']:.2f}x (goal 2x; the client's own time is in both)")
    process.send_signal(signal.SIGTERM)
    process.wait(30)


if __name__ == "__main__":
    main()
