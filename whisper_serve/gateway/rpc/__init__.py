"""The service of `proto/whisper/v1/speech.proto`: what the REST routes do, over gRPC and on the same pipeline."""
