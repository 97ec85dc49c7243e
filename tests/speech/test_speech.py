from __future__ import annotations

import subprocess
import sys

import whisper_serve.speech
from whisper_serve.speech import SpeechError, errors


def test_exported_names_exist_once() -> None:
    names = whisper_serve.speech.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(whisper_serve.speech, name) for name in names)


def test_import_brings_neither_torch_nor_the_vad_runtime() -> None:
    code = (
        "import sys, whisper_serve.speech\nprint(*{'torch', 'onnxruntime', 'silero_vad', 'whisper'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_errors_form_one_tree_that_their_docstring_shows() -> None:
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, SpeechError) for kind in tree)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in tree)
