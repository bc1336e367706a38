"""Versions that other servers and worker processes run: declared, registered, released and called."""

import json
import os
import re

import pytest
import requests

from conftest import Server

UPSTREAM = """kind: upstream
name: vllm
owner: ml-platform
protocol: openai
url: http://127.0.0.1:9/v1
api_key: secret:vllm
"""
ROUTE = """kind: model
name: {model}
owner: ml-platform
---
kind: route
name: {model}
owner: ml-platform
model: {model}
{more}"""
PLAN = """shadow: {calls: 0}
canary: [5000]
stage: {calls: 5}
bake: {calls: 5}
watch: {calls: 0}
guards:
  - {name: error, quantity: error, safe_ratio: 1000, required: true}
"""
KEY = "sk-never-to-be-seen"


class Desk:
    """A server, ana who develops (and calls), and the admin who approves."""

    def __init__(self, server: Server, folder):
        self.server, self.folder = server, folder
        self.ana = server.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()

    def ask(self, method: str, path: str, body=None, token: str | None = None, **more) -> requests.Response:
        return requests.request(method, self.server.url + path, json=body,
                                headers={"Authorization": f"Bearer {token or self.ana}"}, timeout=60, **more)

    def apply(self, text: str, expect: int = 0) -> str:
        path = self.folder / "declared.yaml"
        path.write_text(text)
        applied = self.server.run("apply", str(path), token=self.ana)
        assert applied.returncode == expect, applied.stdout + applied.stderr
        return applied.stderr if expect else applied.stdout

    def measured_run(self) -> str:
        """A run of MLflow's API with a metric: what a record may name as its evaluation."""
        run = self.ask("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"}).json()["run"]["info"]["run_id"]
        logged = self.ask("POST", "/api/2.0/mlflow/runs/log-metric",
                          {"run_id": run, "key": "accuracy", "value": 0.9, "timestamp": 1, "step": 0})
        assert logged.status_code == 200, logged.text
        return f"run:{run}"

    def register(self, model: str, artifact, more: str = "", expect: int = 0) -> str:
        record = self.folder / "record.yaml"
        record.write_text(f"model_id: {model}\nartifact_uri: uploaded\nowner: ml-platform\n"
                          f"eval_report: {self.measured_run()}\n{more}")
        done = self.server.run("models", "register", "-f", str(record), "--artifact", str(artifact), token=self.ana)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stderr if expect else re.search(r"@v(\d+)", done.stdout)[1]

    def start_release(self, model: str, version: str) -> str:
        approved = self.server.run("models", "approve", f"{model}@v{version}", "--for", "production")
        assert approved.returncode == 0, approved.stderr
        plan = self.folder / "plan.yaml"
        plan.write_text(PLAN)
        started = self.server.run("releases", "start", model, f"{model}@v{version}", "--plan", str(plan), token=self.ana)
        assert started.returncode == 0, started.stderr
        release = re.search(r"release:(\S+)", started.stdout)[1]
        approved = self.server.run("releases", "approve", release)
        assert approved.returncode == 0, approved.stderr
        return release

    def targets(self, route: str) -> list:
        return self.ask("GET", f"/api/v1/routes/{route}").json()["targets"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtimes")
    data = folder / "data"
    data.mkdir()
    (folder / "key").write_text(KEY + "\n")
    (data / "penstock.yaml").write_text(
        f"secrets:\n  vllm: {{value: 'file:{folder}/key', hosts: ['127.0.0.1:9']}}\n")
    server = Server(data)
    server.start()
    yield Desk(server, folder)
    server.stop()


def remote(folder, text: str):
    folder.mkdir(exist_ok=True)
    (folder / "remote.yaml").write_text(text)
    return folder


def test_a_remote_version_goes_from_nothing_to_a_route(desk, tmp_path):
    desk.apply(UPSTREAM)
    desk.apply(ROUTE.format(model="chat", more=""))
    version = desk.register("chat", remote(tmp_path / "v1", "upstream: vllm\nmodel: llama-3-8b\n"))
    shown = json.loads(desk.server.run("models", "show", f"chat@v{version}", "--json").stdout)
    assert shown["version"]["record"]["runtime"] == "openai" and shown["blockers"] == []
    first = desk.start_release("chat", version)
    desk.server.wait(lambda: "closed" in desk.server.run("releases", "show", first).stdout)
    assert [(t["version"], t["ready"]) for t in desk.targets("chat")] == [(1, True)]
    # It takes words: the tabular doors say where to go.
    tensors = desk.ask("POST", "/v2/models/chat/infer", {"inputs": []})
    assert tensors.status_code in (400, 409) and "/v1/chat/completions" in tensors.text, tensors.text

    second = desk.register("chat", remote(tmp_path / "v2", "upstream: vllm\nmodel: llama-3-70b\n"),
                           "rollback_to: chat-v1\n")
    release = desk.start_release("chat", second)
    assert sorted((t["version"], t["weight"]) for t in desk.targets("chat")) == [(1, 5000), (2, 5000)]
    assert desk.server.run("releases", "rollback", release).returncode == 0
    assert [(t["version"], t["weight"]) for t in desk.targets("chat")] == [(1, 10000)]


@pytest.mark.parametrize("change, says", [
    (("secret:vllm", KEY), "a key itself does not belong into a declaration"),
    (("secret:vllm", "secret:other"), "its owner adds secrets.other"),
    (("127.0.0.1:9", "127.0.0.1:10"), "may not go to 127.0.0.1:10"),
    (("127.0.0.1:9", "evil.test"), "may not go to evil.test:80"),
    (("127.0.0.1:9", f"me:{KEY}@127.0.0.1:9"), "must not hold a user"),
    (("http://", "grpc://"), "must begin with http:// or https://"),
])
def test_secrets_go_only_where_the_owner_of_the_server_said(desk, change, says):
    path = desk.folder / "refused.yaml"
    path.write_text(UPSTREAM.replace(*change))
    done = desk.server.run("apply", str(path), token=desk.ana)
    assert done.returncode in (1, 2)
    refused = done.stdout + done.stderr
    assert says in refused and KEY not in refused


def test_no_secret_is_told_or_kept(desk):
    assert KEY not in desk.server.err.read_text()
    for path in ("/api/v1/resources?kind=upstream", "/api/v1/routes", "/metrics", "/api/v1/audit/events"):
        assert KEY not in desk.ask("GET", path, token=desk.server.token).text
    table = (desk.server.data / "routing_table.json").read_text()
    assert "secret:vllm" in table and KEY not in table


@pytest.mark.parametrize("text, says", [
    ("upstream: nobody\nmodel: m\n", "which is not declared in project default"),
    ("upstream: vllm\n", "model is missing"),
    ("upstream: vllm\nmodel: m\ncolour: red\n", "colour"),
    ("upstream: vllm\nmodel: m\ngpus: -1\n", "gpus must be from 0 to 1024"),
])
def test_a_remote_yaml_that_cannot_be_is_refused_at_registration(desk, tmp_path, text, says):
    record = tmp_path / "record.yaml"
    record.write_text("model_id: chat\nartifact_uri: x\n")
    refused = desk.server.run("models", "register", "-f", str(record), "--artifact",
                              str(remote(tmp_path / "bad", text)), token=desk.ana)
    assert refused.returncode in (1, 2) and says in refused.stderr, refused.stderr


def test_the_table_is_served_again_after_a_restart(desk):
    before = desk.targets("chat")
    desk.server.stop()
    desk.server.start()
    after = desk.targets("chat")
    assert [(t["version"], t["ready"]) for t in after] == [(t["version"], True) for t in before]
