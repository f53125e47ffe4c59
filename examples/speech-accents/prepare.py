"""Write prompts.csv: prompts of telephones in five languages, where Debian's packages of them put their recordings."""

import argparse
import csv
import random
from pathlib import Path

SOUNDS = Path("/usr/share/asterisk/sounds")
# Folder: language, speaker as the folder says, sex. One speaker a language: the three cannot be told apart.
LANGUAGES = {
    "en_US_f_Allison": ("en", "Allison", "female"),
    "es_MX_f_Allison": ("es", "Allison", "female"),
    "fr_CA_f_June": ("fr", "June", "female"),
    "it_IT_m_Carlo": ("it", "Carlo", "male"),
    "ru_RU_f_IvrvoiceRU": ("ru", "IvrvoiceRU", "female"),
}
KINDS = {"digits": "number", "letters": "letter", "phonetic": "spelling word"}  # 7; g, plus; Golf
TESTED = 0.5  # of the prompts of each kind
COLUMNS = ("file", "kind", "prompt", "language", "speaker", "sex", "split")


def list_prompts(folder: Path) -> set[str]:
    """Return the names of the prompts of these kinds in a language, such as ``digits/7``."""
    return {str(path.relative_to(folder).with_suffix("")) for kind in KINDS for path in (folder / kind).glob("*.wav")}


def list_rows(sounds: Path, seed: int) -> list[tuple[str, ...]]:
    """Return rows of ``COLUMNS``: English ones that are trained on, and all languages of other prompts to test on."""
    shared = sorted(set.intersection(*(list_prompts(sounds / folder) for folder in LANGUAGES)))
    drawn = random.Random(seed)
    tested: set[str] = set()
    for kind in KINDS:
        names = [name for name in shared if name.startswith(f"{kind}/")]
        tested.update(drawn.sample(names, round(TESTED * len(names))))
    return [
        (
            *(str(sounds / folder / f"{name}.wav"), KINDS[name.partition("/")[0]], name),
            *(language, speaker, sex, "test" if name in tested else "train"),
        )
        for folder, (language, speaker, sex) in LANGUAGES.items()
        for name in shared
        if name in tested or language == "en"
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sounds", type=Path, default=SOUNDS, help="where the packages put them")
    parser.add_argument("--seed", type=int, default=0, help="draws the prompts that are tested")
    arguments = parser.parse_args()
    rows = list_rows(arguments.sounds, arguments.seed)
    with open("prompts.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows)
    print(f"prompts.csv: {len(rows)} recordings, {sum(row[-1] == 'train' for row in rows)} of them to train on")
