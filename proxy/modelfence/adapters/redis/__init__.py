"""Token buckets in Redis: `buckets` is the store, `scripts` runs its scripts, the rest finds servers and asks them."""
