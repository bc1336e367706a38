"""Evidence for a model version, checked by somebody who has a file, a public key and nothing else."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import PENSTOCK

os.environ.setdefault("MLFLOW_ENABLE_TELEMETRY", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

SIGNER = str(Path(sys.executable).parent / "model_signing")


def apply(server, folder: Path, *declarations: dict) -> None:
    for number, declaration in enumerate(declarations):
        path = folder / f"declared-{number}.yaml"
        path.write_text(json.dumps(declaration))
        done = server.run("apply", str(path))
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def logged(server, tmp_path_factory):
    """A model that MLflow's client trained, evaluated and registered; a key signed its files, and a person agreed."""
    mlflow = pytest.importorskip("mlflow")
    import numpy
    from sklearn.linear_model import LogisticRegression
    folder = tmp_path_factory.mktemp("evidence")
    rows = numpy.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    os.environ["MLFLOW_TRACKING_TOKEN"] = server.token
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment("judged")
    try:
        with mlflow.start_run():
            mlflow.log_params({"C": 1.0})
            mlflow.log_metric("accuracy", 0.75)
            model = LogisticRegression().fit(rows, [0, 1, 1, 0])
            mlflow.sklearn.log_model(model, name="model", registered_model_name="judged",
                                     signature=mlflow.models.infer_signature(rows, model.predict(rows)),
                                     pip_requirements=["scikit-learn==1.9.1"], serialization_format="skops")
    finally:
        del os.environ["MLFLOW_TRACKING_TOKEN"]
    private, public = folder / "key.pem", folder / "key.pub.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)], check=True)
    subprocess.run(["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)], check=True,
                   capture_output=True)
    apply(server, folder,
          {"kind": "signing_key", "name": "desk-key", "owner": "security", "public_key": public.read_text(),
           "models": []})
    return {"folder": folder, "private": private, "name": "judged@v1"}


@pytest.fixture(scope="module")
def registered(server, logged):
    """A version with files of its own, registered by the command line, signed and shown to have an incident."""
    folder = logged["folder"]
    files = folder / "files"
    files.mkdir()
    (files / "model.onnx").write_text("weights")
    (files / "labels.txt").write_text("late\nearly\n")
    record = folder / "record.yaml"
    record.write_text(json.dumps({"model_id": "late", "artifact_uri": "s3://elsewhere/model", "owner": "desk",
                                  "metrics": {"brier": 0.15}}))
    done = server.run("models", "register", "-f", str(record), "--artifact", str(files))
    assert done.returncode == 0, done.stderr
    signed = server.run("models", "sign", "late@v1", "--private-key", str(logged["private"]))
    assert signed.returncode == 0, signed.stderr
    return {"name": "late@v1", "files": files}


@pytest.fixture(scope="module")
def bundle(server, registered, tmp_path_factory):
    file = tmp_path_factory.mktemp("made") / "bundle.zip"
    done = server.run("evidence", "model:" + registered["name"], "-o", str(file))
    assert done.returncode == 0, done.stderr
    assert not file.with_suffix(".zip.part").exists()
    return file.read_bytes()


@pytest.fixture(scope="module")
def key(server):
    return server.run("audit", "key").stdout.strip()


def verify(folder: Path, archive: bytes, key: str) -> subprocess.CompletedProcess:
    """In a folder that holds the bundle and the key and nothing else, and with no server anywhere."""
    (folder / "bundle.zip").write_bytes(archive)
    (folder / "key.txt").write_text(key + "\n")
    assert sorted(one.name for one in folder.iterdir()) == ["bundle.zip", "key.txt"]
    return subprocess.run([PENSTOCK, "evidence", "verify", "bundle.zip", "--key", "file:key.txt"], cwd=folder,
                          capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "PENSTOCK_URL": "http://127.0.0.1:1"})


