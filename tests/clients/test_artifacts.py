"""Files of any size through MLflow's own client and plain HTTP: local disk and a real S3 server, full
disks, kills, signed URLs, uploads in parts."""

import hashlib
import os
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import mlflow
import pytest
import requests
from conftest import Server
from s3_server import ACCESS_KEY, PROGRAM, SECRET_KEY, S3Server

BLOCK = os.urandom(1 << 20)


def keys_of(s3: S3Server) -> str:
    return (f"artifacts: s3://artifacts/team\n"
            f"s3:\n  endpoint: {s3.endpoint}\n  access_key: ${{ENV:TEST_S3_KEY}}\n"
            f"  secret_key: file:{s3.folder / 'secret'}\n")


@pytest.fixture(scope="module", params=["local", "s3"])
def place(request, tmp_path_factory):
    """A server that keeps its files on the local disk or on S3."""
    top = tmp_path_factory.mktemp("place")
    s3 = None
    (top / "data").mkdir()
    if request.param == "s3":
        if not PROGRAM.exists():
            pytest.skip("versitygw is not built; run tools/setup.sh")
        s3 = S3Server(top / "s3", "artifacts")
        s3.start()
        os.environ["TEST_S3_KEY"] = ACCESS_KEY
        (s3.folder / "secret").write_text(SECRET_KEY + "\n")
        (top / "data" / "penstock.yaml").write_text(keys_of(s3))
    server = Server(top / "data")
    server.start()
    server.s3 = s3
    yield server
    server.stop()
    if s3:
        s3.kill()


@pytest.fixture(autouse=True)
def mlflow_at(request, monkeypatch):
    if "place" not in request.fixturenames:
        return
    place = request.getfixturevalue("place")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.url)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", place.token)
    mlflow.set_tracking_uri(place.url)


def url_of(server, path):
    return f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{path}"


def bearer(server):
    return {"Authorization": f"Bearer {server.token}"}


def stored_files(server) -> list[Path]:
    top = server.s3.folder / "data/artifacts/team/files" if getattr(server, "s3", None) else server.data / "blobs/files"
    return [path for path in top.rglob("*") if path.is_file()]


def test_the_client_logs_lists_and_fetches_files_of_any_size(place, tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(BLOCK * 20 + b"end")
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "folder/deep/a.txt").write_text("a")
    (tmp_path / "folder/empty").write_text("")
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(large), "models")
        mlflow.log_artifacts(str(tmp_path / "folder"))
        mlflow.log_text("caf\u00e9", "caf\u00e9 %.txt")
    client = mlflow.MlflowClient()
    listed = {f.path: f.file_size for f in client.list_artifacts(run.info.run_id)}
    assert listed == {"models": None, "deep": None, "empty": 0, "caf\u00e9 %.txt": 5}
    back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(tmp_path / "back"))
    assert (Path(back) / "models/large.bin").read_bytes() == large.read_bytes()
    assert (Path(back) / "deep/a.txt").read_text() == "a"
    assert (Path(back) / "caf\u00e9 %.txt").read_text() == "caf\u00e9"


def test_the_same_bytes_are_kept_once(place):
    before = len(stored_files(place))
    for name in ("one", "two", "one"):
        assert requests.put(url_of(place, f"same/{name}"), data=BLOCK, headers=bearer(place)).ok
    assert len(stored_files(place)) == before + 1


def test_a_model_is_logged_registered_and_loaded(place, tmp_path):
    from sklearn.linear_model import LogisticRegression
    import numpy as np

    features = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = LogisticRegression().fit(features, [0, 0, 1, 1])
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(model, name="model", registered_model_name="stored-model",
                                        input_example=features[:1])
    loaded = mlflow.sklearn.load_model(info.model_uri)
    assert (loaded.predict(features) == model.predict(features)).all()
    loaded = mlflow.sklearn.load_model("models:/stored-model/1")
    assert (loaded.predict_proba(features) == model.predict_proba(features)).all()
    got = requests.get(f"{place.url}/model-versions/get-artifact", headers=bearer(place),
                       params={"name": "stored-model", "version": "1", "path": "MLmodel"})
    assert got.ok and "sklearn" in got.text
    listed = requests.get(f"{place.url}/api/2.0/mlflow/logged-models/{info.model_id}/artifacts/directories",
                          headers=bearer(place)).json()
    assert "MLmodel" in [f["path"] for f in listed["files"]]


