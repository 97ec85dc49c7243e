"""From a file's bytes to windows of speech, and from the windows' transcripts to a response.

Knows neither the model that transcribes nor any server; needs numpy and PyAV, and onnxruntime to find speech.
"""

from whisper_serve.speech.agreement import Agreement
from whisper_serve.speech.audio import SAMPLE_RATE, SHORTEST_FILE_SECONDS, Audio, AudioStream, load_audio, open_audio
from whisper_serve.speech.container import Source
from whisper_serve.speech.endpointing import Begun, Endpointer, Utterance
from whisper_serve.speech.errors import AudioDecodeError, AudioTooLong, AudioTooShort, SpeechError, VadUnavailable
from whisper_serve.speech.formats import RESPONSE_FORMATS, Format, render
from whisper_serve.speech.incremental import LIVE_BLOCK, PcmDecoder, Pipe
from whisper_serve.speech.joining import Joiner
from whisper_serve.speech.languages import LANGUAGES, language_code, language_name
from whisper_serve.speech.phantoms import without_phantoms
from whisper_serve.speech.render_options import RenderOptions
from whisper_serve.speech.transcript import Dropped, Segment, TokenLogprob, Transcript, WindowTranscript, Word, merge
from whisper_serve.speech.vad import SileroVad, Span, VadOptions, speech_spans
from whisper_serve.speech.windows import WINDOW_SAMPLES, WINDOW_SECONDS, Window, cut_windows

__all__ = [
    "LANGUAGES",
    "LIVE_BLOCK",
    "RESPONSE_FORMATS",
    "SAMPLE_RATE",
    "SHORTEST_FILE_SECONDS",
    "WINDOW_SAMPLES",
    "WINDOW_SECONDS",
    "Agreement",
    "Audio",
    "AudioDecodeError",
    "AudioStream",
    "AudioTooLong",
    "AudioTooShort",
    "Begun",
    "Dropped",
    "Endpointer",
    "Format",
    "Joiner",
    "PcmDecoder",
    "Pipe",
    "RenderOptions",
    "Segment",
    "SileroVad",
    "Source",
    "Span",
    "SpeechError",
    "TokenLogprob",
    "Transcript",
    "Utterance",
    "VadOptions",
    "VadUnavailable",
    "Window",
    "WindowTranscript",
    "Word",
    "cut_windows",
    "language_code",
    "language_name",
    "load_audio",
    "merge",
    "open_audio",
    "render",
    "speech_spans",
    "without_phantoms",
]
