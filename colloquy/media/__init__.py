"""Where pictures enter: fetched safely, checked, decoded apart, re-encoded, kept by tenant."""
