"""Folders of images: class folders, folders of splits, zip files of them, and tables that lie beside images."""
