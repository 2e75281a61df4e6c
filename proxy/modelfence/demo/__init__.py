"""Everything on one machine: a stand-in model API, the fence, and sample callers whose fate the policy foretells."""
