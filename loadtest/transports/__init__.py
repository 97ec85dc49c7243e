"""Ways to send a clip: one file each, which knows nothing of Locust. `loadtest.answers.Transport` is what they do."""
