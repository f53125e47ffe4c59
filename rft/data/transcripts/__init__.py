"""Transcripts of a speech recogniser: made alike, aligned, and counted utterance by utterance."""
