"""What a caller tags its calls with is its own business: no tag keeps a call out of the log and the ledger."""

import json

import pytest
import requests

from conftest import Server
from desk import HELLO, ROUTE, UPSTREAM, Desk, onnx_model, prediction, remote, stand_in  # noqa: F401

TAGS = [b"bob", b"b\xff\xfeob", b"\xc3\xa9lan", b"cut \xe2\x82", b'quo"te\\u0000']
USERS = ["ann", "zero\u0000inside", "half \ud800 a pair", "\\u0000 is none", "\u20ac"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):  # noqa: F811
    folder = tmp_path_factory.mktemp("tags")
    server = Server(folder / "data")
    server.start()
    try:
        desk = Desk(server, folder)
        desk.apply(UPSTREAM.format(name="models", url=stand_in.url + "/v1", more="")
                   + "---\n" + ROUTE.format(model="chat", more="")
                   + "---\n" + ROUTE.format(model="table", more="entity_keys: []\noutput: variable\n"))
        desk.start_release("chat", desk.register("chat", remote(folder / "chat", "upstream: models\nmodel: stand-in-small\n")))
        desk.start_release("table", desk.register("table", onnx_model(folder / "table", 2.0)))
        server.wait(lambda: call(desk, "chat").ok and call(desk, "table").ok)
        yield desk
    finally:
        server.stop()


def call(desk, route: str, tag: bytes = b"", **more) -> requests.Response:
    path, body = ("/v1/chat/completions", {"model": "chat", "messages": HELLO}) if route == "chat" else (
        "/v2/models/table/infer", {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]})
    headers = {"Authorization": f"Bearer {desk.ana}", **({"x-penstock-user": tag} if tag else {})}
    return requests.post(desk.server.url + path, data=json.dumps({**body, **more}), headers=headers, timeout=30)


def requests_by_user(desk) -> dict:
    rows = desk.ask("GET", "/api/v1/costs", params={"by": "user,meter"}).json()["rows"]
    return {row["keys"][0]: row["quantity"] for row in rows if row["keys"][1] == "requests"}


@pytest.mark.parametrize("route", ["chat", "table"])
def test_every_tag_of_a_header_is_metered(desk, route):
    before = sum(requests_by_user(desk).values())
    for tag in TAGS:
        answer = call(desk, route, tag)
        assert answer.status_code == 200, (tag, answer.text)
    desk.server.wait(lambda: sum(requests_by_user(desk).values()) >= before + len(TAGS))
    users = requests_by_user(desk)
    assert {"bob", "b\ufffd\ufffdob", "\u00e9lan", "cut \ufffd\ufffd", 'quo"te\\u0000'} <= set(users), users


def test_every_user_of_a_body_is_metered_and_its_prediction_found(desk):
    before = sum(requests_by_user(desk).values())
    for user in USERS:
        answer = call(desk, "chat", user=user)
        assert answer.status_code == 200, (user, answer.text)
        assert prediction(desk, answer.headers)["route"] == "chat"
    desk.server.wait(lambda: sum(requests_by_user(desk).values()) >= before + len(USERS))
    users = requests_by_user(desk)
    assert {"ann", "zero\ufffdinside", "half \ufffd a pair", "\\u0000 is none", "\u20ac"} <= set(users), users


def test_an_id_that_could_not_be_asked_for_again_is_refused(desk):
    answer = call(desk, "table", id="a\u0000b")
    assert answer.status_code == 400 and "id must have no control characters" in answer.json()["error"]
    assert call(desk, "table", id="a\u00e9b").status_code == 200


def test_an_id_of_a_shadow_is_nobodys(desk):
    """Its lines are in the ledger already: a call under it would be counted nowhere."""
    answer = call(desk, "table", id="a.shadow.v2")
    assert answer.status_code == 400 and "must not have .shadow.v in it" in answer.json()["error"]
