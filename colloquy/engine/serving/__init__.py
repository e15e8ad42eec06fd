"""An engine as a service uses it: watched, queued, with the adapters of its tasks."""
