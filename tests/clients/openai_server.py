#!/usr/bin/env python3
"""A stand-in for a language model's server: it speaks OpenAI's API over HTTP, and says that it is none.

Chat and text completions, streams, tool calls, structured outputs, embeddings, models. The same request gets the
same answer. What it is told to do wrong comes by `POST /control`: see `Faults`. Run as a program it prints its
address:

    python3 tests/clients/openai_server.py --port 9100 --key a-secret
"""
import argparse
import base64
import collections
import contextlib
import dataclasses
import hashlib
import http.server
import json
import math
import socket
import struct
import threading
import time

MODELS = ("stand-in-small", "stand-in-large", "stand-in-embed", "stand-in-rerank")
DIMENSIONS = 64


@dataclasses.dataclass
class Faults:
    """What to do wrong. Set by `POST /control`, which sets all that it does not name back."""
    fail: int = 0  # the next calls, with `status`
    status: int = 500
    retry_after: str = ""  # of those answers
    hang: float = 0  # seconds before an answer's head
    hold: bool = False  # no answer before `released` is set
    slow: float = 0  # seconds before each piece of a stream
    garbage: bool = False  # no JSON
    cut: int = -1  # ends a stream behind so many pieces, without saying so
    forever: bool = False  # a stream that does not end by itself
    no_usage: bool = False
    lie: int = 0  # tokens that it says it has written
    no_done: bool = False  # the mark at the end of a stream
    reset: bool = False  # closes the connection without an answer
    leak: bool = False  # an error that quotes the key and the address


def words_of(text):
    return text.split() or [""]


def tokens_of(text):
    """What this stand-in calls a token: a word, of eight letters at most."""
    return sum(max(1, math.ceil(len(word) / 8)) for word in text.split())


