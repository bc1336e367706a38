"""mlflow.genai's label schemas and review queues, unmodified, against a server of our own."""

import os

import pytest
import requests

os.environ.setdefault("MLFLOW_ENABLE_TELEMETRY", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import RestException  # noqa: E402
from mlflow.genai import label_schemas, review_queues  # noqa: E402
from mlflow.genai.label_schemas import (InputCategorical, InputNumeric, InputPassFail, InputText,  # noqa: E402
                                        LabelSchemaType)
from mlflow.genai.review_queues import ReviewQueueType, ReviewStatus  # noqa: E402


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


@mlflow.trace
def answer(question):
    return question.upper()


def trace_of(question):
    answer(question)
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def refused(code, call, *arguments, **more):
    with pytest.raises(RestException) as failed:
        call(*arguments, **more)
    assert failed.value.error_code == code, failed.value
    return failed.value.message


def test_questions_of_every_kind_come_back_as_they_were_asked(experiment):
    inputs = {
        "right?": InputPassFail(positive_label="Right", negative_label="Wrong"),
        "tone": InputCategorical(options=["kind", "neutral", "harsh"], multi_select=True),
        "score": InputNumeric(min_value=1, max_value=5),
        "score above": InputNumeric(min_value=0.5),
        "note": InputText(max_length=200),
        "free": InputText(),
    }
    for name, input in inputs.items():
        made = label_schemas.create_label_schema(name, type="feedback", input=input, instruction="Please ä",
                                                 enable_comment=True)
        found = label_schemas.get_label_schema(schema_id=made.schema_id)
        assert found == made == label_schemas.get_label_schema(name, experiment_id=experiment)
        assert (found.input, found.type, found.instruction) == (input, LabelSchemaType.FEEDBACK, "Please ä")
        assert found.enable_comment and found.experiment_id == experiment and not found.is_default
        assert found.created_at and found.updated_at == found.created_at
    answer = label_schemas.create_label_schema("truth", type="expectation", input=InputText())
    assert answer.type == LabelSchemaType.EXPECTATION and answer.instruction is None
    listed = label_schemas.list_label_schemas()
    assert {one.name for one in listed} == {*inputs, "truth", "Feedback"}
    assert [one.name for one in listed if one.is_default] == ["Feedback"]
    names, token = [], None
    while True:
        page = label_schemas.list_label_schemas(max_results=3, page_token=token)
        names += [one.name for one in page]
        token = page.token
        if not token:
            break
    assert names == [one.name for one in listed]


def test_a_question_changes_within_its_kind(experiment):
    made = label_schemas.create_label_schema("tone", type="feedback", input=InputCategorical(options=["a", "b"]))
    changed = label_schemas.update_label_schema(made.schema_id, name="Tone", instruction="",
                                                input=InputCategorical(options=["b", "c"]))
    assert (changed.name, changed.instruction, changed.input.options) == ("Tone", "", ["b", "c"])
    update = label_schemas.update_label_schema
    assert "type cannot be changed" in refused("INVALID_PARAMETER_VALUE", update, made.schema_id, input=InputText())
    refused("INVALID_PARAMETER_VALUE", update, made.schema_id,
            input=InputCategorical(options=["a"], multi_select=True))
    refused("INVALID_PARAMETER_VALUE", update, made.schema_id, name="feedback")
    label_schemas.create_label_schema("other", type="feedback", input=InputText())
    refused("RESOURCE_ALREADY_EXISTS", update, made.schema_id, name="other")
    refused("RESOURCE_ALREADY_EXISTS", label_schemas.create_label_schema, "other", type="feedback", input=InputText())
    [default] = [one for one in label_schemas.list_label_schemas() if one.is_default]
    refused("INVALID_PARAMETER_VALUE", update, default.schema_id, name="mine")
    refused("INVALID_PARAMETER_VALUE", label_schemas.delete_label_schema, schema_id=default.schema_id)
    label_schemas.delete_label_schema(schema_id=made.schema_id)
    label_schemas.delete_label_schema(schema_id=made.schema_id)
    refused("RESOURCE_DOES_NOT_EXIST", label_schemas.get_label_schema, schema_id=made.schema_id)
    refused("RESOURCE_DOES_NOT_EXIST", label_schemas.get_label_schema, "Tone", experiment_id=experiment)
    refused("RESOURCE_DOES_NOT_EXIST", label_schemas.list_label_schemas, experiment_id="99999")


@pytest.mark.parametrize("input, field", [
    (InputPassFail(positive_label="same", negative_label="same"), "distinct"),
    (InputCategorical(options=[]), "options"),
    (InputCategorical(options=["a", "a"]), "'a'"),
    (InputNumeric(min_value=3, max_value=3), "min_value"),
    (InputText(max_length=0), "max_length"),
])
def test_questions_that_cannot_be_asked_are_refused(experiment, input, field):
    create = label_schemas.create_label_schema
    assert field in refused("INVALID_PARAMETER_VALUE", create, "q", type="feedback", input=input)


def test_a_queue_goes_its_way(client, experiment, server):
    question = label_schemas.create_label_schema("right?", type="feedback", input=InputText())
    queue = review_queues.create_review_queue("Week 1", queue_type="custom", users=["Bo", "cy"],
                                              schema_ids=[question.schema_id])
    assert (queue.name, queue.queue_type, queue.users) == ("Week 1", ReviewQueueType.CUSTOM, ["bo", "cy"])
    assert queue.schema_ids == [question.schema_id] and queue.experiment_id == experiment
    assert queue.created_by, "its owner is who made it"
    traces = [trace_of(question) for question in ("one", "two", "three")]
    items = review_queues.add_items_to_review_queue(queue.queue_id, item_ids=traces)
    assert [one.item_id for one in items] == traces and {one.status for one in items} == {ReviewStatus.PENDING}
    done = review_queues.set_review_queue_item_status(queue.queue_id, item_id=traces[1], status="complete",
                                                      completed_by="somebody-else")
    assert done.completed_by == queue.created_by != "somebody-else" and done.completed_time_ms
    again = review_queues.add_items_to_review_queue(queue.queue_id, item_ids=[traces[1]])
    assert again == [done]
    open_ones = review_queues.list_review_queue_items(queue.queue_id, status="pending")
    assert {one.item_id for one in open_ones} == {traces[0], traces[2]}
    page = review_queues.list_review_queue_items(queue.queue_id, max_results=2)
    rest = review_queues.list_review_queue_items(queue.queue_id, max_results=2, page_token=page.token)
    assert {one.item_id for one in [*page, *rest]} == set(traces) and rest.token is None
    reopened = review_queues.set_review_queue_item_status(queue.queue_id, item_id=traces[1], status="pending")
    assert reopened.completed_by is None and reopened.completed_time_ms is None
    refused("INVALID_PARAMETER_VALUE", review_queues.update_review_queue, queue.queue_id, schema_ids=[])
    renamed = review_queues.update_review_queue(queue.queue_id, name="WEEK 1", users=["dee"], new_owner="Cy")
    assert (renamed.name, renamed.users, renamed.created_by) == ("WEEK 1", ["dee"], "Cy")
    assert review_queues.get_review_queue(name="week 1") == renamed
    client.delete_traces(experiment, trace_ids=[traces[0]])
    left = review_queues.list_review_queue_items(queue.queue_id)
    assert {one.item_id for one in left} == set(traces[1:])
    review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=traces[1:])
    assert review_queues.update_review_queue(queue.queue_id, schema_ids=[]).schema_ids == []
    review_queues.delete_review_queue(queue.queue_id)
    review_queues.delete_review_queue(queue.queue_id)
    refused("RESOURCE_DOES_NOT_EXIST", review_queues.get_review_queue, queue.queue_id)
    events = requests.get(server.url + "/api/v1/audit/events", params={"subject": "review_queue:" + queue.queue_id},
                          headers={"Authorization": f"Bearer {server.token}"}, timeout=10).json()["events"]
    assert [one["action"].rsplit(".", 1)[1] for one in events] == [
        "created", "items_added", "item_moved", "item_moved", "changed", "items_removed", "changed", "deleted"]


