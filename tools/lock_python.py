#!/usr/bin/env python3
"""Writes tools/pins/*.lock from the .in files beside them: each package with its version and digest.

The lock is for Linux on x86_64 and the Python that runs this (3.11). Run it with the project's own:
.venv/bin/python tools/lock_python.py
"""
import json
import pathlib
import subprocess
import sys

PINS = pathlib.Path(__file__).resolve().parent / "pins"


def lock(name):
    """Asks pip what it would install for one .in file, and writes that down."""
    report = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
         "--prefer-binary", "--report", "-", "-r", str(PINS / f"{name}.in")],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = []
    for package in json.loads(report)["install"]:
        metadata = package["metadata"]
        digest = package["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{metadata['name'].lower()}=={metadata['version']} --hash=sha256:{digest}")
    text = f"# Made from {name}.in by tools/lock_python.py.\n" + "\n".join(sorted(lines)) + "\n"
    (PINS / f"{name}.lock").write_text(text)
    print(f"{name}.lock: {len(lines)} packages")


if __name__ == "__main__":
    for source in sorted(PINS.glob("*.in")):
        lock(source.stem)