def test_a_bundle_is_verified_with_nothing_but_a_public_key(bundle, key, tmp_path):
    checked = verify(tmp_path, bundle, key)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for said in ("model:late@v1 in project default, for user:admin", "the evidence holds",
                 "proven: the record of model:late@v1 has the digest",
                 "proven: the log says that this record was registered as model:late@v1",
                 "proven: signing key desk-key of security signed the model's files",
                 "not proven: that nothing was left out", "not proven: that the key is the server's"):
        assert said in checked.stdout, checked.stdout


def test_every_zip_program_reads_it(bundle, tmp_path):
    archive = zipfile.ZipFile(io.BytesIO(bundle))
    assert archive.testzip() is None
    names = archive.namelist()
    assert names == sorted(names)
    for name in ("record.json", "card.html", "bom.json", "lineage.svg", "evaluation.json", "approvals.json",
                 "policies.json", "releases.json", "incidents.json", "signatures.json", "audit/events.jsonl",
                 "audit/checkpoint.txt", "manifest.json", "manifest.sig"):
        assert name in names
    for name in names:
        if name.endswith(".json"):
            json.loads(archive.read(name))
    archive.extractall(tmp_path)
    assert (tmp_path / "README.txt").read_text().startswith("Evidence for model:late@v1\n")


