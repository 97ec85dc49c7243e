"""The public face: OpenAI's audio API over HTTP, in front of one or more model servers."""
