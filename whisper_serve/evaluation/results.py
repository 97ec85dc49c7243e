"""What an evaluation found: the samples, what each system made of them, and how that scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Final

from whisper_serve.speech import WINDOW_SECONDS
from whisper_serve.speech.languages import UNSPACED

from .bootstrap import Score, scores
from .corpus import Sample
from .scores import Accuracy, ErrorRate, Repeat, accuracies, bleu, error_rate, repeats, superfluous, word_count

ALL: Final = "all"
MEAN: Final = "mean"


@dataclass(frozen=True)
class Outcome:
    """What one system made of the samples, in their order."""

    label: str
    texts: tuple[str, ...]
    languages: tuple[str, ...]
    """Codes that it found without being told."""
    translations: tuple[str, ...]
    inventions: tuple[str, ...]
    """Texts of the files without speech."""
    seconds: float
    """For all texts of spoken files."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """Errors in the files of a language, or of a folder."""

    name: str
    unit: str
    """WER: of words; CER: of characters."""
    files: int
    length: int
    """Words or characters of the references."""
    scores: tuple[Score, ...]
    """One for each system."""


@dataclass(frozen=True, slots=True)
class BleuLine:
    language: str
    files: int
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """Words that a system repeats more often than they were said."""

    label: str
    sample: str
    repeat: Repeat


@dataclass(frozen=True)
class Report:
    """One evaluation. Outcomes are of those systems that ran to their end, the first before all."""

    model: str
    device: str
    machine: str
    date: str
    """ISO 8601, UTC."""
    corpus: str
    decoding: str
    """``greedily``, or ``with fallback``; servers do as they are set up."""
    spoken: tuple[Sample, ...]
    translated: tuple[Sample, ...]
    silent: tuple[Sample, ...]
    left_out: tuple[str, ...]
    """Files that could not be used, with the reasons."""
    outcomes: tuple[Outcome, ...]
    failures: Mapping[str, str]
    """Why systems did not run to their end."""

    @property
    def labels(self) -> list[str]:
        return [outcome.label for outcome in self.outcomes]

    @property
    def seconds(self) -> float:
        """Length of the spoken files."""
        return sum(sample.seconds for sample in self.spoken)

    @property
    def silent_minutes(self) -> float:
        return sum(sample.seconds for sample in self.silent) / 60

    @cached_property
    def rates(self) -> tuple[tuple[ErrorRate, ...], ...]:
        """Of each system, the errors in each spoken file."""
        return tuple(
            tuple(
                error_rate(sample.transcript, text, sample.language)
                for sample, text in zip(self.spoken, outcome.texts, strict=True)
            )
            for outcome in self.outcomes
        )

    @cached_property
    def errors(self) -> tuple[ErrorLine, ...]:
        """A line for each language, and the mean of several."""
        groups = self._groups(lambda sample: sample.language)
        lines = [self._errors(language, members) for language, members in groups.items()]
        if len(lines) > 1:
            mean = scores(*(self._members(members) for members in groups.values()))
            lines.append(ErrorLine(MEAN, "", len(self.spoken), sum(line.length for line in lines), tuple(mean)))
        return tuple(lines)

    @cached_property
    def folders(self) -> tuple[ErrorLine, ...]:
        """A line for each folder of the corpus, and each language in it, if there are several folders."""
        groups = self._groups(lambda sample: (sample.group, sample.language))
        if len({folder for folder, _ in groups}) < 2:
            return ()
        return tuple(self._errors(f"{folder}, {language}", members) for (folder, language), members in groups.items())

    @cached_property
    def long_form(self) -> tuple[ErrorLine, ...]:
        """A line for each language of the files that are longer than a window."""
        groups = self._groups(lambda sample: sample.language, lambda sample: sample.seconds > WINDOW_SECONDS)
        return tuple(self._errors(language, members) for language, members in groups.items())

    @cached_property
    def identification(self) -> tuple[Mapping[str, Accuracy], ...]:
        """Of each system, how often it found out each language."""
        spoken = [sample.language for sample in self.spoken]
        return tuple(accuracies(zip(spoken, outcome.languages, strict=True)) for outcome in self.outcomes)

    @cached_property
    def bleus(self) -> tuple[BleuLine, ...]:
        """A line for each language with reference translations, and one for all."""
        languages = sorted({sample.language for sample in self.translated})
        groups = {code: [n for n, one in enumerate(self.translated) if one.language == code] for code in languages}
        if len(groups) > 1:
            groups[ALL] = list(range(len(self.translated)))
        return tuple(BleuLine(code, len(members), self._bleus(members)) for code, members in groups.items())

    @cached_property
    def invented(self) -> tuple[tuple[int, ...], ...]:
        """Of each system, the words in each file without speech."""
        return tuple(tuple(map(word_count, outcome.inventions)) for outcome in self.outcomes)

    @cached_property
    def repeated(self) -> tuple[int, ...]:
        """Repeated 5-grams of the references, and of each system."""
        texts = [[sample.transcript for sample in self.spoken], *(outcome.texts for outcome in self.outcomes)]
        return tuple(
            sum(superfluous(repeats(text, one.language)) for one, text in zip(self.spoken, each, strict=True))
            for each in texts
        )

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """The 5-gram of each file that a system repeats most beyond the reference, the worst first."""
        found = []
        for number, sample in enumerate(self.spoken):
            said = {repeat.words: repeat.times for repeat in repeats(sample.transcript, sample.language)}
            for outcome in self.outcomes:
                repeated = repeats(outcome.texts[number], sample.language)
                beyond = [(one.times - said.get(one.words, 1), one) for one in repeated]
                times, worst = max(beyond, key=itemgetter(0), default=(0, None))
                if worst and times > 0:
                    found.append((times, Loop(outcome.label, sample.name, worst)))
        return tuple(loop for _, loop in sorted(found, key=itemgetter(0), reverse=True))

    def speed(self, outcome: Outcome) -> float:
        """Seconds of audio transcribed a second."""
        return self.seconds / outcome.seconds if outcome.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            **{name: getattr(self, name) for name in ("model", "device", "machine", "date", "corpus", "decoding")},
            "systems": self.labels,
            "failures": dict(self.failures),
            "problems": {outcome.label: list(outcome.problems) for outcome in self.outcomes},
            "left_out": list(self.left_out),
            "errors": [asdict(line) for line in self.errors],
            "folders": [asdict(line) for line in self.folders],
            "long_form": [asdict(line) for line in self.long_form],
            "identification": self._named([{k: asdict(v) for k, v in one.items()} for one in self.identification]),
            "bleu": [asdict(line) for line in self.bleus],
            "invented_words": self._named([sum(words) for words in self.invented]),
            "silent_minutes": self.silent_minutes,
            "repeated": {"reference": self.repeated[0], **self._named(self.repeated[1:])},
            "loops": [asdict(loop) for loop in self.loops],
            "rtfx": self._named([self.speed(outcome) for outcome in self.outcomes]),
            "spoken": self._texts(self.spoken, {"texts": "texts", "languages": "languages"}),
            "translated": self._texts(self.translated, {"translations": "texts"}),
            "silent": self._texts(self.silent, {"inventions": "texts"}),
        }

    def _named(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.labels, values, strict=True))

    def _texts(self, samples: Sequence[Sample], fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Each sample with what the systems made of it: fields of `Outcome` by the names they get."""
        return [
            {
                "path": sample.name,
                "language": sample.language,
                "seconds": round(sample.seconds, 2),
                "transcript": sample.transcript,
                "translation": sample.translation,
                **{name: self._named([getattr(o, field)[n] for o in self.outcomes]) for field, name in fields.items()},
            }
            for n, sample in enumerate(samples)
        ]

    def _groups(
        self, key: Callable[[Sample], Any], belongs: Callable[[Sample], bool] = lambda _: True
    ) -> dict[Any, list[int]]:
        """Numbers of the spoken samples that ``belongs`` holds for, by what ``key`` says of them, in its order."""
        groups: dict[Any, list[int]] = {}
        for number, sample in enumerate(self.spoken):
            if belongs(sample):
                groups.setdefault(key(sample), []).append(number)
        return dict(sorted(groups.items()))

    def _members(self, members: Sequence[int]) -> list[list[ErrorRate]]:
        return [[rates[number] for number in members] for rates in self.rates]

    def _errors(self, name: str, members: Sequence[int]) -> ErrorLine:
        rates = self._members(members)
        unit = "CER" if self.spoken[members[0]].language in UNSPACED else "WER"
        length = sum(rate.length for rate in rates[0])
        return ErrorLine(name, unit, len(members), length, tuple(scores(rates)))

    def _bleus(self, members: Sequence[int]) -> tuple[float, ...]:
        references = [self.translated[number].translation or "" for number in members]
        return tuple(bleu([one.translations[n] for n in members], references) for one in self.outcomes)
