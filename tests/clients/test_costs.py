"""The ledger as its users meet it: the command line, and programs that post CloudEvents."""

import csv
import http.client
import io
import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PRICES = Path(__file__).resolve().parents[1] / "data/costs/model_prices_and_context_window.json"

MANDATORY = """BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart
ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost
InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName""".split()


def post(server, path, body, headers):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("POST", path, body if isinstance(body, (bytes, str)) else json.dumps(body),
                       {"Authorization": f"Bearer {server.token}", **headers})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def run(server, *arguments, exit=0):
    done = server.run(*arguments)
    assert done.returncode == exit, done.stdout + done.stderr
    return done.stdout


def ask(server, *arguments):
    return json.loads(run(server, "--json", *arguments))


def usage(id, meter, quantity, tenant="flights", day="2026-10-05", **more):
    return {"source": "test-meter", "id": id, "meter": meter, "quantity": quantity, "at": f"{day}T10:00:00Z",
            "tenant": tenant, "route": "assistant", "model": "helper", "version": 2, "mode": "online",
            "upstream": "openai", "upstream_model": "gpt-4o-mini", **more}


def post_usages(server, *usages):
    status, answer = post(server, "/api/v1/costs/usages", {"usages": usages}, {"Content-Type": "application/json"})
    assert status == 200, answer
    return answer


@pytest.fixture(scope="module")
def priced(server):
    """October's calls of two tenants, by prices of LiteLLM's file."""
    out = run(server, "cost", "import-prices", str(PRICES), "--models", "gpt-4o-mini", "--from", "2026-01-01")
    assert out == "price_list litellm @1: create, 5 prices\n"
    posted = post_usages(
        server, usage("1", "prompt_tokens", 1_000_000), usage("1", "output_tokens", 100_000),
        usage("1", "requests", 1), usage("2", "prompt_tokens", 3_000_000, tenant="hotels"),
        usage("2", "reranker_calls", 4, tenant="hotels"))
    assert posted == {"posted": 5, "repeated": 0, "unpriced": 1}
    return server


def test_the_same_file_again_changes_nothing(priced):
    again = run(priced, "cost", "import-prices", str(PRICES), "--models", "gpt-4o-mini", "--from", "2026-02-01")
    assert again == "price_list litellm @1: unchanged, 5 prices\n"
    done = priced.run("cost", "import-prices", str(PRICES), "--models", "gpt-4")
    assert done.returncode == 1 and "gpt-4o-mini" in done.stderr
    plan = run(priced, "cost", "import-prices", str(PRICES), "--models", "gpt-4o=big", "--name", "other", "--plan")
    assert plan == "price_list other @1: create, 5 prices (planned)\n"
    assert "kind: price_list" in run(priced, "cost", "import-prices", str(PRICES), "--models", "o3", "--yaml")
    assert [one["name"] for one in ask(priced, "get", "price_list")["resources"]] == ["litellm"]


def test_reports_are_tables_csv_and_json(priced):
    table = run(priced, "cost", "--by", "tenant,meter", "--from", "2026-10-01", "--until", "2026-11-01")
    assert "total 0.66 USD" in table
    rows = list(csv.reader(io.StringIO(run(priced, "cost", "--by", "tenant,meter", "--csv", "--from", "2026-10-01",
                                           "--until", "2026-11-01"))))
    assert rows[0] == ["tenant", "meter", "quantity", "amount"]
    assert ["hotels", "prompt_tokens", "3000000", "0.45"] in rows
    assert ["hotels", "reranker_calls", "4", "unpriced"] in rows
    report = ask(priced, "cost", "--by", "user", "--from", "2026-10-01", "--until", "2026-11-01")
    assert report["total"] == "0.66" and report["unpriced"] == ["reranker_calls"]
    done = priced.run("cost", "--by", "colour")
    assert done.returncode == 2 and "one or two of model" in done.stderr
    assert "tenant hotels" in run(priced, "cost", "showback", "--from", "2026-10-01", "--until", "2026-11-01")
    post_usages(priced, usage("notebook", "requests", 1, day="2026-06-01", version=0))
    assert "@v0" not in run(priced, "cost", "showback", "--from", "2026-06-01", "--until", "2026-07-01")


def test_focus_has_every_mandatory_column(priced):
    done = priced.run("cost", "--focus", "--from", "2026-10-01", "--until", "2026-11-01")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert set(MANDATORY) <= set(rows[0])
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("0.66")
    assert {row["ProviderName"] for row in rows} == {"openai"}
    assert json.loads(rows[0]["Tags"])["route"] == "assistant"
    assert "1 rows are not in this file" in done.stderr


