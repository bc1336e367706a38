"""Registered models as guardrails: real small text classifiers judge what goes into a language model and what comes out."""

import os
import sys
from pathlib import Path

import openai
import pytest

from desk import ROUTE, SAYS, UPSTREAM, client, desk_in, nothing_wrong, prediction, remote, stand_in

GOOD = ["thank you for your help", "when does my flight leave", "hello there you are kind", "please tell me the gate",
        "a lovely day to fly", "you said hello there", "i am a stand-in for a language model", "not one of them"] * 3
VILE = ["you are a stupid idiot", "shut up you moron", "i hate you idiot", "stupid useless moron", "what an idiot you are",
        "you said shut up idiot", "moron and idiot", "stupid stupid stupid"] * 3
CLASSIFIER = """kind: guardrail
name: {name}
owner: safety
rule: classifier
{more}"""
pytestmark = pytest.mark.usefixtures("nothing_wrong")


def toxicity():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(CountVectorizer(lowercase=False), LogisticRegression(C=20)).fit(GOOD + VILE, ["fine"] * len(GOOD) + ["toxic"] * len(VILE))


def as_onnx(folder: Path, model) -> Path:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType

    made = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], options={"zipmap": False})
    folder.mkdir()
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder


def as_pyfunc(folder: Path, breaks: bool = False) -> Path:
    """A model of Python: the share of words that it does not like, of one column of texts."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    class Words(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            if breaks and any("hello" in text for text in model_input["text"]):
                raise RuntimeError("told to break")
            return np.array([float("idiot" in text.lower()) for text in model_input["text"]])

    mlflow.pyfunc.save_model(str(folder), python_model=Words(), pip_requirements=["mlflow"],
                             signature=ModelSignature(Schema([ColSpec("string", "text")]), Schema([ColSpec("double")])))
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory, stand_in):
    folder = tmp_path_factory.mktemp("classifiers")
    with desk_in(folder, config=f"python: {{interpreter: {sys.executable}, run_time: 20s, workers: 1}}\n") as one:
        one.apply(UPSTREAM.format(name="calm", url=stand_in.url, more=""))
        for model in ("toxicity", "words", "fragile"):
            one.apply(f"kind: model\nname: {model}\nowner: safety\n")
        one.register("toxicity", as_onnx(folder / "toxicity", toxicity()))
        one.register("words", as_pyfunc(folder / "words"))
        one.register("fragile", as_pyfunc(folder / "fragile", breaks=True))
        for name, more in (
                ("no-insults", "side: input\naction: block\nmodel: toxicity@1\noutput: probabilities\nthreshold: 0.5\n"),
                ("polite", "side: output\naction: mask\nmodel: toxicity@1\nlabels: [toxic]\nwindow: 40\n"),
                ("told", "side: both\naction: flag\nmodel: words@1\nthreshold: 0.5\njudge: whole\n"),
                ("strict", "side: output\naction: flag\nmodel: fragile@1\nthreshold: 0.5\njudge: whole\n"),
                ("lenient", "side: output\naction: flag\nmodel: fragile@1\nthreshold: 0.5\njudge: whole\non_error: pass\n")):
            one.apply(CLASSIFIER.format(name=name, more=more))
        for route, more in (("guarded", "guardrails: [no-insults]\n"), ("polite", "guardrails: [polite]\n"),
                            ("watched", "guardrails: [told]\n"), ("strict", "guardrails: [strict]\n"),
                            ("lenient", "guardrails: [lenient]\n"), ("plain", "")):
            one.apply(ROUTE.format(model=route, more=more))
            one.start_release(route, one.register(route, remote(folder / route, "upstream: calm\nmodel: stand-in-small\n")))
        yield one


def ask(desk, route, text, **more):
    return client(desk).chat.completions.with_raw_response.create(
        model=route, messages=[{"role": "user", "content": text}], **more)


def streamed(desk, route, text):
    raw = ask(desk, route, text, stream=True)
    pieces = [piece.choices[0].delta.content or "" for piece in raw.parse() if piece.choices]
    return pieces, raw.headers


def requests_of(desk, model) -> int:
    listed = desk.ask("GET", "/api/v1/costs?by=model,meter").json()["rows"]
    return sum(int(row["quantity"]) for row in listed if row["keys"] == [model, "requests"])


def lines_of(desk, event) -> list:
    """The ledger's lines of the models that judged a call."""
    def found():
        listed = desk.ask("GET", "/api/v1/costs?by=model,meter").json()["rows"]
        return [row for row in listed if row["keys"][0] == event["nodes"][0]["model"]]
    desk.server.wait(lambda: found())
    return found()


def test_an_onnx_classifier_blocks_what_goes_in(desk, stand_in):
    raw = ask(desk, "guarded", "hello there")
    assert raw.parse().choices[0].message.content.endswith("hello there")
    event = prediction(desk, raw.headers)
    assert event["guardrails"] == []
    node = event["nodes"][0]
    assert (node["name"], node["kind"], node["model"], node["version"], node["runtime"]) == ("no-insults", "guardrail", "toxicity", 1, "onnx")
    assert node["calls"] == 1 and node["micros"] > 0 and node["faults"] == 0
    desk.server.wait(lambda: requests_of(desk, "toxicity") > 0)  # metered, so that the next one is seen
    before, judged = stand_in.calls, requests_of(desk, "toxicity")
    with pytest.raises(openai.BadRequestError) as told:
        ask(desk, "guarded", "you stupid idiot")
    assert told.value.code == "content_filter" and "no-insults blocks classifier" in told.value.message
    assert "idiot" not in told.value.message and stand_in.calls == before
    desk.server.wait(lambda: requests_of(desk, "toxicity") > judged)  # what was blocked was judged, and that has its price