def test_ranges_tags_and_heads(place):
    body = BLOCK * 3
    assert requests.put(url_of(place, "ranged"), data=body, headers=bearer(place)).ok
    head = requests.head(url_of(place, "ranged"), headers=bearer(place))
    digest = hashlib.sha256(body).hexdigest()
    assert head.headers["Content-Length"] == str(len(body)) and head.headers["ETag"] == f'"{digest}"'
    for asked, expected in [("bytes=0-9", body[:10]), ("bytes=1000000-1999999", body[1_000_000:2_000_000]),
                            ("bytes=-5", body[-5:]), (f"bytes={len(body) - 1}-", body[-1:])]:
        got = requests.get(url_of(place, "ranged"), headers={**bearer(place), "Range": asked})
        assert got.status_code == 206 and got.content == expected, asked
    got = requests.get(url_of(place, "ranged"), headers={**bearer(place), "Range": f"bytes={len(body)}-"})
    assert got.status_code == 416 and got.headers["Content-Range"] == f"bytes */{len(body)}"
    for odd in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5"):
        got = requests.get(url_of(place, "ranged"), headers={**bearer(place), "Range": odd})
        assert got.status_code == 200 and got.content == body, odd
    same = requests.get(url_of(place, "ranged"), headers={**bearer(place), "If-None-Match": f'"{digest}"'})
    assert same.status_code == 304 and same.content == b""
    changed = {**bearer(place), "Range": "bytes=0-1", "If-Range": '"other"'}
    assert requests.get(url_of(place, "ranged"), headers=changed).status_code == 200


def test_the_client_uploads_in_parts_and_downloads_by_signed_urls(place, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(3 << 20))
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", str(2 << 20))
    large = tmp_path / "parts.bin"
    large.write_bytes(BLOCK * 10 + b"end")
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(large), "deep")
    assert not list((place.data / "blobs/parts").rglob("*-*"))
    back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="deep/parts.bin",
                                               dst_path=str(tmp_path / "back"))
    assert Path(back).read_bytes() == large.read_bytes()


def test_a_signed_url_does_one_thing_for_a_while(place):
    run = mlflow.MlflowClient().create_run("0").info.run_id
    ask = lambda name, **body: requests.post(f"{place.url}/api/2.0/mlflow/artifacts/{name}", json=body,
                                             headers=bearer(place))
    up = ask("presigned-upload-url", run_id=run, path="a/file").json()["presigned_url"]
    assert requests.put(up, data=b"signed").ok
    got = ask("presigned-download-url", run_id=run, path="a/file").json()
    assert got["file_size"] == 6 and requests.get(got["presigned_url"]).content == b"signed"
    if place.s3:
        assert got["presigned_url"].startswith(place.s3.endpoint)
    for changed in (up.replace("a/file", "a/other"), up.replace("until=1", "until=2"),
                    up.replace("project=", "project=x"), up[:-4] + "0000", up.split("?")[0]):
        assert requests.put(changed, data=b"forged").status_code == 403, changed
    assert requests.get(up).status_code == 403
    assert requests.get(got["presigned_url"][:-4] + "0000").status_code == 403
    short = ask("presigned-upload-url", run_id=run, path="a/file", expiration=1).json()["presigned_url"]
    time.sleep(2.1)
    late = requests.put(short, data=b"late")
    assert late.status_code == 403 and "time of this URL is over" in late.text
    for bad in ({"run_id": run}, {"path": "x"}, {"run_id": run, "path": "../x"},
                {"run_id": run, "path": "x", "expiration": 0}, {"run_id": "no-such-run", "path": "x"}):
        assert ask("presigned-upload-url", **bad).status_code in (400, 404), bad


