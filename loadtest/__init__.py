"""Load tests with Locust: users, shapes of load, thresholds, and what is written of a run. See docs/loadtest.md."""
