"""A reranker by words: BM25, with how rare each word is among the passages of this example. It is no neural network."""
import json
import math
import re

import mlflow
import numpy as np


def words_of(text):
    """Lower case, and without the endings that English adds most."""
    out = []
    for word in re.findall(r"[a-z0-9]+", text.lower()):
        for ending in ("ing", "ies", "ed", "es", "s"):
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                word = word[:-len(ending)]
                break
        out.append(word)
    return out


class Reranker(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.about = json.load(open(context.artifacts["words"]))

    def score(self, query, passage):
        words = words_of(passage)
        total = 0.0
        for word in set(words_of(query)):
            times = words.count(word)
            known = self.about["passages_with"].get(word, 0)
            rare = math.log(1 + (self.about["passages"] - known + 0.5) / (known + 0.5))
            total += rare * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * len(words) / self.about["words_mean"]))
        return total

    def predict(self, context, model_input, params=None):
        rows = zip(model_input["query"], model_input["passage"])
        return {"score": np.array([self.score(query, passage) for query, passage in rows], dtype=np.float64)}


mlflow.models.set_model(Reranker())
