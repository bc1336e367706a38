#!/usr/bin/env python3
"""What the gateway adds to a chat completion, beside nginx as plain proxy, both before the same mock upstream.

Defends, on 2 cores with the load generator and the mock on them: added p50 at most 100 us and p99 at most 1 ms at
concurrency 1; 10,000 requests per second at concurrency 32; CPU per request at most 2x that of nginx as plain proxy;
under 60 MB; on streams at most 60 us more for a piece and for the first one. Two nginx take part: `plain` is
proxy_pass alone, which opens a connection to the upstream for each call; `nginx` keeps its connections and buffers
nothing, as somebody who knows it well would have it. Our CPU is told as a ratio to both.

    gateway_bench.py [--edge | --binary PENSTOCK | --url URL --pid PID --mock-port N --header H]
                     [--body FILE --stream-body FILE] [--seconds S] [--rounds N] [--litellm] [--portkey]

A `penstock serve` with limits, prices, a budget and tokens is made and measured (gateway_server.py); with --edge the
edge alone (plain_proxy), with --url a server that runs already and has its route's upstream at the address of
--mock-port. Direct, nginx and penstock take turns, so that the machine's mood hits all alike; medians over the rounds
are told. --litellm, --portkey: LiteLLM's proxy, Portkey's gateway take their turns, too (installed on first use). CPU is of
all threads, until what the calls leave behind is done: ledger, statistics, guards.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import gateway_server
import peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/release/bin"
BODY = {"model": "chat", "messages": [{"role": "system", "content": "You know flights."},
                                      {"role": "user", "content": "Will UA1545 leave on time?"}]}
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 100000000; tcp_nodelay on;
  split_clients $connection-$connection_requests $from {{
    12.5% 127.0.0.2; 12.5% 127.0.0.3; 12.5% 127.0.0.4; 12.5% 127.0.0.5;
    12.5% 127.0.0.6; 12.5% 127.0.0.7; 12.5% 127.0.0.8; * 127.0.0.9;
  }}
  upstream mock {{ server {mock}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ {proxy} }}
  }}
}}
"""
# From several addresses, or it would soon have no ports left and look worse than it is.
PLAIN = "proxy_pass http://{mock}; proxy_bind $from;"
KEPT = 'proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;'


class Program:
    """A server of ours that prints its URL; ended by its process id."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().strip()
        self.pid = self.process.pid

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def start_nginx(folder: pathlib.Path, mock: str, proxy: str = KEPT):
    folder.mkdir(exist_ok=True)
    port, mock = peers.free_port(), mock.removeprefix("http://")
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, mock=mock, port=port, proxy=proxy.replace("{mock}", mock)))
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(folder), "-c", str(config)],
                               stderr=subprocess.DEVNULL)
    while subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], stderr=subprocess.DEVNULL).returncode:
        assert process.poll() is None, (folder / "error.log").read_text()
    return process, f"http://127.0.0.1:{port}"


def start_litellm(folder: pathlib.Path, mock: str, headers: list[str]) -> tuple[peers.Process, str]:
    """Its proxy with two workers, without a database; it binds every address by default, here loopback alone."""
    port = peers.free_port()
    config = folder / "litellm.yaml"
    config.write_text("model_list:\n  - model_name: chat\n    litellm_params:\n"
                      f"      {{model: openai/mock, api_base: '{mock}/v1', api_key: none}}\n")
    url = f"http://127.0.0.1:{port}"
    return peers.Process([peers.environment("bench-litellm") / "bin/litellm", "--host", "127.0.0.1", "--port", port,
                          "--num_workers", 2, "--config", config], url + "/health/liveliness", folder / "litellm.log",
                         LITELLM_TELEMETRY="False", LITELLM_LOCAL_MODEL_COST_MAP="True",
                         LITELLM_MASTER_KEY="".join(headers).rpartition(" ")[2] or "sk-for-the-bench-alone", PYTHONUNBUFFERED="1",
                         PATH=f"{peers.environment('bench-litellm')}/bin:{os.environ['PATH']}"), url


# It knows no address to listen on but every one.
LOOPBACK = """
import net from "node:net";
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, host, ...more) { return listen.call(this, port, "127.0.0.1", ...more); };
"""


def start_portkey(folder: pathlib.Path, mock: str) -> tuple[peers.Process, str, list[str]]:
    """Its gateway in production mode, without its pages of logs; and the headers that say where a call goes.

    hono is pinned as old as it is because Portkey's streams end in a 500 with newer ones.
    """
    port = peers.free_port()
    loopback = folder / "loopback.mjs"
    loopback.write_text(LOOPBACK)
    url = f"http://127.0.0.1:{port}"
    started = peers.Process(["node", "--import", loopback, peers.node_package("portkey") / "@portkey-ai/gateway/build/start-server.js",
                             f"--port={port}", "--headless"], url + "/", folder / "portkey.log", NODE_ENV="production")
    bound = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], check=True, capture_output=True, text=True).stdout.split()
    assert bound[3:4] == [f"127.0.0.1:{port}"] and len(bound) == 5, bound
    return started, url, ["x-portkey-provider: openai", f"x-portkey-custom-host: {mock}/v1"]


def family(pid: int) -> list[int]:
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [one for child in children for one in family(int(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children."""
    ticks = 0
    for one in family(pid):
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def until_quiet(pid: int, turns: int = 60) -> None:
    """Until what calls left to do behind them is done (ledger, statistics, guards), at most so many half seconds."""
    seen = cpu_seconds(pid)
    for _ in range(turns):
        time.sleep(0.5)
        now = cpu_seconds(pid)
        if now - seen < 0.03:
            return
        seen = now


