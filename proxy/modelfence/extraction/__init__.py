"""What extraction looks like: fingerprints, cohorts, score. Rule: pure; its state goes through a port."""
