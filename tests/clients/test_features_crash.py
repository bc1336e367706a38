"""A server that is killed in the middle of materializing and being pushed to, and comes back: windows hold what the offline
join says, and what was acknowledged counts exactly once."""

import datetime
import math
import os
import random
import signal
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from conftest import Server

ROUNDS, KILLS, EVENTS, STEPS = 4, 4, 1200, 24
LENGTH = datetime.timedelta(minutes=10)  # of a round, in event time
BEGIN = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) - 12 * LENGTH
ACCOUNTS = [f"a{number}" for number in range(40)]
BALANCES = 15_000

DECLARED = """kind: entity
name: account
owner: payments
join_keys: [{{name: account, type: text}}]
---
kind: source
name: balances
owner: payments
path: balances.parquet
columns:
  - {{name: account, type: text, classification: internal}}
  - {{name: seen, type: timestamp, classification: internal}}
  - {{name: balance, type: double, classification: internal}}
  - {{name: note, type: text, classification: internal}}
---
kind: feature_view
name: balance
owner: payments
entity: account
sources: [balances]
sql: SELECT * FROM balances
event_time: seen
features: [{{name: balance}}, {{name: note, type: text}}]
---
{windowed}"""
WINDOWED = """kind: source
name: payments{0}
owner: payments
path: payments{0}.parquet
columns:
  - {{name: account, type: text, classification: internal}}
  - {{name: paid_at, type: timestamp, classification: internal}}
  - {{name: amount, type: double, classification: internal}}
---
kind: feature_view
name: spending{0}
owner: payments
entity: account
sources: [payments{0}]
sql: SELECT account, paid_at, amount FROM payments{0}
event_time: paid_at
features:
  - {{name: payments_30m, type: bigint, aggregate: count, window: 30m}}
  - {{name: spent_30m, aggregate: sum, column: amount, window: 30m}}
  - {{name: largest_1h, aggregate: max, column: amount, window: 1h}}
  - {{name: typical_1h, aggregate: quantile, quantile: 0.5, column: amount, window: 1h}}
  - {{name: last_1h, aggregate: last, column: amount, window: 1h}}
  - {{name: amounts_1h, type: bigint, aggregate: distinct, column: amount, window: 1h}}
"""
FEATURES = ["payments_30m", "spent_30m", "largest_1h", "typical_1h", "last_1h", "amounts_1h"]


def write_events(server: Server, name: str, events: list) -> None:
    table = pa.table({"account": [one["account"] for one in events],
                      "paid_at": pa.array([one["paid_at"] for one in events], pa.timestamp("us", "UTC")),
                      "amount": pa.array([one["amount"] for one in events], pa.float64())})
    pq.write_table(table, server.data / "sources/new")
    (server.data / "sources/new").rename(server.data / f"sources/{name}.parquet")


class Killed:
    """The server, and what goes on while it is killed: a thread that pushes and one that materializes."""

    def __init__(self, folder):
        self.server = Server(folder / "data")
        self.server.start()
        self.address = self.server.url.removeprefix("http://")
        self.random = random.Random(17)
        self.faults = []

    def ask(self, path: str, body: dict) -> dict:
        answer = requests.post(f"{self.server.url}/api/v1/{path}", json=body, timeout=60,
                               headers={"Authorization": f"Bearer {self.server.token}"})
        if answer.status_code == 503 and "ask again" in answer.text:
            raise requests.ConnectionError(answer.text)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def ask_until_answered(self, path: str, body: dict) -> dict:
        """Whoever hears no answer does not know what was done, and asks again."""
        for _ in range(600):
            try:
                return self.ask(path, body)
            except requests.RequestException:
                time.sleep(0.05)
        raise AssertionError(f"{path} is never answered")

    def kill(self) -> None:
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait(30)
        self.server.start(self.address)

    def push(self, events: list) -> None:
        left = list(events)
        counted = 0
        while left:
            some, left = left[:25], left[25:]
            rows = [{**one, "paid_at": one["paid_at"].isoformat()} for one in some]
            said = self.ask_until_answered("features:push", {"view": "spending", "rows": rows})
            assert said["rejected"] == 0 and said["written"] + said["ignored"] == len(rows), said
            counted += said["written"]
            if self.random.random() < 0.1:  # the caller sends again what was acknowledged
                said = self.ask_until_answered("features:push", {"view": "spending", "rows": rows})
                assert said["written"] == 0, said
        assert counted <= len(events)

    def move(self, begin: datetime.datetime) -> None:
        self.ask_until_answered("features:materialize", {"views": ["balance"], "until": begin.isoformat()})
        for step in range(1, STEPS + 1):
            until = (begin + LENGTH / STEPS * step).isoformat()
            self.ask_until_answered("features:materialize", {"views": ["spending"], "until": until})

    def during(self, *work) -> int:
        """Runs them, each in its thread, and kills the server meanwhile."""
        def guarded(one) -> None:
            try:
                one()
            except BaseException as fault:
                self.faults.append(fault)
        threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        kills = 0
        while kills < KILLS and any(thread.is_alive() for thread in threads):
            time.sleep(self.random.uniform(0.02, 0.4))
            self.kill()
            kills += 1
        for thread in threads:
            thread.join(120)
        if self.faults:
            raise self.faults[0]
        return kills

    def online(self, at: datetime.datetime) -> dict:
        said = self.ask("features:online", {"features": [f"spending:{name}" for name in FEATURES], "event_time": at.isoformat(),
                                            "entities": [{"account": account} for account in ACCOUNTS]})
        return {account: row["values"] for account, row in zip(ACCOUNTS, said["rows"], strict=True)}

    def offline(self, at: datetime.datetime) -> dict:
        pq.write_table(pa.table({"account": ACCOUNTS, "event_time": pa.array([at] * len(ACCOUNTS), pa.timestamp("us", "UTC"))}),
                       self.server.data / "asked.parquet")
        said = self.ask("features:historical", {"entity_path": str(self.server.data / "asked.parquet"),
                                                "features": [f"spending_all:{name}" for name in FEATURES]})
        table = pq.read_table(said["uri"]).to_pydict()
        return {account: [table[name][row] for name in FEATURES] for row, account in enumerate(table["account"])}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    one = Killed(tmp_path_factory.mktemp("killed"))
    yield one
    one.server.stop()


