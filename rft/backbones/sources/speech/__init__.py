"""Backbones of transformers that take speech: encoders of waveforms or of their spectra."""
