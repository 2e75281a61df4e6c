"""The audit log as values: its lines, the chain they make, whether it is whole, and what it says of a period."""
