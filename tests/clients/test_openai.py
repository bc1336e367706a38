"""OpenAI's own client against routes that a stand-in for a language model answers."""

import asyncio
import json
import time

import openai
import pydantic
import pytest
import requests

from conftest import Server
from desk import HELLO, ROUTE, SAYS, UPSTREAM, Desk, client, nothing_wrong, prediction, remote, stand_in

KEY = "sk-stand-in-secret"
CHOSEN = """sticky: user
input_class: internal
rules: [{when: 'header("x-beta") == "1"', version: 2}]
shadow: {max_class: internal, max_concurrency: 8}
payloads: {sample: 1}
"""
WEATHER = [{"type": "function", "function": {
    "name": "weather", "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                   "required": ["city", "days"], "additionalProperties": False}}}]
pytestmark = pytest.mark.usefixtures("nothing_wrong")


class Town(pydantic.BaseModel):
    name: str
    people: int


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):
    folder = tmp_path_factory.mktemp("openai")
    data = folder / "data"
    data.mkdir()
    (folder / "key").write_text(KEY + "\n")
    address = stand_in.url.removeprefix("http://").removesuffix("/v1")
    (data / "penstock.yaml").write_text(f"secrets:\n  stand-in: {{value: 'file:{folder}/key', hosts: ['{address}']}}\n")
    server = Server(data)
    server.start()
    one = Desk(server, folder)
    one.second = ""
    one.apply(UPSTREAM.format(name="stand-in", url=stand_in.url, more="api_key: secret:stand-in\nidle_time: 2s\n"))
    one.apply(UPSTREAM.format(name="away", url="http://127.0.0.1:9/v1", more=""))
    for route, upstream, model, more in (
            ("helper", "stand-in", "stand-in-small", ""),
            ("vectors", "stand-in", "stand-in-embed", ""),
            ("plain", "stand-in", "stand-in-small", "retries: {attempts: 1}\n"),
            ("limited", "stand-in", "stand-in-small", "limits: [{per: user, requests_per_minute: 2}]\n"),
            ("careful", "away", "nobody", "fallbacks: [helper]\n"),
            ("chosen", "stand-in", "stand-in-small", CHOSEN),
            ("lost", "stand-in", "nobody", "")):
        one.apply(ROUTE.format(model=route, more=more))
        one.start_release(route, one.register(route, remote(folder / route, f"upstream: {upstream}\nmodel: {model}\n")))
    yield one
    server.stop()


def test_a_chat_is_answered_and_leaves_its_event(desk, stand_in):
    raw = client(desk).chat.completions.with_raw_response.create(
        model="helper", messages=HELLO, user="u-7", temperature=0.1, extra_body={"top_k": 40, "nested": {"b": [1.0, None], "a": 2}})
    answer = raw.parse()
    assert answer.choices[0].message.content == SAYS
    assert answer.model == "helper" and answer.id.startswith("chatcmpl-")
    assert answer.model_extra["stand_in"] is True
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert raw.headers["x-penstock-route"] == "helper" and raw.headers["x-penstock-version"] == "1"
    sent = json.loads(stand_in.last)
    assert sent["model"] == "stand-in-small" and sent["top_k"] == 40
    assert '"nested":{"b":[1.0,null],"a":2}' in stand_in.last.replace(": ", ":").replace(", ", ",")
    event = prediction(desk, raw.headers)
    assert event["route"] == "helper" and event["runtime"] == "openai" and event["user"] == "u-7"
    generation = event["generation"]
    assert generation["output_tokens"] == answer.usage.completion_tokens and not generation["estimated"]
    cached = answer.usage.prompt_tokens_details.cached_tokens  # counted apart, since they cost less
    assert cached > 0 and generation["cached_prompt_tokens"] == cached
    assert generation["prompt_tokens"] == answer.usage.prompt_tokens - cached
    assert generation["finish_reason"] == "stop" and event["upstream_micros"] <= event["total_micros"]


@pytest.mark.parametrize("asked", [False, True])
def test_a_stream_is_counted_whether_the_caller_asks_or_not(desk, asked):
    more = {"stream_options": {"include_usage": True}} if asked else {}
    raw = client(desk).chat.completions.with_raw_response.create(model="helper", messages=HELLO, stream=True, **more)
    pieces = list(raw.parse())
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == SAYS
    assert {piece.model for piece in pieces} == {"helper"}
    assert [piece.usage is not None for piece in pieces] == [False] * (len(pieces) - 1) + [asked]
    assert all(piece.choices for piece in pieces[:-1]) and bool(pieces[-1].choices) != asked
    event = prediction(desk, raw.headers)
    assert event["generation"]["streamed"] and not event["generation"]["estimated"]
    assert event["generation"]["output_tokens"] > 10 and event["generation"]["first_piece_micros"] > 0


def test_several_choices_and_bounds(desk):
    answer = client(desk).chat.completions.create(model="helper", messages=HELLO, n=3, max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.choices[0].finish_reason == "length" and answer.choices[0].message.content == "I am a stand-in"
    pieces = list(client(desk).chat.completions.create(model="helper", messages=HELLO, n=2, stream=True))
    assert {piece.choices[0].index for piece in pieces} == {0, 1}


def test_the_asynchronous_client(desk):
    async def talk():
        async with openai.AsyncOpenAI(base_url=f"{desk.server.url}/v1", api_key=desk.ana, max_retries=0) as one:
            async def streamed():
                stream = await one.chat.completions.create(model="helper", messages=HELLO, stream=True)
                return "".join([piece.choices[0].delta.content or "" async for piece in stream])
            whole = await asyncio.gather(*(one.chat.completions.create(model="helper", messages=HELLO) for _ in range(8)))
            streams = await asyncio.gather(*(streamed() for _ in range(8)))
            return [answer.choices[0].message.content for answer in whole] + streams
    assert asyncio.run(talk()) == [SAYS] * 16


def test_tools_whole_and_streamed(desk):
    answer = client(desk).chat.completions.create(model="helper", messages=HELLO, tools=WEATHER)
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls" and call.function.name == "weather"
    arguments = json.loads(call.function.arguments)
    assert arguments == {"city": "stand-in: Hello there", "days": 7}
    with client(desk).chat.completions.stream(model="helper", messages=HELLO, tools=WEATHER) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(streamed.function.arguments) == arguments
    messages = [*HELLO, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}]
    after = client(desk).chat.completions.create(model="helper", messages=messages, tools=WEATHER)
    assert after.choices[0].message.content.endswith("Sunny")


def test_structured_outputs(desk, stand_in):
    answer = client(desk).chat.completions.parse(model="helper", messages=HELLO, response_format=Town)
    assert answer.choices[0].message.parsed == Town(name="stand-in: Hello there", people=7)
    assert json.loads(stand_in.last)["response_format"]["json_schema"]["strict"] is True
    with client(desk).chat.completions.stream(model="helper", messages=HELLO, response_format=Town) as stream:
        assert stream.get_final_completion().choices[0].message.parsed.people == 7


def test_texts_embeddings_and_responses(desk):
    one = client(desk)
    text = one.completions.create(model="helper", prompt="Hello there")
    assert text.choices[0].text == SAYS and text.model == "helper"
    pieces = list(one.completions.create(model="helper", prompt="Hello there", stream=True))
    assert "".join(piece.choices[0].text for piece in pieces).strip() == SAYS
    floats = one.embeddings.create(model="vectors", input=["a red fox", "a red hen"], encoding_format="float")
    packed = one.embeddings.create(model="vectors", input=["a red fox", "a red hen"])  # base64 on the way
    assert packed.model == "vectors" and packed.usage.prompt_tokens == 6
    for plain, other in zip(floats.data, packed.data, strict=True):
        assert other.embedding == pytest.approx(plain.embedding, abs=1e-6) and len(plain.embedding) == 64
    assert len(one.embeddings.create(model="vectors", input="x", dimensions=8).data[0].embedding) == 8
    raw = one.responses.with_raw_response.create(model="helper", input="Hello there")
    assert raw.parse().output_text == SAYS and raw.parse().model == "helper"
    assert prediction(desk, raw.headers)["generation"]["prompt_tokens"] == 2


def test_models(desk):
    one = client(desk)
    assert [model.id for model in one.models.list()] == ["careful", "chosen", "helper", "limited", "lost", "plain", "vectors"]
    assert one.models.retrieve("helper").owned_by == "ml-platform"
    with pytest.raises(openai.NotFoundError):
        one.models.retrieve("nobody")


@pytest.mark.parametrize("change, error, says", [
    ({"model": "nobody"}, openai.NotFoundError, "GET /v1/models lists them"),
    ({"messages": []}, openai.BadRequestError, "messages must have at least one message"),
    ({"n": 1000}, openai.BadRequestError, "n must be a whole number"),
    ({"model": "lost"}, openai.NotFoundError, "The model `nobody` does not exist"),
])
def test_errors_are_the_clients_own(desk, change, error, says):
    with pytest.raises(error) as told:
        client(desk).chat.completions.create(**{"model": "helper", "messages": HELLO, **change})
    assert says in told.value.message and told.value.type
    assert told.value.param == next(iter(change)), told.value.body


def test_a_wrong_token_is_an_authentication_error(desk):
    with pytest.raises(openai.AuthenticationError):
        client(desk, api_key="pst_nobody").chat.completions.create(model="helper", messages=HELLO)
    viewer = desk.server.run("tokens", "create", "vi", "--actor", "user:vi", "--role", "viewer").stdout.strip()
    with pytest.raises(openai.PermissionDeniedError):
        client(desk, api_key=viewer).chat.completions.create(model="helper", messages=HELLO)


def test_a_failed_try_is_repeated_here_and_another_by_the_client(desk, stand_in):
    stand_in.set_faults({"fail": 1})
    raw = client(desk).chat.completions.with_raw_response.create(model="helper", messages=HELLO)
    event = prediction(desk, raw.headers)
    assert event["attempts"] == 2 and event["error"] == ""
    stand_in.set_faults({"fail": 1, "status": 429, "retry_after": "1"})
    before = time.monotonic()
    answer = client(desk, max_retries=1).chat.completions.create(model="plain", messages=HELLO)
    assert answer.choices[0].message.content == SAYS and time.monotonic() - before >= 1


@pytest.mark.parametrize("faults, error, code", [
    ({"fail": 9, "status": 429, "retry_after": "7"}, openai.RateLimitError, "told_to_fail"),
    ({"fail": 9, "status": 500, "leak": True}, openai.InternalServerError, "told_to_fail"),
    ({"fail": 9, "status": 400}, openai.BadRequestError, "told_to_fail"),
    ({"fail": 9, "status": 401}, openai.InternalServerError, "upstream_refused"),
    ({"garbage": True}, openai.InternalServerError, "upstream_broken"),
    ({"reset": True}, openai.InternalServerError, "upstream_broken"),
])
def test_an_upstream_that_fails_is_told_in_the_clients_words(desk, stand_in, faults, error, code):
    stand_in.set_faults(faults)
    with pytest.raises(error) as told:
        client(desk).chat.completions.create(model="plain", messages=HELLO)
    assert told.value.code == code, told.value.body
    address = stand_in.url.removeprefix("http://").removesuffix("/v1")
    assert KEY not in str(told.value.body) and address not in str(told.value.body)
    assert told.value.response.headers.get("retry-after") == faults.get("retry_after")


def test_an_upstream_that_hangs_is_given_up_at_the_deadline(desk, stand_in):
    stand_in.set_faults({"hang": 3})
    with pytest.raises(openai.InternalServerError) as told:
        client(desk, default_headers={"x-request-timeout": "300ms"}).chat.completions.create(model="plain", messages=HELLO)
    assert told.value.status_code == 504 and told.value.code == "deadline_exceeded"


def test_another_route_stands_in(desk):
    raw = client(desk).chat.completions.with_raw_response.create(model="careful", messages=HELLO)
    assert raw.parse().model == "careful" and raw.headers["x-penstock-route"] == "helper"
    event = prediction(desk, raw.headers)
    assert event["route"] == "helper" and event["fallback_of"] == "careful"


def test_a_stream_that_breaks_says_so(desk, stand_in):
    stand_in.set_faults({"cut": 4})
    with pytest.raises(openai.APIError) as told:
        for _ in client(desk).chat.completions.create(model="helper", messages=HELLO, stream=True):
            pass
    assert "ended before the answer did" in told.value.message
    stand_in.set_faults({"no_done": True})
    pieces = list(client(desk).chat.completions.create(model="helper", messages=HELLO, stream=True))
    assert pieces[-1].choices[0].finish_reason == "stop"


def test_a_caller_that_hangs_up_half_way_pays_for_its_half(desk, stand_in):
    stand_in.set_faults({"forever": True, "slow": 0.01})
    left = stand_in.left
    raw = client(desk).chat.completions.with_raw_response.create(model="helper", messages=HELLO, stream=True)
    stream = raw.parse()
    for _, piece in zip(range(20), stream):
        assert piece.choices
    stream.close()
    event = prediction(desk, raw.headers)
    generation = event["generation"]
    assert generation["finish_reason"] == "hung_up" and generation["estimated"]
    assert generation["output_tokens"] >= 19 and generation["prompt_tokens"] > 0 and event["error"] == ""
    desk.server.wait(lambda: stand_in.left > left)  # the upstream's connection is closed, too


@pytest.mark.parametrize("faults", [{"no_usage": True}, {"lie": 900_000_000}, {"lie": -5}])
@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_is_missing_or_a_lie_is_counted_here(desk, stand_in, faults, stream):
    stand_in.set_faults(faults)
    raw = client(desk).chat.completions.with_raw_response.create(model="helper", messages=HELLO, stream=stream)
    list(raw.parse()) if stream else raw.parse()
    generation = prediction(desk, raw.headers)["generation"]
    assert generation["estimated"] and 10 <= generation["output_tokens"] <= 40


def test_limits_hold_and_say_when(desk):
    one = client(desk)
    for _ in range(2):
        one.chat.completions.create(model="limited", messages=HELLO, user="ana")
    with pytest.raises(openai.RateLimitError) as told:
        one.chat.completions.create(model="limited", messages=HELLO, user="ana")
    assert told.value.code == "rate_limit_exceeded" and int(told.value.response.headers["retry-after"]) > 0
    one.chat.completions.create(model="limited", messages=HELLO, user="bo")


@pytest.mark.parametrize("body, status", [
    ("", 400), ("{", 400), ("[]", 400), ('{"model":"helper","model":"helper","messages":[{"content":"x"}]}', 400),
    ('{"model":"helper","messages":' + "[" * 100_000, 400), ('{"model":"helper","messages":[{"content":"\xff"}]}', 400),
])
def test_bad_bodies_are_refused_with_the_reason(desk, body, status):
    answer = requests.post(f"{desk.server.url}/v1/chat/completions", body.encode("latin-1"), timeout=60,
                           headers={"authorization": f"Bearer {desk.ana}", "content-type": "application/json"})
    assert answer.status_code == status and answer.json()["error"]["message"]


def test_the_secret_is_nowhere(desk):
    assert KEY not in desk.server.err.read_text()


def second(desk, plan: str) -> str:
    """Starts a release of version 2 of `chosen`; its name."""
    if not desk.second:
        desk.second = desk.register("chosen", remote(desk.folder / "chosen-2", "upstream: stand-in\nmodel: stand-in-small\n"),
                                    "rollback_to: chosen-v1\n")
        approved = desk.server.run("models", "approve", f"chosen@v{desk.second}", "--for", "production")
        assert approved.returncode == 0, approved.stderr
    made = desk.ask("POST", "/api/v1/releases", {"route": "chosen", "model": "chosen", "version": int(desk.second), "plan": {
        "canary": [1], "stage": {"calls": 1000000}, "bake": {"calls": 5}, "watch": {"calls": 0},
        "guards": [{"name": "wrong", "quantity": "wrong", "safe_ratio": 1000}], "shadow": {"calls": int(plan == "shadow") * 1000000}}})
    assert made.status_code == 200, made.text
    given = desk.server.run("releases", "approve", made.json()["id"])
    assert given.returncode == 0, given.stderr
    return made.json()["id"]


def answered_by(desk, **headers):
    return client(desk, default_headers=headers).chat.completions.with_raw_response.create(model="chosen", messages=HELLO)


def test_a_shadows_answer_is_nowhere_to_be_seen(desk, stand_in):
    release = second(desk, "shadow")

    def shadows() -> list:
        return desk.ask("GET", "/api/v1/routes/chosen/shadows", token=desk.server.token).json().get("shadows", [])

    def mirrored() -> int:
        answered_by(desk)
        return sum(one["calls"] for one in shadows())

    desk.server.wait(lambda: mirrored() > 0)
    raw = answered_by(desk, **{"x-beta": "1"})
    assert raw.headers["x-penstock-version"] == "1", "no rule sends a caller to a shadow"
    with pytest.raises(openai.NotFoundError) as told:
        answered_by(desk, **{"x-penstock-version": "2"})
    assert "it serves 1" in told.value.message
    name = raw.headers["x-penstock-prediction"]
    prediction(desk, name)
    assert desk.ask("GET", f"/api/v1/predictions/{name}.shadow.v2").status_code == 404
    shown = desk.server.run("routes", "shadows", "chosen")
    assert shown.returncode == 0 and "similarity" in shown.stdout and "latency_difference_micros" in shown.stdout, shown.stdout
    assert desk.server.run("releases", "rollback", release, "--reason", "seen enough").returncode == 0


def test_a_rule_by_header_sends_a_call_to_the_canary(desk):
    release = second(desk, "canary")
    beta = {"x-beta": "1", "x-penstock-user": "ana.k"}
    desk.server.wait(lambda: answered_by(desk, **beta).headers["x-penstock-version"] == "2")
    event = prediction(desk, answered_by(desk, **beta).headers)
    assert event["version"] == 2 and event["arm"] == "canary" and event["assignment_probability"] == 1
    assert event["user"] == "ana.k"
    assert desk.server.run("releases", "rollback", release, "--reason", "seen enough").returncode == 0
    desk.server.wait(lambda: answered_by(desk, **beta).headers["x-penstock-version"] == "1")


def test_an_operator_reads_what_was_kept(desk):
    raw = answered_by(desk)
    name = raw.headers["x-penstock-prediction"]
    assert desk.ask("GET", f"/api/v1/predictions/{name}/payload").status_code == 403
    desk.server.wait(lambda: desk.server.run("predictions", "payload", name).returncode == 0)
    kept = desk.ask("GET", f"/api/v1/predictions/{name}/payload", token=desk.server.token).json()
    assert json.loads(kept["request"])["messages"] == HELLO and json.loads(kept["answer"]) == json.loads(raw.text)
    assert prediction(desk, name)["payload"] == f"payload:{name}"
    plain = client(desk).chat.completions.with_raw_response.create(model="helper", messages=HELLO)
    assert prediction(desk, plain.headers)["payload"] == ""