def switches(pid: int) -> int:
    """How often its threads gave the processor up to wait."""
    found = 0
    for one in family(pid):
        for status in pathlib.Path(f"/proc/{one}/task").glob("*/status"):
            found += int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status.read_text())[1])
    return found


def memory(pid: int) -> str:
    """What is resident: of its own (heap, stacks, what it wrote), and of files (program and libraries) that others share."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    of = {name: int(size) / 1024 for name, size in re.findall(r"(\w+):\s+(\d+) kB", text)}
    return f"{of['Rss']:.0f} MB, own {of['Private_Dirty']:.0f}"


def load(url: str, body: pathlib.Path, concurrency: int, seconds: float, headers: list[str], *more: str) -> dict:
    words = [BIN / "load", "--url", f"{url}/v1/chat/completions", "--concurrency", concurrency, "--seconds", seconds,
             "--body", body, *more]
    for header in headers:
        words += ["--header", header]
    got = json.loads(subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout)
    assert got["errors"] == 0, got
    return got


def median(rounds: list, *path):
    values = []
    for one in rounds:
        for part in path:
            one = one[part]
        values.append(one)
    return statistics.median(values)


def measure(targets: dict, bodies: tuple, rounds: int, seconds: float, common: list[str]) -> None:
    """`targets`: name -> (url, pid, headers of its own). Each round asks each target in its turn."""
    plain, stream = bodies
    one, many, streams, cost, during, waits = ({name: [] for name in targets} for _ in range(6))
    for _ in range(rounds):
        for name, (url, pid, own) in targets.items():
            headers = common + own
            one[name].append(load(url, plain, 1, seconds, headers))
            before, waited = cpu_seconds(pid), switches(pid)
            busy = load(url, plain, 32, seconds, headers)
            many[name].append(busy)
            answered = busy["rate"] * seconds
            waits[name].append((switches(pid) - waited) / answered)
            during[name].append((cpu_seconds(pid) - before) * 1e6 / answered)
            until_quiet(pid)
            cost[name].append((cpu_seconds(pid) - before) * 1e6 / answered)
            streams[name].append(load(url, stream, 1, seconds, headers, "--stream"))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    direct = {part: median(one["direct"], "microseconds", part) for part in ("p50", "p99")}
    for name, (_, pid, _) in targets.items():
        p50, p99 = (median(one[name], "microseconds", part) - direct[part] for part in ("p50", "p99"))
        piece, first = (median(streams[name], part, "p50") - median(streams["direct"], part, "p50")
                        for part in ("piece", "first"))
        cpu = statistics.median(cost[name])
        print(f"{name:9}: added p50 {p50:5.0f} us, p99 {p99:5.0f} us; at 32 {median(many[name], 'rate'):6.0f} req/s, "
              f"CPU {cpu:5.1f} us/req ({statistics.median(during[name]):.1f} until the last answer), "
              f"{statistics.median(waits[name]):.2f} waits; "
              f"stream: piece +{piece:3.0f} us, first +{first:3.0f} us; {memory(pid)}")
    to_plain, to_kept = (statistics.median(cost["penstock"]) / statistics.median(cost[name]) for name in ("plain", "nginx"))
    print(f"CPU of penstock: {to_plain:.2f}x nginx as plain proxy (goal 2x), {to_kept:.2f}x nginx with kept connections; "
          "goals: p50 100 us, p99 1000 us, 10000 req/s, pieces and first 60 us, 60 MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", action="store_true", help="plain_proxy alone")
    parser.add_argument("--binary", default="", help="another penstock than the one that was built here")
    parser.add_argument("--url", help="of a running penstock")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--mock-port", type=int, default=0)
    parser.add_argument("--body", type=pathlib.Path)
    parser.add_argument("--stream-body", type=pathlib.Path)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litellm", action="store_true")
    parser.add_argument("--portkey", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        bodies = (given.body or folder / "plain.json", given.stream_body or folder / "stream.json")
        if not given.body:
            bodies[0].write_text(json.dumps(BODY, separators=(",", ":")))
        if not given.stream_body:
            bodies[1].write_text(json.dumps({**BODY, "stream": True}, separators=(",", ":")))
        mock = Program(BIN / "mock_upstream", "--port", given.mock_port)
        plain, plain_url = start_nginx(folder / "plain", mock.url, PLAIN)
        nginx, nginx_url = start_nginx(folder / "kept", mock.url)
        ours = None
        if given.edge:
            ours = Program(BIN / "plain_proxy", mock.url.removeprefix("http://"))
        elif not given.url:
            ours = gateway_server.GatewayServer(folder, mock.url, given.binary)
            given.header += ours.headers
        penstock = (ours.url, ours.pid, []) if ours else (given.url, given.pid, [])
        targets = {"direct": (mock.url, mock.pid, []), "plain": (plain_url, plain.pid, []),
                   "nginx": (nginx_url, nginx.pid, []), "penstock": penstock}
        others = []
        try:
            if given.litellm:
                litellm, url = start_litellm(folder, mock.url, given.header)
                others.append(litellm)
                targets["litellm"] = (url, litellm.process.pid, [])
            if given.portkey:
                portkey, url, own = start_portkey(folder, mock.url)
                others.append(portkey)
                targets["portkey"] = (url, portkey.process.pid, own)
            measure(targets, bodies, given.rounds, given.seconds, given.header)
        finally:
            for other in others:
                other.stop()
            if ours:
                ours.stop()
            for one in (plain, nginx):
                one.send_signal(signal.SIGTERM)
                one.wait(30)
            mock.stop()


if __name__ == "__main__":
    main()