def test_other_tools_check_its_parts(bundle, registered, tmp_path):
    import xml.etree.ElementTree as tree
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    zipfile.ZipFile(io.BytesIO(bundle)).extractall(tmp_path)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((tmp_path / "bom.json").read_text()) is None
    tree.fromstring((tmp_path / "lineage.svg").read_text())
    (signature,) = (tmp_path / "signatures").glob("*.sig")
    command = [SIGNER, "verify", "key", str(registered["files"]), "--signature", str(signature), "--public_key",
               str(signature.with_suffix(".pem"))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_proofs_are_those_of_rfc_9162(bundle):
    """Written from the RFC once more, so that our own checker is not its only witness."""
    import base64
    import hashlib
    archive = zipfile.ZipFile(io.BytesIO(bundle))
    head = archive.read("audit/checkpoint.txt").decode().split("\n")
    size, root = int(head[1]), base64.b64decode(head[2])
    lines = archive.read("audit/events.jsonl").decode().splitlines()
    assert lines
    for line in map(json.loads, lines):
        at, last = line["number"], size - 1
        digest = hashlib.sha256(b"\0" + line["entry"].encode()).digest()
        for sibling in map(bytes.fromhex, line["path"]):
            assert last > 0
            if at % 2 or at == last:
                digest = hashlib.sha256(b"\1" + sibling + digest).digest()
                while at % 2 == 0 and at:
                    at, last = at // 2, last // 2
            else:
                digest = hashlib.sha256(b"\1" + digest + sibling).digest()
            at, last = at // 2, last // 2
        assert last == 0 and digest == root


def rewritten(archive: bytes, change) -> bytes:
    """Another archive with the files that `change(name, bytes)` gives; None leaves one out."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        for info in zipfile.ZipFile(io.BytesIO(archive)).infolist():
            data = change(info.filename, zipfile.ZipFile(io.BytesIO(archive)).read(info.filename))
            if data is not None:
                made.writestr(info, data)
    return out.getvalue()


def test_a_change_of_any_file_is_found(bundle, key, tmp_path):
    assert rewritten(bundle, lambda _, data: data) == bundle, "the same files are the same archive"
    for number, name in enumerate(zipfile.ZipFile(io.BytesIO(bundle)).namelist()):
        for what, change in (("changed", lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]),
                             ("left out", lambda data: None)):
            folder = tmp_path / f"{number}-{what.replace(' ', '-')}"
            folder.mkdir()
            checked = verify(folder, rewritten(bundle, lambda at, data: change(data) if at == name else data), key)
            assert checked.returncode == 1, f"{name} {what}"
            assert "BROKEN: this is no evidence" in checked.stdout
    for place in (0, len(bundle) // 3, len(bundle) // 2, len(bundle) - 1):
        (folder := tmp_path / f"byte-{place}").mkdir()
        broken = bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1:]
        assert verify(folder, broken, key).returncode == 1, place


def test_archives_that_are_traps_are_refused(bundle, key, tmp_path):
    def archive(*files: tuple[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as made:
            for name, data in files:
                made.writestr(name, data)
        return out.getvalue()
    cases = {"bomb": (archive(("manifest.json", b"0" * 100_000_000), method=zipfile.ZIP_DEFLATED), "is compressed"),
             "elsewhere": (archive(("../../key.txt", b"x")), "is no path of a file inside the archive"),
             "absolute": (archive(("/etc/passwd", b"x")), "is no path of a file inside the archive"),
             "empty": (b"", "is no ZIP archive"), "text": (b"nothing of the kind\n" * 99, "is no ZIP archive"),
             "foreign": (archive(("manifest.json", b"{}"), ("manifest.sig", b"\n")), "was changed"),
             "comment": (bundle[:-2] + b"\2\0hi", "is no ZIP archive, or has something behind its end")}
    for name, (data, said) in cases.items():
        (tmp_path / name).mkdir()
        checked = verify(tmp_path / name, data, key)
        assert checked.returncode == 1 and said in checked.stdout, name + checked.stdout + checked.stderr
    with pytest.warns(UserWarning):
        twice = archive(("a", b"1"), ("a", b"2"))
    (tmp_path / "twice").mkdir()
    assert "stands twice" in verify(tmp_path / "twice", twice, key).stdout


def test_another_key_or_none_is_told(bundle, key, tmp_path):
    other = ("penstock/other+" + key.split("+", 1)[1])
    checked = verify(tmp_path, bundle, other)
    assert checked.returncode == 2 and "its hash is another" in checked.stderr
    without = subprocess.run([PENSTOCK, "evidence", "verify", "bundle.zip"], cwd=tmp_path, capture_output=True,
                             text=True)
    assert without.returncode == 2 and "--key" in without.stderr
    gone = subprocess.run([PENSTOCK, "evidence", "verify", "gone.zip", "--key", key], cwd=tmp_path,
                          capture_output=True, text=True)
    assert gone.returncode == 2 and "cannot read gone.zip" in gone.stderr


def test_a_version_that_mlflow_logged_has_its_evidence_too(server, logged, key, tmp_path):
    file = tmp_path / "mlflow.zip"
    done = server.run("evidence", logged["name"], "-o", str(file))
    assert done.returncode == 0, done.stderr
    (tmp_path / "there").mkdir()
    checked = verify(tmp_path / "there", file.read_bytes(), key)
    assert checked.returncode == 0, checked.stdout
    facts = json.loads(zipfile.ZipFile(file).read("facts.json"))
    assert facts["metrics"]["accuracy"] == 0.75 and facts["parameters"]["C"] == "1.0"
    assert any(one["path"] == "MLmodel" for one in json.loads(zipfile.ZipFile(file).read("artifact.json"))["files"])


def test_it_is_asked_for_by_people_who_may_read(server, registered, tmp_path):
    import requests
    path = f"{server.url}/api/v1/models/late/versions/v1/evidence"
    assert requests.get(path, timeout=60).status_code == 401
    viewer = server.run("tokens", "create", "reader", "--actor", "user:vi", "--role", "viewer").stdout.strip()
    answer = requests.get(path, headers={"Authorization": f"Bearer {viewer}"}, timeout=60)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    missing = server.run("evidence", "late@v99", "-o", str(tmp_path / "none.zip"))
    assert missing.returncode == 1 and "there is no model:late@v99" in missing.stderr
    assert list(tmp_path.iterdir()) == []
    assert server.run("evidence", "late").returncode == 2
    assert server.run("evidence").returncode == 2
