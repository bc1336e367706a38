"""Two servers on one PostgreSQL, one hard budget: together they never spend more than it, and nothing of it is kept from either."""

import concurrent.futures
import os
import shutil
import subprocess
import time
from pathlib import Path

import openai
import pytest

from conftest import PENSTOCK, Server
from desk import ROUTE, UPSTREAM, Desk, remote
from openai_server import StandIn
from test_traffic import BUDGET, PRICES, budget, chat

LIMIT = 40


@pytest.fixture
def database():
    """A private PostgreSQL; it ends with its standard input."""
    one = subprocess.Popen([Path(PENSTOCK).parent / "with_postgres", "/bin/sh", "-c", 'echo "$PENSTOCK_TEST_POSTGRES"; exec cat'],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.environ["PENSTOCK_TEST_METADATA"] = one.stdout.readline().strip()
    yield
    del os.environ["PENSTOCK_TEST_METADATA"]
    one.communicate(timeout=60)


@pytest.fixture
def pair(tmp_path, database):
    stand_in = StandIn().start()
    servers = []
    for name in ("one", "two"):
        folder = tmp_path / name
        data = folder / "data"
        if servers:
            # What servers of one database share: their keys, and here their artifacts too.
            shutil.copytree(servers[0].data, data, ignore=shutil.ignore_patterns("state", "lock", "server_id", "*.json"))
        else:
            data.mkdir(parents=True)
            (data / "penstock.yaml").write_text("metadata: ${ENV:PENSTOCK_TEST_METADATA}\n")
        server = Server(data)
        server.start()
        servers.append(server)
        if len(servers) == 1:
            desk = Desk(server, folder)
            desk.apply(PRICES)
            desk.apply(UPSTREAM.format(name="calm", url=stand_in.url, more=""))
            desk.apply(ROUTE.format(model="shared", more=""))
            desk.start_release("shared", desk.register("shared", remote(
                folder / "model", "upstream: calm\nmodel: stand-in-small\noutput_tokens_max: 100\n")))
            desk.apply(BUDGET.format(name="shared", limit=LIMIT))
    second = Desk.__new__(Desk)
    second.server, second.folder, second.ana = servers[1], tmp_path / "two", desk.ana
    yield desk, second, stand_in
    for server in servers:
        if server.process.poll() is None:
            server.stop()
    stand_in.stop()


def spend(desk):
    """Calls until the budget is spent; how many were answered."""
    answered = 0
    for _ in range(600):
        try:
            chat(desk, "shared", max_tokens=20)
            answered += 1
        except openai.RateLimitError as refused:
            if "budget shared has" in refused.message:
                return answered
            assert "is shared by servers" in refused.message, refused.message
            assert refused.response.headers["retry-after"] == "1"
            time.sleep(0.1)
    raise AssertionError("the budget was never spent")


def test_two_servers_never_spend_a_hard_budget_together_twice(pair):
    one, two, stand_in = pair
    one.server.wait(lambda: budget(two, "shared")["portion"] not in (None, "0"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        came = [pool.submit(spend, desk) for desk in (one, two) for _ in range(4)]
        answered = [future.result() for future in came]
    assert sum(answered[:4]) and sum(answered[4:]), "each had its part"
    assert sum(answered) == stand_in.calls

    def in_ledger():
        rows = one.ask("GET", "/api/v1/costs?by=route").json()["rows"]
        return next((float(row["amount"]) for row in rows if row["keys"] == ["shared"]), 0)
    one.server.wait(lambda: all(float(budget(desk, "shared")["pending"]) == 0 for desk in (one, two)))
    assert LIMIT * 0.9 <= in_ledger() <= LIMIT, "each call costs one and a little"

    # A stop leaves nothing with the one that stopped.
    one.server.stop()
    two.server.wait(lambda: float(budget(two, "shared")["elsewhere"]) == 0)
    found = budget(two, "shared")
    assert float(found["spent"]) <= LIMIT and float(found["unsettled"]) == 0


def test_a_person_gives_back_what_a_server_holds_that_is_gone_for_good(pair):
    one, two, _ = pair

    def is_answered():
        try:
            return chat(two, "shared", max_tokens=20)
        except openai.RateLimitError:
            return None  # its portion grows with what is asked of it
    one.server.wait(is_answered)
    one.server.wait(lambda: float(budget(one, "shared")["elsewhere"]) > 0)
    name = (two.server.data / "server_id").read_text().strip()

    def free(server):
        return one.server.run("budgets", "free", server, "--reason", "its disk is lost")
    two.server.process.kill()
    two.server.process.wait()
    early = free(name)
    assert early.returncode == 1 and "was heard of at" in early.stderr, early.stderr
    assert "holds nothing of this project's budgets" in free("nobody").stderr
    # Ten minutes later.
    subprocess.run(["psql", "-v", "ON_ERROR_STOP=1", "-qc", "UPDATE budget_leases SET renewed_at = renewed_at - 660000000 "
                    f"WHERE server = '{name}'", os.environ["PENSTOCK_TEST_METADATA"]], check=True)
    one.server.wait(lambda: f"penstock budgets free {name}" in one.ask("GET", "/api/v1/incidents", token=one.server.token).text)
    freed = free(name)
    assert freed.returncode == 0 and "shared" in freed.stdout, freed.stdout + freed.stderr
    print(freed.stdout)
    one.server.wait(lambda: float(budget(one, "shared")["elsewhere"]) == 0)
    assert one.server.run("budgets").stdout.startswith("NAME")
