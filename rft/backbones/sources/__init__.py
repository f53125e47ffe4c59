"""Where pretrained models come from: libraries, folders, files and hubs."""
