"""What columns are usually called, by their meaning. A word alone decides nothing: the cells must fit, too.

Attributes of people: the grounds of the EU_CHARTER and of ECOA (``rft.references``), with the words under which
they stand in data sets, and the types of skin of Fitzpatrick's scale. Whose data a row is: DICOM (PatientID), MIMIC-IV
(subject_id), Common Voice (client_id), LibriSpeech (speaker_id) and CelebA (identity) name it like that. Labels,
predictions and scores: the arguments of scikit-learn (y, y_true, y_pred, y_score), the columns of Hugging Face's data.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from rft.references import ECOA, EU_CHARTER

# Attribute of people -> the words that a column of it has in its name, and where the attribute is named.
GROUPS: dict[str, tuple[tuple[str, ...], str]] = {
    "sex or gender": (("sex", "gender", "sexe", "geschlecht", "male", "female"), EU_CHARTER),
    "age": (("age", "ages", "agegroup", "ageband", "ageclass", "agerange", "alter"), EU_CHARTER),
    "race or ethnicity": (("race", "ethnicity", "ethnic", "ethnicgroup", "racial"), EU_CHARTER),
    "colour of the skin": (("skin", "skintone", "skintype", "skincolor", "skincolour", "fitzpatrick"), EU_CHARTER),
    "origin": (("nationality", "citizenship", "birthplace", "origin", "country", "migrant", "immigrant"), EU_CHARTER),
    "language": (("language", "lang", "accent", "accents", "dialect", "nativelanguage"), EU_CHARTER),
    "religion": (("religion", "religious", "belief", "faith"), EU_CHARTER),
    "disability": (("disability", "disabled", "impairment"), EU_CHARTER),
    "sexual orientation": (("orientation", "sexuality", "lgbt", "lgbtq"), EU_CHARTER),
    "marital status": (("marital", "married", "maritalstatus"), ECOA),
    "social origin": (("caste", "socioeconomic", "ses"), EU_CHARTER),
}
UNITS = (
    *("person", "patient", "subject", "participant", "individual", "applicant", "defendant", "candidate", "speaker"),
    *("client", "customer", "user", "author", "reviewer", "writer", "student", "employee", "member", "respondent"),
    *("donor", "identity", "face", "household", "family", "voice"),
)
TEXTS = (
    *(
        "text",
        "comment",
        "sentence",
        "review",
        "message",
        "tweet",
        "post",
        "body",
        "content",
        "document",
        "description",
    ),
    *("question", "utterance", "transcript", "note", "abstract", "title"),
)
# Common Voice: sentence; the hub's data of speech: text, transcription; LibriSpeech and LJSpeech: transcript, text.
TRANSCRIPTS = ("transcript", "transcription", "sentence", "text", "utterance")
SOUNDS = ("audio", "sound", "speech", "wav", "recording", "waveform", "voice")
# Not "target" and "category": of a comment these are often the people that it is about.
LABELS = ("label", "labels", "class", "y", "truth", "groundtruth", "true", "actual", "outcome")
PREDICTIONS = ("prediction", "predictions", "predicted", "pred", "preds", "yhat", "ypred", "decision")
REFERENCES = (
    "reference",
    "ref",
    "transcript",
    "transcription",
    "sentence",
    "utterance",
    "text",
    "groundtruth",
    "truth",
)
HYPOTHESES = ("hypothesis", "hypotheses", "hyp", "asr", "recognized", "recognised", "decoded")
SCORES = ("score", "yscore", "probability", "prob", "proba", "confidence", "p", "risk")
IDS = ("id", "uuid", "guid", "key", "index", "rowid")


def split_words(name: str) -> list[str]:
    """Return the words of a column's name, in lower case.

    >>> split_words("PatientID"), split_words("age_group"), split_words("y_pred2")
    (['patient', 'id'], ['age', 'group'], ['y', 'pred'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [word.casefold() for word in re.split(r"[\W\d_]+", spaced) if word]


def find_word(name: str, words: Iterable[str]) -> str | None:
    """Return the first of these words that a name has or is as a whole, or None."""
    in_name = split_words(name)
    present = {*in_name, "".join(in_name)}
    return next((word for word in words if word in present), None)


def is_called(name: str, words: Container[str]) -> bool:
    """Tell whether a name consists of these words alone.

    >>> is_called("true_label", LABELS), is_called("Class Name", LABELS)
    (True, False)
    """
    in_name = split_words(name)
    return "".join(in_name) in words or (bool(in_name) and all(word in words for word in in_name))


def rank_by_words(names: Iterable[str], words: Iterable[str]) -> list[str]:
    """Return the names that have one of these words: those with an earlier word first, and first what is just that."""
    order = {word: place for place, word in enumerate(words)}
    ranked = [(order[word], len(split_words(name)), name) for name in names if (word := find_word(name, order))]
    return [name for _, _, name in sorted(ranked, key=lambda entry: entry[:2])]


def find_attribute(name: str) -> tuple[str, str] | None:
    """Return the attribute of people that a column's name speaks of, and where it is named; None for other names.

    >>> find_attribute("age_group")
    ('age', 'Charter of Fundamental Rights of the European Union, Article 21(1)')
    """
    named = ((attribute, ground) for attribute, (words, ground) in GROUPS.items() if find_word(name, words))
    return next(named, None)
