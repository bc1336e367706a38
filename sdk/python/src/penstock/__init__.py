"""Penstock from Python: features as Arrow tables, offline and online."""

from penstock.client import Client
from penstock.errors import PenstockError
from penstock.features import Features, OnlineFeatures

__all__ = ["Client", "Features", "OnlineFeatures", "PenstockError"]
