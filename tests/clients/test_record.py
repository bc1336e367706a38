"""The record of a version through the command line, and through the tools that read what is made of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

SIGNER = str(Path(sys.executable).parent / "model_signing")


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)], check=True)
    subprocess.run(["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)], check=True,
                   capture_output=True)
    return private, public


def files_of_model(folder: Path, text: str = "weights") -> Path:
    (folder / "labels").mkdir(parents=True)
    (folder / "model.onnx").write_text(text)
    (folder / "labels" / "names.txt").write_text("late\nearly\n")
    (folder / "labels.txt").write_text("2\n")
    return folder


def declare_key(server, folder: Path, name: str, public: Path, models: list[str] | None = None) -> None:
    text = json.dumps({"kind": "signing_key", "name": name, "owner": "security", "public_key": public.read_text(),
                       "models": models or []})
    (folder / f"{name}.yaml").write_text(text)
    applied = server.run("apply", str(folder / f"{name}.yaml"))
    assert applied.returncode == 0, applied.stderr


def register(server, folder: Path, model: str, artifact: Path | None = None, **fields) -> str:
    record = {"model_id": model, "artifact_uri": "s3://elsewhere/model", "owner": "desk", **fields}
    path = folder / "record.yaml"
    path.write_text(json.dumps(record))
    done = server.run("models", "register", "-f", str(path), *(["--artifact", str(artifact)] if artifact else []))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1].removeprefix("model:")


@pytest.fixture(scope="module")
def world(server, tmp_path_factory):
    """A signing key that is declared, and a version with files."""
    folder = tmp_path_factory.mktemp("record")
    private, public = key_pair(folder, "release")
    declare_key(server, folder, "release", public)
    files = files_of_model(folder / "model")
    (folder / "model.yaml").write_text(json.dumps(
        {"kind": "model", "name": "late", "owner": "desk", "description": "Will it be late?",
         "task": "tabular-classification", "risk_class": "low", "signature_required": True}))
    assert server.run("apply", str(folder / "model.yaml")).returncode == 0
    version = register(server, folder, "late", files, licence="Apache-2.0", runtime="onnx",
                       metrics={"brier": 0.15}, intended_use="Warn the desk.", limitations="New York only.")
    return {"folder": folder, "private": private, "public": public, "files": files, "version": version}


def test_show_gives_everything_in_one_answer(server, world):
    facts = json.loads(server.run("models", "show", world["version"], "--json").stdout)
    for name in ("version", "model", "approvals", "blockers", "classification", "deployments", "training_data",
                 "features", "evaluation", "metrics", "training_cost", "releases", "incidents", "lineage", "files",
                 "signatures", "code", "environment"):
        assert name in facts
    assert [file["path"] for file in facts["files"]] == ["labels.txt", "labels/names.txt", "model.onnx"]
    assert facts["training_cost"]["basis"] == "not_recorded" and facts["model"]["risk_class"] == "low"
    shown = server.run("models", "show", world["version"]).stdout
    assert "training cost: not recorded" in shown and "deployed: on no route" in shown


def test_the_card_is_markdown_with_a_front_matter_or_one_page(server, world):
    card = server.run("models", "card", world["version"]).stdout
    assert card.startswith("---\nlicense: Apache-2.0\n") and "Warn the desk." in card and "*not recorded*" in card
    page = world["folder"] / "card.html"
    assert server.run("models", "card", world["version"], "--format", "html", "-o", str(page)).returncode == 0
    assert page.read_text().startswith("<!doctype html>") and "New York only." in page.read_text()
    assert server.run("models", "card", world["version"], "--format", "pdf").returncode == 2
    assert server.run("models", "card", "late@v99").returncode == 1


def validated(text: str) -> dict:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert fault is None, fault
    return json.loads(text)


def test_the_bill_of_materials_is_cyclonedx(server, world):
    bom = validated(server.run("models", "bom", world["version"]).stdout)
    model = bom["components"][0]
    assert model["type"] == "machine-learning-model" and model["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert [file["name"] for file in model["components"]] == ["labels.txt", "labels/names.txt", "model.onnx"]
    assert model["modelCard"]["considerations"]["technicalLimitations"] == ["New York only."]
    assert bom["serialNumber"] == validated(server.run("models", "bom", world["version"]).stdout)["serialNumber"]
    with pytest.raises(AssertionError):
        validated(json.dumps({**bom, "components": [{**model, "type": "wizard"}]}))


def test_the_reference_accepts_what_we_signed(server, world):
    unsigned = server.run("models", "verify", world["version"])
    assert unsigned.returncode == 1 and "is not signed" in unsigned.stdout
    signed = server.run("models", "sign", world["version"], "--private-key", str(world["private"]),
                        "--files", str(world["files"]))
    assert signed.returncode == 0, signed.stderr
    assert "verified with signing key release" in server.run("models", "verify", world["version"]).stdout
    signature = world["folder"] / "late.sig"
    assert server.run("models", "signature", world["version"], "-o", str(signature)).returncode == 0
    command = [SIGNER, "verify", "key", str(world["files"]), "--signature", str(signature), "--public_key",
               str(world["public"])]
    verified = subprocess.run(command, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    (world["files"] / "model.onnx").write_text("other weights")
    assert subprocess.run(command, capture_output=True, text=True).returncode != 0
    ours = server.run("models", "verify", str(world["files"]), "--key", str(world["public"]), "--signature",
                      str(signature))
    assert ours.returncode == 1 and "model.onnx was changed after it was signed" in ours.stderr
    (world["files"] / "model.onnx").write_text("weights")
    facts = json.loads(server.run("models", "show", world["version"], "--json").stdout)
    assert facts["signatures"][0]["verified"] and facts["signatures"][0]["owner"] == "security"


def test_we_accept_what_the_reference_signed(server, world, tmp_path):
    files = files_of_model(tmp_path / "theirs", "their weights")
    (files / ".gitignore").write_text("*.tmp\n")
    subprocess.run([SIGNER, "sign", "key", str(files), "--signature", str(files / "model.sig"), "--private_key",
                    str(world["private"])], check=True, capture_output=True)
    offline = server.run("models", "verify", str(files), "--key", str(world["public"]))
    assert offline.returncode == 0, offline.stderr
    version = register(server, tmp_path, "late", files)
    shown = server.run("models", "verify", version)
    assert shown.returncode == 0 and "verified with signing key release of security" in shown.stdout


def test_a_signature_by_another_key_or_over_other_files_is_not_kept(server, world, tmp_path):
    stranger, public = key_pair(tmp_path, "stranger")
    refused = server.run("models", "sign", world["version"], "--private-key", str(stranger))
    assert refused.returncode == 1 and "no signing_key is declared for it" in refused.stderr
    declare_key(server, tmp_path, "narrow", public, ["another-model"])
    refused = server.run("models", "sign", world["version"], "--private-key", str(stranger))
    assert refused.returncode == 1 and "signing_key narrow may not sign model late" in refused.stderr
    other = files_of_model(tmp_path / "other", "not what is stored")
    refused = server.run("models", "sign", world["version"], "--private-key", str(world["private"]), "--files", str(other))
    assert refused.returncode == 1 and "is not what the server stores" in refused.stderr
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0LXNlY3JldA==\n-----END EC PRIVATE KEY-----\n")
    refused = server.run("models", "sign", world["version"], "--private-key", str(broken))
    assert refused.returncode == 2 and "no private key" in refused.stderr and "c2VjcmV0" not in refused.stderr


def test_a_key_that_is_none_is_refused(server, tmp_path):
    (tmp_path / "key.yaml").write_text("kind: signing_key\nname: k\nowner: me\npublic_key: nothing\nmodels: []\n")
    refused = server.run("apply", str(tmp_path / "key.yaml"))
    assert refused.returncode == 2 and "must be PEM of an elliptic curve key" in refused.stderr


def test_diff_shows_what_changed_between_two_versions(server, world, tmp_path):
    other = files_of_model(tmp_path / "next", "newer weights")
    version = register(server, tmp_path, "late", other, licence="MIT", metrics={"brier": 0.14, "auc": 0.7})
    diff = server.run("models", "diff", world["version"], version.split("@")[1])
    assert diff.returncode == 0, diff.stderr
    for line in ("~ licence: Apache-2.0 -> MIT", "- intended_use: Warn the desk.", "~ brier: 0.15 -> 0.14  (-0.01)",
                 "+ auc: 0.7", "~ model.onnx: "):
        assert line in diff.stdout, diff.stdout
    assert "nothing differs" in server.run("models", "diff", version, version).stdout
    assert server.run("models", "diff", version, "v99").returncode == 1
    assert server.run("models", "diff", version, "late").returncode == 2


def test_versions_that_mlflow_logged_are_described_and_compared(server, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    from sklearn.linear_model import LogisticRegression
    import numpy
    os.environ["MLFLOW_TRACKING_TOKEN"] = server.token
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment("compared")
    try:
        rows = numpy.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
        for strength, accuracy in ((1.0, 0.5), (10.0, 0.75)):
            with mlflow.start_run():
                mlflow.log_params({"C": strength})
                mlflow.log_metric("accuracy", accuracy)
                model = LogisticRegression(C=strength).fit(rows, [0, 1, 1, 0])
                mlflow.sklearn.log_model(model, name="model", registered_model_name="logged",
                                         signature=mlflow.models.infer_signature(rows, model.predict(rows)),
                                         pip_requirements=["scikit-learn==1.9.1", "numpy==2.4.6"],
                                         serialization_format="skops")
    finally:
        del os.environ["MLFLOW_TRACKING_TOKEN"]
    diff = server.run("models", "diff", "logged@v1", "v2").stdout
    assert "~ C: 1.0 -> 10.0" in diff and "~ accuracy: 0.5 -> 0.75  (+0.25)" in diff, diff
    bom = validated(server.run("models", "bom", "logged@v1").stdout)
    assert "pkg:pypi/scikit-learn@1.9.1" in [one.get("purl") for one in bom["components"]]
    assert bom["components"][0]["modelCard"]["modelParameters"]["inputs"], "from MLmodel"
    card = server.run("models", "card", "logged@v2").stdout
    assert "| accuracy | 0.75 |" in card and "MLmodel" in card
