"""Limits, budgets and breakers, as OpenAI's own client and callers of tables meet them."""

import concurrent.futures
import sqlite3

import openai
import pytest

from conftest import Server
from desk import HELLO, ROUTE, SAYS, UPSTREAM, Desk, client, nothing_wrong, remote, stand_in

PRICES = """kind: price_list
name: standard
owner: finance
currency: USD
prices:
  - {meter: requests, price: "1", from: 2013-01-01}
  - {meter: prompt_tokens, price: "0.001", from: 2013-01-01}
  - {meter: output_tokens, price: "0.001", from: 2013-01-01}
"""
BUDGET = """kind: budget
name: {name}
owner: finance
period: day
route: {name}
limit: "{limit}"
hard: true
action: stop
"""
pytestmark = pytest.mark.usefixtures("nothing_wrong")


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):
    folder = tmp_path_factory.mktemp("traffic")
    data = folder / "data"
    data.mkdir()
    server = Server(data)
    server.start()
    one = Desk(server, folder)
    one.apply(PRICES)
    for name, more in (("calm", ""), ("shaky", ""), ("watched", "health_path: /health\n"),
                       ("unwell", "health_path: /nothing\n")):
        one.apply(UPSTREAM.format(name=name, url=stand_in.url, more=more))
    for route, upstream, more in (
            ("flaky", "shaky", "retries: {attempts: 1}\n"),
            ("fine", "watched", ""),
            ("sick", "unwell", ""),
            ("frugal", "calm", ""),
            ("killed", "calm", ""),
            ("crowded", "calm", "queue: {max_concurrency: 2, max_waiting: 0}\n")):
        one.apply(ROUTE.format(model=route, more=more))
        one.start_release(route, one.register(
            route, remote(folder / route, f"upstream: {upstream}\nmodel: stand-in-small\noutput_tokens_max: 100\n")))
    yield one
    server.stop()


def chat(desk, route, **more):
    return client(desk).chat.completions.create(model=route, messages=HELLO, **more)


def upstream(desk, name):
    listed = desk.ask("GET", "/api/v1/upstreams").json()["upstreams"]
    return next(one for one in listed if one["name"] == name)


def budget(desk, name):
    listed = desk.ask("GET", "/api/v1/budgets").json()["budgets"]
    return next(one for one in listed if one["name"] == name)


def test_a_failing_upstream_is_left_alone_and_comes_back(desk, stand_in):
    stand_in.set_faults({"fail": 100, "status": 500})
    for _ in range(5):
        with pytest.raises(openai.InternalServerError) as told:
            chat(desk, "flaky")
        assert told.value.code == "told_to_fail"
    before = stand_in.calls
    with pytest.raises(openai.InternalServerError) as told:
        chat(desk, "flaky")
    assert told.value.status_code == 503 and int(told.value.response.headers["retry-after"]) >= 1
    assert stand_in.calls == before
    found = upstream(desk, "shaky")
    assert found["breaker"] in ("open", "half_open") and found["opened"] >= 1 and found["routes"] == ["flaky"]
    assert "shaky" in desk.server.run("upstreams").stdout
    stand_in.set_faults({})

    def well():
        try:
            return chat(desk, "flaky").choices[0].message.content == SAYS
        except openai.InternalServerError:
            return False
    desk.server.wait(well)
    assert upstream(desk, "shaky")["breaker"] == "closed"


def test_checks_open_a_breaker_that_no_call_has_met(desk, stand_in):
    desk.server.wait(lambda: upstream(desk, "unwell")["breaker"] == "open")
    assert upstream(desk, "unwell")["check"] == "failed" and upstream(desk, "unwell")["calls"] == 0
    before = stand_in.calls
    with pytest.raises(openai.InternalServerError) as told:
        chat(desk, "sick")
    assert told.value.status_code == 503 and stand_in.calls == before
    desk.server.wait(lambda: upstream(desk, "watched")["check"] == "passed")


def test_a_crowd_is_turned_away_at_once(desk, stand_in):
    stand_in.set_faults({"hold": True})

    def call(_):
        try:
            return bool(chat(desk, "crowded").choices)
        except openai.InternalServerError as refused:
            assert refused.status_code == 503 and refused.code == "overloaded"
            assert int(refused.response.headers["retry-after"]) >= 1
            return False
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        came = [pool.submit(call, at) for at in range(12)]
        desk.server.wait(lambda: sum(one.done() for one in came) == 10)
        assert not any(one.result() for one in came if one.done())
        stand_in.released.set()
        assert sum(one.result() for one in came) == 2


