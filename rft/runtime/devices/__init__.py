"""Devices that networks run on: their memory, their random numbers, and how batches reach them."""
