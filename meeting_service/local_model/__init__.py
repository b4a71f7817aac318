"""A small language model on this machine: llama.cpp's server and SmolLM2-135M, each out of a wheel.

Both are open (llama.cpp: MIT, SmolLM2: Apache-2.0) and hashed in `local-model.lock`, which is part
of this package; neither is part of the service. Nothing here knows what a meeting is.
"""

from meeting_service.local_model.errors import LocalModelError
from meeting_service.local_model.model_files import (
    LOCK,
    ModelFiles,
    find_model_files,
    install_model_files,
    user_cache_dir,
)
from meeting_service.local_model.model_server import MODEL, running_local_model

__all__ = [
    "LOCK",
    "MODEL",
    "LocalModelError",
    "ModelFiles",
    "find_model_files",
    "install_model_files",
    "running_local_model",
    "user_cache_dir",
]
