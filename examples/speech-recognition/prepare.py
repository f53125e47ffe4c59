"""Write prompts.csv: English prompts of telephones, what is said in each, and where Debian's packages put them."""

import argparse
import csv
import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
KINDS = {"digits": "number", "letters": "letter", "phonetic": "spelling word"}  # 7; g; Golf; all else is a sentence
COLUMNS = ("file", "said", "kind", "prompt")


def list_prompts(sounds: Path, texts: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield rows of ``COLUMNS`` for all prompts in which something is said."""
    for line in gzip.decompress(texts.read_bytes()).decode("utf-8", "replace").splitlines():
        prompt, _, said = line.partition(":")
        file = sounds / f"{prompt}.wav"
        said = re.sub(r"\[.*?\]|<.*?>", " ", said).strip()  # remarks to the speaker, such as [$]
        if not line.startswith(";") and said and file.is_file() and not prompt.startswith("silence/"):
            yield str(file), said, KINDS.get(prompt.partition("/")[0], "sentence"), prompt


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sounds", type=Path, default=SOUNDS, help="where the package puts the recordings")
    parser.add_argument("--texts", type=Path, default=TEXTS, help="where the package says what they say")
    parser.add_argument("--of-a-kind", type=int, help="draw so many prompts of each kind; by default all are taken")
    parser.add_argument("--seed", type=int, default=0, help="draws them")
    arguments = parser.parse_args()
    rows = list(list_prompts(arguments.sounds, arguments.texts))
    if arguments.of_a_kind is not None:
        random.Random(arguments.seed).shuffle(rows)
        by_kind = {kind: [row for row in rows if row[2] == kind] for kind in (*KINDS.values(), "sentence")}
        rows = [row for those in by_kind.values() for row in those[: arguments.of_a_kind]]
    with open("prompts.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows)
    print(f"prompts.csv: {len(rows)} recordings")
