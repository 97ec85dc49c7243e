"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A model's official name (tiny, base, small, medium, large-v3, turbo; tiny.en …), a checkpoint "
        "file, a Hugging Face or CTranslate2 folder, `trial`, or `default`: base, and trial where base cannot "
        "be downloaded.",
    ),
]
Store = Annotated[Path, typer.Option("--model-store", envvar="WHISPER_MODEL_STORE", help="The folder of the archive.")]
Name = Annotated[str, typer.Option("--name", help="The model's name in addresses: /predictions/NAME.")]
External = Annotated[
    bool,
    typer.Option(
        "--external-weights",
        help="Keep the weights beside the archive instead of inside: for big models, since TorchServe unpacks "
        "the archive at each start. The archive then works on this machine only.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", envvar="WHISPER_DEVICE", help="cpu or cuda; by default a GPU if there is one.")
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        help="Number type: float32, float16, bfloat16, int8 or auto (on a CPU float32 with some integers, on a GPU "
        "bfloat16).",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        envvar="WHISPER_WORKERS",
        help="Model processes; by default two for each GPU, on a CPU the archive's.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        envvar="WHISPER_BATCH_SIZE",
        help="Most requests in a batch; by default the archive's.",
    ),
]
