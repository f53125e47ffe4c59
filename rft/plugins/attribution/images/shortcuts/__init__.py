"""Suspected regions and marks of images: swapped or planted, beside what a control does to the same images."""
