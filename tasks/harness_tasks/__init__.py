"""Bundled tasks: loaders, suites and the data we wrote."""
