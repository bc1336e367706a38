"""Two servers on one PostgreSQL: what either answered is in the statistics of both, each call once."""

import pytest

from test_shared_budget import database, pair  # noqa: F401: fixtures
from test_traffic import chat


def stats(desk):
    answer = desk.ask("GET", "/api/v1/routes/shared/stats")
    assert answer.status_code == 200, answer.text
    return sum(one["calls"] - one["errors"] for one in answer.json()["stats"])


def read_to_the_end(desk):
    answer = desk.ask("GET", "/api/v1/retention", token=desk.server.token)
    assert answer.status_code == 200, answer.text
    [calls] = [one for one in answer.json()["topics"] if "inference" in one["topic"]]
    return all(reader["unread"] == 0 for reader in calls["readers"]), calls


@pytest.mark.parametrize("counts", [(12, 5), (3, 9)], ids=lambda counts: "%d and %d" % counts)
def test_calls_of_both_servers_reach_the_monitor(pair, counts):  # noqa: F811
    one, two, _ = pair
    for desk, count in zip((one, two), counts, strict=True):
        for _ in range(count):
            one.server.wait(lambda desk=desk: tried(desk))
    one.server.wait(lambda: stats(one) == sum(counts))
    assert stats(two) == sum(counts)
    for desk, count in zip((one, two), counts, strict=True):
        one.server.wait(lambda desk=desk: read_to_the_end(desk)[0])
        found = read_to_the_end(desk)[1]
        [position] = {reader["position"] for reader in found["readers"]}
        assert position >= count, found
    # A restart counts nothing again, and goes on.
    two.server.stop()
    two.server.start()
    one.server.wait(lambda: tried(two))
    one.server.wait(lambda: stats(one) == sum(counts) + 1)


def tried(desk):
    """A portion of the budget comes with the asking."""
    try:
        return chat(desk, "shared", max_tokens=20)
    except Exception as refused:
        if "is shared by servers" in str(refused):
            return None
        raise
