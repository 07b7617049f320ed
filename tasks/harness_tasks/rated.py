"""Sets of texts that people rated."""