def test_each_user_has_one_queue(client, experiment):
    own = review_queues.get_or_create_user_queue(" Bo ")
    assert (own.name, own.users, own.queue_type, own.created_by) == ("bo", ["bo"], ReviewQueueType.USER, "bo")
    assert review_queues.get_or_create_user_queue("BO") == own
    other = review_queues.create_review_queue("shared", queue_type="custom", users=["bo", "cy"])
    id = trace_of("where?")
    review_queues.add_items_to_review_queue(other.queue_id, item_ids=[id])
    assert {one.name for one in review_queues.list_review_queues(user="Bo")} == {"bo", "shared"}
    assert [one.name for one in review_queues.list_review_queues(user="cy")] == ["shared"]
    found = client._tracking_client.store.list_review_queues(experiment, item_id=id)
    assert [one.name for one in found] == ["shared"]
    first = review_queues.list_review_queues(max_results=1)
    second = review_queues.list_review_queues(max_results=1, page_token=first.token)
    assert {first[0].name, second[0].name} == {"bo", "shared"} and second.token is None
    create = review_queues.create_review_queue
    refused("INVALID_PARAMETER_VALUE", review_queues.update_review_queue, own.queue_id, name="x")
    refused("INVALID_PARAMETER_VALUE", create, "Default", queue_type="custom")
    refused("INVALID_PARAMETER_VALUE", create, "dee", queue_type="user", users=["other"])
    refused("INVALID_PARAMETER_VALUE", create, "q", queue_type="custom", schema_ids=["ls-none"])
    refused("INVALID_PARAMETER_VALUE", create, "q", queue_type="custom", users=[f"u{i}" for i in range(11)])
    refused("RESOURCE_ALREADY_EXISTS", create, "SHARED", queue_type="custom")
    refused("RESOURCE_ALREADY_EXISTS", review_queues.get_or_create_user_queue, "shared")


def test_only_traces_of_the_experiment_can_be_queued(client, experiment):
    queue = review_queues.create_review_queue("q", queue_type="custom")
    here = trace_of("here")
    elsewhere = client.create_experiment("elsewhere of queues")
    mlflow.set_experiment(experiment_id=elsewhere)
    there = trace_of("there")
    add = review_queues.add_items_to_review_queue
    assert there in refused("RESOURCE_DOES_NOT_EXIST", add, queue.queue_id, item_ids=[here, there])
    refused("RESOURCE_DOES_NOT_EXIST", add, queue.queue_id, item_ids=["tr-none"])
    refused("INVALID_PARAMETER_VALUE", add, queue.queue_id, item_ids=[])
    refused("RESOURCE_DOES_NOT_EXIST", add, "rq-none", item_ids=[here])
    assert list(review_queues.list_review_queue_items(queue.queue_id)) == []
    move = review_queues.set_review_queue_item_status
    refused("RESOURCE_DOES_NOT_EXIST", move, queue.queue_id, item_id=here, status="complete")
