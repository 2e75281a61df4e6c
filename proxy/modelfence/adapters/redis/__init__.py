"""What is kept in Redis: `buckets`, `evidence` and `accounts` are the stores, the rest finds servers and asks them."""