def text_of(content):
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def embedding(text, dimensions):
    """The same numbers for the same text, of length 1; texts with words in common are nearer."""
    vector = [0.0] * dimensions
    for word in words_of(text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "little") % dimensions] += 1 if digest[4] % 2 else -1
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def value_for(schema, prompt):
    """Something that a JSON schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return value_for(schema["anyOf"][0], prompt)
    kind = schema.get("type")
    if kind == "object":
        return {name: value_for(inner, prompt) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [value_for(schema.get("items", {"type": "string"}), prompt)]
    return {"integer": 7, "number": 0.5, "boolean": True, "null": None}.get(kind, f"stand-in: {prompt[:40]}")


def reply_to(body, prompt):
    """(text, tool calls, why it ended)."""
    tools = body.get("tools") or []
    answered = any(message.get("role") == "tool" for message in body.get("messages", []))
    if tools and body.get("tool_choice") != "none" and not answered:
        function = tools[0]["function"]
        arguments = json.dumps(value_for(function.get("parameters", {"type": "object"}), prompt))
        call = {"id": "call_standin1", "type": "function",
                "function": {"name": function["name"], "arguments": arguments}}
        return None, [call], "tool_calls"
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return json.dumps(value_for(wanted["json_schema"]["schema"], prompt)), [], "stop"
    if wanted.get("type") == "json_object":
        return json.dumps({"stand_in": True}), [], "stop"
    text = f"I am a stand-in for a language model, not one. You said: {prompt}"
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if most and tokens_of(text) > most:
        return " ".join(text.split()[:most]), [], "length"
    return text, [], "stop"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "stand-in"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    # ---- answers ----
    def send_json(self, value, status=200, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, message, code=None, headers=(), param=None):
        self.send_json({"error": {"message": message, "type": "stand_in_error", "param": param, "code": code}}, status,
                       headers)

    def send_pieces(self, pieces, faults):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for at, piece in enumerate(pieces):
                if at == faults.cut:
                    self.close_connection = True
                    return  # without the last chunk
                if faults.slow:
                    time.sleep(faults.slow)
                data = b"data: " + (piece if isinstance(piece, bytes) else json.dumps(piece).encode()) + b"\n\n"
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            with self.server.turn:
                self.server.left += 1
            self.close_connection = True

    # ---- requests ----
    def do_GET(self):
        if self.path == "/health":
            return self.send_json({"status": "ok", "stand_in": True})
        if self.path == "/seen":
            with self.server.turn:
                return self.send_json({"calls": self.server.calls, "left": self.server.left,
                                       "last": self.server.last, "headers": self.server.last_headers})
        if self.path.endswith("/models"):
            return self.send_json({"object": "list", "data": [{"id": name, "object": "model", "created": 0,
                                                               "owned_by": "stand-in"} for name in MODELS]})
        return self.refuse(404, f"there is nothing at {self.path}")

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/control":
            self.server.set_faults(json.loads(raw or b"{}"))
            return self.send_json({})
        if self.server.key and self.headers.get("authorization") != f"Bearer {self.server.key}":
            return self.refuse(401, f"Incorrect API key provided: {self.headers.get('authorization')}",
                               "invalid_api_key")
        faults = self.server.faults_of_call(raw, dict(self.headers))
        with self.server.at_once():  # before the answer: who called may call again before a handler ends
            if faults.hang:
                time.sleep(faults.hang)
            if faults.hold:
                self.server.released.wait(60)
        if faults.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return self.connection.close()
        if faults.fail:
            extra = (("retry-after", faults.retry_after),) if faults.retry_after else ()
            where = f" by {self.headers.get('authorization')} at {self.headers.get('host')}" if faults.leak else ""
            return self.refuse(faults.status, f"told to fail{where}", "told_to_fail", extra)
        if faults.garbage:
            return self.send_json(b"<html>not what you asked for</html>")
        try:
            body = json.loads(raw)
        except ValueError:
            return self.refuse(400, "the body is no JSON")
        if body.get("model") not in MODELS:
            return self.refuse(404, f"The model `{body.get('model')}` does not exist", "model_not_found", (), "model")
        if self.path.endswith("/chat/completions"):
            return self.chat(body, faults)
        if self.path.endswith("/completions"):
            return self.complete(body, faults)
        if self.path.endswith("/embeddings"):
            return self.embed(body, faults)
        if self.path.endswith("/responses"):
            return self.respond(body, faults)
        if self.path.endswith("/rerank"):
            return self.rerank(body, faults)
        return self.refuse(404, f"there is nothing at {self.path}")

    @staticmethod
    def usage(prompt, output, faults):
        if faults.lie:
            output = faults.lie
        return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
                "prompt_tokens_details": {"cached_tokens": prompt // 2},
                "completion_tokens_details": {"reasoning_tokens": 0}}

    def chat(self, body, faults):
        messages = body.get("messages") or []
        if len(messages) == 0:
            return self.refuse(400, "messages must not be empty", None, (), "messages")
        said = [text_of(message.get("content")) for message in messages]
        text, calls, why = reply_to(body, said[-1])
        written = tokens_of(text or "") + sum(tokens_of(call["function"]["arguments"]) for call in calls)
        usage = self.usage(sum(map(tokens_of, said)) + 3 * len(said), written * (body.get("n") or 1), faults)
        digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
        head = {"id": f"chatcmpl-{digest[:12]}", "created": 1_700_000_000, "model": body["model"],
                "system_fingerprint": "stand-in", "stand_in": True}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text, "refusal": None}
            if calls:
                message["tool_calls"] = calls
            answer = {**head, "object": "chat.completion",
                      "choices": [{"index": at, "message": message, "logprobs": None, "finish_reason": why}
                                  for at in range(body.get("n") or 1)]}
            if not faults.no_usage:
                answer["usage"] = usage
            return self.send_json(answer)
        return self.send_pieces(self.chat_pieces(body, head, text, calls, why, usage, faults), faults)

    @staticmethod
    def chat_pieces(body, head, text, calls, why, usage, faults):
        counted = (body.get("stream_options") or {}).get("include_usage") and not faults.no_usage

        def piece(delta, why=None, at=0):
            out = {**head, "object": "chat.completion.chunk",
                   "choices": [{"index": at, "delta": delta, "logprobs": None, "finish_reason": why}]}
            return {**out, "usage": None} if counted else out

        for at in range(body.get("n") or 1):
            yield piece({"role": "assistant", "content": None if calls else ""}, at=at)
            while faults.forever:
                yield piece({"content": "on and on "})
            for number, word in enumerate((text or "").split(" ") if text else []):
                yield piece({"content": word if number == 0 else " " + word}, at=at)
            for index, call in enumerate(calls):
                function = call["function"]
                yield piece({"tool_calls": [{"index": index, "id": call["id"], "type": "function",
                                             "function": {"name": function["name"], "arguments": ""}}]}, at=at)
                half = len(function["arguments"]) // 2
                for part in (function["arguments"][:half], function["arguments"][half:]):
                    yield piece({"tool_calls": [{"index": index, "function": {"arguments": part}}]}, at=at)
            yield piece({}, why, at)
        if counted:
            yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        if not faults.no_done:
            yield b"[DONE]"

    def complete(self, body, faults):
        prompts = body.get("prompt", "")
        prompts = prompts if isinstance(prompts, list) else [prompts]
        texts = [reply_to(body, str(prompt))[0] for prompt in prompts]
        usage = self.usage(sum(tokens_of(str(prompt)) for prompt in prompts), sum(map(tokens_of, texts)), faults)
        head = {"id": "cmpl-standin", "object": "text_completion", "created": 1_700_000_000, "model": body["model"]}
        if body.get("stream"):
            def pieces():
                for at, text in enumerate(texts):
                    for word in text.split(" "):
                        yield {**head, "choices": [{"index": at, "text": word + " ", "logprobs": None,
                                                    "finish_reason": None}]}
                    yield {**head, "choices": [{"index": at, "text": "", "logprobs": None, "finish_reason": "stop"}]}
                if (body.get("stream_options") or {}).get("include_usage") and not faults.no_usage:
                    yield {**head, "choices": [], "usage": usage}
                yield b"[DONE]"
            return self.send_pieces(pieces(), faults)
        answer = {**head, "choices": [{"index": at, "text": text, "logprobs": None, "finish_reason": "stop"}
                                      for at, text in enumerate(texts)]}
        return self.send_json(answer if faults.no_usage else {**answer, "usage": usage})

    def embed(self, body, faults):
        inputs = body.get("input")
        inputs = inputs if isinstance(inputs, list) else [inputs]
        data = []
        for at, text in enumerate(inputs):
            vector = embedding(str(text), body.get("dimensions") or DIMENSIONS)
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": at, "embedding": vector})
        read = sum(tokens_of(str(text)) for text in inputs)
        answer = {"object": "list", "data": data, "model": body["model"]}
        if not faults.no_usage:
            answer["usage"] = {"prompt_tokens": read, "total_tokens": read}
        return self.send_json(answer)

    def rerank(self, body, faults):
        """The best first, as Cohere, Jina and vLLM have it: by the share of the query's words that stand in a document."""
        wanted = set(words_of(body.get("query", "").lower()))
        scores = [len(wanted & set(words_of(text.lower()))) / len(wanted) for text in body.get("documents", [])]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])[:body.get("top_n")]
        answer = {"id": "rerank-standin", "model": body["model"],
                  "results": [{"index": index, "relevance_score": scores[index]} for index in order]}
        if not faults.no_usage:
            answer["usage"] = {"total_tokens": sum(map(tokens_of, body.get("documents", [])))}
        return self.send_json(answer)

    def respond(self, body, faults):
        said = body.get("input")
        said = said if isinstance(said, str) else text_of(said[-1].get("content"))
        text = reply_to({}, said)[0]
        answer = {"id": "resp_standin", "object": "response", "created_at": 1_700_000_000, "model": body["model"],
                  "status": "completed", "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
                  "output": [{"id": "msg_standin", "type": "message", "role": "assistant", "status": "completed",
                              "content": [{"type": "output_text", "text": text, "annotations": []}]}],
                  "usage": {"input_tokens": tokens_of(said), "output_tokens": faults.lie or tokens_of(text),
                            "input_tokens_details": {"cached_tokens": 0},
                            "output_tokens_details": {"reasoning_tokens": 0},
                            "total_tokens": tokens_of(said) + tokens_of(text)}}
        return self.send_json(answer)


