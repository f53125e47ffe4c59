"""The record of what trainings spent on the same people, written before it is spent."""
