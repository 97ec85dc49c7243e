"""whisper-serve: OpenAI's Whisper as a speech-to-text endpoint served by TorchServe."""

__version__ = "0.1.0"
