"""Bundled evaluator plugins and model adapters, found through the same entry points as anyone's."""
