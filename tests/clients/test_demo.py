"""The main job on two months of flights, and a real Open Inference client against what it leaves running."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tritonclient.http as triton

from conftest import PENSTOCK, ROOT


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What `penstock demo --quick` printed; its server is up until the module's end."""
    data = tmp_path_factory.mktemp("demo") / "data"
    run = subprocess.run(
        [PENSTOCK, "demo", "--quick", "--data", str(data), "--python", sys.executable],
        cwd=ROOT, capture_output=True, text=True, timeout=1200,
        env={**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"})
    found = re.search(r"\(process (\d+)\)", run.stdout)
    yield run
    if found:
        os.kill(int(found[1]), signal.SIGTERM)
        time.sleep(1)


def test_tells_the_whole_story(demo):
    assert demo.returncode == 0, demo.stdout[-4000:] + demo.stderr
    for line in ("apply again: 0 changed", "is closed", "is rolled_back", '"different":0',
                 "suspect: source:flights@3 column dep_delay: unit hours -> minutes", "Cost surprise",
                 "audit log of", "intact"):
        assert line in demo.stdout, line


def test_a_trace_walks_from_the_prediction_to_the_sources(demo):
    trace = demo.stdout.split("what made this prediction?")[1].split("1500 calls")[0]
    for kind in ("release:", "model:flight-delay@v2", "evaluation:", "run:", "dataset:flights_train@",
                 "feature_view:carrier_delay@1", "source:flights@", "source:weather@1", "cost 0.0"):
        assert kind in trace, kind


def test_a_real_open_inference_client_works_unmodified(demo):
    url = re.search(r"http://(127\.0\.0\.1:\d+)/status", demo.stdout)[1]
    token = re.search(r"Bearer (pst_\w+)", demo.stdout)[1]
    headers = {"Authorization": f"Bearer {token}"}
    client = triton.InferenceServerClient(url)
    assert client.is_server_live(headers=headers)
    assert client.is_model_ready("flight-delay", headers=headers)
    metadata = client.get_model_metadata("flight-delay", headers=headers)
    assert [one["name"] for one in metadata["inputs"]] == ["flight_id", "carrier", "origin", "tailnum"]
    inputs = []
    for name, value in (("flight_id", "20130228-UA1545-EWR"), ("carrier", "UA"), ("origin", "EWR"), ("tailnum", "x")):
        one = triton.InferInput(name, [1], "BYTES")
        one.set_data_from_numpy(np.array([value], dtype=object))
        inputs.append(one)
    # The page's token may look and not ask.
    with pytest.raises(triton.InferenceServerException, match="may not infer"):
        client.infer("flight-delay", inputs, headers=headers)
