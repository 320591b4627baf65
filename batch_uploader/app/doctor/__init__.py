"""``doctor``: what an upload needs, checked one by one, at no cost."""