def test_a_hard_budget_stops_calls_and_agrees_with_the_ledger(desk):
    desk.apply(BUDGET.format(name="frugal", limit="6.5"))
    for _ in range(2):
        assert chat(desk, "frugal", max_tokens=20).choices
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def call(_):
            try:
                return bool(chat(desk, "frugal", max_tokens=20).choices)
            except openai.RateLimitError as refused:
                assert refused.code == "insufficient_quota" and "budget frugal has" in refused.message
                assert int(refused.response.headers["retry-after"]) >= 1
                return False
        answered = sum(pool.map(call, range(30)))
    assert answered <= 4
    found = budget(desk, "frugal")
    assert float(found["spent"]) + float(found["pending"]) + float(found["reserved"]) <= 6.5
    desk.server.wait(lambda: float(budget(desk, "frugal")["pending"]) == 0)
    found = budget(desk, "frugal")
    rows = desk.ask("GET", "/api/v1/costs?by=route").json()["rows"]
    assert found["spent"] == next(row["amount"] for row in rows if row["keys"] == ["frugal"])
    assert float(found["reserved"]) == 0 and 5 <= float(found["spent"]) <= 6.5
    assert "frugal" in desk.server.run("budgets").stdout
    desk.server.wait(lambda: "Budget frugal stops calls" in desk.server.run("incidents", "list").stdout)
    metrics = desk.ask("GET", "/metrics", token=desk.server.token).text
    assert 'penstock_refused_total{project="default",route="frugal",reason="budget"}' in metrics
    assert 'penstock_budget_spent{project="default",budget="frugal"}' in metrics


def test_a_hard_budget_remembers_across_a_restart(desk):
    desk.apply(BUDGET.format(name="frugal", limit="8"))
    assert chat(desk, "frugal", max_tokens=5).choices
    desk.server.stop()
    desk.server.start()
    with pytest.raises(openai.RateLimitError) as told:
        for _ in range(5):
            chat(desk, "frugal", max_tokens=5)
    assert told.value.code == "insufficient_quota"
    found = budget(desk, "frugal")
    assert float(found["spent"]) + float(found["pending"]) <= 8


def test_calls_under_which_the_server_was_killed_stay_counted(desk, stand_in):
    desk.apply(BUDGET.format(name="killed", limit="100"))
    before = budget(desk, "killed")
    stand_in.set_faults({"hang": 20})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(chat, desk, "killed", max_tokens=50)
        kept = sqlite3.connect(f"file:{desk.server.data}/metadata.db?mode=ro", uri=True)
        desk.server.wait(lambda: kept.execute(
            "SELECT 1 FROM budget_leases WHERE budget = 'killed' AND running <> '0'").fetchone())
        kept.close()
        worst = float(budget(desk, "killed")["reserved"])
        assert worst > 1 and float(before["reserved"]) == 0
        desk.server.process.kill()
        desk.server.process.wait()
        assert running.exception() is not None
    stand_in.set_faults({})
    desk.server.start()
    found = budget(desk, "killed")
    assert float(found["unsettled"]) == worst and float(found["reserved"]) == 0 and found["spent"] == before["spent"]
    listed = desk.server.run("incidents", "list").stdout
    assert f"The server ended under calls that may have cost up to {found['unsettled']}" in listed, listed
    assert "costs.budget.unsettled" in desk.server.run("audit", "list", "--subject", "budget:killed").stdout
    # They count: what is left is less by them, also after a start that has nothing to tell.
    desk.server.stop()
    desk.server.start()
    assert budget(desk, "killed")["unsettled"] == found["unsettled"]
    desk.apply(BUDGET.format(name="killed", limit=str(worst + 0.5)))
    with pytest.raises(openai.RateLimitError):
        chat(desk, "killed", max_tokens=50)


@pytest.mark.parametrize("change, says", [
    (("route: frugal", "route: other\nparent: nobody"), "parent names no budget"),
    (('limit: "5"', 'limit: "0"'), "limit must be above 0"),
    (("action: stop", "action: throttle"), "throttle_per_minute must say"),
])
def test_wrong_budgets_are_refused_with_the_reason(desk, change, says):
    path = desk.folder / "wrong.yaml"
    path.write_text(BUDGET.format(name="frugal", limit="5").replace(*change))
    done = desk.server.run("apply", str(path), token=desk.ana)
    assert done.returncode != 0 and says in done.stdout + done.stderr
