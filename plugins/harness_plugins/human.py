"""Human consistency."""
