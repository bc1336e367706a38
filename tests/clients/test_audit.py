"""The audit log, checked by somebody who has a file, a public key and no trust in the server."""

import json
import sqlite3
import stat

import pytest


@pytest.fixture(scope="module")
def log(server):
    """A few dozen events, and the key as its owner wrote it down."""
    for number in range(30):
        made = server.run("tokens", "create", f"t{number}", "--actor", "user:ana", "--role", "viewer")
        assert made.returncode == 0, made.stderr
    server.key = server.run("audit", "key").stdout.strip()
    return server


@pytest.fixture()
def export(log, tmp_path):
    file = tmp_path / "log.jsonl"
    done = log.run("audit", "export", "-o", str(file))
    assert done.returncode == 0, done.stderr
    return file


def verify(server, file, key):
    # Without a server: this address is nobody's.
    return server.run("audit", "verify", str(file), "--key", key, url="http://127.0.0.1:1")


def test_the_signing_key_is_for_its_owner_alone(log):
    assert stat.S_IMODE((log.data / "audit.key").stat().st_mode) == 0o600
    assert "PRIVATE" not in log.key and "PRIVATE" not in log.out.read_text()


def test_an_export_is_verified_without_a_server(log, export):
    checked = verify(log, export, log.key)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.endswith(", intact\n")


@pytest.mark.parametrize("what, change", [
    ("edited", lambda lines: lines[:7] + [lines[7].replace("user:admin", "user:mallo")] + lines[8:]),
    ("removed", lambda lines: lines[:7] + lines[8:]),
    ("repeated", lambda lines: lines[:7] + [lines[6]] + lines[7:]),
    ("reordered", lambda lines: lines[:7] + [lines[8], lines[7]] + lines[9:]),
    ("cut off", lambda lines: lines[:7]),
])
def test_names_the_first_event_that_is_wrong(log, export, what, change):
    lines = [line for line in export.read_text().splitlines() if not line.startswith('{"checkpoint"')]
    last = export.read_text().splitlines()[-1]
    changed = change(lines + [last])
    assert changed != lines + [last]
    export.write_text("\n".join(changed) + "\n")
    checked = verify(log, export, log.key)
    assert checked.returncode == 1
    assert "BROKEN: " in checked.stdout
    if what != "cut off":
        assert " 6" in checked.stdout, checked.stdout


def test_another_key_and_no_key_are_refused(log, export):
    other = log.key[:-10] + ("A" if log.key[-10] != "A" else "B") + log.key[-9:]
    assert "its hash is another" in verify(log, export, other).stderr
    missing = log.run("audit", "verify", str(export))
    assert missing.returncode != 0 and "--key" in missing.stderr


def test_a_kept_checkpoint_must_be_continued(log, export, tmp_path):
    log.run("tokens", "create", "later", "--actor", "user:ana", "--role", "viewer")
    kept = tmp_path / "kept.txt"
    kept.write_text(log.run("audit", "checkpoint").stdout)
    log.run("tokens", "create", "still-later", "--actor", "user:ana", "--role", "viewer")
    done = log.run("audit", "verify", "--key", log.key, "--since", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    older = log.run("audit", "verify", str(export), "--key", log.key, "--since", str(kept))
    assert older.returncode == 1 and "the end was cut off" in older.stdout


def test_an_event_is_proven_to_be_in_the_log(log):
    done = log.run("audit", "prove", "3", "--key", log.key)
    assert done.returncode == 0, done.stderr
    assert "is event 3 of" in done.stdout
    assert log.run("audit", "prove", "9999", "--key", log.key).returncode == 1


def test_only_an_admin_takes_the_events_of_all_projects(log, tmp_path):
    made = log.run("--json", "tokens", "create", "v", "--actor", "user:bo", "--role", "viewer")
    viewer = json.loads(made.stdout)["token"]
    refused = log.run("audit", "export", "-o", str(tmp_path / "x"), token=viewer)
    assert refused.returncode != 0
    assert not (tmp_path / "x").exists() and not (tmp_path / "x.part").exists()


def test_finds_what_was_changed_in_the_database_file(log):
    log.run("audit", "checkpoint")
    log.stop()
    db = sqlite3.connect(log.data / "metadata.db")
    db.execute("UPDATE audit_events SET actor = 'user:mallory' WHERE number = 12")
    db.commit()
    db.close()
    log.start()
    found = log.run("audit", "verify")
    assert found.returncode == 1
    assert "event 12 was changed" in found.stdout
