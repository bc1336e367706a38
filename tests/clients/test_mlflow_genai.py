"""The unmodified mlflow client's GenAI half against a server of our own: traces, assessments, evaluation, prompts."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import AssessmentSource, Feedback, SpanType  # noqa: E402
from mlflow.exceptions import MlflowException, RestException  # noqa: E402


@pytest.fixture
def client(server):
    os.environ["MLFLOW_TRACKING_TOKEN"] = server.token
    mlflow.set_tracking_uri(server.url)
    yield MlflowClient(server.url)
    mlflow.flush_trace_async_logging()
    del os.environ["MLFLOW_TRACKING_TOKEN"]


@pytest.fixture
def experiment(client, request):
    made = client.create_experiment(request.node.name)
    mlflow.set_experiment(experiment_id=made)
    return made


def traces_of(experiment, text=None, **more):
    mlflow.flush_trace_async_logging()
    return mlflow.search_traces(locations=[experiment], filter_string=text, return_type="list", **more)


def ids_of(experiment, text=None, **more):
    return [one.info.trace_id for one in traces_of(experiment, text, **more)]


@mlflow.trace(span_type=SpanType.AGENT)
def answer(question, fail=False):
    with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
        span.set_inputs({"query": question, "k": 2})
        span.set_attribute("index", "manuals")
        span.set_outputs([{"page": 1, "score": 0.5}, {"page": 2, "score": None}])
    if fail:
        raise ValueError("no answer")
    mlflow.update_current_trace(tags={"team": "ops"}, metadata={"mlflow.trace.session": "s-" + question})
    return {"text": question.upper(), "ünïcode": ["ä", True, 1.5]}


def test_a_traced_function_is_there_with_its_spans(client, experiment):
    answer("where?")
    id = mlflow.get_last_active_trace_id()
    mlflow.flush_trace_async_logging()
    trace = client.get_trace(id)
    assert trace.info.experiment_id == experiment and trace.info.state == "OK"
    assert trace.info.execution_duration is not None and trace.info.request_time > 1_600_000_000_000
    assert trace.info.tags["team"] == "ops" and trace.info.tags["mlflow.traceName"] == "answer"
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s-where?"
    assert "where?" in trace.info.request_preview and "WHERE?" in trace.info.response_preview
    root, inner = trace.data.spans
    assert root.parent_id is None and inner.parent_id == root.span_id
    assert root.inputs == {"question": "where?", "fail": False} and root.span_type == "AGENT"
    assert root.outputs == {"text": "WHERE?", "ünïcode": ["ä", True, 1.5]}
    assert inner.inputs == {"query": "where?", "k": 2} and inner.span_type == "RETRIEVER"
    assert inner.outputs == [{"page": 1, "score": 0.5}, {"page": 2, "score": None}]
    assert inner.attributes["index"] == "manuals"
    assert root.start_time_ns <= inner.start_time_ns <= inner.end_time_ns <= root.end_time_ns
    assert client._tracing_client.get_trace_info(id).trace_id == id


def test_what_fails_is_an_error_with_its_event(client, experiment):
    with pytest.raises(ValueError):
        answer("how?", fail=True)
    [trace] = traces_of(experiment, "status = 'ERROR'")
    root = trace.data.spans[0]
    assert root.status.status_code == "ERROR" and root.events[0].name == "exception"
    assert root.events[0].attributes["exception.message"] == "no answer"
    assert traces_of(experiment, "status = 'OK'") == []


def test_spans_made_by_hand(client, experiment):
    root = mlflow.start_span_no_context("root", inputs={"a": 1}, tags={"by": "hand"})
    child = mlflow.start_span_no_context("child", parent_span=root, span_type=SpanType.TOOL)
    child.end(outputs="done", status="OK")
    root.end(outputs={"b": 2})
    [trace] = traces_of(experiment)
    assert {s.name for s in trace.data.spans} == {"root", "child"} and trace.info.tags["by"] == "hand"
    assert trace.search_spans(span_type=SpanType.TOOL)[0].outputs == "done"


def test_search_by_all_that_a_trace_has(client, experiment):
    made = []
    for i in range(6):
        if i % 3 == 2:
            with pytest.raises(ValueError):
                answer(f"q{i}", fail=True)
        else:
            answer(f"q{i}")
        made.append(mlflow.get_last_active_trace_id())
        time.sleep(0.002)
    mlflow.flush_trace_async_logging()
    client.set_trace_tag(made[1], "colour", "red")
    with mlflow.start_run() as run:
        answer("in a run")
    linked = mlflow.get_last_active_trace_id()
    mlflow.flush_trace_async_logging()

    def found(text, **more):
        return sorted(made.index(id) for id in ids_of(experiment, text, **more) if id in made)

    assert ids_of(experiment)[0] == linked and len(ids_of(experiment)) == 7
    assert found("status = 'ERROR'") == [2, 5]
    assert found("tags.team = 'ops'") == [0, 1, 3, 4]
    assert found("tags.colour = 'red'") == [1]
    assert found("tags.colour IS NULL AND status = 'OK'") == [0, 3, 4]
    assert found("metadata.`mlflow.trace.session` = 's-q3'") == [3]
    assert found("name = 'answer'") == [0, 1, 2, 3, 4, 5]
    assert found("span.name = 'retrieve' AND span.type = 'RETRIEVER'") == [0, 1, 2, 3, 4, 5]
    assert found("span.name = 'answer' AND span.type = 'RETRIEVER'") == []
    assert found("span.status = 'ERROR'") == [2, 5]
    assert found("span.attributes.index = 'manuals'") == [0, 1, 2, 3, 4, 5]
    assert found("trace.text LIKE '%q4%'") == [4]
    assert found("trace.text RLIKE 'q[34]'") == [3, 4]
    assert found(f"request_id = '{made[3]}'") == [3]
    assert ids_of(experiment, f"run_id = '{run.info.run_id}'") == [linked]
    assert ids_of(experiment, run_id=run.info.run_id) == [linked]
    times = [client.get_trace(id).info.request_time for id in made]
    assert found(f"timestamp_ms > {times[3]}") == [i for i in range(6) if times[i] > times[3]]
    assert found("execution_time_ms >= 0") == list(range(6))
    oldest = ids_of(experiment, order_by=["timestamp_ms ASC"], max_results=2)
    assert oldest == made[:2]
    frame = mlflow.search_traces(locations=[experiment], include_spans=False, max_results=3)
    assert len(frame) == 3
    client.link_traces_to_run([made[0]], run.info.run_id)
    assert set(ids_of(experiment, f"run_id = '{run.info.run_id}'")) == {made[0], linked}
    for wrong in ("colour = 'red'", "status > 'OK'", "tags.a = 5", "timestamp_ms = 'x'", "status ="):
        with pytest.raises(MlflowException) as refused:
            ids_of(experiment, wrong)
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE", wrong


def test_tags_of_traces(client, experiment):
    answer("tag me")
    id = mlflow.get_last_active_trace_id()
    mlflow.flush_trace_async_logging()
    mlflow.set_trace_tag(id, "a", "1")
    mlflow.set_trace_tag(id, "a", "2")
    assert mlflow.get_trace(id).info.tags["a"] == "2"
    mlflow.delete_trace_tag(id, "a")
    assert "a" not in mlflow.get_trace(id).info.tags
    with pytest.raises(MlflowException) as gone:
        mlflow.delete_trace_tag(id, "a")
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_feedback_and_expectations(client, experiment):
    answer("judge me")
    id = mlflow.get_last_active_trace_id()
    mlflow.flush_trace_async_logging()
    human = AssessmentSource(source_type="HUMAN", source_id="ana")
    first = mlflow.log_feedback(trace_id=id, name="good", value=True, rationale="clear", source=human,
                                metadata={"round": "1"})
    score = mlflow.log_feedback(trace_id=id, name="score", value=0.75, source=human)
    mlflow.log_feedback(trace_id=id, name="parts", value={"a": [1, None]}, source=human)
    mlflow.log_feedback(trace_id=id, name="broken", error=ValueError("judge died"), source=human)
    wanted = mlflow.log_expectation(trace_id=id, name="answer", value={"text": ["x", 1]}, source=human)
    kept = {a.name: a for a in mlflow.get_trace(id).info.assessments}
    assert kept["good"].value is True and kept["good"].rationale == "clear"
    assert kept["good"].source.source_id == "ana" and kept["good"].metadata["round"] == "1"
    assert kept["score"].value == 0.75 and kept["parts"].value == {"a": [1, None]}
    assert kept["broken"].error.error_message == "judge died"
    assert kept["answer"].value == {"text": ["x", 1]}
    assert mlflow.get_assessment(id, first.assessment_id).name == "good"
    mlflow.update_assessment(id, score.assessment_id, Feedback(name="score", value=0.25, rationale="again"))
    assert mlflow.get_assessment(id, score.assessment_id).value == 0.25
    better = mlflow.override_feedback(trace_id=id, assessment_id=first.assessment_id, value=False)
    assert mlflow.get_assessment(id, first.assessment_id).valid is False
    assert ids_of(experiment, "feedback.good = 'false'") == [id]
    assert ids_of(experiment, "feedback.good = 'true'") == []
    assert ids_of(experiment, "feedback.score < 0.5") == [id]
    assert ids_of(experiment, "feedback.score > 0.5") == []
    mlflow.delete_assessment(id, better.assessment_id)
    assert mlflow.get_assessment(id, first.assessment_id).valid is True
    mlflow.delete_assessment(id, wanted.assessment_id)
    with pytest.raises(MlflowException) as gone:
        mlflow.get_assessment(id, wanted.assessment_id)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_deletion(client, experiment):
    made = []
    for i in range(5):
        answer(f"q{i}")
        made.append(mlflow.get_last_active_trace_id())
    mlflow.flush_trace_async_logging()
    assert client.delete_traces(experiment, trace_ids=[made[0], "tr-none"]) == 1
    with pytest.raises(MlflowException) as gone:
        client.get_trace(made[0])
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000, max_traces=1) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000) == 3
    assert ids_of(experiment) == []


def test_many_at_once(client, experiment):
    def work(i):
        answer(f"parallel {i}")
        return mlflow.get_last_active_trace_id(thread_local=True)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(work, range(64)))
    mlflow.flush_trace_async_logging()
    found = mlflow.search_traces(locations=[experiment], max_results=500, return_type="list")
    assert sorted(t.info.trace_id for t in found) == sorted(made)
    assert all(len(t.data.spans) == 2 for t in found)


def test_any_opentelemetry_exporter(client, experiment, server):
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace import StatusCode

    for compression in (exporter.Compression.NoCompression, exporter.Compression.Gzip, exporter.Compression.Deflate):
        provider = TracerProvider(resource=Resource.create({"service.name": f"shop-{compression.value}"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter.OTLPSpanExporter(
            endpoint=f"{server.url}/v1/traces", compression=compression,
            headers={"x-mlflow-experiment-id": experiment, "authorization": f"Bearer {server.token}"})))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("request") as root:
            root.set_attribute("session.id", "s1")
            with tracer.start_as_current_span("model", attributes={
                    "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4,
                    "input.value": "hello", "list": [1, 2]}) as span:
                span.set_status(StatusCode.ERROR, "slow")
                span.add_event("retry", {"n": 1})
        provider.shutdown()
    found = traces_of(experiment)
    assert len(found) == 3
    for trace in found:
        root, model = trace.data.spans
        assert root.name == "request" and model.span_type == "CHAT_MODEL" and model.attributes["list"] == [1, 2]
        assert model.inputs == "hello" and model.status.description == "slow"
        assert model.events[0].name == "retry"
        assert trace.info.token_usage == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        assert trace.info.trace_metadata["mlflow.trace.session"] == "s1" and trace.info.state == "OK"
    assert len(ids_of(experiment, "tags.`service.name` = 'shop-gzip'")) == 1


def test_errors_of_traces_are_mlflows(client, experiment, server):
    bearer = {"Authorization": f"Bearer {server.token}"}
    protobuf = {**bearer, "Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    base = f"{server.url}/api/3.0/mlflow/traces"
    spans = f"{server.url}/v1/traces"
    for answer, status, word in [
            (requests.get(f"{base}/tr-none", headers=bearer), 404, "RESOURCE_DOES_NOT_EXIST"),
            (requests.get(f"{base}/get?trace_id=tr-none", headers=bearer), 404, "RESOURCE_DOES_NOT_EXIST"),
            (requests.get(f"{base}/batchGet", headers=bearer), 400, "INVALID_PARAMETER_VALUE"),
            (requests.post(base, json={}, headers=bearer), 400, "INVALID_PARAMETER_VALUE"),
            (requests.post(f"{base}/search", json={}, headers=bearer), 400, "INVALID_PARAMETER_VALUE"),
            (requests.post(f"{base}/search", json={"locations": [], "max_results": 501}, headers=bearer), 400,
             "INVALID_PARAMETER_VALUE"),
            (requests.post(f"{base}/delete-traces", json={"experiment_id": "0"}, headers=bearer), 400,
             "INVALID_PARAMETER_VALUE"),
            (requests.post(spans, data=b"\xff", headers=protobuf), 400, "INVALID_PARAMETER_VALUE"),
            (requests.post(spans, data=b"", headers=protobuf), 400, "INVALID_PARAMETER_VALUE"),
            (requests.post(spans, data=b"x", headers={**protobuf, "Content-Encoding": "gzip"}), 400,
             "INVALID_PARAMETER_VALUE"),
            (requests.post(spans, data=b"x", headers={**protobuf, "Content-Type": "text/plain"}), 400,
             "INVALID_PARAMETER_VALUE"),
            (requests.post(spans, data=b"x", headers={**protobuf, "x-mlflow-experiment-id": "x"}), 400,
             "INVALID_PARAMETER_VALUE"),
            (requests.post(spans, data=b"x"), 401, "UNAUTHENTICATED"),
            (requests.get(spans, headers=bearer), 405, None)]:
        assert answer.status_code == status, answer.text
        assert word is None or answer.json()["error_code"] == word, answer.text
    assert ids_of(experiment) == []


def test_what_clients_before_3_call(client, experiment, server):
    bearer = {"Authorization": f"Bearer {server.token}"}
    base = f"{server.url}/api/2.0/mlflow/traces"
    made = requests.post(base, headers=bearer, json={
        "experiment_id": experiment, "timestamp_ms": 1000, "request_metadata": [{"key": "m", "value": "1"}],
        "tags": [{"key": "mlflow.traceName", "value": "old"}]}).json()["trace_info"]
    assert made["status"] == "IN_PROGRESS" and made["request_metadata"] == [{"key": "m", "value": "1"}]
    id = made["request_id"]
    ended = requests.patch(f"{base}/{id}", headers=bearer, json={
        "timestamp_ms": 1250, "status": "OK", "request_metadata": [], "tags": [{"key": "t", "value": "2"}]}).json()
    assert ended["trace_info"]["execution_time_ms"] == 250 and ended["trace_info"]["status"] == "OK"
    assert requests.get(f"{base}/{id}/info", headers=bearer).json()["trace_info"]["timestamp_ms"] == 1000
    found = requests.get(base, headers=bearer, params={
        "experiment_ids": [experiment], "filter": "tags.t = '2'", "max_results": 5}).json()["traces"]
    assert [one["request_id"] for one in found] == [id]
    assert client._tracing_client.get_trace_info(id).tags["t"] == "2"
    data = requests.get(f"{server.url}/ajax-api/2.0/mlflow/get-trace-artifact", headers=bearer,
                        params={"request_id": id})
    assert data.status_code == 404
    answer("new")
    mlflow.flush_trace_async_logging()
    data = requests.get(f"{server.url}/ajax-api/2.0/mlflow/get-trace-artifact", headers=bearer,
                        params={"request_id": mlflow.get_last_active_trace_id()}).json()
    assert [s["name"] for s in data["spans"]] == ["answer", "retrieve"]
    assert mlflow.entities.Span.from_dict(data["spans"][0]).outputs["text"] == "NEW"


def test_figures_over_traces_spans_and_assessments(client, experiment):
    from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
    from mlflow.tracing.client import TracingClient

    store = TracingClient().store
    hour = 3_600_000_000_000
    begun = 1_700_000_000_000_000_000 // hour * hour

    def trace(name, minutes, milliseconds, tokens=None, fail=False, cost=None):
        start = begun + minutes * 60_000_000_000
        root = mlflow.start_span_no_context(name, span_type=SpanType.CHAT_MODEL, start_time_ns=start)
        if tokens:
            root.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": tokens, "output_tokens": 2, "total_tokens": tokens + 2})
        if cost is not None:
            root.set_attribute("mlflow.llm.cost", {"input_cost": cost, "output_cost": 0.0, "total_cost": cost})
            root.set_attribute("mlflow.llm.model", "small")
        root.end(status="ERROR" if fail else "OK", end_time_ns=start + milliseconds * 1_000_000)
        return root.trace_id

    ids = [trace("ask", 0, 10, tokens=3, cost=0.25), trace("ask", 1, 20, tokens=5, cost=0.5), trace("ask", 61, 40, fail=True),
           trace("tell", 2, 7)]
    mlflow.flush_trace_async_logging()
    for id, value in zip(ids, (True, "yes", "no", 0.5)):
        mlflow.log_feedback(trace_id=id, name="good", value=value)

    def figures(view, metric, *aggregates, **more):
        wanted = [MetricAggregation(AggregationType.PERCENTILE, float(one[1:])) if one[0] == "P"
                  else MetricAggregation(AggregationType(one)) for one in aggregates]
        found = store.query_trace_metrics([experiment], MetricViewType(view), metric, wanted, **more)
        return [(one.dimensions, one.values) for one in found]

    assert figures("TRACES", "trace_count", "COUNT") == [({}, {"COUNT": 4})]
    assert figures("TRACES", "trace_count", "COUNT", dimensions=["trace_name", "trace_status"]) == [
        ({"trace_name": "ask", "trace_status": "ERROR"}, {"COUNT": 1}),
        ({"trace_name": "ask", "trace_status": "OK"}, {"COUNT": 2}),
        ({"trace_name": "tell", "trace_status": "OK"}, {"COUNT": 1})]
    assert figures("TRACES", "latency", "AVG", "MIN", "MAX", "P50", filters=["trace.tag.mlflow.traceName = 'ask'"]) == [
        ({}, {"AVG": pytest.approx(70 / 3), "MIN": 10, "MAX": 40, "P50.0": 20})]
    assert figures("TRACES", "input_tokens", "SUM", "AVG") == [({}, {"SUM": 8, "AVG": 4})]
    first, last = begun // 1_000_000, (begun + 2 * hour) // 1_000_000
    by_hour = figures("TRACES", "trace_count", "COUNT", time_interval_seconds=3600, start_time_ms=first, end_time_ms=last)
    assert [one[1]["COUNT"] for one in by_hour] == [3, 1] and by_hour[0][0]["time_bucket"].endswith(":00:00+00:00")
    assert figures("SPANS", "total_cost", "SUM", dimensions=["span_model_name"]) == [
        ({"span_model_name": "small"}, {"SUM": 0.75})]
    assert figures("SPANS", "span_count", "COUNT", filters=["span.status = 'ERROR'"]) == [({}, {"COUNT": 1})]
    assert figures("ASSESSMENTS", "assessment_value", "AVG", dimensions=["assessment_name"]) == [
        ({"assessment_name": "good"}, {"AVG": pytest.approx(2.5 / 4)})]
    assert figures("ASSESSMENTS", "assessment_count", "COUNT", dimensions=["assessment_value"],
                   filters=["trace.status = 'ERROR'"]) == [({"assessment_value": '"no"'}, {"COUNT": 1})]
    page = store.query_trace_metrics([experiment], MetricViewType.TRACES, "trace_count", [MetricAggregation(AggregationType.COUNT)],
                                     dimensions=["trace_name"], max_results=1)
    rest = store.query_trace_metrics([experiment], MetricViewType.TRACES, "trace_count", [MetricAggregation(AggregationType.COUNT)],
                                     dimensions=["trace_name"], max_results=1, page_token=page.token)
    assert [one.dimensions["trace_name"] for one in page + rest] == ["ask", "tell"] and not rest.token
    for refused in ({"metric": "speed"}, {"aggregates": ["SUM"]}, {"dimensions": ["span_name"]},
                    {"filters": ["trace.status != 'OK'"]}, {"filters": ["span.name = 'x'"]}, {"filters": ["trace.id = 'x'"]},
                    {"time_interval_seconds": 60}):
        with pytest.raises(RestException) as error:
            figures("TRACES", refused.pop("metric", "latency"), *refused.pop("aggregates", ["AVG"]), **refused)
        assert error.value.error_code == "INVALID_PARAMETER_VALUE", refused


def test_evaluation_datasets(client, experiment):
    from mlflow.genai.datasets import create_dataset, delete_dataset, get_dataset, search_datasets

    made = create_dataset(name="questions", experiment_id=[experiment], tags={"team": "ops"})
    made.merge_records([{"inputs": {"q": f"q{i}"}, "expectations": {"answer": i}, "tags": {"n": str(i)}}
                        for i in range(30)])
    made.merge_records([{"inputs": {"q": "q3"}, "expectations": {"also": True}, "outputs": "three"}])
    kept = get_dataset(dataset_id=made.dataset_id)
    frame = kept.to_df()
    assert list(frame.inputs) == [{"q": f"q{i}"} for i in range(30)]
    assert frame.expectations[3] == {"answer": 3, "also": True} and frame.outputs[3] == "three"
    assert kept.tags["team"] == "ops" and kept.experiment_ids == [experiment]
    assert '"num_records": 30' in kept.profile or '"num_records":30' in kept.profile
    assert [d.name for d in search_datasets(experiment_ids=[experiment], filter_string="name LIKE 'quest%'")] == [
        "questions"]
    assert list(search_datasets(experiment_ids=[experiment], filter_string="tags.team = 'other'")) == []
    client.set_dataset_tags(made.dataset_id, {"team": "web", "new": "1"})
    client.delete_dataset_tag(made.dataset_id, "new")
    assert get_dataset(dataset_id=made.dataset_id).tags["team"] == "web"
    other = client.create_experiment("other of datasets")
    from mlflow.genai.datasets import add_dataset_to_experiments, remove_dataset_from_experiments
    linked = add_dataset_to_experiments(made.dataset_id, [other])
    assert sorted(linked.experiment_ids) == sorted([experiment, other])
    assert remove_dataset_from_experiments(made.dataset_id, [other]).experiment_ids == [experiment]
    answer("from a trace")
    made.merge_records(traces_of(experiment))
    assert len(get_dataset(dataset_id=made.dataset_id).to_df()) == 31
    delete_dataset(dataset_id=made.dataset_id)
    with pytest.raises(MlflowException) as gone:
        get_dataset(dataset_id=made.dataset_id)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_genai_evaluate_with_a_scorer_of_ones_own(client, experiment):
    from mlflow.genai.scorers import scorer

    @scorer
    def is_loud(outputs, expectations):
        return outputs["text"] == expectations["text"]

    @scorer
    def length(outputs):
        return len(outputs["text"])

    data = [{"inputs": {"question": "ab"}, "expectations": {"text": "AB"}},
            {"inputs": {"question": "cde"}, "expectations": {"text": "other"}}]
    result = mlflow.genai.evaluate(data=data, predict_fn=lambda question: answer(question), scorers=[is_loud, length])
    assert result.metrics["is_loud/mean"] == 0.5 and result.metrics["length/mean"] == 2.5
    assert client.get_run(result.run_id).data.metrics["length/mean"] == 2.5
    found = traces_of(experiment, f"run_id = '{result.run_id}'")
    assert len(found) == 2
    by_question = {t.data.spans[0].inputs["question"]: t for t in found}
    values = {a.name: a.value for a in by_question["cde"].info.assessments}
    assert values["is_loud"] is False and values["length"] == 3 and values["text"] == "other"
    assert len(traces_of(experiment, "feedback.is_loud = 'true'")) == 1


def test_scorers_are_kept_in_versions(client, experiment):
    from mlflow.genai.scorers import Correctness, delete_scorer, get_scorer, list_scorers

    Correctness(model="openai:/gpt-4o-mini").register(name="right", experiment_id=experiment)
    Correctness(model="openai:/gpt-4o").register(name="right", experiment_id=experiment)
    assert [s.name for s in list_scorers(experiment_id=experiment)] == ["right"]
    assert get_scorer(name="right", experiment_id=experiment).model == "openai:/gpt-4o"
    assert get_scorer(name="right", experiment_id=experiment, version=1).model == "openai:/gpt-4o-mini"
    delete_scorer(name="right", experiment_id=experiment, version=1)
    with pytest.raises(MlflowException):
        get_scorer(name="right", experiment_id=experiment, version=1)
    # None is run here as traces come: that must be said, and not be promised.
    store = client._tracking_client.store
    with pytest.raises(MlflowException, match="does not run them") as refused:
        store.upsert_online_scoring_config(experiment, "right", 0.5)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    assert store.upsert_online_scoring_config(experiment, "right", 0.0).sample_rate == 0
    delete_scorer(name="right", experiment_id=experiment, version="all")
    assert list_scorers(experiment_id=experiment) == []


def test_prompts_from_registration_to_traces(client, experiment):
    prompt = mlflow.genai.register_prompt("greet", "Hello {{name}}", commit_message="first", tags={"lang": "en"})
    mlflow.genai.register_prompt("greet", "Hi {{name}}!", commit_message="second")
    chat = mlflow.genai.register_prompt("talk", [{"role": "user", "content": "Say {{word}}"}])
    assert prompt.version == 1 and chat.version == 1
    mlflow.genai.set_prompt_alias("greet", "live", version=1)
    assert mlflow.genai.load_prompt("prompts:/greet@live").format(name="Ana") == "Hello Ana"
    assert mlflow.genai.load_prompt("greet", version=2).template == "Hi {{name}}!"
    assert mlflow.genai.load_prompt("talk", version=1).format(word="it") == [{"role": "user", "content": "Say it"}]
    assert {p.name for p in mlflow.genai.search_prompts()} >= {"greet", "talk"}
    assert [p.name for p in mlflow.genai.search_prompts("name = 'greet'")] == ["greet"]
    assert "greet" not in [m.name for m in client.search_registered_models()]
    mlflow.genai.delete_prompt_alias("greet", "live")
    with pytest.raises(MlflowException):
        mlflow.genai.load_prompt("prompts:/greet@live")

    @mlflow.trace
    def greet(name):
        return mlflow.genai.load_prompt("greet", version=2).format(name=name)

    with mlflow.start_run() as run:
        greet("Bo")
    [trace] = traces_of(experiment)
    assert ids_of(experiment, "prompt = 'greet/2'") == [trace.info.trace_id]
    assert ids_of(experiment, "prompt = 'greet/1'") == []
    assert "greet" in client.get_run(run.info.run_id).data.tags.get("mlflow.linkedPrompts", "")


def test_models_evaluate_leaves_tables_metrics_and_inputs(client, experiment):
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    rows = pd.DataFrame(np.random.default_rng(1).normal(size=(100, 2)), columns=["a", "b"])
    labels = (rows.a > 0).astype(int)
    with mlflow.start_run() as run:
        model = mlflow.sklearn.log_model(LogisticRegression().fit(rows, labels), name="m")
        result = mlflow.models.evaluate(
            model.model_uri, rows.assign(label=labels), targets="label", model_type="classifier",
            evaluator_config={"log_model_explainability": False})
    kept = client.get_run(run.info.run_id)
    assert kept.data.metrics["accuracy_score"] == result.metrics["accuracy_score"] > 0.9
    there = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert len(result.artifacts) > 3 and {f"{name}.png" for name in result.artifacts} <= there
