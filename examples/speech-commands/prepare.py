"""Write clips/ and clips.csv: words by voices of espeak-ng and flite. They are synthetic: nobody was recorded."""

import argparse
import csv
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from pathlib import Path

WORDS = {
    "commands": ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
    "digits": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
}
# Voices of espeak-ng are variants of one synthesiser; each speaks every accent. Those of flite have one accent each.
FEMALE = (
    *("f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "Annie", "anika", "aunty", "belinda", "grandma"),
    *("linda", "steph", "steph2", "steph3"),
)
MALE = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Alex", "Andy", "Denis", "Gene", "Hugo", "Lee"),
    *("Marco", "Michael", "Mike", "david", "john", "paul", "robert"),
)
FLITE = {
    "slt": ("female", "american"),
    "rms": ("male", "american"),
    "kal16": ("male", "american"),
    "awb": ("male", "scottish"),
}
# "en-gb" is left out on purpose: espeak-ng may take it for a voice of MBROLA and then ignores the variant.
ACCENTS = {"british": "en", "american": "en-us", "scottish": "en-gb-scotland", "caribbean": "en-029"}
TRAINED = {"female": 8, "male": 12}  # voices whose clips are in the training split; 9 and 12 are tested
WORDS_A_MINUTE = (130, 150, 170, 190)


@dataclass(frozen=True)
class Clip:
    """A row of clips.csv; ``voice`` is the unit, and no voice is in both parts of a split."""

    file: str
    word: str
    voice: str
    sex: str
    accent: str
    split: str
    trained_on_men: str


def list_clips(words: tuple[str, ...], seed: int) -> list[Clip]:
    """Return the clips to be made: every voice says every word, in each of its accents."""
    sexes = dict.fromkeys(FEMALE, "female") | dict.fromkeys(MALE, "male") | {name: FLITE[name][0] for name in FLITE}
    drawn = random.Random(seed)
    trained = {
        voice
        for sex, count in TRAINED.items()
        for voice in drawn.sample(sorted(name for name in sexes if sexes[name] == sex), count)
    }
    clips = []
    for voice, sex in sexes.items():
        split = "train" if voice in trained else "test"
        of_men = split if sex == "male" else "test"
        accents = (FLITE[voice][1],) if voice in FLITE else tuple(ACCENTS)
        clips += [
            Clip(f"clips/{voice}-{accent}-{word}.wav", word, voice, sex, accent, split, of_men)
            for accent in accents
            for word in words
        ]
    return clips


def write_clip(clip: Clip, folder: Path, speed: int) -> None:
    """Write a clip's file, a WAV."""
    path = folder / clip.file
    if clip.voice in FLITE:
        command = ["flite", "-voice", clip.voice, "-t", clip.word, "-o", path]
    else:
        voice = f"{ACCENTS[clip.accent]}+{clip.voice}"
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-w", path, clip.word]
    subprocess.run(command, check=True, capture_output=True)


def count_doubles(clips: list[Clip], folder: Path) -> int:
    """Return how many clips sound as that of another voice: a synthesiser that lacks a voice takes another silently."""
    voices: dict[str, set[str]] = {}
    for clip in clips:
        voices.setdefault(sha256((folder / clip.file).read_bytes()).hexdigest(), set()).add(clip.voice)
    return sum(len(same) - 1 for same in voices.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", choices=WORDS, default="commands", help="ten commands, or the digits")
    parser.add_argument("--seed", type=int, default=0, help="draws the voices that are trained on, and speeds")
    arguments = parser.parse_args()
    here = Path()
    (here / "clips").mkdir(exist_ok=True)
    clips = list_clips(WORDS[arguments.words], arguments.seed)
    drawn = random.Random(arguments.seed)
    speeds = [drawn.choice(WORDS_A_MINUTE) for _ in clips]
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda pair: write_clip(pair[0], here, pair[1]), zip(clips, speeds, strict=True)):
            pass
    if doubles := count_doubles(clips, here):
        raise SystemExit(f"{doubles} clips are the same for several voices: this espeak-ng lacks some of them")
    with open("clips.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([field.name for field in fields(Clip)])
        table.writerows(astuple(clip) for clip in clips)
    print(f"clips.csv: {len(clips)} clips of {len({clip.voice for clip in clips})} voices")
