"""MLflow's webhooks, set up with the unmodified client, told to receivers that verify what they get."""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from conftest import PENSTOCK, Server

os.environ.setdefault("MLFLOW_ENABLE_TELEMETRY", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus  # noqa: E402
from mlflow.exceptions import RestException  # noqa: E402
from mlflow.webhooks.types import EVENT_TO_PAYLOAD_CLASS, get_payload_class_for_event  # noqa: E402

SECRET = "not-to-be-told-1234"
ALL = [WebhookEvent(entity, action) for entity, action in EVENT_TO_PAYLOAD_CLASS]


class Receiver:
    """An HTTP or HTTPS server that keeps what it was posted. `answer` is its status; None: it hangs until told."""

    def __init__(self, certificate=None, port=0):
        self.posts, self.answer, self.release = [], 200, threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.answer
                if status is None:
                    outer.release.wait(30)
                    status = 200
                outer.posts.append((status, dict(self.headers), body))
                self.send_response(status)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"seen")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?from=penstock"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self):
        """What was taken: [(headers, body as JSON)], each with a signature that holds where there is one."""
        out = []
        for status, headers, body in list(self.posts):
            if status < 300:
                out.append((headers, json.loads(body)))
                if "X-MLflow-Signature" in headers:
                    verify(headers, body)
        return out

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


def verify(headers, body, secret=SECRET):
    """As MLflow's documentation has receivers do it."""
    signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["X-MLflow-Signature"] == "v1," + expected
    assert abs(time.time() - int(headers["X-MLflow-Timestamp"])) < 300


