"""What the server takes of the machine's memory, after its start and under calls."""

import collections
import pathlib
import re
import threading

import requests


def memory(pid: int) -> dict[str, int]:
    """What is resident, in MB: of files, and of its own."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {name: int(size) // 1024 for name, size in re.findall(r"Rss(File|Anon):\s+(\d+) kB", text)}


def mappings(pid: int) -> collections.Counter:
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    return collections.Counter(line.split()[-1].rpartition("/")[2] for line in lines)


def ask_often(url: str, token: str) -> None:
    with requests.Session() as session:
        for _ in range(300):
            got = session.get(f"{url}/api/v1/incidents", headers={"Authorization": f"Bearer {token}"})
            assert got.status_code == 200, got.text


def test_pages_that_nobody_uses_are_not_held_and_the_server_answers_without_them(server):
    program = pathlib.Path(f"/proc/{server.process.pid}/exe").readlink().name
    server.wait(lambda: mappings(server.process.pid)[program] > 1_000)  # five seconds after the start
    assert sum(mappings(server.process.pid).values()) < 20_000  # Linux has places for 65,530
    threads = [threading.Thread(target=ask_often, args=(server.url, server.token)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    held = memory(server.process.pid)
    assert held["File"] < 25 and held["Anon"] < 40, held
    # All commands, and what they need of the program, come back.
    assert server.run("audit", "verify").returncode == 0
    assert server.run("status").returncode in (0, 2)
