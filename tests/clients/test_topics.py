"""A topic of a real Kafka broker as a source."""

import json
import os

import pytest
from conftest import Server
from kafka_server import JARS, PASSWORD, USER, KafkaServer

pytestmark = pytest.mark.skipif(not JARS.exists(), reason="Kafka is not there; run tools/setup.sh")


def ride(number: int) -> bytes:
    return json.dumps({"ride": number, "city": "Oslo" if number % 3 else "Bergen", "km": number / 4,
                       "at": f"2026-05-01T10:{number % 60:02}:00Z"}).encode()


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    top = tmp_path_factory.mktemp("events")
    kafka = KafkaServer(top / "kafka")
    kafka.start()
    kafka.send("rides", [ride(number) for number in range(60)])
    kafka.send("rides", [ride(number) for number in range(60, 100)] + [b"no JSON", b"[1]"], partition=1)
    (top / "data").mkdir()
    (top / "wrong").write_text("another-secret-word\n")
    os.environ["TEST_KAFKA_PASSWORD"] = PASSWORD
    brokers = f"127.0.0.1:{kafka.password_port}"
    (top / "data/penstock.yaml").write_text("connections:\n" + "".join(
        f"  {name}:\n    kafka:\n      brokers: {brokers}\n      user: {USER}\n      password: {password}\n"
        f"      mechanism: PLAIN\n" for name, password in (("events", "${ENV:TEST_KAFKA_PASSWORD}"),
                                                           ("wrong", f"file:{top / 'wrong'}"))))
    server = Server(top / "data")
    server.start()
    server.kafka = kafka
    yield server
    server.process.terminate()
    ended = server.process.wait(30)
    kafka.kill()
    assert ended == 0, f"the server ended with {ended}"


def test_a_topic_becomes_a_source_in_two_commands(events, tmp_path):
    declaration = tmp_path / "rides.yaml"
    found = events.run("sources", "discover", "events", "--topic", "rides", "--owner", "ops", "-o", str(declaration))
    assert found.returncode == 0, found.stderr
    text = declaration.read_text()
    assert "topic: rides" in text and "connection: events" in text and "name: _offset" in text
    assert "left out: 1 not JSON, 1 not a JSON object" in text and "event_time: at" in text
    assert PASSWORD not in text and events.kafka.brokers not in text
    applied = events.run("apply", str(declaration))
    assert applied.returncode == 0, applied.stderr
    assert "rides (kafka, connection events)" in events.run("sources", "list").stdout


def test_it_is_measured_with_what_was_left_out(events):
    measured = events.run("sources", "refresh", "rides")
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert "100 rows  passed" in measured.stdout
    assert "messages are rows" in measured.stdout and "1 not JSON, 1 not a JSON object" in measured.stdout
    assert "Oslo 66, Bergen 34" in events.run("sources", "profile", "rides").stdout


def test_the_same_offsets_are_the_same_dataset(events):
    sql = "SELECT city, sum(km) AS km FROM rides GROUP BY city"
    made = [json.loads(events.run("datasets", "create", "cities", "--sql", sql, "--json").stdout) for _ in range(2)]
    assert made[0]["digest"] == made[1]["digest"] and made[1]["version"] == 1 and made[0]["row_count"] == 2
    assert "source:rides@1" in events.run("trace", "dataset:cities").stdout


def test_its_contract_names_the_brokers(events):
    contract = json.loads(events.run("sources", "export-contract", "rides", "--json").stdout)
    server = contract["servers"][0]
    assert server["type"] == "kafka" and server["host"] == f"127.0.0.1:{events.kafka.password_port}"
    assert contract["schema"][0]["physicalType"] == "topic" and PASSWORD not in json.dumps(contract)


REFUSED = [
    (("events", "--topic", "no-such-topic"), "names no topic of connection events: no-such-topic"),
    (("sea", "--topic", "rides"), "kafka.connection must name a Kafka connection of penstock.yaml: events, wrong"),
    (("wrong", "--topic", "rides"), "wrong may not read rides"),
    (("events", "--topic", "a/b"), "kafka.topic must be a name"),
]


@pytest.mark.parametrize("words, message", REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_be_read_is_said_clearly(events, words, message):
    refused = events.run("sources", "discover", *words)
    assert refused.returncode != 0 and message in refused.stderr, refused.stderr
    assert "another-secret-word" not in refused.stderr and PASSWORD not in refused.stderr


def test_a_broker_that_is_gone_opens_an_incident_and_comes_back(events, tmp_path):
    file = tmp_path / "late.yaml"
    file.write_text("kind: source\nname: late\nowner: ops\nkafka: {connection: events, topic: rides, messages_max: 10}\n"
                    "columns:\n" + "".join(f"  - {{name: {name}, type: {kind}, classification: public}}\n"
                                           for name, kind in (("_key", "text"), ("_partition", "bigint"),
                                                              ("_offset", "bigint"), ("_timestamp", "timestamp"),
                                                              ("ride", "bigint"), ("city", "text"), ("km", "double"),
                                                              ("at", "timestamp"))))
    applied = events.run("apply", str(file))
    assert applied.returncode == 0, applied.stderr
    events.kafka.kill()
    try:
        failed = events.run("sources", "check", "late")
        assert failed.returncode == 1 and "the broker does not answer" in failed.stdout, failed.stdout
        incidents = json.loads(events.run("incidents", "list", "--json").stdout)["incidents"]
        assert any(one["dedup_key"] == "source:late:unreadable" for one in incidents)
    finally:
        events.kafka.start()
    # A broker that listens does not lead its topics at once.
    Server.wait(lambda: events.run("sources", "check", "late").returncode == 0)
    written = events.out.read_text() + events.err.read_text()
    assert "another-secret-word" not in written and PASSWORD not in written
