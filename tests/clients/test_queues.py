"""Queues before language models: a call waits for its turn, by priority and fair between tenants, and never holds a worker."""

import concurrent.futures
import json
import re
import socket

import openai
import pytest

from conftest import Server
from desk import ROUTE, UPSTREAM, Desk, client, nothing_wrong, prediction, remote, stand_in
pytestmark = pytest.mark.usefixtures("nothing_wrong")


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):
    folder = tmp_path_factory.mktemp("queues")
    data = folder / "data"
    data.mkdir()
    server = Server(data)
    server.start()
    one = Desk(server, folder)
    one.apply(UPSTREAM.format(name="calm", url=stand_in.url, more=""))
    for route, more in (("one", "queue: {max_concurrency: 1, max_waiting: 64, max_wait: 5m}\n"),
                        ("few", "queue: {max_concurrency: 3, max_waiting: 200, max_wait: 30s}\n"),
                        ("short", "queue: {max_concurrency: 1, max_waiting: 4, max_wait: 30s}\n")):
        one.apply(ROUTE.format(model=route, more=more))
        one.start_release(route, one.register(route, remote(folder / route, "upstream: calm\nmodel: stand-in-small\n")))
    yield one
    server.stop()


def tokens(desk, tenant):
    made = desk.server.run("tokens", "create", f"caller-{tenant}", "--actor", f"user:{tenant}", "--tenant", tenant, "--role", "developer")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def ask(desk, route, text, token=None, **more):
    return client(desk, **({"api_key": token} if token else {})).chat.completions.with_raw_response.create(
        model=route, messages=[{"role": "user", "content": text}], **more)


def waiting(desk, route) -> int:
    found = re.search(rf'penstock_queue_waiting{{[^}}]*route="{route}"[^}}]*}} (\d+)', desk.ask("GET", "/metrics", token=desk.server.token).text)
    return int(found[1]) if found else 0


def order_of(stand_in) -> list:
    return [json.loads(body)["messages"][-1]["content"] for body in stand_in.bodies]


class Held:
    """A call that holds the only place of `one` until it is let go."""

    def __init__(self, desk, stand_in, pool):
        stand_in.set_faults({"hold": True})
        self.stand_in = stand_in
        self.call = pool.submit(ask, desk, "one", "holder")
        desk.server.wait(lambda: stand_in.running == 1)
        with stand_in.turn:
            stand_in.faults.hold = False

    def let_go(self):
        self.stand_in.released.set()
        assert self.call.result().parse().choices


def test_the_urgent_go_first_and_tenants_take_turns(desk, stand_in):
    crowd, alone = tokens(desk, "crowd"), tokens(desk, "alone")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        held = Held(desk, stand_in, pool)
        calls = []
        for at, (token, name, priority) in enumerate([(crowd, "crowd", 5)] * 5 + [(alone, "alone", 5), (crowd, "urgent", 9)]):
            calls.append(pool.submit(ask, desk, "one", f"{name}-{at}", token, extra_headers={"x-penstock-priority": str(priority)}))
            desk.server.wait(lambda: waiting(desk, "one") == at + 1)
        held.let_go()
        assert all(call.result().parse().choices for call in calls)
    order = [name.split("-")[0] for name in order_of(stand_in)]
    assert order[:2] == ["holder", "urgent"], order
    assert "alone" in order[2:4], order
    events = [prediction(desk, call.result().headers) for call in calls]
    assert all(event["queue_micros"] > 0 and event["error"] == "" for event in events)


def test_there_are_never_more_than_its_places(desk, stand_in):
    stand_in.set_faults({"hang": 0.02})
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        calls = [pool.submit(ask, desk, "few", f"call {at}", stream=at % 3 == 0) for at in range(120)]
        streams = [call.result() for call in calls]
        for at, raw in enumerate(streams):
            if at % 3 == 0:
                list(raw.parse())
            else:
                assert raw.parse().choices
    assert stand_in.most <= 3 and stand_in.calls >= 120
    desk.server.wait(lambda: waiting(desk, "few") == 0)


def test_a_deadline_ends_the_wait(desk, stand_in):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        held = Held(desk, stand_in, pool)
        with pytest.raises(openai.InternalServerError) as told:
            ask(desk, "one", "impatient", extra_headers={"x-request-timeout": "1s"})
        assert told.value.status_code == 503 and told.value.code == "overloaded"
        assert int(told.value.response.headers["retry-after"]) >= 1
        held.let_go()
    assert "impatient" not in order_of(stand_in)
    assert ask(desk, "one", "later").parse().choices


def test_who_hangs_up_while_it_waits_frees_its_turn(desk, stand_in):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        held = Held(desk, stand_in, pool)
        host, port = desk.server.url.removeprefix("http://").split(":")
        body = json.dumps({"model": "one", "messages": [{"role": "user", "content": "gone"}]})
        with socket.create_connection((host, int(port))) as left:
            left.sendall((f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {desk.ana}\r\n"
                          f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
            desk.server.wait(lambda: waiting(desk, "one") == 1)
        desk.server.wait(lambda: waiting(desk, "one") == 0)
        held.let_go()
    assert ask(desk, "one", "after").parse().choices
    assert "gone" not in order_of(stand_in)


def test_a_full_queue_turns_away_at_once(desk, stand_in):
    stand_in.set_faults({"hold": True})

    def call(at):
        try:
            return bool(ask(desk, "short", str(at)).parse().choices)
        except openai.InternalServerError as refused:
            assert refused.status_code == 503 and refused.code == "overloaded"
            return False
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        came = [pool.submit(call, at) for at in range(12)]
        desk.server.wait(lambda: sum(one.done() for one in came) == 7)  # one runs, four wait
        assert not any(one.result() for one in came if one.done())
        stand_in.released.set()
        assert sum(one.result() for one in came) == 5
    assert stand_in.most == 1


def test_waiting_calls_hold_no_worker(desk, stand_in):
    """More callers wait than the server has workers, and what needs one is answered."""
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        held = Held(desk, stand_in, pool)
        calls = [pool.submit(ask, desk, "one", f"w{at}") for at in range(48)]
        desk.server.wait(lambda: waiting(desk, "one") == 48)
        assert desk.ask("GET", "/api/v1/routes").status_code == 200
        assert not held.call.done()
        held.let_go()
        assert all(call.result().parse().choices for call in calls)
