import pytest

from rft.runtime.remote.urls import Url, parse_url


@pytest.mark.parametrize("text", ["photos/1.png", "/photos/1.png", "C:\\photos", "package:thing", "memory:rows", ""])
def test_a_path_is_no_url(text: str) -> None:
    assert parse_url(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://host/x.csv", "not with https://"),
        ("http://169.254.169.254/latest", "not with http://"),
        ("simplecache::s3://bucket/x", "not a chain"),
        ("filecache::https://host/x", "not a chain"),
        ("zip://*.csv::s3://bucket/x.zip", "not a chain"),
        ("s3://name:word@bucket/x", "without a name or password"),
        ("s3://bucket/x?X-Amz-Signature=1", "without ?"),
        ("s3://bucket/x#1", "without ?"),
        ("s3://bucket/x\ny", "control characters"),
        ("s3://bucket/../other/x", "without .."),
        ("s3://", "expected a URL such as"),
        ("s3:///x", "expected a URL such as"),
        ("file://x/y", "expected a URL such as"),
    ],
)
def test_what_is_refused_is_refused_without_showing_secrets(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        parse_url(text)
    assert said in str(refused.value)
    assert "word" not in str(refused.value).replace("password", "")
    assert "Signature" not in str(refused.value)


def test_the_parts_of_a_url() -> None:
    url = parse_url("S3://bucket/photos//cats/1.png")
    assert url == Url("s3", "bucket/photos/cats/1.png")
    assert (url.bucket, url.name, url.short_name, str(url.parent)) == (
        "bucket",
        "1.png",
        "cats/1.png",
        "s3://bucket/photos/cats",
    )
    assert not url.is_local
    assert parse_url("file:///photos/1.png").is_local


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("1.png", "s3://bucket/photos/1.png"),
        ("cats/./1.png", "s3://bucket/photos/cats/1.png"),
        ("../other/1.png", "s3://bucket/other/1.png"),
        ("s3://bucket/other/1.png", "s3://bucket/other/1.png"),
    ],
)
def test_names_are_relative_to_the_folder(name: str, place: str) -> None:
    assert str(Url("s3", "bucket/photos").locate(name)) == place


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../../other/1.png",
        "s3://other/1.png",
        "gs://bucket/1.png",
        "file:///etc/passwd",
        "https://host/1.png",
        "../../../etc/passwd",
    ],
)
def test_a_name_does_not_lead_out_of_the_bucket(name: str) -> None:
    with pytest.raises(ValueError, match=r"leads out of|absolute path|not with"):
        Url("s3", "bucket/photos").locate(name)