def test_refusals_speak_as_mlflow_does(place):
    for path, status, code in [("../x", 400, "INVALID_PARAMETER_VALUE"), ("a//b", 400, "INVALID_PARAMETER_VALUE")]:
        request = requests.Request("PUT", f"{place.url}/api/2.0/mlflow-artifacts/artifacts/", data=b"x",
                                   headers=bearer(place)).prepare()
        request.url += path
        answer = requests.Session().send(request)
        assert answer.status_code == status and answer.json()["error_code"] == code, answer.text
    missing = requests.get(url_of(place, "no/such"), headers=bearer(place))
    assert missing.status_code == 404 and missing.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert requests.get(url_of(place, "no/such")).status_code == 401
    mpu = f"{place.url}/api/2.0/mlflow-artifacts/mpu"
    for verb, body in [("create", {}), ("create", {"path": "f", "num_parts": 0}),
                       ("create", {"path": "f", "num_parts": 10_001}), ("complete", {"path": "f"}),
                       ("complete", {"path": "f", "upload_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "parts": []}),
                       ("abort", {"path": "f", "upload_id": "../x"})]:
        answer = requests.post(f"{mpu}/{verb}/x", json=body, headers=bearer(place))
        assert answer.status_code in (400, 404) and "error_code" in answer.json(), (verb, body, answer.text)


def test_small_uploads_of_the_web_ui(place):
    run = mlflow.MlflowClient().create_run("0").info.run_id
    send = lambda data, **query: requests.post(f"{place.url}/ajax-api/2.0/mlflow/upload-artifact", data=data,
                                               params=query, headers=bearer(place))
    assert send(b"seen", run_uuid=run, path="ui/a.txt").ok
    got = requests.get(f"{place.url}/get-artifact", params={"run_id": run, "path": "ui/a.txt"}, headers=bearer(place))
    assert got.content == b"seen"
    assert send(b"", run_uuid=run, path="x").status_code == 400
    assert send(b"x", path="x").status_code == 400
    assert send(bytes((10 << 20) + 1), run_uuid=run, path="x").status_code == 400


def test_many_send_to_one_path_at_once(place):
    bodies = [bytes([65 + at]) * (2 << 20) for at in range(6)]
    threads = [threading.Thread(target=requests.put, args=(url_of(place, "raced"),),
                                kwargs={"data": body, "headers": bearer(place)}) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert requests.get(url_of(place, "raced"), headers=bearer(place)).content in bodies


def test_a_damaged_file_is_never_taken_for_whole_and_opens_an_incident(place):
    if place.s3:
        pytest.skip("the object store compares checksums itself and gives no such bytes")
    body = os.urandom(3 << 20)
    assert requests.put(url_of(place, "damaged"), data=body, headers=bearer(place)).ok
    assert requests.put(url_of(place, "damaged-small"), data=b"small", headers=bearer(place)).ok
    for digest in (hashlib.sha256(body).hexdigest(), hashlib.sha256(b"small").hexdigest()):
        stored = next(path for path in stored_files(place) if path.name == digest)
        with stored.open("r+b") as file:
            file.write(b"#")
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(url_of(place, "damaged"), headers=bearer(place))
    small = requests.get(url_of(place, "damaged-small"), headers=bearer(place))
    assert small.status_code == 500 and small.json()["error_code"] == "DATA_LOSS"
    for _ in range(1200):
        incidents = requests.get(f"{place.url}/api/v1/incidents", headers=bearer(place)).json()["incidents"]
        if any("damaged" in one["title"] for one in incidents):
            return
        time.sleep(0.05)
    raise AssertionError(incidents)


def test_an_object_store_that_goes_away_and_comes_back(place):
    if not place.s3:
        pytest.skip("only S3 has a server of its own")
    assert requests.put(url_of(place, "before"), data=b"kept", headers=bearer(place)).ok
    place.s3.kill()
    try:
        for answer in (requests.put(url_of(place, "meanwhile"), data=b"lost", headers=bearer(place)),
                       requests.get(url_of(place, "before"), headers=bearer(place))):
            assert answer.status_code == 503 and SECRET_KEY not in answer.text, answer.text
        assert mlflow.MlflowClient().get_experiment("0")  # metadata goes on
    finally:
        place.s3.start()
    assert requests.get(url_of(place, "before"), headers=bearer(place)).content == b"kept"
    assert requests.get(url_of(place, "meanwhile"), headers=bearer(place)).status_code == 404


def test_a_wrong_secret_ends_the_start_with_the_reason(tmp_path):
    if not PROGRAM.exists():
        pytest.skip("versitygw is not built; run tools/setup.sh")
    s3 = S3Server(tmp_path / "s3", "artifacts")
    s3.start()
    try:
        (s3.folder / "secret").write_text("another-secret-word\n")
        config = tmp_path / "penstock.yaml"
        config.write_text(keys_of(s3))
        from conftest import PENSTOCK
        ended = subprocess.run(
            [PENSTOCK, "serve", "--data", tmp_path / "data", "--config", config, "--http", "127.0.0.1:0"],
            capture_output=True, text=True, timeout=60, env={**os.environ, "TEST_S3_KEY": ACCESS_KEY})
        assert ended.returncode != 0 and "does not take our keys" in ended.stderr, ended.stderr
        assert "another-secret-word" not in ended.stdout + ended.stderr
    finally:
        s3.kill()


# ---- faults of the local disk ----

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 192 MB with a server on it."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    server = Server(disk / "data")
    server.start()
    yield server
    server.stop()
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_refuses_files_with_the_reason_and_serves_reads(small_disk):
    server = small_disk
    assert requests.put(url_of(server, "kept"), data=BLOCK * 2, headers=bearer(server)).ok
    full = requests.put(url_of(server, "too/large"), data=BLOCK * 300, headers=bearer(server))
    assert full.status_code == 507 and full.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED", full.text
    assert "there is no room" in full.json()["message"] and "make room" in full.json()["message"]
    assert requests.get(url_of(server, "kept"), headers=bearer(server)).content == BLOCK * 2
    assert requests.get(url_of(server, "too/large"), headers=bearer(server)).status_code == 404
    # What was half there is gone, so there is room again.
    assert requests.put(url_of(server, "after"), data=BLOCK * 20, headers=bearer(server)).ok
    filler = server.data.parent / "filler"
    with pytest.raises(OSError), filler.open("wb") as file:
        while True:
            file.write(BLOCK)
            file.flush()
    refused = requests.put(url_of(server, "refused"), data=BLOCK, headers=bearer(server))
    assert refused.status_code in (503, 507) and "error_code" in refused.json(), refused.text
    assert requests.get(url_of(server, "kept"), headers=bearer(server)).content == BLOCK * 2
    filler.unlink()
    assert requests.put(url_of(server, "again"), data=BLOCK, headers=bearer(server)).ok


def test_a_kill_in_the_middle_of_uploads_leaves_nothing(tmp_path):
    server = Server(tmp_path / "data")
    server.start()
    assert requests.put(url_of(server, "kept"), data=BLOCK, headers=bearer(server)).ok

    def slowly():
        for _ in range(2000):  # until the server is killed
            yield BLOCK
            time.sleep(0.01)

    def send(at):
        try:
            requests.put(url_of(server, f"half/{at}"), data=slowly(), headers=bearer(server))
        except requests.exceptions.RequestException:
            pass

    threads = [threading.Thread(target=send, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    staged = lambda: [p for p in (server.data / "blobs/.tmp").rglob("*") if p.is_file()]
    for _ in range(6000):
        if len(staged()) == 4 and all(p.stat().st_size > 1 << 20 for p in staged()):
            break
        time.sleep(0.01)
    else:
        raise AssertionError("the uploads did not begin")
    server.process.kill()
    server.process.wait(30)
    for thread in threads:
        thread.join()
    assert len(staged()) == 4
    server.start()
    assert staged() == []
    listed = requests.get(f"{server.url}/api/2.0/mlflow-artifacts/artifacts", headers=bearer(server)).json()
    assert listed["files"] == [{"path": "kept", "is_dir": False, "file_size": len(BLOCK)}]
    assert len(list((server.data / "blobs/files").rglob("*"))) == 2  # a folder and a file
    server.stop()


@pytest.fixture
def own(tmp_path):
    server = Server(tmp_path / "data")
    server.start()
    yield server
    server.stop()


def test_what_was_deleted_is_freed_and_what_a_version_needs_is_not(own, monkeypatch):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    server = own
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", server.token)
    mlflow.set_tracking_uri(server.url)
    features = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = LogisticRegression().fit(features, [0, 0, 1, 1])
    with mlflow.start_run():
        mlflow.log_text("of no use to anyone", "notes/old.txt")
        mlflow.sklearn.log_model(model, name="model", registered_model_name="needed")
    listed = requests.get(f"{server.url}/api/2.0/mlflow-artifacts/artifacts", headers=bearer(server)).json()["files"]
    for one in listed:  # as `mlflow gc` does
        assert requests.delete(url_of(server, one["path"]), headers=bearer(server)).ok
    useless = hashlib.sha256(b"of no use to anyone").hexdigest()
    place = server.data / "blobs/files" / useless[:2] / useless
    refused = server.run("artifacts", "collect", "--unused-for", "1h")
    assert refused.returncode == 2 and "at least 48h" in refused.stderr
    assert server.run("artifacts", "collect").stdout.startswith("0 files"), "a week has not passed"
    server.stop()
    with sqlite3.connect(server.data / "metadata.db") as database:  # a week later
        database.execute("UPDATE stored_files SET used_at = used_at - 8 * 24 * 3600 * 1000000")
    database.close()
    server.start()
    mlflow.set_tracking_uri(server.url)
    planned = server.run("artifacts", "collect", "--dry-run")
    assert place.exists() and planned.returncode == 0, planned.stderr
    done = server.run("artifacts", "collect")
    assert done.stdout.replace("are gone", "would go") == planned.stdout and not done.stdout.startswith("0 files")
    assert not place.exists()
    got = requests.get(f"{server.url}/model-versions/get-artifact", headers=bearer(server),
                       params={"name": "needed", "version": "1", "path": "MLmodel"})
    assert got.ok and "sklearn" in got.text, "its files were deleted from the run, and are still those of the version"
    assert "artifacts.collected" in server.run("audit", "list").stdout
