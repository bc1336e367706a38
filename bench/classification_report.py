#!/usr/bin/env python3
"""Precision, recall and speed of the classification rules beside Presidio's recognizers, in one run.

    pip install presidio-analyzer==2.2.366
    bench/classification_report.py build/release/bin/classification_bench

Presidio judges single texts, so a column gets a tag where at least half of its values hold the entity with a score of
at least 0.5; its recognizers run without a language model, as their patterns and checksums are what is compared. Only
tags that both know count, over both labelled parts. Both run on one core.
"""
import collections
import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENTITIES = {
    "EMAIL_ADDRESS": "pii.email", "PHONE_NUMBER": "pii.phone", "IP_ADDRESS": "pii.ip", "MAC_ADDRESS": "pii.mac",
    "CREDIT_CARD": "financial.card", "IBAN_CODE": "financial.iban", "US_SSN": "pii.national_id", "UK_NINO": "pii.national_id",
    "ES_NIF": "pii.national_id", "ES_NIE": "pii.national_id", "IT_FISCAL_CODE": "pii.national_id", "PL_PESEL": "pii.national_id",
    "IN_AADHAAR": "pii.national_id", "FI_PERSONAL_IDENTITY_CODE": "pii.national_id", "US_PASSPORT": "pii.passport",
}


def labelled(part):
    lines = (ROOT / "tests/data/classification" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def scores(columns, suggested, tags):
    right = wrong = missed = 0
    for column, found in zip(columns, suggested):
        found, wanted = found & tags, set(column["tags"]) & tags
        right, wrong, missed = right + len(found & wanted), wrong + len(found - wanted), missed + len(wanted - found)
    return right / max(1, right + wrong), right / max(1, right + missed)


def presidio_recognizers():
    import tldextract
    from presidio_analyzer import predefined_recognizers as known
    # The list of domains that it carries: it would ask the net for a newer one, and wait.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())
    names = ["EmailRecognizer", "PhoneRecognizer", "IpRecognizer", "MacAddressRecognizer", "CreditCardRecognizer", "IbanRecognizer",
             "UsSsnRecognizer", "UkNinoRecognizer", "EsNifRecognizer", "EsNieRecognizer", "ItFiscalCodeRecognizer", "PlPeselRecognizer",
             "InAadhaarRecognizer", "FiPersonalIdentityCodeRecognizer", "UsPassportRecognizer"]
    return [getattr(known, name)() for name in names if hasattr(known, name)]


def presidio_tags(recognizers, values):
    values = [value for value in values if value]
    times = collections.Counter()
    for value in values:
        seen = set()
        for recognizer in recognizers:
            for result in recognizer.analyze(value, recognizer.supported_entities, None) or []:
                if result.score >= 0.5 and result.entity_type in ENTITIES:
                    seen.add(ENTITIES[result.entity_type])
        times.update(seen)
    return {tag for tag, count in times.items() if count * 2 >= len(values)}


def main(program):
    print(subprocess.run([program], check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    recognizers = presidio_recognizers()
    tags = {ENTITIES[entity] for one in recognizers for entity in one.supported_entities if entity in ENTITIES}
    print(f"beside Presidio ({len(recognizers)} recognizers), tags: {', '.join(sorted(tags))}")
    for part in ("tuning", "held_out"):
        columns = labelled(part)
        lines = subprocess.run([program, part], check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
        ours = [{finding["tag"] for finding in json.loads(line)["findings"]} for line in lines]
        began = time.perf_counter()
        theirs = [presidio_tags(recognizers, column["values"]) for column in columns]
        took = time.perf_counter() - began
        values = sum(len(column["values"]) for column in columns)
        for name, suggested in (("penstock", ours), ("presidio", theirs)):
            precision, recall = scores(columns, suggested, tags)
            print(f"{part:9} {name:9} precision {precision:.3f} recall {recall:.3f}")
        print(f"{part:9} presidio: {values} values in {took:.1f} s, {values / took:.0f} a second")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/release/bin/classification_bench"))
