"""A Feast repository beside what bench/features_bench.py declares here, and its unmodified server with Redis.

The functions are for the bench. As a program it runs in Feast's own environment:

    features_peer.py materialize REPOSITORY VIEW UNTIL    rows are moved; prints the CPU seconds that took
    features_peer.py remote REPOSITORY URL REQUEST        Feast's SDK asks the server at URL; prints its answer as JSON
"""

import json
import pathlib
import resource
import subprocess
import sys

DEFINITIONS = '''
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Bool, Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
TYPES = {"double": Float64, "bigint": Int64, "boolean": Bool, "text": String}


def view(name, path, columns, pushed=False):
    batch = FileSource(name=name + "_file", path=path, timestamp_field="event_timestamp",
                       created_timestamp_column="created")
    source = PushSource(name=name + "_push", batch_source=batch) if pushed else batch
    return FeatureView(name=name, entities=[user], ttl=timedelta(days=3650), online=True, source=source,
                       schema=[Field(name=column, dtype=TYPES[type]) for column, type in columns])


VIEWS = [view(*one) for one in %r]
for one in VIEWS:
    globals()[one.name] = one
service = FeatureService(name="wide_service", features=[VIEWS[0]])
'''


def repository(folder: pathlib.Path, redis: str, views: list) -> pathlib.Path:
    """`views` are (name, Parquet file, [(feature, type)], whether rows are pushed)."""
    folder.mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(
        f"project: bench\nprovider: local\nregistry: {folder}/registry.db\n"
        f"online_store:\n  type: redis\n  connection_string: {redis}\noffline_store:\n  type: file\n"
        "entity_key_serialization_version: 3\n")
    (folder / "definitions.py").write_text(DEFINITIONS % (views,))
    return folder


def redis_server(peers, folder: pathlib.Path):
    """A Redis of its own, in memory alone; gives the process and "host:port"."""
    folder.mkdir(parents=True)
    port = peers.free_port()
    process = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                "--appendonly", "no", "--dir", str(folder)],
                               stdout=(folder / "redis.log").open("w"), stderr=subprocess.STDOUT)
    return process, f"127.0.0.1:{port}"


def feast(environment: pathlib.Path, folder: pathlib.Path, *command: str) -> None:
    subprocess.run([environment / "bin/feast", *command], cwd=folder, check=True, capture_output=True,
                   env={"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(folder), "FEAST_USAGE": "False"})


def server(peers, environment: pathlib.Path, folder: pathlib.Path, workers: int):
    """`feast serve`, without its access log and without its workers' restarts."""
    port = peers.free_port()
    url = f"http://127.0.0.1:{port}"
    return peers.Process(
        [environment / "bin/feast", "--chdir", folder, "serve", "--host", "127.0.0.1", "--port", port, "--no-access-log",
         "--workers", workers, "--max-requests", 0, "--max-requests-jitter", 0],
        url + "/health", folder / "server.log", FEAST_USAGE="False", PATH=f"{environment}/bin:/usr/bin:/bin"), url


def materialize(folder: str, view: str, until: str) -> None:
    from datetime import datetime, timezone  # noqa: PLC0415: Feast is only in its own environment

    from feast import FeatureStore  # noqa: PLC0415

    store = FeatureStore(repo_path=folder)
    store.list_feature_views()
    before = resource.getrusage(resource.RUSAGE_SELF)
    store.materialize(datetime(2000, 1, 1, tzinfo=timezone.utc), datetime.fromisoformat(until), [view])
    after = resource.getrusage(resource.RUSAGE_SELF)
    print("CPU", after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def remote(folder: str, url: str, request: str) -> None:
    from feast import FeatureStore  # noqa: PLC0415
    from feast.repo_config import load_repo_config  # noqa: PLC0415

    config = load_repo_config(pathlib.Path(folder), pathlib.Path(folder) / "feature_store.yaml")
    config = type(config)(**{**config.model_dump(exclude_none=True, by_alias=True),
                             "online_store": {"type": "remote", "path": url}})
    asked = json.loads(request)
    rows = [{"user_id": one} for one in asked["entities"]["user_id"]]
    print(json.dumps(FeatureStore(config=config).get_online_features(asked["features"], rows).to_dict(True)))


if __name__ == "__main__":
    {"materialize": materialize, "remote": remote}[sys.argv[1]](*sys.argv[2:])
