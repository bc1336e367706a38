"""What a call may cost at the most, and what it did cost where it went wrong: as callers who try to get more would ask."""

import concurrent.futures
import json

import openai
import pytest

from conftest import Server
from desk import HELLO, ROUTE, UPSTREAM, Desk, client, nothing_wrong, prediction, remote, stand_in

# By the upstream's name for the model, as LiteLLM's file has them; dearer behind 400 tokens of prompt.
PRICES = """kind: price_list
name: standard
owner: finance
currency: USD
prices:
  - {meter: prompt_tokens, model: stand-in-small, price: "0.001", from: 2013-01-01}
  - {meter: output_tokens, model: stand-in-small, price: "0.001", from: 2013-01-01}
  - {meter: prompt_tokens, model: stand-in-small, price: "0.002", from: 2013-01-01, above_call_tokens: 400}
  - {meter: output_tokens, model: stand-in-small, price: "0.1", from: 2013-01-01, above_call_tokens: 400}
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
WORD = """kind: guardrail
name: no-and
owner: safety
side: output
rule: deny_list
action: block
phrases: [on and on]
"""
PLAN = {"canary": [1], "stage": {"calls": 1000000}, "bake": {"calls": 5}, "watch": {"calls": 0},
        "guards": [{"name": "wrong", "quantity": "wrong", "safe_ratio": 1000}], "shadow": {"calls": 1000000}}
pytestmark = pytest.mark.usefixtures("nothing_wrong")


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):
    folder = tmp_path_factory.mktemp("bounded")
    server = Server(folder / "data")
    server.start()
    one = Desk(server, folder)
    one.apply(PRICES + "---\n" + WORD)
    for name in ("steady", "other"):
        one.apply(UPSTREAM.format(name=name, url=stand_in.url, more="first_byte_time: 1s\nidle_time: 1s\n"))
    for route, upstream, more in (
            ("plain", "steady", ""),
            ("tight", "steady", ""),
            ("tiered", "steady", ""),
            ("guarded", "steady", "guardrails: [no-and]\n"),
            ("impatient", "steady", "retries: {attempts: 2, retry_share: 1}\n"),
            ("asked", "steady", "retries: {attempts: 1}\nfallbacks: [plain]\n"),
            ("shown", "steady", "input_class: internal\nshadow: {max_class: internal, max_concurrency: 8, max_cost_per_day: '30'}\n")):
        one.apply(ROUTE.format(model=route, more=more))
        one.start_release(route, one.register(
            route, remote(folder / route, f"upstream: {upstream}\nmodel: stand-in-small\noutput_tokens_max: 100\n")))
    yield one
    server.stop()


def chat(desk, route, messages=HELLO, **more):
    return client(desk).chat.completions.with_raw_response.create(model=route, messages=messages, **more)


def budget(desk, name):
    return next(one for one in desk.ask("GET", "/api/v1/budgets").json()["budgets"] if one["name"] == name)


def cost_of(desk, route) -> float:
    return float(desk.ask("GET", f"/api/v1/costs?by=route&route={route}", token=desk.server.token).json()["total"])


def test_a_field_of_another_task_bounds_nothing(desk, stand_in):
    desk.apply(BUDGET.format(name="tight", limit="1"))
    chat(desk, "tight", extra_body={"max_output_tokens": 1})
    assert json.loads(stand_in.last)["max_completion_tokens"] == 100, "what is reserved is what the upstream is told"
    with pytest.raises(openai.RateLimitError) as told:
        chat(desk, "tight", extra_body={"n_predict": -1})
    assert told.value.code == "insufficient_quota"
    with pytest.raises(openai.BadRequestError) as told:
        chat(desk, "tight", max_tokens=1, extra_body={"Max_Tokens": 9000})
    assert told.value.param == "Max_Tokens"


def test_a_crowd_of_long_prompts_never_spends_more_than_there_is(desk):
    desk.apply(BUDGET.format(name="tiered", limit="60"))
    long = [{"role": "user", "content": "word " * 1000}]  # its output costs 10

    def ask(_):
        try:
            return chat(desk, "tiered", long).parse().usage.completion_tokens
        except openai.RateLimitError as told:
            assert told.code == "insufficient_quota", told
            return 0

    with concurrent.futures.ThreadPoolExecutor(12) as crowd:
        wrote = list(crowd.map(ask, range(12)))
    assert any(wrote) and 0 in wrote
    desk.server.wait(lambda: float(budget(desk, "tiered")["reserved"]) == float(budget(desk, "tiered")["pending"]) == 0)
    seen = budget(desk, "tiered")
    assert 10 < float(seen["spent"]) <= 60, seen
    assert cost_of(desk, "tiered") == pytest.approx(float(seen["spent"]))


def test_a_route_that_failed_is_seen_though_another_answered(desk, stand_in):
    stand_in.set_faults({"fail": 1})
    raw = chat(desk, "asked")
    assert raw.headers["x-penstock-route"] == "plain"
    answered = prediction(desk, raw.headers)
    assert (answered["route"], answered["fallback_of"], answered["error"]) == ("plain", "asked", "")

    def counted() -> list:
        stats = desk.ask("GET", "/api/v1/routes/asked/stats").json()["stats"]
        return [(one["version"], one["calls"], one["errors"]) for one in stats]

    desk.server.wait(lambda: counted() == [(1, 1, 1)])


def test_a_call_that_was_given_up_costs_what_was_read(desk, stand_in):
    stand_in.set_faults({"hang": 3})
    with pytest.raises(openai.InternalServerError) as told:
        client(desk, default_headers={"x-request-timeout": "500ms"}).chat.completions.create(model="impatient", messages=HELLO)
    assert told.value.status_code == 504
    name = told.value.response.headers["x-penstock-prediction"]

    def lines() -> dict:
        listed = json.loads(desk.server.run("--json", "cost", "lines", "inference", name).stdout)["lines"]
        return {line["meter"]: line for line in listed}

    desk.server.wait(lambda: lines())
    assert lines().keys() == {"prompt_tokens", "requests"}
    assert float(lines()["prompt_tokens"]["amount"]) > 0 and lines()["requests"]["pricing"] == "unpriced"


def test_a_stream_ends_where_nothing_more_of_it_is_of_use(desk, stand_in):
    stand_in.set_faults({"forever": True, "slow": 0.001})
    left = stand_in.left
    with pytest.raises(openai.APIError) as told:
        for _ in chat(desk, "plain", stream=True, max_tokens=10).parse():
            pass
    assert "goes on behind the tokens" in told.value.message
    desk.server.wait(lambda: stand_in.left > left)
    with pytest.raises(openai.APIError) as told:
        for _ in chat(desk, "guarded", stream=True).parse():
            pass
    assert told.value.code == "content_filter"
    desk.server.wait(lambda: stand_in.left > left + 1)


def test_a_shadow_keeps_to_its_cap_whatever_its_tokens_are_called(desk):
    """The stand-in says that half of a prompt was cached, for which there is no price: that costs nothing, the rest does."""
    second = desk.register("shown", remote(desk.folder / "shown-2",
                                           "upstream: other\nmodel: stand-in-small\noutput_tokens_max: 100\n"),
                           "rollback_to: shown-v1\n")
    assert desk.server.run("models", "approve", f"shown@v{second}", "--for", "production").returncode == 0
    made = desk.ask("POST", "/api/v1/releases", {"route": "shown", "model": "shown", "version": int(second), "plan": PLAN})
    assert made.status_code == 200, made.text
    assert desk.server.run("releases", "approve", made.json()["id"]).returncode == 0
    long = [{"role": "user", "content": "word " * 1000}]

    def shadows() -> dict:
        chat(desk, "shown", long, max_tokens=10)
        return desk.ask("GET", "/api/v1/routes/shown/shadows", token=desk.server.token).json()

    desk.server.wait(lambda: any(one["calls"] for one in shadows().get("shadows", [])))
    desk.server.wait(lambda: float(shadows()["spent_today"]) > 15)
    desk.server.wait(lambda: any(one["capped"] for one in shadows()["shadows"]))
    assert max(float(shadows()["spent_today"]) for _ in range(20)) <= 30
