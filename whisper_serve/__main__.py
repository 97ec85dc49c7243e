"""`python -m whisper_serve` is the same as the command `whisper-serve`."""

from whisper_serve.cli import main

if __name__ == "__main__":
    main()
