"""Messages and stubs of `proto/whisper/v1/speech.proto`: generated when the project is built or installed."""
