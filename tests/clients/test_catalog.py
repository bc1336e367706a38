"""The catalog as a new user meets it: data that lies somewhere becomes a source that is watched and found."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def trips(server):
    folder = server.data / "sources"
    table = pa.table({"trip_id": list(range(100)), "fare": [i / 4 for i in range(100)],
                      "city": ["Oslo" if i % 3 else "Bergen" for i in range(100)]})
    pq.write_table(table, folder / "trips.parquet")
    return folder / "trips.parquet"


def eventually(look, wanted):
    for _ in range(1200):
        found = look()
        if wanted in found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{wanted!r} did not come: {found}")


def test_a_file_becomes_a_source_in_two_commands(server, trips, tmp_path):
    declaration = tmp_path / "trips.yaml"
    found = server.run("sources", "discover", "trips.parquet", "--owner", "rides", "-o", str(declaration))
    assert found.returncode == 0, found.stderr
    text = declaration.read_text()
    assert "primary_key:" in text and "name: trip_id" in text and "nobody has classified them yet" in text
    applied = server.run("apply", str(declaration))
    assert applied.returncode == 0, applied.stderr
    shown = server.run("sources", "show", "trips").stdout
    assert "source:trips@1" in shown and "not null" in shown and "trips.parquet (parquet)" in shown


def test_refresh_measures_profiles_and_keeps(server, trips):
    measured = server.run("sources", "refresh", "trips")
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert "100 rows  passed" in measured.stdout and "primary key" in measured.stdout
    profile = server.run("sources", "profile", "trips").stdout
    assert "Oslo 66, Bergen 34" in profile and "24.75" in profile
    assert "passed" in server.run("sources", "history", "trips").stdout


def test_what_is_no_longer_so_fails_and_opens_an_incident(server, trips):
    table = pa.table({"trip_id": [1, 1], "fare": ["dear", "cheap"], "city": ["Oslo", None]})
    pq.write_table(table, trips)
    failed = server.run("sources", "check", "trips")
    assert failed.returncode == 1
    assert "drift: columns[1].type fare is VARCHAR in trips.parquet, not double" in failed.stdout
    incidents = json.loads(server.run("incidents", "list", "--json").stdout)["incidents"]
    ours = [one for one in incidents if one["subject"] == "source:trips@1"]
    assert {one["dedup_key"] for one in ours} >= {"source:trips:drift"} and ours[0]["owner"] == "rides"
    server.run("sources", "check", "trips")
    again = json.loads(server.run("incidents", "list", "--json").stdout)["incidents"]
    assert len(again) == len(incidents) and any(one["occurrences"] == 2 for one in again)


def test_compatibility_is_judged_before_and_at_apply(server, tmp_path):
    folder = server.data / "sources"
    (folder / "rides.csv").write_text("id,km\n1,2\n")
    declaration = ("kind: source\nname: rides\nowner: rides\npath: rides.csv\nformat: csv\ncompatibility: backward\n"
                   "columns:\n  - {name: id, type: bigint, classification: public}\n"
                   "  - {name: km, type: double, classification: public}\n")
    file = tmp_path / "rides.yaml"
    file.write_text(declaration)
    assert server.run("apply", str(file)).returncode == 0
    file.write_text(declaration.replace("km, type: double", "km, type: text"))
    judged = server.run("sources", "compatibility", "rides", "-f", str(file))
    assert judged.returncode == 1 and "BROKEN" in judged.stdout and "candidate" in judged.stdout
    refused = server.run("apply", str(file))
    assert refused.returncode == 2
    assert "rides.yaml:9: source rides: columns[1].type breaks backward compatibility with version 1" in refused.stderr
    assert "rule type" in refused.stderr
    schema = server.run("sources", "schema", "rides").stdout
    assert "source:rides@1  compatibility backward" in schema


def test_everything_is_found_by_its_words(server):
    found = eventually(lambda: server.run("search", "tri", "--kind", "source").stdout, "source:trips")
    assert "1 found" in found and "kind column 3" in found.replace(";", "")
    eventually(lambda: server.run("search", "km", "--kind", "column").stdout, "source:rides#km")
    nothing = server.run("search", "km", "--owner", "nobody")
    assert nothing.returncode == 0 and "0 found" in nothing.stdout
    refused = server.run("search", "?!")
    assert refused.returncode != 0 and "letters or digits" in refused.stderr


CASES = [
    (("sources", "discover", "gone.parquet"), "names nothing that is there"),
    (("sources", "discover", "../etc"), 'must not hold ".."'),
    (("sources", "discover", "host=h password=geheim", "--table", "t"), "must not hold a password"),
    (("sources", "discover", "${ENV:PENSTOCK_NO_SUCH}", "--table", "t"), "PENSTOCK_NO_SUCH is not set"),
    (("sources", "refresh", "nobody"), "there is no source nobody"),
    (("sources", "profile", "rides"), "penstock sources refresh rides"),
    (("sources", "schema", "rides", "--version", "9"), "there is no source rides version 9"),
]


@pytest.mark.parametrize("command, message", CASES, ids=[" ".join(case[0]) for case in CASES])
def test_what_cannot_be_done_is_said_clearly(server, command, message):
    refused = server.run(*command)
    assert refused.returncode != 0 and message in refused.stderr, refused.stderr
    assert "geheim" not in refused.stderr


def test_an_exported_contract_comes_back_as_the_same_source(server, tmp_path):
    exported = server.run("sources", "export-contract", "rides", "--json")
    assert exported.returncode == 0, exported.stderr
    contract = json.loads(exported.stdout)
    assert contract["apiVersion"] == "v3.1.0" and contract["schema"][0]["properties"][0]["logicalType"] == "integer"
    file = tmp_path / "rides.odcs.yaml"
    assert server.run("sources", "export-contract", "rides", "-o", str(file)).returncode == 0
    taken = server.run("sources", "import-contract", str(file), "-o", str(tmp_path / "back.yaml"))
    assert taken.returncode == 0, taken.stderr
    applied = server.run("plan", str(tmp_path / "back.yaml"))
    assert applied.returncode == 0 and "~ source rides @2 (contract)" in applied.stdout, applied.stdout + applied.stderr


def test_a_dataset_is_the_same_twice_and_after_a_restart(server):
    query = "SELECT id, km FROM rides"
    first = server.run("datasets", "create", "dataset_2026_05_01", "--sql", query)
    assert first.returncode == 0, first.stderr
    assert "dataset:dataset_2026_05_01@1  1 rows" in first.stdout and "made from source:rides@1 at " in first.stdout
    server.stop()
    server.start()
    again = server.run("datasets", "create", "dataset_2026_05_01", "--sql", query)
    assert again.stdout == first.stdout
    (server.data / "sources/rides.csv").write_text("id,km\n1,2\n2,3.5\n")
    other = server.run("datasets", "create", "dataset_2026_05_01", "--sql", query)
    assert "dataset:dataset_2026_05_01@2  2 rows" in other.stdout
    diff = server.run("datasets", "diff", "dataset_2026_05_01@1", "dataset_2026_05_01@2").stdout
    assert "0 rows gone, 1 new" in diff and "made from other bytes of source:rides@1" in diff
    refused = server.run("datasets", "create", "d", "--sql", "SELECT random() AS x")
    assert refused.returncode != 0 and "must not use random" in refused.stderr
