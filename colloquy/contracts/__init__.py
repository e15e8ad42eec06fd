"""What crosses a wire: one file a capability. A caller imports only what it calls."""
