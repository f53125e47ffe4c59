"""Small lists of identity terms and their counterparts, in English, as data.

Every line is one kind of word; its words are exchanged for each other, those in the same place of their lines together:
in one text ``churches`` and ``Christians`` become ``mosques`` and ``Muslims``. A word that stands in several lines
belongs to the first. Words that mostly mean something else (``white``, ``old``, ``straight``) are named only in phrases
that are about people. The words are from the sources named at each list; the lists are not copies of theirs.

    CDA         Lu et al. 2020, Gender Bias in Neural Natural Language Processing; arXiv:1807.11714
    WinoBias    Zhao et al. 2018, NAACL, Gender Bias in Coreference Resolution
    Dixon       Dixon et al. 2018, AIES, Measuring and Mitigating Unintended Bias in Text Classification
    RedditBias  Barikeri et al. 2021, ACL
"""

from __future__ import annotations

from typing import Literal, get_args

SwapName = Literal["gender", "religion", "orientation", "ethnicity", "age", "disability"]
Lines = tuple[tuple[str, ...], ...]

_PEOPLE = ("people", "person", "man", "men", "woman", "women", "boy", "boys", "girl", "girls", "community", "family")


def _about_people(*adjectives: str) -> Lines:
    """Return a line for each noun of people, with all of the adjectives before it."""
    return tuple(tuple(f"{adjective} {noun}" for adjective in adjectives) for noun in _PEOPLE)


IDENTITY_TERMS: dict[SwapName, Lines] = {
    # CDA and WinoBias: pronouns, family and titles; ``her`` and ``his`` are decided by what follows
    "gender": (
        ("he", "she"),
        ("him", "her"),
        ("his", "hers"),
        ("himself", "herself"),
        ("man", "woman"),
        ("men", "women"),
        ("boy", "girl"),
        ("boys", "girls"),
        ("male", "female"),
        ("males", "females"),
        ("guy", "gal"),
        ("guys", "gals"),
        ("gentleman", "lady"),
        ("gentlemen", "ladies"),
        ("mr", "mrs"),
        ("mister", "missus"),
        ("sir", "madam"),
        ("father", "mother"),
        ("fathers", "mothers"),
        ("dad", "mom"),
        ("dads", "moms"),
        ("daddy", "mommy"),
        ("son", "daughter"),
        ("sons", "daughters"),
        ("brother", "sister"),
        ("brothers", "sisters"),
        ("uncle", "aunt"),
        ("uncles", "aunts"),
        ("nephew", "niece"),
        ("nephews", "nieces"),
        ("grandfather", "grandmother"),
        ("grandson", "granddaughter"),
        ("husband", "wife"),
        ("husbands", "wives"),
        ("boyfriend", "girlfriend"),
        ("boyfriends", "girlfriends"),
        ("groom", "bride"),
        ("king", "queen"),
        ("kings", "queens"),
        ("prince", "princess"),
        ("actor", "actress"),
        ("actors", "actresses"),
        ("waiter", "waitress"),
        ("host", "hostess"),
    ),
    # Dixon and RedditBias
    "religion": (
        ("christian", "muslim", "jewish", "hindu", "buddhist"),
        ("christians", "muslims", "jews", "hindus", "buddhists"),
        ("christian", "muslim", "jew", "hindu", "buddhist"),
        ("christianity", "islam", "judaism", "hinduism", "buddhism"),
        ("church", "mosque", "synagogue", "mandir", "pagoda"),
        ("churches", "mosques", "synagogues", "mandirs", "pagodas"),
        ("bible", "quran", "torah", "vedas", "sutras"),
        ("priest", "imam", "rabbi", "pandit", "lama"),
        ("priests", "imams", "rabbis", "pandits", "lamas"),
    ),
    # Dixon and RedditBias; "straight" alone mostly means something else
    "orientation": (
        ("homosexual", "heterosexual"),
        ("homosexuals", "heterosexuals"),
        ("homosexuality", "heterosexuality"),
        ("gays", "straights"),
        ("transgender", "cisgender"),
        ("transgenders", "cisgenders"),
        *_about_people("gay", "straight"),
        *_about_people("lesbian", "straight"),
        *_about_people("queer", "straight"),
        ("gay", "heterosexual"),
        ("lesbian", "heterosexual"),
        ("lesbians", "heterosexuals"),
        ("bisexual", "monosexual"),
        ("bisexuals", "monosexuals"),
    ),
    # Dixon and RedditBias; colours only before people
    "ethnicity": (
        *_about_people("black", "white", "asian", "hispanic"),
        ("blacks", "whites", "asians", "hispanics"),
        *_about_people("african", "american", "chinese", "mexican"),
        ("african american", "european american", "asian american", "mexican american"),
        ("african americans", "european americans", "asian americans", "mexican americans"),
        ("africans", "americans", "chinese", "mexicans"),
        *_about_people("arab", "american"),
        ("arabs", "americans"),
        ("africa", "america", "china", "mexico"),
    ),
    # Dixon; "old" and "young" alone are mostly about things
    "age": (
        *_about_people("old", "young"),
        *_about_people("older", "younger"),
        *_about_people("elderly", "young"),
        ("boomer", "millennial"),
        ("boomers", "millennials"),
        ("seniors", "teenagers"),
        ("elderly", "youthful"),
        ("retiree", "student"),
        ("retirees", "students"),
    ),
    # Dixon; counterparts by negation, since the lists have none
    "disability": (
        ("disabled", "nondisabled"),
        ("blind", "sighted"),
        *_about_people("deaf", "hearing"),
        ("paralyzed", "able-bodied"),
        ("autistic", "neurotypical"),
        ("wheelchair user", "pedestrian"),
        ("wheelchair users", "pedestrians"),
    ),
}
assert set(IDENTITY_TERMS) == set(get_args(SwapName))
