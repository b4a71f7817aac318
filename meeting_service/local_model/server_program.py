"""The program of the child process: llama.cpp's server, until its standard input ends.

It is run by its path and imports nothing of the service. Its one argument is a JSON object, its
one line of output the server's address.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

BATCH_TOKENS = 512
LOOPBACK = "127.0.0.1"


def main(options: dict[str, Any]) -> None:
    """Serve one model; never return."""
    # The native library may write to its standard output, which belongs to the address alone.
    output = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, options["packages"])
    library: Any = import_module("xllamacpp")
    server = library.Server(_parameters(library.CommonParams(), options))
    os.write(output, f"{server.listening_address}\n".encode())
    sys.stdin.buffer.read()
    # Calls under way would be waited for, and nobody is left to read them.
    os._exit(0)


def _parameters(parameters: Any, options: dict[str, Any]) -> Any:
    """Describe a small, quiet server that only this machine can reach."""
    parameters.model.path = options["model"]
    parameters.model_alias = {options["alias"]}
    parameters.hostnames = [LOOPBACK]
    parameters.port = 0
    parameters.offline = True
    parameters.ui = False
    parameters.verbosity = 1
    parameters.endpoint_slots = True
    parameters.endpoint_metrics = True
    parameters.n_parallel = options["calls_at_once"]
    # The server shares its context out evenly.
    parameters.n_ctx = options["context_tokens"] * options["calls_at_once"]
    parameters.n_batch = BATCH_TOKENS
    parameters.cpuparams.n_threads = options["threads"]
    parameters.cpuparams_batch.n_threads = options["threads"]
    # By default it keeps up to 8 GiB of finished prompts.
    parameters.cache_ram_mib = 0
    parameters.cache_idle_slots = False
    parameters.fit_params = False
    return parameters


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
