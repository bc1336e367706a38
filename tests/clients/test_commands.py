"""The command line as a new user meets it: the lab's record word for word, and what goes wrong said clearly."""

import json
import socket
import subprocess

import pytest

from conftest import PENSTOCK

LAB = """model_id: ticket-escalation-v4
artifact_uri: s3://models/ticket-escalation/v4
training_data: dataset_2026_05_01
feature_schema: features_v7
eval_report: eval_2026_05_02
owner: ml-platform
approved_for: production-canary
rollback_to: ticket-escalation-v3
"""


def test_keeps_the_lab_record_without_loss(server, tmp_path):
    record = tmp_path / "record.yaml"
    record.write_text(LAB)
    registered = server.run("models", "register", "-f", str(record))
    assert registered.returncode == 0, registered.stderr
    assert "declared, not verified: training_data dataset_2026_05_01" in registered.stdout
    shown = json.loads(server.run("models", "show", "ticket-escalation@v4", "--json").stdout)
    assert shown["version"]["model"] == "ticket-escalation" and shown["version"]["version"] == 4
    assert len(shown["blockers"]) == 5
    assert server.run("models", "export", "ticket-escalation@v4").stdout == LAB


def test_an_unverified_reference_blocks_a_release_and_not_the_registration(server):
    refused = server.run("models", "approve", "ticket-escalation@v4", "--for", "production-canary")
    assert refused.returncode == 1
    assert "cannot be approved: " in refused.stderr


CASES = [
    ("broken.yaml", "kind: [source\n", "broken.yaml: line 2: "),
    ("twice.yaml", "kind: model\nname: a\nname: b\n", 'line 3: key "name" stands twice'),
    ("kind.yaml", "kind: modell\nname: a\n", "kind.yaml:1: modell a: kind must be one of source, "),
    ("field.yaml", "kind: model\nname: a\nowner: me\ncolour: red\n", "field.yaml:4: model a: colour is not known here"),
    ("type.yaml", "kind: model\nname: a\nowner: 7\n", "type.yaml:3: model a: owner must be of type string"),
    ("file.yaml", "kind: source\nname: a\nowner: me\npath: gone.parquet\nformat: parquet\ncolumns:\n  - {name: x, type: text, classification: public}\n", "gone.parquet"),
    ("cycle.yaml", "kind: pipeline\nname: p\nowner: me\nsteps:\n  - {name: a, command: [x], inputs: [b_out], outputs: [a_out]}\n  - {name: b, command: [x], inputs: [a_out], outputs: [b_out]}\n", "which no step before makes"),
]


@pytest.mark.parametrize("name, text, message", CASES, ids=[case[0] for case in CASES])
def test_bad_input_gets_one_clear_message_and_changes_nothing(server, tmp_path, name, text, message):
    before = server.run("get", "--json").stdout
    path = tmp_path / name
    path.write_text(text)
    refused = server.run("apply", str(path))
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert message in refused.stderr
    assert server.run("get", "--json").stdout == before


def test_exit_codes_tell_what_happened(server):
    assert server.run("models", "show", "nobody@v1").returncode == 1
    assert server.run("models", "show", "nobody@vx").returncode == 2
    assert server.run("no-such-command").returncode == 2
    gone = subprocess.run([PENSTOCK, "--server", "http://127.0.0.1:9", "whoami"], capture_output=True, text=True)
    assert gone.returncode == 3 and "is the server running?" in gone.stderr


def test_without_a_token_nothing_is_told(server):
    refused = server.run("models", "list", token="pst_wrong")
    assert refused.returncode == 1 and "unknown or revoked" in refused.stderr


def test_a_viewer_may_read_and_not_write(server, tmp_path):
    token = server.run("tokens", "create", "t", "--actor", "user:vi", "--role", "viewer").stdout.strip()
    assert server.run("models", "list", token=token).returncode == 0
    record = tmp_path / "record.yaml"
    record.write_text(LAB)
    refused = server.run("models", "register", "-f", str(record), token=token)
    assert refused.returncode == 1 and "roles that may: developer, admin" in refused.stderr