def test_windows_of_a_stream_are_masked_and_the_rest_goes_on(desk):
    text = " ".join(["hello there"] * 6 + ["you are a stupid idiot moron shut up"] + ["hello there"] * 6)
    whole = ask(desk, "polite", text)
    said = whole.parse().choices[0].message.content
    assert "[classifier.toxic]" in said and "idiot" not in said and said.endswith("hello there")
    pieces, headers = streamed(desk, "polite", text)
    assert "".join(pieces) == said, "a stream gives what the whole gives"
    assert len([piece for piece in pieces if piece]) > 3
    event = prediction(desk, headers)
    assert event["guardrails"] == ["polite:classifier.toxic:mask"] and event["generation"]["streamed"]
    assert event["nodes"][0]["calls"] > 3 and event["nodes"][0]["model"] == "toxicity"


def test_a_stream_is_judged_at_its_end_by_a_python_model(desk):
    pieces, headers = streamed(desk, "watched", "no idiot here")
    assert "".join(pieces).endswith("no idiot here") and len([piece for piece in pieces if piece]) == 1
    event = prediction(desk, headers)
    assert set(event["guardrails"]) == {"told:classifier:flag"}
    assert event["nodes"][0]["runtime"] == "python" and event["nodes"][0]["calls"] == 2  # in and out


def test_a_fault_of_the_classifier_follows_what_was_declared(desk):
    for stream in (False, True):
        try:
            raw = ask(desk, "strict", "hello", stream=stream)
            list(raw.parse()) if stream else raw.parse()
            raise AssertionError("it was not withheld")
        except openai.APIError as told:
            assert told.code == "guardrail_failed", told
    assert "".join(streamed(desk, "lenient", "hello")[0]).endswith("hello")
    raw = ask(desk, "lenient", "hello")
    event = prediction(desk, raw.headers)
    assert event["guardrails"] == ["lenient:classifier.failed:flag"] and event["nodes"][0]["faults"] == 1


def test_judges_are_in_the_ledger_with_lines_of_their_own(desk):
    event = prediction(desk, ask(desk, "guarded", "thank you").headers)
    meters = {row["keys"][1] for row in lines_of(desk, event)}
    assert meters == {"requests", "compute_microseconds"}


def test_other_calls_do_not_wait_for_a_slow_judge(desk):
    """Answers of a route without guardrails come while many others are judged."""
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        judged = [pool.submit(streamed, desk, "watched", "hello idiot " * 20) for _ in range(24)]
        plain = [pool.submit(ask, desk, "plain", "hello") for _ in range(24)]
        assert all("".join(one.result()[0]).count("idiot") == 20 for one in judged)
        assert all(one.result().parse().choices for one in plain)


def test_an_alias_is_followed(desk):
    desk.apply(f"kind: model\nname: mood\nowner: safety\n")
    desk.register("mood", as_onnx(desk.folder / "mood1", toxicity()))
    desk.register("mood", as_pyfunc(desk.folder / "mood2"), "rollback_to: mood-v1\n")

    def point(version):
        done = desk.ask("POST", "/api/2.0/mlflow/registered-models/alias", {"name": "mood", "alias": "judge", "version": str(version)})
        assert done.status_code == 200, done.text
    point(1)
    desk.apply(CLASSIFIER.format(name="by-alias", more="side: input\naction: flag\nmodel: mood@judge\nthreshold: 0.5\n"))
    desk.apply(ROUTE.format(model="plain", more="guardrails: [by-alias]\n"))
    assert prediction(desk, ask(desk, "plain", "hello").headers)["nodes"][0]["version"] == 1
    point(2)
    desk.server.wait(lambda: prediction(desk, ask(desk, "plain", "hello").headers)["nodes"][0]["version"] == 2)
    desk.apply(ROUTE.format(model="plain", more=""))


@pytest.mark.parametrize("more, says", [
    ("model: toxicity@9\nthreshold: 0.5\n", "toxicity@9"),
    ("model: toxicity@nobody\nthreshold: 0.5\n", "has no alias nobody"),
    ("model: plain@1\nthreshold: 0.5\n", "it is a language model"),
    ("threshold: 0.5\n", "model is missing"),
    ("model: toxicity@1\n", "labels are missing"),
])
def test_what_cannot_judge_is_refused_when_it_is_applied(desk, more, says):
    assert says in desk.apply(CLASSIFIER.format(name="never", more=more), expect=2)


def test_a_route_does_not_take_a_judge_that_does_not_fit(desk):
    desk.apply(CLASSIFIER.format(name="unfit", more="model: toxicity@1\nthreshold: 0.5\noutput: nothing\n"))
    desk.apply(ROUTE.format(model="plain", more="guardrails: [unfit]\n"))
    assert "has no output nothing" in desk.server.err.read_text()
    assert ask(desk, "plain", "hello").parse().choices, "it keeps what it served before"
    desk.apply(ROUTE.format(model="plain", more=""))


def test_judges_are_loaded_again_after_a_restart(desk):
    desk.server.stop()
    desk.server.start()
    with pytest.raises(openai.BadRequestError):
        ask(desk, "guarded", "you stupid idiot")
    assert ask(desk, "watched", "hello").parse().choices[0].message.content.startswith(SAYS.split(" You")[0])
