"""Whether and where the published weights of a library can be had, told without importing the library or torch."""
