"""Recordings as the input of a model: resampled, normalised, padded; the same alone and in a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from rft.config.schema import DataConfig
from rft.data.audio.decoding import Recording, read_recording
from rft.data.audio.inputs import AudioInputs
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.errors import DataError, ModelError
from rft.records import AudioPreprocessingFacts, PreprocessingFacts, Recordings, Split
from tests.support.audio_cases import encode_sound, make_tone

CONFIG = DataConfig(manifest="a.csv", audio="file", label="label")
PLAIN = AudioPreprocessing(16_000)


def make_split(folder: Path, lengths: list[float], rates: list[int]) -> Split:
    """Return a split of tones of some seconds at some rates, measured as a data set is."""
    paths = []
    for number, (seconds, rate) in enumerate(zip(lengths, rates, strict=True)):
        paths.append(folder / f"{number}.wav")
        paths[-1].write_bytes(encode_sound(make_tone(seconds, rate), rate=rate))
    read = [read_recording(path, 60) for path in paths]
    frames = np.array([len(recording.samples) for recording in read])
    recordings = Recordings(frames, np.array([recording.rate for recording in read]), np.zeros(len(read), bool))
    ids = np.array([path.name for path in paths], object)
    return Split("test", ids, paths, np.zeros(len(paths), np.int64), recordings=recordings)


class TestResampling:
    @pytest.mark.parametrize("native", [8_000, 11_025, 22_050, 44_100, 48_000])
    def test_a_tone_stays_where_it_is_with_its_amplitude(self, native: int) -> None:
        tone = make_tone(2, native, noise=0)
        resampled = PLAIN(Recording(tone, native))
        times = np.arange(len(resampled)) / 16_000
        waves = np.stack([np.sin(2 * np.pi * 440 * times), np.cos(2 * np.pi * 440 * times)], axis=1)
        inner = slice(800, -800)  # a filter has less to go by at the ends
        (sine, cosine), *_ = np.linalg.lstsq(waves[inner], resampled[inner], rcond=None)
        assert np.hypot(sine, cosine) == pytest.approx(0.5, abs=1e-3)
        assert abs(cosine) < 1e-3  # nothing is delayed
        np.testing.assert_allclose(resampled[inner], waves[inner] @ [sine, cosine], atol=1e-3)

    def test_what_the_lower_rate_cannot_hold_is_taken_out(self) -> None:
        """Taking every third sample would turn 7 kHz of 48 kHz ... 16 kHz into a tone of its own."""
        above = make_tone(1, 48_000, hertz=12_000, noise=0)
        assert np.abs(PLAIN(Recording(above, 48_000))[800:-800]).max() < 1e-4

    def test_twice_the_rate_is_twice_the_length(self) -> None:
        assert len(PLAIN(Recording(make_tone(1, 8_000), 8_000))) == 16_000

    def test_the_own_rate_is_left_as_it_is(self) -> None:
        tone = make_tone()
        np.testing.assert_array_equal(PLAIN(Recording(tone, 16_000)), tone)

    def test_lengths_are_counted_as_soxr_makes_them(self) -> None:
        sizes = np.array([1, 2, 3, 7, 100, 1001, 12_345, 44_100])
        for native in (4_000, 8_000, 11_025, 22_050, 32_000, 44_100, 96_000, 384_000):
            for rate in (8_000, 16_000, 24_000):
                prepared = AudioPreprocessing(rate)
                made = [len(prepared(Recording(np.zeros(n, np.float32), native))) for n in sizes]
                assert prepared.count_samples(sizes, np.full(len(sizes), native)).tolist() == made


class TestNormalisation:
    def test_each_recording_has_mean_0_and_variance_1(self) -> None:
        values = AudioPreprocessing(16_000, "zero-mean-unit-variance")(Recording(make_tone() + 0.1, 16_000))
        assert values.dtype == np.float32
        assert values.mean() == pytest.approx(0, abs=1e-5)
        assert values.std() == pytest.approx(1, abs=1e-3)

    def test_it_is_that_of_transformers(self) -> None:
        from transformers import Wav2Vec2FeatureExtractor

        tone = make_tone() + np.float32(0.1)
        theirs = Wav2Vec2FeatureExtractor()(tone, sampling_rate=16_000).input_values[0]
        ours = AudioPreprocessing(16_000, "zero-mean-unit-variance")(Recording(tone, 16_000))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)

    def test_silence_stays_finite(self) -> None:
        values = AudioPreprocessing(16_000, "zero-mean-unit-variance")(Recording(np.zeros(99, np.float32), 16_000))
        assert values.tolist() == [0.0] * 99

    def test_another_one_is_refused(self) -> None:
        with pytest.raises(ModelError, match="Expected a rate above 0, and one of none, zero-mean-unit-variance"):
            AudioPreprocessing(16_000, "peak")


class TestBatches:
    SECONDS, RATES = [0.5, 0.123, 1.0, 0.25], [16_000, 8_000, 44_100, 22_050]

    def test_a_recording_is_the_same_alone_and_in_a_batch(self, tmp_path: Path) -> None:
        split = make_split(tmp_path, self.SECONDS, self.RATES)
        inputs = AudioPreprocessing(16_000, "zero-mean-unit-variance").inputs({"test": split}, CONFIG, 0)
        together = inputs.batch("test", range(4))
        assert together["waveform"].dtype == torch.float32
        assert together["attention_mask"].dtype == torch.int64
        assert together["waveform"].shape == together["attention_mask"].shape == (4, 16_000)
        for row in range(4):
            alone = inputs.batch("test", [row])
            n = alone["waveform"].shape[1]
            assert torch.equal(together["waveform"][row, :n], alone["waveform"][0])
            assert not together["waveform"][row, n:].any()
            assert together["attention_mask"][row].sum() == n == alone["attention_mask"].sum()
            assert together["attention_mask"][row, :n].all()

    def test_lengths_are_those_of_the_batches(self, tmp_path: Path) -> None:
        split = make_split(tmp_path, self.SECONDS, self.RATES)
        inputs = PLAIN.inputs({"test": split}, CONFIG, 0)
        made = inputs.batch("test", range(4))["attention_mask"].sum(1).tolist()
        assert inputs.lengths(split.items).tolist() == made == [8000, 1968, 16000, 4000]
        stranger = AudioInputs({}, PLAIN, 60)
        assert stranger.lengths(split.items[:2]).tolist() == made[:2]
        assert stranger.lengths([]).tolist() == []

    def test_batches_come_in_order_with_the_rows_that_were_asked_for(self, tmp_path: Path) -> None:
        split = make_split(tmp_path, self.SECONDS, self.RATES)
        inputs = PLAIN.inputs({"test": split}, CONFIG, 0)
        batches = list(inputs.batches(split.items, [[3], [0, 1], np.array([2]), [1]]))
        assert [batch["waveform"].shape for batch in batches] == [(1, 4000), (2, 8000), (1, 16000), (1, 1968)]

    def test_a_file_that_changes_meanwhile_is_an_error(self, tmp_path: Path) -> None:
        split = make_split(tmp_path, [0.5], [16_000])
        split.items[0].write_bytes(encode_sound(make_tone(0.4)))
        with pytest.raises(DataError, match="another number of samples than when it was first read"):
            PLAIN.inputs({"test": split}, CONFIG, 0).batch("test", [0])

    def test_what_leaves_no_sample_is_too_short(self, tmp_path: Path) -> None:
        path = tmp_path / "click.wav"
        path.write_bytes(encode_sound(np.float32([0.5]), rate=384_000))
        with pytest.raises(
            DataError, match="is too short: 0 samples at 16,000 a second, of which the model takes 1 or more"
        ):
            next(AudioInputs({}, PLAIN, 60).batches([path], [[0]]))

    def test_what_the_model_cannot_take_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        split = make_split(tmp_path, [0.5, 1.5], [16_000, 8_000])
        with pytest.raises(DataError, match="1 of 2 recordings last longer than the 1 s that the model takes"):
            AudioPreprocessing(16_000, max_seconds=1).inputs({"test": split}, CONFIG, 0)
        assert AudioPreprocessing(16_000, max_seconds=1.5).inputs({"test": split}, CONFIG, 0)
        with pytest.raises(DataError, match=r"1 of 2 recordings are shorter than the 500\.062 ms of which"):
            AudioPreprocessing(16_000, min_samples=8001).inputs({"test": split}, CONFIG, 0)
        assert AudioPreprocessing(16_000, min_samples=8000).inputs({"test": split}, CONFIG, 0)


def test_the_facts_say_what_was_done_and_are_told_from_others() -> None:
    facts = AudioPreprocessing(16_000, "zero-mean-unit-variance", 30).facts()
    stored = facts.model_dump(mode="json")
    assert stored == {
        "resampler": "soxr HQ",
        "sample_rate": 16_000,
        "normalisation": "zero-mean-unit-variance",
        "max_seconds": 30.0,
        "spectrum_sha256": None,
    }
    read = TypeAdapter(PreprocessingFacts).validate_python(stored)
    assert isinstance(read, AudioPreprocessingFacts)
    assert read == facts
