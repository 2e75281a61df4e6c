"""The loop: gather facts, decide, charge, observe, settle. Rule: nothing here knows mitmproxy or any adapter."""
