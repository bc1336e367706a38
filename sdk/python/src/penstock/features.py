"""Features for training (offline, as of each row's instant) and for serving (online, as of now)."""

import contextlib
import datetime
import decimal
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from penstock.errors import PenstockError

PIECE = 8 << 20
ROWS_A_CALL = 10_000  # that the server takes of one push or online read


@dataclass
class OnlineFeatures:
    """One row of values for each entity, in their order. `statuses` are Feast's: PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE."""

    names: list[str]
    rows: list[list]
    statuses: list[list[str]]
    event_times: list[list[str | None]]

    def to_dicts(self) -> list[dict]:
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]

    def to_arrow(self) -> pa.Table:
        columns = zip(*self.rows, strict=True) if self.rows else ([] for _ in self.names)
        return pa.table([pa.array(list(column)) for column in columns], names=self.names)


class Features:
    """`Client.features`."""

    def __init__(self, client):
        self._client = client

    def get_historical(self, entities=None, *, schema: str | None = None, features: list[str] | None = None,
                       known_as_of: datetime.datetime | str | None = None, sql: str | None = None,
                       dataset: str | None = None) -> pa.Table:
        """Every row of `entities` in its order, with its columns, and the features as they were known at its event_time.

        `entities` is an Arrow table or RecordBatchReader, a pandas or Polars frame, or the path of a Parquet or CSV file:
        event_time, the join keys, and what else shall be beside the features. Instead of it, `sql` is a SELECT over
        sources that the server runs. `dataset` keeps the result as a dataset of that name too.
        """
        with self._joined(entities, schema, features, known_as_of, sql, dataset) as path:
            return pq.read_table(path)

    def iter_historical(self, entities=None, *, schema: str | None = None, features: list[str] | None = None,
                        known_as_of: datetime.datetime | str | None = None, sql: str | None = None,
                        dataset: str | None = None, batch_rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """As get_historical, batch by batch: for what is larger than memory."""
        with self._joined(entities, schema, features, known_as_of, sql, dataset) as path, pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_rows)

    def get_online(self, entities, *, schema: str | None = None, features: list[str] | None = None,
                   event_time: datetime.datetime | str | None = None) -> OnlineFeatures:
        """What serving reads now, or as of `event_time`: one row for each of `entities` (dicts, or a table of join keys)."""
        out = OnlineFeatures([], [], [], [])
        rows = [{name: _key_text(value) for name, value in row.items()} for row in _dicts(entities)]
        for begin in range(0, len(rows), ROWS_A_CALL):
            body = {**_which(schema, features), "entities": rows[begin:begin + ROWS_A_CALL]}
            if event_time is not None:
                body["event_time"] = _instant(event_time)
            answer = self._client.call("POST", "/api/v1/features:online", body)
            out.names = answer["names"]
            for row in answer["rows"]:
                out.rows.append(row["values"])
                out.statuses.append(row["statuses"])
                out.event_times.append(row["event_times"])
        return out

    def push(self, view: str, rows, to: str = "online") -> dict:
        """Writes rows of a view (a table or dicts: join keys, event time, features); gives the counts. `to`: "online"
        (its readers see them at once), "offline" (kept beside the sources) or "online_and_offline"."""
        return self._push(view, "rows", rows, to)

    def delete(self, view: str, rows) -> dict:
        """Entities that have no row of the view any more, from an event time on (a table or dicts of both); the counts."""
        return self._push(view, "deletes", rows)

    def _push(self, view: str, kind: str, rows, to: str = "online") -> dict:
        total: dict = {}
        told = [{name: _json(value) for name, value in row.items()} for row in _dicts(rows)]
        for begin in range(0, len(told), ROWS_A_CALL):
            answer = self._client.call("POST", "/api/v1/features:push",
                                       {"view": view, kind: told[begin:begin + ROWS_A_CALL], "to": to})
            for name, value in answer.items():
                if isinstance(value, int):
                    total[name] = total.get(name, 0) + value
                elif isinstance(value, list):
                    total.setdefault(name, []).extend(value)
        return total

    def materialize(self, until: datetime.datetime | str, views: list[str] | None = None) -> dict:
        """Moves what arrived offline up to `until` into the online store."""
        return self._client.call("POST", "/api/v1/features:materialize",
                                 {"until": _instant(until), "views": views or []}, long=True)

    def repair(self, views: list[str]) -> dict:
        """Writes rows of views anew that the online store lost behind its watermark."""
        return self._client.call("POST", "/api/v1/features:repair", {"views": views}, long=True)

    def verify(self, name: str, sample: int = 1000) -> dict:
        """Compares online values of a view or a schema with what the offline join gives for the same instant."""
        return self._client.call("POST", "/api/v1/features:verify", {"name": name, "sample": sample}, long=True)

    def list(self) -> list[dict]:
        """The feature views, and how fresh they are."""
        return self._client.call("GET", "/api/v1/feature-views")["views"]

    @contextlib.contextmanager
    def _joined(self, entities, schema, features, known_as_of, sql, dataset) -> Iterator[str]:
        if (entities is None) == (sql is None):
            raise PenstockError("invalid_argument", "give entities or sql, and not both")
        body = {**_which(schema, features), "dataset": dataset or "", "temporary": dataset is None}
        if known_as_of is not None:
            body["known_as_of"] = _instant(known_as_of)
        if sql is not None:
            body["entity_sql"] = sql
        else:
            body["entity_upload"] = self._upload(entities)
        made = self._client.call("POST", "/api/v1/features:historical", body, long=True)
        with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
            path = os.path.join(folder, "features.parquet")
            with open(path, "wb") as file:
                self._client.fetch(f"/api/v1/historical/{made['digest']}", made["digest"], made["bytes"], file)
            yield path

    def _upload(self, entities) -> str:
        if isinstance(entities, (str, os.PathLike)):
            path = pathlib.Path(entities)
            form = "csv" if path.suffix == ".csv" else "parquet"
            with path.open("rb") as file:
                return self._send(form, file)
        with tempfile.TemporaryFile(prefix="penstock-") as file:
            _write_parquet(entities, file)
            file.seek(0)
            return self._send("parquet", file)

    def _send(self, form: str, file) -> str:
        upload = self._client.call("POST", "/api/v1/entity-rows", {"format": form})["upload"]
        self._client.send(f"/api/v1/entity-rows/{upload}", iter(lambda: file.read(PIECE), b""))
        return upload


