"""`penstock serve` with a route `chat` before a language model's server, as operators run it: tokens, limits of route and
tenant, prices, a budget, the ledger, the audit log. Made from nothing, on loopback, ended by its process id."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests/clients"))

import conftest  # noqa: E402
import desk as penstock_desk  # noqa: E402

DECLARED = """kind: upstream
name: mock
owner: bench
protocol: openai
url: {mock}/v1
---
kind: price_list
name: standard
owner: finance
currency: USD
prices:
  - {{meter: prompt_tokens, price: "0.000002", from: 2013-01-01}}
  - {{meter: output_tokens, price: "0.000008", from: 2013-01-01}}
---
kind: budget
name: all
owner: finance
period: day
limit: "1000000000"
"""
LIMITS = """limits:
  - {per: route, requests_per_minute: 1000000000, concurrent: 10000}
  - {per: tenant, requests_per_minute: 1000000000}
"""


class GatewayServer:
    def __init__(self, folder: pathlib.Path, mock: str, binary: str = ""):
        if binary:
            conftest.PENSTOCK = os.path.abspath(binary)
        self.server = conftest.Server(folder / "data")
        self.server.start()
        self.pid, self.url = self.server.process.pid, self.server.url
        try:
            desk = penstock_desk.Desk(self.server, folder)
            desk.apply(DECLARED.format(mock=mock))
            desk.apply(penstock_desk.ROUTE.format(model="chat", more=LIMITS))
            artifact = penstock_desk.remote(folder / "artifact", "upstream: mock\nmodel: mock-small\n")
            desk.start_release("chat", desk.register("chat", artifact))
            self.server.wait(lambda: desk.ask("POST", "/v1/chat/completions", {
                "model": "chat", "messages": [{"role": "user", "content": "ready?"}]}).status_code == 200)
        except BaseException:
            self.stop()
            raise
        self.headers = [f"Authorization: Bearer {desk.ana}"]

    def stop(self) -> None:
        self.server.stop()
