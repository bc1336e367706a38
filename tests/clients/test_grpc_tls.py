"""TLS both ways: gRPC servers that we ask by grpcs://, and nginx before our own ports as the docs have it."""

import concurrent.futures
import queue
import re
import shutil
import socket
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc

from conftest import ROOT, Server
from desk import PLAN, ROUTE, Desk, onnx_model, remote

KEY = "sk-never-to-be-seen"
INPUTS = [{"name": "X", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 5, 6]}]


class Authority:
    """Makes certificates that it signs."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.file = folder / f"{name}.pem"
        self.openssl("req", "-x509", *self.fresh(name), "-days", "2", "-subj", f"/CN={name}", "-out", self.file)

    def fresh(self, name: str) -> list:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.folder / f"{name}.key"]

    @staticmethod
    def openssl(*words) -> None:
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def sign(self, name: str, hosts: str = "IP:127.0.0.1,DNS:localhost", days: int = 1) -> tuple[Path, Path]:
        """The files of a key and of its certificate."""
        request, extension, out = (self.folder / f"{name}.{end}" for end in ("csr", "ext", "crt"))
        extension.write_text(f"subjectAltName={hosts}")
        self.openssl("req", "-new", *self.fresh(name), "-subj", f"/CN={name}", "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.folder / f"{self.name}.key",
                     "-CAcreateserial", "-days", days, "-extfile", extension, "-out", out)
        return self.folder / f"{name}.key", out


class Tripler(service_pb2_grpc.GRPCInferenceServiceServicer):
    """gRPC's own server with one model: three times the first column."""

    def __init__(self, certificate: tuple[Path, Path] | None, port: int = 0):
        self.keys = set()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self.server)
        place = f"127.0.0.1:{port}"
        if certificate:
            pair = tuple(path.read_bytes() for path in certificate)
            self.port = self.server.add_secure_port(place, grpc.ssl_server_credentials([pair]))
        else:
            self.port = self.server.add_insecure_port(place)
        self.server.start()

    def stop(self) -> None:
        self.server.stop(None).wait()

    def see(self, context) -> None:
        self.keys.add(dict(context.invocation_metadata()).get("authorization"))

    def ModelMetadata(self, request, context):
        self.see(context)
        out = messages.ModelMetadataResponse(name=request.name, versions=["1"])
        out.inputs.add(name="X", datatype="FP32", shape=[-1, 2])
        out.outputs.add(name="variable", datatype="FP32", shape=[-1, 1])
        return out

    def ModelInfer(self, request, context):
        self.see(context)
        rows = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(-1, 2)
        out = messages.ModelInferResponse(model_name=request.model_name)
        out.outputs.add(name="variable", datatype="FP32", shape=[len(rows), 1])
        out.raw_output_contents.append((rows[:, 0] * 3).astype(np.float32).tobytes())
        return out


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def desk(tmp_path_factory, authority):
    folder = tmp_path_factory.mktemp("tls")
    data = folder / "data"
    data.mkdir()
    (folder / "key").write_text(KEY + "\n")
    (data / "penstock.yaml").write_text(
        f"secrets:\n  far: {{value: 'file:{folder}/key', hosts: [127.0.0.1, localhost]}}\n"
        f"upstreams: {{ca_file: {authority.file}}}\n")
    server = Server(data)
    server.start("127.0.0.1:0", "--grpc", "127.0.0.1:0")
    one = Desk(server, folder)
    one.grpc = re.search(r"grpc://(\S+)", server.out.read_text())[1]
    yield one
    server.stop()


def declare(desk, name: str, url: str, expect: int = 0) -> str:
    return desk.apply(f"kind: upstream\nname: {name}\nowner: o\nprotocol: kserve_grpc\nurl: {url}\napi_key: secret:far\n",
                      expect=expect)


def route(desk, name: str) -> str:
    desk.apply(ROUTE.format(model=name, more="output: variable\n"))
    return desk.register(name, remote(desk.folder / name, f"upstream: {name}\nmodel: tripler\n"))


def refusal(desk, name: str, version: str) -> str:
    """What is told where a release cannot load its version."""
    assert desk.server.run("models", "approve", f"{name}@v{version}", "--for", "production").returncode == 0
    (desk.folder / "plan.yaml").write_text(PLAN)
    started = desk.server.run("releases", "start", name, f"{name}@v{version}", "--plan", str(desk.folder / "plan.yaml"),
                              token=desk.ana)
    assert started.returncode == 0, started.stderr
    release = re.search(r"release:(\S+)", started.stdout)[1]
    approved = desk.server.run("releases", "approve", release)
    desk.server.run("releases", "rollback", release)
    return approved.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_whose_certificate_fits_is_asked_with_the_key(desk, authority, host):
    name = "fits-" + host.replace(".", "-")
    far = Tripler(authority.sign(name))
    try:
        declare(desk, name, f"grpcs://{host}:{far.port}")
        desk.start_release(name, route(desk, name))
        answer = desk.ask("POST", f"/v2/models/{name}/infer", {"inputs": INPUTS})
        assert answer.status_code == 200, answer.text
        assert next(one for one in answer.json()["outputs"] if one["name"] == "score")["data"] == [3.0, 15.0]
        assert far.keys == {f"Bearer {KEY}"}
    finally:
        far.stop()


