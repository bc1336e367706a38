"""Classes of columns as a data owner meets them: suggested, confirmed, lowered by two people, and followed downstream."""

import csv
import json
import random

import pytest

SOURCE = """kind: source
name: customers
owner: crm
description: Whoever bought something.
path: customers.csv
format: csv
columns:
  - {name: customer_id, type: bigint, classification: internal}
  - {name: email, type: text, classification: internal}
  - {name: card, type: text, classification: internal}
  - {name: model_year, type: bigint, classification: public}
"""


def luhn(body):
    total = sum(sum(divmod(int(d) * 2, 10)) if place % 2 == 0 else int(d) for place, d in enumerate(reversed(body)))
    return body + str(-total % 10)


@pytest.fixture(scope="module")
def people(server, tmp_path_factory):
    """Tokens of two people beside the admin, and the applied source."""
    rng = random.Random(7)
    folder = server.data / "sources"
    with (folder / "customers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "email", "card", "model_year"])
        for number in range(200):
            rows.writerow([9_000_000_000 + rng.randrange(10**9), f"person{number}@example.org",
                           luhn("4" + "".join(rng.choice("0123456789") for _ in range(14))), rng.randint(1990, 2026)])
    tokens = {}
    for name, role in (("ana", "developer"), ("bo", "approver"), ("vi", "viewer")):
        made = server.run("tokens", "create", name, "--actor", f"user:{name}", "--role", role)
        tokens[name] = made.stdout.strip()
    declare(server, tmp_path_factory.mktemp("declared"), tokens["ana"], SOURCE)
    return tokens


def declare(server, folder, token, text):
    path = folder / "customers.yaml"
    path.write_text(text)
    done = server.run("apply", str(path), token=token)
    assert done.returncode == 0, done.stderr
    return done


def classes(server):
    shown = json.loads(server.run("sources", "classes", "customers", "--json").stdout)
    return {column["column"]: column for column in shown["columns"]}


def test_suggests_what_values_prove_and_nothing_that_only_looks_like_it(server, people):
    done = server.run("sources", "classify", "customers", token=people["ana"])
    assert done.returncode == 0, done.stderr
    assert "200 of 200 rows sampled; 2 new" in done.stdout
    found = json.loads(server.run("classification", "list", "--source", "customers", "--json").stdout)["suggestions"]
    assert {(one["column_name"], one["tag"]) for one in found} == {("card", "financial.card"), ("email", "pii.email")}
    assert classes(server)["card"]["classification"] == "internal", "nobody has confirmed it"


def test_shows_evidence_and_no_value(server, people):
    shown = server.run("classification", "show", "customers", "card")
    assert "rule financial.card@1" in shown.stdout and "200 of 200 values passed (100%), 200 of them strong" in shown.stdout
    assert "values look like: 9999999999999999" in shown.stdout
    everything = shown.stdout + server.run("audit", "list", "--limit", "1000", "--json").stdout
    assert "person1@example.org" not in everything


def test_refuses_those_who_may_not_and_what_is_not_there(server, people):
    assert server.run("classification", "confirm", "customers", "card", "financial.card", token=people["vi"]).returncode == 1
    gone = server.run("classification", "confirm", "customers", "card", "pii.email", token=people["ana"])
    assert gone.returncode == 1 and "nothing suggests pii.email for column card" in gone.stderr
    assert server.run("sources", "classify", "nobody", token=people["ana"]).returncode == 1
    assert server.run("classification", "list", "--status", "maybe").returncode != 0


def test_a_confirmed_class_stands_and_cannot_be_taken_back_alone(server, people, tmp_path):
    done = server.run("classification", "confirm", "customers", "card", "financial.card", token=people["ana"])
    assert done.returncode == 0 and "is confirmed" in done.stdout
    card = classes(server)["card"]
    assert card["classification"] == "restricted" and card["tags"] == ["financial.card"]
    assert "restricted" in server.run("sources", "list").stdout
    taken = server.run("classification", "refuse", "customers", "card", "financial.card", token=people["ana"])
    assert taken.returncode == 1 and "penstock sources lower-class customers card internal" in taken.stderr
    traced = server.run("trace", "source:customers@1").stdout
    assert "restricted" in traced and "tags financial.card" in traced


def test_lowering_takes_another_person(server, people, tmp_path):
    raised = SOURCE.replace("{name: email, type: text, classification: internal}",
                            "{name: email, type: text, classification: restricted}")
    declare(server, tmp_path, people["ana"], raised)
    path = tmp_path / "customers.yaml"
    path.write_text(SOURCE)
    refused = server.run("apply", str(path), token=people["ana"])
    assert refused.returncode == 2 and "must not lower email (restricted -> internal)" in refused.stderr
    asked = server.run("sources", "lower-class", "customers", "email", "internal", "--reason", "test data", token=people["ana"])
    assert asked.returncode == 0 and "penstock approvals give source:customers --for lower-class:email" in asked.stdout
    waiting = server.run("apply", str(path), token=people["ana"])
    assert waiting.returncode == 2 and "waits for its approval" in waiting.stderr
    approved = server.run("approvals", "give", "source:customers", "--for", "lower-class:email", token=people["bo"])
    assert approved.returncode == 0, approved.stderr
    applied = server.run("apply", str(path), token=people["ana"])
    assert applied.returncode == 0, applied.stderr
    assert classes(server)["email"]["classification"] == "internal"
    assert server.run("audit", "verify").returncode == 0


def test_rules_have_versions(server, people):
    rules = server.run("classification", "rules").stdout
    assert "financial.card@1" in rules and "pii.national_id.de@1" in rules
