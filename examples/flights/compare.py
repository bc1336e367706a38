#!/usr/bin/env python3
"""Compares a batch output with what was served online: `compare.py BATCH_DIR SERVED_JSON`.

SERVED_JSON maps flight ids to scores. Prints one JSON line; a score that differs in one bit is a difference.
"""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq


def main() -> None:
    served = json.loads(Path(sys.argv[2]).read_text())
    compared = different = 0
    examples = []
    for path in sorted(Path(sys.argv[1]).rglob("*.parquet")):
        table = pq.read_table(path, columns=["id", "score"])
        for name, score in zip(table["id"].to_pylist(), table["score"].to_pylist()):
            if name not in served:
                continue
            compared += 1
            if score != served[name]:
                different += 1
                if len(examples) < 3:
                    examples.append({"id": name, "batch": score, "online": served[name]})
    print(json.dumps({"compared": compared, "different": different, "examples": examples}))


if __name__ == "__main__":
    main()