@pytest.mark.parametrize("wrong, says", [
    ("authority", "certificate verify failed"),
    ("name", "Peer name 127.0.0.1 is not in peer certificate"),
    ("expired", "certificate verify failed"),
    ("plain", "wrong version number"),
])
def test_a_server_whose_certificate_does_not_fit_is_told_nothing(desk, authority, tmp_path, wrong, says):
    certificate = {"authority": lambda: Authority(tmp_path, "theirs").sign("server"),
                   "name": lambda: authority.sign("other", "DNS:other.test"),
                   "expired": lambda: authority.sign("old", days=-1),
                   "plain": lambda: None}[wrong]()
    far = Tripler(certificate)
    name = f"wrong-{wrong}"
    try:
        declare(desk, name, f"grpcs://127.0.0.1:{far.port}")
        told = refusal(desk, name, route(desk, name))
        assert f"upstream default/{name}" in told and says in told, told
        assert f"a certificate of 127.0.0.1 that is valid now, by an authority of {authority.file}" in told, told
        assert not far.keys, "nothing was asked, and no key went out"
    finally:
        far.stop()
    log = desk.server.err.read_text()
    assert KEY not in told + log
    assert all(line.startswith("{") for line in log.splitlines()), "gRPC prints nothing beside our log"


def test_a_key_that_may_go_by_tls_alone_does_not_go_without(desk):
    assert "goes to 127.0.0.1 over TLS only" in declare(desk, "bare", "grpc://127.0.0.1:9", expect=2)


def test_a_certificate_that_is_replaced_by_a_wrong_one_ends_the_calls_until_it_is_right_again(desk, authority, tmp_path):
    right = authority.sign("right")
    far = Tripler(right)
    port = far.port
    try:
        declare(desk, "changing", f"grpcs://127.0.0.1:{port}")
        desk.start_release("changing", route(desk, "changing"))
        ask = lambda: desk.ask("POST", "/v2/models/changing/infer", {"inputs": INPUTS})
        assert ask().status_code == 200
        far.stop()
        far = Tripler(Authority(tmp_path, "theirs").sign("server"), port)
        desk.server.wait(lambda: "certificate verify failed" in ask().text)
        refused = ask()
        assert refused.status_code == 503 and "by an authority of" in refused.text and KEY not in refused.text, refused.text
        assert not far.keys
        far.stop()
        far = Tripler(right, port)
        desk.server.wait(lambda: ask().status_code == 200)
        assert far.keys == {f"Bearer {KEY}"}
    finally:
        far.stop()


@pytest.fixture
def proxy(desk, authority, tmp_path):
    """nginx with the configuration of docs/tls.md, but for its addresses and files."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    key, certificate = authority.sign("proxy")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    config = re.search(r"```nginx\n(.*?)```", (ROOT / "docs/tls.md").read_text(), re.S)[1]
    for old, new in (("127.0.0.1:8080", desk.server.url.removeprefix("http://")), ("127.0.0.1:8001", desk.grpc),
                     ("listen 443", f"listen 127.0.0.1:{port}"), ("/etc/penstock/server.crt", certificate),
                     ("/etc/penstock/server.key", key)):
        assert old in config
        config = config.replace(old, str(new))
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{folders}{config}}}\n")
    process = subprocess.Popen([program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "error.log").read_text()
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0
    desk.server.wait(answers)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def test_a_proxy_that_ends_tls_has_both_ports_behind_one(desk, authority, proxy, tmp_path):
    desk.apply(ROUTE.format(model="line", more="output: variable\n"))
    desk.start_release("line", desk.register("line", onnx_model(tmp_path / "line", 3.0)))
    rows = np.array([[1, 2], [5, 6]], np.float32)
    headers = {"authorization": f"Bearer {desk.ana}"}
    with tritonclient.grpc.InferenceServerClient(proxy, ssl=True, root_certificates=str(authority.file)) as client:
        put = tritonclient.grpc.InferInput("X", [2, 2], "FP32").set_data_from_numpy(rows)
        assert client.infer("line", [put], headers=headers).as_numpy("score") == pytest.approx([3, 15], abs=1e-4)
        came = queue.Queue()
        client.start_stream(lambda result, error: came.put((result, error)), headers=headers)
        for _ in range(3):
            client.async_stream_infer("line", [put])
            result, error = came.get(timeout=60)
            assert not error and result.as_numpy("score") == pytest.approx([3, 15], abs=1e-4)
        client.stop_stream()
    answer = requests.post(f"https://{proxy}/v2/models/line/infer", json={"inputs": INPUTS}, headers=headers,
                           verify=str(authority.file), timeout=60)
    assert answer.status_code == 200 and answer.json()["model_name"] == "line", answer.text
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"https://{proxy}/ping", verify=str(Authority(tmp_path, "theirs").file), timeout=60)
