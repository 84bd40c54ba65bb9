"""Bad input against everything that reads bytes; see docs/fuzzing.md."""
