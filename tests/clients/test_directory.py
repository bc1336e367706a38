"""A data directory has one server: a second one is told who has it, and touches nothing."""

import subprocess

from conftest import PENSTOCK, Server


def test_a_second_server_names_the_first_and_leaves_its_staged_files(tmp_path):
    first = Server(tmp_path / "data")
    first.start()
    try:
        staged = first.data / "blobs" / "features-staged" / "join.parquet"
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(b"on its way")
        same = tmp_path / "link"
        same.symlink_to(first.data)
        for path in (first.data, same):
            refused = subprocess.run([PENSTOCK, "serve", "--data", str(path), "--http", "127.0.0.1:0"],
                                     capture_output=True, text=True, timeout=60)
            assert refused.returncode == 3
            assert (f"another penstock (pid {first.process.pid}) uses {path}; stop it, or give another directory "
                    "with --data") in refused.stderr
            assert staged.read_bytes() == b"on its way"
        assert first.run("features", "list").returncode == 0
    finally:
        first.process.kill()
        first.process.wait(30)
    # Nobody holds it then, and what the killed one left is cleared away.
    second = Server(first.data)
    second.start()
    try:
        assert not staged.exists()
        assert (first.data / "lock").read_text() == f"{second.process.pid}\n"
    finally:
        second.stop()