def test_a_price_that_comes_later_and_a_correction(priced, tmp_path):
    declared = tmp_path / "prices.yaml"
    declared.write_text("kind: price_list\nname: reranker\nowner: finance\ncurrency: USD\nprices:\n"
                        "  - {meter: reranker_calls, price: '0.25', per: 1, from: 2026-01-01}\n")
    run(priced, "apply", str(declared))
    period = ["--from", "2026-10-01", "--until", "2026-11-01", "--reason", "a price came later"]
    planned = run(priced, "cost", "reprice", *period, "--plan")
    assert planned == ("5 lines examined, 1 would be repriced, 0 still without a price; "
                       "the total would change by 1\n")
    assert "1 repriced" in run(priced, "cost", "reprice", *period)
    assert "0 repriced" in run(priced, "cost", "reprice", *period)
    lines = ask(priced, "cost", "lines", "test-meter", "2")["lines"]
    assert [(line["meter"], line["entry"], line["amount"]) for line in lines][1:] == [
        ("reranker_calls", 0, "0"), ("reranker_calls", 1, "0"), ("reranker_calls", 2, "1")]

    fix = ["cost", "reverse", "test-meter", "1", "--meter", "output_tokens", "--quantity", "50000",
           "--reason", "counted twice", "--correction", "fix-1"]
    first = run(priced, *fix)
    assert "1 lines taken back, 1 posted instead; the total changed by -0.03" in first
    again = run(priced, *fix)
    assert again.startswith("correction fix-1 was already made at 20") and "nothing changed now" in again
    assert ask(priced, "cost", "--from", "2026-10-01", "--until", "2026-11-01")["total"] == "1.63"
    assert "costs.corrected" in run(priced, "audit", "list", "--subject", "correction:fix-1")
    assert priced.run("cost", "reverse", "test-meter", "nothing", "--reason", "x").returncode == 1


def test_a_bill_is_split_exactly(server):
    for number in range(3):
        post_usages(server, usage(f"s{number}", "requests", 1, tenant=f"t{number}", day="2026-08-02"))
    share = ["cost", "share", "gpu-2026-08", "--amount", "100", "--from", "2026-08-01", "--until", "2026-09-01"]
    out = ask(server, *share)
    assert [part["amount"] for part in out["shares"]] == ["33.333333333334", "33.333333333333", "33.333333333333"]
    assert ask(server, *share)["repeated"] is True
    assert ask(server, "cost", "--meter", "shared_cost", "--by", "tenant")["total"] == "100"
    reverse = ["cost", "reverse", "share:gpu-2026-08", "--reason", "wrong bill"]
    assert "3 lines taken back" in run(server, *reverse, "--correction", "bill-1")
    again = server.run(*reverse)
    assert again.returncode == 1 and "was already taken back, by correction bill-1" in again.stderr, again.stderr
    assert ask(server, "cost", "--meter", "shared_cost", "--by", "tenant")["total"] == "0"


def test_cloud_events_of_each_mode(server):
    event = {"specversion": "1.0", "type": "com.example.gpu_hours", "source": "slurm", "id": "job-1",
             "time": "2026-07-01T00:00:00Z", "subject": "research", "data": {"value": "1.5", "model": "big"}}
    structured = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    assert post(server, "/api/v1/costs/events", event, structured) == (
        200, {"posted": 1, "repeated": 0, "unpriced": 1, "rejected": []})
    assert post(server, "/api/v1/costs/events", [event, {**event, "id": "job-2"}, {**event, "id": "", "data": 1}],
                batch)[1]["rejected"][0]["index"] == 2
    binary = {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-type": "human_review_minutes",
              "ce-source": "desk%20one", "ce-id": "42", "ce-time": "2026-07-01T01:00:00Z", "ce-subject": "research"}
    assert post(server, "/api/v1/costs/events", {"value": 7}, binary)[0] == 200
    assert ask(server, "cost", "lines", "desk one", "42")["lines"][0]["quantity"] == 420
    rows = ask(server, "cost", "--by", "meter", "--tenant", "research")["rows"]
    assert {row["keys"][0]: row["quantity"] for row in rows} == {
        "gpu_microseconds": 2 * 5_400_000_000, "human_review_seconds": 420}

    for body, headers, says in (
            (event, {"Content-Type": "application/json"}, "content-type"),
            ("{", structured, "JSON"), ("{}", batch, "a list"), ("[" * 5000, batch, "JSON"),
            ([event] * 1001, batch, "1 to 1000"), ({**event, "type": "x"}, structured, "type must end in")):
        status, answer = post(server, "/api/v1/costs/events", body, headers)
        assert status == 400 and says in json.dumps(answer), answer


def test_a_providers_report_is_compared(priced, tmp_path):
    report = tmp_path / "usage.csv"
    report.write_text("date,model,usage_type,quantity\n2026-10-05,gpt-4o-mini,prompt_tokens,4000000\n")
    out = run(priced, "cost", "reconcile", str(report), "--provider", "openai")
    assert "agrees" in out and "0 of 1 differ" in out
    report.write_text("date,model,usage_type,quantity\n2026-10-05,gpt-4o-mini,prompt_tokens,5000000\n")
    assert "differs" in run(priced, "cost", "reconcile", str(report), "--provider", "openai", exit=1)
    assert "What openai reports of 2026-10-05" in run(priced, "incidents", "list")
    assert "1 of 1 differ" in run(priced, "cost", "reconciliations", "--differing")