class WebhookServer(Server):
    """With a penstock.yaml, and a log that is kept."""

    def __init__(self, data, config=""):
        super().__init__(data)
        self.config, self.log = data.parent / "penstock.yaml", data.parent / "server.log"
        self.config.write_text(config)

    def start(self):
        self.process = subprocess.Popen(
            [PENSTOCK, "serve", "--data", str(self.data), "--http", "127.0.0.1:0", "--config", str(self.config)],
            stdout=self.out.open("w"), stderr=self.log.open("a"))
        self.wait(lambda: "http://" in self.out.read_text() or self.process.poll() is not None)
        self.url = "http://" + self.out.read_text().split("http://", 1)[1].split()[0]
        self.token = (self.data / "admin.token").read_text().strip()
        return self

    def client(self):
        os.environ["MLFLOW_TRACKING_TOKEN"] = self.token
        mlflow.set_tracking_uri(self.url)
        return MlflowClient(self.url)

    def get(self, path, **query):
        return requests.get(self.url + path, params=query, timeout=10,
                            headers={"Authorization": f"Bearer {self.token}"}).json()

    def kill(self):
        self.process.kill()
        self.process.wait(30)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """An authority and a certificate of localhost that it signed, made by openssl: (chain, key), authority."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=Test Authority")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "site.key", "-out", "site.csr", "-subj", "/CN=site")
    (folder / "ext").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "site.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "site.pem", "-days", "2", "-extfile", "ext")
    return (str(folder / "site.pem"), str(folder / "site.key")), str(folder / "ca.pem")


@pytest.fixture(scope="module")
def server(tmp_path_factory, certificate):
    one = WebhookServer(tmp_path_factory.mktemp("penstock") / "data",
                        "webhooks: {allow_http: true, allow_private: true, ca_file: " + certificate[1] + "}\n")
    yield one.start()
    one.stop()


@pytest.fixture
def client(server):
    yield server.client()
    for webhook in server.client().list_webhooks():
        server.client().delete_webhook(webhook.webhook_id)
    del os.environ["MLFLOW_TRACKING_TOKEN"]


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.close()


def named(receiver, count):
    Server.wait(lambda: len(receiver.told()) >= count)
    told = receiver.told()
    assert len(told) == count, told
    return [(f"{body['entity']}.{body['action']}", body["data"]) for _, body in told]


def test_a_webhook_is_kept_as_it_was_made(client, server):
    made = client.create_webhook("first", "http://127.0.0.1:9/x", ["model_version.created", ALL[0]],
                                 description="ä hook", secret=SECRET)
    found = client.get_webhook(made.webhook_id)
    assert (found.name, found.url, found.description) == ("first", "http://127.0.0.1:9/x", "ä hook")
    assert found.status == WebhookStatus.ACTIVE and found.secret is None
    assert {str(one) for one in found.events} == {"model_version.created", "registered_model.created"}
    assert found.creation_timestamp == found.last_updated_timestamp > 1_600_000_000_000
    changed = client.update_webhook(made.webhook_id, name="second", description="", status="DISABLED",
                                    events=["prompt.created"])
    assert (changed.name, changed.description, changed.status) == ("second", None, WebhookStatus.DISABLED)
    assert [str(one) for one in changed.events] == ["prompt.created"] and changed.url == found.url
    others = [client.create_webhook(f"more-{i}", "http://127.0.0.1:9/", ALL).webhook_id for i in range(4)]
    ids, token = [], None
    while True:
        page = client.list_webhooks(max_results=2, page_token=token)
        assert len(page) <= 2
        ids += [one.webhook_id for one in page]
        token = page.token
        if not token:
            break
    assert sorted(ids) == sorted([made.webhook_id, *others])
    client.delete_webhook(made.webhook_id)
    for call in (client.get_webhook, client.delete_webhook, client.test_webhook):
        with pytest.raises(RestException) as gone:
            call(made.webhook_id)
        assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    everything = server.log.read_text() + json.dumps(server.get("/api/v1/audit/events", limit=1000))
    everything += json.dumps(server.get("/api/2.0/mlflow/webhooks"))
    assert "tracking.webhook.created" in everything and SECRET not in everything
    for file in server.data.glob("metadata.db*"):
        assert SECRET.encode() not in file.read_bytes(), file
    assert (server.data / "webhooks.key").stat().st_mode & 0o777 == 0o600


def test_every_event_of_models_has_the_fields_that_mlflow_documents(client, receiver):
    client.create_webhook("models", receiver.url, ALL, secret=SECRET)
    client.create_registered_model("arrivals", tags={"team": "ops"}, description="of flights")
    client.create_model_version("arrivals", "s3://bucket/m", tags={"a": "1"}, description="first")
    client.set_model_version_tag("arrivals", "1", "b", "2")
    client.delete_model_version_tag("arrivals", "1", "b")
    client.set_registered_model_alias("arrivals", "champion", "1")
    client.delete_registered_model_alias("arrivals", "champion")
    assert named(receiver, 6) == [
        ("registered_model.created", {"name": "arrivals", "tags": {"team": "ops"}, "description": "of flights"}),
        ("model_version.created", {"name": "arrivals", "version": "1", "source": "s3://bucket/m", "run_id": None,
                                   "tags": {"a": "1"}, "description": "first"}),
        ("model_version_tag.set", {"name": "arrivals", "version": "1", "key": "b", "value": "2"}),
        ("model_version_tag.deleted", {"name": "arrivals", "version": "1", "key": "b"}),
        ("model_version_alias.created", {"name": "arrivals", "alias": "champion", "version": "1"}),
        ("model_version_alias.deleted", {"name": "arrivals", "alias": "champion"})]
    headers = [one for one, _ in receiver.told()]
    assert len({one["X-MLflow-Delivery-Id"] for one in headers}) == 6
    assert all("X-MLflow-Signature" in one and one["Content-Type"] == "application/json" for one in headers)
    for _, body in receiver.told():
        assert body["timestamp"].endswith("+00:00") and set(body) == {"entity", "action", "timestamp", "data"}
        documented = get_payload_class_for_event(WebhookEvent(body["entity"], body["action"]))
        assert set(body["data"]) == set(documented.__annotations__)


def test_prompts_are_told_as_prompts(client, receiver):
    client.create_webhook("prompts", receiver.url, [one for one in ALL if "prompt" in str(one)])
    mlflow.genai.register_prompt("greeting", "Hello {{name}}!", commit_message="first", tags={"lang": "en"})
    client.set_prompt_tag("greeting", "team", "ops")
    client.delete_prompt_tag("greeting", "team")
    client.set_prompt_version_tag("greeting", "1", "tone", "warm")
    client.delete_prompt_version_tag("greeting", "1", "tone")
    client.set_prompt_alias("greeting", "live", 1)
    client.delete_prompt_alias("greeting", "live")
    Server.wait(lambda: any(body["entity"] == "prompt_alias" and body["action"] == "deleted"
                            for _, body in receiver.told()))
    told = [(f"{body['entity']}.{body['action']}", body["data"]) for _, body in receiver.told()]
    found = dict(told)
    assert set(found) == {str(one) for one in ALL if "prompt" in str(one)}
    assert found["prompt.created"]["name"] == "greeting"
    version = found["prompt_version.created"]
    assert version["template"] == "Hello {{name}}!" and version["description"] == "first"
    assert version["tags"]["lang"] == "en" and "mlflow.prompt.text" not in version["tags"]
    assert found["prompt_version_tag.set"] == {"name": "greeting", "version": "1", "key": "tone", "value": "warm"}
    assert found["prompt_alias.created"] == {"name": "greeting", "alias": "live", "version": "1"}
    for event, data in told:
        assert set(data) == set(get_payload_class_for_event(WebhookEvent.from_str(event)).__annotations__)
    assert all("X-MLflow-Signature" not in headers for headers, _ in receiver.told()), "there is no secret"


def test_a_test_posts_an_example(client, receiver, certificate):
    made = client.create_webhook("tested", receiver.url, ["prompt.created", "budget_policy.exceeded"], secret=SECRET)
    done = client.test_webhook(made.webhook_id)
    assert done.success and done.response_status == 200 and done.response_body == "seen"
    for event in ALL:
        assert client.test_webhook(made.webhook_id, event).success
        _, body = receiver.told()[-1]
        assert (body["entity"], body["action"]) == (event.entity.value, event.action.value)
        assert set(body["data"]) == set(get_payload_class_for_event(event).__annotations__)
    receiver.answer = 503
    done = client.test_webhook(made.webhook_id)
    assert not done.success and done.response_status == 503
    receiver.close()
    done = client.test_webhook(made.webhook_id)
    assert not done.success and done.response_status is None and "no answer" in done.error_message


def test_https_with_an_authority_of_our_own(client, certificate):
    receiver = Receiver(certificate[0])
    made = client.create_webhook("tls", receiver.url, ["registered_model.created"], secret=SECRET)
    assert client.test_webhook(made.webhook_id).success
    client.create_registered_model("told over tls")
    assert named(receiver, 2)[1][1]["name"] == "told over tls"
    # The certificate is of localhost, and of no other name.
    client.update_webhook(made.webhook_id, url=receiver.url.replace("localhost", "127.0.0.1"))
    done = client.test_webhook(made.webhook_id)
    assert not done.success and "certificate" in done.error_message, done
    receiver.close()


def test_a_receiver_that_hangs_holds_up_nobody(client, receiver):
    slow = [Receiver() for _ in range(2)]
    for i, one in enumerate(slow):
        one.answer = None
        client.create_webhook(f"slow-{i}", one.url, ["registered_model.created"])
    client.create_webhook("quick", receiver.url, ["registered_model.created"])
    for i in range(3):
        client.create_registered_model(f"beside hanging ones {i}")
    assert len(named(receiver, 3)) == 3
    assert all(one.told() == [] for one in slow)
    for one in slow:
        one.answer = 200
        one.release.set()
    for one in slow:
        Server.wait(lambda one=one: len({body["data"]["name"] for _, body in one.told()}) == 3)
        one.close()


@pytest.fixture
def own(tmp_path):
    one = WebhookServer(tmp_path / "data", "webhooks: {allow_http: true, allow_private: true}\n").start()
    yield one
    if one.process.poll() is None:
        one.stop()
    os.environ.pop("MLFLOW_TRACKING_TOKEN", None)


def test_nothing_is_lost_while_receiver_and_server_are_down(own):
    receiver = Receiver()
    port = receiver.port
    own.client().create_webhook("away", receiver.url, ["registered_model.created"], secret=SECRET)
    own.client().create_registered_model("m0")
    named(receiver, 1)
    receiver.close()
    own.client().create_registered_model("m1")
    Server.wait(lambda: "webhook.failed" in own.log.read_text())
    own.client().create_registered_model("m2")
    own.kill()
    own.start()
    own.client().create_registered_model("m3")
    own.stop()
    back = Receiver(port=port)
    own.start()
    Server.wait(lambda: {body["data"]["name"] for _, body in back.told()} >= {"m1", "m2", "m3"}, turns=1200)
    ids = {headers["X-MLflow-Delivery-Id"] for headers, _ in back.told()}
    assert len(ids) == 3, "an event keeps its delivery id however often it is told"
    assert all("X-MLflow-Signature" in headers for headers, _ in back.told())
    assert SECRET not in own.log.read_text()
    back.close()


def test_a_webhook_that_keeps_failing_is_seen(own, receiver):
    receiver.answer = 500
    away = own.client().create_webhook("failing", receiver.url, ["registered_model.created"])
    own.client().create_registered_model("unheard")
    incidents = lambda: [one for one in own.get("/api/v1/incidents")["incidents"]  # noqa: E731
                         if one["subject"] == "webhook:" + away.webhook_id]
    Server.wait(incidents, turns=1200)
    assert len(incidents()) == 1 and "failing" in incidents()[0]["title"]
    assert len(receiver.posts) >= 5
    ids = {headers["X-MLflow-Delivery-Id"] for _, headers, _ in receiver.posts}
    assert len(ids) == 1
    receiver.answer = 200
    own.client().update_webhook(away.webhook_id, description="mended")
    assert named(receiver, 1)[0][1]["name"] == "unheard"
    receiver.answer = 404
    own.client().create_registered_model("refused")
    Server.wait(lambda: "webhook.given_up" in own.log.read_text())
    receiver.answer = 200
    own.client().create_registered_model("taken")
    assert named(receiver, 2)[1][1]["name"] == "taken"


def test_what_is_not_of_the_internet_is_refused(tmp_path):
    plain = WebhookServer(tmp_path / "data").start()
    client = plain.client()
    for url in ("http://example.com/x", "https://127.0.0.1/x", "https://localhost/x", "https://10.0.0.1/",
                "https://169.254.169.254/latest/meta-data", "https://[::1]:8080/", "https://127.1/", "ftp://example.com",
                "https://user:pass@8.8.8.8/", "not a url"):
        with pytest.raises(RestException) as refused:
            client.create_webhook("w", url, ["prompt.created"])
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE", url
    made = client.create_webhook("w", "https://8.8.8.8/x", ["prompt.created"], status="DISABLED")
    with pytest.raises(RestException):
        client.update_webhook(made.webhook_id, url="https://192.168.0.1/")
    with pytest.raises(RestException) as refused:
        client.create_webhook("bad name", "https://8.8.8.8/", ["prompt.created"])
    assert "name" in refused.value.message
    listed = client.list_webhooks()
    assert [one.url for one in listed] == ["https://8.8.8.8/x"]
    # A name that stood for a public address when it was checked, and does not now: the database says so here.
    plain.stop()
    receiver = Receiver()
    with sqlite3.connect(plain.data / "metadata.db") as metadata:
        metadata.execute("UPDATE webhooks SET url = ?", (f"https://127.0.0.1:{receiver.port}/",))
    plain.start()
    done = plain.client().test_webhook(made.webhook_id)
    assert not done.success and "not a public address" in done.error_message and receiver.posts == []
    receiver.close()
    plain.stop()


def test_only_an_administrator_has_webhooks(server):
    made = server.run("--json", "tokens", "create", "bo", "--actor", "user:bo", "--role", "developer")
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)["token"]
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/x"), ("PATCH", "/x"), ("DELETE", "/x"), ("POST", "/x/test")):
        answer = requests.request(method, server.url + "/api/2.0/mlflow/webhooks" + path, timeout=10, json={},
                                  headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403 and answer.json()["error_code"] == "PERMISSION_DENIED", answer.text
