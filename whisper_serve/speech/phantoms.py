"""Phantoms: what Whisper writes where nobody speaks, learnt from subtitles: credits, and goodbyes of videos.

They are dropped here and not in the engine, since only who cuts the audio knows whether speech was looked for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from whisper_serve.speech.transcript import Dropped, WindowTranscript

#: Above it the model thinks a window silent, as in openai-whisper.
NO_SPEECH_PROB: Final = 0.6
#: Seconds. Of such a window 0.6 s are padding by default, and nobody says a phantom in the rest.
SHORT_WINDOW: Final = 1.0

#: By the language they are written in. Whatever people often say on its own, such as "Thank you.", is none.
PHANTOMS: Final[Mapping[str, tuple[str, ...]]] = {
    "ar": ("اشتركوا في القناة", "ترجمة نانسي قنقر"),
    "de": (
        "Untertitel der Amara.org-Community",
        "Untertitelung aufgrund der Amara.org-Community",
        "Untertitel im Auftrag des ZDF",
        "Untertitel im Auftrag des ZDF für funk, 2017",
        "Untertitelung des ZDF, 2020",
        "Vielen Dank fürs Zuschauen!",
    ),
    "en": (
        "Thank you for watching!",
        "Thanks for watching!",
        "Please subscribe to my channel.",
        "Please subscribe.",
        "Don't forget to like and subscribe.",
        "Subtitles by the Amara.org community",
    ),
    "es": ("Subtítulos realizados por la comunidad de Amara.org", "¡Gracias por ver el vídeo!", "Gracias por ver."),
    "fr": (
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Sous-titres réalisés para la communauté d'Amara.org",
        "Sous-titrage ST' 501",
        "Sous-titrage Société Radio-Canada",
        "Merci d'avoir regardé cette vidéo !",
    ),
    "it": ("Sottotitoli creati dalla comunità Amara.org", "Sottotitoli e revisione a cura di QTSS"),
    "ja": ("ご視聴ありがとうございました", "チャンネル登録お願いします"),
    "ko": ("시청해주셔서 감사합니다", "구독과 좋아요 부탁드립니다"),
    "nl": ("Ondertitels ingediend door de Amara.org gemeenschap", "Ondertiteld door de Amara.org gemeenschap"),
    "pl": ("Napisy stworzone przez społeczność Amara.org", "Dziękuję za oglądanie."),
    "pt": ("Legendas pela comunidade Amara.org", "Obrigado por assistir!"),
    "ru": (
        "Продолжение следует...",
        "Спасибо за просмотр!",
        "Субтитры сделал DimaTorzok",
        "Субтитры создавал DimaTorzok",
        "Редактор субтитров А.Семкин Корректор А.Егорова",
    ),
    "tr": ("Altyazı M.K.", "İzlediğiniz için teşekkür ederim."),
    "zh": (
        "字幕由Amara.org社区提供",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "請不吝點贊訂閱轉發打賞支持明鏡與點點欄目",
        "谢谢观看",
    ),
}


def without_phantoms(window: WindowTranscript, seconds: float, *, searched: bool) -> WindowTranscript:
    """The window without its text if that is all phantoms and speech was not looked for, improbable or too short.

    `seconds` is the window's length; `searched` tells whether the window was cut around speech that was found.
    """
    improbable = all(segment.no_speech_prob > NO_SPEECH_PROB for segment in window.segments)
    doubtful = improbable or not searched or seconds <= SHORT_WINDOW
    if not (doubtful and _KNOWN.fullmatch(_letters(window.text))):
        return window
    first, last = window.segments[0], window.segments[-1]
    dropped = Dropped(first.start, last.end, "phantom", window.text.strip())
    return replace(window, segments=(), dropped=(*window.dropped, dropped))


def _letters(text: str) -> str:
    """The letters alone, all small: spelling, punctuation and years vary."""
    return "".join(filter(str.isalpha, unicodedata.normalize("NFKC", text).casefold()))


#: A phantom, or several of any language.
_KNOWN: Final = re.compile(f"(?:{'|'.join(_letters(each) for phrases in PHANTOMS.values() for each in phrases)})+")