def _which(schema: str | None, features: list[str] | None) -> dict:
    if (schema is None) == (features is None):
        raise PenstockError("invalid_argument", "give schema (\"features_v1\") or features ([\"view:feature\"]), and not both")
    return {"feature_schema": schema or "", "features": features or []}


def _table(rows):
    """An Arrow table, or a reader of batches, of what holds rows."""
    if isinstance(rows, (pa.Table, pa.RecordBatchReader)):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    module = type(rows).__module__.split(".")[0]
    if module == "pandas":
        return pa.Table.from_pandas(rows, preserve_index=False)
    if module == "polars":
        if hasattr(rows, "collect"):
            rows = rows.collect()
        return rows.to_arrow()
    if hasattr(rows, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(rows)
    if isinstance(rows, Iterable):
        return pa.Table.from_pylist([dict(row) for row in rows])
    raise PenstockError("invalid_argument", f"rows must be a table, a frame or dicts, and are {type(rows).__name__}")


def _write_parquet(rows, file) -> None:
    table = _table(rows)
    with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
        if isinstance(table, pa.Table):
            writer.write_table(table)
        else:
            for batch in table:
                writer.write_batch(batch)


def _dicts(rows) -> list[dict]:
    if isinstance(rows, Mapping):
        return [dict(rows)]
    if isinstance(rows, (list, tuple)):
        return [dict(row) for row in rows]
    table = _table(rows)
    return (table if isinstance(table, pa.Table) else table.read_all()).to_pylist()


def _instant(at: datetime.datetime | str) -> str:
    """RFC 3339; a time without a zone is one in UTC, as everywhere in Penstock."""
    if isinstance(at, str):
        return at
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.timezone.utc)
    return at.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def _key_text(value) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _json(value):
    if isinstance(value, datetime.datetime):
        return _instant(value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, float) and value != value:
        return None  # pandas has no other word for a number that is missing
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return value
