"""The public door: keys, quotas, media intake, pipelines."""
