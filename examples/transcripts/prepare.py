"""Write transcripts.csv: made-up sentences of made-up speakers, and what a made-up recogniser wrote of them.

Nobody said any of this. Half of the speakers have the accent "coast", the others "hills": of these the recogniser gets
about twice as many words wrong. Between two microphones it makes no difference.
"""

import csv
import random

SPEAKERS, UTTERANCES = 36, 12  # utterances on average: speakers have more or fewer
ERRORS = {"coast": 0.10, "hills": 0.22}  # share of words, before speakers differ
SUBJECTS = [
    "The doctor",
    "My neighbour",
    "Our teacher",
    "The ferry",
    "Her brother",
    "A lady",
    "The garden",
    "Mister Lee",
]
VERBS = ["opens", "leaves", "calls", "closes", "writes", "waits", "doesn't answer", "arrives"]
ENDS = ["at nine o'clock.", "in the harbour.", "before breakfast.", "on Tuesday, again.", "without a word!", "at home.",
        "for twenty minutes.", "after the rain."]  # fmt: skip
WRONG = ["the", "and", "him", "hour", "word", "wait", "garden", "none", "nine", "close"]


def mishear_words(words: list[str], rate: float, rng: random.Random) -> list[str]:
    """Return the words with some exchanged, left out or added."""
    written = []
    for word in words:
        drawn = rng.random()
        if drawn < 0.6 * rate:
            written.append(rng.choice(WRONG))
        elif drawn > rate or not drawn < 0.85 * rate:
            written.append(word)
        if rng.random() < 0.15 * rate:
            written.append(rng.choice(WRONG))
    return written


def write_table() -> None:
    rng = random.Random(0)
    rows = []
    for number in range(SPEAKERS):
        accent = ["coast", "hills"][number % 2]
        microphone = ["headset", "phone"][number // 2 % 2]
        own_rate = ERRORS[accent] * rng.uniform(0.5, 1.5)
        for _ in range(rng.randint(UTTERANCES // 2, UTTERANCES * 3 // 2)):
            said = f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(ENDS)}"
            written = mishear_words(said.split(), own_rate, rng)
            plain = " ".join(written).lower().replace(".", "").replace(",", "").replace("!", "")
            rows.append((f"s{number:02}", accent, microphone, said, plain))
    with open("transcripts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("speaker", "accent", "microphone", "reference", "hypothesis"))
        writer.writerows(rows)


if __name__ == "__main__":
    write_table()
