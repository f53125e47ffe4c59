"""Write clips/ and clips.csv: sentences by voices of espeak-ng. They are synthetic: nobody was recorded."""

import argparse
import csv
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from pathlib import Path

# Voices of espeak-ng are variants of one synthesiser.
FEMALE = ("f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "Annie", "anika", "aunty", "belinda", "linda", "steph")
MALE = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "Alex", "Andy", "Denis", "Gene", "Hugo", "Lee")
# "en-gb" is left out on purpose: espeak-ng may take it for a voice of MBROLA and then ignores the variant.
ACCENTS = {"british": "en", "american": "en-us", "scottish": "en-gb-scotland", "caribbean": "en-029"}
TESTED = 5  # voices of each sex; the other 8 are trained on
WORDS_A_MINUTE = (130, 150, 170)
WHO = (
    "the captain",
    "my neighbour",
    "our teacher",
    "a farmer",
    "the doctor",
    "his sister",
    "their cousin",
    "the baker",
)
WHEN = ("today", "at nine", "before dawn", "every winter", "after lunch", "on sunday", "once more", "in the morning")
DOES = (
    *("waits at the station", "opens the window", "reads a letter", "carries the basket", "paints a boat"),
    *("counts the apples", "leaves the harbour", "repairs the clock", "feeds the horses", "writes a song"),
)


@dataclass(frozen=True)
class Clip:
    """A row of clips.csv; ``voice`` is the unit, and no voice is in both splits."""

    file: str
    said: str
    voice: str
    sex: str
    accent: str
    split: str


def list_clips(sentences: int, seed: int) -> list[Clip]:
    """Return the clips to be made: every voice says so many sentences, in one accent after the other."""
    drawn = random.Random(seed)
    sexes = dict.fromkeys(FEMALE, "female") | dict.fromkeys(MALE, "male")
    tested = {*drawn.sample(FEMALE, TESTED), *drawn.sample(MALE, TESTED)}
    clips = []
    for voice, sex in sexes.items():
        for number in range(sentences):
            said = f"{drawn.choice(WHO)} {drawn.choice(DOES)} {drawn.choice(WHEN)}".capitalize() + "."
            accent = list(ACCENTS)[number % len(ACCENTS)]
            split = "test" if voice in tested else "train"
            clips.append(Clip(f"clips/{voice}-{number:02}.wav", said, voice, sex, accent, split))
    return clips


def write_clip(clip: Clip, folder: Path, speed: int) -> None:
    """Write a clip's file, a WAV."""
    voice = f"{ACCENTS[clip.accent]}+{clip.voice}"
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-w", folder / clip.file, clip.said]
    subprocess.run(command, check=True, capture_output=True)


def count_doubles(clips: list[Clip], folder: Path) -> int:
    """Return how many clips sound as that of another voice: a synthesiser that lacks a voice takes another silently."""
    voices: dict[str, set[str]] = {}
    for clip in clips:
        voices.setdefault(sha256((folder / clip.file).read_bytes()).hexdigest(), set()).add(clip.voice)
    return sum(len(same) - 1 for same in voices.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=40, help="that each voice says")
    parser.add_argument("--seed", type=int, default=0, help="draws sentences, speeds and the voices that are tested")
    arguments = parser.parse_args()
    here = Path()
    (here / "clips").mkdir(exist_ok=True)
    clips = list_clips(arguments.sentences, arguments.seed)
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
