"""The process and the machine that it runs on: memory, devices, floating point, folders of the user, progress."""