def test_a_port_in_use_and_an_unwritable_directory_say_the_way_out(server, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        run = subprocess.run([PENSTOCK, "serve", "--data", str(tmp_path / "d"), "--http", address],
                             capture_output=True, text=True, timeout=60)
        assert run.returncode == 3 and f"cannot listen on {address}" in run.stderr
    run = subprocess.run([PENSTOCK, "serve", "--data", "/proc/nothing", "--http", "127.0.0.1:0"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 3 and "--data" in run.stderr
    run = subprocess.run([PENSTOCK, "serve", "--data", str(tmp_path / "e"), "--http", "0.0.0.0:0", "--auth", "none"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and "only for a loopback address" in run.stderr
    run = subprocess.run([PENSTOCK, "serve", "--data", str(server.data), "--http", "127.0.0.1:0"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 3 and f"another penstock (pid {server.process.pid}) uses" in run.stderr


def test_the_audit_log_is_intact(server):
    verified = server.run("audit", "verify")
    assert verified.returncode == 0 and "intact" in verified.stdout


CONFIGS = [
    ("no YAML", "http: [1\n", "penstock.yaml: line 2: "),
    ("unknown field", "http: 127.0.0.1:0\ncolour: red\n", "penstock.yaml:2: colour is not known here"),
    ("wrong type", "workers: many\n", "penstock.yaml:1: workers must be"),
    ("no duration", "retention:\n  predictions: 90 days\n",
     "penstock.yaml:2: retention.predictions must be a duration: a number and its unit, such as 30s, 12h or 90d"),
    ("out of range", "limits:\n  connections: 0\n", "penstock.yaml:2: limits.connections must be at least 1"),
    ("no variable", "metadata: ${ENV:PENSTOCK_NO_SUCH}\n", "the environment variable PENSTOCK_NO_SUCH is not set"),
    ("open to all", "auth: none\nhttp: 0.0.0.0:0\n", "--auth none is only for a loopback address, and 0.0.0.0:0 is none"),
    ("no such auth", "auth: maybe\n", "--auth must be token or none"),
    ("no server", "metadata: host=127.0.0.1 port=9 password=geheim user=x\nhttp: 127.0.0.1:0\n", "port 9"),
]


@pytest.mark.parametrize("name, text, message", CONFIGS, ids=[case[0] for case in CONFIGS])
def test_a_wrong_configuration_is_told_by_file_and_line(tmp_path, name, text, message):
    (tmp_path / "penstock.yaml").write_text(text)
    refused = subprocess.run([PENSTOCK, "serve", "--data", str(tmp_path)], capture_output=True, text=True, timeout=30)
    assert refused.returncode in (2, 3), refused.stderr
    assert message in refused.stderr
    assert "geheim" not in refused.stderr + refused.stdout


def test_flags_win_over_the_file(tmp_path):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    config = tmp_path / "other.yaml"
    config.write_text(f"http: 127.0.0.1:{taken.getsockname()[1]}\ngrpc: 127.0.0.1:0\n")
    command = [PENSTOCK, "serve", "--data", str(tmp_path / "data"), "--config", str(config)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 3 and "choose another address with --http" in refused.stderr
    with subprocess.Popen([*command, "--http", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline().startswith("penstock serves http://127.0.0.1:")
        assert process.stdout.readline().startswith("penstock serves grpc://127.0.0.1:")
        process.terminate()
    assert process.returncode == 0


def test_a_taken_grpc_port_is_told(tmp_path):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    refused = subprocess.run([PENSTOCK, "serve", "--data", str(tmp_path), "--http", "127.0.0.1:0", "--grpc", address],
                             capture_output=True, text=True, timeout=30)
    assert refused.returncode != 0 and f"cannot listen on {address}" in refused.stderr


COMPLETIONS = [
    ("penstock ", "models"), ("penstock mod", "models"), ("penstock models ", "approve"),
    ("penstock models approve --f", "--for"), ("penstock --json serve --gr", "--grpc"),
]


@pytest.mark.parametrize("line, word", COMPLETIONS)
def test_bash_completes_commands_and_options(line, word):
    script = (f'source <({PENSTOCK} completion bash); line="{line}"; COMP_WORDS=($line); '
              '[[ "$line" == *" " ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
              '_penstock; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    assert word in done.stdout.split() and not done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_reads_its_script(shell):
    script = subprocess.run([PENSTOCK, "completion", shell], capture_output=True, text=True, timeout=30).stdout
    checked = subprocess.run([shell, "-n", "/dev/stdin"], input=script, capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0 and not checked.stderr, checked.stderr


def test_fish_completes_commands_and_options():
    script = f'{PENSTOCK} completion fish | source; complete -C "penstock models "; complete -C "penstock serve --gr"'
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, timeout=30)
    words = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert "approve" in words and "--grpc" in words, done.stdout + done.stderr