def events_of(turn: int) -> list:
    some = random.Random(turn)
    begin = BEGIN + turn * LENGTH
    return [{"account": some.choice(ACCOUNTS), "amount": some.randrange(1, 100_000) / 8.0 + some.random(), "event_id": f"{turn}-{number}",
             "paid_at": begin + datetime.timedelta(microseconds=some.randrange(1, 600_000_000))} for number in range(EVENTS)]


def by_hand(events: list, at: datetime.datetime) -> dict:
    """Count and sum of the half hour until `at`, which is a whole minute."""
    since = at - datetime.timedelta(minutes=29)
    out = {account: [] for account in ACCOUNTS}
    for one in events:
        if since <= one["paid_at"] <= at:
            out[one["account"]].append(one["amount"])
    return {account: [len(amounts), math.fsum(amounts)] for account, amounts in out.items()}


def write_balances(server: Server, turn: int) -> None:
    ids = np.arange(BALANCES)
    table = pa.table({"account": np.char.add("b", ids.astype(str)),
                      "seen": pa.array([BEGIN + LENGTH * turn] * BALANCES, pa.timestamp("us", "UTC")),
                      "balance": pa.array(ids * 1.5 + turn), "note": [f"{number:0120}" for number in ids]})
    pq.write_table(table, server.data / "sources/new")
    (server.data / "sources/new").rename(server.data / "sources/balances.parquet")


def test_windows_hold_what_was_acknowledged_however_often_the_server_is_killed(killed, tmp_path):
    server = killed.server
    (server.data / "sources").mkdir(parents=True, exist_ok=True)
    events = events_of(0)
    write_events(server, "payments", events)
    write_events(server, "payments_all", events)
    write_balances(server, 0)
    declared = tmp_path / "declared.yaml"
    declared.write_text(DECLARED.format(windowed=WINDOWED.format("") + "---\n" + WINDOWED.format("_all")))
    applied = server.run("apply", str(declared))
    assert applied.returncode == 0, applied.stderr
    kills = 0
    for turn in range(1, ROUNDS + 1):
        begin = BEGIN + turn * LENGTH
        pushed = events_of(turn)
        kills += killed.during(lambda pushed=pushed: killed.push(pushed), lambda begin=begin: killed.move(begin - LENGTH))
        events = events + pushed
        write_events(server, "payments_all", events)
        at = begin + LENGTH
        online = killed.online(at)
        assert {account: values[:2] for account, values in online.items()} == by_hand(events, at), f"round {turn}"
        assert online == killed.offline(at), f"round {turn}"
        # From now on the source holds what was pushed.
        write_events(server, "payments", events)
        write_balances(server, turn)
    assert kills >= ROUNDS
    killed.during(lambda: killed.move(BEGIN + ROUNDS * LENGTH))
    at = BEGIN + (ROUNDS + 1) * LENGTH
    online = killed.online(at)
    assert {account: values[:2] for account, values in online.items()} == by_hand(events, at)
    assert online == killed.offline(at)
    for view in ("spending", "balance"):
        said = killed.ask("features:verify", {"name": view, "sample": 20_000})
        assert said["differing"] == 0 and said["entities"] >= len(ACCOUNTS), said


