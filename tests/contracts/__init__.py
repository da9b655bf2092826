"""Our own parts by the suites that are shipped for everybody's, and whether those bite."""