class StandIn(http.server.ThreadingHTTPServer):
    """On 127.0.0.1 and, by itself, on a free port."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port=0, key=""):
        super().__init__(("127.0.0.1", port), Handler)
        self.key, self.turn, self.calls, self.left = key, threading.Lock(), 0, 0
        self.last, self.last_headers = None, {}
        self.bodies = collections.deque(maxlen=1000)  # in the order in which they came
        self.running, self.most = 0, 0  # calls at once that wait for an answer, now and at the most
        self.released = threading.Event()
        self.faults = Faults()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def set_faults(self, values):
        with self.turn:
            self.faults = Faults(**values)
            self.most = self.running
            self.bodies.clear()
            if self.faults.hold:
                self.released.clear()
            else:
                self.released.set()

    @contextlib.contextmanager
    def at_once(self):
        with self.turn:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            yield
        finally:
            with self.turn:
                self.running -= 1

    def faults_of_call(self, raw, headers):
        """What this call gets; one `fail` is used up by it."""
        with self.turn:
            self.calls += 1
            self.last, self.last_headers = raw.decode("utf-8", "replace"), headers
            self.bodies.append(self.last)
            faults = dataclasses.replace(self.faults)
            self.faults.fail = max(0, self.faults.fail - 1)
            return faults

    def handle_error(self, request, client_address):
        pass  # a caller that left

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self.shutdown()
        self.server_close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a language model's server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="", help="the API key that callers must send; none: all may call")
    arguments = parser.parse_args()
    server = StandIn(arguments.port, arguments.key)
    print(server.url, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
