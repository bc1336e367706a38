"""The main job on two months of flights."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

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
    for line in ("apply again: 0 changed", "v2 closed", '"different":0', "Cost surprise",
                 "audit log of", "intact"):
        assert line in demo.stdout, line


def test_a_trace_walks_from_the_prediction_to_the_sources(demo):
    trace = demo.stdout.split("what made this prediction?")[1].split("1500 calls")[0]
    for kind in ("release:", "model:flight-delay@v2", "evaluation:", "run:", "dataset:flights_train@",
                 "feature_view:carrier_delay@1", "source:flights@", "source:weather@1", "cost 0.0"):
        assert kind in trace, kind
