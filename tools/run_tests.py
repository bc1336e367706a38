#!/usr/bin/env python3
"""Runs every check and test, all of them even when one fails, and closes with a summary.

run_tests.py [--preset release] [--jobs N] [--only layers,format,tools,build,ctest,clients]
Exits with 1 when anything failed, or when no test was executed.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEST_SECONDS_MAX = 900
FAILURES_SHOWN = 10
LINES_OF_FAILURE = 12


def stages(preset, jobs):
    """The name of each stage, its command, and the file its results are in if it runs tests."""
    build = ROOT / "build" / preset
    results = build / "results"
    pytest = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider"]
    yield "layers", [sys.executable, "tools/check_layers.py"], None
    yield "format", ["tools/format.sh", "--check"], None
    yield "tools", [*pytest, f"--junitxml={results}/tools.xml", "tools"], results / "tools.xml"
    yield "build", ["sh", "-c", f"cmake --preset {preset} -Wno-dev --log-level=WARNING && "
                                f"cmake --build build/{preset} -j {jobs}"], None
    yield "ctest", ["ctest", "--preset", preset, "--parallel", str(jobs), "--timeout",
                    str(TEST_SECONDS_MAX), "--output-junit", f"{results}/ctest.xml"], results / "ctest.xml"
    if (ROOT / "tests" / "clients").is_dir():
        yield "clients", [*pytest, f"--junitxml={results}/clients.xml", "tests/clients"], results / "clients.xml"


def counts(results):
    """(passed, failed, skipped) of a JUnit file; a file that is missing counts as one failure."""
    if not results.exists():
        return 0, 1, 0
    cases = list(xml.etree.ElementTree.parse(results).getroot().iter("testcase"))
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return len(cases) - failed - skipped, failed, skipped


def failures(results):
    """The name of each failed test of a JUnit file and the lines that say why, so that the summary's reader has them."""
    if not results.exists():
        return []
    out = []
    for case in xml.etree.ElementTree.parse(results).getroot().iter("testcase"):
        fault = case.find("failure") if case.find("failure") is not None else case.find("error")
        if fault is None:
            continue
        said = (case.findtext("system-out") or "") + "\n" + (fault.text or "")
        lines = said.splitlines()
        # A program of unit tests says "file:line: Failure" and then why; one that a signal ended says it last.
        told = [at for at, line in enumerate(lines) if line.endswith(": Failure")][:FAILURES_SHOWN]
        shown = [line for at in told for line in lines[at:at + LINES_OF_FAILURE] if not line.startswith(("[ ", "[-"))]
        shown = shown or lines[-LINES_OF_FAILURE:]
        shown += [line for line in lines if line.startswith("[  FAILED  ] ")][:FAILURES_SHOWN]
        out += [f"failed: {case.get('classname', '')} {case.get('name')}", *(f"  {line}" for line in shown)]
    return out


def run(name, command, results, environment):
    """Runs one stage: prints its output, returns its line of the summary, its counts and success."""
    print(f"\n==== {name}: {' '.join(map(str, command))}", flush=True)
    if results:
        results.parent.mkdir(parents=True, exist_ok=True)
        results.unlink(missing_ok=True)
    started = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode
    passed, failed, skipped = counts(results) if results else (0, 0, 0)
    ok = code == 0 and not failed
    line = f"{name:8} {'ok' if ok else 'FAILED':7} {time.monotonic() - started:7.1f} s"
    if results:
        line += f"   {passed} passed, {failed} failed, {skipped} skipped"
    return line, (passed, failed, skipped), ok


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="release")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="names of stages, with commas")
    args = parser.parse_args()
    only = set(filter(None, args.only.split(",")))
    # Client tests start the program that was just built.
    environment = {**os.environ, "PENSTOCK_BINARY": str(ROOT / "build" / args.preset / "bin" / "penstock")}

    lines, why, all_ok, totals, tests_wanted = [], [], True, [0, 0, 0], False
    for name, command, results in stages(args.preset, args.jobs):
        if only and name not in only:
            continue
        if name in ("ctest", "clients") and any(line.startswith("build ") and "FAILED" in line for line in lines):
            lines.append(f"{name:8} not run, since the build failed")
            continue
        line, count, ok = run(name, command, results, environment)
        lines.append(line)
        why += failures(results) if results and not ok else []
        all_ok &= ok
        tests_wanted |= results is not None
        totals = [total + more for total, more in zip(totals, count)]

    if why:
        print("\n==== failed")
        print("\n".join(why))
    print("\n==== summary")
    print("\n".join(lines))
    if tests_wanted and not totals[0]:
        print("no test passed, so nothing was shown")
        all_ok = False
    checks_failed = sum("FAILED" in line and "passed" not in line for line in lines)
    print(f"{totals[0]} passed, {totals[1] + checks_failed} failed, {totals[2]} skipped")
    return not all_ok


if __name__ == "__main__":
    sys.exit(main())
