"""Hard budgets where the models of guardrails are what costs: no crowd of callers, no stream and no refusal spends more than they have."""

import concurrent.futures

import openai
import pytest

from conftest import Server
from desk import ROUTE, UPSTREAM, Desk, nothing_wrong, remote, stand_in
from test_classifiers import CLASSIFIER, ask, as_onnx, streamed, toxicity
from test_guarded_tables import call as call_table
from test_guarded_tables import noter
from test_traffic import budget

PRICES = """kind: price_list
name: standard
owner: finance
currency: USD
prices:
  - {meter: requests, price: "0.01", from: 2013-01-01}
  - {meter: requests, model: toxicity, price: "1", from: 2013-01-01}
  - {meter: prompt_tokens, price: "0.0001", from: 2013-01-01}
  - {meter: output_tokens, price: "0.0001", from: 2013-01-01}
"""
BUDGET = """kind: budget
name: {name}
owner: finance
period: day
{what}
limit: "{limit}"
hard: true
action: stop
"""
pytestmark = pytest.mark.usefixtures("nothing_wrong")


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):
    folder = tmp_path_factory.mktemp("judged-budgets")
    data = folder / "data"
    data.mkdir()
    server = Server(data)
    server.start()
    one = Desk(server, folder)
    one.apply(PRICES)
    one.apply(UPSTREAM.format(name="calm", url=stand_in.url, more=""))
    one.apply("kind: model\nname: toxicity\nowner: safety\n")
    one.register("toxicity", as_onnx(folder / "toxicity", toxicity()))
    one.apply(CLASSIFIER.format(name="insults", more="side: both\naction: block\nmodel: toxicity@1\nlabels: [toxic]\nwindow: 30\n"))
    for route in ("chats", "streams", "shared"):
        one.apply(ROUTE.format(model=route, more="guardrails: [insults]\n"))
        one.start_release(route, one.register(
            route, remote(folder / route, "upstream: calm\nmodel: stand-in-small\noutput_tokens_max: 20\n")))
    one.apply(ROUTE.format(model="tables", more="guardrails: [insults]\n"))
    one.start_release("tables", one.register("tables", noter(folder / "tables")))
    yield one
    server.stop()


def in_ledger(desk, by, key):
    rows = desk.ask("GET", f"/api/v1/costs?by={by}").json()["rows"]
    return next((float(row["amount"]) for row in rows if row["keys"] == [key]), 0)


def crowd(desk, name, limit, one, callers=8, calls=12):
    """Each caller asks so often; what came of it once the ledger has all of it."""
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        came = [answer for answers in pool.map(lambda caller: [one(caller, number) for number in range(calls)], range(callers))
                for answer in answers]
    found = budget(desk, name)
    assert float(found["spent"]) + float(found["pending"]) + float(found["reserved"]) <= limit, found
    desk.server.wait(lambda: float(budget(desk, name)["pending"]) == 0)
    found = budget(desk, name)
    assert float(found["reserved"]) == 0 and float(found["spent"]) <= limit, found
    return came, float(found["spent"])


def test_a_crowd_of_chats_never_spends_more_than_there_is(desk):
    desk.apply(BUDGET.format(name="chats", what="route: chats", limit="120"))

    def one(caller, number):
        said = "you stupid idiot" if (caller + number) % 4 == 3 else f"hello there {caller} {number}"
        try:
            if number % 2:
                return "answered" if streamed(desk, "chats", said)[0] else "empty"
            return "answered" if ask(desk, "chats", said).parse().choices else "empty"
        except openai.BadRequestError as told:
            assert told.code == "content_filter", told
            return "blocked"
        except openai.RateLimitError as told:
            assert told.code == "insufficient_quota" and "budget" in told.message, told
            return "refused"
    came, spent = crowd(desk, "chats", 120, one)
    assert set(came) == {"answered", "blocked", "refused"}, came
    assert spent == pytest.approx(in_ledger(desk, "route", "chats"))
    assert spent > 80, "it is nearly spent, and by judgements"
    assert in_ledger(desk, "model", "chats") < 1


def test_a_crowd_of_tables_never_spends_more_than_there_is(desk):
    desk.apply(BUDGET.format(name="tables", what="route: tables", limit="40"))

    def one(caller, number):
        texts = [f"thank you {caller} {number}"] * (1 + number % 3)
        if (caller + number) % 4 == 3:
            texts[-1] = "you are a stupid idiot moron"
        answer = call_table(desk, "tables", texts)
        if answer.status_code == 429:
            assert "budget tables" in answer.text, answer.text
            return "refused"
        return {200: "answered", 400: "blocked"}[answer.status_code]
    came, spent = crowd(desk, "tables", 40, one)
    assert set(came) == {"answered", "blocked", "refused"}, came
    assert spent == pytest.approx(in_ledger(desk, "route", "tables")) and spent > 30


def test_a_budget_of_the_judge_is_one_over_all_routes(desk):
    before = in_ledger(desk, "model", "toxicity")
    limit = round(before) + 20
    desk.apply(BUDGET.format(name="judge", what="model: toxicity", limit=str(limit)))

    def one(caller, number):
        if number % 2:
            return call_table(desk, "tables", ["thank you"]).status_code
        try:
            return 200 if ask(desk, "shared", "hello there", max_tokens=8).parse().choices else 500
        except openai.RateLimitError as told:
            assert "budget judge" in told.message, told
            return 429
    desk.apply(BUDGET.format(name="tables", what="route: tables", limit="1000"))
    came, spent = crowd(desk, "judge", limit, one)
    assert set(came) == {200, 429}
    assert spent == pytest.approx(in_ledger(desk, "model", "toxicity")) and spent >= limit - 8
    desk.apply(BUDGET.format(name="judge", what="model: toxicity", limit="100000"))


def test_a_caller_who_hangs_up_pays_for_what_was_judged(desk, stand_in):
    desk.apply(BUDGET.format(name="streams", what="route: streams", limit="30"))
    stand_in.set_faults({"hang": 0.2})

    def one(caller, number):
        try:
            stream = ask(desk, "streams", f"hello there {caller}", stream=True).parse()
            if number % 2:
                next(iter(stream), None)
                stream.close()
                return "left"
            return "answered" if list(stream) else "empty"
        except openai.RateLimitError as told:
            assert told.code == "insufficient_quota", told
            return "refused"
    came, spent = crowd(desk, "streams", 30, one, callers=6, calls=6)
    assert {"answered", "refused"} <= set(came), came
    assert spent == pytest.approx(in_ledger(desk, "route", "streams")) and spent > 15
